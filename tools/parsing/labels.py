"""Labels of data sets as ours: orders, sides, mirrored images, and the square around a labelled face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.parsing.classes import CLASSES, COUNT, IGNORED, Labels, fold, index
from models.parsing.square import Square, square_around

SIDES: Final = tuple((name, name.replace("left", "right")) for name in CLASSES if name.endswith("_left"))
FACE_CLASSES: Final = (
    "skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth", "lip_lower",
)  # fmt: skip
CELEBAMASK: Final = (
    "background", "skin", "nose", "glasses", "eye_left", "eye_right", "brow_left", "brow_right", "ear_left",
    "ear_right", "mouth", "lip_upper", "lip_lower", "hair", "hat", "earring", "necklace", "neck", "clothes",
)  # fmt: skip
"""CelebAMask-HQ's own label order."""
CELEBAMASK_FILES: Final = {
    "skin": "skin", "nose": "nose", "eye_g": "glasses", "l_eye": "eye_left", "r_eye": "eye_right",
    "l_brow": "brow_left", "r_brow": "brow_right", "l_ear": "ear_left", "r_ear": "ear_right", "mouth": "mouth",
    "u_lip": "lip_upper", "l_lip": "lip_lower", "hair": "hair", "hat": "hat", "ear_r": "earring",
    "neck_l": "necklace", "neck": "neck", "cloth": "clothes",
}  # fmt: skip
"""Part in the name of a CelebAMask-HQ mask file ("00000_l_brow.png") to class; later ones overwrite earlier ones."""


def lookup(order: Sequence[str], count: int = COUNT) -> Labels:
    """Table from labels of an order to ours.

    Args:
        order: Class names in the order of their labels.
        count: Number of distinct classes; the others are merged into those (FOLDED).

    Returns:
        (256,) uint8; labels outside the order become IGNORED.
    """
    table = np.full(256, IGNORED, np.uint8)
    for label, name in enumerate(order):
        table[label] = index(fold(name, count))
    return table


def translate(labels: Labels, order: Sequence[str], count: int = COUNT) -> Labels:
    """Convert labels of another order to ours, with correct sides.

    Whether "left" is the person's or the image's differs between data sets, so each pair is ordered by position.

    Args:
        labels: (H, W) uint8.
        order: Class names in the order of their labels, such as CELEBAMASK.
        count: See lookup.
    """
    return sides_by_place(lookup(order, count)[labels])


def sides_by_place(labels: Labels) -> Labels:
    """Labels (H, W) with each left/right pair named by its position in an upright image."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in SIDES:
        a, b = index(left), index(right)
        x_a, x_b = np.nonzero(labels == a)[1], np.nonzero(labels == b)[1]
        if len(x_a) and len(x_b) and x_a.mean() > x_b.mean():
            table[a], table[b] = b, a
    return table[labels]


def mirrored(labels: Labels) -> Labels:
    """Labels (H, W) of the mirrored image: left and right parts change names."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in SIDES:
        table[index(left)], table[index(right)] = index(right), index(left)
    return np.ascontiguousarray(table[labels[:, ::-1]])


def labels_square(labels: Labels) -> Square | None:
    """The same square from labels (H, W) of an upright face; None if they show none."""
    y, x = np.nonzero(np.isin(labels, [index(name) for name in FACE_CLASSES]))
    if len(y) < 16:
        return None
    low, high = np.percentile(np.stack([x, y], 1), [0.5, 99.5], axis=0)
    return square_around(np.array([low, high], np.float64), 0.0)
