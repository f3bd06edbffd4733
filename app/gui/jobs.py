"""The window's render queue: the jobs of the queue on disk, and a separate process that renders them.

A thread reads and changes the file, so that the window never waits for it. The window's jobs have a queue name of their
own; a runner (app.jobs.runner) processes them and ends with the window unless the user lets it finish in the
background.
"""

from __future__ import annotations

import os
import queue as queues
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QObject, Signal

from app.errors import AppError, UsageError
from app.gui import store
from app.gui.session import LIVE_ONLY
from app.gui.translate import tr
from app.jobs.estimate import Overall, overall
from app.jobs.hashes import input_files, settled
from app.jobs.queue import Queue
from app.jobs.record import ENDED, JobRecord
from app.jobs.runner import RunnerProcess
from app.jobs.spec import NUMBERED, Entry, changed_values
from app.media.outnames import check_not_inputs

if TYPE_CHECKING:
    from app.gui.session import Session

LANE: Final = "window"
SHOWN: Final = 60  # most jobs that the window shows
TICK: Final = 0.25  # seconds between polls of the file
LOOK: Final = 5.0  # seconds between checks for dead workers
Work = Callable[[Queue], object]


def make_entry(session: Session, output: Path, *, overwrite: bool) -> Entry:
    """The job that renders the current session with all its settings.

    Args:
        session: The settings.
        output: File to write; the name may be a pattern for numbered images.
        overwrite: Whether it may replace a file.

    Raises:
        UsageError: The session can't be rendered, or the output is one of its inputs.
    """
    if session.portrait is None:
        raise UsageError(tr("There is no portrait."), tr("Add a photo or a clip on the left."))
    if session.driver.kind in LIVE_ONLY:
        raise UsageError(
            tr("A real-time driver can't be rendered to a file."),
            tr("Record it live, or choose a clip as the driver."),
        )
    idle = {} if session.lives or session.driver.kind != "sliders" else {"idle": ""}  # a life of 0 is none
    values = settled(changed_values(session.options(overwrite=overwrite, **idle)), Path.cwd())
    source = Path(os.path.abspath(session.portrait.path))
    driving = None if session.driver.kind == "sliders" else Path(os.path.abspath(session.driver.source))
    if driving is None and session.keyed and session.keys.keys:
        driving = store.keep_track(session.keys)
    name = os.path.abspath(output)
    check_not_inputs([Path(name)], input_files(source, driving, values))
    expression = session.expression
    rests = not expression.values and expression.eye_ratio is None and expression.lip_ratio is None
    sliders = None if rests and driving is not None else expression.to_dict()
    numbered = NUMBERED.search(output.name) is not None
    return Entry(source, driving, name, values, LANE, numbered, sliders)


@dataclass(frozen=True)
class Snapshot:
    """The queue at one moment.

    Attributes:
        jobs: The jobs that the window shows, in processing order.
        count: Number of all jobs in the queue.
        waiting: Numbers of jobs that no worker processes until they are resumed.
        own: Whether the window's own runner is working.
    """

    jobs: tuple[JobRecord, ...] = ()
    count: int = 0
    waiting: tuple[int, ...] = ()
    own: bool = False


class RenderQueue(QObject):
    """The jobs that are waiting, running and finished.

    Args:
        path: File of the queue; the user's own, that of `animate batch` and `animate jobs`, by default.
        parent: Owner.

    Attributes:
        jobs: The jobs that the window shows, in processing order.
        left_over: Numbers of jobs that were not finished when the window was last closed.

    Signals:
        changed: Something about the queue's jobs changed; sent from the window's thread.
        finished: A job of the window has ended.
        failed: An exception and its traceback: a request can't be carried out.
        found: There are unfinished jobs from last time; the user has to decide.
    """

    changed = Signal()
    finished = Signal(object)
    failed = Signal(object, str)
    found = Signal()
    _poked = Signal()

    def __init__(self, path: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._commands: queues.SimpleQueue[Work | None] = queues.SimpleQueue()
        self._lock = threading.Lock()
        self._announced = self._background = False
        self._news: list[Snapshot] = []
        self._faults: list[tuple[Exception, str]] = []
        self._held: list[int] = []
        self._told_of = 0
        self._adding = self._added = self._shown = 0  # adds requested, done, and contained in a snapshot
        self._states: dict[int, str] = {}
        self._round: set[int] = set()
        self._now = Snapshot()
        self.left_over: frozenset[int] = frozenset()
        self._poked.connect(self._tell)
        self._thread = threading.Thread(target=self._run, name="render queue", daemon=True)
        self._thread.start()

    # ---- for the window -------------------------------------------------------------------------------------------
    @property
    def jobs(self) -> tuple[JobRecord, ...]:
        """The jobs that the window shows, in processing order."""
        return self._now.jobs

    @property
    def more(self) -> int:
        """Number of further jobs in the queue."""
        return self._now.count - len(self._now.jobs)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of jobs that no worker processes until they are resumed."""
        return self._now.waiting

    def add(self, entry: Entry) -> None:
        """Append a job to the queue."""
        with self._lock:
            self._adding += 1

        def work(queue: Queue) -> None:
            try:
                added = queue.add([entry], LANE, lane=LANE, fresh=True)
                if added.kept:
                    queue.retry(added.ids, LANE)
            finally:
                with self._lock:
                    self._added += 1

        self._commands.put(work)

    def cancel(self, number: int) -> None:
        """Stop a running job, or cancel a waiting one; it stays in the list as cancelled."""
        self._commands.put(lambda queue: queue.cancel([number]))

    def retry(self, number: int) -> None:
        """Queue a finished job again."""
        self._commands.put(lambda queue: queue.retry([number], LANE))

    def resume(self, numbers: Iterable[int]) -> None:
        """Let the window process jobs that no worker takes."""
        chosen = list(numbers)
        self._commands.put(lambda queue: queue.resume(chosen, LANE))

    def pause(self) -> None:
        """Stop after the running job."""
        self._commands.put(lambda queue: queue.pause(j.id for j in queue.reader.jobs(states=["queued"], lane=LANE)))

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove jobs that are not running from the list."""
        chosen = list(numbers)
        self._commands.put(lambda queue: queue.clear(chosen))

    def move(self, number: int, by: int) -> None:
        """Move a waiting job up (negative) or down the queue, past other waiting jobs only."""
        self._commands.put(lambda queue: queue.move(number, by))

    def clear_finished(self) -> None:
        """Remove all finished jobs from the list."""
        self._commands.put(lambda queue: queue.clear(job.id for job in queue.reader.jobs(states=ENDED)))

    def find(self, number: int) -> JobRecord | None:
        """The job with this number."""
        return next((job for job in self.jobs if job.id == number), None)

    @property
    def active(self) -> list[JobRecord]:
        """Jobs of the window that are running or waiting."""
        return [job for job in self.jobs if job.lane == LANE and job.state in ("queued", "running")]

    @property
    def busy(self) -> bool:
        """Whether closing the window would interrupt work."""
        with self._lock:
            adding = self._adding - self._shown
        return bool(adding or (self.active and self._now.own))

    def overall(self) -> Overall:
        """Progress of all jobs queued since the queue was last idle."""
        return overall([job for job in self.jobs if job.id in self._round], time.time())

    def outputs(self) -> set[Path]:
        """Output files of the jobs in the list."""
        return {Path(job.output) for job in self.jobs if job.state not in ENDED}

    def stop(self, timeout: float = 30.0, *, background: bool = False) -> bool:
        """Stop the thread, and the work unless it continues in the background; interrupted jobs stay queued.

        Args:
            timeout: Seconds to wait.
            background: Let the rendering process finish on its own.

        Returns:
            Whether it ended in time.
        """
        self._background = self._background or background
        self._commands.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the thread -----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            with Queue(self._path) as queue:
                keeper = Keeper(queue, self._commands, self._news_from, self._fault, self._caught_up)
                keeper.run(lambda: self._background)
        except Exception as error:  # noqa: BLE001 - the window continues without a queue and shows why
            self._fault(error, traceback.format_exc())

    def _news_from(self, now: Snapshot, held: list[int]) -> None:
        with self._lock:
            self._news.append(now)
            self._held += held
        self._poke()

    def _caught_up(self) -> None:
        """Count the adds done so far as contained in the last snapshot."""
        with self._lock:
            self._told_of, poke = self._added, self._added > self._told_of
        if poke:
            self._poke()

    def _fault(self, error: Exception, text: str) -> None:
        with self._lock:
            self._faults.append((error, text))
        self._poke()

    def _poke(self) -> None:
        with self._lock:
            if self._announced:
                return
            self._announced = True
        try:
            self._poked.emit()
        except RuntimeError:  # the window was deleted
            return

    def _tell(self) -> None:
        """Apply the news and emit the signals; runs in the window's thread."""
        with self._lock:
            self._announced = False
            news, self._news = self._news, []
            faults, self._faults = self._faults, []
            held, self._held = self._held, []
            told_of = self._told_of
        over: list[JobRecord] = []
        for now in news:
            over += self._take(now)
        with self._lock:
            self._shown = told_of
        if held:
            self.left_over = frozenset(held)
        self.left_over &= frozenset(self.waiting)
        if news:
            self.changed.emit()
        if held:
            self.found.emit()
        for job in over:
            self.finished.emit(job)
        for error, text in faults:
            self.failed.emit(error, text)

    def _take(self, now: Snapshot) -> list[JobRecord]:
        """Apply a snapshot; returns the window's jobs that have ended since the last one."""
        over = [
            job
            for job in now.jobs
            if job.lane == LANE and job.state in ENDED and self._states.get(job.id, "done") not in ENDED
        ]
        idle = not self.active
        self._now = now
        self._states = {job.id: job.state for job in now.jobs}
        if self.active and idle:
            self._round.clear()
        self._round |= {job.id for job in self.active}
        return over


class Keeper:
    """The loop of the queue's thread: runs commands, starts a runner when there is work, notifies the window.

    Args:
        queue: The queue.
        commands: Operations on the queue; None ends the thread.
        tell: Receives snapshots, and with the first one the jobs left over from last time.
        fault: Receives errors.
        caught_up: Called when all news have been delivered.
    """

    def __init__(
        self,
        queue: Queue,
        commands: queues.SimpleQueue[Work | None],
        tell: Callable[[Snapshot, list[int]], None],
        fault: Callable[[Exception, str], None],
        caught_up: Callable[[], None],
    ) -> None:
        self._caught_up = caught_up
        self._queue, self._commands, self._tell, self._fault = queue, commands, tell, fault
        self._runner: RunnerProcess | None = None
        self._seen: Any = None
        self._looked = 0.0

    def run(self, background: Callable[[], bool]) -> None:
        """Run until the command None; then stop the runner or let it continue.

        Args:
            background: Whether it may continue.
        """
        self._queue.recover()
        self._queue.hold(LANE)
        held = [job.id for job in self._queue.reader.jobs(states=["paused"], lane=LANE)]
        self._show(held)
        while self._obey():
            self._mind_runner()
            if time.monotonic() - self._looked > LOOK:
                self._looked = time.monotonic()
                if self._queue.reader.counts()["running"]:
                    self._queue.recover()
            self._show([])
            self._caught_up()
        if background():
            self._mind_runner()
            if self._runner is not None:
                self._runner.detach()
            return
        if self._runner is not None:
            self._runner.stop()
            self._queue.recover()
        self._queue.hold(LANE)

    def _obey(self) -> bool:
        """Run the pending commands; False at the end."""
        wait = TICK
        while True:
            try:
                work = self._commands.get(timeout=wait)
            except queues.Empty:
                return True
            if work is None:
                return False
            wait = 0.0001
            try:
                work(self._queue)
            except AppError as error:
                self._fault(error, "")
            except Exception as error:  # noqa: BLE001 - one failing command must not end the queue
                self._fault(error, traceback.format_exc())

    def _mind_runner(self) -> None:
        """Start a runner if there is work for it; report why one has given up."""
        if self._runner is not None and not self._runner.running:
            text, details = self._runner.fault()
            self._runner = None
            if text:
                self._queue.recover()
                self._queue.hold(LANE)
                self._fault(AppError(text, tr("The jobs remain in the queue; resume them there.")), details)
        if (
            self._runner is None
            and self._queue.reader.counts(lane=LANE)["queued"]
            and not self._queue.reader.workers(LANE)
        ):
            self._runner = RunnerProcess(self._queue, LANE)

    def _show(self, held: list[int]) -> None:
        """Notify the window if anything changed."""
        own = self._runner is not None
        seen = self._queue.store.stamp(), own
        if seen == self._seen:
            return
        self._seen = seen
        counts = self._queue.reader.counts()
        waits = self._queue.reader.left_alone(LANE) if counts["paused"] + counts["queued"] else []
        jobs = tuple(self._queue.reader.recent(SHOWN))
        self._tell(Snapshot(jobs, sum(counts.values()), tuple(waits), own), held)
