"""Readings of a face tracker in real time: relative to a neutral face, smoothed, and bridged while the face is lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.blendshapes import FaceReading
from liveportrait.driving import FaceHold
from liveportrait.expression import SLIDERS, Expression
from liveportrait.live_channel import APPROACH, GAP, POOL, WINDOW, NeutralWindow
from liveportrait.smoothing import OneEuro

Floats = npt.NDArray[np.float32]

_NAMES: Final = tuple(SLIDERS)
_REST: Final = np.array([SLIDERS[name].default for name in _NAMES], np.float32)
_LEAST: Final = np.array([SLIDERS[name].minimum for name in _NAMES], np.float32)
_MOST: Final = np.array([SLIDERS[name].maximum for name in _NAMES], np.float32)


def mean_reading(readings: Sequence[FaceReading]) -> FaceReading:
    """Mean of one or more readings."""
    names = dict.fromkeys(name for reading in readings for name in reading.shapes)
    shapes = {name: sum(r.shapes.get(name, 0.0) for r in readings) / len(readings) for name in names}
    pitch, yaw, roll = (_mean_angle([reading.head[axis] for reading in readings]) for axis in range(3))
    gazes = [reading.gaze for reading in readings if reading.gaze is not None]
    gaze = (sum(x for x, _ in gazes) / len(gazes), sum(y for _, y in gazes) / len(gazes)) if gazes else None
    return FaceReading(shapes, (pitch, yaw, roll), gaze)


class LiveReadings:
    """Converts the readings of a tracker to the expression to show.

    Trackers know the neutral face, but often not their own position relative to it: the head pose is then relative to
    that of the first half second. ``recentre`` uses the whole face of another half second as neutral.

    Args:
        countdown: Receives the whole seconds left of a countdown, 0 when the new neutral face is captured.
    """

    def __init__(self, countdown: Callable[[int], None] | None = None) -> None:
        self._window = NeutralWindow(countdown)
        self._hold: FaceHold[Floats] = FaceHold(mix=_mixed)
        self._filter = OneEuro()
        self.reset()

    def reset(self) -> None:
        """Start over with another driver."""
        self._hold.reset()
        self._filter.reset()
        self._window.reset()
        self._time: float | None = None
        self._rest: FaceReading | None = None  # reference of all values; None before the first reading
        self._head_only = self._next_head_only = True
        self._left = np.zeros_like(_REST)  # remaining transition to a new neutral face
        self._pool: list[FaceReading] = []

    def recentre(self, at: float) -> None:
        """Use the face of the half second after a time as neutral; callable from any thread."""
        self._window.ask(at)

    def __call__(self, reading: FaceReading | None, time: float, *, smooth: bool = True) -> Expression:
        """The expression to show.

        Args:
            reading: The tracker's reading, or None while it sends no face.
            time: Arrival time in seconds.
            smooth: Smooth it with the One-Euro filter.
        """
        dt = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        self._left *= math.exp(-dt / APPROACH)
        if self._window.asked(time):
            self._pool, self._next_head_only = [], False
        values = None
        if reading is not None:
            self._look(reading, time)
            values = self._measured(reading) + self._left
            if dt > GAP:
                self._filter.reset()
            if smooth:
                span = _MOST - _LEAST
                values = self._filter(values / span, dt) * span
        return _expression(self._hold(values, _REST, dt))

    def _look(self, reading: FaceReading, time: float) -> None:
        """Search the neutral face during the search window."""
        window = self._window
        if self._rest is None:
            self._rest = FaceReading() if reading.levelled else reading
            if not reading.levelled and window.end == -math.inf:
                window.start, window.end = time, time + WINDOW
        if time < window.start or window.end == -math.inf:
            return
        if time <= window.end and len(self._pool) < POOL:
            self._pool.append(reading)
        elif time > window.end:
            before, window.end = self._measured(reading), -math.inf
            self._rest, self._pool = mean_reading(self._pool or [reading]), []
            self._head_only = self._next_head_only
            self._left = self._left + before - self._measured(reading)

    def _measured(self, reading: FaceReading) -> Floats:
        """Values of all sliders, relative to the neutral face."""
        assert self._rest is not None
        expression = reading.since(self._rest, head_only=self._head_only).expression()
        return np.array([expression.values.get(name, SLIDERS[name].default) for name in _NAMES], np.float32)


def _mixed(first: Floats, second: Floats, share: float) -> Floats:
    return np.asarray(first + (second - first) * share, np.float32)


def _expression(values: Floats) -> Expression:
    within: npt.NDArray[Any] = np.clip(values, _LEAST, _MOST)
    return Expression({name: float(v) for name, v in zip(_NAMES, within, strict=True) if v != SLIDERS[name].default})


def _mean_angle(degrees: Sequence[float]) -> float:
    """Mean of angles that may wrap around at 180."""
    first = degrees[0]
    middle = first + sum(math.remainder(angle - first, 360.0) for angle in degrees) / len(degrees)
    return math.remainder(middle, 360.0)
