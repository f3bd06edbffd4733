"""Heads that a detector finds and the mesh can't read, such as one half behind another: their approximate positions.

They aren't animated, but their pixels must not move with the face next to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from models.detectors import Detection, iou
from models.face import Face

SEEN: Final = 0.6
"""Least score. Measured: 16 of 24 heads that are about half hidden exceed it; none in 200 portraits of one person."""
APART: Final = 0.4
"""Least distance from the middle of a known face, in sizes of the larger one."""
SHARED: Final = 0.35
"""Largest intersection over union of the boxes of two separate heads."""
ALIKE: Final = (0.4, 2.5)
"""Range of a neighbouring head's size, relative to the nearest known face."""


def hidden_heads(detections: Iterable[Detection], known: Sequence[Face]) -> list[Face]:
    """Heads besides the known ones.

    Args:
        detections: Detections in an image.
        known: Faces of that image; without any, no hidden head is reported.

    Returns:
        Faces with the shape of the first known one, moved to the detected eyes and mouth; score is the detection's.
    """
    found: list[Face] = []
    for one in sorted(detections, key=lambda one: -one.score):
        if one.score < SEEN or not known:
            break
        head = _placed(known[0], one)
        if all(_apart(head, other) for other in (*known, *found)):
            found.append(head)
    return found


def _apart(head: Face, other: Face) -> bool:
    away = float(np.linalg.norm(head.centre - other.centre))
    low, high = ALIKE
    return (
        away > APART * max(head.size, other.size)
        and float(iou(head.box, other.box[None])[0]) < SHARED
        and low < head.size / other.size < high
    )


def _placed(like: Face, detection: Detection) -> Face:
    """A face with its eyes and mouth at those of a detection."""
    own, there = np.concatenate([like.eye_centers, like.lip_center[None]]), detection.points[[0, 1, 3]]
    middle, place = own.mean(axis=0), there.mean(axis=0)
    x, y = ((points - mean) @ (1, 1j) for points, mean in ((own, middle), (there, place)))
    turn = complex(np.vdot(x, y)) / max(float(np.vdot(x, x).real), 1e-9)  # least squares, as a complex factor
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return Face(like.transformed(np.column_stack([matrix, place - matrix @ middle])).points, detection.score)
