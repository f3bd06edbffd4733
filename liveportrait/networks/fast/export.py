"""The networks as ONNX files: static shapes, one frame, made from the rewritten modules and kept by content.

Two forms: "native" ends in the one 5-D GridSample that ONNX Runtime's CPU and CUDA providers and TensorRT know;
"gather" has eight gathers in its place, for runtimes that sample in 4-D only. In half precision the convolutions are
float16 and everything that touches coordinates stays float32: the types are in the file, no runtime has to choose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn

from liveportrait.networks.fast.generator import FastGenerator
from liveportrait.networks.fast.kept import find_kept, keep_file
from liveportrait.networks.fast.rewrites import Rewrites
from liveportrait.networks.fast.warping import FastWarping
from liveportrait.networks.generator import SPADEGenerator
from liveportrait.networks.motion_extractor import HEADS
from liveportrait.networks.warping import WarpingNetwork
from models.export import write_onnx
from models.registry import ModelError

Sampler = Literal["native", "gather"]
INPUT_SIZE: Final = 256
VERSION: Final = 3
"""Part of every file's key; raised when the graphs change."""
WARPING_INPUTS: Final = ("feature_3d", "kp_source", "kp_driving")


@dataclass(frozen=True)
class ExportedPair:
    """Files of W and G.

    Attributes:
        warping: Inputs WARPING_INPUTS (1, 32, 16, s, s), (1, 21, 3), (1, 21, 3); output "out" (1, 256, s, s).
        generator: Input "feature" (1, 256, s, s); output "image" (1, 3, 8s, 8s) in 0..1. All inputs and outputs are
            float32.
        sampler: Form of the last sampling in W.
    """

    warping: Path
    generator: Path
    sampler: Sampler


@dataclass(frozen=True)
class ExportedReaders:
    """Files of F and M: input "image" (1, 3, 256, 256) in 0..1, float32.

    Attributes:
        appearance: Output "feature_3d" (1, 32, 16, 64, 64).
        motion: Outputs as motion_extractor.HEADS, each (1, n).
    """

    appearance: Path
    motion: Path


def export_pair(
    warping: WarpingNetwork,
    generator: SPADEGenerator,
    folder: Path,
    *,
    sampler: Sampler = "native",
    half: bool = False,
    size: int = 64,
    say: Callable[[str], None] | None = None,
) -> ExportedPair:
    """Write W and G as ONNX files, or find them where they have been written before.

    Args:
        warping: The plain module with its weights.
        generator: The plain module with its weights.
        folder: Where the files are kept; made if it isn't there.
        sampler: See the module.
        half: float16 convolutions.
        size: Height and width of the feature maps; 64 for the official weights.
        say: Told what is being written.

    Raises:
        ModelError: The packages onnx and onnxscript are missing, or the folder can't be written.
        ValueError: There is no such sampler.
    """
    if sampler not in get_args(Sampler):
        raise ValueError(f"There is no sampler '{sampler}'; choose one of {', '.join(get_args(Sampler))}.")
    kind = torch.float16 if half else torch.float32
    form = f"{'fp16' if half else 'fp32'}-{size}"
    rewrites = Rewrites(gather_sampler=sampler == "gather", depth_products=False)

    def write_warping(path: Path) -> None:
        points = torch.zeros(1, 21, 3)
        example = (torch.zeros(1, 32, 16, size, size), points, points + 0.1)
        network = _Warping(FastWarping(warping, rewrites, kind))
        write_onnx(network, example, path, inputs=WARPING_INPUTS, outputs=("out",))

    def write_generator(path: Path) -> None:
        drawer = _Generator(FastGenerator(generator, rewrites, kind))
        write_onnx(drawer, (torch.zeros(1, 256, size, size),), path, inputs=("feature",), outputs=("image",))

    return ExportedPair(
        _kept(folder, f"warping-{sampler}-{form}", warping, write_warping, say),
        _kept(folder, f"generator-{form}", generator, write_generator, say),
        sampler,
    )


def export_readers(
    appearance: nn.Module, motion: nn.Module, folder: Path, *, say: Callable[[str], None] | None = None
) -> ExportedReaders:
    """Write F and M as ONNX files in float32, or find them where they have been written before.

    Args:
        appearance: The plain module with its weights.
        motion: The plain module with its weights.
        folder: As for export_pair.
        say: As for export_pair.

    Raises:
        ModelError: As for export_pair.
    """
    image = (torch.full((1, 3, INPUT_SIZE, INPUT_SIZE), 0.5),)

    def write_appearance(path: Path) -> None:
        write_onnx(_Appearance(appearance), image, path, inputs=("image",), outputs=("feature_3d",))

    def write_motion(path: Path) -> None:
        write_onnx(_Heads(motion), image, path, inputs=("image",), outputs=tuple(HEADS))

    return ExportedReaders(
        _kept(folder, "appearance-fp32", appearance, write_appearance, say),
        _kept(folder, "motion-fp32", motion, write_motion, say),
    )


def _kept(
    folder: Path, name: str, network: nn.Module, write: Callable[[Path], None], say: Callable[[str], None] | None
) -> Path:
    """The file of a network, written now if it isn't there as it was written."""
    stem = f"{name}-{weights_key(network)}"
    found = find_kept(folder, stem, say=say)
    if found is None:
        if say is not None:
            say(f"Writing {stem}.onnx; this is done once.")
        try:
            found = keep_file(folder, stem, write)
        except OSError as error:
            raise ModelError(f"{folder} can't be written: {error.strerror or error}.") from error
    return found


def weights_key(network: nn.Module) -> str:
    """First 16 digits of the SHA-256 of a network's weights, their names and the version of the graphs."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class _Appearance(nn.Module):
    """F under a name that the exporter takes for its graph."""

    def __init__(self, appearance: nn.Module) -> None:
        super().__init__()
        self.appearance = appearance

    def forward(self, image: Tensor) -> Tensor:
        """See ExportedReaders."""
        volume: Tensor = self.appearance(image)
        return volume


class _Heads(nn.Module):
    """M with its heads as a tuple."""

    def __init__(self, motion: nn.Module) -> None:
        super().__init__()
        self.motion = motion

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See ExportedReaders."""
        heads = self.motion(image)
        return tuple(heads[name] for name in HEADS)


class _Warping(nn.Module):
    """W with one output."""

    def __init__(self, warping: nn.Module) -> None:
        super().__init__()
        self.warping = warping

    def forward(self, feature_3d: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """See ExportedPair."""
        out: Tensor = self.warping(feature_3d, kp_driving, kp_source)["out"]
        return out.float()


class _Generator(nn.Module):
    """G under a name that the exporter takes for its graph."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, feature: Tensor) -> Tensor:
        """See ExportedPair."""
        image: Tensor = self.generator(feature)
        return image
