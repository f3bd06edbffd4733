"""Compiles networks in a separate process, which can be stopped at any moment and leaves no partial file.

    python -m liveportrait.engines.tensorrt_build

reads one line of JSON, the request, and writes one line for each step. It exits when its input is closed, so it doesn't
outlive the program that started it.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from liveportrait.engines.tensorrt_cache import EngineCache, EngineKey, key_from, write_engine
from liveportrait.engines.tensorrt_library import MODULES, UnknownOperatorError, compile_file
from liveportrait.packages import python_command, python_environment

POLL: Final = 0.1
"""Seconds between polls for cancellation."""
OFTEN: Final = 0.1
"""Least seconds between two reported steps of one phase; the last one is always reported."""
GRACE: Final = 5.0
"""Seconds that a process gets to exit before it is killed."""

Cancelled = Callable[[], bool]


class BuildCancelledError(Exception):
    """The build was cancelled by the user."""


@dataclass(frozen=True)
class BuildStep:
    """Progress of a build.

    Attributes:
        network: Name of the network.
        number: Its number, from 1.
        total: Number of networks.
        phase: Name of the phase.
        step: Finished steps of this phase.
        steps: Steps of this phase, 0 if unknown.
    """

    network: str
    number: int
    total: int
    phase: str
    step: int = 0
    steps: int = 0


def build_engine(
    key: EngineKey,
    onnx: Path,
    cache: EngineCache,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    cancelled: Cancelled | None = None,
    command: list[str] | None = None,
) -> Path:
    """Compile a network in a separate process.

    Args:
        key: The engine to build.
        onnx: The ONNX file.
        cache: Cache of the engine.
        progress: Called with the phase, the step and the number of steps.
        cancelled: Polled all the time; True stops the build.
        command: Starts the process; this module by default.

    Returns:
        The engine's file.

    Raises:
        BuildCancelledError: It was cancelled.
        UnknownOperatorError: The library can't read the file.
        RuntimeError: It can't be compiled.
        OSError: The file can't be written.
    """
    with cache.new_part() as part:
        request = {"module": MODULES[key.library], "onnx": str(onnx), "part": str(part), "key": asdict(key)}
        compiler = _Compiler(command or python_command(__name__), request)
        try:
            answer = _follow(compiler.answers, progress, cancelled)
            if answer is None:
                raise RuntimeError(compiler.exit_reason())
        finally:
            compiler.end()
        if "unknown" in answer:
            raise UnknownOperatorError(str(answer["unknown"]))
        if "unwritable" in answer:
            raise OSError(int(answer["code"]), str(answer["unwritable"]))
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))
        return cache.adopt(key, part)


class _Compiler:
    """The compiler process, seen from the parent.

    Args:
        command: Starts it.
        request: Its task.
    """

    def __init__(self, command: list[str], request: dict[str, Any]) -> None:
        self.answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process = _start(command)
        self._stderr_lines: deque[str] = deque(maxlen=3)
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self._stdin, self._streams = stdin, (stdout, stderr)
        self._threads = (
            threading.Thread(target=_read, args=(stdout, self.answers), daemon=True),
            threading.Thread(target=self._stderr_lines.extend, args=(stderr,), daemon=True),
        )
        for thread in self._threads:
            thread.start()
        with suppress(BrokenPipeError):  # it has already exited, which its answers show
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()

    def exit_reason(self) -> str:
        """Description of how it ended without a final answer."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._threads[1].join(GRACE)
        last = next((line.strip() for line in reversed(self._stderr_lines) if line.strip()), "")
        return f"the compiler failed with code {self._process.poll()}{f' ({last})' if last else ''}"

    def end(self) -> None:
        """Terminate it if it still runs, and wait until it is gone: only then nothing is written any more."""
        with suppress(OSError):
            self._stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for thread, stream in zip(self._threads, self._streams, strict=True):
            thread.join(GRACE)
            if not thread.is_alive():
                stream.close()


def _follow(
    answers: queue.SimpleQueue[dict[str, Any] | None],
    progress: Callable[[str, int, int], None] | None,
    cancelled: Cancelled | None,
) -> dict[str, Any] | None:
    """Forward the process's answers until the final one, which is returned; None if it ends without one.

    Raises:
        BuildCancelledError: See build_engine.
    """
    while True:
        if cancelled is not None and cancelled():
            raise BuildCancelledError("The build was stopped.")
        try:
            answer = answers.get(timeout=POLL)
        except queue.Empty:
            continue
        if answer is None or "phase" not in answer:
            return answer
        if progress is not None:
            progress(str(answer["phase"]), int(answer["step"]), int(answer["steps"]))


def _start(command: list[str]) -> subprocess.Popen[str]:
    """Start a process in a group of its own: Ctrl-C reaches only the program, which then ends the process."""
    named: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        named = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        errors="replace", env=python_environment(), **named,
    )  # fmt: skip


def _read(stream: TextIO, answers: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in stream:
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                answers.put(answer)
    answers.put(None)


# ---------------------------------------------------------------------- in the process


def main(stdin: TextIO | None = None, stdout: TextIO | None = None) -> int:
    """Handle one request.

    Args:
        stdin: Supplies the request; the build stops when it is closed.
        stdout: Receives the answers.
    """
    stdin, stdout = stdin or sys.stdin, stdout or sys.stdout
    request = json.loads(stdin.readline())
    part = Path(request["part"])
    threading.Thread(target=_watch, args=(stdin, part), daemon=True).start()

    def tell(**answer: Any) -> None:
        stdout.write(json.dumps(answer) + "\n")
        stdout.flush()

    last_phase, last_time = "", 0.0

    def progress(phase: str, step: int, steps: int) -> None:
        nonlocal last_phase, last_time
        now = time.monotonic()
        if phase != last_phase or step == steps or now - last_time >= OFTEN:
            last_phase, last_time = phase, now
            tell(phase=phase, step=step, steps=steps)

    key = key_from(request["key"])
    try:
        trt = importlib.import_module(request["module"])
        start = time.perf_counter()
        engine = compile_file(trt, Path(request["onnx"]), target=key.target, flags=key.flags, progress=progress)
        seconds = time.perf_counter() - start
    except UnknownOperatorError as error:
        tell(unknown=str(error))
        return 0
    except (RuntimeError, OSError, ImportError, AttributeError, TypeError, ValueError) as error:
        tell(error=f"{error}" or type(error).__name__)
        return 0
    try:
        with part.open("wb") as stream:
            write_engine(stream, key, engine, seconds)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        tell(unwritable=error.strerror or f"{error}", code=error.errno or 0)
    else:
        tell(done=True)
    return 0


def _watch(stdin: TextIO, part: Path) -> None:
    """End the process when its parent has closed its input."""
    stdin.read()
    with suppress(OSError):
        part.unlink(missing_ok=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
