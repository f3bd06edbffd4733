"""Drivers of parts of the face in real time: clips and templates that are read once in advance, then play in a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import AppError, CancelledError
from app.events import CancelToken
from app.frames.follow import FaceFollower, make_channel, read_driving, scratch_track
from app.frames.templates import fill_track, open_fitting
from app.frames.timings import Timings
from app.live.background import LatestTask
from app.media.reader import open_clip
from liveportrait.channel import ChannelPlayer, DrivingChannel
from liveportrait.driving import Shown
from liveportrait.mix import PartMix
from liveportrait.template import is_template
from models.choices import LARGEST
from models.messages import about, msg

if TYPE_CHECKING:
    from app.live.context import SessionContext
    from app.live.engine import Trackers
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.tracker import FaceTracker

TICKS: Final = 10**6  # resolution of the session's clock per second


class PartDrivers:
    """Preloaded drivers of parts and of single faces, played along with the driver.

    If the driver is a clip, they follow its time, as in a rendered file. With a camera they play by the clock in a
    loop.

    Args:
        engine: Engine of the session.
        channels: Region -> its driver.
        own: File -> driver of whole faces.

    Attributes:
        rest: Motion (N = 1) of the parts without a driver if the main driver has no motion; None without parts.
    """

    def __init__(
        self, engine: Engine, channels: Mapping[str, DrivingChannel], own: Mapping[Path, DrivingChannel] | None = None
    ) -> None:
        self.channels: tuple[DrivingChannel, ...] = (*channels.values(), *(own or {}).values())
        self.rest = next((channel.reference for channel in channels.values()), None)
        self._mix = PartMix(engine, channels)
        self._own = {path: ChannelPlayer(channel) for path, channel in (own or {}).items()}
        self._start: float | None = None

    def join(
        self, shown: Shown, time: float, place: Fraction | None = None, rest: Motion | None = None
    ) -> tuple[Shown, dict[Path, Shown]]:
        """The driver's motion with the parts replaced, and the motion of faces with their own drivers.

        Args:
            shown: Motion of the driver.
            time: Seconds on the session's clock; must increase.
            place: Seconds within the driving clip, or None.
            rest: Motion to ease to when a face is lost (N = 1); None is each driver's own reference.
        """
        self._start = time if self._start is None else self._start
        at, loop = Fraction(round((time - self._start) * TICKS), TICKS) if place is None else place, place is None
        if shown.motion is not None and shown.reference is not None:
            motion, reference = self._mix.join(shown.motion, at, rest, loop=loop), self._mix.reference(shown.reference)
            shown = replace(shown, motion=motion, reference=reference)
        own = {}
        for path, player in self._own.items():
            moved, seen, index = player.at(at, rest, loop=loop)
            own[path] = Shown(moved, player.channel.reference, seen, index, player.channel.still)
        return shown, own


class PartLoader:
    """Reads drivers of parts and of single faces in the background.

    Args:
        context: Receives results, and errors about unusable files, whose parts then follow the driver.
        trackers: Find faces.

    Attributes:
        current: Drivers loaded last, or None if no part has its own driver.
        task: The background task.
    """

    def __init__(self, context: SessionContext, trackers: Trackers) -> None:
        self.current: PartDrivers | None = None
        self.task = LatestTask("live-parts", context.warn)
        self._context = context
        self._trackers = trackers
        self._how: tuple[object, ...] = ()
        self._read: dict[Path, DrivingChannel] = {}  # currently playing, not to be read again when another one is added

    def want(self, engine: Engine, options: RenderOptions, own: Sequence[Path] = ()) -> None:
        """Read the drivers named by the options, unless done or in progress.

        Args:
            engine: Reads the motion.
            options: Part drivers, reference, smooth and ease_cuts are used.
            own: Drivers of single faces.
        """
        files, motion = options.input.part_drivers, options.animation
        how = (id(engine), motion.reference == "first", motion.smooth, motion.official, motion.ease_cuts)
        request = (how, tuple(files.items()), tuple(own))
        if request == self.task.request:
            return
        self.task.cancel()
        if how != self._how:
            self._how, self._read = how, {}
        if files or own:
            self.task.start(request, lambda token: self._work(engine, files, own, options, token))
        elif self.current is not None:
            self._show(None)

    def _show(self, parts: PartDrivers | None) -> None:
        self.current = parts
        self._context.renew()

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
        read: dict[Path, DrivingChannel] = {}
        for path, title in titles.items():
            try:
                read[path] = self._read.get(path) or read_part(path, engine, self._trackers.get_any(), options, token)
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - one failing driver must not stop the others
                self._context.warn(AppError(about(title, str(error))))
        token.check()
        self._read = read
        parts = {region: read[path] for region, path in files.items() if path in read}
        self._show(PartDrivers(engine, parts, {path: read[path] for path in own if path in read}) if read else None)


def title_of(region: str, path: Path) -> str:
    """Name for errors of the driver of a region, or of a face if there is no region."""
    titles = {
        "pose": msg("Pose from {name}", path.name), "exp": msg("Expression from {name}", path.name),
        "lip": msg("Lips from {name}", path.name), "eyes": msg("Eyes from {name}", path.name),
    }  # fmt: skip
    return titles.get(region, msg("Face driver {name}", path.name))


def read_part(
    path: Path, engine: Engine, tracker: FaceTracker, options: RenderOptions, token: CancelToken
) -> DrivingChannel:
    """Read the driver of one part.

    Args:
        path: Clip, photo or template.
        engine: Reads the motion.
        tracker: Finds the face; the largest one is used.
        options: As in a render.
        token: Cancels the reading.

    Raises:
        AppError: The file can't be used.
    """
    track, chosen = scratch_track(), None
    if is_template(path):
        chosen = fill_track(track, open_fitting(path, engine))
    else:
        with open_clip(path, film=True) as clip:
            tracker.steady = not options.animation.official
            follow = FaceFollower(tracker, LARGEST)
            read_driving(clip, follow, engine, track, timings=Timings(), token=token)
    return make_channel(track, engine, options.animation, further=True, chosen=chosen)
