"""Classes of face parsing, and the label orders of the data sets and networks that people have.

"Left" and "right" are sides of the picture. A network with N outputs knows the first N classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

CLASSES: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth",
    "lip_lower", "hair", "neck", "clothes", "occluder", "ear_left", "ear_right", "glasses", "hat", "earring",
    "necklace",
)  # fmt: skip
"""Names by label; "mouth" is its inside, "occluder" whatever lies before the face, such as a hand or a microphone."""
BASIC: Final = 14
"""Classes that a parser has at the least; ears count as skin there, and what is worn as what it lies on."""
COUNT: Final = len(CLASSES)
IGNORED: Final = 255
"""Label of pixels that count neither in training nor in scores."""
FOLDED: Final = {
    "ear_left": "skin", "ear_right": "skin", "glasses": "skin", "hat": "hair", "earring": "skin", "necklace": "neck",
}  # fmt: skip
"""Class that stands for one that a parser with fewer outputs does not know."""
SIDES: Final = tuple((name, name.replace("left", "right")) for name in CLASSES if name.endswith("_left"))

BISENET: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "glasses", "ear_left", "ear_right",
    "earring", "nose", "mouth", "lip_upper", "lip_lower", "neck", "necklace", "clothes", "hair", "hat",
)  # fmt: skip
"""Label order of the widespread BiSeNet parsers."""
CELEBAMASK: Final = (
    "background", "skin", "nose", "glasses", "eye_left", "eye_right", "brow_left", "brow_right", "ear_left",
    "ear_right", "mouth", "lip_upper", "lip_lower", "hair", "hat", "earring", "necklace", "neck", "clothes",
)  # fmt: skip
"""CelebAMask-HQ's own label order."""
LAPA: Final = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth",
    "lip_lower", "hair",
)  # fmt: skip
"""LaPa's label order."""
ORDERS: Final = {"own": CLASSES, "bisenet": BISENET, "celebamask": CELEBAMASK, "lapa": LAPA}
CELEBAMASK_FILES: Final = {
    "skin": "skin", "nose": "nose", "eye_g": "glasses", "l_eye": "eye_left", "r_eye": "eye_right",
    "l_brow": "brow_left", "r_brow": "brow_right", "l_ear": "ear_left", "r_ear": "ear_right", "mouth": "mouth",
    "u_lip": "lip_upper", "l_lip": "lip_lower", "hair": "hair", "hat": "hat", "ear_r": "earring",
    "neck_l": "necklace", "neck": "neck", "cloth": "clothes",
}  # fmt: skip
"""Part in the name of a CelebAMask-HQ mask file ("00000_l_brow.png") to class; later ones are painted over earlier."""


def index(name: str) -> int:
    """Label of a class.

    Raises:
        ValueError: There is no such class.
    """
    if name not in CLASSES:
        raise ValueError(f"There is no parsing class {name!r}; known are {', '.join(CLASSES)}.")
    return CLASSES.index(name)


def fold(name: str, count: int) -> str:
    """The class that stands for this one in a parser of so many outputs."""
    return name if index(name) < count else FOLDED[name]


def lookup(order: Sequence[str], count: int = COUNT) -> Labels:
    """Table from labels of an order to ours.

    Args:
        order: Class names in the order of their labels.
        count: Classes that are told apart; the others are folded into those (FOLDED).

    Returns:
        (256,) uint8; labels that the order has not become IGNORED.
    """
    table = np.full(256, IGNORED, np.uint8)
    for label, name in enumerate(order):
        table[label] = index(fold(name, count))
    return table


def translate(labels: Labels, order: Sequence[str], count: int = COUNT) -> Labels:
    """Labels of another order as ours, sides set right.

    Whether "left" is the person's or the picture's differs between data sets, so each pair is ordered by where it lies.

    Args:
        labels: (H, W) uint8.
        order: Class names in the order of their labels, such as CELEBAMASK.
        count: See lookup.
    """
    return sides_by_place(lookup(order, count)[labels])


def sides_by_place(labels: Labels) -> Labels:
    """Labels (H, W) with each left/right pair named by its place in an upright picture."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in SIDES:
        a, b = index(left), index(right)
        x_a, x_b = np.nonzero(labels == a)[1], np.nonzero(labels == b)[1]
        if len(x_a) and len(x_b) and x_a.mean() > x_b.mean():
            table[a], table[b] = b, a
    return table[labels]


def mirrored(labels: Labels) -> Labels:
    """Labels (H, W) of the mirrored picture: left and right parts change names."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in SIDES:
        table[index(left)], table[index(right)] = index(right), index(left)
    return np.ascontiguousarray(table[labels[:, ::-1]])
