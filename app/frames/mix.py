"""Motion of a job at any time: one driver, or parts of the face from several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from app.frames.motion import MotionSampler
from app.frames.track import MotionTrack
from liveportrait.animator import FaceHold
from liveportrait.motion import Motion, angle_between, blend
from liveportrait.transfer import combine

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

HOLD: Final = 0.5  # seconds that the last motion is held after the driving face was lost
EASE: Final = 0.7  # seconds over which it then eases to neutral


@dataclass
class Driver:
    """One driving clip, read.

    Attributes:
        track: Motion of every frame.
        reference: The neutral frame (N = 1).
    """

    track: MotionTrack
    reference: Motion


@dataclass(frozen=True)
class Shown:
    """Motion of one driver, or of one mix of drivers, at a time.

    Attributes:
        motion: What to show (N = 1).
        seen: Whether the main driver shows a face.
        index: Number of its frame on screen.
        reference: The neutral frame (N = 1).
        still: Whether the driver is a single picture.
    """

    motion: Motion
    seen: bool
    index: int
    reference: Motion
    still: bool


SHORTEST_EASE: Final = 0.5  # seconds over which the end of a loop runs into its beginning
LONGEST_EASE: Final = 1.5
EASE_SPEED: Final = 30.0  # degrees a second that the head turns meanwhile, where that takes longer


@dataclass(frozen=True)
class Course:
    """Which moment of the driving motion is shown when.

    Attributes:
        duration: Length of the driving motion in seconds.
        turn: Seconds at which the motion turns back (time of the last frame), or None.
        ease: Seconds at the end over which it runs into the beginning, or 0.
    """

    duration: Fraction = Fraction(0)
    turn: Fraction | None = None
    ease: float = 0.0

    @classmethod
    def of(cls, rule: str, closed: bool, track: MotionTrack) -> Course:
        """The course of a render.

        Args:
            rule: Length rule; "pingpong" turns back.
            closed: The end runs into the beginning.
            track: Motion of the main driver.
        """
        if rule == "pingpong":
            return cls(track.duration, track.times[-1])
        if not closed or len(track) < 3:
            return cls(track.duration)
        angle = angle_between(track.motion(0).rotation[0], track.motion(len(track) - 1).rotation[0])
        wanted = max(SHORTEST_EASE, min(LONGEST_EASE, angle / EASE_SPEED))
        return cls(track.duration, None, min(wanted, float(track.duration) / 2))

    def place(self, time: Fraction) -> Fraction:
        """Moment of the driving motion at a time of the result."""
        if self.turn is None or time <= self.turn:
            return time
        return max(Fraction(0), 2 * self.turn - time)

    def back(self, time: Fraction) -> float:
        """How far the motion has gone back to its beginning, 0 to 1: slow at both ends."""
        if not self.ease:
            return 0.0
        part = min(1.0, max(0.0, 1 - float(self.duration - time) / self.ease))
        return part * part * (3 - 2 * part)


class MotionMix:
    """Motion to show at rising times; drivers are paired by time.

    Args:
        engine: Engine of all drivers.
        main: Owner of what nobody else owns.
        others: "pose", "exp", "lip" or "eyes" -> its owner.
        loop: Whether drivers start over after their end; otherwise their last frame holds.
        course: Which moment of the motion is shown when; None is that of the same time.

    Attributes:
        reference: Neutral frame of the mix (N = 1).
    """

    def __init__(
        self, engine: Engine, main: Driver, others: Mapping[str, Driver], loop: bool, course: Course | None = None
    ) -> None:
        self._course = course or Course()
        self._first: Motion | None = None
        self._engine = engine
        self._drivers = {"all": main, **others}
        self._samplers = {name: MotionSampler(driver.track, loop) for name, driver in self._drivers.items()}
        self._holds = {name: FaceHold(HOLD, EASE) for name in self._drivers}
        self._before = Fraction(0)
        self.reference = self._joined({name: driver.reference for name, driver in self._drivers.items()})

    def at(self, time: Fraction, rest: Motion | None) -> Shown:
        """Motion at a time; times must rise.

        Args:
            time: Seconds.
            rest: What lost motion eases to (N = 1); None is each driver's own reference.
        """
        back, time = self._course.back(time), self._course.place(time)
        dt, self._before = abs(float(time - self._before)), time
        shown: dict[str, Motion] = {}
        seen, index = True, 0
        for name, driver in self._drivers.items():
            motion, number = self._samplers[name](time)
            if name == "all":
                seen, index = motion is not None, number
            shown[name] = self._holds[name](motion, driver.reference if rest is None else rest, dt)
        joined = self._joined(shown)
        if self._course.ease:
            self._first = self._first or joined
            joined = blend(joined, self._first, back) if back else joined
        return Shown(joined, seen, index, self.reference, len(self._drivers["all"].track) == 1)

    def _joined(self, motions: dict[str, Motion]) -> Motion:
        return motions["all"] if len(motions) == 1 else combine(motions, self._engine.regions)
