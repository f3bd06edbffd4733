"""Classes of face parsing, and the label orders of common networks.

"Left" and "right" are sides of the image. A network with N outputs has the first N classes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

CLASSES: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth",
    "lip_lower", "hair", "neck", "clothes", "occluder", "ear_left", "ear_right", "glasses", "hat", "earring",
    "necklace",
)  # fmt: skip
"""Names by label; "mouth" is its inside, "occluder" anything in front of the face, such as a hand or a microphone."""
BASIC: Final = 14
"""Classes of every parser; without further classes, ears count as skin, and worn things as what they cover."""
COUNT: Final = len(CLASSES)
IGNORED: Final = 255
"""Label of pixels that are excluded from training and scores."""
FOLDED: Final = {
    "ear_left": "skin", "ear_right": "skin", "glasses": "skin", "hat": "hair", "earring": "skin", "necklace": "neck",
}  # fmt: skip
"""Replacement for a class that a parser with fewer outputs does not have."""

BISENET: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "glasses", "ear_left", "ear_right",
    "earring", "nose", "mouth", "lip_upper", "lip_lower", "neck", "necklace", "clothes", "hair", "hat",
)  # fmt: skip
"""Label order of the widespread BiSeNet parsers."""
LAPA: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth",
    "lip_lower", "hair",
)  # fmt: skip
"""LaPa's label order."""


def index(name: str) -> int:
    """Label of a class.

    Raises:
        ValueError: There is no such class.
    """
    if name not in CLASSES:
        raise ValueError(f"There is no parsing class {name!r}; known are {', '.join(CLASSES)}.")
    return CLASSES.index(name)


def fold(name: str, count: int) -> str:
    """The class that replaces this one in a parser with ``count`` outputs."""
    return name if index(name) < count else FOLDED[name]
