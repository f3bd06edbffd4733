"""The controls of a player: pause, seek, single frames, loop; commands from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a player stands.

    Attributes:
        time: Seconds from the first frame.
        duration: Seconds in all, 0 while it is not known.
        rate: Frames a second, 0 while it is not known.
        paused: Whether it stands still.
        loop: Whether it starts over at its end.
    """

    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    rate: Fraction = Fraction(0)
    paused: bool = False
    loop: bool = True


class Playback:
    """The controls of a player; safe between threads, and nothing here waits but ``wait``.

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
        """Where it stands."""
        return self._place

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._place.paused

    @property
    def seekable(self) -> bool:
        """Whether there is a time line."""
        return self._place.duration > 0

    def pause(self, on: bool) -> None:
        """Stand still, or go on; after the end from the beginning."""
        with self._changed:
            if self._ended and not on:
                self._seek, self._ended = Fraction(0), False
            self._set(paused=on)

    def set_loop(self, on: bool) -> None:
        """Start over at the end, or stand still there."""
        with self._changed:
            self._set(loop=on)

    def seek(self, time: Fraction | float) -> None:
        """Go to a time in seconds; of many wishes the last one counts."""
        with self._changed:
            last = max(Fraction(0), self._place.duration - (1 / self._place.rate if self._place.rate else 0))
            wanted = max(Fraction(0), Fraction(time))
            self._seek = min(wanted, last) if self._place.duration else wanted
            self._steps, self._ended = 0, False
            self._set()

    def step(self, frames: int) -> None:
        """Stand still, some frames further on, or back if negative."""
        with self._changed:
            self._steps += frames
            self._set(paused=True)

    # ---- for the player -------------------------------------------------------------------------------------------
    def describe(self, duration: Fraction, rate: Fraction) -> None:
        """Tell the length and rate of what is played."""
        with self._changed:
            self._set(duration=duration, rate=rate)

    def stand(self, time: Fraction) -> None:
        """Tell the time of the frame that is given out now."""
        with self._changed:
            self._set(time=time)

    def end(self) -> None:
        """The last frame was given out: stand still."""
        with self._changed:
            self._ended = True
            self._set(paused=True)

    def take(self) -> tuple[Fraction | None, int]:
        """Time to go to (or None) and frames to step that were asked for since the last call."""
        with self._changed:
            seek, steps = self._seek, self._steps
            self._seek, self._steps = None, 0
            return seek, steps

    @property
    def seeking(self) -> bool:
        """Whether another time was asked for."""
        return self._seek is not None

    @property
    def busy(self) -> bool:
        """Whether somebody asked for something, or for standing still."""
        return self._seek is not None or self._steps != 0 or self.paused

    def wait(self, seconds: float | None, stop: threading.Event) -> None:
        """Wait for a time, a control or a stop, whichever comes first; None while it stands still."""
        with self._changed:
            if seconds is None:
                self._changed.wait_for(
                    lambda: stop.is_set() or self._seek is not None or self._steps or not self.paused
                )
            else:
                self._changed.wait_for(lambda: stop.is_set() or self.busy, max(0.0, seconds))

    def wake(self) -> None:
        """Let ``wait`` look at its stop."""
        with self._changed:
            self._changed.notify_all()

    def _set(self, **changes: Any) -> None:
        self._place = replace(self._place, **changes)
        self._changed.notify_all()
