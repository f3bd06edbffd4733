"""Drivers of a job that show no face: voices, expression tracks, idle animation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UsageError
from app.frames.voices import RATE, Manner, TrackDriver, alone, open_track, open_voice
from app.media.timeline import sample_times
from liveportrait.expression_track import ExpressionTrack, added
from models.messages import msg

if TYPE_CHECKING:
    from app.media.audio import AudioSource
    from app.options import RenderOptions
    from app.render.job import Job
    from liveportrait.track import MotionTrack

Say = Callable[[str], None]


class UnseenDrivers:
    """Voices, expression tracks and idle animation of a job.

    Args:
        job: The job.

    Attributes:
        main: Replaces the driving file, or None if there is one or nothing drives the source.
        parts: "pose", "exp", "lip" or "eyes" -> driver used instead of the driving file.
        own: File -> driver of one face.

    Raises:
        AppError: One can't be read.
    """

    def __init__(self, job: Job) -> None:
        wanted = job.options.input
        part = wanted.driving_part
        self.main: TrackDriver | None = None
        self.parts: dict[str, TrackDriver] = {}
        self.own: dict[Path, TrackDriver] = {}
        if job.posed:
            return
        spoken = bool(wanted.voice) and job.driving == Path()  # the voice then moves all
        if spoken:
            self.main = open_voice(Path(wanted.voice), part)
        else:
            self.main = alone(part) if job.driving == Path() else open_track(job.driving, part)
        files = {region: open_track(path) for region, path in wanted.part_drivers.items()}
        self.parts = {region: driver for region, driver in files.items() if driver is not None}
        if wanted.voice and not spoken:
            if "lip" in files:
                raise UsageError(msg("{option:voice} and {option:lips_from} both drive the lips."), "Give one of them.")
            self.parts["lip"] = open_voice(Path(wanted.voice))
        opened = {driver.path: open_track(driver.path) for driver in wanted.subject.drivers}
        self.own = {path: driver for path, driver in opened.items() if driver is not None}

    @property
    def sound(self) -> AudioSource | None:
        """The driving sound: that of the driver of the lips, if it has one."""
        voices = (self.parts.get("lip"), self.main, *self.own.values())
        return next((one.sound for one in voices if one is not None and one.sound is not None), None)

    @property
    def alone(self) -> bool:
        """Whether there is no driver, only idle animation."""
        return self.main is not None and self.main.path == Path()

    @property
    def idles(self) -> bool:
        """Whether the option idle has an effect: some part besides the lips has a driver without a face."""
        return self.main is not None or bool(self.own) or bool(self.parts.keys() - {"lip"})

    @property
    def length(self) -> Fraction | None:
        """Length in seconds of the driver that replaces the driving file, if known in advance."""
        return None if self.main is None else self.main.length

    def fill(self, axis: MotionTrack, length: Fraction, rate: Fraction | None) -> None:
        """Fill an empty track with the frame times of the driver that replaces the driving file.

        Args:
            axis: An empty track.
            length: Seconds.
            rate: Requested frames per second, or None.
        """
        for time in sample_times(length, rate or RATE):
            axis.append(time, None)
        axis.duration = length


class TrackPlay:
    """Creates expression tracks from drivers without a face.

    Args:
        options: Options of the job.
        smile: How much the source itself smiles, 0..1.
        moving: Whether the source is a clip, which has its own motion.
        warn: Receives warnings about truncated sounds of parts.
        check: Called between blocks of sound; raises to stop the work.
    """

    def __init__(
        self, options: RenderOptions, smile: float, moving: bool, warn: Say, check: Callable[[], None]
    ) -> None:
        self._manner = Manner.of(options, smile, moving=moving)
        self._warn, self._check = warn, check

    def whole(self, driver: TrackDriver, owned: Collection[str] = ()) -> tuple[ExpressionTrack, Fraction, str]:
        """Expressions of a driver of a whole face, their length in seconds, and a sentence if its sound is truncated.

        Args:
            driver: The driver.
            owned: Parts of the face with other drivers.
        """
        return self._played(driver, self._manner.beside(owned))

    def parts(self, drivers: dict[str, TrackDriver]) -> tuple[ExpressionTrack, Fraction] | None:
        """Expressions of drivers of parts of the face, and the longest length in seconds; None if there are none."""
        found = []
        for region, driver in drivers.items():
            track, length, note = self._played(driver, self._manner.alone(region, drivers))
            if note:
                self._warn(note)
            found.append((track, length))
        if not found:
            return None
        return added(track for track, _ in found), max(length for _, length in found)

    def _played(self, driver: TrackDriver, manner: Manner) -> tuple[ExpressionTrack, Fraction, str]:
        opened = driver.opened(self._check)
        track = opened.track(manner.idle, manner.gain, manner.smile, loop=True)
        return manner.chosen(track), opened.length, opened.note
