"""Motion to show at any time: of one driver, or parts of the face from several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from liveportrait.channel import ChannelPlayer, DrivingChannel
from liveportrait.driving import Shown
from liveportrait.motion import Motion, angle_between, blend
from liveportrait.track import MotionTrack
from liveportrait.transfer import combine

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

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


class PartMix:
    """Drivers of parts of the face, in the place of what the main driver shows there.

    Args:
        engine: Engine of all drivers.
        channels: "pose", "exp", "lip" or "eyes" -> its driver.
    """

    def __init__(self, engine: Engine, channels: Mapping[str, DrivingChannel]) -> None:
        self._engine = engine
        self._players = {region: ChannelPlayer(channel) for region, channel in channels.items()}

    def reference(self, main: Motion) -> Motion:
        """Neutral frame (N = 1) of the mix.

        Args:
            main: That of the main driver.
        """
        return self._joined({"all": main} | {name: one.channel.reference for name, one in self._players.items()})

    def join(self, motion: Motion, time: Fraction, rest: Motion | None = None, *, loop: bool = False) -> Motion:
        """Motion of the mix (N = 1) at a time.

        Args:
            motion: What the main driver shows.
            time: Seconds.
            rest: What lost motion eases to (N = 1); None is each driver's own reference.
            loop: Whether drivers start over after their end; otherwise their last frame holds.
        """
        shown = {name: one.at(time, rest, loop=loop)[0] for name, one in self._players.items()}
        return self._joined({"all": motion} | shown)

    def _joined(self, motions: dict[str, Motion]) -> Motion:
        return motions["all"] if len(motions) == 1 else combine(motions, self._engine.regions)


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
        self,
        engine: Engine,
        main: DrivingChannel,
        others: Mapping[str, DrivingChannel] | None = None,
        *,
        loop: bool = False,
        course: Course | None = None,
    ) -> None:
        self._course = course or Course()
        self._first: Motion | None = None
        self._main = ChannelPlayer(main)
        self._parts = PartMix(engine, others or {})
        self._loop = loop
        self.reference = self._parts.reference(main.reference)

    def at(self, time: Fraction, rest: Motion | None = None) -> Shown:
        """Motion at a time; times must rise.

        Args:
            time: Seconds.
            rest: What lost motion eases to (N = 1); None is each driver's own reference.
        """
        back, time = self._course.back(time), self._course.place(time)
        motion, seen, index = self._main.at(time, rest, loop=self._loop)
        joined = self._parts.join(motion, time, rest, loop=self._loop)
        if self._course.ease:
            self._first = self._first or joined
            joined = blend(joined, self._first, back) if back else joined
        return Shown(joined, self.reference, seen, index, self._main.channel.still)
