"""LivePortrait's networks on PyTorch in their original form, on any device that torch supports.

Half precision is used if a self-test finds that it draws the same image; a frame with NaN or all black is drawn again
in full precision, and so are all later ones, with one warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveportrait.engines.liveportrait import LivePortraitEngine
from liveportrait.engines.precision import Precision, PrecisionGuard, pick_device
from liveportrait.engines.runtime import (
    BIG_NETWORKS,
    Runtime,
    SourceFeatures,
    checkpoint_files,
    mirror_case,
    place_networks,
    plain_networks,
    sample_picture,
    to_tensor,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from liveportrait.networks.loading import Variant


class TorchRuntime(Runtime):
    """The original networks on PyTorch.

    Args:
        networks: Network name (liveportrait.networks.NAMES) -> module with its weights; moved to the device, not
            copied.
        device: See pick_device.
        precision: "auto" uses half precision on CUDA and MPS and full precision on the CPU; half precision, whether
            chosen or requested, must pass the self-test.
        threads: CPU threads; 0 keeps torch's choice. The number applies to the whole process.
        batch: Frames drawn at once; 0 chooses 4 on CUDA and 1 elsewhere.

    Attributes:
        networks: The big ones of them.

    Raises:
        ModelError: torch or the device isn't available, or a network is missing.
        ValueError: The precision is unknown.
    """

    name = "torch"

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        batch: int = 0,
    ) -> None:
        where = pick_device(device)
        super().__init__(PrecisionGuard(where, precision), batch or (4 if where.type == "cuda" else 1))
        import torch

        self.networks = place_networks(networks, BIG_NETWORKS, where)
        if threads > 0:
            torch.set_num_threads(threads)

    def ready(self) -> PrecisionGuard:
        """See Runtime: tests a synthetic head in its mirror image's pose, on a GPU or for requested half precision."""
        self.guard.self_test(self._test_frame)
        return self.guard

    def appearance(self, image: Tensor) -> Tensor:
        """See Runtime."""
        volume: Tensor = self.networks["appearance_feature_extractor"](image)
        return volume.float()

    def motion(self, image: Tensor) -> dict[str, Tensor]:
        """See Runtime."""
        return {name: tensor.float() for name, tensor in self.networks["motion_extractor"](image).items()}

    def warp(self, features: SourceFeatures, driving: Tensor) -> Any:
        """See Runtime."""
        count = len(driving)
        return self.networks["warping_module"](
            feature_3d=features.volume.expand(count, -1, -1, -1, -1),
            kp_source=features.keypoints.expand(count, -1, -1),
            kp_driving=driving,
        )["out"]

    def draw(self, warped: Any) -> Tensor:
        """See Runtime."""
        pictures: Tensor = self.networks["spade_generator"](warped)
        return pictures.float()

    def _test_frame(self) -> Tensor:
        image = to_tensor(sample_picture(), self.device)
        return self.draw(self.warp(*mirror_case(image, self.appearance, self.motion)))


def load_engine(
    weights: Path | None = None,
    *,
    variant: Variant = "human",
    device: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    batch: int = 0,
) -> LivePortraitEngine:
    """The engine with the official weights.

    Args:
        weights: Their folder (liveportrait.networks.loading.find_checkpoints describes its layout); None uses the
            installed ones (models.weights).
        variant: Which weights: "human" or "animals".
        device: See TorchRuntime.
        precision: See TorchRuntime.
        threads: See TorchRuntime.
        batch: See TorchRuntime.

    Raises:
        ModelError: torch, the device or a weight file is missing, or a file doesn't contain the network of its name.
    """
    pick_device(device)
    networks = plain_networks(checkpoint_files(weights, variant))
    runtime = TorchRuntime(networks, device=device, precision=precision, threads=threads, batch=batch)
    return LivePortraitEngine(runtime, networks, animals=variant == "animals")
