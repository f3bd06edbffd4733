"""Runtimes of LivePortrait's big networks: their interface, and shared code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from liveportrait.engines.base import Image
from liveportrait.engines.liveportrait21 import KEYPOINTS
from liveportrait.engines.precision import PrecisionGuard
from liveportrait.motion import Array
from liveportrait.networks import NAMES
from models.registry import ModelError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor, nn

    from liveportrait.networks.generator import SPADEGenerator
    from liveportrait.networks.loading import Variant
    from liveportrait.networks.warping import WarpingNetwork

INPUT_SIZE: Final = 256
BIG_NETWORKS: Final = NAMES[:4]
"""F, M, W and G; the other networks always run on the CPU."""


@dataclass(frozen=True)
class SourceFeatures:
    """Values computed once per source.

    Attributes:
        volume: f_s (1, 32, 16, 64, 64) float32 on the runtime's device.
        keypoints: x_s (1, 21, 3) float32 on the runtime's device.
    """

    volume: Tensor
    keypoints: Tensor


class Runtime(ABC):
    """F, M, W and G on some backend.

    Args:
        guard: Chooses and checks the precision of PyTorch's computations.

    Attributes:
        name: Name of the engine that uses it.
        device: Device of input and output tensors.
        batch: Best number of frames per call.
    """

    name: str

    def __init__(self, guard: PrecisionGuard, batch: int = 1) -> None:
        self.guard = guard
        self.device = guard.device
        self.batch = batch

    @property
    def precision(self) -> str:
        """Type of the convolutions in use; it can change to "fp32" at any frame."""
        return self.guard.precision

    @property
    def label(self) -> str:
        """Where it runs, for users."""
        import torch

        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)

    def mode(self) -> AbstractContextManager[None]:
        """Context in which the networks compute in the current precision."""
        return self.guard.mode(self.guard.precision)

    @abstractmethod
    def ready(self) -> PrecisionGuard:
        """Start everything that isn't running yet, with its self-test; returns the guard to compute under."""

    @abstractmethod
    def appearance(self, image: Tensor) -> Tensor:
        """F: (1, 3, 256, 256) in 0..1 -> f_s (1, 32, 16, 64, 64) float32."""

    @abstractmethod
    def motion(self, image: Tensor) -> Mapping[str, Tensor]:
        """M: (1, 3, 256, 256) in 0..1 -> raw heads (liveportrait.networks.motion_extractor), float32."""

    @abstractmethod
    def warp(self, features: SourceFeatures, driving: Tensor) -> Any:
        """W: (B, 21, 3) keypoints -> input for draw; the next call may overwrite it."""

    @abstractmethod
    def draw(self, warped: Any) -> Tensor:
        """G: -> (B, 3, 512, 512) float32 in 0..1; the next call may overwrite it."""

    def levels(self, features: SourceFeatures, driving: Tensor) -> tuple[Image, Array]:
        """Finished frames.

        Args:
            features: The source.
            driving: (B, 21, 3) keypoints.

        Returns:
            (B, 512, 512, 3) uint8, and the highest value of each frame.
        """
        pictures = self.draw(self.warp(features, driving))
        return to_levels(pictures), pictures.amax(dim=(1, 2, 3)).float().cpu().numpy()

    def tune(self) -> None:  # noqa: B027 (optional hook)
        """See Engine.tune."""

    def details(self) -> dict[str, str]:
        """Further information for `animate doctor`."""
        return {}


def place_networks(
    networks: Mapping[str, nn.Module], names: tuple[str, ...], device: torch.device
) -> dict[str, nn.Module]:
    """Networks for inference, moved to a device.

    Args:
        networks: Network name (liveportrait.networks.NAMES) -> module with its weights; modules are moved, not copied.
        names: The required ones.
        device: Target device.

    Raises:
        ModelError: One is missing.
    """
    if missing := [name for name in names if name not in networks]:
        raise ModelError(f"The torch engine needs the network {missing[0]}.")
    return {name: networks[name].eval().requires_grad_(False).to(device) for name in names}


def plain_pair(networks: Mapping[str, nn.Module], engine: str) -> tuple[WarpingNetwork, SPADEGenerator]:
    """W and G for an engine that rewrites them.

    Raises:
        ModelError: They aren't the original ones.
    """
    from liveportrait.networks.generator import SPADEGenerator
    from liveportrait.networks.warping import WarpingNetwork

    warping, generator = networks["warping_module"], networks["spade_generator"]
    if not isinstance(warping, WarpingNetwork) or not isinstance(generator, SPADEGenerator):
        raise ModelError(
            f"The {engine} engine expects a WarpingNetwork and a SPADEGenerator, not "
            f"{type(warping).__name__} and {type(generator).__name__}."
        )
    return warping, generator


def checkpoint_files(weights: Path | None, variant: Variant) -> dict[str, Path]:
    """Network name -> file, in a folder or among the installed models.

    Args:
        weights: Folder (liveportrait.networks.loading.find_checkpoints); None uses the installed ones.
        variant: "human" or "animals".

    Raises:
        ModelError: A file is missing.
    """
    from liveportrait.networks.loading import find_checkpoints

    if weights is not None:
        return find_checkpoints(weights, variant)
    from models.weights import find_model

    *base, shared = find_model(f"liveportrait/{variant}")
    return {path.stem: path for path in base} | dict.fromkeys(("stitching", "eye", "lip"), shared)


def plain_networks(files: Mapping[str, Path]) -> dict[str, nn.Module]:
    """The official networks, with spectral norms divided out.

    Args:
        files: From checkpoint_files.

    Raises:
        ModelError: A file doesn't contain the network of its name.
    """
    from liveportrait.networks.generator import fold_spectral_norm
    from liveportrait.networks.loading import load_networks

    networks = load_networks(files, convert=True)
    fold_spectral_norm(networks["spade_generator"])
    return networks


def mirror_case(
    image: Tensor, appearance: Callable[[Tensor], Tensor], motion: Callable[[Tensor], Mapping[str, Tensor]]
) -> tuple[SourceFeatures, Tensor]:
    """F and M of an image, and the keypoints of its mirror image; all float32."""
    pair = motion(image), motion(image.flip(-1))
    source, driving = (heads["scale"][..., None] * heads["kp"].reshape(1, KEYPOINTS, 3) for heads in pair)
    return SourceFeatures(appearance(image).float(), source.float()), driving.float()


def sample_picture() -> Image:
    """(256, 256, 3) head-like ellipse on a gradient; not symmetric, so that its mirror image has another pose."""
    y, x = np.mgrid[-1.0 : 1.0 : INPUT_SIZE * 1j, -1.0 : 1.0 : INPUT_SIZE * 1j]
    head = 1.0 / (1.0 + np.exp(20.0 * ((x - 0.1) ** 2 / 0.3 + (y + 0.05) ** 2 / 0.5 - 1.0)))
    channels = [0.3 + 0.1 * x + 0.4 * head, 0.35 + 0.1 * y + 0.25 * head, 0.4 - 0.1 * x + 0.15 * head]
    return np.clip(255.0 * np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def to_tensor(rgb: Image, device: torch.device) -> Tensor:
    """(256, 256, 3) uint8 -> (1, 3, 256, 256) float32 in 0..1."""
    import torch

    return torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy()).to(device).float() / 255.0


def to_levels(pictures: Tensor) -> Image:
    """(B, 3, H, W) in 0..1 -> (B, H, W, 3) uint8, truncated to integer levels, as in the official release."""
    import torch

    levels = (pictures.clamp(0.0, 1.0) * 255.0).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
