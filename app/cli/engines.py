"""`animate engines`: networks compiled for NVIDIA cards."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from app.cli.flags import command, make_app, optional_argument, switch, text_flag
from app.cli.output import JsonLines, complain, say, show_path, write
from app.errors import AppError, CancelledError, ExitCode, MissingError, UsageError
from app.events import Event

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from liveportrait.engines.tensorrt_build import BuildStep
    from liveportrait.engines.tensorrt_cache import CachedEngine

app = make_app(
    "Compile the LivePortrait networks for NVIDIA cards (--engine tensorrt), list or remove what is compiled."
)
DEBUG = switch("debug", ["--debug"], "Show the traceback of an error.", "Output")
AS_JSON = switch("as_json", ["--json"], "Print one JSON object per line.", "Output")
WHICH = optional_argument("pattern", "ENGINE", "Name of a file or a pattern such as warping-*; all by default.")
TITLES = {
    "appearance": "appearance extractor", "motion": "motion extractor", "warping": "warping module",
    "generator": "generator",
}  # fmt: skip


def build(values: Mapping[str, Any]) -> int:
    """Compile what isn't compiled yet, in a separate process; Ctrl-C stops it and leaves no incomplete file.

    TensorRT-RTX compiles without a card; TensorRT needs the card that it compiles for.
    """
    from liveportrait.engines.tensorrt import build_engines
    from models.registry import ModelError

    as_json, quiet = values["as_json"], values["quiet"]
    try:
        with stop_at_once(), Steps(as_json=as_json, quiet=quiet) as steps:
            paths = build_engines(
                variant="animals" if values["animals"] else "human",
                precision=values["precision"] or "fp16",
                library=values["library"] or "auto",
                target=values["target"] or "",
                device=values["device"] or "auto",
                rebuild=values["again"],
                say=steps.say,
                warn=steps.warn,
                progress=steps,
            )
    except KeyboardInterrupt:
        raise CancelledError("Stopped; what was compiled before is kept.") from None
    except ModelError as error:
        raise MissingError(f"{error}") from error
    except ValueError as error:
        raise UsageError(f"{error}") from error
    except RuntimeError as error:
        raise AppError(f"{error}") from error
    if as_json:
        JsonLines()(Event("result", data={"status": "done", "exit_code": 0, "engines": [str(path) for path in paths]}))
    elif not quiet:
        for path in paths:
            say(show_path(path))
    return int(ExitCode.OK)


def list_(values: Mapping[str, Any]) -> int:
    """Show every compiled network: its state, its compiler and its target; exit code 1 if one is damaged."""
    entries = _matching(values["pattern"])
    states = [state_of(entry) for entry in entries]
    for entry, state in zip(entries, states, strict=True):
        key = entry.key
        if values["as_json"]:
            facts = {} if key is None else {
                "network": key.network, "precision": key.precision, "library": key.library, "version": key.version,
                "target": key.target, "flags": list(key.flags), "onnx": key.onnx,
            }  # fmt: skip
            own = {"path": str(entry.path), "state": state, "size": entry.size, "made": entry.made}
            say(json.dumps(own | {"seconds": entry.seconds} | facts))
            continue
        about = "" if key is None else f" ({key.version}, {entry.made}, took {entry.seconds:.1f} s)"
        say(f"{state:<8} {entry.size / 1e6:6.1f} MB  {entry.path.name}{about}")
    if not entries and not values["as_json"]:
        say("Nothing is compiled yet.")
    return int(ExitCode.ERROR if "damaged" in states else ExitCode.OK)


def clear(values: Mapping[str, Any]) -> int:
    """Remove compiled networks; they are compiled again when they are needed."""
    from liveportrait.engines.tensorrt_cache import EngineCache

    cache = EngineCache()
    entries = _matching(values["pattern"])
    if values["outdated"]:
        entries = [entry for entry in entries if state_of(entry) != "ready"]
    paths = [entry.path for entry in entries]
    left = _report("engine", paths, sum(cache.remove(path) for path in paths))
    if values["onnx"]:
        exported = _exported()
        freed = sum(path.stat().st_size for path in exported)
        for path in exported:
            with suppress(OSError):
                path.unlink()
        left += _report("ONNX file", exported, freed - sum(path.stat().st_size for path in exported if path.exists()))
    for path in left:
        complain(f"{show_path(path)} can't be removed.")
    return int(ExitCode.ERROR if left else ExitCode.OK)


def _report(word: str, paths: list[Path], freed: int) -> list[Path]:
    """Report how many files were removed; returns those that remain."""
    left = [path for path in paths if path.exists()]
    gone = len(paths) - len(left)
    say(f"Removed {gone} {word}{'' if gone == 1 else 's'} ({freed / 1e6:.1f} MB).")
    return left


def state_of(entry: CachedEngine) -> str:
    """Whether an engine can be used: "ready", "damaged", or "outdated" if another version is installed now."""
    if entry.fault or entry.key is None:
        return "damaged"
    with suppress(metadata.PackageNotFoundError):
        if metadata.version(entry.key.library) != entry.key.version:
            return "outdated"
    return "ready"


def _matching(pattern: str | None) -> list[CachedEngine]:
    from liveportrait.engines.tensorrt_cache import EngineCache

    entries = EngineCache().entries(thorough=True)
    found = [entry for entry in entries if pattern is None or fnmatchcase(entry.path.name, pattern)]
    if pattern is not None and not found:
        raise UsageError(f"No compiled network is named {pattern!r}.", "See animate engines list.")
    return found


def _exported() -> list[Path]:
    """ONNX files of the networks."""
    from liveportrait.engines.onnx import default_cache

    return sorted(default_cache().glob("*.onnx"))


class Steps:
    """Shows the progress of a build: JSON lines, a bar on a terminal, or one line for each network."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json = JsonLines() if as_json else None
        self._quiet = quiet
        self._shown = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not as_json and not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[phase]}")
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Steps:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: BuildStep) -> None:
        """Show a step."""
        title = f"{TITLES[step.network].capitalize()} ({step.number} of {step.total})"
        if self._json is not None:
            facts = {"network": step.network, "number": step.number, "networks": step.total, "step": step.phase}
            total = step.steps or None
            self._json(Event("progress", "compile", step.step, total, message=title, data=facts))
        elif self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(title, total=None, phase="")
            self._bar.update(
                self._task, description=title, completed=step.step, total=step.steps or None, phase=step.phase
            )
        elif title != self._shown and not self._quiet:
            write(sys.stderr, f"{title}\n")
        self._shown = title

    def say(self, text: str) -> None:
        """Print what is being built."""
        if self._json is not None:
            self._json(Event("message", message=text))
        elif not self._quiet and self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            write(sys.stderr, f"{text}\n")

    def warn(self, text: str) -> None:
        """Print what is being rebuilt."""
        if self._json is not None:
            self._json(Event("message", message=text, level="warning"))
        else:
            complain(text, "warning")


@contextmanager
def stop_at_once() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM raise an exception right away, so that cleanup runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)  # a shell starts background processes with the first one ignored
    before = {kind: signal.signal(kind, signal.default_int_handler) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


command(
    app,
    [text_flag("precision", ["--precision"], "fp16|fp32", "Type of the convolutions; fp16 by default.", "Engine"),
     text_flag("library", ["--library"], "NAME", "tensorrt-rtx or tensorrt; what fits the card by default.", "Engine"),
     text_flag("target", ["--target"], "TARGET", "Cards to compile for by tensorrt-rtx: portable (all supported ones), "
               "sm80, sm86, sm89, sm120 or sm121; portable by default.", "Engine"),
     text_flag("device", ["--device"], "NAME", "The card: cuda or cuda:N.", "Engine"),
     switch("animals", ["--animals"], "The weights for animals.", "Engine"),
     switch("again", ["--again"], "Compile again what is already compiled.", "Engine"),
     switch("quiet", ["-q", "--quiet"], "Print only warnings and errors.", "Output"), AS_JSON, DEBUG],
    build, name="build", help=build.__doc__,
)  # fmt: skip
command(app, [WHICH, AS_JSON, DEBUG], list_, name="list", help=list_.__doc__)
command(
    app,
    [WHICH,
     switch("outdated", ["--outdated"], "Only what is damaged or was compiled by another version.", "Engine"),
     switch("onnx", ["--onnx"], "Also remove the ONNX files they are compiled from.", "Engine"), DEBUG],
    clear, name="clear", help=clear.__doc__,
)  # fmt: skip
