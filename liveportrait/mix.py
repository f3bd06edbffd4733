"""Motion to show at any time: of one driver, or with parts of the face from several."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from liveportrait.channel import ChannelPlayer, DrivingChannel
from liveportrait.driving import Shown
from liveportrait.expression_track import ExpressionTrack, between
from liveportrait.motion import Motion, angle_between, blend
from liveportrait.track import MotionTrack
from liveportrait.transfer import combine

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression

SHORTEST_EASE: Final = 0.5  # seconds of the transition from the end of a loop to its beginning
LONGEST_EASE: Final = 1.5
EASE_SPEED: Final = 30.0  # degrees per second of head turn, if the transition would otherwise be faster


@dataclass(frozen=True)
class Course:
    """Maps times of the result to times of the driving motion.

    Attributes:
        duration: Length of the driving motion in seconds.
        turn: Seconds at which the motion is reversed (time of the last frame), or None.
        ease: Seconds at the end over which it returns to the beginning, or 0.
    """

    duration: Fraction = Fraction(0)
    turn: Fraction | None = None
    ease: float = 0.0

    @classmethod
    def of(cls, rule: str, closed: bool, track: MotionTrack) -> Course:
        """The course of a render.

        Args:
            rule: Length rule; "pingpong" reverses the motion.
            closed: The end blends into the beginning.
            track: Motion of the main driver.
        """
        if rule == "pingpong":
            return cls(track.duration, track.times[-1])
        if not closed or len(track) < 3:
            return cls(track.duration)
        if not track.found:  # an expression track, which has no head motion to ease
            return cls(track.duration, None, min(SHORTEST_EASE, float(track.duration) / 2))
        angle = angle_between(track.motion(0).rotation[0], track.motion(len(track) - 1).rotation[0])
        wanted = max(SHORTEST_EASE, min(LONGEST_EASE, angle / EASE_SPEED))
        return cls(track.duration, None, min(wanted, float(track.duration) / 2))

    def place(self, time: Fraction) -> Fraction:
        """Time in the driving motion for a time of the result."""
        if self.turn is None or time <= self.turn:
            return time
        return max(Fraction(0), 2 * self.turn - time)

    def back(self, time: Fraction) -> float:
        """Progress of the return to the beginning, 0 to 1: slow at both ends."""
        if not self.ease:
            return 0.0
        part = min(1.0, max(0.0, 1 - float(self.duration - time) / self.ease))
        return part * part * (3 - 2 * part)


class PartMix:
    """Drivers of parts of the face, which replace the main driver there.

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
            main: Neutral frame of the main driver.
        """
        return self._joined({"all": main} | {name: one.channel.reference for name, one in self._players.items()})

    def join(self, motion: Motion, time: Fraction, rest: Motion | None = None, *, loop: bool = False) -> Motion:
        """Motion of the mix (N = 1) at a time.

        Args:
            motion: Motion of the main driver.
            time: Seconds.
            rest: Motion that a lost driver eases to (N = 1); None is each driver's own reference.
            loop: Whether drivers start over after their end; otherwise their last frame holds.
        """
        if not self._players:
            return motion
        shown = {name: one.at(time, rest, loop=loop).motion for name, one in self._players.items()}
        return self._joined({"all": motion} | {name: one for name, one in shown.items() if one is not None})

    def _joined(self, motions: dict[str, Motion]) -> Motion:
        return motions["all"] if len(motions) == 1 else combine(motions, self._engine.regions)


def at_rest(motion: Motion, reference: Motion, regions: Collection[str], engine: Engine) -> Motion:
    """Motion (N = 1) whose regions rest, for what moves them without motion.

    Args:
        motion: Motion of a frame (N = 1).
        reference: Its neutral frame (N = 1).
        regions: "pose", "exp", "lip" or "eyes".
        engine: Engine of both.
    """
    return combine({"all": motion} | dict.fromkeys(regions, reference), engine.regions) if regions else motion


class MotionMix:
    """Motion at increasing times; drivers are synchronised by time.

    Args:
        engine: Engine of all drivers.
        main: Driver of all parts that have no other driver; None keeps those parts as they are in the source.
        others: "pose", "exp", "lip" or "eyes" -> its driver.
        loop: Whether drivers start over after their end; otherwise their last frame holds.
        course: Maps times of the result to times of the motion; None uses the same time.
        track: Expressions to add to the motion, or None.
        resting: Regions that only the track moves: the drivers' motion is not used there.

    Attributes:
        reference: Neutral frame of the mix (N = 1); None without motion.
    """

    def __init__(
        self,
        engine: Engine,
        main: DrivingChannel | None,
        others: Mapping[str, DrivingChannel] | None = None,
        *,
        loop: bool = False,
        course: Course | None = None,
        track: ExpressionTrack | None = None,
        resting: Collection[str] = (),
    ) -> None:
        self._course = course or Course()
        self._first: tuple[Motion | None, Expression | None] | None = None
        self._main = None if main is None else ChannelPlayer(main)
        self._engine = engine
        self._parts = PartMix(engine, others or {})
        self._loop = loop
        self._track = track
        rest = main or next(iter((others or {}).values()), None)
        self._rest = None if rest is None else rest.reference
        self._resting = frozenset(resting)
        self.reference = None if self._rest is None else self._parts.reference(self._rest)

    def at(self, time: Fraction, rest: Motion | None = None) -> Shown:
        """Motion at a time; times must increase.

        Args:
            time: Seconds.
            rest: Motion that a lost driver eases to (N = 1); None is each driver's own reference.
        """
        back, time = self._course.back(time), self._course.place(time)
        shown = Shown(self._rest, None) if self._main is None else self._main.at(time, rest, loop=self._loop)
        joined = None if shown.motion is None else self._parts.join(shown.motion, time, rest, loop=self._loop)
        if joined is not None and self.reference is not None:
            joined = at_rest(joined, self.reference, self._resting, self._engine)
        expression = self._expression(time)
        if self._course.ease:
            self._first = self._first or (joined, expression)
            if back and joined is not None and self._first[0] is not None:
                joined = blend(joined, self._first[0], back)
            if back and expression is not None and self._first[1] is not None:
                expression = between(expression, self._first[1], back)
        return replace(shown, motion=joined, reference=self.reference, expression=expression)

    def _expression(self, time: Fraction) -> Expression | None:
        if self._track is None:
            return None
        seconds = float(time)
        return self._track.at(seconds % self._track.duration if self._loop else seconds)
