"""Sliders that pose a face. Names, ranges and texts are declared once; engines map the names to offsets.

``Expression`` is a set of slider values that can be added, saved in a preset and applied to a source. For
LivePortrait's 21 keypoints the offsets are those of the official editor (spec motion.md section 10.1), in plain units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np

from liveportrait.engines.base import Engine, Portrait
from liveportrait.limits import shown
from liveportrait.motion import Array, Motion, euler_from_rotation, keypoints, rotation_from_euler
from models.messages import msg

SCHEMA_VERSION: Final = 1
MAX_OPENING: Final = 1.0
"""Largest ratio of eyes or lips that can be requested; the official editor allows 0.8 (spec motion.md section 10.1)."""
SIDES: Final = ("left", "right")


@dataclass(frozen=True)
class Slider:
    """One slider.

    Attributes:
        name: Key in presets and in ``Engine.slider_delta``.
        title: Short name for the user interface.
        help: One sentence.
        group: Head, Eyes, Brows or Mouth.
        minimum: Smallest value.
        maximum: Largest value.
        default: Value at rest.
        unit: "deg", "" for a share of the face or of the full movement.
        step: Step of a widget.
    """

    name: str
    title: str
    help: str
    group: str
    minimum: float
    maximum: float
    default: float = 0.0
    unit: str = ""
    step: float = 0.01


def _declare() -> Iterator[Slider]:
    yield Slider("pitch", "Nod", "Turn the head up or down.", "Head", -15, 15, unit="deg", step=0.1)
    yield Slider("yaw", "Turn", "Turn the head sideways.", "Head", -25, 25, unit="deg", step=0.1)
    yield Slider("roll", "Tilt", "Tilt the head toward a shoulder.", "Head", -15, 15, unit="deg", step=0.1)
    yield Slider("move_x", "Move right", "Move the head to the right, in halves of the crop.", "Head", -0.19, 0.19)
    yield Slider("move_y", "Move up", "Move the head up, in halves of the crop.", "Head", -0.19, 0.19)
    yield Slider("zoom", "Size", "Size of the head.", "Head", 0.9, 1.2, 1.0)
    yield Slider("blink", "Blink", "Close both eyes; below 0 opens them wide.", "Eyes", -0.5, 1)
    yield Slider("wink_left", "Wink left", "Close the eye on the left of the image.", "Eyes", 0, 1)
    yield Slider("wink_right", "Wink right", "Close the eye on the right of the image.", "Eyes", 0, 1)
    yield Slider("gaze_x", "Look right", "Both eyes look to the right of the image.", "Eyes", -1, 1)
    yield Slider("gaze_y", "Look up", "Both eyes look up.", "Eyes", -1, 1)
    for side in ("left", "right"):
        where = f"Only the eye on the {side} of the image looks"
        yield Slider(f"gaze_{side}_x", f"Look right, {side} eye", f"{where} to the right.", "Eyes", -1, 1)
        yield Slider(f"gaze_{side}_y", f"Look up, {side} eye", f"{where} up.", "Eyes", -1, 1)
    yield Slider("brow", "Raise brows", "Raise the brows; below 0 lowers them.", "Brows", -1, 1)
    yield Slider("frown", "Frown", "Draw the brows together.", "Brows", 0, 1)
    yield Slider("lip_open", "Open mouth", "Open the mouth; below 0 presses the lips.", "Mouth", -0.75, 1)
    yield Slider("smile", "Smile", "Smile; below 0 turns the corners down.", "Mouth", -0.3, 1.3)
    yield Slider("wide", "Grin", "Draw the mouth wide; below 0 makes it narrow.", "Mouth", -1, 1)
    yield Slider("pout", "Pout", "Push the lips out.", "Mouth", -1, 1)
    yield Slider("purse", "Purse", "Purse the lips; below 0 draws them in.", "Mouth", -1, 0.75)


SLIDERS: Final[Mapping[str, Slider]] = {slider.name: slider for slider in _declare()}
POSE_SLIDERS: Final = ("pitch", "yaw", "roll", "move_x", "move_y", "zoom")
MIRRORED: Final[Mapping[str, str]] = {
    "wink_left": "wink_right", "wink_right": "wink_left",
    "gaze_left_x": "gaze_right_x", "gaze_right_x": "gaze_left_x",
    "gaze_left_y": "gaze_right_y", "gaze_right_y": "gaze_left_y",
}  # fmt: skip
"""Sliders that swap when a face is mirrored."""
_SIGN_FLIPS: Final = frozenset({"yaw", "roll", "move_x", "gaze_x", "gaze_left_x", "gaze_right_x"})


@dataclass(frozen=True)
class Expression:
    """Slider values; sliders that are not named are at rest.

    Attributes:
        values: Slider name -> value within its range.
        eye_ratio: Target eye ratios, as lid gap over eye width (0 shut, about 0.35 open): left and right of the image,
            None for an eye that is left alone; or None for both.
        lip_ratio: Target lip ratio, as lip gap over mouth width, or None.
    """

    values: Mapping[str, float]
    eye_ratio: tuple[float | None, float | None] | None = None
    lip_ratio: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            slider = SLIDERS.get(name)
            if slider is None:
                raise ValueError(msg("there is no slider named {name!r}; known are {names}.", name, ", ".join(SLIDERS)))
            if not slider.minimum <= value <= slider.maximum:
                raise ValueError(
                    msg(
                        "slider {name} must be within {minimum} to {maximum}, not {value}.",
                        name, slider.minimum, slider.maximum, shown(value)
                    )
                )  # fmt: skip
        openings = {"lip_ratio": self.lip_ratio}
        if self.eye_ratio is not None:
            openings |= {f"eye_ratio of the {side} eye": v for side, v in zip(SIDES, self.eye_ratio, strict=True)}
        for name, opening in openings.items():
            if opening is not None and not 0 <= opening <= MAX_OPENING:
                raise ValueError(
                    msg("{name} must be within 0 to {max_opening:g}, not {opening}.", name, MAX_OPENING, shown(opening))
                )

    @property
    def face(self) -> dict[str, float]:
        """Values of the sliders that change the expression, for ``Engine.slider_delta``."""
        return {k: float(v) for k, v in self.values.items() if k not in POSE_SLIDERS and v != SLIDERS[k].default}

    def __add__(self, other: Expression) -> Expression:
        """Both combined, limited to the ranges; eye and lip ratios of the second one take precedence."""
        total = {name: slider.default for name, slider in SLIDERS.items()}
        for part in (self, other):
            for name, value in part.values.items():
                total[name] += value - SLIDERS[name].default
        clipped = {k: min(max(v, SLIDERS[k].minimum), SLIDERS[k].maximum) for k, v in total.items()}
        return Expression(
            {k: v for k, v in clipped.items() if v != SLIDERS[k].default},
            self.eye_ratio if other.eye_ratio is None else other.eye_ratio,
            self.lip_ratio if other.lip_ratio is None else other.lip_ratio,
        )

    def scaled(self, strength: float) -> Expression:
        """The same expression weaker or stronger, limited to the ranges; eye and lip ratios are unchanged."""
        values = {}
        for name, value in self.values.items():
            s = SLIDERS[name]
            values[name] = min(max(s.default + strength * (value - s.default), s.minimum), s.maximum)
        return replace(self, values=values)

    def mirrored(self) -> Expression:
        """The expression seen in a mirror."""
        values = {MIRRORED.get(k, k): (-v if k in _SIGN_FLIPS else v) for k, v in self.values.items()}
        pair = None if self.eye_ratio is None else (self.eye_ratio[1], self.eye_ratio[0])
        return replace(self, values=values, eye_ratio=pair)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a preset file."""
        out: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "sliders": dict(sorted(self.values.items()))}
        if self.eye_ratio is not None:
            out["eye_ratio"] = list(self.eye_ratio)
        if self.lip_ratio is not None:
            out["lip_ratio"] = self.lip_ratio
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Expression:
        """Expression from a preset file.

        Raises:
            ValueError: Newer schema, unknown names, values out of range or of the wrong type.
        """
        version = data.get("schema_version", SCHEMA_VERSION)
        if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
            raise ValueError(
                msg("it was saved by a newer version (schema {version}); update the program.", shown(version))
            )
        unknown = set(data) - {"schema_version", "sliders", "eye_ratio", "lip_ratio"}
        if unknown:
            raise ValueError(
                msg("unknown entries in the expression: {names}.", ", ".join(shown(name) for name in sorted(unknown)))
            )
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ValueError(msg("its schema_version is {version}, not a whole number from 1.", shown(version)))
        sliders, pair, lip = data.get("sliders", {}), data.get("eye_ratio"), data.get("lip_ratio")
        if not isinstance(sliders, Mapping):
            raise ValueError(msg("its sliders must be a table of names and numbers, not {sliders}.", shown(sliders)))
        if pair is not None and not (isinstance(pair, list | tuple) and len(pair) == len(SIDES)):
            raise ValueError(msg("its eye_ratio must be two numbers, left and right, not {pair}.", shown(pair)))
        eyes = None if pair is None else tuple(_opening(value, "eye_ratio") for value in pair)
        values = {str(name): _number(value, f"slider {shown(name)}") for name, value in sliders.items()}
        return cls(values, cast("tuple[float | None, float | None] | None", eyes), _opening(lip, "lip_ratio"))


def _opening(value: Any, name: str) -> float | None:
    return None if value is None else _number(value, name)


def _number(value: Any, name: str) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    raise ValueError(msg("its {name} must be a number, not {value}.", name, shown(value)))


def posed(motion: Motion, expression: Expression) -> Motion:
    """Motion with the head sliders added to every frame: angles in degrees, size and shift in crop units."""
    v = {name: expression.values.get(name, SLIDERS[name].default) for name in POSE_SLIDERS}
    rotation = motion.rotation
    if v["pitch"] or v["yaw"] or v["roll"]:
        angles = euler_from_rotation(motion.rotation)
        rotation = rotation_from_euler(angles[:, 0] + v["pitch"], angles[:, 1] + v["yaw"], angles[:, 2] + v["roll"])
    shift = np.array([v["move_x"], -v["move_y"], 0], np.float32)
    return replace(
        motion,
        rotation=rotation,
        translation=motion.translation + shift,
        scale=np.asarray(motion.scale * v["zoom"], np.float32),
    )


def express(engine: Engine, portrait: Portrait, expression: Expression, stitching: bool = True) -> Array:
    """Driving keypoints of a source that is posed by sliders.

    Args:
        engine: Engine of the portrait.
        portrait: The source.
        expression: Slider values, eye and lip ratios.
        stitching: Keep shoulders and border in place.

    Returns:
        (1, K, 3) crop units.
    """
    moved = posed(portrait.motion, expression)
    moved = replace(moved, rotation=engine.limit_turn(portrait, moved.rotation))
    if expression.face:
        moved = replace(moved, delta=moved.delta + engine.slider_delta(portrait, expression.face))
    x_d = keypoints(portrait.canonical, moved, engine.delta_space)
    if expression.eye_ratio is not None and not np.isnan(portrait.motion.eye_ratio).any():
        wanted = np.array([expression.eye_ratio], np.float32)  # None becomes NaN
        own = portrait.motion.eye_ratio
        x_d = x_d + engine.retarget_eyes(portrait, np.where(np.isnan(wanted), own, wanted).astype(np.float32))
    if expression.lip_ratio is not None and not np.isnan(portrait.motion.lip_ratio).any():
        x_d = x_d + engine.retarget_lips(portrait, np.array([[expression.lip_ratio]], np.float32))
    return engine.stitch(portrait, x_d) if stitching else x_d


# ---------------------------------------------------------------------- LivePortrait's 21 keypoints

_X, _Y, _Z = 0, 1, 2
_LEFT_EYE, _RIGHT_EYE = (11, 13, 3), (15, 16, 7)
"""Eyeball, lid and cheek point of each side of the image."""

_LINEAR: Final[Mapping[str, tuple[tuple[int, int, float], ...]]] = {
    "smile": (
        (20, _Y, -0.01), (14, _Y, -0.02), (17, _Y, 0.0065), (17, _Z, 0.003),
        (13, _Y, -0.00275), (16, _Y, -0.00275), (3, _Y, -0.0035), (7, _Y, -0.0035),
    ),
    "pout": ((19, _X, 1.0),),
    "purse": ((14, _Y, 0.001), (3, _Y, -0.0005), (7, _Y, -0.0005), (17, _Z, -0.0005)),
    "wide": ((20, _Z, -0.001), (20, _Y, -0.001), (14, _Y, -0.001)),
    "lip_open": ((19, _Y, 0.001), (19, _Z, 0.0001), (17, _Y, -0.0001)),
    "shift_x": ((5, _X, 1.0),),
    "shift_y": ((5, _Y, 1.0),),
}  # fmt: skip
OFFICIAL_UNITS: Final[Mapping[str, float]] = {
    "smile": 1.0, "pout": 0.09, "purse": 20.0, "wide": 15.0, "lip_open": 120.0, "brow": 30.0, "frown": 30.0,
    "wink": 39.0, "gaze_x": 30.0, "gaze_y": 63.0,
}  # fmt: skip
"""One unit of our sliders in units of the official editor."""


def _add_eye_x(delta: Array, side: tuple[int, int, int], value: float) -> None:
    outward = value > 0 if side is _RIGHT_EYE else value < 0
    delta[0, side[0], _X] += (0.001 if outward else 0.0007) * value


def _add_eye_y(delta: Array, side: tuple[int, int, int], value: float) -> None:
    delta[0, side[0], _Y] -= 0.0005 * value
    delta[0, side[1], _Y] -= 0.00015 * value


def _add_lid(delta: Array, side: tuple[int, int, int], value: float) -> None:
    delta[0, side[0], _Y] += 0.001 * value
    delta[0, side[1], _Y] -= 0.0003 * value


def _add_brow(delta: Array, value: float) -> None:
    if value > 0:
        delta[0, 1, _Y] += 0.001 * value
        delta[0, 2, _Y] -= 0.001 * value
    else:
        delta[0, 1, _X] -= 0.001 * value
        delta[0, 2, _X] += 0.001 * value
        delta[0, 1, _Y] += 0.0003 * value
        delta[0, 2, _Y] -= 0.0003 * value


def _add_wink(delta: Array, side: tuple[int, int, int], value: float) -> None:
    _add_lid(delta, side, value)
    delta[0, 17, _X] += (0.0003 if side is _LEFT_EYE else -0.0003) * value
    delta[0, 17, _Y] += 0.0003 * value
    delta[0, side[2], _Y] -= 0.0003 * value


def official_delta(values: Mapping[str, float]) -> Array:
    """Expression offsets of the official editor, in its own units.

    Args:
        values: gaze_x (+-30), gaze_y (+-63), smile (-0.3..1.3), wink (0..39), brow (+-30), pout (+-0.09),
            purse (-20..15), wide (0..15), lip_open (-90..120), shift_x and shift_y (+-0.19).

    Returns:
        (1, 21, 3) float32.
    """
    delta = np.zeros((1, 21, 3), np.float32)
    for name, value in values.items():
        if name in _LINEAR:
            for point, axis, amount in _LINEAR[name]:
                delta[0, point, axis] += amount * value
        elif name == "brow":
            _add_brow(delta, value)
        elif name == "wink":
            _add_wink(delta, _LEFT_EYE, value)
        elif name in ("gaze_x", "gaze_y"):
            for side in (_LEFT_EYE, _RIGHT_EYE):
                (_add_eye_x if name == "gaze_x" else _add_eye_y)(delta, side, value)
        else:
            raise ValueError(msg("the official editor has no slider {name!r}.", name))
    return delta


def liveportrait_delta(sliders: Mapping[str, float], canonical: Array | None = None) -> Array:
    """Expression offsets of sliders for LivePortrait's 21 keypoints.

    The official editor winks with one eye only; the other one is mirrored.

    Args:
        sliders: Slider name -> value in the units of ``SLIDERS``; head sliders are not expression and change nothing.
        canonical: (21, 3) canonical keypoints, which determine the eye on the left of the image; None uses points 11
            and 13 for it.

    Returns:
        (1, 21, 3) float32.

    Raises:
        ValueError: A name is unknown.
    """
    delta = np.zeros((1, 21, 3), np.float32)
    left, right = _LEFT_EYE, _RIGHT_EYE
    if canonical is not None and canonical[list(left[:2]), _X].mean() > canonical[list(right[:2]), _X].mean():
        left, right = right, left
    for name, value in sliders.items():
        if name not in SLIDERS:
            raise ValueError(msg("there is no slider named {name!r}; known are {names}.", name, ", ".join(SLIDERS)))
        if name in POSE_SLIDERS or value == 0:
            continue
        side = left if "left" in name else right
        if name in ("wink_left", "wink_right"):
            _add_wink(delta, side, OFFICIAL_UNITS["wink"] * value)
        elif name == "blink":
            for each in (_LEFT_EYE, _RIGHT_EYE):
                _add_lid(delta, each, OFFICIAL_UNITS["wink"] * value)
        elif name in ("gaze_left_x", "gaze_right_x"):
            _add_eye_x(delta, side, OFFICIAL_UNITS["gaze_x"] * value)
        elif name in ("gaze_left_y", "gaze_right_y"):
            _add_eye_y(delta, side, OFFICIAL_UNITS["gaze_y"] * value)
        elif name == "frown":
            _add_brow(delta, -OFFICIAL_UNITS["frown"] * value)
        else:
            delta += official_delta({name: OFFICIAL_UNITS[name] * value})
    return delta
