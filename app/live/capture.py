"""The driver's side of a session: its capture thread, its frames' arrival, and what is said when they stay away."""

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

SILENCE: Final = 3.0  # seconds without a picture after which a camera counts as away
SOON: Final = 0.1  # seconds in which the next frame of a driver is awaited
OPENING: Final = 10.0  # seconds without an answer after which an opening is said to hang
STUCK: Final = 20.0  # seconds without an answer after which a camera is left to itself and opened again
STUCK_AT_ONCE: Final = 3  # of those, at most
JOIN: Final = 1.0  # seconds that a driver may take to end before it is left to itself
LAST_WAIT: Final = 5.0  # seconds that is waited for those at the very end
RETRY: Final = (0.5, 3.0)  # seconds between two tries: at first, and at most


class Capture:
    """Lets one driver at a time give its frames to the pipeline.

    Args:
        context: Shared by the parts of the session.

    Attributes:
        source: The driver that was chosen last, or None.
        error: Why it gives no picture at the moment, or None.
        awaited: What it waits for without a fault, or an empty text.
        count: Frames that it gave since ``reset``.
    """

    def __init__(self, context: SessionContext) -> None:
        self.source: DriverSource | None = None
        self.error: AppError | None = None
        self.awaited = ""
        self.count = 0
        self._context = context
        self._pipeline: Pipeline | None = None  # that gets the frames
        self._thread: CaptureThread | None = None
        self._number = 0
        self._arrival = 0.0
        self._arrivals = RateMeter()
        self._orphans: list[CaptureThread] = []
        self._hinted = ""

    # ---- control thread -------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """Set the figures back."""
        self.error, self.count = None, 0

    def begin(self, pipeline: Pipeline) -> None:
        """Let the chosen driver drive, in place of the one before; without one the portrait comes to rest."""
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
        except Exception as error:  # noqa: BLE001 - a driver of an odd camera must not end the session
            self.failed(self._number, fault(error), again=False)
        self._context.notify("camera")

    def ask_to_end(self) -> None:
        """Take no further frames; returns at once."""
        self._number += 1
        if self._thread is not None:
            self._thread.stop()

    def end(self) -> None:
        """End the capture thread; one that is stuck in the driver of a camera is left to itself."""
        thread, self._thread, self._pipeline = self._thread, None, None
        if thread is None:
            return
        thread.stop()
        if not thread.join(JOIN):
            self._orphans = [o for o in self._orphans if not o.join(0)]
            self._orphans.append(thread)

    def join(self, timeout: float | None) -> None:
        """Wait, not for long, for threads that were left to themselves."""
        end = time.monotonic() + (LAST_WAIT if timeout is None else min(LAST_WAIT, timeout))
        for orphan in self._orphans:
            orphan.join(max(0.0, end - time.monotonic()))

    def watch(self) -> None:
        """Look, now and then, at a camera that may have fallen silent, and at its hints."""
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
        """What comes next is awaited without a fault."""
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
                msg("{title} has given no picture for {silence:g} s.", title, SILENCE), "The last one stays."
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
        """Whether a driver gives frames."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        """Whether a frame has just arrived, so that another one is likely to come soon."""
        return self._thread is not None and self._context.clock() - self._arrival < SOON

    @property
    def rate(self) -> float:
        """Frames a second that arrive; 0 until it is known."""
        return self._arrivals.rate

    @property
    def facts(self) -> CameraFacts | None:
        """Modes of the camera, or None."""
        thread = self._thread
        return None if thread is None else thread.driver.facts

    # ---- capture thread -------------------------------------------------------------------------------------------
    def arrived(self, sample: Sample) -> None:
        """A frame has come."""
        if sample.run != self._number or (sample.sensed and sample.reading is None):
            return
        self._arrival = sample.time
        self._arrivals.tick(sample.time)
        self.count += 1
        if self._context.state != "running":
            back = self._context.state == "waiting"
            self.error, self.awaited = None, ""
            if self._context.move("running") and back:
                sensed = msg("The face tracker sends a face.")
                self._context.events.info(sensed if sample.sensed else msg("The camera is back."))
            self._context.notify("camera")

    def failed(self, number: int, error: AppError, *, again: bool) -> None:
        """The driver of a number gives no picture; ``again`` says that it is tried again."""
        if number != self._number:
            return
        known, self.error = self.error, error
        self._context.move("waiting")
        if known is None or str(known) != str(error):
            self._context.events.warn(msg("{error} It is tried again.", error) if again else str(error))
        self._context.notify("camera")


class CaptureThread:
    """Reads one driver into the pipeline until it is told to stop; a camera that goes away is waited for.

    Args:
        capture: Told what happens.
        pipeline: Where frames go.
        source: The driver.
        number: Number of the driver, put into every frame.
    """

    def __init__(self, capture: Capture, pipeline: Pipeline, source: DriverSource, number: int) -> None:
        self.source = source
        self.number = number
        self.driver: Source = source.make(pipeline.clock, pipeline.engine)
        self.since: float | None = None
        """Clock at which it began to wait for the driver, or None while it pauses between two tries."""
        self._capture = capture
        self._pipeline = pipeline
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
        pause, clock = RETRY[0], self._pipeline.clock
        while not self._stop.is_set():
            try:
                self.since = clock()
                self.driver.open()
                while (sample := self.driver.read()) is not None:
                    if self._stop.is_set():  # it was given up and came back to life
                        return
                    self.since = clock()
                    pause = RETRY[0]
                    sample = replace(sample, run=self.number)
                    self._pipeline.captured.put(sample)
                    self._capture.arrived(sample)
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
            self._capture.failed(self.number, problem, again=self.driver.lasting)
            if not self.driver.lasting:
                return
            self._stop.wait(pause)
            pause = min(1.5 * pause, RETRY[1])
