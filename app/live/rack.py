"""All sinks of a session."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from app.live.sinks import Sink, SinkRunner
from app.live.stats import SinkInfo
from models.messages import msg

if TYPE_CHECKING:
    from app.events import EventStream
    from app.live.frames import LiveFrame
    from app.live_options import LiveOptions


class SinkRack:
    """Sinks by name, each with its thread while frames come.

    Args:
        clock: Source of seconds.
        events: Gets messages of the sinks.
        changed: Called when a sink comes, goes or changes its status.
    """

    def __init__(self, clock: Callable[[], float], events: EventStream, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._events = events
        self._changed = changed
        self._sinks: dict[str, Sink] = {}
        self._runners: dict[str, SinkRunner] = {}
        self._leaving: list[SinkRunner] = []  # that were removed and still finish
        self._running = False
        self._lock = threading.Lock()

    def add(self, sink: Sink) -> None:
        """Add a sink, in place of one of the same name; it starts at once if the others run."""
        self.remove(sink.name)
        with self._lock:
            self._sinks[sink.name] = sink
            if self._running:
                self._run(sink)
        self._changed()

    def remove(self, name: str) -> None:
        """Finish a sink and forget it."""
        with self._lock:
            self._sinks.pop(name, None)
            runner = self._runners.pop(name, None)
            self._part(() if runner is None else (runner,))
        if runner is not None:
            runner.stop()
            runner.join()
        self._changed()

    def start(self) -> None:
        """Start all sinks."""
        with self._lock:
            self._running = True
            for sink in self._sinks.values():
                self._run(sink)

    def finish(self) -> None:
        """Let all sinks show what waits, and finish them; their figures stay until ``clear``."""
        with self._lock:
            self._running = False
            runners = [*self._runners.values(), *self._leaving]
        for runner in runners:
            runner.stop()
        for runner in runners:
            runner.join()

    def clear(self) -> None:
        """Forget the threads of finished sinks."""
        with self._lock:
            self._part(self._runners.values())
            self._runners.clear()
        self._changed()

    def publish(self, frame: LiveFrame) -> None:
        """Hand a frame to all sinks; never waits."""
        with self._lock:
            runners = list(self._runners.values())
        for runner in runners:
            runner.slot.put(frame)

    def follow(self, old: LiveOptions, new: LiveOptions) -> None:
        """Tell all sinks of changed options."""
        with self._lock:
            sinks = list(self._sinks.values())
        for sink in sinks:
            sink.follow(old, new)

    def infos(self) -> tuple[SinkInfo, ...]:
        """All sinks with status and figures."""
        with self._lock:
            known = [(sink, self._runners.get(name)) for name, sink in self._sinks.items()]
        return tuple(
            SinkInfo(sink.name, "waiting", shown=sink.meter.shown) if runner is None else runner.info()
            for sink, runner in known
        )

    def first(self) -> tuple[Sink | None, int]:
        """The first sink that has shown something, and how many frames it was too slow for."""
        with self._lock:
            sink = next((s for s in self._sinks.values() if s.meter.shown), None)
            runner = None if sink is None else self._runners.get(sink.name)
            return sink, 0 if runner is None else runner.slot.dropped

    def _part(self, runners: Iterable[SinkRunner]) -> None:
        """Keep in mind those that are still at it; one that is stuck may never end."""
        self._leaving = [each for each in (*self._leaving, *runners) if not each.join(0)]

    def _run(self, sink: Sink) -> None:
        """Begin with a sink, unless it still hangs from the last time: two threads must not work in it."""
        self._part(())
        if any(each.sink is sink for each in self._leaving):
            self._events.warn(msg("The output {sink} does not answer any more and is left out.", sink.name))
            return
        sink.renew()
        self._runners[sink.name] = SinkRunner(sink, self._clock, self._events, self._changed)
