"""Training step and evaluation of a detector, for training.trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from detection.evaluate import Found, score_detector
from detection.labels import Labels
from detection.losses import DetectionLoss, LossConfig, Targets
from models.detection.geometry import blend, prior_points
from models.detection.network import decode, normalise

Image = npt.NDArray[np.uint8]
Pick = Callable[[int, np.random.Generator], tuple[Image, Labels]]
"""(side, generator) -> a training image of that side and its labels."""
LOWEST: Final = 0.02
"""Score from which boxes count for the average precision."""
PANELS: Final = (
    ("log loss", ("loss", "score", "box", "points")),
    ("average precision, recall, precision", ("val_ap", "val_recall", "val_precision")),
)


@dataclass(frozen=True)
class Batch:
    """Images of one size and their faces."""

    images: Tensor
    targets: list[Targets]


class Batches:
    """Batch of a step: the same for the same seed and step.

    Args:
        pick: Makes one image.
        count: Images per batch.
        sizes: Sides of the images, one per step in turn.
        seed: Random seed.
        device: Device of the tensors.
    """

    def __init__(self, pick: Pick, count: int, sizes: Sequence[int], seed: int = 0, device: str = "cpu") -> None:
        self._pick, self._count, self._sizes = pick, count, tuple(sizes)
        self._seed, self._device = seed, device

    def __call__(self, step: int) -> Batch:
        """Images and faces of a step."""
        side = self._sizes[step % len(self._sizes)]
        pairs = [self._pick(side, np.random.default_rng((self._seed, step, i))) for i in range(self._count)]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])).to(self._device)
        return Batch(images, [as_targets(labels, self._device) for _, labels in pairs])


def as_targets(labels: Labels, device: str = "cpu") -> Targets:
    """Labels as tensors."""
    return Targets(
        torch.from_numpy(labels.boxes).to(device), torch.from_numpy(labels.points).to(device),
        torch.from_numpy(labels.ignore).to(device),
    )  # fmt: skip


@lru_cache(maxsize=16)
def _priors(height: int, width: int, device: str) -> tuple[Tensor, Tensor]:
    points, strides = prior_points(height, width)
    return torch.from_numpy(points).to(device), torch.from_numpy(strides).to(device)


class Learner:
    """The loss of a batch.

    Args:
        config: Which losses.
    """

    def __init__(self, config: LossConfig | None = None) -> None:
        self._loss = DetectionLoss(config)

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; "loss" is their sum."""
        height, width = batch.images.shape[1:3]
        priors, strides = _priors(height, width, str(batch.images.device))
        outputs = network(normalise(batch.images).contiguous(memory_format=torch.channels_last))
        return cast("dict[str, Tensor]", self._loss(outputs, priors, strides, batch.targets))


@torch.inference_mode()
def find(network: nn.Module, image: Image, lowest: float = LOWEST, device: str = "cpu") -> Found:
    """Faces that a network in evaluation mode finds in one image.

    Args:
        network: A FaceDetector.
        image: (H, W, 3) uint8; padded on the right and at the bottom to multiples of 32.
        lowest: Least score.
        device: Device of the network.

    Returns:
        Boxes and points in corner-based pixels, best first.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % 32), (0, -width % 32), (0, 0)))
    x = normalise(torch.from_numpy(padded[None]).to(device)).contiguous(memory_format=torch.channels_last)
    scores, boxes, points = network(x)
    priors, strides = _priors(*padded.shape[:2], device)
    corners, five = decode(boxes[0], points[0], priors, strides)
    scores = scores[0].sigmoid()
    keep = scores >= lowest
    kept = [value[keep].float().cpu().numpy() for value in (corners, five, scores)]
    return Found(*blend(kept[0], kept[1], kept[2]))


def evaluator(
    pictures: Sequence[tuple[Image, Labels]], threshold: float = 0.5, device: str = "cpu"
) -> Callable[[nn.Module], dict[str, float]]:
    """Function: network -> its scores on these images.

    Args:
        pictures: Images with their labels.
        threshold: Score from which a box counts for recall and precision.
        device: Device of the network.
    """

    def evaluate(network: nn.Module) -> dict[str, float]:
        found = [find(network, image, device=device) for image, _ in pictures]
        scores = score_detector(found, [labels for _, labels in pictures], threshold)
        return {"ap": scores.ap, "recall": scores.recall, "precision": scores.precision, "points": scores.points}

    return evaluate
