"""Losses of a detector: quality focal loss or cross-entropy, EIoU or DIoU, smooth L1 on the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-7


def quality_focal_loss(logits: Tensor, targets: Tensor, beta: float = 2.0) -> Tensor:
    """|target - sigmoid|^beta times cross-entropy (Li et al., "Generalized Focal Loss", 2020, eq. 2).

    Args:
        logits: Any shape.
        targets: Same shape, 0..1: overlap of the box where a face is, else 0.
        beta: How fast the weight of easy cells decreases.

    Returns:
        Same shape.
    """
    away = (targets - logits.sigmoid()).abs()
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * away**beta


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N,) intersection over union of (N, 4) with (N, 4) boxes."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1)
    return shared / (areas - shared + EPS)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) intersection over union of (N, 4) with (M, 4) boxes."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1)[:, None] + (b[:, 2:] - b[:, :2]).prod(dim=1)[None]
    return shared / (areas - shared + EPS)


def _hull_and_shift(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2) width and height of the smallest box around each pair, and the vector between the centres."""
    hull = torch.maximum(boxes[:, 2:], targets[:, 2:]) - torch.minimum(boxes[:, :2], targets[:, :2])
    shift = (boxes[:, :2] + boxes[:, 2:] - targets[:, :2] - targets[:, 2:]) / 2
    return hull, shift


def diou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - IoU + squared distance of the centres over the hull's squared diagonal (Zheng et al., 2020, eq. 7).

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        targets: (N, 4).

    Returns:
        (N,) 0 for equal boxes, below 2.
    """
    hull, shift = _hull_and_shift(boxes, targets)
    return 1 - paired_iou(boxes, targets) + shift.square().sum(dim=1) / (hull.square().sum(dim=1) + EPS)


def eiou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """DIoU plus the squared differences of width and height over those of the hull (Zhang et al., 2022, eq. 9).

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        targets: (N, 4).

    Returns:
        (N,) 0 for equal boxes, below 4.
    """
    hull, shift = _hull_and_shift(boxes, targets)
    sides = (boxes[:, 2:] - boxes[:, :2]) - (targets[:, 2:] - targets[:, :2])
    return (
        1 - paired_iou(boxes, targets) + shift.square().sum(dim=1) / (hull.square().sum(dim=1) + EPS)
        + (sides.square() / (hull.square() + EPS)).sum(dim=1)
    )  # fmt: skip


@dataclass(frozen=True)
class LossConfig:
    """Which losses, and their weights.

    Attributes:
        score: "qfl" or "bce", both with the overlap as target.
        box: "eiou" or "diou".
        score_weight: Weight of the score loss.
        box_weight: Weight of the box loss; SCRFD uses 2 (DIoU), YuNet 5 (EIoU).
        points_weight: Weight of the points loss. The published 0.1 applies to sums over ten values.
        beta: Difference at which the smooth L1 of the points, in strides over the face's size in strides, becomes
            linear.
    """

    score: Literal["qfl", "bce"] = "qfl"
    box: Literal["eiou", "diou"] = "eiou"
    score_weight: float = 1.0
    box_weight: float = 2.0
    points_weight: float = 1.0
    beta: float = 1.0 / 9.0


@dataclass(frozen=True)
class Targets:
    """True faces of one image as tensors, in pixels of the network's input.

    Attributes:
        boxes: (G, 4).
        points: (G, 5, 2), NaN where not marked.
        ignore: (G,) bool.
    """

    boxes: Tensor
    points: Tensor
    ignore: Tensor


class DetectionLoss(nn.Module):
    """Assigns cells and adds up the losses of a batch.

    Args:
        config: Which losses.
    """

    def __init__(self, config: LossConfig | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()

    def forward(
        self, outputs: tuple[Tensor, Tensor, Tensor], priors: Tensor, strides: Tensor, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """Losses, each already weighted and divided by the number of cells with a face.

        Args:
            outputs: Raw (N, A) scores, (N, A, 4) boxes, (N, A, 10) points.
            priors: (A, 2).
            strides: (A,).
            targets: One per image.

        Returns:
            "loss" and its parts "score", "box" and "points".
        """
        from detection.assign import sim_ota
        from models.detection.network import decode

        config = self.config
        logits = outputs[0].float()
        boxes, points = decode(outputs[1].float(), outputs[2].float(), priors, strides)
        quality, weight = torch.zeros_like(logits), torch.ones_like(logits)
        pictures, cells, true_boxes, true_points = [], [], [], []
        for index, target in enumerate(targets):
            found = sim_ota(logits[index].detach(), boxes[index].detach(), priors, strides, target.boxes, target.ignore)
            weight[index, found.ignored] = 0.0
            weight[index, found.cells] = 1.0
            quality[index, found.cells] = found.ious
            pictures.append(torch.full_like(found.cells, index))
            cells.append(found.cells)
            true_boxes.append(target.boxes[found.faces])
            true_points.append(target.points[found.faces])
        at = (torch.cat(pictures), torch.cat(cells))
        wanted, marked = torch.cat(true_boxes), torch.cat(true_points)
        count = max(len(wanted), 1)
        if config.score == "qfl":
            score = quality_focal_loss(logits, quality)
        else:
            score = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
        box_loss = eiou_loss if config.box == "eiou" else diou_loss
        losses = {
            "score": config.score_weight * (score * weight).sum() / count,
            "box": config.box_weight * box_loss(boxes[at], wanted).sum() / count,
            "points": config.points_weight * points_loss(points[at], marked, wanted, config.beta),
        }
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def points_loss(points: Tensor, targets: Tensor, boxes: Tensor, beta: float = 1.0 / 9.0) -> Tensor:
    """Smooth L1 of points in units of a quarter of the face's size, so that small and large faces count equally.

    Args:
        points: (P, 5, 2) in pixels.
        targets: (P, 5, 2), NaN where not marked.
        boxes: (P, 4) true boxes.
        beta: Difference at which it becomes linear.

    Returns:
        Mean over the marked points; 0 if there is none.
    """
    marked = targets.isfinite().all(dim=2)
    unit = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).clamp(min=1.0).sqrt()[:, None, None] / 4
    clean = torch.where(marked[..., None], targets, points.detach())
    away = functional.smooth_l1_loss(points / unit, clean / unit, beta=beta, reduction="none").sum(dim=2)
    return (away * marked).sum() / marked.sum().clamp(min=1)
