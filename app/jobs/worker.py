"""A worker process: takes jobs from the queue until none is left. ``python -m app.jobs SETTINGS``.

It reports events as JSON lines on standard output. "stop" on standard input, or its end when the parent process has
ended, makes it return its job and exit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from app.events import CancelToken, Event, EventStream
from app.jobs import scratch
from app.jobs.queue import Queue, tag
from app.jobs.record import JobRecord, Progress
from app.jobs.renderer import JobRenderer, Outcome
from app.jobs.target import open_target

HEARTBEAT: Final = 0.5  # seconds between heartbeats


@dataclass(frozen=True)
class Settings:
    """Settings of a worker.

    Attributes:
        queue: File of the queue.
        name: Unique name of the worker.
        number: Displayed number, from 1.
        folder: Scratch folder; removed by the process that finds the worker dead.
        batch: Only jobs of this batch; None for all.
        cache: Folder of cached motion, empty for the user's own.
        threads: CPU threads for the engine.
        fail_fast: Stop after a job that failed.
        lane: Only jobs of this queue name; None for all.
        in_order: Strictly follow the order of the queue.
    """

    queue: str
    name: str
    number: int
    folder: str
    batch: str | None = None
    cache: str = ""
    threads: int = 0
    fail_fast: bool = False
    lane: str | None = None
    in_order: bool = False

    def to_text(self) -> str:
        """The settings as one argument."""
        return json.dumps(asdict(self))


class Worker:
    """Processes the jobs of a queue.

    Args:
        settings: Settings.
        out: Receives JSON lines.
    """

    def __init__(self, settings: Settings, out: IO[str]) -> None:
        self._settings = settings
        self._out = out
        self._writing = threading.Lock()
        self._leaving = threading.Event()
        self._token = CancelToken()
        self._job: JobRecord | None = None
        self._progress: Progress | None = None

    def run(self, commands: IO[str]) -> int:
        """Run until the queue is empty or it is stopped."""
        chosen = self._settings
        with Queue(chosen.queue) as queue:
            queue.register(chosen.name, Path(chosen.folder), lane=chosen.lane or "")
            scratch.settle_in(chosen.name)  # after registering, so that the folder is found if this worker dies
            threading.Thread(target=self._listen, args=(commands,), daemon=True).start()
            threading.Thread(target=self._beat, daemon=True).start()
            cache = Path(chosen.cache) if chosen.cache else None
            renderer = JobRenderer(cache, queue.store.file_hash, chosen.threads)
            last: Path | None = None
            while not self._leaving.is_set():
                job = queue.claim(chosen.name, chosen.batch, last, lane=chosen.lane, in_order=chosen.in_order)
                if job is None:
                    break
                last = job.source
                outcome = self._do(queue, renderer, job)
                if outcome.state == "failed" and chosen.fail_fast:
                    break
            kept = renderer.resources
            self._tell({"kind": "left", "loaded": kept.loaded, "encoded": kept.encoded, "read": kept.read})
            queue.unregister(chosen.name)
        return 0

    def _do(self, queue: Queue, renderer: JobRenderer, job: JobRecord) -> Outcome:
        self._token, self._job, self._progress = CancelToken(), job, None
        if self._leaving.is_set():
            self._token.cancel()
        self._tell({"kind": "started", "job": job.id})
        outcome = renderer.render(job, EventStream(self._relay, interval=0.25), self._token)
        state = settle(queue, job, outcome, leaving=self._leaving.is_set())
        self._job = None
        self._tell({"kind": "ended", "job": job.id, "state": state, "short_of_memory": outcome.short_of_memory})
        return outcome

    def _relay(self, event: Event) -> None:
        job = self._job
        if event.kind in ("phase", "progress"):
            self._progress = Progress.of(event)
        self._tell({"kind": "event", "job": 0 if job is None else job.id, "event": asdict(event)})

    def _tell(self, what: dict[str, Any]) -> None:
        with self._writing:
            try:
                self._out.write(json.dumps(what) + "\n")
                self._out.flush()
            except (OSError, ValueError):  # the reader has gone
                self._stop()

    def _listen(self, commands: IO[str]) -> None:
        for line in commands:
            if line.strip() == "stop":
                break
        self._stop()

    def _stop(self) -> None:
        self._leaving.set()
        self._token.cancel()

    def _beat(self) -> None:
        """Send heartbeats and poll for cancelled jobs, on a separate connection."""
        with Queue(self._settings.queue) as queue:
            while not self._leaving.wait(HEARTBEAT):
                job = self._job
                unwanted = queue.heartbeat(self._settings.name, 0 if job is None else job.id, self._progress)
                if job is not None and job.id in unwanted:
                    self._token.cancel()
            while True:  # the last job is being returned
                queue.heartbeat(self._settings.name)
                threading.Event().wait(HEARTBEAT)


def settle(queue: Queue, job: JobRecord, outcome: Outcome, *, leaving: bool = False) -> str:
    """Record the outcome of a job, and give a result its name.

    Args:
        queue: The queue.
        job: The job, claimed.
        outcome: Its outcome.
        leaving: Whether it was stopped because its worker exits; then it goes back into the queue.

    Returns:
        The job's state; "lost" if another worker has taken it over.
    """
    facts: dict[str, Any] = {"input_hash": outcome.input_hash, "frames": outcome.frames, "seconds": outcome.seconds}
    facts["notes"] = outcome.notes
    if outcome.pid:
        facts |= {"pid": outcome.pid, "host": outcome.host}
    if outcome.state == "done":
        target = open_target(job.output, job.numbered)
        about = {"error": outcome.error, "exit_code": outcome.exit_code}
        if queue.staged(job, outcome.files, **facts, **about) and target.publish(tag(job), outcome.files):
            target.drop(job.files, outcome.files)
            return "done" if queue.done(job, outcome.files) else "lost"
        target.clean(tag(job))
        return "lost"
    if outcome.state == "cancelled" and leaving:
        return "queued" if queue.give_back(job) else "lost"
    error = "" if outcome.state == "cancelled" else outcome.error
    facts["details"] = outcome.details
    return outcome.state if queue.failed(job, error, outcome.exit_code, outcome.state, **facts) else "lost"


def main(text: str) -> int:
    """Run a worker.

    Args:
        text: Its settings, see Settings.to_text.
    """
    settings = Settings(**json.loads(text))
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)  # the parent process decides when to stop
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # keep output of libraries out of the JSON lines
    if settings.threads:
        import cv2

        cv2.setNumThreads(settings.threads)
    return Worker(settings, out).run(sys.stdin)
