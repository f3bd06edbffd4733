"""Drivers of the window: from the session's choice to a live source, with a pause. No Qt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.live import Captured, DriverSource, camera_source, file_source
from app.live.drivers import Clock
from app.live.drivers import Driver as LiveDriver
from app.live.player import Playback, PlayerDriver
from app.media.camera import CameraFacts, Mode

if TYPE_CHECKING:
    from app.gui.session import Driver
    from app.live_options import LiveOptions
    from app.options import InputOptions
    from liveportrait.engines.base import Engine


class PausableCamera(LiveDriver):
    """A camera whose last picture is shown while a pause is on; it goes on behind it."""

    def __init__(self, inner: LiveDriver, playback: Playback) -> None:
        self._inner = inner
        self._playback = playback
        self._last: Captured | None = None
        self.lasting = inner.lasting

    def open(self) -> None:
        """See Driver.open."""
        self._inner.open()

    def read(self) -> Captured | None:
        """See Driver.read."""
        captured = self._inner.read()
        if captured is None:
            return None
        if self._playback.paused and self._last is not None:
            return replace(self._last, index=captured.index, time=captured.time, jump=False)
        self._last = captured
        return captured

    def close(self) -> None:
        """See Driver.close."""
        self._inner.close()

    def cancel(self) -> None:
        """See Driver.cancel."""
        self._inner.cancel()

    @property
    def facts(self) -> CameraFacts | None:
        """See Driver.facts."""
        return self._inner.facts

    def hint(self) -> str:
        """See Driver.hint."""
        return self._inner.hint()


def live_source(
    driver: Driver, live: LiveOptions, options: InputOptions, reference: str, playback: Playback
) -> DriverSource | None:
    """The live source of a driver, or None for sliders only; it may read files and list cameras.

    Args:
        driver: The session's choice.
        live: Size and rate to ask a camera for.
        options: Part of a clip or template that is played.
        reference: Neutral frame of a template.
        playback: Knobs of it: pause, and for clips and templates also seek, step and loop.

    Raises:
        AppError: There is no such file, camera or part.
    """
    if driver.kind == "sliders":
        return None
    if driver.kind == "camera":
        width, height = live.size
        mode = Mode(width, height, live.camera_rate, live.camera_mjpg)
        camera = camera_source(driver.source, mode, mirror=live.mirror, turn=int(live.camera_turn))

        def pausable(clock: Clock, engine: Engine) -> LiveDriver:
            return PausableCamera(camera.make(clock, engine), playback)

        return replace(camera, make=pausable)
    source = file_source(driver.source, reference=reference)
    if source.kind == "still":
        return source

    part = options.driving_part

    def player(clock: Clock, engine: Engine) -> LiveDriver:
        needed = engine if source.kind == "template" else None
        return PlayerDriver(Path(driver.source), playback, clock, needed, reference, part, film=True)

    return replace(source, make=player, clip=Path(driver.source) if source.kind == "video" else None)
