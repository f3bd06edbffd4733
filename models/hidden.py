"""Heads that a detector sees and the mesh can't read, such as one half behind another: where they are, roughly.

They aren't animated, but their pixels must not move with the face beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from models.detectors import Detection, iou
from models.face import Face

SEEN: Final = 0.6
"""Least score. Measured: 16 of 24 heads of which about a half is hidden have more; none on 200 portraits of one."""
APART: Final = 0.4
"""Least distance from the middle of a known face, in sizes of the larger one."""
SHARED: Final = 0.35
"""Most shared area of two boxes, over that of both together, that are two heads."""
ALIKE: Final = (0.4, 2.5)
"""Sizes, over that of the nearest known face, of a head that can be beside it."""


def hidden_heads(detections: Iterable[Detection], known: Sequence[Face]) -> list[Face]:
    """Heads besides the known ones.

    Args:
        detections: What detectors see in a picture.
        known: Faces of that picture; without any there is none beside them.

    Returns:
        Faces of the shape of the first known one, moved to where the detector sees eyes and mouth; score is its own.
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
    """A face with its eyes and mouth where a detection has them."""
    own, there = np.concatenate([like.eye_centers, like.lip_center[None]]), detection.points[[0, 1, 3]]
    middle, place = own.mean(axis=0), there.mean(axis=0)
    x, y = ((points - mean) @ (1, 1j) for points, mean in ((own, middle), (there, place)))
    turn = complex(np.vdot(x, y)) / max(float(np.vdot(x, x).real), 1e-9)  # least squares, as a complex factor
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return Face(like.transformed(np.column_stack([matrix, place - matrix @ middle])).points, detection.score)
