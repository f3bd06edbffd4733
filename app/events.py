"""The event stream of long-running operations, and the token that cancels them.

A pipeline emits events to an :class:`EventStream`; sinks turn them into a progress bar, JSON lines or Qt signals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from app.errors import CancelledError
from models.messages import Message

EventKind = Literal["phase", "progress", "message", "job", "result", "error"]
Level = Literal["info", "warning", "error"]
EVENT_SCHEMA = 1


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: "phase" when a phase begins, "progress" within it, "message", "job" when one of several jobs begins or
            ends, and one "result" or "error" at the end.
        phase: Name of the phase ("track", "render", ...), empty outside of one.
        done: Items (frames) done in this phase.
        total: Items in this phase, None if not known.
        fps: Items per second over the last few seconds, 0 until known.
        eta: Remaining seconds in this phase, None if not known.
        message: Text shown to the user.
        level: Severity of a message.
        data: Further values of a result or error, JSON-serialisable.
    """

    kind: EventKind
    phase: str = ""
    done: int = 0
    total: int | None = None
    fps: float = 0.0
    eta: float | None = None
    message: str = ""
    level: Level = "info"
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The event as the object of one JSON line (docs/cli.md describes it)."""
        line: dict[str, Any] = {"schema": EVENT_SCHEMA, "event": self.kind}
        if self.kind in ("phase", "progress"):
            line |= {"phase": self.phase, "done": self.done, "total": self.total}
        if self.kind == "progress":
            line |= {"fps": round(self.fps, 2), "eta_s": None if self.eta is None else round(self.eta, 2)}
        if self.kind == "message":
            line |= {"level": self.level}
        if self.message:
            line["message"] = self.message
        if isinstance(self.message, Message):
            line |= self.message.to_json()
        return line | self.data


Sink = Callable[[Event], None]


class CancelToken:
    """Requests running work to stop; the work checks it once per frame. Safe across threads and in signal handlers."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Request cancellation."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait for cancellation with a timeout; returns whether it was requested."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise CancelledError if cancellation was requested."""
        if self._event.is_set():
            raise CancelledError("Stopped.")


class EventStream:
    """Passes events to sinks one at a time, from any thread.

    Args:
        sinks: Called in order with every event.
        interval: Minimum time between progress events of a phase, in seconds.
        clock: Source of monotonic seconds.
    """

    def __init__(self, *sinks: Sink, interval: float = 0.1, clock: Callable[[], float] = time.monotonic) -> None:
        self._sinks = sinks
        self._interval = interval
        self._clock = clock
        self._lock = threading.RLock()

    def emit(self, event: Event) -> None:
        """Pass one event to all sinks."""
        with self._lock:
            for sink in self._sinks:
                sink(event)

    def info(self, message: str) -> None:
        """Emit an informational message."""
        self.emit(Event("message", message=message))

    def warn(self, message: str) -> None:
        """Emit a warning."""
        self.emit(Event("message", message=message, level="warning"))

    @contextmanager
    def phase(self, name: str, total: int | None, message: str = "") -> Iterator[Phase]:
        """Run a phase; a final progress event is always sent if the block ends without an error.

        Args:
            name: Short name, stable for programs that parse the JSON lines.
            total: Number of items, None if not known.
            message: Title shown to the user.
        """
        phase = Phase(self, name, total, message=message, interval=self._interval, clock=self._clock)
        self.emit(Event("phase", phase=name, total=total, message=message))
        yield phase
        phase.finish()


class Phase:
    """Counts the items of one phase and sends progress at most once per interval."""

    def __init__(
        self,
        stream: EventStream,
        name: str,
        total: int | None,
        *,
        message: str,
        interval: float,
        clock: Callable[[], float],
    ) -> None:
        self.name, self.total, self.message = name, total, message
        self.done = 0
        self._stream, self._interval, self._clock = stream, interval, clock
        self._start = self._sent = clock()
        self._marks: list[tuple[float, int]] = [(self._start, 0)]

    def advance(self, count: int = 1) -> None:
        """Report that more items are done."""
        self.done += count
        now = self._clock()
        if now - self._sent >= self._interval:
            self._sent = now
            self._marks = [m for m in self._marks[-64:] if now - m[0] < 8.0] or self._marks[-1:]
            self._marks.append((now, self.done))
            self._send(now)

    def finish(self) -> None:
        """Send the final progress event; the total is set to the number actually done."""
        self.total = self.done
        self._send(self._clock(), whole=True)

    def _send(self, now: float, whole: bool = False) -> None:
        since, count = (self._start, 0) if whole else self._marks[0]
        fps = (self.done - count) / (now - since) if now > since else 0.0
        left = None if self.total is None or fps <= 0 else max(0, self.total - self.done) / fps
        self._stream.emit(Event("progress", self.name, self.done, self.total, fps=fps, eta=left, message=self.message))
