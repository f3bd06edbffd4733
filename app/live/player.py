"""Playing of clips and templates: pause, seek, single frames, loop; commands from any thread, frames in one."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.clip_options import WHOLE, Part
from app.errors import MediaError
from app.live.drivers import Clock, Driver
from app.live.frames import Captured, Pixels

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion

SLEPT: Final = 1.0  # seconds of delay after which a player goes on from where it is
AHEAD: Final = 3  # frames decoded ahead

Shot = tuple[Fraction, Pixels | None, "Motion | None"]
"""Seconds from the first frame; picture of a clip; motion of a template."""


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
    """The knobs of a player; safe between threads, and nothing here waits but ``wait``.

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
        """Wait for a time, a knob or a stop, whichever comes first; None while it stands still."""
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


class Reel(ABC):
    """What a player plays.

    Attributes:
        duration: Seconds in all, 0 if only playing tells.
        rate: Frames a second.
        reference: Neutral motion that comes with it, or None.
    """

    duration: Fraction
    rate: Fraction
    reference: Motion | None = None

    @abstractmethod
    def frames(self, start: Fraction) -> Iterator[Shot]:
        """(seconds from the first frame, picture, motion) of all frames from a time on."""

    def close(self) -> None:  # noqa: B027 - a template has nothing to give back
        """Give everything back."""


class ClipReel(Reel):
    """A video, animated picture or picture sequence.

    Args:
        path: The clip.
        part: Start and end of the part that is played.
        film: Whether the clip drives, see open_clip.

    Raises:
        AppError: It can't be read, or has no such part.
    """

    def __init__(self, path: Path, part: Part = WHOLE, *, film: bool = False) -> None:
        from app.media.reader import open_clip

        self._clip = open_clip(path, *part, film=film)
        info = self._clip.info
        self._zero = self._clip.find_offset()
        whole = info.duration or (info.frames / info.rate if info.frames else Fraction(0))
        self.rate = info.rate
        self.duration = max(Fraction(0), min(part[1] or whole, whole) - self._zero)

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See Reel.frames."""
        clip, offset = self._clip, Fraction(0)
        clip.start = self._zero + start
        for frame in clip:
            if frame.index == 0:
                offset = clip.offset - self._zero
            yield offset + frame.time, frame.rgb, None

    def close(self) -> None:
        """See Reel.close."""
        self._clip.close()


class TemplateReel(Reel):
    """A motion template.

    Args:
        path: The template.
        engine: Engine that it must fit.
        reference: "auto" and numbers keep the template's own neutral frame, "first" takes the first one.
        part: Start and end of the part that is played.

    Raises:
        UsageError: It does not fit the engine, or has no such part.
    """

    def __init__(self, path: Path, engine: Engine, reference: str, part: Part = WHOLE) -> None:
        from app.render.template import neutral_motion, open_fitting, part_of

        self._template = template = open_fitting(path, engine)
        self._chosen, self.duration = part_of(template, *part)
        self.reference = neutral_motion(template, reference, self._chosen)
        self.rate = len(self._chosen) / self.duration

    def frames(self, start: Fraction) -> Iterator[Shot]:
        """See Reel.frames."""
        template, zero = self._template, self._template.times[self._chosen[0]]
        for index in self._chosen:
            if (time := template.times[index] - zero) >= start:
                yield time, None, template.motion[index] if template.found[index] else None


class PlayerDriver(Driver):
    """Plays a clip or template in real time under a ``Playback``.

    Args:
        path: Clip, or template.
        playback: The knobs.
        clock: Source of seconds.
        engine: Engine that a template must fit; None for clips.
        reference: Neutral frame of a template, see TemplateReel.
        part: Start and end of the part that is played; the time line is that of the part.
        film: Whether a clip drives, see open_clip.
    """

    def __init__(
        self,
        path: Path,
        playback: Playback,
        clock: Clock,
        engine: Engine | None = None,
        reference: str = "auto",
        part: Part = WHOLE,
        *,
        film: bool = False,
    ) -> None:
        self._path = path
        self._part, self._film = part, film
        self._playback = playback
        self._clock = clock
        self._engine = engine
        self._choice = reference
        self._stop = threading.Event()
        self._reel: Reel | None = None
        self._frames: Any = None
        self._base = 0.0  # clock at which the first frame would have been due
        self._time: Fraction | None = None  # of the frame given out last
        self._late: Shot | None = None  # frame left out after it
        self._count = 0
        self._rebase = True

    def open(self) -> None:
        """See Driver.open."""
        self.close()
        if self._engine is not None:
            self._reel = TemplateReel(self._path, self._engine, self._choice, self._part)
        else:
            self._reel = ClipReel(self._path, self._part, film=self._film)
        self._playback.describe(self._reel.duration, self._reel.rate)
        self._play_from(Fraction(0))

    def close(self) -> None:
        """See Driver.close."""
        self._let_go()
        if self._reel is not None:
            self._reel.close()
            self._reel = None

    def cancel(self) -> None:
        """See Driver.cancel."""
        self._stop.set()
        self._playback.wake()

    @property
    def cancelled(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def read(self) -> Captured | None:
        """See Driver.read."""
        jump = self._time is None
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
                found = self._late  # a clip ends on its last frame, however late that is
            elif found is not None and not self._due(found[0], jump):
                self._late = found
                continue
            if found is None:
                jump = self._end() or jump
            else:
                self._time, self._late = found[0], None
                self._playback.stand(found[0])
                self._count += 1
                return Captured(
                    self._count - 1, self._clock(), found[1], motion=found[2], jump=jump,
                    reference=self._opened.reference, place=found[0],
                )  # fmt: skip
        return None

    @property
    def _opened(self) -> Reel:
        assert self._reel is not None
        return self._reel

    def _end(self) -> bool:
        """After the last frame: start over, or stand still; True if it starts over."""
        if not self._playback.place.loop or self._time is None:
            self._playback.end()
            return False
        self._base += float(self._time + 1 / self._opened.rate)
        self._play_from(Fraction(0), on=True)
        return True

    def _due(self, time: Fraction, jump: bool) -> bool:
        """Wait until a frame is due; False if it is left out, as it is too late or another one is wanted."""
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
        """Begin at a time; ``on`` keeps the pace of what was played before."""
        from app.media.prefetch import Prefetch

        self._let_go()
        self._late = None
        frames = self._opened.frames(start)
        self._frames = Prefetch(frames, AHEAD) if self._engine is None else frames
        self._rebase = not on

    def _let_go(self) -> None:
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()

    def _sought(self, time: Fraction) -> Shot | None:
        """The frame nearest to a time; playing goes on from it."""
        self._play_from(max(Fraction(0), time - 1 / (2 * self._opened.rate)))
        try:
            found: Shot | None = next(self._frames, None)
        except MediaError:  # there is nothing so late
            found = None
        return found or self._before(time, 1)

    def _stepped(self, steps: int) -> Shot | None:
        """The frame so many steps from the last one; the end and the beginning stop it."""
        self._rebase = True
        if steps < 0:
            return self._before(self._time or Fraction(0), -steps)
        found = None
        for _ in range(steps):
            found = next(self._frames, None) or found
        return found

    def _before(self, time: Fraction, count: int) -> Shot | None:
        """The frame so many before a time, or the first one; playing goes on from it. None if there is none."""
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
