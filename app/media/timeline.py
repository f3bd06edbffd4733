"""Pair clips by time: which frame of each clip belongs to an output frame. Pure functions on Fractions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from models.messages import msg

LengthRule = Literal["source", "driving", "shortest", "loop"]
LENGTH_RULES: tuple[str, ...] = get_args(LengthRule)


def frame_at(times: Sequence[Fraction], time: Fraction) -> int:
    """Index of the frame that is shown at ``time``: the last one that has started, the first one before the start.

    Args:
        times: Start times of the frames in seconds, increasing.
        time: Time in seconds.
    """
    if not times:
        raise ValueError("a clip without frames shows nothing")
    return max(0, bisect_right(times, time) - 1)


def output_duration(source: Fraction | None, driving: Fraction, rule: LengthRule) -> Fraction:
    """Length of the output in seconds.

    Args:
        source: Length of a moving source; None for a still one, which lasts as long as needed.
        driving: Length of the driving clip.
        rule: "source": as the source (the driving clip's last pose is held or it is cut); "driving": as the driving
            clip (the source's last frame is held or it is cut); "shortest": as the shorter; "loop": as the longer, the
            shorter starting over.
    """
    if rule not in LENGTH_RULES:
        raise ValueError(msg("length rule {rule!r} is not one of {names}", rule, ", ".join(LENGTH_RULES)))
    if source is None or rule == "driving":
        return driving
    if rule == "source":
        return source
    return min(source, driving) if rule == "shortest" else max(source, driving)


def clip_time(time: Fraction, duration: Fraction, loop: bool) -> Fraction:
    """Time within a clip of ``duration`` seconds that is shown at ``time``: held at the end, or starting over."""
    if duration <= 0:
        return Fraction(0)
    return time % duration if loop else min(time, duration)


def sample_times(duration: Fraction, rate: Fraction) -> Iterator[Fraction]:
    """Frame times 0, 1/rate, 2/rate ... below ``duration`` (at least one)."""
    k = 0
    while k == 0 or k / rate < duration:
        yield Fraction(k) / rate
        k += 1


def turning_times(times: Sequence[Fraction]) -> Iterator[Fraction]:
    """Frame times of a clip that plays forward and then backward, for playing in a loop; neither end is shown twice.

    Args:
        times: Start times of the frames in seconds, rising.
    """
    yield from times
    for time in reversed(times[1:-1]):
        yield 2 * times[-1] - time


@dataclass(frozen=True)
class Pair:
    """One output frame: its time in seconds and the frames of both clips that it is made of."""

    time: Fraction
    source: int
    driving: int


def pair(
    source: Sequence[Fraction],
    source_duration: Fraction,
    driving: Sequence[Fraction],
    driving_duration: Fraction,
    rule: LengthRule,
    rate: Fraction | None = None,
) -> Iterator[Pair]:
    """Pair a source clip with a driving clip by time.

    Args:
        source: Start times of the source's frames in seconds, increasing from 0.
        source_duration: Length of the source in seconds.
        driving: Start times of the driving frames.
        driving_duration: Length of the driving clip.
        rule: Length rule, see output_duration.
        rate: Output frames per second; None uses the time stamps of the clip that sets the length (the driving clip's
            under "driving", else the source's).

    Yields:
        Pairs in output order. Each shows the frames that are on screen at its time.
    """
    duration = output_duration(source_duration, driving_duration, rule)
    if rate is not None:
        times: Iterator[Fraction] = sample_times(duration, rate)
    elif rule == "driving":
        times = _repeat(driving, driving_duration, duration)
    else:
        times = _repeat(source, source_duration, duration)
    loop = rule == "loop"
    for time in times:
        yield Pair(
            time,
            frame_at(source, clip_time(time, source_duration, loop)),
            frame_at(driving, clip_time(time, driving_duration, loop)),
        )


def _repeat(times: Sequence[Fraction], period: Fraction, duration: Fraction) -> Iterator[Fraction]:
    """Frame times of a clip that starts over every ``period`` seconds, below ``duration``."""
    offset = Fraction(0)
    while True:
        for time in times:
            if time + offset >= duration:
                return
            yield time + offset
        offset += period
        if offset >= duration or period <= 0:
            return


def resample(
    frames: Iterable[tuple[Fraction, Any]], times: Iterable[Fraction], *, hold: bool, step: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """The frame on screen at each of the given times.

    Args:
        frames: (time, frame), increasing.
        times: Increasing; may be endless if the last frame is not held.
        hold: Whether the last frame stays for all later times; otherwise the output ends with it.
        step: How long the last frame lasts.
    """
    source = iter(frames)
    current = next(source, None)
    following = next(source, None) if current is not None else None
    for time in times:
        while following is not None and following[0] <= time:
            current, following = following, next(source, None)
        if current is None or (following is None and not hold and time >= current[0] + step):
            return
        yield time, current[1]
