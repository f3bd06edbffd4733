"""Drivers of a job that show no face: voices, expression tracks, life alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UsageError
from app.frames.voices import CHANNELS, RATE, TrackDriver, alone, only_part, open_track, open_voice, without_parts
from app.media.timeline import sample_times
from liveportrait.expression_track import ExpressionTrack, added
from liveportrait.rules import moves
from models.messages import msg

if TYPE_CHECKING:
    from app.media.audio import AudioSource
    from app.options import RenderOptions
    from app.render.job import Job
    from liveportrait.track import MotionTrack

Say = Callable[[str], None]


class UnseenDrivers:
    """Voices, expression tracks and life of a job.

    Args:
        job: The job.

    Attributes:
        main: In the place of the driving file, or None.
        parts: "pose", "exp", "lip" or "eyes" -> what moves it instead of the driving file.
        own: File -> what moves a face of its own.

    Raises:
        AppError: One can't be read.
    """

    def __init__(self, job: Job) -> None:
        wanted = job.options.input
        part = wanted.driving_part
        self.main = alone(part) if job.driving == Path() else open_track(job.driving, part)
        files = {region: open_track(path) for region, path in wanted.part_drivers.items()}
        self.parts = {region: driver for region, driver in files.items() if driver is not None}
        if wanted.voice:
            if "lip" in files:
                raise UsageError(
                    msg("{option:voice} and {option:lips_from} both say who moves the lips."), "Give one of them."
                )
            self.parts["lip"] = open_voice(Path(wanted.voice))
        opened = {driver.path: open_track(driver.path) for driver in wanted.subject.drivers}
        self.own = {path: driver for path, driver in opened.items() if driver is not None}

    @property
    def sound(self) -> AudioSource | None:
        """The sound that goes with the driving side: of who moves the lips, if it has one."""
        voices = (self.parts.get("lip"), self.main, *self.own.values())
        return next((one.sound for one in voices if one is not None and one.sound is not None), None)

    @property
    def alone(self) -> bool:
        """Whether nobody drives, so that the portrait just lives."""
        return self.main is not None and self.main.path == Path()

    @property
    def length(self) -> Fraction | None:
        """Seconds of what stands in the place of the driving file, as far as that is known before the work."""
        return None if self.main is None else self.main.length

    def fill(self, axis: MotionTrack, length: Fraction, rate: Fraction | None) -> None:
        """Give a track without motion the frames of what stands in the place of the driving file.

        Args:
            axis: An empty track.
            length: Seconds.
            rate: Frames a second that are asked for, or None.
        """
        for time in sample_times(length, rate or RATE):
            axis.append(time, None)
        axis.duration = length


class TrackPlay:
    """Makes expression tracks of the drivers without a face.

    Args:
        options: Options of the job.
        smile: How much the source smiles itself, 0..1.
        moving: Whether the source is a clip, which has its own life.
        warn: Told of sounds that break off.
        check: Called between blocks of sound; it raises to stop the work.
    """

    def __init__(
        self, options: RenderOptions, smile: float, moving: bool, warn: Say, check: Callable[[], None]
    ) -> None:
        self._gain = options.input.speech_gain
        self._idle = options.input.liveliness
        if self._idle is None and moving:
            self._idle = 0.0
        self._region = options.animation.region
        self._smile, self._warn, self._check = smile, warn, check

    def whole(self, driver: TrackDriver, owned: Collection[str] = ()) -> tuple[ExpressionTrack, Fraction]:
        """Expressions of a driver of a whole face, and how many seconds they last.

        Args:
            driver: The driver.
            owned: Parts of the face that others move.
        """
        track, length = self._played(driver, self._idle)
        return self._chosen(without_parts(track, owned)), length

    def parts(self, drivers: dict[str, TrackDriver]) -> tuple[ExpressionTrack, Fraction] | None:
        """Expressions of drivers of parts of the face, and how many seconds the longest lasts; None without any."""
        found = []
        for region, driver in drivers.items():
            track, length = self._played(driver, self._idle if region != "lip" else 0.0)
            found.append((self._chosen(only_part(track, region, drivers)), length))
        if not found:
            return None
        return added(track for track, _ in found), max(length for _, length in found)

    def _played(self, driver: TrackDriver, idle: float | None) -> tuple[ExpressionTrack, Fraction]:
        track, length, note = driver.played(
            idle=idle, gain=self._gain, smile=self._smile, loop=True, check=self._check
        )  # fmt: skip
        if note:
            self._warn(note)
        return track, length

    def _chosen(self, track: ExpressionTrack) -> ExpressionTrack:
        """The parts that the option "region" names."""
        gone = [region for region in CHANNELS if not moves(self._region, region)]
        return track.without(name for region in gone for name in CHANNELS[region])
