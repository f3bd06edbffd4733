"""A clip that stands in for a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.media.camera import Camera, CameraError, CameraFacts, Clock, Mode, Pixels, RateMeter, Shot
from models.messages import msg


class FileCamera(Camera):
    """A clip played in real time as if it came from a camera.

    Args:
        path: Video, animated image or image sequence.
        rate: Frames per second; None for the clip's own time stamps.
        loop: Start over at the end; otherwise the last frame stays.
        mirror: Swap left and right.
        clock: Source of seconds.
        wait: Waits for a number of seconds or until the event is set; tests with a fake clock replace it.

    Attributes:
        missed: Number of frames dropped because they were not decoded in time.
    """

    lasting = False

    def __init__(
        self,
        path: str | Path,
        rate: Fraction | None = None,
        *,
        loop: bool = True,
        mirror: bool = False,
        clock: Clock = time.perf_counter,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        super().__init__(clock)
        self.path = Path(path)
        self.name = self.path.name
        self.missed = 0
        self._rate = rate
        self._loop = loop
        self._mirror = mirror
        self._wait = wait
        self._shots: Iterator[tuple[Fraction, int, Pixels, bool]] | None = None
        self._clip: Any = None
        self._ahead: Any = None
        self._start: float | None = None
        self._size = (0, 0)
        self._native_rate = 0.0

    def open(self) -> None:
        """See Camera.open."""
        from app.media.prefetch import Prefetch
        from app.media.reader import open_clip

        self.close()
        self._clip = open_clip(self.path, film=True)
        self._size = (self._clip.info.width, self._clip.info.height)
        self._native_rate = float(self._clip.info.rate)
        frames = self._frames()
        first = next(frames)  # errors are raised here
        self._ahead = Prefetch(frames, 3)

        def both() -> Iterator[tuple[Fraction, int, Pixels, bool]]:
            yield first
            yield from self._ahead

        self._shots = both()
        self._start = None
        self._meter = RateMeter()

    def _frames(self) -> Iterator[tuple[Fraction, int, Pixels, bool]]:
        """(due time, frame number, frame, whether the clip starts over); endless when looping."""
        if self._rate is None:
            yield from self._native()
            return
        step, count = 1 / self._rate, 0
        shown: tuple[Fraction, int, Pixels, bool] | None = None
        for following in self._native():
            while shown is not None and count * step < following[0]:
                yield count * step, *shown[1:]
                shown = (*shown[:3], False)
                count += 1
            shown = following
        if shown is not None:
            yield count * step, *shown[1:]

    def _native(self) -> Iterator[tuple[Fraction, int, Pixels, bool]]:
        offset = Fraction(0)
        while True:
            last = Fraction(0)
            for frame in self._clip:
                rgb = np.asarray(cv2.flip(frame.rgb, 1), np.uint8) if self._mirror else frame.rgb
                yield offset + frame.time, frame.index, rgb, frame.index == 0
                last = frame.time
            if not self._loop:
                return
            offset += last + 1 / self._clip.info.rate

    def read(self) -> Shot | None:
        """See Camera.read; None also after the last frame of a clip that does not loop."""
        if self._shots is None:
            raise CameraError(msg("{path} is not open.", self.path))
        jump = False
        while not self._stop.is_set():
            shot = next(self._shots, None)
            if shot is None:
                self._wait(self._stop, 3600.0)
                return None
            due, index, rgb, first = shot
            jump = jump or first
            now = self.clock()
            self._start = now if self._start is None else self._start
            late = now - (self._start + float(due))
            if late > 1.5 * float(1 / (self._rate or self._clip.info.rate)):
                if late > 1.0:  # the computer slept or was very busy: continue from here
                    self._start += late
                else:
                    self.missed += 1
                    continue
            if late < 0:
                self._wait(self._stop, -late)
                if self._stop.is_set():
                    return None
            now = self.clock()
            self._meter.tick(now)
            return Shot(index, now, rgb, jump)
        return None

    def close(self) -> None:
        """See Camera.close."""
        ahead, clip = self._ahead, self._clip
        self._ahead = self._clip = self._shots = None
        if ahead is not None:
            ahead.close()
        if clip is not None:
            clip.close()

    @property
    def facts(self) -> CameraFacts:
        """See Camera.facts."""
        rate = float(self._rate) if self._rate else 0.0
        native = Mode(*self._size, self._native_rate, False)
        return CameraFacts(self.name, "file", Mode(0, 0, rate, False), native, replace(native, rate=self._meter.rate))
