"""The server's jobs: on the queue on disk, rendered by its worker processes, known to clients by unguessable names."""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final

from app.errors import AppError
from app.events import CancelToken
from app.jobs import Queue, run_workers
from app.jobs.record import ENDED, JobRecord
from app.server.files import FileStore
from app.server.limits import Limits, RequestError
from app.server.requests import read_job
from models.messages import msg

LANE: Final = "server"
TICK: Final = 0.2  # seconds between looks for new jobs
SWEEP: Final = 600.0  # seconds between removals of what is old
LONGEST_KEY: Final = 200
log = logging.getLogger(__name__)


class Work:
    """Takes jobs, renders them, and removes what is old. Jobs survive the server: another start continues them.

    Args:
        folder: Folder of the server; the queue lies in it.
        files: Inputs and results.
        limits: What is accepted.
        workers: Worker processes; 0 chooses by cores and memory.
    """

    def __init__(self, folder: Path, files: FileStore, limits: Limits, workers: int = 0) -> None:
        self.queue = Queue(folder / "queue.sqlite3")
        self._files, self._limits, self._workers = files, limits, workers
        self._token = CancelToken()
        self._wanted = threading.Event()
        self._adding = threading.Lock()
        self.fault = ""
        """Why nothing can be rendered, or empty."""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._run, self._tidy)]

    def start(self) -> None:
        """Begin to render."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; running jobs go back into the queue."""
        self._token.cancel()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=30)
        self.queue.close()

    def add(self, request: Any) -> JobRecord:
        """Queue the job of a request; the same key names the same job, however often it is sent.

        Raises:
            AppError: It is not accepted.
        """
        key = request.get("key") if isinstance(request, dict) else None
        if key is not None and not (isinstance(key, str) and 0 < len(key) <= LONGEST_KEY):
            raise RequestError(422, msg("key must be a text of at most {longest} characters.", LONGEST_KEY))
        name = secrets.token_hex(16) if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
        folder = self._files.result_folder(name)
        with self._adding:
            if known := self.queue.reader.jobs(batch=name):
                return known[0]
            counts = self.queue.reader.counts(lane=LANE)
            if counts["queued"] + counts["running"] >= self._limits.waiting:
                raise RequestError(429, "Too many jobs are waiting.", "Try again later.")
            entry = read_job(self._files, request, folder)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self.queue.add([entry], name, lane=LANE)
            except AppError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self._wanted.set()
        return self.find(name)

    def find(self, name: str) -> JobRecord:
        """The job with a name.

        Raises:
            RequestError: There is none (status 404).
        """
        found = self.queue.reader.jobs(batch=name, lane=LANE) if name else []
        if not found:
            raise RequestError(404, "There is no such job.")
        return found[0]

    def all(self) -> list[JobRecord]:
        """All jobs, in processing order."""
        return self.queue.reader.jobs(lane=LANE)

    def cancel(self, name: str) -> JobRecord:
        """Cancel a job; one that has ended stays as it is."""
        job = self.find(name)
        self.queue.cancel([job.id])
        return self.find(name)

    def remove(self, name: str) -> None:
        """Forget an ended job and remove its result.

        Raises:
            RequestError: It has not ended (status 409), or there is none.
        """
        job = self.find(name)
        if job.state not in ENDED:
            raise RequestError(409, "The job has not ended.", "Cancel it first.")
        self.queue.clear([job.id])
        shutil.rmtree(self._files.result_folder(name), ignore_errors=True)

    def result(self, name: str) -> Path:
        """The file of a finished job.

        Raises:
            RequestError: It has not finished (status 409), failed, or its result was removed (410).
        """
        job = self.find(name)
        if job.state != "done":
            raise RequestError(409, msg("The job is {state}, not done.", job.state), job.error)
        path = Path(job.output)
        if not path.is_file():
            raise RequestError(410, "The result was removed.")
        return path

    def in_use(self) -> list[Path]:
        """Files that unfinished jobs read, and their results."""
        jobs = self.queue.reader.jobs(lane=LANE, states=("queued", "running", "paused"))
        named = [job.source for job in jobs] + [job.driving for job in jobs if job.driving is not None]
        options = [
            Path(value) for job in jobs for value in job.values.values() if isinstance(value, str) and "/" in value
        ]
        return named + options + [Path(job.output) for job in jobs]

    def _run(self) -> None:
        while not self._token.cancelled:
            try:
                counts = self.queue.reader.counts(lane=LANE)
                if counts["queued"] or counts["running"]:  # running: left by a server that was killed
                    run_workers(self.queue, lane=LANE, workers=self._workers, token=self._token, in_order=True)
                self.fault = ""
            except AppError as error:
                self.fault = str(error)
                log.error("%s", error)
                self._token.wait(5.0)
            self._wanted.wait(TICK)
            self._wanted.clear()

    def _tidy(self) -> None:
        while True:
            for name in self._files.sweep(self.in_use(), time.time()):
                self.queue.clear(job.id for job in self.queue.reader.jobs(batch=name) if job.state in ENDED)
            if self._token.wait(SWEEP):
                return


def told(job: JobRecord) -> dict[str, Any]:
    """A job as clients see it, without paths of the machine."""
    progress = job.progress
    return {
        "id": job.batch,
        "state": job.state,
        "progress": round(job.share, 4),
        "phase": "" if progress is None else progress.phase,
        "eta_s": None if progress is None or progress.eta is None else round(progress.eta, 1),
        "frames": job.frames,
        "seconds": round(job.seconds, 3),
        "attempts": job.attempts,
        "error": job.error.replace(str(job.source.parent), "").replace(str(Path(job.output).parent), ""),
        "notes": list(job.notes),
        "source": job.source.name,
        "driving": "" if job.driving is None else job.driving.name,
        "result": f"/v1/jobs/{job.batch}/result" if job.state == "done" else None,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
    }
