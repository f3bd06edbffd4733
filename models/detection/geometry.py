"""Priors, decoding, suppression and blending of a detector's outputs, in NumPy for the app."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.detectors import iou

Array = npt.NDArray[np.float32]
STRIDES: Final = (8, 16, 32)
LARGEST_LOG: Final = 8.0
"""Sizes are limited to exp(8) strides, so that extreme outputs of untrained weights stay finite."""
OVERLAP: Final = 0.4


def prior_points(height: int, width: int) -> tuple[Array, Array]:
    """Centres of all cells, stride by stride, row by row.

    Args:
        height: Height of the network's input, a multiple of 32.
        width: Its width, likewise.

    Returns:
        (A, 2) x, y in corner-based pixels, and (A,) strides.

    Raises:
        ValueError: A side is not a multiple of 32.
    """
    if height % STRIDES[-1] or width % STRIDES[-1] or min(height, width) <= 0:
        raise ValueError(f"The detector's input is {width}x{height}; both sides must be multiples of {STRIDES[-1]}.")
    points, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        points.append((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(x.size, stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(boxes: Array, points: Array, priors: Array, strides: Array) -> tuple[Array, Array]:
    """Convert raw outputs to pixels.

    Args:
        boxes: (..., A, 4) offset of the centre from the prior in strides, logarithm of width and height in strides.
        points: (..., A, 10) offsets of five points from the prior in strides.
        priors: (A, 2), see prior_points.
        strides: (A,).

    Returns:
        (..., A, 4) x0, y0, x1, y1 and (..., A, 5, 2) points in corner-based pixels.
    """
    scale = strides[:, None]
    centres = boxes[..., :2] * scale + priors
    half = np.exp(np.minimum(boxes[..., 2:], LARGEST_LOG)) * scale / 2
    corners = np.concatenate([centres - half, centres + half], axis=-1)
    five = points.reshape(*points.shape[:-1], 5, 2) * scale[:, None] + priors[:, None]
    return corners.astype(np.float32), five.astype(np.float32)


def nms(boxes: Array, scores: Array, overlap: float = OVERLAP) -> npt.NDArray[np.intp]:
    """Greedily suppress boxes that overlap a better one.

    Args:
        boxes: (N, 4).
        scores: (N,).
        overlap: Intersection over union above which the worse box is dropped.

    Returns:
        Indices of the remaining boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][iou(boxes[order[0]], boxes[order[1:]]) <= overlap]
    return np.array(kept, dtype=np.intp)


def blend(boxes: Array, points: Array, scores: Array, overlap: float = OVERLAP) -> tuple[Array, Array, Array]:
    """Replace each group of overlapping boxes by its score-weighted mean, which jitters less from frame to frame.

    As in BlazeFace (Bazarevsky et al., 2019, section 3.3): groups are those of nms, the score is the best one's.

    Args:
        boxes: (N, 4).
        points: (N, P, 2).
        scores: (N,).
        overlap: Intersection over union with the best box above which a box belongs to its group.

    Returns:
        (M, 4), (M, P, 2) and (M,), best first.
    """
    order = np.argsort(-scores, kind="stable")
    out: list[tuple[Array, Array, float]] = []
    while len(order):
        same = iou(boxes[order[0]], boxes[order]) > overlap
        same[0] = True
        group = order[same]
        weight = scores[group] / max(float(scores[group].sum()), 1e-12)
        box = np.asarray(weight @ boxes[group], np.float32)
        five = np.asarray(np.tensordot(weight, points[group], 1), np.float32)
        out.append((box, five, float(scores[order[0]])))
        order = order[~same]
    if not out:
        return boxes[:0], points[:0], scores[:0]
    return (
        np.stack([o[0] for o in out]).astype(np.float32),
        np.stack([o[1] for o in out]).astype(np.float32),
        np.array([o[2] for o in out], dtype=np.float32),
    )
