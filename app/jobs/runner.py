"""A process that handles one queue name with its own workers; the window uses it to render.

``python -m app.jobs run QUEUE LANE NAME``. It reads commands from standard input: "stop" makes it return its job and
exit, and so does the end of the input, which means that the parent process has ended; after "detach" it continues alone
until nothing is left. A fatal error is reported as one line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import uuid
from pathlib import Path
from typing import IO, Any, Final

from app.environment import fault
from app.events import CancelToken
from app.jobs import worker
from app.jobs.queue import Queue
from app.jobs.run import run_workers, start
from models.messages import msg, revived, stored_message

HEARTBEAT: Final = 5.0  # seconds between heartbeats
NICE: Final = 5  # yield CPU time to interactive programs


class Runner:
    """Processes the jobs of one queue name.

    Args:
        queue: File of the queue.
        lane: The queue name.
        name: Its name among the workers.
        workers: Number of worker processes.
    """

    def __init__(self, queue: str, lane: str, name: str, workers: int = 1) -> None:
        self._path, self._lane, self._name, self._workers = queue, lane, name, workers
        self._token = CancelToken()
        self._over = threading.Event()
        self._alone = False

    def run(self, commands: IO[str]) -> int:
        """Run until no jobs are left or it is stopped; returns the exit status."""
        threading.Thread(target=self._listen, args=(commands,), daemon=True).start()
        with Queue(self._path) as queue:
            queue.register(self._name, scratch(self._name), lane=self._lane)
            threading.Thread(target=self._beat, daemon=True).start()
            try:
                while not self._token.cancelled and queue.reader.counts(lane=self._lane)["queued"]:
                    run_workers(queue, lane=self._lane, workers=self._workers, token=self._token, in_order=True)
            except Exception as error:  # noqa: BLE001 - reported to the user by the parent process
                self._complain(error)
                return 1
            finally:
                self._over.set()
                queue.unregister(self._name)
        return 0

    def _listen(self, commands: IO[str]) -> None:
        for line in commands:
            if line.strip() == "detach":
                self._alone = True
                _silence()
            elif line.strip() == "stop":
                break
        if not self._alone:
            self._token.cancel()

    def _beat(self) -> None:
        with Queue(self._path) as queue:
            while not self._over.wait(HEARTBEAT):
                queue.heartbeat(self._name)

    def _complain(self, error: Exception) -> None:
        print_line(sys.stdout, {"error": stored_message(str(fault(error))), "details": traceback.format_exc()})


class RunnerProcess:
    """A runner as seen by the process that starts it.

    Args:
        queue: The queue; the runner is registered at once, so that no second one is started.
        lane: Its queue name.
    """

    def __init__(self, queue: Queue, lane: str) -> None:
        name = f"runner-{uuid.uuid4().hex}"
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self._process = start("run", str(queue.path), lane, name, **apart)
        queue.register(name, scratch(name), self._process.pid, lane)
        self._lines: list[str] = []
        self._heard: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self._heard), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: IO[str] | None, lines: list[str]) -> None:
        assert stream is not None
        for line in stream:
            lines.append(line.rstrip())
            del lines[:-50]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def fault(self) -> tuple[str, str]:
        """Why an ended runner gave up: a sentence and details; empty if it ended normally."""
        code = self._process.wait()
        for thread in self._threads:
            thread.join(timeout=5)
        if code == 0:
            return "", ""
        for line in reversed(self._lines):
            try:
                found = json.loads(line)
                return revived(found["error"]), str(found["details"])
            except (ValueError, KeyError, TypeError):
                continue
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return msg("The rendering process has ended ({how}).", how), "\n".join(self._heard)

    def detach(self) -> None:
        """Let it continue on its own."""
        self._say("detach")

    def stop(self, timeout: float = 25.0) -> None:
        """Make it return its job and exit; it is killed if it does not."""
        self._say("stop")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.close()
        except (OSError, ValueError):  # it has ended
            return


def scratch(name: str) -> Path:
    """Folder that a runner uses for scratch files."""
    return Path(tempfile.gettempdir()) / f"animate-{name}"


def print_line(out: IO[str], what: dict[str, Any]) -> None:
    """Write a line of JSON; a reader that has gone is not an error."""
    try:
        out.write(json.dumps(what) + "\n")
        out.flush()
    except (OSError, ValueError):
        return


def _silence() -> None:
    """Disconnect from the pipes to the parent process."""
    empty = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(empty, number)
    os.close(empty)


def main(arguments: list[str]) -> int:
    """Run ``run QUEUE LANE NAME``, or a worker with its settings."""
    if arguments[:1] != ["run"]:
        return worker.main(arguments[0])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process decides when to stop
    if hasattr(os, "nice"):
        os.nice(NICE)
    return Runner(arguments[1], arguments[2], arguments[3]).run(sys.stdin)
