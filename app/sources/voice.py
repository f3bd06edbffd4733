"""Voices, expression tracks and idle animation in real time: samples with expressions and without images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, takewhile
from typing import TYPE_CHECKING, Final

from app.errors import CancelledError
from app.frames.voices import RATE, Performance, TrackDriver
from app.sources.playback import Playback
from app.sources.player import FrameSource, Player, Shot
from app.sources.sample import Clock, DriverSource

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

LIFE: Final = "Idle motion"


class TrackFrames(FrameSource):
    """A voice, an expression track or idle animation.

    Args:
        performance: The performance to play.
    """

    def __init__(self, performance: Performance) -> None:
        self.play = performance
        self.duration, self.rate = performance.length, RATE

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See FrameSource.frames; the times are those of a render."""
        times = (number / self.rate for number in count(math.ceil(start * self.rate)))
        for time in takewhile(lambda time: time < self.duration, times):
            yield time, None


class TrackPlayer(Player):
    """Plays a driver without a face; a voice is read first, block by block.

    Args:
        driver: The driver.
        playback: The controls.
        clock: Source of seconds.
    """

    def __init__(self, driver: TrackDriver, playback: Playback, clock: Clock) -> None:
        super().__init__(self._read, playback, clock)
        self._driver = driver
        self._note = ""

    def hint(self) -> str:
        """See Source.hint: whether the sound is truncated."""
        return self._note

    def _read(self) -> FrameSource:
        performance = self._driver.opened(self._check)
        self._note = performance.note
        return TrackFrames(performance)

    def _check(self) -> None:
        if self.cancelled:
            raise CancelledError("Stopped while the sound was read.")


def track_source(driver: TrackDriver, playback: Playback | None = None) -> DriverSource:
    """A driver without a face as a source.

    Args:
        driver: The driver.
        playback: Playback controls; None always plays.
    """
    playback = playback or Playback()

    def make(clock: Clock, _: Engine) -> TrackPlayer:
        return TrackPlayer(driver, playback, clock)

    return DriverSource("track", driver.path.name or LIFE, make)
