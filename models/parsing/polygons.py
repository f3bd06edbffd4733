"""What covers a face, found without a network: mesh polygons, person matte, position and colour."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.parsing.classes import Labels, index
from models.topology import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, OVAL

Float = npt.NDArray[np.floating]
Map = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

NOSE: Final = (
    168, 193, 188, 174, 217, 209, 49, 129, 64, 98, 97, 2, 326, 327, 294, 358, 279, 429, 437, 399, 412, 417,
)  # fmt: skip
FEATURES: Final = {
    "nose": NOSE, "brow_left": BROW_LEFT, "brow_right": BROW_RIGHT, "eye_left": EYE_LEFT.ring,
    "eye_right": EYE_RIGHT.ring,
}  # fmt: skip
CHIN: Final = 152
TEMPLES: Final = (234, 454)
GRAIN: Final = 16.0
"""Lower limit of a colour model's variance in Lab."""


def polygon(shape: tuple[int, int], points: Float) -> npt.NDArray[np.bool_]:
    """Filled polygon (H, W) of points (N, 2) in pixels."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


class FaceFrame:
    """Positions of pixels relative to a face: upright, in face widths.

    Args:
        points: (478, 2 or 3) mesh in pixels.
        shape: Height and width of the image.

    Attributes:
        u: (H, W) to the right of the middle between the eyes.
        v: (H, W) downward from it.
        width: Face width in pixels.
        chin: v of the chin.
        brows: v of the highest point of the brows.
    """

    def __init__(self, points: Float, shape: tuple[int, int]) -> None:
        flat = points[:, :2].astype(np.float64)
        across = flat[EYE_RIGHT.outer] - flat[EYE_LEFT.outer]
        right = across / max(float(np.linalg.norm(across)), 1e-6)
        down = np.array([-right[1], right[0]])
        origin = (flat[EYE_RIGHT.outer] + flat[EYE_LEFT.outer]) / 2
        self.width = max(
            float(np.linalg.norm(flat[TEMPLES[1]] - flat[TEMPLES[0]])), 1.2 * float(np.linalg.norm(across))
        )
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        dx, dy = x - np.float32(origin[0]), y - np.float32(origin[1])
        self.u = (dx * right[0] + dy * right[1]).astype(np.float32) / np.float32(self.width)
        self.v = (dx * down[0] + dy * down[1]).astype(np.float32) / np.float32(self.width)
        self.chin = float((flat[CHIN] - origin) @ down) / self.width
        self.brows = float(((flat[[*BROW_LEFT, *BROW_RIGHT]] - origin) @ down).min()) / self.width


class Colours:
    """Gaussian colour model in Lab.

    Args:
        pixels: (N, 3) Lab values 0..255.
    """

    def __init__(self, pixels: Float) -> None:
        values = pixels.astype(np.float64)
        centre = np.median(values, axis=0)
        spread = np.median(np.abs(values - centre), axis=0) * 1.4826 + 1.0
        near = values[(np.abs(values - centre) < 2.5 * spread).all(axis=1)]
        values = near if len(near) > 8 else values
        self.mean = values.mean(axis=0)
        self.inverse = np.linalg.inv(np.cov(values.T) + GRAIN * np.eye(3))

    def distance(self, lab: Map, lightness: float = 1.0) -> Map:
        """(H, W) Mahalanobis distance of (H, W, 3); lightness < 1 reduces the effect of shadows."""
        d = (lab - self.mean.astype(np.float32)) * np.array([lightness, 1, 1], np.float32)
        return np.sqrt(np.maximum(np.einsum("hwi,ij,hwj->hw", d, self.inverse.astype(np.float32), d), 0))


def feature_labels(points: Float, shape: tuple[int, int]) -> Labels:
    """(H, W) labels given by mesh polygons only: skin, brows, eyes, nose, lips, mouth."""
    flat = points[:, :2]
    labels = np.zeros(shape, np.uint8)
    labels[polygon(shape, flat[list(OVAL)])] = index("skin")
    for name, places in FEATURES.items():
        labels[polygon(shape, flat[list(places)])] = index(name)
    upper_lip, lower_lip = _lips(flat, shape)
    labels[upper_lip] = index("lip_upper")
    labels[lower_lip] = index("lip_lower")
    labels[polygon(shape, flat[list(LIPS_INNER)])] = index("mouth")
    if np.linalg.norm(flat[13] - flat[14]) < 0.012 * np.linalg.norm(flat[234] - flat[454]):
        mouth = labels == index("mouth")  # shut: pixels left by rounding belong to the lips
        labels[mouth] = index("lip_lower")
    return labels


def _lips(flat: Float, shape: tuple[int, int]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Upper and lower lip: from the outer contour to the inner one, corner to corner."""
    half = len(LIPS_OUTER) // 2
    top, bottom = LIPS_OUTER[: half + 1], (*LIPS_OUTER[half:], LIPS_OUTER[0])
    inner = len(LIPS_INNER) // 2
    upper_inner, lower_inner = LIPS_INNER[: inner + 1], (*LIPS_INNER[inner:], LIPS_INNER[0])
    upper = polygon(shape, flat[[*top, *upper_inner[::-1]]])
    lower = polygon(shape, flat[[*bottom, *lower_inner[::-1]]])
    return upper, lower


def odd_colours(rgb: Image, points: Float, matte: Map) -> Map:
    """Things in front of a face, as far as their colour differs; hands of the face's own colour are not found.

    Args:
        rgb: (H, W, 3) uint8.
        points: (478, 2 or 3) mesh in its pixels.
        matte: (H, W) 0..1, person.

    Returns:
        (H, W) 0 or 1. Only patches of some size that lie on the face count; each is extended beyond the face as far as
        its own colours.
    """
    shape = (rgb.shape[0], rgb.shape[1])
    frame = FaceFrame(points, shape)
    labels = feature_labels(points, shape)
    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), max(frame.width / 120, 0.5)), cv2.COLOR_RGB2LAB).astype(np.float32)
    inner = (labels > 0) & (frame.v > frame.brows) & (np.abs(frame.u) < 0.42)
    plain = inner & (labels == index("skin"))
    if plain.sum() < 100:
        return np.zeros(shape, np.float32)
    skin = Colours(lab[plain])
    step = max(round(0.03 * frame.width), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1, 2 * step + 1))
    features = (labels > 0) & (labels != index("skin")) & (labels != index("nose"))
    usual = cv2.dilate(features.astype(np.uint8), disc) > 0
    odd = ((skin.distance(lab, 0.35) > ODD) & inner & ~usual).astype(np.uint8)
    odd = cv2.morphologyEx(odd, cv2.MORPH_OPEN, disc)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(odd)
    out = np.zeros(shape, np.uint8)
    for part in range(1, count):
        if stats[part, cv2.CC_STAT_AREA] < 0.03 * plain.sum():
            continue
        here = parts == part
        colours = Colours(lab[here])
        alike = ((colours.distance(lab) < 3.5) & (skin.distance(lab, 0.35) > 0.7 * ODD)) | here
        alike = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, disc) | here.astype(np.uint8)
        _, grown = cv2.connectedComponents(alike)
        out |= np.isin(grown, np.unique(grown[here])).astype(np.uint8)
    return cv2.morphologyEx(out, cv2.MORPH_CLOSE, disc).astype(np.float32)


ODD: Final = 5.0
"""Distance from the skin's colour from which a patch is taken for something else."""
