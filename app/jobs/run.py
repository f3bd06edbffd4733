"""Process a queue with worker processes: start them, read their messages, replace those that die."""

from __future__ import annotations

import json
import os
import queue as queues
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, ExitCode
from app.events import CancelToken, Event, EventStream
from app.jobs import scratch
from app.jobs.queue import Queue
from app.jobs.record import ENDED, JobRecord, Progress, driver_name
from app.jobs.sizing import cores, memory_is_low, worker_count
from app.jobs.worker import Settings
from liveportrait.packages import python_command, python_environment
from models.messages import msg

TICK: Final = 0.1  # seconds between polls of the workers
LOOK: Final = 5.0  # seconds between checks for dead workers of other runs
REPEAT: Final = 1.0  # seconds between overall progress reports while no job ends
PATIENCE: Final = 20.0  # seconds that a worker gets to return its job
FALSE_STARTS: Final = 3  # consecutive workers that die before their first job
OnJob = Callable[[JobRecord], None]


@dataclass(frozen=True)
class Summary:
    """Outcome of the jobs of a run.

    Attributes:
        jobs: All jobs of the run in their final state.
        seconds: Duration of the run.
        rendered: Number of jobs rendered in this run.
        stopped: Whether it was stopped before its end.
        counters: Engines loaded, portraits encoded and clips read, over all workers that exited normally.
    """

    jobs: tuple[JobRecord, ...]
    seconds: float
    rendered: int = 0
    stopped: bool = False
    counters: dict[str, int] = field(default_factory=dict)

    def count(self, state: str) -> int:
        """Number of jobs in a state."""
        return sum(job.state == state for job in self.jobs)

    @property
    def failed(self) -> list[JobRecord]:
        """Jobs that failed, and those whose input was truncated."""
        return [job for job in self.jobs if job.state == "failed" or (job.state == "done" and job.error)]

    @property
    def exit_code(self) -> ExitCode:
        """4 if stopped, 5 if a job failed, was left undone or an input was truncated, else 0."""
        if self.stopped:
            return ExitCode.CANCELLED
        undone = self.count("queued") + self.count("running")
        return ExitCode.PARTIAL if self.failed or undone else ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        states = ("done", "failed", "skipped", "cancelled", "queued", "paused")
        return {
            "status": "cancelled" if self.stopped else "partial" if self.exit_code else "done",
            "exit_code": int(self.exit_code),
            "jobs": len(self.jobs),
            **{state: self.count(state) for state in states},
            "rendered": self.rendered,
            "seconds": round(self.seconds, 3),
            "failures": [job.failure() for job in self.failed],
        }


def start(*arguments: str, **named: Any) -> subprocess.Popen[str]:
    """Start the module app.jobs in its own process, with pipes for input and output.

    Args:
        arguments: For the module.
        named: For Popen.
    """
    if sys.platform == "win32":
        named.setdefault("creationflags", subprocess.CREATE_NO_WINDOW)
    return subprocess.Popen(  # noqa: S603 - our own module
        python_command("app.jobs", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=python_environment(),
        **named,
    )


class Process:
    """A worker process and the threads that read its output.

    Args:
        settings: Settings of the worker.
        inbox: Receives (the process, its message).
    """

    def __init__(self, settings: Settings, inbox: queues.SimpleQueue[tuple[Process, dict[str, Any]]]) -> None:
        self.settings = settings
        self.job = 0
        self.worked = self.left = False
        self.lines: deque[str] = deque(maxlen=5)
        self._process = start(settings.to_text())
        self.pid = self._process.pid
        self._threads = [
            threading.Thread(target=self._read, args=(inbox,), daemon=True),
            threading.Thread(target=self._overhear, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, inbox: queues.SimpleQueue[tuple[Process, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                inbox.put((self, json.loads(line)))
            except ValueError:
                self.lines.append(line.strip())

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.strip())

    @property
    def ended(self) -> int | None:
        """Exit status once the process has ended and all its messages were read."""
        code = self._process.poll()
        if code is not None:
            for thread in self._threads:
                thread.join(timeout=5)
        return code

    def stop(self) -> None:
        """Ask it to return its job and exit."""
        assert self._process.stdin is not None
        try:
            if not self._process.stdin.closed:
                self._process.stdin.close()
        except OSError:
            pass

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


class Reporter:
    """Counts the jobs of a run and reports on them.

    Args:
        queue: The queue.
        batch: Only jobs of this batch; None for all.
        events: Receives "job" events and "batch" progress.
        on_job: Called with each job that begins or ends.
        lane: Only jobs of this queue name; None for all.

    Attributes:
        total: Jobs to do.
        rendered: Jobs done.
        failed: Whether a job failed.
    """

    def __init__(
        self, queue: Queue, batch: str | None, events: EventStream, on_job: OnJob | None, lane: str | None = None
    ) -> None:
        self._queue, self._batch, self.lane, self.events, self._on_job = queue, batch, lane, events, on_job
        self.total = self.rendered = 0
        self.failed = self._waited = False
        self._finished = 0
        self._shares: dict[int, float] = {}  # of running jobs, by worker
        self._reported_at = -REPEAT
        self._began = time.monotonic()
        states = () if batch is not None else ("queued", "running")
        self._ids = {job.id for job in queue.reader.jobs(batch=batch, states=states, lane=lane)}

    def start(self) -> None:
        """Recover jobs left behind by a killed run, and count the jobs to do."""
        left = self._queue.recover()
        counts = self._queue.reader.counts(self._batch, self.lane)
        mine = [job for job in left if self._is_mine(job)]
        self.total = counts["queued"] + counts["running"] + sum(job.state != "queued" for job in mine)
        self.events.emit(Event("phase", "batch", total=self.total, message="Jobs"))
        self.ended(mine, 0)

    def began(self, job: JobRecord, worker: int) -> None:
        """Report that a job begins; it may have ended by now."""
        self._tell(replace(job, state="running", error=""), worker)

    def ended(self, jobs: list[JobRecord], worker: int) -> None:
        """Report jobs that ended; those that continue elsewhere are skipped."""
        for job in jobs:
            if job.state not in ENDED or not self._is_mine(job):
                continue
            self.rendered += job.state == "done"
            self.failed |= job.state == "failed"
            self._finished += 1
            self._shares.pop(worker, None)
            self._tell(job, worker)
        self.progress()

    def heard(self, event: Event) -> None:
        """Forward a worker's event about its job; its data contain the entries worker and job."""
        if event.kind not in ("phase", "progress", "message"):
            return
        self.events.emit(event)
        if event.kind != "message":
            self._shares[event.data["worker"]] = Progress.of(event).share
            if time.monotonic() - self._reported_at > REPEAT:
                self.progress()

    def waiting(self) -> bool:
        """Whether jobs of this run remain that another batch on the queue has taken over.

        The run waits for them while there are active workers, and takes them back otherwise.
        """
        if self._batch is None:
            return False
        left = [job for job in self._queue.reader.jobs(states=("queued", "running")) if job.id in self._ids]
        if not left:
            return False
        if self._queue.reader.workers():
            if not self._waited:
                self._waited = True
                self.events.info(
                    msg("Waiting for {count} jobs that another batch in the queue is processing.", len(left))
                )
            return True
        self._queue.recover()
        return self._queue.take_over((job.id for job in left), self._batch) > 0

    def _is_mine(self, job: JobRecord) -> bool:
        return (self._batch is None or job.batch == self._batch) and (self.lane is None or job.lane == self.lane)

    def _tell(self, job: JobRecord, worker: int) -> None:
        self._ids.add(job.id)
        level: Any = "info" if job.state in ("done", "running", "cancelled") and not job.error else "warning"
        data = {
            "id": job.id, "state": job.state, "worker": worker, "source": str(job.source),
            "driving": driver_name(job.driving), "output": job.output, "frames": job.frames,
            "seconds": round(job.seconds, 3), "exit_code": job.exit_code,
        }  # fmt: skip
        text = "" if job.state == "running" else job.error
        self.events.emit(Event("job", message=text, level=level, data=data))
        if self._on_job is not None:
            self._on_job(job)

    def progress(self) -> None:
        """Report the overall progress; the progress of running jobs counts for the remaining time."""
        self._reported_at = time.monotonic()
        passed = self._reported_at - self._began
        rate = (self._finished + sum(self._shares.values())) / passed if passed > 0 else 0.0
        self.total = max(self.total, self._finished)
        left = max(0.0, self.total / rate - passed) if rate > 0 else None
        self.events.emit(Event("progress", "batch", self._finished, self.total, fps=rate, eta=left, message="Jobs"))

    def summary(self, seconds: float, stopped: bool, counters: dict[str, int] | None = None) -> Summary:
        """Summarise the outcome of the jobs."""
        jobs = tuple(job for job in self._queue.reader.jobs() if job.id in self._ids)
        return Summary(jobs, seconds, self.rendered, stopped, counters or {})


class Pool:
    """Worker processes on one queue; see :func:`run_workers`."""

    def __init__(self, queue: Queue, batch: str | None, reporter: Reporter, in_order: bool = False) -> None:
        self._in_order = in_order
        self._queue, self._batch, self._reporter, self._events = queue, batch, reporter, reporter.events
        self._inbox: queues.SimpleQueue[tuple[Process, dict[str, Any]]] = queues.SimpleQueue()
        self._running: dict[int, Process] = {}
        self.counters: dict[str, int] = {"loaded": 0, "encoded": 0, "read": 0}
        self._size = 1
        self._false_starts = 0

    def run(self, size: int, token: CancelToken, *, fail_fast: bool, cache: Path | None) -> bool:
        """Work until no job is left; returns whether it was stopped."""
        self._reporter.start()
        self._size, stopping, looked = min(size, max(1, self._reporter.total)), False, time.monotonic()
        threads = max(1, cores() // self._size)
        try:
            while True:
                stop = token.cancelled or (fail_fast and self._reporter.failed)
                if stop and not stopping:
                    stopping, deadline = True, time.monotonic() + PATIENCE
                    for process in self._running.values():
                        process.stop()
                self._take_in()
                self._collect(blame=not stopping)
                if time.monotonic() - looked > LOOK:
                    looked = time.monotonic()
                    self._reporter.ended(self._queue.recover(), 0)
                if not stopping:
                    self._fill(threads, fail_fast, cache)
                if not self._running and (stopping or not self._reporter.waiting()):
                    break
                if stopping and time.monotonic() > deadline:
                    for process in self._running.values():
                        process.kill()
        finally:
            for process in self._running.values():
                process.kill()
            if self._running:
                self._queue.recover([process.settings.name for process in self._running.values()])
        return stopping and token.cancelled

    def _fill(self, threads: int, fail_fast: bool, cache: Path | None) -> None:
        """Start as many workers as the work and the limit allow."""
        queued = self._queue.reader.counts(self._batch, self._reporter.lane)["queued"]
        idle = sum(process.job == 0 for process in self._running.values())
        for number in range(1, self._size + 1):
            if queued <= idle or len(self._running) >= self._size:
                return
            if number in self._running:
                continue
            name = f"{os.getpid()}-{number}-{uuid.uuid4().hex[:12]}"
            settings = Settings(
                queue=str(self._queue.path),
                name=name,
                number=number,
                folder=str(scratch.folder_of(name)),
                batch=self._batch,
                cache=str(cache or ""),
                threads=threads,
                fail_fast=fail_fast,
                lane=self._reporter.lane,
                in_order=self._in_order,
            )
            self._running[number] = Process(settings, self._inbox)
            idle += 1

    def _take_in(self) -> None:
        """Forward messages of the workers; waits a moment if there are none."""
        wait = TICK
        while True:
            try:
                process, what = self._inbox.get(timeout=wait)
            except queues.Empty:
                return
            wait = 0.0001
            self._heard(process, what)

    def _heard(self, process: Process, what: dict[str, Any]) -> None:
        kind = what.get("kind")
        number = process.settings.number
        if kind == "started":
            process.job, process.worked, self._false_starts = int(what["job"]), True, 0
            for job in self._queue.reader.find(process.job):
                self._reporter.began(job, number)
        elif kind == "event":
            event = Event(**what["event"])
            event.data.update(worker=number, job=what["job"])
            self._reporter.heard(event)
        elif kind == "ended":
            process.job = 0
            if what["short_of_memory"] and self._size > 1:
                self._shrink(msg("memory ran out"))
            self._reporter.ended(self._queue.reader.find(int(what["job"])), number)
        elif kind == "left":
            process.left = True
            for name in self.counters:
                self.counters[name] += int(what[name])

    def _collect(self, *, blame: bool) -> None:
        """Recover the jobs of workers that died."""
        for number, process in list(self._running.items()):
            code = process.ended
            if code is None:
                continue
            self._take_in()
            del self._running[number]
            how = f" (signal {-code})" if code < 0 else f" (exit code {code}{_last(process.lines)})" if code else ""
            found = self._queue.recover([process.settings.name], blame=blame and code != 0, reason=how)
            if code == 0 and process.worked:
                continue
            if code == 0:
                self._left_idle(process)
                continue
            scratch.discard(process.settings.name)
            if blame:
                self._events.warn(msg("Worker {number} died{how} and is replaced.", number, how))
                if code == -9 and self._size > 1 and memory_is_low():
                    self._shrink(msg("the system ended a worker"))
            self._reporter.ended(found, 0)
            if not process.worked:
                self._false_starts += 1
                if self._false_starts >= FALSE_STARTS:
                    raise AppError(msg("No worker can start{how}.", how), "Run a single job with `animate` to see why.")

    def _left_idle(self, process: Process) -> None:
        """Handle a worker that ended without a job: another one took the last job, or it can't work at all.

        Raises:
            AppError: This has happened too often while jobs are waiting.
        """
        waiting = self._queue.reader.counts(self._batch, self._reporter.lane)["queued"]
        self._false_starts = self._false_starts + 1 if waiting else 0
        if self._false_starts >= FALSE_STARTS:
            what = msg("The workers take none of the waiting jobs.")
            if not process.left:
                what = msg("The workers exit immediately{last_line}.", _last(process.lines))
            raise AppError(what, "Run a single job with `animate` to see why.")

    def _shrink(self, why: str) -> None:
        self._size -= 1
        self._events.warn(msg("Continuing with {size} workers because {why}.", self._size, why))
        extra = self._running.get(self._size + 1)
        if extra is not None:
            extra.stop()


def run_workers(
    queue: Queue,
    *,
    batch: str | None = None,
    workers: int = 0,
    events: EventStream | None = None,
    token: CancelToken | None = None,
    fail_fast: bool = False,
    cache: Path | None = None,
    on_job: OnJob | None = None,
    lane: str | None = None,
    in_order: bool = False,
) -> Summary:
    """Render the queued jobs.

    Jobs left behind by a killed run are recovered first. Jobs added in the meantime are rendered too.

    Args:
        queue: The queue.
        batch: Only jobs of this batch; None for all.
        workers: Number of processes; 0 chooses by cores and memory.
        events: Receives "batch" progress, progress and messages of each worker (with the entries worker and job), and a
            "job" event when a job begins and when it ends.
        token: Stops the run; running jobs go back into the queue.
        fail_fast: Stop at the first job that fails.
        cache: Folder of cached motion; the user's own by default.
        on_job: Called with the job whenever one begins or ends, in the caller's thread.
        lane: Only jobs assigned to this queue name, see Queue.claim; None for all.
        in_order: Strictly follow the order of the queue; otherwise jobs that share a portrait are grouped.

    Raises:
        AppError: No worker can start.
    """
    started = time.monotonic()
    reporter = Reporter(queue, batch, events or EventStream(), on_job, lane)
    pool = Pool(queue, batch, reporter, in_order)
    work = queue.reader.jobs(batch=batch, states=["queued", "running"], lane=lane)
    size = workers or worker_count([job.values for job in work], [job.source for job in work])
    stopped = pool.run(size, token or CancelToken(), fail_fast=fail_fast, cache=cache)
    return reporter.summary(time.monotonic() - started, stopped, pool.counters)


def _last(lines: deque[str]) -> str:
    """The last line that a process printed, for an error."""
    return f": {lines[-1]}" if lines else ""
