"""Playback controls: pause, seek, step, loop; callable from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Place:
    """Position and state of a player.

    Attributes:
        time: Seconds from the first frame.
        duration: Total seconds, 0 while not known.
        rate: Frames per second, 0 while not known.
        paused: Whether it is paused.
        loop: Whether it starts over at its end.
    """

    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    rate: Fraction = Fraction(0)
    paused: bool = False
    loop: bool = True


class Playback:
    """The controls of a player; thread-safe, and only ``wait`` blocks.

    Args:
        loop: Whether it starts over at its end.
    """

    def __init__(self, *, loop: bool = True) -> None:
        self._changed = threading.Condition()
        self._place = Place(loop=loop)
        self._seek: Fraction | None = None
        self._steps = 0
        self._ended = False

    @property
    def place(self) -> Place:
        """The current position and state."""
        return self._place

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self._place.paused

    @property
    def seekable(self) -> bool:
        """Whether there is a timeline."""
        return self._place.duration > 0

    def pause(self, on: bool) -> None:
        """Pause or resume; after the end, resume from the beginning."""
        with self._changed:
            if self._ended and not on:
                self._seek, self._ended = Fraction(0), False
            self._set(paused=on)

    def set_loop(self, on: bool) -> None:
        """Set whether to start over or pause at the end."""
        with self._changed:
            self._set(loop=on)

    def seek(self, time: Fraction | float) -> None:
        """Seek to a time in seconds; the latest request wins."""
        with self._changed:
            last = max(Fraction(0), self._place.duration - (1 / self._place.rate if self._place.rate else 0))
            wanted = max(Fraction(0), Fraction(time))
            self._seek = min(wanted, last) if self._place.duration else wanted
            self._steps, self._ended = 0, False
            self._set()

    def step(self, frames: int) -> None:
        """Pause and step some frames forward, or back if negative."""
        with self._changed:
            self._steps += frames
            self._set(paused=True)

    # ---- for the player -------------------------------------------------------------------------------------------
    def describe(self, duration: Fraction, rate: Fraction) -> None:
        """Set the duration and rate of the media."""
        with self._changed:
            self._set(duration=duration, rate=rate)

    def stand(self, time: Fraction) -> None:
        """Set the time of the current frame."""
        with self._changed:
            self._set(time=time)

    def end(self) -> None:
        """Pause after the last frame."""
        with self._changed:
            self._ended = True
            self._set(paused=True)

    def take(self) -> tuple[Fraction | None, int]:
        """Take the requests since the last call: time to seek to (or None) and frames to step."""
        with self._changed:
            seek, steps = self._seek, self._steps
            self._seek, self._steps = None, 0
            return seek, steps

    @property
    def seeking(self) -> bool:
        """Whether a seek is pending."""
        return self._seek is not None

    @property
    def busy(self) -> bool:
        """Whether a request is pending or the player is paused."""
        return self._seek is not None or self._steps != 0 or self.paused

    def wait(self, seconds: float | None, stop: threading.Event) -> None:
        """Wait for a time, a request or a stop, whichever comes first; None waits without a time limit."""
        with self._changed:
            if seconds is None:
                self._changed.wait_for(
                    lambda: stop.is_set() or self._seek is not None or self._steps or not self.paused
                )
            else:
                self._changed.wait_for(lambda: stop.is_set() or self.busy, max(0.0, seconds))

    def wake(self) -> None:
        """Wake ``wait`` so that it checks its stop event."""
        with self._changed:
            self._changed.notify_all()

    def _set(self, **changes: Any) -> None:
        self._place = replace(self._place, **changes)
        self._changed.notify_all()
