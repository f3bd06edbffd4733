"""Drivers of parts of the face in real time: clips and templates that are read ahead once, then play over and over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.environment import fault
from app.errors import AppError, CancelledError
from app.events import CancelToken, EventStream
from app.frames.follow import FaceFollower, read_driving
from app.frames.mix import EASE, HOLD, Driver
from app.frames.motion import MotionSampler, choose_reference, smooth_track
from app.frames.timings import Timings
from app.frames.track import MotionTrack
from app.media.files import scratch_folder
from app.media.reader import open_clip
from liveportrait.animator import FaceHold
from liveportrait.smoothing import SMOOTHING_UNIT
from liveportrait.template import is_template
from liveportrait.transfer import combine
from models.choices import LARGEST
from models.messages import about, msg

if TYPE_CHECKING:
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.tracker import FaceTracker

TICKS: Final = 10**6  # parts of a second that the session's clock is cut into


class _Part:
    """Plays one driver that was read."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._samplers = {loop: MotionSampler(driver.track, loop=loop) for loop in (False, True)}
        self._hold = FaceHold(HOLD, EASE)
        self._before = 0.0

    def __call__(self, at: Fraction, *, loop: bool) -> Motion:
        """Motion (N = 1) at a time in seconds."""
        seen, _ = self._samplers[loop](at)
        dt, self._before = max(0.0, float(at) - self._before), float(at)
        return self._hold(seen, self.driver.reference, dt)


class PartDrivers:
    """Read drivers of parts and of single faces, played along with the driver.

    A driver that is a clip leads: they show what belongs to its time, as in a rendered file. With a camera they play
    against the clock, over and over.

    Args:
        engine: Engine of the session.
        drivers: Region -> its driver.
        own: File -> driver of whole faces.
    """

    def __init__(self, engine: Engine, drivers: Mapping[str, Driver], own: Mapping[Path, Driver] | None = None) -> None:
        self._engine = engine
        self._parts = {region: _Part(driver) for region, driver in drivers.items()}
        self._own = {path: _Part(driver) for path, driver in (own or {}).items()}
        self._start: float | None = None

    def _at(self, time: float, place: Fraction | None) -> Fraction:
        self._start = time if self._start is None else self._start
        return Fraction(round((time - self._start) * TICKS), TICKS) if place is None else place

    def faces(self, time: float, place: Fraction | None = None) -> dict[Path, tuple[Motion, Motion]]:
        """Motion and reference (N = 1 each) of the faces that have a driver of their own, by its file.

        Args:
            time: Seconds on the session's clock; they rise.
            place: Seconds within the clip that drives, or None.
        """
        at, loop = self._at(time, place), place is None
        return {path: (part(at, loop=loop), part.driver.reference) for path, part in self._own.items()}

    def join(
        self, motion: Motion, reference: Motion, time: float, place: Fraction | None = None
    ) -> tuple[Motion, Motion]:
        """The driver's motion and reference (N = 1 each) with the parts in their place.

        Args:
            motion: Motion of the driver.
            reference: What it is measured from.
            time: Seconds on the session's clock; they rise.
            place: Seconds within the clip that drives, or None.
        """
        if not self._parts:
            return motion, reference
        at, loop = self._at(time, place), place is None
        shown, references = {"all": motion}, {"all": reference}
        for region, part in self._parts.items():
            shown[region] = part(at, loop=loop)
            references[region] = part.driver.reference
        regions = self._engine.regions
        return combine(shown, regions), combine(references, regions)

    def close(self) -> None:
        """Close the scratch files."""
        for part in (*self._parts.values(), *self._own.values()):
            part.driver.track.close()


class PartLoader:
    """Reads drivers of parts and of single faces in a thread of its own; the last wish counts.

    Args:
        changed: Told that there is something else now; from any thread.
        failed: Gets the error of one that can't be used; the parts then follow the driver.
        tracker: Makes a face tracker.

    Attributes:
        current: What was read last, or None where no part has a driver of its own.
    """

    def __init__(
        self, changed: Callable[[], None], failed: Callable[[AppError], None], tracker: Callable[[], FaceTracker]
    ) -> None:
        self.current: PartDrivers | None = None
        self._changed = changed
        self._failed = failed
        self._make_tracker = tracker
        self._wish: tuple[object, ...] | None = None
        self._token = CancelToken()
        self._thread: threading.Thread | None = None
        self._how: tuple[object, ...] = ()
        self._read: dict[Path, Driver] = {}  # what plays now, not to be read again when another one joins

    def want(self, engine: Engine, options: RenderOptions, own: Sequence[Path] = ()) -> None:
        """Read the drivers that the options name, unless that is done or under way.

        Args:
            engine: Reads the motion.
            options: Names drivers of parts; reference, smooth and ease_cuts are used.
            own: Drivers of single faces.
        """
        files, motion = options.input.part_drivers, options.animation
        how = (id(engine), motion.reference == "first", motion.smooth, motion.official, motion.ease_cuts)
        wish = (how, tuple(files.items()), tuple(own))
        if wish == self._wish:
            return
        self.cancel()
        if how != self._how:
            self._how, self._read = how, {}
        self._wish, self._token = wish, CancelToken()
        if not files and not own:
            if self.current is not None:
                self._show(None)
            return
        self._thread = threading.Thread(
            target=self._try, args=(engine, files, own, options, self._token), name="live-parts", daemon=True
        )
        self._thread.start()

    def _show(self, parts: PartDrivers | None) -> None:
        self.current = parts
        self._changed()

    def cancel(self) -> None:
        """Stop reading."""
        self._token.cancel()
        self._wish = None
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(30.0)

    def _try(self, *how: Any) -> None:
        try:
            self._work(*how)
        except Exception as error:  # noqa: BLE001 - such as a full disk
            self._failed(fault(error))

    def _work(
        self,
        engine: Engine,
        files: Mapping[str, Path],
        own: Sequence[Path],
        options: RenderOptions,
        token: CancelToken,
    ) -> None:
        titles = {path: title_of("", path) for path in own}
        titles |= {path: title_of(region, path) for region, path in files.items()}
        read: dict[Path, Driver] = {}
        # the files stay open while they play; the folder's own entry may go
        with scratch_folder() as folder:
            for number, (path, title) in enumerate(titles.items()):
                known = self._read.get(path)
                try:
                    read[path] = known or read_part(
                        path, engine, self._make_tracker(), Path(folder) / f"{number}", options, token
                    )
                except CancelledError:
                    return
                except Exception as error:  # noqa: BLE001 - whatever an engine raises, the rest goes on
                    self._failed(AppError(about(title, str(error))))
        if token.cancelled:
            return
        self._read = read
        parts = {region: read[path] for region, path in files.items() if path in read}
        self._show(PartDrivers(engine, parts, {path: read[path] for path in own if path in read}) if read else None)


def title_of(region: str, path: Path) -> str:
    """What an error calls the driver of a region, or of a face if there is none."""
    titles = {
        "pose": msg("Pose from {name}", path.name), "exp": msg("Expression from {name}", path.name),
        "lip": msg("Lips from {name}", path.name), "eyes": msg("Eyes from {name}", path.name),
    }  # fmt: skip
    return titles.get(region, msg("Driver of a face {name}", path.name))


def read_part(
    path: Path, engine: Engine, tracker: FaceTracker, scratch: Path, options: RenderOptions, token: CancelToken
) -> Driver:
    """Read the driver of one part.

    Args:
        path: Clip, photo or template.
        engine: Reads the motion.
        tracker: Finds the face; the largest one counts.
        scratch: Name for scratch files.
        options: reference ("first", else the most neutral frame) and smooth and ease_cuts are used.
        token: Stops it.

    Raises:
        AppError: The file can't be used.
    """
    from app.frames.templates import fill_track, open_template

    track = MotionTrack(scratch)
    motion = options.animation
    motion = replace(motion, reference=motion.reference if motion.reference == "first" else "auto")
    if is_template(path):
        template = open_template(path)
        try:
            template.require(engine.family, engine.keypoints)
        except ValueError as error:
            raise AppError(str(error)) from None
        fill_track(track, template)
        if motion.reference == "auto" and template.source.get("reference") == "chosen":
            motion = replace(motion, reference=str(template.reference))
    else:
        with (
            open_clip(path, film=True) as clip,
            EventStream().phase("track", clip.info.frames, "Reading motion") as phase,
        ):
            tracker.steady = not motion.official
            follow = FaceFollower(tracker, LARGEST)
            read_driving(clip, follow, engine, track, timings=Timings(), phase=phase, token=token)
    reference, _, _ = choose_reference(track, engine, motion, len(track) == 1)
    variance = 0.0 if motion.official else motion.smooth * SMOOTHING_UNIT
    smoothed = smooth_track(track, scratch.with_suffix(".smooth"), variance, engine.regions, motion.ease_cuts)
    return Driver(smoothed, reference)
