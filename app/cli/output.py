"""Event sinks for people (a bar or sparse lines on standard error) and for programs (JSON lines)."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from app.cli.program import PROGRAM, own_name
from app.events import Event, Sink

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a terminal interprets these
QUIET_SECONDS = 10.0  # between progress lines when standard error is not a terminal


_CALLED: dict[str, str] = {}


def call_it(path: object, name: str) -> None:
    """Print a scratch file's path as the name it stands for."""
    _CALLED[str(path)] = name


def show_path(path: object) -> str:
    """A file name safe to print: control characters and undecodable bytes are escaped."""
    text = str(path)
    for scratch, name in _CALLED.items():
        text = text.replace(scratch, name)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda match: match.group(0).encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Text without line breaks and without characters that can't be printed."""
    return show_path("; ".join(part.strip() for part in text.splitlines() if part.strip()))


def complain(text: str, level: str = "error") -> None:
    """Print one line on standard error, as "animate: error: ..."."""
    write(sys.stderr, f"{PROGRAM}: {level}: {one_line(own_name(text))}\n")


def say(text: str) -> None:
    """Print text on standard output."""
    write(sys.stdout, text if text.endswith("\n") else text + "\n")


def write(stream: TextIO, text: str) -> None:
    """Write text in any encoding; a reader that has gone is ignored."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        close_pipe(stream)
    except OSError as error:  # the disk behind a redirection is full, or the terminal was closed
        close_pipe(stream)
        if stream is sys.stdout:
            complain(f"Standard output can't be written: {error.strerror or error}.", "warning")


def close_pipe(stream: TextIO) -> None:
    """Redirect a stream whose reader has gone to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


class JsonLines:
    """Prints every event as one line of JSON on standard output."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        text = json.dumps(event.to_json(), ensure_ascii=True)
        for scratch, name in _CALLED.items():
            text = text.replace(json.dumps(scratch)[1:-1], name)
        write(sys.stdout, text + "\n")

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class PlainLines:
    """Messages and an occasional progress line; for pipes and log files."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "message" and (event.level != "info" or not self._quiet):
            tell(event)
        elif event.kind == "progress" and not self._quiet and time.monotonic() - self._last > QUIET_SECONDS:
            self._last = time.monotonic()
            of = f" of {event.total}" if event.total else ""
            left = "" if event.eta is None else f", {clock(event.eta)} left"
            rate = f"{event.fps:.1f} frames/s"
            write(sys.stderr, f"{event.message or event.phase}: {event.done}{of} frames, {rate}{left}\n")

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class TerminalBar:
    """A progress bar with speed and remaining time, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._started = False

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "phase":
            self._begin(event)
        elif event.kind == "progress" and self._task is not None:
            count = f"{event.done}/{event.total}" if event.total else str(event.done)
            left = "" if event.eta is None else f"{clock(event.eta)} left"
            self._progress.update(
                self._task,
                description=event.message or event.phase,
                completed=event.done,
                total=event.total,
                count=count,
                speed=f"{event.fps:.1f} fps",
                left=left,
            )
        elif event.kind == "message":
            self._progress.console.print(message_line(event), markup=False, highlight=False, soft_wrap=True)

    def _begin(self, event: Event) -> None:
        if not self._started:
            self._started = True
            self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(
            event.message or event.phase, total=event.total, count="", speed="", left=""
        )

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._started:
            self._progress.stop()


def message_line(event: Event) -> str:
    """A message event as a line; warnings are marked."""
    mark = "" if event.level == "info" else f"{event.level}: "
    return f"{PROGRAM}: {mark}{one_line(own_name(event.message))}"


def tell(event: Event) -> None:
    """Print a message event on standard error."""
    write(sys.stderr, message_line(event) + "\n")


def clock(seconds: float) -> str:
    """Seconds as 0:07 or 1:02:03."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def choose_sink(*, json_lines: bool, quiet: bool) -> Any:
    """Choose the sink: JSON lines, a bar if standard error is a terminal, or plain lines."""
    if json_lines:
        return JsonLines()
    if not quiet and sys.stderr.isatty():
        return TerminalBar()
    return PlainLines(quiet)


__all__ = ["JsonLines", "PlainLines", "Sink", "TerminalBar", "choose_sink", "complain", "one_line", "say", "show_path"]
