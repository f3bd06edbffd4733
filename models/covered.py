"""Faces with one half hidden by a mask or goggles: the other half must read the same from every region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from models.detectors import Detection, iou
from models.topology import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS

Array = npt.NDArray[np.float32]
Half = Literal["", "upper", "lower"]
"""Covered half of a face; empty: none."""

UPPER: Final = tuple(
    sorted(
        {*BROW_LEFT, *BROW_RIGHT, 10, 338, 297, 67, 109, 151, 9, 8}
        | {i for eye in (EYE_LEFT, EYE_RIGHT) for i in (*eye.ring, *eye.upper_rings)}
    )
)
"""Brows, eyes and the middle of the forehead."""
LOWER: Final = tuple(sorted({*LIPS, 152, 148, 176, 149, 150, 377, 400, 378, 379, 136, 365, 17, 18, 200, 199, 175}))
"""Mouth and chin."""
HALF_SPREAD: Final = 0.024
"""Largest difference between readings of the visible half, as a share of the face. Measured: 0.008 to 0.016 under
masks and goggles; 0.032 or more in 60 false readings of turned portraits."""
COVERED_SPREAD: Final = 0.08
"""The same for the whole face."""
PRESENCE: Final = 0.95
"""Least presence score of a covered face."""
SEEN: Final = 0.5
"""Least score of the detections that must agree on a covered face."""


def covered_half(readings: Sequence[Array], points: Array, size: float) -> Half:
    """Which half of a face is covered.

    Args:
        readings: (478, 2 or 3) landmarks from slightly different regions.
        points: The same from the region itself.
        size: Size of the face in the unit of the points.

    Returns:
        The half whose readings differ while those of the other one agree; empty if neither half is certain, or both.
    """
    away = np.mean([np.linalg.norm(one[:, :2] - points[:, :2], axis=1) for one in readings], axis=0) / size
    upper, lower = float(away[list(UPPER)].mean()), float(away[list(LOWER)].mean())
    if float(away.mean()) > COVERED_SPREAD or min(upper, lower) > HALF_SPREAD or max(upper, lower) <= HALF_SPREAD:
        return ""
    return "lower" if upper < lower else "upper"


def agreed(detections: Sequence[Detection]) -> list[list[Detection]]:
    """Detections that are confirmed by another detector, or by the same one on another window.

    Returns:
        For each position, best first, the best detection of each quarter turn, the upright one first: under a mask,
        forehead and chin look alike, so a detector may find such a face in both directions.
    """
    sure = sorted((one for one in detections if one.score >= SEEN), key=lambda one: -one.score)
    places: list[list[Detection]] = []
    for one in sure:
        alike = sum(bool(iou(one.box, other.box[None])[0] > 0.5) for other in sure)
        place = next((place for place in places if iou(one.box, place[0].box[None])[0] > 0.35), None)
        if place is None and alike > 1:
            places.append([one])
        elif place is not None and turns_of(one) not in map(turns_of, place):
            place.append(one)
    return [sorted(place, key=turns_of) for place in places]


def turns_of(detection: Detection, roll: float = 0.0) -> int:
    """Number of quarter turns, 0 to 2, between a detection and a roll in radians."""
    across = detection.points[1] - detection.points[0]
    away = math.remainder(math.atan2(float(across[1]), float(across[0])) - roll, 2 * math.pi)
    return abs(round(away / (math.pi / 2)))
