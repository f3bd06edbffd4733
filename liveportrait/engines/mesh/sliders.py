"""Sliders and retargeting in closed form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from liveportrait.engines.base import Portrait
from liveportrait.engines.mesh import fit
from liveportrait.engines.mesh.data import face_model
from liveportrait.motion import Array
from models.topology import EYE_LEFT, EYES, LIP_LOWER_INNER, LIP_UPPER_INNER

Float = npt.NDArray[np.float64]


def _source(portrait: Portrait) -> Float:
    return face_model().mean.astype(np.float64) + portrait.motion.delta[0]


def _to_crop(portrait: Portrait, change: Float) -> Array:
    """Canonical change (B, 478, 3) as offsets in crop units at the source's pose."""
    return np.asarray(portrait.motion.scale[0] * (change @ portrait.motion.rotation[0]), np.float32)


def lid_offsets(portrait: Portrait, ratios: Array) -> Array:
    """(B, 478, 3) crop offsets that bring the lids to ratios (B, 2); NaN leaves an eye alone."""
    source = _source(portrait)
    out = np.zeros((len(ratios), *source.shape))
    for b, pair in enumerate(ratios):
        shape = source.copy()
        for index, eye in enumerate(EYES):
            own = float(portrait.motion.eye_ratio[0, index])
            if np.isfinite(pair[index]) and own > 1e-3:
                fit.set_opening(shape, source, eye, float(max(pair[index], 0) / own))
        out[b] = shape - source
    return _to_crop(portrait, out)


def lip_offsets(portrait: Portrait, ratios: Array) -> Array:
    """(B, 478, 3) crop offsets that bring the inner lip gap to ratios (B, 1) of the mouth width."""
    source = _source(portrait)
    basis = face_model().bases["open"].astype(np.float64)
    upper, lower = np.array(LIP_UPPER_INNER[1:-1]), np.array(LIP_LOWER_INNER[1:-1])
    gap = source[lower, 1] - source[upper, 1]
    answer = basis[lower, 1] - basis[upper, 1]
    middle = LIP_UPPER_INNER[1:-1].index(13)
    width = fit.mouth_width(source)
    out = np.zeros((len(ratios), *source.shape))
    for b, ratio in enumerate(ratios[:, 0]):
        wanted = float(max(ratio, 0)) * width
        amount = (wanted - gap[middle]) / max(answer[middle], 0.2)
        shape = source + amount * basis
        profile = answer / answer[middle]
        target = gap + (wanted - gap[middle]) * profile
        fit.set_lip_gap(shape, target if wanted > gap[middle] else gap * wanted / max(gap[middle], 1e-6))
        out[b] = shape - source
    return _to_crop(portrait, out)


def slider_delta(portrait: Portrait, values: Mapping[str, float]) -> Array:
    """(1, 478, 3) canonical expression offsets of sliders, see SLIDERS for names and meaning.

    Raises:
        ValueError: A name is not known.
    """
    source = _source(portrait)
    shape = source.copy()
    bases = {k: v.astype(np.float64) for k, v in face_model().bases.items()}
    left = (face_model().mean[:, 0] < 0).astype(np.float64)[:, None]
    width = np.linalg.norm(source[EYE_LEFT.outer, :2] - source[EYE_LEFT.inner, :2])
    lids = [1.0, 1.0]
    gaze = np.zeros((2, 2))
    for name, value in values.items():
        if value == 0:
            continue
        if name in _LINEAR:
            for basis, amount in _LINEAR[name]:
                shape += value * amount * bases[basis]
        elif name == "wink_left":
            lids[0] = min(lids[0], 1 - value)
            shape += 0.02 * value * left * bases["smile"] * -1
        elif name == "wink_right":
            lids[1] = min(lids[1], 1 - value)
            shape += 0.02 * value * (1 - left) * bases["smile"] * -1
        elif name == "blink":
            lids = [k * (1 - value) for k in lids]
        elif name in ("gaze_x", "gaze_y"):
            gaze[:, 0 if name == "gaze_x" else 1] += value * (0.22 if name == "gaze_x" else 0.12)
        else:
            known = ", ".join(sorted([*_LINEAR, "wink_left", "wink_right", "blink", "gaze_x", "gaze_y"]))
            raise ValueError(f"There is no slider named {name}; known are {known}.")
    for index, eye in enumerate(EYES):
        if lids[index] != 1:
            fit.set_opening(shape, source, eye, lids[index])
        shape[eye.iris : eye.iris + 5, :2] += gaze[index] * width
    fit.keep_lips_apart(shape)
    return np.asarray((shape - source)[None], np.float32)


# slider -> (basis, face widths per unit of the slider)
_LINEAR: dict[str, tuple[tuple[str, float], ...]] = {
    "lip_open": (("open", 0.20),),
    "smile": (("smile", 0.055), ("wide", 0.06)),
    "brow": (("brow", 0.045),),
    "frown": (("frown", -0.02),),
    "wide": (("wide", 0.10),),
    "pout": (("wide", -0.09),),
}
