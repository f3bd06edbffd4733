"""Parsing without a network: mesh polygons for the face; person matte, position and colour for the rest.

This is the embedded default, the baseline for trained parsers, and the teacher that labels images for them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.matte import guided_coefficients
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


def rough_labels(rgb: Image, points: Float, matte: Map) -> Labels:
    """Parse a face without a network.

    Args:
        rgb: (H, W, 3) uint8.
        points: (478, 2 or 3) mesh in its pixels.
        matte: (H, W) 0..1, person.

    Returns:
        (H, W) labels of the basic classes except occluders, which polygons can't detect.
    """
    shape = rgb.shape[:2]
    frame = FaceFrame(points, (shape[0], shape[1]))
    u, v, chin = frame.u, frame.v, frame.chin
    labels = feature_labels(points, (shape[0], shape[1]))
    oval = labels > 0
    plain = labels == index("skin")
    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), max(frame.width / 150, 0.4)), cv2.COLOR_RGB2LAB).astype(np.float32)
    sure = plain & (v > frame.brows + 0.03) & (v < chin - 0.12)
    sure = cv2.erode(sure.astype(np.uint8), np.ones((3, 3))) > 0
    skin = Colours(lab[sure] if sure.sum() > 30 else lab[oval])
    d_skin = skin.distance(lab)
    person = matte > 0.5
    above = person & ~oval & (v < -0.1) & (np.abs(u) < 0.8)
    seeds = above & (d_skin > 3.0) & (v < frame.brows - 0.1)
    bald = seeds.sum() < 0.02 * oval.sum()
    hair = None if bald else Colours(lab[seeds])
    d_hair = np.full(shape, 9.0, np.float32) if hair is None else hair.distance(lab)
    # Log-likelihoods of colour and position; the largest sum wins after smoothing along the edges of the image.
    far = np.float32(6)
    skin_cost, hair_cost = np.minimum(d_skin, far), np.minimum(d_hair, far)
    head = np.maximum(np.abs(u) / 0.62, (v - chin) / 0.25)  # > 1 beyond ears and bald heads
    long = np.zeros(shape, bool)  # sides on which hair reaches down to the jaw; otherwise nothing below is hair
    alike = person & (d_hair < 3.5) & (d_hair < d_skin)
    for side in (u < 0, u >= 0):
        bands = (0.28, 0.38, 0.48, max(chin - 0.1, 0.55))
        shares = []
        for top, bottom in pairwise(bands):  # without a gap: dark shoulders are not hair
            beside = side & (np.abs(u) > 0.5) & (np.abs(u) < 0.66) & (v > top) & (v < bottom)
            shares.append(float((beside & alike).sum()) / max(float(beside.sum()), 1.0))
        long |= side & (min(shares) > 0.25)
    shoulders = np.where(long, 0, 0.9 * np.clip(np.abs(u) - 0.52, 0, 0.5))
    body = np.clip((v - (chin - 0.08) + shoulders) / 0.12, 0, 1).astype(np.float32)  # 1 from the chin downward
    ear = (np.abs(u) > 0.44) & (np.abs(u) < 0.62) & (v > -0.08) & (v < 0.42) & ~long
    skin_cost = np.where(ear, 0.6 * np.minimum(skin.distance(lab, 0.5), far), skin_cost)
    cost = {
        "background": np.where(person, np.float32(8), np.float32(0)) + 6 * matte,
        "skin": skin_cost + 6 * np.clip(head - 0.9, 0, 1) * 4 + 4 * body,
        "hair": hair_cost + 3.0 * np.clip((v - chin - 0.25) / 0.5, 0, 1) + 1.2 * body * (np.abs(u) < 0.33)
        + 8 * (body * ~long),
        "neck": np.minimum(skin.distance(lab, 0.5), far) + 8 * (1 - body)
        + 8 * np.clip((np.abs(u) - 0.36) / 0.15, 0, 1) + 8 * np.clip((v - chin - 0.30) / 0.2, 0, 1),
        "clothes": np.full(shape, 2.6, np.float32) + 8 * (1 - body)
        - 1.5 * np.clip((v - chin - 0.2) / 0.3, 0, 1) - 1.5 * body * np.clip((np.abs(u) - 0.4) / 0.2, 0, 1),
    }  # fmt: skip
    guide: Map = (rgb.astype(np.float32) / 255).astype(np.float32)
    radius = max(round(frame.width / 40), 1)
    names = list(cost)
    smooth = []
    for name in names:
        values = np.minimum(cost[name] + (0 if name == "background" else 6 * (1 - matte)), 12).astype(np.float32)
        slope, offset = guided_coefficients(guide, np.asarray(values, np.float32), radius, 2e-3)
        smooth.append((slope * guide).sum(-1) + offset)
    rest = np.array([index(name) for name in names], np.uint8)[np.argmin(smooth, axis=0)]
    out = np.where(oval, labels, rest).astype(np.uint8)
    # Hair over the oval: above the brows, and at its sides.
    rim = plain & ((v < frame.brows - 0.02) | (np.abs(u) > 0.42)) & (d_hair + 1.0 < d_skin) & (d_skin > 3.0)
    if not bald:
        out[cv2.morphologyEx(rim.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0] = index("hair")
    return _tidy(out, frame)


def with_mesh(labels: Labels, points: Float) -> Labels:
    """A parser's labels (H, W) with brows, eyes, nose and lips from the mesh wherever the parser sees a face.

    The mesh places thin parts more precisely than a small network; the network detects occlusions.
    """
    mesh = feature_labels(points, (labels.shape[0], labels.shape[1]))
    seen = (labels >= index("skin")) & (labels <= index("lip_lower"))
    out = np.where(seen, index("skin"), labels)
    return np.where(seen & (mesh > index("skin")), mesh, out).astype(np.uint8)


def _tidy(labels: Labels, frame: FaceFrame) -> Labels:
    """Replace specks of the large classes by their surroundings."""
    smallest = max(int((0.06 * frame.width) ** 2), 4)
    out = labels.copy()
    for name in ("skin", "hair", "neck", "clothes", "background"):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (labels == index(name)).astype(np.uint8), connectivity=4
        )
        specks = np.flatnonzero(stats[:count, cv2.CC_STAT_AREA] < smallest)
        out[np.isin(parts, specks[specks > 0])] = 255
    holes = out == 255
    if holes.any():
        _, nearest = cv2.distanceTransformWithLabels(
            holes.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        table = np.zeros(int(nearest.max()) + 1, np.uint8)
        table[nearest[~holes]] = out[~holes]
        out = np.where(holes, table[nearest], out)
    return np.asarray(out, np.uint8)


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
