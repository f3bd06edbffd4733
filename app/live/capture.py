"""The driver's side of a session: the capture thread, arriving frames, and messages when none arrive."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.environment import fault
from app.errors import AppError
from app.live.states import ACTIVE
from app.media.camera import RateMeter
from models.messages import msg

if TYPE_CHECKING:
    from app.live.context import SessionContext
    from app.live.pipeline import Pipeline
    from app.media.camera import CameraFacts
    from app.sources.sample import DriverSource, Sample, Source

SILENCE: Final = 3.0  # seconds without a frame after which a camera counts as disconnected
SOON: Final = 0.1  # seconds within which the driver's next frame is expected
OPENING: Final = 10.0  # seconds without a response after which opening is reported as hanging
STUCK: Final = 20.0  # seconds without a response after which a camera is abandoned and opened again
STUCK_AT_ONCE: Final = 3  # most abandoned cameras
JOIN: Final = 1.0  # seconds that a driver may take to end before it is abandoned
LAST_WAIT: Final = 5.0  # seconds to wait for abandoned drivers when the session closes
RETRY: Final = (0.5, 3.0)  # seconds between retries: initial, and maximum


class Capture:
    """Passes the frames of one driver at a time to the pipeline.

    Args:
        context: Shared by the parts of the session.

    Attributes:
        source: The driver selected last, or None.
        error: Why it currently delivers no frames, or None.
        awaited: What it is waiting for without an error, or empty.
        count: Frames received since ``reset``.
    """

    def __init__(self, context: SessionContext) -> None:
        self.source: DriverSource | None = None
        self.error: AppError | None = None
        self.awaited = ""
        self.count = 0
        self._context = context
        self._pipeline: Pipeline | None = None  # receives the frames
        self._thread: CaptureThread | None = None
        self._number = 0
        self._arrival = 0.0
        self._arrivals = RateMeter()
        self._orphans: list[CaptureThread] = []
        self._hinted = ""

    # ---- control thread -------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """Reset the statistics."""
        self.error, self.count = None, 0

    def begin(self, pipeline: Pipeline) -> None:
        """Start the selected driver in place of the previous one; without one the portrait returns to neutral."""
        self.end()
        self.error, self._hinted, self.awaited = None, "", ""
        self._number += 1
        pipeline.drive(self._number, driven=self.source is not None)
        if self.source is None:
            self._context.move("running")
            return
        self._context.move("starting")
        if self.source.note:
            self._context.events.info(self.source.note)
        self._pipeline = pipeline
        self._arrival, self._arrivals = self._context.clock(), RateMeter()
        try:
            self._thread = CaptureThread(self, pipeline, self.source, self._number)
        except Exception as error:  # noqa: BLE001 - a faulty camera driver must not end the session
            self.failed(self._number, fault(error), again=False)
        self._context.notify("camera")

    def ask_to_end(self) -> None:
        """Accept no more frames; returns immediately."""
        self._number += 1
        if self._thread is not None:
            self._thread.stop()

    def end(self) -> None:
        """End the capture thread; one that is stuck in a camera driver is abandoned."""
        thread, self._thread, self._pipeline = self._thread, None, None
        if thread is None:
            return
        thread.stop()
        if not thread.join(JOIN):
            self._orphans = [o for o in self._orphans if not o.join(0)]
            self._orphans.append(thread)

    def join(self, timeout: float | None) -> None:
        """Wait briefly for abandoned threads."""
        end = time.monotonic() + (LAST_WAIT if timeout is None else min(LAST_WAIT, timeout))
        for orphan in self._orphans:
            orphan.join(max(0.0, end - time.monotonic()))

    def watch(self) -> None:
        """Check periodically whether the camera still delivers frames, and its hints."""
        thread = self._thread
        if thread is None or self._context.state not in ACTIVE:
            return
        awaited = thread.driver.waits_for()
        if awaited:
            self._await(awaited)
        elif awaited is None and thread.driver.lasting:
            self._watch_camera(thread)
        if self._context.state == "waiting":
            return
        try:
            hint = thread.driver.hint()
        except Exception:  # noqa: BLE001 - it is only a hint
            return
        if hint and hint != self._hinted:
            self._hinted = hint
            self._context.events.warn(hint)

    def _await(self, sentence: str) -> None:
        """Record what the driver is waiting for."""
        if sentence != self.awaited:
            self.awaited = sentence
            self._context.move("waiting")
            self._context.events.info(sentence)
            self._context.notify("camera")

    def _watch_camera(self, thread: CaptureThread) -> None:
        now, state, title, since = self._context.clock(), self._context.state, thread.source.title, thread.since
        hangs = 0.0 if since is None else now - since
        if state == "running" and now - self._arrival > SILENCE:
            error = AppError(
                msg("No frames received from {title} for {silence:g} s.", title, SILENCE), "The last frame is held."
            )
            self.failed(thread.number, error, again=False)
        elif state == "starting" and hangs > OPENING:
            error = AppError(
                msg("{title} has not opened within {opening:g} s.", title, OPENING),
                "Another program may be using it; close that program.",
            )
            self.failed(thread.number, error, again=False)
        elif state == "waiting" and hangs > STUCK and self._pipeline is not None:
            self._orphans = [o for o in self._orphans if not o.join(0)]
            if len(self._orphans) < STUCK_AT_ONCE:
                pipeline = self._pipeline
                self.end()
                self._thread, self._pipeline = (
                    CaptureThread(self, pipeline, thread.source, thread.number), pipeline,
                )  # fmt: skip

    # ---- any thread -----------------------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether a driver delivers frames."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        """Whether a frame has just arrived, so that another one is likely soon."""
        return self._thread is not None and self._context.clock() - self._arrival < SOON

    @property
    def rate(self) -> float:
        """Rate of arriving frames per second; 0 until known."""
        return self._arrivals.rate

    @property
    def facts(self) -> CameraFacts | None:
        """Modes of the camera, or None."""
        thread = self._thread
        return None if thread is None else thread.driver.facts

    # ---- capture thread -------------------------------------------------------------------------------------------
    def arrived(self, sample: Sample) -> None:
        """Handle a new frame."""
        if sample.run != self._number or (sample.sensed and sample.reading is None):
            return
        self._arrival = sample.time
        self._arrivals.tick(sample.time)
        self.count += 1
        if self._context.state != "running":
            back = self._context.state == "waiting"
            self.error, self.awaited = None, ""
            if self._context.move("running") and back:
                sensed = msg("Receiving a face from the tracker.")
                self._context.events.info(sensed if sample.sensed else msg("The camera is back."))
            self._context.notify("camera")

    def failed(self, number: int, error: AppError, *, again: bool) -> None:
        """Handle a driver that delivers no frames; ``again`` if it will be retried."""
        if number != self._number:
            return
        known, self.error = self.error, error
        self._context.move("waiting")
        if known is None or str(known) != str(error):
            self._context.events.warn(msg("{error} Trying again.", error) if again else str(error))
        self._context.notify("camera")


class CaptureThread:
    """Reads one driver into the pipeline until stopped; retries a camera that goes away.

    Args:
        capture: Receives notifications.
        pipeline: Receives the frames.
        source: The driver.
        number: Number of the driver, put into every frame.
    """

    def __init__(self, capture: Capture, pipeline: Pipeline, source: DriverSource, number: int) -> None:
        self.source = source
        self.number = number
        self.driver: Source = source.make(pipeline.clock, pipeline.engine)
        self.since: float | None = None
        """Clock time at which it began to wait for the driver, or None while it pauses between retries."""
        self._capture = capture
        self._pipeline = pipeline
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"live-capture-{number}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; returns immediately."""
        self._stop.set()
        with suppress(Exception):
            self.driver.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for it to end; returns whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause, clock = RETRY[0], self._pipeline.clock
        while not self._stop.is_set():
            try:
                self.since = clock()
                self.driver.open()
                while (sample := self.driver.read()) is not None:
                    if self._stop.is_set():  # it was abandoned and has recovered
                        return
                    self.since = clock()
                    pause = RETRY[0]
                    sample = replace(sample, run=self.number)
                    self._pipeline.captured.put(sample)
                    self._capture.arrived(sample)
                return
            except AppError as error:
                problem = error
            except Exception as error:  # noqa: BLE001 - a faulty camera driver must not end the session
                problem = AppError(msg("{title}: {name}: {error}.", self.source.title, type(error).__name__, error))
            finally:
                self.since = None
                with suppress(Exception):  # the device is gone
                    self.driver.close()
            if self._stop.is_set():
                return
            self._capture.failed(self.number, problem, again=self.driver.lasting)
            if not self.driver.lasting:
                return
            self._stop.wait(pause)
            pause = min(1.5 * pause, RETRY[1])
