"""Maps the output of face trackers to our sliders: ARKit's 52 blend shapes and the presets of VRM avatars.

``ARKIT``, ``PRESETS`` and ``UNUSED`` are the whole mapping; docs/tracking.md prints them. "Left" in the name of a
shape is the person's own left (Apple's ARFaceAnchor.BlendShapeLocation, VRM 1.0), which a viewer sees on the right;
"left" in the name of a slider is a side of the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from liveportrait.expression import SLIDERS, Expression

Effect = Mapping[str, float]

_NONE: Final[Effect] = {}
ARKIT: Final[Mapping[str, Effect]] = {
    "eyeBlinkLeft": {"shut_right": 1.0},
    "eyeLookDownLeft": {"gaze_y": -0.5},
    "eyeLookInLeft": {"gaze_x": -0.5},
    "eyeLookOutLeft": {"gaze_x": 0.5},
    "eyeLookUpLeft": {"gaze_y": 0.5},
    "eyeSquintLeft": {"shut_right": 0.3},
    "eyeWideLeft": {"shut_right": -0.5},
    "eyeBlinkRight": {"shut_left": 1.0},
    "eyeLookDownRight": {"gaze_y": -0.5},
    "eyeLookInRight": {"gaze_x": 0.5},
    "eyeLookOutRight": {"gaze_x": -0.5},
    "eyeLookUpRight": {"gaze_y": 0.5},
    "eyeSquintRight": {"shut_left": 0.3},
    "eyeWideRight": {"shut_left": -0.5},
    "jawForward": _NONE,
    "jawLeft": _NONE,
    "jawRight": _NONE,
    "jawOpen": {"lip_open": 1.0},
    "mouthClose": {"lip_open": -1.0},
    "mouthFunnel": {"pout": 0.4, "wide": -0.4, "lip_open": 0.2},
    "mouthPucker": {"pout": 0.7, "wide": -0.6},
    "mouthLeft": _NONE,
    "mouthRight": _NONE,
    "mouthSmileLeft": {"smile": 0.5},
    "mouthSmileRight": {"smile": 0.5},
    "mouthFrownLeft": {"smile": -0.15},
    "mouthFrownRight": {"smile": -0.15},
    "mouthDimpleLeft": {"wide": 0.15},
    "mouthDimpleRight": {"wide": 0.15},
    "mouthStretchLeft": {"wide": 0.35},
    "mouthStretchRight": {"wide": 0.35},
    "mouthRollLower": {"purse": 0.3},
    "mouthRollUpper": {"purse": 0.3},
    "mouthShrugLower": {"lip_open": -0.1, "pout": 0.2},
    "mouthShrugUpper": {"pout": 0.2},
    "mouthPressLeft": {"lip_open": -0.2},
    "mouthPressRight": {"lip_open": -0.2},
    "mouthLowerDownLeft": {"lip_open": 0.15},
    "mouthLowerDownRight": {"lip_open": 0.15},
    "mouthUpperUpLeft": {"lip_open": 0.15},
    "mouthUpperUpRight": {"lip_open": 0.15},
    "browDownLeft": {"brow": -0.4, "frown": 0.3},
    "browDownRight": {"brow": -0.4, "frown": 0.3},
    "browInnerUp": {"brow": 0.5},
    "browOuterUpLeft": {"brow": 0.25},
    "browOuterUpRight": {"brow": 0.25},
    "cheekPuff": _NONE,
    "cheekSquintLeft": {"shut_right": 0.15},
    "cheekSquintRight": {"shut_left": 0.15},
    "noseSneerLeft": _NONE,
    "noseSneerRight": _NONE,
    "tongueOut": _NONE,
}
"""Shape -> value of each slider at its full weight, for a person facing the camera; in the order of Live Link Face.

"shut_left" and "shut_right" close the eye on that side of the image: the common part becomes "blink", the rest
"wink_left" or "wink_right". Eyes look together, so each eye contributes half of a gaze."""

UNUSED: Final[Mapping[str, str]] = {
    "jawForward": "no slider moves the jaw forward",
    "jawLeft": "no slider moves the jaw sideways",
    "jawRight": "no slider moves the jaw sideways",
    "mouthLeft": "no slider moves the mouth sideways",
    "mouthRight": "no slider moves the mouth sideways",
    "cheekPuff": "no slider fills the cheeks",
    "noseSneerLeft": "no slider wrinkles the nose",
    "noseSneerRight": "no slider wrinkles the nose",
    "tongueOut": "the engines draw no tongue",
}
"""Shapes of ARKit without effect, and the reason."""

PRESETS: Final[Mapping[str, Effect]] = {
    "neutral": _NONE,
    "a": {"lip_open": 0.8},
    "i": {"lip_open": 0.2, "wide": 0.5},
    "u": {"lip_open": 0.15, "pout": 0.6, "wide": -0.5},
    "e": {"lip_open": 0.4, "wide": 0.3},
    "o": {"lip_open": 0.5, "pout": 0.4, "wide": -0.5},
    "blink": {"shut_left": 1.0, "shut_right": 1.0},
    "blinkLeft": {"shut_right": 1.0},
    "blinkRight": {"shut_left": 1.0},
    "joy": {"smile": 1.0},
    "angry": {"brow": -0.6, "frown": 0.7, "smile": -0.2},
    "sorrow": {"brow": 0.3, "frown": 0.4, "smile": -0.3},
    "fun": {"smile": 0.6},
    "surprised": {"brow": 0.9, "shut_left": -0.4, "shut_right": -0.4, "lip_open": 0.4},
    "lookUp": {"gaze_y": 1.0},
    "lookDown": {"gaze_y": -1.0},
    "lookLeft": {"gaze_x": 1.0},
    "lookRight": {"gaze_x": -1.0},
}
"""Presets of VRM 0 under one spelling each, like ARKIT; they are used if a sender has no ARKit shapes."""

_VRM_1: Final = {
    "aa": "a", "ih": "i", "ou": "u", "ee": "e", "oh": "o", "happy": "joy", "sad": "sorrow", "relaxed": "fun",
    "blinkl": "blinkLeft", "blinkr": "blinkRight",
}  # fmt: skip
_NAMES: Final = {name.lower(): name for name in (*ARKIT, *PRESETS)} | _VRM_1
_SIDES: Final = {"_l": "left", "_r": "right"}
STIFF: Final = 0.9
"""Weight at rest from which the remaining range of a shape is too small to be scaled up."""
_POSE: Final = ("pitch", "yaw", "roll")


def shape_name(text: str) -> str:
    """Name in ARKIT or PRESETS for a sender's spelling ("eyeBlink_L", "EyeBlinkLeft", "Blink_L", "aa"), or empty."""
    name = text.lower()
    plain = name[:-2] + _SIDES.get(name[-2:], name[-2:])
    return _NAMES.get(plain) or _NAMES.get(name.replace("_", ""), "")


@dataclass(frozen=True)
class FaceReading:
    """State of a face at one time, according to a tracker.

    Attributes:
        shapes: Name as in ARKIT or PRESETS -> weight, 0 to 1; relative to a face at rest, -1 to 1.
        head: Degrees as in the sliders pitch, yaw and roll, of a person facing the camera.
        gaze: How far the eyes look to the right of the image and up, -1 to 1 each; None leaves it to the shapes.
        levelled: Whether the sender measures the head pose relative to rest; others measure it relative to the camera.
    """

    shapes: Mapping[str, float] = field(default_factory=dict)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] | None = None
    levelled: bool = False

    def since(self, rest: FaceReading, *, head_only: bool = False) -> FaceReading:
        """The same relative to a face at rest: the resting value becomes 0, and full stays full.

        Args:
            rest: The face at rest.
            head_only: Leave the shapes unchanged.
        """
        pitch, yaw, roll = (_turn(now - before) for now, before in zip(self.head, rest.head, strict=True))
        if head_only:
            return replace(self, head=(pitch, yaw, roll))
        shapes = {name: _risen(weight, rest.shapes.get(name, 0.0)) for name, weight in self.shapes.items()}
        gaze = self.gaze
        if gaze is not None and rest.gaze is not None:
            gaze = (_unit(gaze[0] - rest.gaze[0]), _unit(gaze[1] - rest.gaze[1]))
        return replace(self, shapes=shapes, head=(pitch, yaw, roll), gaze=gaze)

    def expression(self) -> Expression:
        """The sliders for a portrait facing the camera; ``Expression.mirrored`` is the mirror image."""
        given = {name for name in self.shapes if name in ARKIT}
        effects = ARKIT if given else PRESETS
        total: dict[str, float] = {}
        for name, weight in self.shapes.items():
            for target, amount in effects.get(name, _NONE).items():
                total[target] = total.get(target, 0.0) + amount * weight
        if self.gaze is not None:
            total["gaze_x"], total["gaze_y"] = self.gaze
        total |= _lids(total.pop("shut_left", 0.0), total.pop("shut_right", 0.0))
        total |= {name: _soft(angle, SLIDERS[name].maximum) for name, angle in zip(_POSE, self.head, strict=True)}
        return Expression({name: _within(name, value) for name, value in total.items() if value})


def _lids(left: float, right: float) -> dict[str, float]:
    """Sliders for how far two eyes are shut, -0.5 (wide) to 1: a wink is the difference between them."""
    least = SLIDERS["blink"].minimum
    left, right = (min(max(value, least), 1.0) for value in (left, right))
    both = max(min(left, right), max(left, right) - 1.0)  # a wink must not shut an eye that is wide open
    return {"blink": both, "wink_left": max(left - both, 0.0), "wink_right": max(right - both, 0.0)}


def _risen(weight: float, rest: float) -> float:
    """A weight relative to the one at rest."""
    change = weight - rest
    return min(change / (1.0 - min(rest, STIFF)), 1.0) if change > 0 and rest > 0 else _unit(change)


def _turn(degrees: float) -> float:
    """An angle within -180 to 180."""
    return math.remainder(degrees, 360.0)


def _soft(angle: float, limit: float) -> float:
    """An angle that approaches a limit smoothly."""
    return limit * math.tanh(angle / limit)


def _unit(value: float) -> float:
    return min(max(value, -1.0), 1.0)


def _within(name: str, value: float) -> float:
    return min(max(value, SLIDERS[name].minimum), SLIDERS[name].maximum)
