"""Drivers of the window: from the session's choice to a live source, with a pause. No Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from app.live import Captured, DriverSource, camera_source, file_source
from app.live.drivers import Driver as LiveDriver
from app.media.camera import CameraFacts, Mode

if TYPE_CHECKING:
    from app.gui.session import Driver
    from app.live_options import LiveOptions
    from liveportrait.engines.base import Engine


class Pause:
    """A switch that holds a driver; safe between threads."""

    def __init__(self) -> None:
        self._going = threading.Event()
        self._going.set()

    @property
    def on(self) -> bool:
        """Whether the driver is held."""
        return not self._going.is_set()

    def set(self, on: bool) -> None:
        """Hold the driver, or let it go on."""
        (self._going.clear if on else self._going.set)()

    def wait(self, cancelled: Callable[[], bool]) -> None:
        """Return when the driver may go on."""
        while not self._going.wait(0.1) and not cancelled():
            continue


class PausableDriver(LiveDriver):
    """A driver that stands still while a pause is on: a clip waits, a camera goes on but its last picture is shown."""

    def __init__(self, inner: LiveDriver, pause: Pause) -> None:
        self._inner = inner
        self._pause = pause
        self._cancelled = threading.Event()
        self._last: Captured | None = None
        self.lasting = inner.lasting

    def open(self) -> None:
        """See Driver.open."""
        self._inner.open()

    def read(self) -> Captured | None:
        """See Driver.read."""
        if self._pause.on and self._last is not None and not self.lasting:
            self._pause.wait(self._cancelled.is_set)
        captured = self._inner.read()
        if captured is None:
            return None
        if self.lasting and self._pause.on and self._last is not None:
            return replace(self._last, index=captured.index, time=captured.time, jump=False)
        self._last = captured
        return captured

    def close(self) -> None:
        """See Driver.close."""
        self._inner.close()

    def cancel(self) -> None:
        """See Driver.cancel."""
        self._cancelled.set()
        self._inner.cancel()

    @property
    def facts(self) -> CameraFacts | None:
        """See Driver.facts."""
        return self._inner.facts

    def hint(self) -> str:
        """See Driver.hint."""
        return self._inner.hint()


def live_source(driver: Driver, live: LiveOptions, reference: str, pause: Pause) -> DriverSource | None:
    """The live source of a driver, or None for sliders only; it may read files and list cameras.

    Args:
        driver: The session's choice.
        live: Size and rate to ask a camera for.
        reference: Neutral frame of a template.
        pause: Holds it.

    Raises:
        AppError: There is no such file or camera.
    """
    if driver.kind == "sliders":
        return None
    if driver.kind == "camera":
        width, height = live.size
        mode = Mode(width, height, live.camera_rate, live.camera_mjpg)
        source = camera_source(driver.source, mode, mirror=live.mirror)
    else:
        source = file_source(driver.source, reference=reference)

    def make(clock: Callable[[], float], engine: Engine) -> LiveDriver:
        return PausableDriver(source.make(clock, engine), pause)

    return replace(source, make=make)
