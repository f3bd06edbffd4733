"""Play clips, templates and stills in real time, controlled by a Playback."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.clip_options import WHOLE, Part
from app.errors import MediaError
from app.frames.templates import open_fitting, part_of
from app.media.timeline import resample
from app.sources.playback import Playback
from app.sources.sample import Clock, Pixels, Sample, Source

if TYPE_CHECKING:
    from app.frames.voices import Performance
    from liveportrait.engines.base import Engine

SLEPT: Final = 1.0  # seconds of delay after which a player continues from its position
AHEAD: Final = 3  # frames decoded ahead

Shot = tuple[Fraction, Pixels | None]
"""Seconds from the first frame; image of a clip or still."""


class FrameSource(ABC):
    """Media that a player plays.

    Attributes:
        duration: Total seconds, 0 if not known before playing.
        rate: Frames per second.
        play: What a driver without a face plays, or None.
        lone: Whether it is a single image, which is shown once and held.
    """

    duration: Fraction
    rate: Fraction
    play: Performance | None = None
    lone: bool = False
    decodes: bool = False  # whether decoding ahead is worthwhile

    @abstractmethod
    def frames(self, start: Fraction) -> Iterator[Shot]:
        """Seconds from the first frame, and image, of all frames from a time on."""

    def close(self) -> None:  # noqa: B027 - a template has nothing to release
        """Release all resources."""


class ClipFrames(FrameSource):
    """A video, animated image or image sequence.

    Args:
        path: The clip.
        part: Start and end of the part to play.
        rate: Frames per second to play it at; None uses its own time stamps.
        film: Whether the clip drives, see open_clip.

    Raises:
        AppError: It can't be read, or does not contain the part.
    """

    decodes = True

    def __init__(self, path: Path, part: Part = WHOLE, rate: Fraction | None = None, *, film: bool = False) -> None:
        from app.media.reader import open_clip

        self._clip = open_clip(path, *part, film=film)
        info = self._clip.info
        self._zero = self._clip.find_offset()
        whole = info.duration or (info.frames / info.rate if info.frames else Fraction(0))
        self.rate, self._asked = rate or info.rate, rate
        self.duration = max(Fraction(0), min(part[1] or whole, whole) - self._zero)

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See FrameSource.frames."""
        shown: Iterator[tuple[Fraction, Pixels]] = self._frames(start)
        if self._asked is not None:
            first, step = math.ceil(start * self._asked), 1 / self._clip.info.rate
            times = (Fraction(number) / self._asked for number in count(first))
            shown = resample(shown, times, hold=False, step=step)
        yield from shown

    def _frames(self, start: Fraction) -> Iterator[tuple[Fraction, Pixels]]:
        clip, offset = self._clip, Fraction(0)
        clip.start = self._zero + start
        for frame in clip:
            if frame.index == 0:
                offset = clip.offset - self._zero
            yield offset + frame.time, frame.rgb

    def close(self) -> None:
        """See FrameSource.close."""
        self._clip.close()


class TemplateFrames(FrameSource):
    """A motion template.

    Args:
        path: The template.
        engine: Engine that it must match.
        part: Start and end of the part to play.

    Raises:
        UsageError: It does not match the engine, or does not contain the part.
    """

    def __init__(self, path: Path, engine: Engine, part: Part = WHOLE) -> None:
        self._template = template = open_fitting(path, engine)
        self._chosen, self.duration = part_of(template, *part)
        self.rate = len(self._chosen) / self.duration

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See FrameSource.frames."""
        template, zero = self._template, self._template.times[self._chosen[0]]
        for index in self._chosen:
            if (time := template.times[index] - zero) >= start:
                yield time, None


class StillFrames(FrameSource):
    """A still image of a face, whose expression is applied and held.

    Args:
        path: The image.

    Raises:
        AppError: It can't be read.
    """

    lone = True

    def __init__(self, path: Path) -> None:
        from app.media.images import flatten, read_image

        still = read_image(path)
        self._rgb = flatten(still.rgb, still.alpha)
        self.duration, self.rate = Fraction(0), Fraction(1)

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See FrameSource.frames."""
        yield Fraction(0), self._rgb


class Player(Source):
    """Plays media in real time, controlled by a ``Playback``; a frame late by more than half its duration is dropped.

    Args:
        make: Opens the media; raises AppError.
        playback: The controls; their timeline is that of the media.
        clock: Source of seconds.
    """

    def __init__(self, make: Callable[[], FrameSource], playback: Playback, clock: Clock) -> None:
        self._make = make
        self._playback = playback
        self._clock = clock
        self._stop = threading.Event()
        self._source: FrameSource | None = None
        self._frames: Any = None
        self._base = 0.0  # clock time at which the first frame would have been due
        self._time: Fraction | None = None  # of the last frame delivered
        self._late: Shot | None = None  # frame dropped after it
        self._count = 0
        self._rebase = True

    def open(self) -> None:
        """See Source.open."""
        self.close()
        self._source = self._make()
        self._playback.describe(self._source.duration, self._source.rate)
        self._play_from(Fraction(0))

    def close(self) -> None:
        """See Source.close."""
        self._let_go()
        if self._source is not None:
            self._source.close()
            self._source = None

    def cancel(self) -> None:
        """See Source.cancel."""
        self._stop.set()
        self._playback.wake()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._stop.is_set()

    def read(self) -> Sample | None:
        """See Source.read."""
        jump = self._time is None
        if self._opened.lone and not jump:
            self._stop.wait()
        while not self._stop.is_set():
            seek, steps = self._playback.take()
            if seek is not None:
                found, jump = self._sought(seek), True
            elif steps and self._time is not None:
                found, jump = self._stepped(steps), True
                if found is None:
                    continue
            elif self._playback.paused and self._time is not None:
                self._playback.wait(None, self._stop)
                self._rebase = True
                continue
            else:
                found = next(self._frames, None)
            last = found is None and not self._playback.place.loop
            if last and self._late is not None:
                found = self._late  # a clip ends on its last frame, even if that is late
            elif found is not None and not self._due(found[0], jump):
                self._late = found
                continue
            if found is None:
                jump = self._end() or jump
            else:
                self._time, self._late = found[0], None
                self._playback.stand(found[0])
                self._count += 1
                return Sample(
                    self._count - 1, self._clock(), found[1], jump=jump, play=self._opened.play, place=found[0]
                )
        return None

    @property
    def _opened(self) -> FrameSource:
        assert self._source is not None
        return self._source

    def _end(self) -> bool:
        """Handle the end: start over or pause; returns whether it starts over."""
        if not self._playback.place.loop or self._time is None:
            self._playback.end()
            return False
        self._base += float(self._time + 1 / self._opened.rate)
        self._play_from(Fraction(0), on=True)
        return True

    def _due(self, time: Fraction, jump: bool) -> bool:
        """Wait until a frame is due; False if it is dropped because it is too late or another one is requested."""
        now = self._clock()
        if self._rebase:
            self._base, self._rebase = now - float(time), False
        late = now - self._base - float(time)
        if late > SLEPT:
            self._base += late
        elif late > 1.5 / float(self._opened.rate) and not jump:
            return False
        due = self._base + float(time)
        while (left := due - self._clock()) > 0 and not (self._stop.is_set() or self._playback.busy):
            self._playback.wait(left, self._stop)
        return not (self._stop.is_set() or self._playback.seeking)

    def _play_from(self, start: Fraction, *, on: bool = False) -> None:
        """Start at a time; ``on`` continues the previous timing."""
        from app.media.prefetch import Prefetch

        self._let_go()
        self._late = None
        frames = self._opened.frames(start)
        self._frames = Prefetch(frames, AHEAD) if self._opened.decodes else frames
        self._rebase = not on

    def _let_go(self) -> None:
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()

    def _sought(self, time: Fraction) -> Shot | None:
        """The frame nearest to a time; playback continues from it."""
        self._play_from(max(Fraction(0), time - 1 / (2 * self._opened.rate)))
        try:
            found: Shot | None = next(self._frames, None)
        except MediaError:  # the time is after the end
            found = None
        return found or self._before(time, 1)

    def _stepped(self, steps: int) -> Shot | None:
        """The frame some steps from the last one, limited to the beginning and the end."""
        self._rebase = True
        if steps < 0:
            return self._before(self._time or Fraction(0), -steps)
        found = None
        for _ in range(steps):
            found = next(self._frames, None) or found
        return found

    def _before(self, time: Fraction, count: int) -> Shot | None:
        """The frame ``count`` before a time, or the first one; playback continues from it. None if there is none."""
        self._let_go()
        look, known = Fraction(count + 1), deque[Shot](maxlen=count)
        while True:
            start = max(Fraction(0), time - look / self._opened.rate)
            known.clear()
            try:
                for frame in self._opened.frames(start):
                    if frame[0] >= time:
                        break
                    known.append(frame)
            except MediaError:
                known.clear()
            if len(known) == count or start == 0:
                break
            look *= 4
        self._play_from(known[0][0] if known else time)
        next(self._frames, None)
        return known[0] if known else None
