"""Motion of a job at any time: one driver, or parts of the face from several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from app.render.motion import MotionSampler
from app.render.track import MotionTrack
from liveportrait.animator import FaceHold
from liveportrait.motion import Motion
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


class MotionMix:
    """Motion to show at rising times; drivers are paired by time.

    Args:
        engine: Engine of all drivers.
        main: Owner of what nobody else owns.
        others: "pose", "exp", "lip" or "eyes" -> its owner.
        loop: Whether drivers start over after their end; otherwise their last frame holds.

    Attributes:
        reference: Neutral frame of the mix (N = 1).
    """

    def __init__(self, engine: Engine, main: Driver, others: Mapping[str, Driver], loop: bool) -> None:
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
        dt, self._before = float(time - self._before), time
        shown: dict[str, Motion] = {}
        seen, index = True, 0
        for name, driver in self._drivers.items():
            motion, number = self._samplers[name](time)
            if name == "all":
                seen, index = motion is not None, number
            shown[name] = self._holds[name](motion, driver.reference if rest is None else rest, dt)
        return Shown(self._joined(shown), seen, index, self.reference, len(self._drivers["all"].track) == 1)

    def _joined(self, motions: dict[str, Motion]) -> Motion:
        return motions["all"] if len(motions) == 1 else combine(motions, self._engine.regions)
