"""Mouth layer: the interior that a closed mouth has never shown (cavity, tongue, teeth fixed to the skull)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.geometry import closed_curve, lip_gap, polygon_mask, smoothstep
from liveportrait.engines.mesh.layout import Layout, Pose
from models.topology import CHEEKS, LIPS_INNER, LIPS_OUTER

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MouthLayer:
    """Colours and measures of the source's mouth.

    Attributes:
        gap: Inner lip gap of the source in face widths.
        dark: (3,) colour of the depth of the mouth.
        tongue: (3,) colour.
        tooth: (3,) colour.
    """

    gap: float
    dark: Picture
    tongue: Picture
    tooth: Picture


def _rgb(lightness: float, a: float, b: float) -> Picture:
    lab = np.clip([[[lightness, a, b]]], 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], np.float32)


def prepare_mouth(image: Image, points: Float, layout: Layout) -> MouthLayer:
    """Take the colours of lips and cheeks from the source crop (S, S, 3) at points (478, 3)."""
    size = image.shape[0]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    outer = polygon_mask(size, size, closed_curve(points[list(LIPS_OUTER), :2])) > 0.5
    lips = outer & ~(polygon_mask(size, size, points[list(LIPS_INNER), :2]) > 0)
    lip = np.median(lab[lips], 0) if lips.any() else np.array([120.0, 140, 135])
    cheeks = np.clip(np.round(points[list(CHEEKS), :2]), 0, size - 1).astype(int)
    skin = np.median(lab[cheeks[:, 1], cheeks[:, 0]], 0)
    ka, kb = lip[1] - 128, lip[2] - 128
    return MouthLayer(
        gap=lip_gap(layout.canonical),
        dark=_rgb(18, 128 + 0.5 * ka, 128 + 0.4 * kb),
        tongue=_rgb(min(0.62 * lip[0], 120), 128 + 0.9 * ka, 128 + 0.7 * kb),
        tooth=_rgb(min(1.1 * skin[0], 232), 128 + 0.05 * ka + 0.15 * (skin[1] - 128), 128 + 0.45 * (skin[2] - 128)),
    )


def draw_mouth(layer: MouthLayer, out: Image, vertices: Float, layout: Layout, pose: Pose) -> None:
    """Fill the opened mouth, in place.

    Args:
        layer: From prepare_mouth.
        out: (S, S, 3) warped picture.
        vertices: (V, 3) new mesh positions.
        layout: The source's mesh.
        pose: New head pose.
    """
    gap = lip_gap(vertices) / pose.scale
    strength = float(smoothstep(0.008, 0.024, gap))
    if layer.gap > 0.02:  # the source's own open mouth is kept as long as it is not stretched
        strength *= float(smoothstep(1.1, 1.6, gap / layer.gap))
    if strength <= 0:
        return
    contour = closed_curve(vertices[list(LIPS_INNER), :2], 3)
    low = np.floor(contour.min(0) - 4).astype(int).clip(0, out.shape[0] - 1)
    high = np.ceil(contour.max(0) + 5).astype(int).clip(0, out.shape[0] - 1)
    w, h = (high - low).tolist()
    if w < 4 or h < 3:
        return
    mask = polygon_mask(h, w, contour - low, max(0.7, 0.004 * pose.scale)) * np.float32(strength)
    interior = _cavity(layer, vertices, layout, pose, low, (h, w), gap)
    soft = max(0.8, min(0.014, 0.10 * gap) * pose.scale)
    rim = polygon_mask(h, w, contour - low, soft)
    interior *= (0.5 + 0.5 * np.clip(2.2 * rim - 1.1, 0, 1))[..., None]
    region = out[low[1] : high[1], low[0] : high[0]]
    result = region.astype(np.float32)
    result += (interior - result) * mask[..., None]
    region[:] = np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _cavity(
    layer: MouthLayer,
    vertices: Float,
    layout: Layout,
    pose: Pose,
    low: npt.NDArray[np.int_],
    shape: tuple[int, int],
    gap: float,
) -> Picture:
    """Drawn interior (h, w, 3)."""
    h, w = shape
    left, right = vertices[78, :2] - low, vertices[308, :2] - low
    axis = right - left
    width = float(np.linalg.norm(axis)) + 1e-6
    axis = axis / width
    down = np.array([-axis[1], axis[0]])
    middle = (left + right) / 2
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    across = ((xx - middle[0]) * axis[0] + (yy - middle[1]) * axis[1]) / (width / 2)
    # Upper teeth hang from the skull: a fixed way below the base of the nose.
    lip_rest = layout.canonical[13] - layout.canonical[2]
    tooth_line = (vertices[2] + pose.scale * pose.rotation @ lip_rest)[:2] - low
    below = ((xx - tooth_line[0]) * down[0] + (yy - tooth_line[1]) * down[1]) / pose.scale
    out = np.zeros((h, w, 3), np.float32) + layer.dark
    lower = vertices[14, :2] - low
    above_lip = ((lower[0] - xx) * down[0] + (lower[1] - yy) * down[1]) / pose.scale
    tongue = np.exp(-((above_lip / (0.035 + 0.25 * gap)) ** 2)) * np.clip(1 - (across / 0.75) ** 2, 0, 1)
    out += (layer.tongue - out) * (0.85 * float(smoothstep(0.03, 0.10, gap)) * tongue)[..., None]
    edge = 0.034 * (1 - 0.45 * across**2) + 0.012
    upper = 1 / (1 + np.exp(np.clip((below - edge) * pose.scale / 0.8, -60, 60)))
    sides = np.clip(1 - np.abs(across / 0.92) ** 6, 0, 1)
    turn = np.arcsin(np.clip(across * 0.93, -0.99, 0.99)) / 0.30
    seam = 1 - 0.16 * np.exp(-((np.abs(turn - np.round(turn)) / 0.07) ** 2))
    bevel = (1 - 0.35 * across**2) * (0.86 + 0.14 * np.clip(below / 0.03, 0, 1))
    tooth = layer.tooth * (seam * bevel)[..., None]
    out += (tooth - out) * (upper * sides)[..., None]
    return np.asarray(out, np.float32)
