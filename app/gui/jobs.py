"""The render queue of the window: one job at a time in a thread, with progress, cancel and reorder."""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, Signal

from app.errors import AppError, CancelledError
from app.events import CancelToken, Event, EventStream
from app.render import Job
from app.render.report import RenderReport

State = Literal["queued", "running", "done", "partial", "failed", "cancelled"]
FINISHED = ("done", "partial", "failed", "cancelled")
Renderer = Callable[[Job, EventStream, CancelToken], RenderReport]


def render_job(job: Job, events: EventStream, token: CancelToken) -> RenderReport:
    """Render one job; without a driver (``job.driving`` is the source) the sliders pose the picture."""
    from app.gui.pose import render_pose
    from app.render import render

    if job.driving == job.source:
        return render_pose(job, events, token)
    return render(job, events, token)


@dataclass
class QueuedJob:
    """One job of the queue.

    Attributes:
        number: Unique in this session.
        job: What to render.
        state: Where it stands.
        phase: What is being done ("track", "render").
        done: Frames done in this phase.
        total: Frames of this phase, None if not known.
        fps: Frames per second.
        eta: Seconds left in this phase, or None.
        message: Result or error in one sentence.
        report: Traceback of a failure, for a copyable report.
        output: File that was written, or None.
        notes: Sentences that came up on the way.
    """

    number: int
    job: Job
    state: State = "queued"
    phase: str = ""
    done: int = 0
    total: int | None = None
    fps: float = 0.0
    eta: float | None = None
    message: str = ""
    report: str = ""
    output: Path | None = None
    notes: list[str] = field(default_factory=list)
    token: CancelToken = field(default_factory=CancelToken)

    @property
    def share(self) -> float:
        """How much is done, 0 to 1: a third for reading the motion, the rest for rendering."""
        if self.state in ("done", "partial"):
            return 1.0
        part = min(1.0, self.done / self.total) if self.total else 0.0
        return part / 3 if self.phase == "track" else 1 / 3 + part * 2 / 3 if self.phase == "render" else 0.0


class RenderQueue(QObject):
    """Jobs that wait, run and are over.

    Args:
        render: Does one job.
        parent: Owner.

    Signals:
        changed: Something about the queue's jobs changed; sent from the window's thread.
        finished: A job that is over.
    """

    changed = Signal()
    finished = Signal(object)
    _poked = Signal()

    def __init__(self, render: Renderer = render_job, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._render = render
        self._numbers = itertools.count(1)
        self._ready = threading.Condition()
        self._stopped = False
        self._told = False
        self._over: list[QueuedJob] = []
        self.jobs: list[QueuedJob] = []
        self._poked.connect(self._tell)
        self._thread = threading.Thread(target=self._run, name="render queue", daemon=True)
        self._thread.start()

    # ---- for the window -------------------------------------------------------------------------------------------
    def add(self, job: Job) -> QueuedJob:
        """Put a job at the end."""
        with self._ready:
            entry = QueuedJob(next(self._numbers), job)
            self.jobs.append(entry)
            self._ready.notify()
        self.changed.emit()
        return entry

    def cancel(self, number: int) -> None:
        """Stop a running job, or take a waiting one out of the line; it stays in the list as cancelled."""
        with self._ready:
            entry = self.find(number)
            if entry is None or entry.state in FINISHED:
                return
            entry.token.cancel()
            if entry.state == "queued":
                entry.state = "cancelled"
        self.changed.emit()

    def retry(self, number: int) -> None:
        """Put a job that is over into the line again."""
        with self._ready:
            entry = self.find(number)
            if entry is None or entry.state not in FINISHED:
                return
            self.jobs.remove(entry)
        self.add(entry.job)

    def remove(self, number: int) -> None:
        """Take a job that does not run off the list."""
        with self._ready:
            entry = self.find(number)
            if entry is None or entry.state == "running":
                return
            entry.token.cancel()
            self.jobs.remove(entry)
        self.changed.emit()

    def move(self, number: int, by: int) -> None:
        """Move a waiting job up (negative) or down the line, past other waiting jobs only."""
        with self._ready:
            entry = self.find(number)
            waiting = [e for e in self.jobs if e.state == "queued"]
            if entry not in waiting:
                return
            place = waiting.index(entry) + by
            if 0 <= place < len(waiting):
                a, b = self.jobs.index(entry), self.jobs.index(waiting[place])
                self.jobs[a], self.jobs[b] = self.jobs[b], self.jobs[a]
        self.changed.emit()

    def clear_finished(self) -> None:
        """Take all jobs that are over off the list."""
        with self._ready:
            self.jobs = [entry for entry in self.jobs if entry.state not in FINISHED]
        self.changed.emit()

    def find(self, number: int) -> QueuedJob | None:
        """Job of a number."""
        return next((entry for entry in self.jobs if entry.number == number), None)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return any(entry.state in ("queued", "running") for entry in self.jobs)

    def outputs(self) -> set[Path]:
        """Files that jobs of the list write."""
        return {Path(entry.job.options.output.output) for entry in self.jobs if entry.state in ("queued", "running")}

    def stop(self, timeout: float = 30.0) -> bool:
        """Cancel everything and end the thread.

        Returns:
            Whether it ended in time.
        """
        with self._ready:
            self._stopped = True
            for entry in self.jobs:
                entry.token.cancel()
            self._ready.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the thread -----------------------------------------------------------------------------------------------
    def _next(self) -> QueuedJob | None:
        return next((entry for entry in self.jobs if entry.state == "queued"), None)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._stopped or self._next() is not None)
                entry = self._next()
                if self._stopped or entry is None:
                    return
                entry.state = "running"
            self._poke()
            self._work(entry)
            with self._ready:
                self._over.append(entry)
            self._poke()

    def _work(self, entry: QueuedJob) -> None:
        try:
            report = self._render(entry.job, EventStream(lambda event: self._take(entry, event)), entry.token)
        except CancelledError as error:
            entry.state, entry.message = "cancelled", str(error)
        except AppError as error:
            entry.state, entry.message, entry.report = "failed", str(error), traceback.format_exc()
        except Exception as error:  # noqa: BLE001 - one bad job must not end the session
            entry.state, entry.report = "failed", traceback.format_exc()
            entry.message = f"{type(error).__name__}: {error}"
        else:
            entry.output, entry.message = report.output, report.message
            entry.notes = list(report.notes)
            entry.state = report.status

    def _take(self, entry: QueuedJob, event: Event) -> None:
        if event.kind == "message":
            entry.notes.append(event.message)
        elif event.kind in ("phase", "progress"):
            entry.phase, entry.done, entry.total = event.phase, event.done, event.total
            entry.fps, entry.eta = event.fps, event.eta
            self._poke()

    def _poke(self) -> None:
        with self._ready:
            if self._told:
                return
            self._told = True
        try:
            self._poked.emit()
        except RuntimeError:  # the window is gone
            self._stopped = True

    def _tell(self) -> None:
        with self._ready:
            self._told = False
            over, self._over = self._over, []
        self.changed.emit()
        for entry in over:
            self.finished.emit(entry)
