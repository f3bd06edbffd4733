"""Drivers of parts of the face in real time: clips and templates that are read ahead once, then play over and over."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import AppError, CancelledError
from app.events import CancelToken, EventStream
from app.media.reader import open_clip
from app.render.driving import FaceFollower, read_driving
from app.render.inputs import PARTS
from app.render.mix import EASE, HOLD, Driver
from app.render.motion import MotionSampler, choose_reference, smooth_track
from app.render.timings import Timings
from app.render.track import MotionTrack
from liveportrait.animator import FaceHold
from liveportrait.smoothing import SMOOTHING_UNIT
from liveportrait.template import is_template
from liveportrait.transfer import combine

if TYPE_CHECKING:
    from app.options import InputOptions, RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.face import FaceTracker

TICKS: Final = 10**6  # parts of a second that the session's clock is cut into


def named_parts(options: InputOptions) -> dict[str, Path]:
    """Region -> file that drives it instead of the driver."""
    named = {"pose": options.pose_from, "exp": options.exp_from, "lip": options.lips_from, "eyes": options.eyes_from}
    return {region: Path(name) for region, name in named.items() if name}


@dataclass
class _Part:
    driver: Driver
    sampler: MotionSampler
    hold: FaceHold


class PartDrivers:
    """Read drivers of parts, played against the clock.

    Args:
        engine: Engine of the session.
        drivers: Region -> its driver.
    """

    def __init__(self, engine: Engine, drivers: Mapping[str, Driver]) -> None:
        self._engine = engine
        self._parts = {
            region: _Part(driver, MotionSampler(driver.track, loop=True), FaceHold(HOLD, EASE))
            for region, driver in drivers.items()
        }
        self._start: float | None = None
        self._before = 0.0

    def join(self, motion: Motion, reference: Motion, time: float) -> tuple[Motion, Motion]:
        """The driver's motion and reference (N = 1 each) with the parts in their place.

        Args:
            motion: Motion of the driver.
            reference: What it is measured from.
            time: Seconds on the session's clock; they rise.
        """
        self._start = time if self._start is None else self._start
        at = Fraction(round((time - self._start) * TICKS), TICKS)
        dt, self._before = max(0.0, float(at) - self._before), float(at)
        shown, references = {"all": motion}, {"all": reference}
        for region, part in self._parts.items():
            seen, _ = part.sampler(at)
            shown[region] = part.hold(seen, part.driver.reference, dt)
            references[region] = part.driver.reference
        regions = self._engine.regions
        return combine(shown, regions), combine(references, regions)

    def close(self) -> None:
        """Close the scratch files."""
        for part in self._parts.values():
            part.driver.track.close()


class PartLoader:
    """Reads drivers of parts in a thread of its own; the last wish counts.

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

    def want(self, engine: Engine, options: RenderOptions) -> None:
        """Read the drivers that the options name, unless that is done or under way."""
        files, motion = named_parts(options.input), options.animation
        wish = (id(engine), tuple(files.items()), motion.reference == "first", motion.smooth)
        if wish == self._wish:
            return
        self.cancel()
        self._wish, self._token = wish, CancelToken()
        if not files:
            if self.current is not None:
                self._show(None)
            return
        self._thread = threading.Thread(
            target=self._work, args=(engine, files, options, self._token), name="live-parts", daemon=True
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

    def _work(self, engine: Engine, files: Mapping[str, Path], options: RenderOptions, token: CancelToken) -> None:
        drivers: dict[str, Driver] = {}
        # the files stay open while they play; the folder's own entry may go
        with tempfile.TemporaryDirectory(prefix="portrait-animate-", ignore_cleanup_errors=True) as folder:
            for region, path in files.items():
                try:
                    drivers[region] = read_part(
                        path, engine, self._make_tracker(), Path(folder) / region, options, token
                    )
                except CancelledError:
                    return
                except AppError as error:
                    named = AppError(f"{PARTS[region].capitalize()} from {path.name}: {error}")
                    self._failed(named)
        if not token.cancelled:
            self._show(PartDrivers(engine, drivers) if drivers else None)


def read_part(
    path: Path, engine: Engine, tracker: FaceTracker, scratch: Path, options: RenderOptions, token: CancelToken
) -> Driver:
    """Read the driver of one part.

    Args:
        path: Clip, photo or template.
        engine: Reads the motion.
        tracker: Finds the face; the largest one counts.
        scratch: Name for scratch files.
        options: reference ("first", else the most neutral frame) and smooth are used.
        token: Stops it.

    Raises:
        AppError: The file can't be used.
    """
    from app.render.template import fill_track, open_template

    track = MotionTrack(scratch)
    motion = options.animation
    motion = replace(motion, reference=motion.reference if motion.reference == "first" else "auto")
    if is_template(path):
        template = open_template(path)
        try:
            template.require(engine.family, engine.keypoints)
        except ValueError as error:
            raise AppError(f"{error}") from None
        fill_track(track, template)
        if motion.reference == "auto" and template.source.get("reference") == "chosen":
            motion = replace(motion, reference=str(template.reference))
    else:
        with open_clip(path) as clip, EventStream().phase("track", clip.info.frames, "Reading motion") as phase:
            follow = FaceFollower(tracker, "largest")
            read_driving(clip, follow, engine, track, timings=Timings(), phase=phase, token=token)
    reference, _, _ = choose_reference(track, engine, motion, len(track) == 1)
    smoothed = smooth_track(
        track, scratch.with_suffix(".smooth"), motion.smooth * SMOOTHING_UNIT, engine.regions.get("lids")
    )
    return Driver(smoothed, reference)
