"""State shared by all parts of a live session: settings, state, clock, the running pipeline, and reporting."""

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
from models.choices import EMBEDDED, DetectorChoice

if TYPE_CHECKING:
    from app.frames.resources import Resources
    from app.live.pipeline import Pipeline
    from liveportrait.engines.base import Engine
    from models.tracker import FaceTracker

Change = Literal["state", "portraits", "sinks", "camera", "quality", "engine", "countdown"]
"""What has changed in a session."""


class SessionContext:
    """The parts of a session read the current settings and report events here; thread-safe.

    Args:
        settings: Initial settings.
        clock: Source of seconds.
        events: Receives messages.
        on_change: Called with each change.
        resources: Loads and keeps engines and face trackers.

    Attributes:
        engine: The current engine, or None before one is loaded.
        pipeline: The running pipeline, or None.
        state: State of the session.
        countdown: Seconds left until a new neutral pose is captured.
        closing: Set when the session is closed.
        events: Receives messages of the session's threads; a failing listener does not end them.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        events: EventStream,
        on_change: Callable[[Change], object],
        resources: Resources,
    ) -> None:
        self.clock = clock
        self.resources = resources
        self._refused: DetectorChoice | None = None  # reported as not available
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
        """The current settings."""
        return self._settings

    def change(self, **changes: Any) -> Settings:
        """Change settings; returns the previous ones."""
        with self._lock:
            old, self._settings = self._settings, replace(self._settings, **changes)
            return old

    # ---- reports --------------------------------------------------------------------------------------------------
    def notify(self, what: Change) -> None:
        """Notify listeners of a change."""
        with self._changed:
            self._changed.notify_all()
        self._on_change(what)

    def move(self, new: State) -> bool:
        """Change to another state; False if the current one does not allow it."""
        with self._changed:
            if not may_move(self.state, new):
                return False
            self.state = new
        self.notify("state")
        return True

    def warn(self, problem: object) -> None:
        """Report an error in a working thread."""
        self.events.warn(problem if isinstance(problem, str) else str(problem))
        self.notify("state")

    def complain(self, error: AppError) -> None:
        """Report that a request can't be fulfilled."""
        self.events.emit(Event("message", message=str(error), level="error"))

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds, checked at each change; returns whether it holds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def tracker(self) -> FaceTracker:
        """The face tracker of the calling thread; with the embedded detector if the requested one is not available."""
        wanted = self._settings.options.input.finder
        try:
            return self.resources.tracker(wanted)
        except AppError as error:
            if self._refused != wanted:
                self._refused = wanted
                self.complain(error)
            return self.resources.tracker(EMBEDDED)

    # ---- the pipeline ---------------------------------------------------------------------------------------------
    def redraw(self) -> None:
        """Render the last frame again after an option, a slider or the portrait has changed."""
        if (pipeline := self.pipeline) is not None:
            pipeline.redraw()

    def renew(self) -> None:
        """Render again when a neutral frame or part driver arrives, even if the driver is paused."""
        if (pipeline := self.pipeline) is not None:
            pipeline.renew()
