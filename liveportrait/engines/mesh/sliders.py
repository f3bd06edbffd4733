"""Sliders and retargeting in closed form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from liveportrait.engines.base import Portrait
from liveportrait.engines.mesh import fit
from liveportrait.engines.mesh.cheeks import raise_cheeks
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.flesh import fill_lips, keep_flesh
from liveportrait.motion import Array
from liveportrait.ramps import smoothstep
from models.topology import EYE_LEFT, EYES, LIP_UPPER_INNER

Float = npt.NDArray[np.float64]
MIDDLE = LIP_UPPER_INNER[1:-1].index(13)  # of the pairs of inner lip points


def _source(portrait: Portrait) -> Float:
    return face_model().mean.astype(np.float64) + portrait.motion.delta[0]


def _to_crop(portrait: Portrait, change: Float) -> Array:
    """Canonical change (B, 478, 3) as offsets in crop units at the source's pose."""
    return np.asarray(portrait.motion.scale[0] * (change @ portrait.motion.rotation[0]), np.float32)


def lid_offsets(portrait: Portrait, ratios: Array) -> Array:
    """(B, 478, 3) crop offsets that bring the lids to eye ratios (B, 2); NaN leaves an eye unchanged."""
    source = _source(portrait)
    out = np.zeros((len(ratios), *source.shape))
    for b, pair in enumerate(ratios):
        shape = source.copy()
        for index, eye in enumerate(EYES):
            own = float(portrait.motion.eye_ratio[0, index])
            if np.isfinite(pair[index]) and own > 1e-3:
                fit.set_opening(shape, source, eye, _soft_widening(float(max(pair[index], 0)) / own))
        out[b] = shape - source
    return _to_crop(portrait, out)


def _soft_widening(opening: float) -> float:
    """Opening relative to the source's, softly limited to the widest for which the eyeball can be guessed."""
    room = fit.WIDEST_EYES - 1
    return opening if opening <= 1 else 1 + room * float(np.tanh((opening - 1) / room))


def lip_offsets(portrait: Portrait, ratios: Array) -> Array:
    """(B, 478, 3) crop offsets that bring the inner lip gap to ratios (B, 1) of the mouth width.

    In a smile the lips are apart over a shut jaw. Opened further, the jaw goes by the whole ratio, not only by the
    difference from the photo's; otherwise speech would show clenched teeth.
    """
    source = _source(portrait)
    basis = face_model().bases["open"].astype(np.float64) * fit.below_the_eyes()
    gap, answer = fit.lip_gaps(source), fit.lip_gaps(basis)
    width = fit.mouth_width(source)
    dropped = _jaw_gap(source)
    out = np.zeros((len(ratios), *source.shape))
    for b, ratio in enumerate(ratios[:, 0]):
        wanted = float(max(ratio, 0)) * width
        open_further = float(smoothstep(0.5, 1.5, wanted / max(gap[MIDDLE], 1e-6)))
        amount = (wanted - gap[MIDDLE] + open_further * (gap[MIDDLE] - dropped)) / max(answer[MIDDLE], 0.2)
        shape = source + amount * basis
        profile = answer / answer[MIDDLE]
        target = gap + (wanted - gap[MIDDLE]) * profile
        fit.set_lip_gap(shape, target if wanted > gap[MIDDLE] else gap * wanted / max(gap[MIDDLE], 1e-6))
        keep_flesh(shape, source)
        out[b] = shape - source
    return _to_crop(portrait, out)


def _jaw_gap(source: Float) -> float:
    """Part of the gap between the lips of a canonical shape (478, 3) that comes from its jaw, not from a smile."""
    gap = max(0.0, float(fit.lip_gaps(source)[MIDDLE]))
    share = fit.mouth_openness(source)
    if share <= 0:  # closed lips: nothing to take off in every frame
        return gap
    return float(np.clip(fit.lip_gaps(source - share * fit.mouth_expression(source))[MIDDLE], 0, gap))


def slider_delta(portrait: Portrait, values: Mapping[str, float]) -> Array:
    """(1, 478, 3) canonical expression offsets of sliders (liveportrait.expression declares names and ranges).

    Raises:
        ValueError: A name is unknown.
    """
    unknown = sorted(set(values) - KNOWN)
    if unknown:
        raise ValueError(f"There is no slider named {unknown[0]}; known are {', '.join(sorted(KNOWN))}.")
    source = _source(portrait)
    shape = source.copy()
    for name in sorted(_LINEAR.keys() & values.keys(), key=list(_LINEAR).index):
        if name in _PRESSING:  # lips may be pressed thinner than opening the mouth makes them
            keep_flesh(shape, source)
        shape += _answer(name, float(values[name]))
    for index, (eye, side) in enumerate(zip(EYES, ("left", "right"), strict=True)):
        shut = min(float(values.get("blink", 0)) + float(values.get(f"wink_{side}", 0)), 1.0)
        opening = 1 - shut if shut > 0 else 1 - WIDE_EYES * shut
        width = np.linalg.norm(source[EYE_LEFT.outer, :2] - source[EYE_LEFT.inner, :2])
        look = np.array([values.get(f"gaze_{axis}", 0.0) + values.get(f"gaze_{side}_{axis}", 0.0) for axis in "xy"])
        look = np.clip(look, -1.5, 1.5)
        opening *= 1 - SMILING_EYES * float(np.clip(values.get("smile", 0), 0, 1))
        opening *= 1 + float(look[1]) * (LID_DOWN if look[1] < 0 else LID_UP)
        if opening != 1:
            fit.set_opening(shape, source, eye, opening)
        shape[eye.iris : eye.iris + 5, :2] += look * [GAZE_X, -GAZE_Y] * width
        if f"wink_{side}" in values:  # the cheek rises under a winking eye
            cheek = float(values[f"wink_{side}"]) * face_model().eye_weight[index][:, None]
            shape[list(eye.lower_rings), 1] -= 0.012 * cheek[list(eye.lower_rings), 0]
    if not _PRESSING & values.keys():
        keep_flesh(shape, source)
    fill_lips(shape, source, POUT_FILLS * float(values.get("pout", 0)))
    raise_cheeks(shape, source, fit.smile_amount(source))
    fit.keep_lips_apart(shape)
    return np.asarray((shape - source)[None], np.float32)


POUT_FILLS = 0.35  # thickness that lips gain in a full pout, as a share
SMILING_EYES = 0.12  # share of their opening that eyes lose in a full smile: the cheeks lift the lower lids
GAZE_X, GAZE_Y = 0.22, 0.12  # movement of the iris in eye widths at full slider
LID_DOWN, LID_UP = 0.3, 0.1  # share of its opening by which the lid follows a gaze down, and up
WIDE_EYES = 0.7  # how much a blink of -1 widens the eyes, as a share of their own opening
# slider -> (basis, face widths per unit of the slider above 0, and below)
_LINEAR: dict[str, tuple[tuple[str, float, float], ...]] = {
    "lip_open": (("open", 0.20, 0.04),),
    "smile": (("smile", 0.085, 0.055), ("wide", 0.07, 0.02)),
    "brow": (("brow", 0.045, 0.045),),
    "frown": (("frown", -0.02, -0.02), ("brow", -0.012, -0.012)),
    "wide": (("wide", 0.10, 0.10),),
    "pout": (("wide", -0.10, -0.04), ("forward", 0.05, 0.02)),
    "purse": (("wide", -0.10, -0.02), ("press", 0.6, 0.3)),
}
_PRESSING = {"purse"}
KNOWN = frozenset(
    [*_LINEAR, "blink", "wink_left", "wink_right"]
    + [f"gaze{side}_{axis}" for side in ("", "_left", "_right") for axis in "xy"]
)


def _answer(name: str, value: float) -> Float:
    """Canonical change (478, 3) of one linear slider."""
    model = face_model()
    out = np.zeros((len(model.mean), 3))
    for basis, above, below in _LINEAR[name]:
        amount = value * (above if value > 0 else below)
        if basis == "forward":  # towards the camera
            out[:, 2] -= amount * model.mouth_weight
        elif basis == "press":  # lips thinner, towards the line between them
            line = model.mean[list(LIP_UPPER_INNER), 1].mean()
            out[:, 1] -= amount * model.mouth_weight**4 * (model.mean[:, 1] - line)
        elif basis == "open":
            out += amount * model.bases[basis] * fit.below_the_eyes()
        else:
            out += amount * model.bases[basis]
    return out
