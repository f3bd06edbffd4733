"""Run jobs on a Ray cluster. Ray places the workers, assigns cores and GPU shares, and restarts lost ones.

A worker whose machine is lost is restarted elsewhere; its job goes back into the queue.

The queue stays in the process that runs this: it claims jobs, passes them to Ray, and gives results their names.
Workers access the inputs and the location of the outputs (a shared folder, or anything that fsspec supports), never the
queue.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, MissingError
from app.events import CancelToken, Event, EventStream
from app.jobs.queue import Queue
from app.jobs.record import JobRecord, Progress
from app.jobs.renderer import JobRenderer, Outcome
from app.jobs.run import OnJob, Reporter, Summary
from app.jobs.worker import settle
from app.media.contents import content_hash
from app.processes import machine
from models.installation import install_hint

MOST_EVENTS: Final = 100  # that a worker buffers between polls
LOST: Final = 180.0  # seconds without any worker after which the cluster counts as lost
TICK: Final = 0.5  # seconds between checks for cancelled jobs


class RemoteWorker:
    """A worker process of the cluster; it keeps models and portraits from job to job.

    Ray calls it from two threads, so that its progress can be polled.

    Args:
        cache: Folder of cached motion, empty for the default on that machine.
        threads: CPU threads for the engine.
    """

    def __init__(self, cache: str, threads: int) -> None:
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        self._renderer = JobRenderer(Path(cache) if cache else None, self._hash, threads)
        self._lock = threading.Lock()
        self._unsent: list[tuple[int, Event]] = []
        self._job, self._token = 0, CancelToken()

    def _hash(self, path: Path) -> str:
        def keep(name: str, size: int, changed: int, inode: int, digest: str) -> None:
            self._hashes[name, size, changed, inode] = digest

        return content_hash(path, lambda *key: self._hashes.get(key), keep)

    def perform(self, job: dict[str, Any]) -> dict[str, Any]:
        """Render a job (a JobRecord as a dict) and return its outcome (an Outcome as a dict) and location."""
        record = JobRecord(**job)
        self._job, self._token = record.id, CancelToken()
        with tempfile.TemporaryDirectory(prefix="animate-ray-", ignore_cleanup_errors=True) as folder:
            before, tempfile.tempdir = tempfile.tempdir, folder
            try:
                outcome = self._renderer.render(record, EventStream(self._note, interval=0.25), self._token)
                return asdict(replace(outcome, pid=os.getpid(), host=machine()))
            finally:
                tempfile.tempdir, self._job = before, 0

    def _note(self, event: Event) -> None:
        with self._lock:
            self._unsent.append((self._job, event))
            del self._unsent[:-MOST_EVENTS]

    def look(self, unwanted: list[int]) -> list[tuple[int, dict[str, Any]]]:
        """Events since the last poll: number of the job, and the event as a dict.

        Args:
            unwanted: Jobs to stop.
        """
        if self._job in unwanted:
            self._token.cancel()
        with self._lock:
            unsent, self._unsent = self._unsent, []
        return [(job, asdict(event)) for job, event in unsent]


def connect(address: str) -> Any:
    """Connect to Ray.

    Args:
        address: "auto" for the cluster of this machine, "local" for one on this machine only, or a cluster's address.

    Raises:
        MissingError: Ray is not installed.
        AppError: There is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise MissingError("--cluster needs Ray, which is not installed.", install_hint("cluster")) from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise AppError(
                f"--cluster {address}: there is no Ray cluster to connect to ({text.rstrip('.')})."
            ) from error
    return ray


class ClusterPool:
    """Workers of a Ray cluster on one queue; see :func:`run_on_cluster`."""

    def __init__(self, ray: Any, queue: Queue, batch: str | None, reporter: Reporter) -> None:
        self._ray, self._queue, self._batch = ray, queue, batch
        self._reporter = reporter
        self._actors: list[Any] = []
        self._names: list[str] = []
        self._jobs: dict[Any, tuple[int, JobRecord]] = {}  # running jobs, by Ray's reference
        self._last: dict[int, Path] = {}
        self._looks: dict[int, Any] = {}  # pending polls, by worker
        self._progress: dict[int, tuple[int, Progress]] = {}
        self._away: dict[int, float] = {}  # workers that died, with the time; they get no job until they respond

    def start(self, size: int, cpus: float, gpus: float, cache: str) -> None:
        """Request workers from Ray."""
        threads = max(1, int(cpus))
        kind = self._ray.remote(RemoteWorker).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=0, max_concurrency=2
        )
        for number in range(1, size + 1):
            name = f"ray-{os.getpid()}-{number}-{uuid.uuid4().hex[:12]}"
            self._queue.register(name, Path(tempfile.gettempdir()) / name)
            self._names.append(name)
            self._actors.append(kind.remote(cache, threads))

    def run(self, token: CancelToken, *, fail_fast: bool) -> bool:
        """Work until no job is left; returns whether it was stopped."""
        while not token.cancelled and not (fail_fast and self._reporter.failed):
            busy = {number for number, _ in self._jobs.values()}
            for number in range(len(self._actors)):
                if number not in busy and number not in self._away:
                    self._give(number)
            if self._jobs:
                ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=TICK)
                for reference in ready:
                    self._finish(reference)
            elif not self._away or not self._queue.reader.counts(self._batch)["queued"]:
                return False
            else:
                self._wait_for_workers()
            self._mind()
        return token.cancelled

    def _wait_for_workers(self) -> None:
        """Wait until a worker is available.

        Raises:
            AppError: It takes too long.
        """
        if time.monotonic() - min(self._away.values()) > LOST:
            raise AppError(
                f"The cluster has had no worker for {LOST:.0f} s.", "Check `ray status`; the jobs stay in the queue."
            )
        time.sleep(TICK)

    def _give(self, number: int) -> None:
        job = self._queue.claim(self._names[number], self._batch, self._last.get(number))
        if job is None:
            return
        self._last[number] = job.source
        reference = self._actors[number].perform.remote(asdict(job))
        self._jobs[reference] = number, job
        self._reporter.began(job, number + 1)

    def _finish(self, reference: Any) -> None:
        number, job = self._jobs.pop(reference)
        try:
            outcome = Outcome(**self._ray.get(reference))
            self._hear_out(number)
        except self._ray.exceptions.RayActorError as error:
            self._lose(number, job, _reason(error))
            return
        except self._ray.exceptions.RayError as error:
            outcome = Outcome("failed", error=f"The cluster could not do this job ({_reason(error)}).", exit_code=1)
        files = tuple((name, size, stamp) for name, size, stamp in outcome.files)
        try:
            settle(self._queue, job, Outcome(**{**asdict(outcome), "files": files}))
        except AppError as error:
            self._queue.failed(job, str(error), int(error.exit_code))
        self._reporter.ended(self._queue.reader.find(job.id), number + 1)

    def _lose(self, number: int, job: JobRecord, reason: str) -> None:
        """Handle a worker that has died or whose machine is lost; Ray restarts it later."""
        self._away[number] = time.monotonic()
        self._looks.pop(number, None)
        self._progress.pop(number, None)
        self._queue.crashed(job, f" ({reason})")
        self._reporter.events.warn(f"Worker {number + 1} was lost; Ray starts another one.")
        self._reporter.ended(self._queue.reader.find(job.id), number + 1)

    def _mind(self) -> None:
        """Send heartbeats and progress of all workers to the queue, and cancelled jobs to the workers."""
        for number, name in enumerate(self._names):
            self._listen(number)
            unwanted = self._queue.heartbeat(name, *self._progress.get(number, (0, None)))
            if number not in self._looks:
                self._looks[number] = self._actors[number].look.remote(sorted(unwanted))

    def _listen(self, number: int) -> None:
        """Process a worker's answer, if there is one."""
        reference = self._looks.get(number)
        if reference is not None and self._ray.wait([reference], timeout=0)[0]:
            self._take_in(number)

    def _hear_out(self, number: int) -> None:
        """Process all remaining events of a job that has just ended, before its end is reported."""
        if number in self._looks:
            self._take_in(number)
        self._looks[number] = self._actors[number].look.remote([])
        self._take_in(number)
        self._progress.pop(number, None)

    def _take_in(self, number: int) -> None:
        """Wait for a worker's answer and report its events."""
        try:
            events = self._ray.get(self._looks.pop(number))
        except self._ray.exceptions.RayError:  # it has died; Ray restarts it
            return
        self._away.pop(number, None)
        for job, what in events:
            event = Event(**what)
            event.data.update(worker=number + 1, job=job)
            if event.kind in ("phase", "progress"):
                self._progress[number] = job, Progress.of(event)
            self._reporter.heard(event)

    def close(self) -> None:
        """Release the workers; their jobs go back into the queue."""
        for actor in self._actors:
            self._ray.kill(actor)
        if self._jobs:
            time.sleep(TICK)  # Ray kills asynchronously
        self._queue.recover(self._names)


def _reason(error: Exception) -> str:
    """The first line of a Ray error."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def run_on_cluster(
    queue: Queue,
    address: str,
    *,
    batch: str | None = None,
    workers: int = 0,
    events: EventStream | None = None,
    token: CancelToken | None = None,
    fail_fast: bool = False,
    cache: Path | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    on_job: OnJob | None = None,
) -> Summary:
    """Render the queued jobs on a Ray cluster; see app.jobs.run_workers.

    Args:
        queue: The queue; must be on this machine, not on a network drive.
        address: See :func:`connect`.
        batch: Only jobs of this batch; None for all.
        workers: Number of workers; 0 for as many as the cluster's cores and cards allow.
        events: Receives "batch" progress, progress and messages of each worker (with the entries worker and job), and a
            "job" event when a job begins and when it ends.
        token: Stops the run; running jobs go back into the queue.
        fail_fast: Stop at the first job that fails.
        cache: Folder of cached motion, shared by all machines; a separate one on each by default.
        cpus: Cores per worker.
        gpus: Graphics cards per worker; with a share such as 0.25 several workers use one card.
        on_job: Called with the job whenever one begins or ends.

    Raises:
        MissingError: Ray is not installed.
        AppError: There is no such cluster.
    """
    started = time.monotonic()
    ray = connect(address)
    reporter = Reporter(queue, batch, events or EventStream(), on_job)
    reporter.start()
    pool = ClusterPool(ray, queue, batch, reporter)
    have = ray.cluster_resources()
    room = have.get("CPU", 1.0) // cpus if cpus else float(reporter.total)
    if gpus:
        room = min(room, have.get("GPU", 0.0) // gpus)
        if room < 1:
            raise AppError(f"--cluster-gpus: the cluster has {have.get('GPU', 0):g} graphics cards.")
    size = max(1, min(workers or int(room), reporter.total))
    try:
        pool.start(size if reporter.total else 0, cpus, gpus, str(cache or ""))
        stopped = pool.run(token or CancelToken(), fail_fast=fail_fast)
    finally:
        pool.close()
    return reporter.summary(time.monotonic() - started, stopped)
