"""Motion templates as drivers: open them, check them against an engine, select a part."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import MediaError, UsageError
from app.media import files
from liveportrait.motion_check import FINEST
from liveportrait.template_reader import load_template
from models.messages import about, msg

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.template import MotionTemplate
    from liveportrait.track import MotionTrack


def open_template(path: Path) -> MotionTemplate:
    """Read a motion template.

    Raises:
        MediaError: The file is missing or not a usable template.
    """
    files.check_input(path)
    try:
        return load_template(path)
    except ValueError as error:
        text = str(error)
        named = text if path.name in text else f"{path}: {text}"
        raise MediaError(named, "Make it again with `animate template make`.") from None
    except OSError as error:
        raise files.read_error(path, error) from error


def open_fitting(path: Path, engine: Engine) -> MotionTemplate:
    """Open a motion template that matches an engine's keypoints.

    Raises:
        MediaError: It can't be read.
        UsageError: It was made for another engine.
    """
    template = open_template(path)
    check_fits(template, path, engine)
    return template


def check_fits(template: MotionTemplate, path: Path, engine: Engine) -> None:
    """Check that a template matches an engine's keypoints.

    Raises:
        UsageError: It was made for another engine.
    """
    try:
        template.require(engine.family, engine.keypoints)
    except ValueError as error:
        raise UsageError(about(path, str(error))) from None


def time_base_of(times: tuple[Fraction, ...]) -> Fraction | None:
    """Unit in which all time stamps are whole numbers, or None if there is no practical one."""
    unit = 1
    for stamp in times:
        unit = math.lcm(unit, stamp.denominator)
        if unit > FINEST:
            return None
    return Fraction(1, unit)


def fill_track(
    track: MotionTrack, template: MotionTemplate, start: Fraction | None = None, end: Fraction | None = None
) -> int | None:
    """Copy the motion of a template, or of a part of it, into a track.

    Args:
        track: An empty track.
        template: The template.
        start: Seconds from its first frame at which the part begins.
        end: Seconds from its first frame at which it ends.

    Returns:
        Number of the neutral frame chosen when the template was made, or None.

    Raises:
        UsageError: The part contains no frame, or none with a face.
    """
    chosen, duration = part_of(template, start, end)
    first = template.times[chosen[0]]
    for index in chosen:
        track.append(template.times[index] - first, template.motion[index] if template.found[index] else None)
    track.duration = duration
    return template.reference if template.source.get("reference") == "chosen" else None


def part_of(template: MotionTemplate, start: Fraction | None, end: Fraction | None) -> tuple[list[int], Fraction]:
    """Numbers of the frames in a part of a template, and their duration in seconds.

    Args:
        template: The template.
        start: Seconds from its first frame at which the part begins.
        end: Seconds from its first frame at which it ends.

    Raises:
        UsageError: The part contains no frame, or none with a face.
    """
    origin, last = template.times[0], min(end or template.duration, template.duration)
    chosen = [i for i, stamp in enumerate(template.times) if (start or 0) <= stamp - origin < last]
    if not any(template.found[i] for i in chosen):
        what = "no frame with a face" if chosen else "no frame"
        raise UsageError(
            msg(
                "{option:start}: the template has {what} from {start:g} s to {last:g} s.",
                what, float(start or 0), float(last),
            ),
            msg("It lasts {duration:g} s.", float(template.duration)),
        )  # fmt: skip
    return chosen, last - (template.times[chosen[0]] - origin)
