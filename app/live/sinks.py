"""Outputs for finished frames.

Each sink runs in its own thread with its own mailbox: a slow one drops frames, a failing one stops alone, and neither
delays the others.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from app.environment import fault
from app.errors import MissingError
from app.live.frames import LiveFrame
from app.live.mailbox import Mailbox, live_clock
from app.live.stats import SinkInfo, SinkMeter
from models.messages import joined, msg

if TYPE_CHECKING:
    from app.live.context import SessionContext
    from app.live_options import LiveOptions
WORKED: Final = 100  # frames shown after which the same error is reported again


class Sink(ABC):
    """Receives finished frames; all methods except the constructor and ``set_live`` run in the sink's thread.

    Attributes:
        name: Unique within a session.
        depth: Number of frames that may wait for it.
        interval: Seconds without a new frame after which ``idle`` is called, or None.
        retry: Seconds after which a sink that failed is opened again, or None.
        longest_retry: Seconds up to which ``retry`` is doubled with each further failure, or None.
        greeting: A sentence for the user once it is open, or empty.
        measured: False if other code records when a frame was really shown.
        patience: Seconds that it may take to finish before it is abandoned.
    """

    name: str = "sink"
    depth: int = 1
    interval: float | None = None
    retry: float | None = None
    longest_retry: float | None = None
    greeting: str = ""
    measured: bool = True
    patience: float = 5.0

    def __init__(self) -> None:
        self.meter = SinkMeter()
        self.clock: Callable[[], float] = live_clock
        """The session's clock."""
        self.dropped = 0
        """Number of frames dropped because it was too slow."""

    @property
    def skipped(self) -> int:
        """Frames that it accepted, but that a receiver was too slow for."""
        return 0

    def reset(self) -> None:
        """Reset the statistics before each run."""
        self.meter = SinkMeter()
        self.dropped = 0

    def open(self) -> None:  # noqa: B027 (many sinks need nothing)
        """Prepare the output. Raises AppError on failure."""

    @abstractmethod
    def write(self, frame: LiveFrame) -> None:
        """Output a frame. Raises AppError on failure."""

    def set_live(self, old: LiveOptions, new: LiveOptions) -> None:  # noqa: B027
        """Apply changed live options; called from any thread, must be fast."""

    def idle(self) -> None:  # noqa: B027
        """Called when no new frame arrived for ``interval`` seconds."""

    def close(self) -> str:
        """Finish; returns a sentence for the user, or empty. Called once for each successful ``open``."""
        return ""


class NullSink(Sink):
    """Discards frames; for measurements."""

    name = "none"

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""


class PreviewSink(Sink):
    """Keeps the newest frame for a window and notifies it of each one.

    Args:
        on_frame: Called with each frame in the sink's thread; it must pass it to the window's own thread.
        painted_by_caller: The window calls ``painted`` when a frame is on screen; latency is measured up to that point.
        name: Unique within a session.
    """

    def __init__(
        self,
        on_frame: Callable[[LiveFrame], None] | None = None,
        *,
        painted_by_caller: bool = False,
        name: str = "preview",
    ) -> None:
        super().__init__()
        self.name = name
        self.measured = not painted_by_caller
        self._on_frame = on_frame
        self._latest: LiveFrame | None = None

    @property
    def latest(self) -> LiveFrame | None:
        """The newest frame, or None."""
        return self._latest

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""
        self._latest = frame
        if self._on_frame is not None:
            self._on_frame(frame)

    def painted(self, frame: LiveFrame, now: float) -> None:
        """Record that a frame is on screen; ``now`` is ``LiveSession.clock()``."""
        self.meter.record(now, frame.time, frame.fresh)


class SinkThread:
    """The thread of one sink.

    Args:
        sink: The sink.
        context: Receives messages and changes of the sink's status.
    """

    def __init__(self, sink: Sink, context: SessionContext) -> None:
        self.sink = sink
        self.frames: Mailbox[LiveFrame] = Mailbox(sink.depth)
        self._context = context
        sink.clock = context.clock
        self._status, self._message, self._retrying = "waiting", "", False
        self._greeted = ""  # the last greeting
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"live-sink-{sink.name}", daemon=True)
        self._thread.start()

    def info(self) -> SinkInfo:
        """Its status and statistics."""
        meter = self.sink.meter
        return SinkInfo(
            self.sink.name, self._status, self._message, meter.shown,
            self.frames.dropped + self.sink.skipped, meter.fps,
            1000 * meter.recent_latency, self._retrying,
        )  # fmt: skip

    def stop(self) -> None:
        """Ask the sink to process waiting frames and finish."""
        self._stop.set()
        self.frames.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for it to end, by default as long as the sink may take; returns whether it has."""
        self._thread.join(self.sink.patience if timeout is None else timeout)
        return not self._thread.is_alive()

    # ---- the thread -----------------------------------------------------------------------------------------------
    def _set(self, status: str, message: str = "", *, retrying: bool = False) -> None:
        self._status, self._message, self._retrying = status, message, retrying
        self._context.notify("sinks")

    def _work(self) -> None:
        said, failures = "", 0
        while True:
            before = self.sink.meter.shown
            problem = self._serve()
            if problem is None:
                break
            failures = 0 if self.sink.meter.shown > before else failures + 1
            retry = None if isinstance(problem, MissingError) else self._pause(failures)
            again = "" if retry is None else self._again()
            self._set("failed", str(problem), retrying=retry is not None)
            if said != str(problem) or self.sink.meter.shown - before >= WORKED:
                said = str(problem)
                self._context.events.warn(joined((str(problem), again)))
            if retry is None or self._stop.wait(retry):
                self.frames.close()
                self._retrying = False
                return
            self.frames.clear()
        self._set("waiting", self._message)

    def _pause(self, failures: int) -> float | None:
        """Seconds until the sink is reopened after a number of consecutive failures; None leaves it closed."""
        first, longest = self.sink.retry, self.sink.longest_retry
        if first is None or longest is None:
            return first
        return min(longest, first * 2.0 ** min(max(0, failures - 1), 16))

    def _again(self) -> str:
        if self.sink.longest_retry is not None:
            return msg("Trying again.")
        return msg("Trying again every {retry:g} s.", self.sink.retry)

    def _serve(self) -> Exception | None:
        """Open, show frames until the end, close; returns the error that ended it, or None."""
        sink = self.sink
        try:
            sink.open()
        except Exception as error:  # noqa: BLE001 - device drivers and libraries raise their own errors
            return fault(error)
        self._set("running")
        if sink.greeting and sink.greeting != self._greeted:
            self._greeted = sink.greeting
            self._context.events.info(sink.greeting)
        problem: Exception | None = None
        try:
            while True:
                frame = self.frames.take(sink.interval)
                if frame is not None:
                    sink.write(frame)
                    if sink.measured:
                        sink.meter.record(self._context.clock(), frame.time, frame.fresh)
                elif self.frames.closed:
                    break
                else:
                    sink.idle()
        except Exception as error:  # noqa: BLE001
            problem = fault(error)
        sink.dropped = self.frames.dropped
        try:
            sentence = sink.close()
        except Exception as error:  # noqa: BLE001
            return problem or fault(error)
        if sentence:
            self._message = sentence
            self._context.events.info(sentence)
        return problem


class Sinks:
    """All sinks of a session by name, each with its thread while the session runs.

    Args:
        context: Receives messages of the sinks, and is notified when one is added, removed or changes its status.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._sinks: dict[str, Sink] = {}
        self._threads: dict[str, SinkThread] = {}
        self._leaving: list[SinkThread] = []  # removed sinks that are still finishing
        self._running = False
        self._lock = threading.Lock()

    def add(self, sink: Sink) -> None:
        """Add a sink, replacing one with the same name; it starts immediately if the others are running."""
        self.remove(sink.name)
        with self._lock:
            self._sinks[sink.name] = sink
            if self._running:
                self._run(sink)
        self._context.notify("sinks")

    def remove(self, name: str) -> None:
        """Finish a sink and remove it."""
        with self._lock:
            self._sinks.pop(name, None)
            thread = self._threads.pop(name, None)
            self._part(() if thread is None else (thread,))
        if thread is not None:
            thread.stop()
            thread.join()
        self._context.notify("sinks")

    def start(self) -> None:
        """Start all sinks."""
        with self._lock:
            self._running = True
            for sink in self._sinks.values():
                self._run(sink)

    def finish(self) -> None:
        """Finish all sinks after their waiting frames; their statistics stay until ``clear``."""
        with self._lock:
            self._running = False
            threads = [*self._threads.values(), *self._leaving]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join()

    def clear(self) -> None:
        """Discard the threads of finished sinks."""
        with self._lock:
            self._part(self._threads.values())
            self._threads.clear()
        self._context.notify("sinks")

    def publish(self, frame: LiveFrame) -> None:
        """Pass a frame to all sinks; never blocks."""
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.frames.put(frame)

    def set_live(self, old: LiveOptions, new: LiveOptions) -> None:
        """Pass changed options on to all sinks."""
        with self._lock:
            sinks = list(self._sinks.values())
        for sink in sinks:
            sink.set_live(old, new)

    def infos(self) -> tuple[SinkInfo, ...]:
        """All sinks with status and statistics."""
        with self._lock:
            known = [(sink, self._threads.get(name)) for name, sink in self._sinks.items()]
        return tuple(
            SinkInfo(sink.name, "waiting", shown=sink.meter.shown) if thread is None else thread.info()
            for sink, thread in known
        )

    def first(self) -> tuple[Sink | None, int]:
        """The first sink that has shown a frame, and the number of frames that it dropped."""
        with self._lock:
            sink = next((s for s in self._sinks.values() if s.meter.shown), None)
            thread = None if sink is None else self._threads.get(sink.name)
            return sink, 0 if thread is None else thread.frames.dropped

    def _part(self, threads: Iterable[SinkThread]) -> None:
        """Remember the threads that are still running; a stuck one may never end."""
        self._leaving = [each for each in (*self._leaving, *threads) if not each.join(0)]

    def _run(self, sink: Sink) -> None:
        """Start a sink, unless it still hangs from the last run; two threads must not use it."""
        self._part(())
        if any(each.sink is sink for each in self._leaving):
            self._context.events.warn(msg("The output {sink} no longer responds and is skipped.", sink.name))
            return
        sink.reset()
        self._threads[sink.name] = SinkThread(sink, self._context)
