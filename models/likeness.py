"""Where a picture without a human face shows something like one: a pet, a doll, a drawing.

The detectors see faces in them too; it is the mesh that can't read these. What they saw is of use as a first guess.
"""

from __future__ import annotations

import math
from typing import Final

from models.detectors import BlazeFace, Detection, Image, Kind
from models.search import full_search

TILT_COST: Final = 0.3
"""Score that a likeness upside down loses: windows are searched turned too, and drawings look like faces either way."""
LEAST: Final = 0.65
"""Score from which on it is of use: a drawn dog, a line drawing and a drawn girl got 0.84 to 0.87, each with the eyes
where they are; a cat's photo got 0.62, with an eye on an ear."""
DETECTORS: Final[tuple[Kind, ...]] = ("full", "short")


def find_likeness(rgb: Image, threads: int = 1) -> Detection | None:
    """What looks most like an upright face, or None.

    Args:
        rgb: (H, W, 3) uint8.
        threads: Threads a session.
    """
    detectors = {"full": BlazeFace("full", threads), "short": BlazeFace("short", threads)}
    seen = (one for step in full_search(rgb, DETECTORS) for one in detectors[step.detector](rgb, step.window))
    best = max(seen, key=_worth, default=None)
    return best if best is not None and best.score >= LEAST else None


def _worth(one: Detection) -> float:
    across = one.points[1] - one.points[0]
    return one.score - TILT_COST * abs(math.atan2(float(across[1]), float(across[0]))) / math.pi
