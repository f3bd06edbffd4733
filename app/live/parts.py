"""Drivers of parts of the face in real time: clips, templates and voices, read once in advance, then looped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from app.errors import AppError, CancelledError
from app.frames.channels import opened_driver, read_channel
from app.frames.voices import Manner, Performance, joined, open_track, open_voice
from app.live.background import LatestTask
from liveportrait.channel import ChannelPlayer, DrivingChannel
from liveportrait.driving import Shown
from liveportrait.mix import PartMix, at_rest
from models.messages import about, msg

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.live.context import SessionContext
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion

TICKS: Final = 10**6  # resolution of the session's clock per second
Driver = DrivingChannel | Performance
K = TypeVar("K")


class PartDrivers:
    """Preloaded drivers of parts and of single faces, played along with the driver.

    If the driver is a clip, they follow its time, as in a rendered file. With a camera they play by the clock in a
    loop.

    Args:
        engine: Engine of the session.
        parts: Region -> its driver.
        own: File -> driver of whole faces.

    Attributes:
        rest: Motion (N = 1) of the parts without a driver if the main driver has no motion; None without motion of
            parts.
    """

    def __init__(self, engine: Engine, parts: Mapping[str, Driver], own: Mapping[Path, Driver] | None = None) -> None:
        channels, faces = _moving(parts), _moving(own or {})
        self.channels: tuple[DrivingChannel, ...] = (*channels.values(), *faces.values())
        self.rest = next((channel.reference for channel in channels.values()), None)
        self._engine = engine
        self._mix = PartMix(engine, channels)
        self._played = _playing(parts)
        self._own = {path: ChannelPlayer(channel) for path, channel in faces.items()}
        self._own_played = _playing(own or {})
        self._start: float | None = None

    @property
    def plays(self) -> bool:
        """Whether a voice or another driver without a face is among them."""
        return bool(self._played or self._own_played)

    def join(
        self, shown: Shown, time: float, manner: Manner, place: Fraction | None = None, rest: Motion | None = None
    ) -> tuple[Shown, dict[Path, Shown]]:
        """The driver's motion with the parts replaced, and the motion of faces with their own drivers.

        Args:
            shown: Motion of the driver.
            time: Seconds on the session's clock; must increase.
            manner: How drivers without a face are played.
            place: Seconds within the driving clip, or None.
            rest: Motion to ease to when a face is lost (N = 1); None is each driver's own reference.
        """
        self._start = time if self._start is None else self._start
        at, loop = Fraction(round((time - self._start) * TICKS), TICKS) if place is None else place, place is None
        if shown.motion is not None and shown.reference is not None:
            motion, reference = self._mix.join(shown.motion, at, rest, loop=loop), self._mix.reference(shown.reference)
            if shown.expression is None:  # otherwise no picture drives, and nothing moves the parts already
                motion = at_rest(motion, reference, self._played, self._engine)
            shown = replace(shown, motion=motion, reference=reference)
        for region, play in self._played.items():
            said = play.at(_within(at, play, loop), manner.alone(region, self._played))
            shown = replace(shown, expression=said if shown.expression is None else joined(shown.expression, said))
        own = {path: player.at(at, rest, loop=loop) for path, player in self._own.items()}
        for path, play in self._own_played.items():
            own[path] = Shown(None, None, expression=play.at(_within(at, play, loop), manner))
        return shown, own


def _moving(drivers: Mapping[K, Driver]) -> dict[K, DrivingChannel]:
    return {key: one for key, one in drivers.items() if isinstance(one, DrivingChannel)}


def _playing(drivers: Mapping[K, Driver]) -> dict[K, Performance]:
    return {key: one for key, one in drivers.items() if isinstance(one, Performance)}


def _within(time: Fraction, play: Performance, loop: bool) -> Fraction:
    return time % play.length if loop else time


class PartLoader:
    """Reads drivers of parts and of single faces in the background.

    Args:
        context: Receives results, and errors about unusable files, whose parts then follow the driver.

    Attributes:
        current: Drivers loaded last, or None if no part has its own driver.
        regions: Parts of the face with their own drivers, loaded or not.
        task: The background task.
    """

    def __init__(self, context: SessionContext) -> None:
        self.current: PartDrivers | None = None
        self.task = LatestTask("live-parts", context.warn)
        self._context = context
        self._how: tuple[object, ...] = ()
        self.regions: frozenset[str] = frozenset()
        self._read: dict[Path, Driver] = {}  # currently playing, not to be read again when another one is added

    def want(self, engine: Engine, options: RenderOptions, own: Sequence[Path] = (), *, voice: str = "") -> None:
        """Read the drivers named by the options, unless done or in progress.

        Args:
            engine: Reads the motion.
            options: Part drivers, reference, smooth and ease_cuts are used.
            own: Drivers of single faces.
            voice: File whose sound moves the lips beside the driver, or empty.
        """
        files, motion = options.input.part_drivers, options.animation
        if voice and "lip" not in files:
            files["lip"] = Path(voice)
        self.regions = frozenset(files)
        how = (
            id(engine), motion.reference == "first", motion.smooth, motion.official, motion.ease_cuts,
            options.input.fps,
        )  # fmt: skip
        request = (how, tuple(files.items()), tuple(own), voice)
        if request == self.task.request:
            return
        self.task.cancel()
        if how != self._how:
            self._how, self._read = how, {}
        if files or own:
            self.task.start(request, lambda token: self._work(engine, files, own, voice, options, token))
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
        voice: str,
        options: RenderOptions,
        token: CancelToken,
    ) -> None:
        titles = {path: title_of("", path) for path in own}
        titles |= {path: title_of(region, path) for region, path in files.items()}
        read: dict[Path, Driver] = {}
        for path, title in titles.items():
            try:
                read[path] = self._read.get(path) or self._opened(path, path == Path(voice), engine, options, token)
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - one failing driver must not stop the others
                self._context.warn(AppError(about(title, str(error))))
        token.check()
        self._read = read
        parts = {region: read[path] for region, path in files.items() if path in read}
        self._show(PartDrivers(engine, parts, {path: read[path] for path in own if path in read}) if read else None)

    def _opened(self, path: Path, spoken: bool, engine: Engine, options: RenderOptions, token: CancelToken) -> Driver:
        context, unseen = self._context, open_voice(path) if spoken else open_track(path)
        if unseen is None:
            with opened_driver(path, options, engine, further=True) as media:
                return read_channel(
                    path, media, engine, context.tracker(), options, token, further=True, resources=context.resources
                )
        play = unseen.opened(token.check)
        if play.note:
            context.warn(play.note)
        return play


def title_of(region: str, path: Path) -> str:
    """Name for errors of the driver of a region, or of a face if there is no region."""
    titles = {
        "pose": msg("Pose from {name}", path.name), "exp": msg("Expression from {name}", path.name),
        "lip": msg("Lips from {name}", path.name), "eyes": msg("Eyes from {name}", path.name),
    }  # fmt: skip
    return titles.get(region, msg("Face driver {name}", path.name))
