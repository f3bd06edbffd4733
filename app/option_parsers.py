"""Parse option values that are more than a number or a word: rates, times, points, colours, sliders.

Faces, crops and drivers of faces are in ``app.choices``. This module deliberately imports nothing heavy: the command
line needs it for ``--help``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.expression import Expression


MOST_DIGITS: Final = 60  # in a number typed by the user
SMALLEST_SIDE: Final = 16
LARGEST_SIDE: Final = 16384
LONGEST: Final = 10**7  # seconds of a clip, nearly four months
REGIONS: Final = ("pose", "lip", "eyes")  # regions that can be combined


def parse_rate(text: str) -> Fraction | None:
    """Frame rate as an exact fraction; an empty text is None.

    29.97, 23.976, 59.94 and 119.88 stand for the exact NTSC fractions.
    """
    if not text:
        return None
    try:
        rate = _fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise ValueError(msg("{text!r} is not a frame rate above 0 and up to 1000, such as 25 or 30000/1001.", text))
    for whole in (24, 30, 48, 60, 120):
        ntsc = Fraction(whole * 1000, 1001)
        if rate.denominator != 1 and abs(rate - ntsc) < Fraction(6, 1000):
            return ntsc
    return rate


def parse_time(text: str) -> Fraction | None:
    """A time in a clip as exact seconds: "2.5", "1:02.5" or "1:00:00"; an empty text is None."""
    if not text:
        return None
    parts = text.strip().split(":")
    try:
        values = [_fraction(part) for part in parts]
    except (ValueError, ZeroDivisionError):
        values = []
    later = all(value < 60 for value in values[1:]) and all(value.denominator == 1 for value in values[:-1])
    if not 1 <= len(values) <= 3 or min(values) < 0 or not later:
        raise ValueError(msg("{text!r} is not a time in seconds, or minutes and seconds, such as 2.5 or 1:02.5.", text))
    seconds = Fraction(0)
    for value in values:
        seconds = 60 * seconds + value
    if seconds > LONGEST:
        raise ValueError(msg("{text!r} is longer than any clip.", text))
    return seconds


def parse_size(text: str) -> tuple[int, int] | None:
    """A width and height such as 1080x1920; an empty text is None."""
    if not text:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*[xX\u00d7]\s*([0-9]{1,6})\s*", text)
    size = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        raise ValueError(
            msg(
                "{text!r} is not a size such as 1080x1920, with sides of {smallest_side} to {largest_side} px.",
                text, SMALLEST_SIDE, LARGEST_SIDE
            )
        )  # fmt: skip
    return size


def parse_regions(text: str) -> str:
    """Regions joined by commas, in canonical order and without those contained in others: "eyes,lip" is "lip,eyes"."""
    named = [part.strip() for part in re.split(r"[,+]", text)]
    wrong = [part for part in named if part not in ("all", "exp", *REGIONS)]
    if wrong:
        near = get_close_matches(wrong[0], ("all", "exp", *REGIONS), 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            msg("{wrong!r} is not one of all, exp, pose, lip, eyes, or several joined by commas.{hint}", wrong[0], hint)
        )
    if "all" in named or {"pose", "exp"} <= set(named):
        return "all"
    if "exp" in named:
        return "exp"
    return ",".join(part for part in REGIONS if part in named)


def parse_points(text: str) -> list[tuple[float, float]]:
    """Parse nine points of an animal's face from the text of a file: x and y on each line; # begins a comment."""
    lines = [line.partition("#")[0].replace(",", " ").split() for line in text.splitlines()]
    try:
        points = [(float(x), float(y)) for x, y in (line for line in lines if line)]
    except ValueError:
        raise ValueError("each line must contain two numbers, x and y in pixels.") from None
    if len(points) != 9 or not all(math.isfinite(v) for point in points for v in point):
        raise ValueError(msg("nine points are needed, one on each line; there are {count}.", len(points)))
    return points


def parse_share(text: str) -> float | None:
    """A number from 0 to 1; an empty text is None."""
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(msg("{text!r} is not a number from 0 to 1.", text))
    return share


def parse_sliders(text: str) -> dict[str, float]:
    """Parse sliders and ratios such as "smile=0.5,yaw=10" to name -> value; app.expressions checks names and ranges."""
    values: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;\s]+", text))):
        name, _, number = part.partition("=")
        try:
            values[name.strip().replace("-", "_")] = float(number)
        except ValueError:
            raise ValueError(msg("{part!r} is not a slider with a value such as smile=0.5.", part)) from None
        if not name or not math.isfinite(values[name.strip().replace("-", "_")]):
            raise ValueError(msg("{part!r} is not a slider with a value such as smile=0.5.", part))
    expression_of(values)
    return values


def expression_of(values: Mapping[str, float]) -> Expression:
    """Expression from sliders by name and the ratios eyes, left_eye, right_eye and lips (0 is closed).

    Raises:
        ValueError: An unknown name or a value out of range.
    """
    from liveportrait.expression import Expression

    own = dict(values)
    both = own.pop("eyes", None)
    left, right = own.pop("left_eye", both), own.pop("right_eye", both)
    lips = own.pop("lips", None)
    for name, value in (("left_eye", left), ("right_eye", right), ("lips", lips)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(msg("the ratio {name} must be within 0 to 1, not {value:g}.", name, value))
    eyes = None if left is None and right is None else (left, right)
    return Expression(own, eye_ratio=eyes, lip_ratio=lips)


def parse_mask(text: str) -> str:
    """Check a paste-back mask: auto, template, matte, parse/NAME, or the path of an ONNX file."""
    if (
        text in ("auto", "template", "matte")
        or text.lower().endswith(".onnx")
        or re.fullmatch(r"parse/[a-z0-9_.-]+", text)
    ):
        return text
    raise ValueError(msg("{text!r} is not auto, template, matte, parse/NAME or the path of an .onnx file.", text))


def parse_reference(text: str) -> str | int:
    """Parse a neutral reference: "auto", "first" or a frame number from 0."""
    if text in ("auto", "first"):
        return text
    if re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    raise ValueError(msg("{text!r} is not auto, first or a frame number counted from 0.", text))


def parse_colour(text: str) -> tuple[int, int, int]:
    """Parse a colour #rrggbb to (red, green, blue), 0 to 255."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError(msg("{text!r} is not a colour written as #rrggbb, such as #00ff00.", text))
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _fraction(text: str) -> Fraction:
    """Exact value of a typed number or fraction; rejects absurdly long numbers."""
    short = text.strip()
    mantissa, _, exponent = short.lower().partition("e")
    if len(mantissa) > MOST_DIGITS or len(exponent) > len("-99"):
        raise ValueError(msg("{short!r} is too long for a number.", short[:20]))
    return Fraction(short)
