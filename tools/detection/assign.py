"""Assigns cells to faces for training: SimOTA (Ge et al., "YOLOX", 2021, section 2.2; also used by YuNet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from detection.losses import pairwise_iou

RADIUS: Final = 2.5
"""Cells within this many strides of a face's centre, along both axes, may be assigned to it."""
CANDIDATES: Final = 10
"""Best overlaps whose sum is the number of cells that a face gets."""
IOU_WEIGHT: Final = 3.0
FAR: Final = 1e5
"""Added cost of cells that are not both inside the face's box and near its centre."""


@dataclass(frozen=True)
class Assignment:
    """Result for one image.

    Attributes:
        cells: (P,) indices of the cells that are assigned to a face.
        faces: (P,) the face of each.
        ious: (P,) overlap of the cell's current box with it.
        ignored: (A,) whether the cell lies on an ignored face.
    """

    cells: Tensor
    faces: Tensor
    ious: Tensor
    ignored: Tensor


@torch.no_grad()
def sim_ota(
    scores: Tensor, boxes: Tensor, priors: Tensor, strides: Tensor, faces: Tensor, ignore: Tensor
) -> Assignment:
    """Assign cells to faces by the cost of score and overlap.

    Args:
        scores: (A,) logits.
        boxes: (A, 4) decoded boxes.
        priors: (A, 2) centres of the cells.
        strides: (A,).
        faces: (G, 4) true boxes.
        ignore: (G,) faces that are neither learnt nor counted as errors.

    Returns:
        Cells, each with one face; every face with a candidate cell gets at least one, unless others win it.
    """
    near, inside = _candidates(priors, strides, faces)
    ignored = (inside & ignore[:, None]).any(dim=0) if len(faces) else torch.zeros_like(scores, dtype=torch.bool)
    chosen = (~ignore).nonzero().squeeze(1)
    empty = torch.zeros(0, dtype=torch.long, device=scores.device)
    if not len(chosen):
        return Assignment(empty, empty, scores[:0], ignored)
    near, inside, faces = near[chosen], inside[chosen], faces[chosen]
    cells = (near | inside).any(dim=0).nonzero().squeeze(1)
    if not len(cells):
        return Assignment(empty, empty, scores[:0], ignored)
    ious = pairwise_iou(faces, boxes[cells])
    score_cost = functional.binary_cross_entropy(
        scores[cells].float().sigmoid().sqrt(), torch.ones_like(scores[cells]), reduction="none"
    )
    both = (near & inside)[:, cells]
    cost = score_cost[None] - IOU_WEIGHT * torch.log(ious + 1e-8) + FAR * (~both)
    counts = ious.topk(min(CANDIDATES, len(cells)), dim=1).values.sum(dim=1).int().clamp(min=1)
    matching = torch.zeros_like(cost, dtype=torch.bool)
    for face in range(len(faces)):
        matching[face, cost[face].topk(int(counts[face]), largest=False).indices] = True
    # A cell claimed by several faces goes to the one with the lowest cost.
    contested = matching.sum(dim=0) > 1
    if contested.any():
        best = cost[:, contested].argmin(dim=0)
        matching[:, contested] = False
        matching[best, contested.nonzero().squeeze(1)] = True
    which, place = matching.nonzero(as_tuple=True)
    return Assignment(cells[place], chosen[which], ious[which, place].clamp(0, 1), ignored)


def _candidates(priors: Tensor, strides: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """(G, A) whether each cell is near the centre of each face, and whether it is inside its box."""
    x, y = priors[None, :, 0], priors[None, :, 1]
    inside = (x > faces[:, None, 0]) & (x < faces[:, None, 2]) & (y > faces[:, None, 1]) & (y < faces[:, None, 3])
    centres = (faces[:, :2] + faces[:, 2:]) / 2
    away = (priors[None] - centres[:, None]).abs().amax(dim=2)
    return away < RADIUS * strides[None], inside
