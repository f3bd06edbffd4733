"""The capture thread: reads one driver into the latest-value slot; a camera that goes away is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from models.messages import msg

if TYPE_CHECKING:
    from app.live.slot import Slot
    from app.sources.sample import DriverSource, Sample, Source
    from liveportrait.engines.base import Engine

RETRY: Final = (0.5, 3.0)  # seconds between two tries: at first, and at most


class Capture:
    """Runs one driver until it is told to stop.

    Args:
        source: The driver.
        number: Number of the run, put into every frame.
        slot: Where frames go.
        clock: Source of seconds.
        engine: Engine of the session.
        arrived: Called with each frame.
        trouble: Called with the error when there is no picture; the flag tells whether it is tried again.
        wait: Waits between two tries.
    """

    def __init__(
        self,
        source: DriverSource,
        number: int,
        slot: Slot[Sample],
        clock: Callable[[], float],
        engine: Engine,
        *,
        arrived: Callable[[Sample], None],
        trouble: Callable[[AppError, bool], None],
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self.source = source
        self.number = number
        self.driver: Source = source.make(clock, engine)
        self.since: float | None = None
        """Clock at which it began to wait for the driver, or None while it pauses between two tries."""
        self._clock = clock
        self._slot = slot
        self._arrived = arrived
        self._trouble = trouble
        self._wait = wait
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"live-capture-{number}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._stop.set()
        with suppress(Exception):
            self.driver.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; True if it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause = RETRY[0]
        while not self._stop.is_set():
            try:
                self.since = self._clock()
                self.driver.open()
                while (captured := self.driver.read()) is not None:
                    if self._stop.is_set():  # it was given up and came back to life
                        return
                    self.since = self._clock()
                    pause = RETRY[0]
                    frame = replace(captured, run=self.number)
                    self._slot.put(frame)
                    self._arrived(frame)
                return
            except AppError as error:
                problem = error
            except Exception as error:  # noqa: BLE001 - a driver of an odd camera must not end the session
                problem = AppError(msg("{title}: {name}: {error}.", self.source.title, type(error).__name__, error))
            finally:
                self.since = None
                with suppress(Exception):  # a device that is gone
                    self.driver.close()
            if self._stop.is_set():
                return
            self._trouble(problem, self.driver.lasting)
            if not self.driver.lasting:
                return
            self._wait(self._stop, pause)
            pause = min(1.5 * pause, RETRY[1])
