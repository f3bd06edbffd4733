"""The render queue of the window: the jobs of the queue on disk, and a process of its own that renders them.

A thread reads and changes the file, so that the window never waits for it. The window's jobs are those of a lane; a
runner (app.jobs.runner) works on it and ends with the window, unless it is told to finish alone.
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
SHOWN: Final = 60  # jobs that the window shows
TICK: Final = 0.25  # seconds between two looks at the file
LOOK: Final = 5.0  # seconds between two looks for dead workers
Work = Callable[[Queue], object]


def make_entry(session: Session, output: Path, *, overwrite: bool) -> Entry:
    """The job that renders a session as it stands, with everything that its panels hold.

    Args:
        session: What is set.
        output: File to write; the name may be a pattern of numbered pictures.
        overwrite: Whether it may replace a file.

    Raises:
        UsageError: The session can't be rendered, or the output is one of its inputs.
    """
    if session.portrait is None:
        raise UsageError(tr("There is no portrait."), tr("Add a photo or a clip on the left."))
    if session.driver.kind == "camera":
        raise UsageError(
            tr("A camera can't be rendered to a file."), tr("Record it live, or choose a clip as the driver.")
        )
    values = settled(changed_values(session.options(overwrite=overwrite)), Path.cwd())
    source = Path(os.path.abspath(session.portrait.path))
    driving = None if session.driver.kind == "sliders" else Path(os.path.abspath(session.driver.source))
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
        jobs: What the window shows, in the order of work.
        count: All jobs of the queue.
        waiting: Numbers of jobs that nobody will work on unless they are resumed.
        own: Whether the window's own runner works.
    """

    jobs: tuple[JobRecord, ...] = ()
    count: int = 0
    waiting: tuple[int, ...] = ()
    own: bool = False


class RenderQueue(QObject):
    """Jobs that wait, run and are over.

    Args:
        path: File of the queue; the user's own, that of `animate batch` and `animate jobs`, by default.
        parent: Owner.

    Attributes:
        jobs: What the window shows, in the order of work.
        left_over: Numbers of jobs that were not finished when the window was last closed.

    Signals:
        changed: Something about the queue's jobs changed; sent from the window's thread.
        finished: A job of the window that is over.
        failed: An exception and its traceback: something that was asked for can't be done.
        found: Jobs from last time wait for an answer.
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
        self._told = self._background = False
        self._news: list[Snapshot] = []
        self._faults: list[tuple[Exception, str]] = []
        self._held: list[int] = []
        self._told_of = 0
        self._adding = self._added = self._shown = 0  # jobs on their way: asked for, done, and in the news
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
        """What the window shows, in the order of work."""
        return self._now.jobs

    @property
    def more(self) -> int:
        """How many jobs the queue holds beyond those."""
        return self._now.count - len(self._now.jobs)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of jobs that nobody will work on unless they are resumed."""
        return self._now.waiting

    def add(self, entry: Entry) -> None:
        """Put a job at the end."""
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
        """Stop a running job, or take a waiting one out of the line; it stays in the list as cancelled."""
        self._commands.put(lambda queue: queue.cancel([number]))

    def retry(self, number: int) -> None:
        """Put a job that is over into the line again."""
        self._commands.put(lambda queue: queue.retry([number], LANE))

    def resume(self, numbers: Iterable[int]) -> None:
        """Have the window work on jobs that wait for nobody."""
        chosen = list(numbers)
        self._commands.put(lambda queue: queue.resume(chosen, LANE))

    def pause(self) -> None:
        """Stop after the running job."""
        self._commands.put(lambda queue: queue.pause(j.id for j in queue.reader.jobs(states=["queued"], lane=LANE)))

    def remove(self, numbers: Iterable[int]) -> None:
        """Take jobs that do not run off the list."""
        chosen = list(numbers)
        self._commands.put(lambda queue: queue.clear(chosen))

    def move(self, number: int, by: int) -> None:
        """Move a waiting job up (negative) or down the line, past other waiting jobs only."""
        self._commands.put(lambda queue: queue.move(number, by))

    def clear_finished(self) -> None:
        """Take all jobs that are over off the list."""
        self._commands.put(lambda queue: queue.clear(job.id for job in queue.reader.jobs(states=ENDED)))

    def find(self, number: int) -> JobRecord | None:
        """Job of a number."""
        return next((job for job in self.jobs if job.id == number), None)

    @property
    def active(self) -> list[JobRecord]:
        """Jobs of the window that run or wait for their turn."""
        return [job for job in self.jobs if job.lane == LANE and job.state in ("queued", "running")]

    @property
    def busy(self) -> bool:
        """Whether closing the window would end work."""
        with self._lock:
            adding = self._adding - self._shown
        return bool(adding or (self.active and self._now.own))

    def overall(self) -> Overall:
        """How far the jobs are that were queued since the queue last had nothing to do."""
        return overall([job for job in self.jobs if job.id in self._round], time.time())

    def outputs(self) -> set[Path]:
        """Files that jobs of the list will write."""
        return {Path(job.output) for job in self.jobs if job.state not in ENDED}

    def stop(self, timeout: float = 30.0, *, background: bool = False) -> bool:
        """End the thread, and the work unless it is to go on alone; what was interrupted waits for the next start.

        Args:
            timeout: Seconds to wait.
            background: Let the process that renders finish alone.

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
        except Exception as error:  # noqa: BLE001 - the window lives on without a queue, and says why
            self._fault(error, traceback.format_exc())

    def _news_from(self, now: Snapshot, held: list[int]) -> None:
        with self._lock:
            self._news.append(now)
            self._held += held
        self._poke()

    def _caught_up(self) -> None:
        """The news tell of all that was done so far."""
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
            if self._told:
                return
            self._told = True
        try:
            self._poked.emit()
        except RuntimeError:  # the window is gone
            return

    def _tell(self) -> None:
        """In the window's thread: take the news over and hand them on."""
        with self._lock:
            self._told = False
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
        """Take a snapshot over; returns jobs of the window that are over since the last one."""
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
    """What the queue's thread does: commands, a runner when there is work, news for the window.

    Args:
        queue: The queue.
        commands: What to do to it; None ends the thread.
        tell: Gets snapshots, and with the first one the jobs that were left over.
        fault: Gets what went wrong.
        caught_up: Told when the news are complete.
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
        """Work until the command None; then let the runner go on, or stop it.

        Args:
            background: Whether it may go on.
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
        """Do what was asked for; False at the end."""
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
            except Exception as error:  # noqa: BLE001 - one bad command must not end the queue
                self._fault(error, traceback.format_exc())

    def _mind_runner(self) -> None:
        """Start a runner if there is work that nobody does; say why one has given up."""
        if self._runner is not None and not self._runner.running:
            text, details = self._runner.fault()
            self._runner = None
            if text:
                self._queue.recover()
                self._queue.hold(LANE)
                self._fault(AppError(text, tr("The jobs wait in the queue; resume them there.")), details)
        if (
            self._runner is None
            and self._queue.reader.counts(lane=LANE)["queued"]
            and not self._queue.reader.workers(LANE)
        ):
            self._runner = RunnerProcess(self._queue, LANE)

    def _show(self, held: list[int]) -> None:
        """Tell the window, if anything changed."""
        own = self._runner is not None
        seen = self._queue.store.stamp(), own
        if seen == self._seen:
            return
        self._seen = seen
        counts = self._queue.reader.counts()
        waits = self._queue.reader.left_alone(LANE) if counts["paused"] + counts["queued"] else []
        jobs = tuple(self._queue.reader.recent(SHOWN))
        self._tell(Snapshot(jobs, sum(counts.values()), tuple(waits), own), held)
