"""Losses of face parsing: cross-entropy of the hard pixels, Dice for thin parts, extra weight on boundaries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.parsing.classes import IGNORED


@dataclass(frozen=True)
class LossWeights:
    """Parameters of the losses.

    Attributes:
        keep: Probability of the true class above which a pixel is too easy to count.
        least: Least share of the pixels that always counts.
        boundary: Extra weight of pixels at a boundary between classes.
        reach: Largest distance from a boundary, in pixels.
        dice: Weight of the Dice loss.
        auxiliary: Weight of each auxiliary head.
    """

    keep: float = 0.7
    least: float = 1 / 16
    boundary: float = 1.0
    reach: int = 3
    dice: float = 1.0
    auxiliary: float = 0.4


def boundaries(labels: Tensor, reach: int) -> Tensor:
    """(N, H, W) bool: pixels with another class within reach. Ignored pixels are not a boundary."""
    values = labels.float()[:, None]
    known = labels != IGNORED
    high = torch.where(known[:, None], values, torch.full_like(values, -1.0))
    size = 2 * reach + 1
    highest = functional.max_pool2d(high, size, 1, reach)
    lowest = -functional.max_pool2d(-torch.where(known[:, None], values, torch.full_like(values, 1e4)), size, 1, reach)
    return ((highest != lowest) & known[:, None])[:, 0]


def ohem_cross_entropy(
    logits: Tensor, labels: Tensor, weights: LossWeights | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy over the hard pixels (online hard example mining).

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) integers, IGNORED where unknown.
        weights: keep, least, boundary and reach are used.
        class_weights: (C,) or None.

    Returns:
        Scalar: the weighted mean over pixels whose true class has a probability below keep; at least the hardest share
        ``least`` of all known pixels.
    """
    w = weights or LossWeights()
    target = labels.long()
    known = target != IGNORED
    losses = functional.cross_entropy(logits, target, reduction="none", ignore_index=IGNORED)
    hard = losses.detach()[known]
    if hard.numel() == 0:
        return logits.sum() * 0
    count = max(int(w.least * hard.numel()), 1)
    limit = torch.topk(hard, count).values[-1]
    bar = torch.minimum(limit, -torch.log(hard.new_tensor(w.keep)))
    scale = 1 + w.boundary * boundaries(labels, w.reach).to(losses.dtype)
    if class_weights is not None:
        scale = scale * class_weights.to(losses)[torch.where(known, target, torch.zeros_like(target))]
    scale = scale * (known & (losses.detach() >= bar)).to(losses.dtype)
    return (losses * scale).sum() / scale.sum().clamp(min=1e-6)


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss, mean over the classes present in the labels; 0 is perfect, 1 is worst.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) integers, IGNORED where unknown.
    """
    known = (labels != IGNORED)[:, None]
    classes = logits.shape[1]
    safe = torch.where(known[:, 0], labels, torch.zeros_like(labels)).long()
    truth = functional.one_hot(safe, classes).permute(0, 3, 1, 2).to(logits.dtype) * known
    found = logits.softmax(dim=1) * known
    both = (truth * found).sum(dim=(0, 2, 3))
    total = truth.sum(dim=(0, 2, 3)) + found.sum(dim=(0, 2, 3))
    there = truth.sum(dim=(0, 2, 3)) > 0
    scores = 1 - 2 * both / total.clamp(min=1e-6)
    return scores[there].mean() if bool(there.any()) else logits.sum() * 0


def parsing_loss(
    outputs: list[Tensor], labels: Tensor, weights: LossWeights | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Loss of a parser and its auxiliary heads.

    Args:
        outputs: Logits at any size, the parser's own first; they are resized to the labels.
        labels: (N, H, W).
        weights: See LossWeights.
        class_weights: (C,) for the cross-entropy, or None.
    """
    w = weights or LossWeights()
    total = outputs[0].new_zeros(())
    for place, logits in enumerate(outputs):
        full = functional.interpolate(logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False)
        loss = ohem_cross_entropy(full, labels, w, class_weights)
        if place == 0:
            total = total + loss + (w.dice * dice(full, labels) if w.dice else 0)
        else:
            total = total + w.auxiliary * loss
    return total
