"""Fit a driver's expression to the proportions of a source: lids by their opening, lips by their gap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.eyes import corners_left_to_right, gaze_offset
from liveportrait.engines.mesh.geometry import eye_opening
from models.topology import EYES, LIP_LOWER_INNER, LIP_UPPER_INNER, MOUTH_CORNERS, EyeIndices

Float = npt.NDArray[np.float64]

SHUT = 0.035  # mean lid opening that the landmark model reports on a shut eye
WIDEST = 1.35  # widening beyond this shows more of the eyeball than can be guessed
DEPTH_SHARE = 0.7  # share of the expression's depth that is kept: landmark depth is noisy
_UPPER, _LOWER = np.array(LIP_UPPER_INNER[1:-1]), np.array(LIP_LOWER_INNER[1:-1])


def mouth_width(shape: Float) -> float:
    """Distance of the mouth corners in the picture plane, in units of the shape."""
    a, b = MOUTH_CORNERS
    return float(np.linalg.norm(shape[a, :2] - shape[b, :2]))


def set_opening(shape: Float, source: Float, eye: EyeIndices, opening: float) -> None:
    """Move the lids of a canonical shape (478, 3), in place, to ``opening`` times the source's lid gap."""
    upper, lower = np.array(eye.upper[1:-1]), np.array(eye.lower[1:-1])
    gap = source[upper] - source[lower]
    low = shape[lower].copy()
    if opening < 1:  # closing: the lower lid hardly moves, the upper one comes down on it
        low = source[lower] + 0.7 * (low - source[lower])
    shape[lower] = low
    shape[upper, :2] = (low + gap * max(opening, 0.0))[:, :2]
    shape[upper, 2] = source[upper, 2]
    ring = np.array(eye.upper_rings[:7])
    moved = np.zeros((7, 3))
    moved[:, :2] = (shape[upper] - source[upper])[:, :2]
    shape[ring] = source[ring] + 0.55 * moved + 0.45 * (shape[ring] - source[ring])


def driver_opening(eye: EyeIndices, driver: Float, neutral: Float, source_opening: float) -> float:
    """Opening to give the source's eye, as a factor of its own."""
    rest = max(eye_opening(neutral, eye), 0.12)
    factor = max(0.0, (eye_opening(driver, eye) - SHUT) / (rest - SHUT))
    if factor > 1:  # widening: as much in absolute terms as the driver's, if his eyes are the smaller ones
        factor = 1 + (factor - 1) * min(1.0, rest / max(source_opening, 0.12))
    return float(min(factor, WIDEST))


def fit_expression(source: Float, driver: Float, neutral: Float) -> Float:
    """Canonical shape of the source with the driver's expression.

    Args:
        source: (478, 3) canonical source.
        driver: (478, 3) canonical driver frame.
        neutral: (478, 3) canonical neutral frame of the same driver.

    Returns:
        (478, 3); equal to source when driver equals neutral.
    """
    model = face_model()
    change = driver - neutral
    change[:, 2] *= DEPTH_SHARE
    ratio = np.clip(mouth_width(source) / max(mouth_width(neutral), 1e-6), 0.75, 1.3)
    change *= 1 + (ratio - 1) * model.mouth_weight[:, None]
    out = source + change
    for eye in EYES:
        rings = np.array(eye.upper_rings + eye.lower_rings)
        size = np.clip(eye_opening(source, eye) / max(eye_opening(neutral, eye), 0.05), 0.6, 1.2)
        out[rings] = source[rings] + change[rings] * size
        lower = np.array(eye.lower[1:-1])
        out[lower] = source[lower] + change[lower] * size
        set_opening(out, source, eye, driver_opening(eye, driver, neutral, eye_opening(source, eye)))
        out[eye.iris : eye.iris + 5] = source[eye.iris : eye.iris + 5] + _gaze_change(source, driver, neutral, eye)
    gap_change = (driver[_LOWER, 1] - driver[_UPPER, 1]) - (neutral[_LOWER, 1] - neutral[_UPPER, 1])
    set_lip_gap(out, source[_LOWER, 1] - source[_UPPER, 1] + ratio * gap_change)
    return out


def set_lip_gap(shape: Float, gap: Float) -> None:
    """Bring the inner lips (9 pairs) of a shape to a gap (9,), in place; lips never cross."""
    excess = (shape[_LOWER, 1] - shape[_UPPER, 1]) - np.maximum(gap, 0)
    shape[_UPPER, 1] += 0.65 * excess
    shape[_LOWER, 1] -= 0.35 * excess


def _gaze_change(source: Float, driver: Float, neutral: Float, eye: EyeIndices) -> Float:
    """(3,) move of the iris in canonical units."""
    seen = np.clip((eye_opening(driver, eye) - 0.06) / 0.08, 0, 1)  # the iris of a shut eye is a guess
    shift = (gaze_offset(driver, eye) - gaze_offset(neutral, eye)) * seen * [1.0, 0.8]
    a, b = corners_left_to_right(source, eye)
    axis = b - a
    return np.array([axis[0] * shift[0] - axis[1] * shift[1], axis[1] * shift[0] + axis[0] * shift[1], 0.0])


def expression_only(shape: Float) -> Float:
    """(478, 3) part of a canonical shape that the expression bases explain, seen from the mean face.

    Used where a single picture of a person must stand for an expression (absolute motion, driving photo): what the
    bases don't explain is taken for the person's own features.
    """
    model = face_model()
    names = list(model.bases)
    basis = np.stack([model.bases[n] for n in names]).astype(np.float64)
    weight = (0.15 + model.mouth_weight + model.eye_weight.max(0))[:, None]
    flat = (basis * weight).reshape(len(names), -1)
    difference = ((shape - model.mean) * weight).reshape(-1)
    gram = flat @ flat.T
    coefficients = np.linalg.solve(gram + 0.05 * np.diag(np.diag(gram)), flat @ difference)
    out = np.tensordot(coefficients, basis, 1)
    for eye in EYES:  # lids by their opening against an average open eye
        mean = model.mean.astype(np.float64)
        wide = eye_opening(shape, eye) / eye_opening(mean, eye)
        target = mean + out
        set_opening(target, mean, eye, float(np.clip(wide, 0, 1.3)))
        out = target - mean
    return out


def keep_lips_apart(shape: Float) -> None:
    """Part the inner lips of a shape, in place, where they cross."""
    set_lip_gap(shape, np.maximum(shape[_LOWER, 1] - shape[_UPPER, 1], 0))
