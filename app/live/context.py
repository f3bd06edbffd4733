"""What all parts of a live session share: settings, state, clock, the pipeline that runs, and one place for reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from app.errors import AppError
from app.events import Event, EventStream
from app.live.control import guarded
from app.live.settings import Settings
from app.live.states import State, may_move

if TYPE_CHECKING:
    from app.live.pipeline import Pipeline
    from liveportrait.engines.base import Engine

Change = Literal["state", "portraits", "sinks", "camera", "quality", "engine", "countdown"]
"""What a session says has changed."""


class SessionContext:
    """Every part of a session reads the settings of the moment here, and reports here; any thread may use it.

    Args:
        settings: Settings to begin with.
        clock: Source of seconds.
        events: Gets messages.
        on_change: Called with each change.

    Attributes:
        engine: The engine in use, or None before one is loaded.
        pipeline: What animates at the moment, or None.
        state: State of the session.
        countdown: Seconds left until a new neutral pose is taken.
        closing: Set once the session ends for good.
        events: Gets messages of the session's threads; a listener that fails does not end them.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float], events: EventStream, on_change: Callable[[Change], object]
    ) -> None:
        self.clock = clock
        self.engine: Engine | None = None
        self.pipeline: Pipeline | None = None
        self.state: State = "idle"
        self.countdown = 0
        self.closing = threading.Event()
        self.events = EventStream(guarded(events.emit))
        self._settings = settings
        self._on_change = on_change
        self._lock = threading.Lock()
        self._changed = threading.Condition()

    @property
    def settings(self) -> Settings:
        """Settings of the moment."""
        return self._settings

    def change(self, **changes: Any) -> Settings:
        """Change settings; returns those before."""
        with self._lock:
            old, self._settings = self._settings, replace(self._settings, **changes)
            return old

    # ---- reports --------------------------------------------------------------------------------------------------
    def notify(self, what: Change) -> None:
        """Something has changed."""
        with self._changed:
            self._changed.notify_all()
        self._on_change(what)

    def move(self, new: State) -> bool:
        """Go to another state; False if there is no way from the one of the moment."""
        with self._changed:
            if not may_move(self.state, new):
                return False
            self.state = new
        self.notify("state")
        return True

    def warn(self, problem: object) -> None:
        """Report a fault of a working thread."""
        self.events.warn(problem if isinstance(problem, str) else str(problem))
        self.notify("state")

    def complain(self, error: AppError) -> None:
        """Report that something that was asked for can't be had."""
        self.events.emit(Event("message", message=str(error), level="error"))

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds, which is checked with each change; returns whether it holds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    # ---- the pipeline ---------------------------------------------------------------------------------------------
    def redraw(self) -> None:
        """Draw the last frame again: an option, a slider or the portrait has changed."""
        if (pipeline := self.pipeline) is not None:
            pipeline.redraw()

    def renew(self) -> None:
        """A neutral frame or drivers of parts are ready: a frame that stands still takes them too."""
        if (pipeline := self.pipeline) is not None:
            pipeline.renew()
