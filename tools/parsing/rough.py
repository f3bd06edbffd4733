"""Parsing without a network: mesh polygons for the face; person matte, position and colour for the rest.

This is the baseline for trained parsers, and the teacher that labels images for them.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from models.matte import guided_coefficients
from models.parsing.classes import Labels, index
from models.parsing.polygons import Colours, FaceFrame, Float, Image, Map, feature_labels


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
