"""Finds something like a face in an image without a human face: a pet, a doll, a drawing.

The detectors find such faces too; only the mesh can't read them. Their result serves as a first guess.
"""

from __future__ import annotations

import math
from typing import Final

from models.detectors import BlazeFace, Detection, Image, Kind
from models.search import full_search

TILT_COST: Final = 0.3
"""Penalty for an upside-down likeness: windows are also searched rotated, and drawings look like faces either way."""
LEAST: Final = 0.65
"""Least useful score: a drawn dog, a line drawing and a drawn girl scored 0.84 to 0.87, each with the eyes in the right
position; a cat's photo 0.62, with an eye on an ear."""
DETECTORS: Final[tuple[Kind, ...]] = ("full", "short")


def find_likeness(rgb: Image, threads: int = 1) -> Detection | None:
    """The detection most like an upright face, or None.

    Args:
        rgb: (H, W, 3) uint8.
        threads: Threads per session.
    """
    detectors = {"full": BlazeFace("full", threads), "short": BlazeFace("short", threads)}
    seen = (one for step in full_search(rgb, DETECTORS) for one in detectors[step.detector](rgb, step.window))
    best = max(seen, key=_score, default=None)
    return best if best is not None and best.score >= LEAST else None


def _score(one: Detection) -> float:
    across = one.points[1] - one.points[0]
    return one.score - TILT_COST * abs(math.atan2(float(across[1]), float(across[0]))) / math.pi
