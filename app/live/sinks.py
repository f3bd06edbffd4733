"""Where finished frames go.

Each sink runs in a thread of its own with its own slot: a slow one drops frames, a broken one stops alone, and neither
holds up the picture.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from app.environment import fault
from app.errors import MissingError
from app.live.frames import LiveFrame
from app.live.slot import Slot, live_clock
from app.live.stats import SinkInfo, SinkMeter
from models.messages import joined, msg

if TYPE_CHECKING:
    from app.events import EventStream
    from app.live_options import LiveOptions
WORKED: Final = 100  # frames shown after which the same fault is told again


class Sink(ABC):
    """Takes finished frames; all methods but the constructor and ``follow`` run in the sink's thread.

    Attributes:
        name: Unique within a session.
        depth: Frames that may wait for it.
        interval: Seconds without a new frame after which ``idle`` is called, or None.
        retry: Seconds after which a sink that failed is opened again, or None.
        measured: False if somebody else records when a frame was really seen.
        patience: Seconds that it may take to finish; it is left to itself then.
    """

    name: str = "sink"
    depth: int = 1
    interval: float | None = None
    retry: float | None = None
    measured: bool = True
    patience: float = 5.0

    def __init__(self) -> None:
        self.meter = SinkMeter()
        self.clock: Callable[[], float] = live_clock
        """The session's clock."""
        self.dropped = 0
        """Frames that it was too slow for."""

    def renew(self) -> None:
        """Begin the figures anew, before each run."""
        self.meter = SinkMeter()
        self.dropped = 0

    def open(self) -> None:  # noqa: B027 (many sinks need nothing)
        """Get ready. Raises AppError if that can't be."""

    @abstractmethod
    def show(self, frame: LiveFrame) -> None:
        """Show a frame. Raises AppError if that can't be."""

    def follow(self, old: LiveOptions, new: LiveOptions) -> None:  # noqa: B027
        """Live options have changed while it runs; from any thread, and quick."""

    def idle(self) -> None:  # noqa: B027
        """Nothing new came for ``interval`` seconds."""

    def close(self) -> str:
        """Finish; returns a sentence for the user, or an empty one. Called once for each ``open`` that worked."""
        return ""


class NullSink(Sink):
    """Shows nothing; for measurements."""

    name = "none"

    def show(self, frame: LiveFrame) -> None:
        """See Sink.show."""


class PreviewSink(Sink):
    """Keeps the newest frame for a window and tells it of each one.

    Args:
        on_frame: Called with each frame in the sink's thread; it must hand over to the window's own thread.
        painted_by_caller: The window calls ``painted`` when a frame is on screen; latency is measured to there.
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

    def show(self, frame: LiveFrame) -> None:
        """See Sink.show."""
        self._latest = frame
        if self._on_frame is not None:
            self._on_frame(frame)

    def painted(self, frame: LiveFrame, now: float) -> None:
        """Record that a frame is on screen; ``now`` is ``LiveSession.clock()``."""
        self.meter.record(now, frame.time, frame.fresh)


class SinkRunner:
    """The thread of one sink.

    Args:
        sink: What it serves.
        clock: Source of seconds.
        events: Gets messages.
        changed: Called when the sink's status changes.
    """

    def __init__(
        self, sink: Sink, clock: Callable[[], float], events: EventStream, changed: Callable[[], None]
    ) -> None:
        self.sink = sink
        self.slot: Slot[LiveFrame] = Slot(sink.depth)
        self._clock = clock
        self._events = events
        self._changed = changed
        sink.clock = clock
        self._status, self._message, self._retrying = "waiting", "", False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"live-sink-{sink.name}", daemon=True)
        self._thread.start()

    def info(self) -> SinkInfo:
        """Its status and figures."""
        meter = self.sink.meter
        return SinkInfo(
            self.sink.name, self._status, self._message, meter.shown, self.slot.dropped, meter.fps,
            1000 * meter.recent_latency, self._retrying,
        )  # fmt: skip

    def stop(self) -> None:
        """Ask the sink to show what waits and finish."""
        self._stop.set()
        self.slot.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end, for as long as the sink may take by default; True if it has ended."""
        self._thread.join(self.sink.patience if timeout is None else timeout)
        return not self._thread.is_alive()

    # ---- the thread -----------------------------------------------------------------------------------------------
    def _set(self, status: str, message: str = "", *, retrying: bool = False) -> None:
        self._status, self._message, self._retrying = status, message, retrying
        self._changed()

    def _work(self) -> None:
        said = ""
        while True:
            before = self.sink.meter.shown
            problem = self._serve()
            if problem is None:
                break
            retry = None if isinstance(problem, MissingError) else self.sink.retry
            again = "" if retry is None else msg("It is tried again every {retry:g} s.", retry)
            self._set("failed", str(problem), retrying=retry is not None)
            if said != str(problem) or self.sink.meter.shown - before >= WORKED:
                said = str(problem)
                self._events.warn(joined((str(problem), again)))
            if retry is None or self._stop.wait(retry):
                self.slot.close()
                self._retrying = False
                return
            self.slot.clear()
        self._set("waiting", self._message)

    def _serve(self) -> Exception | None:
        """Open, show frames until the end, close; returns why it broke off, or None."""
        sink = self.sink
        try:
            sink.open()
        except Exception as error:  # noqa: BLE001 - drivers and libraries of devices raise errors of their own
            return fault(error)
        self._set("running")
        problem: Exception | None = None
        try:
            while True:
                frame = self.slot.take(sink.interval)
                if frame is not None:
                    sink.show(frame)
                    if sink.measured:
                        sink.meter.record(self._clock(), frame.time, frame.fresh)
                elif self.slot.closed:
                    break
                else:
                    sink.idle()
        except Exception as error:  # noqa: BLE001
            problem = fault(error)
        sink.dropped = self.slot.dropped
        try:
            sentence = sink.close()
        except Exception as error:  # noqa: BLE001
            return problem or fault(error)
        if sentence:
            self._message = sentence
            self._events.info(sentence)
        return problem
