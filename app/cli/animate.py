"""The default verb: animate a source with a driving file."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import portrait_animate
from app.cli.flags import Argument, Flag, argument, command, make_app, option_flag, optional_argument, switch, text_flag
from app.cli.output import choose_sink, close_pipe, complain, say, show_path, write
from app.cli.program import VERBS
from app.cli.streams import check_standard_output, read_standard_input
from app.errors import ExitCode, UsageError
from app.media.streams import STDOUT, shown
from app.options import all_options
from app.presets import BUILT_IN, resolve, to_toml

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.render import Job, Plan, RenderReport

PANEL = "Files and settings"
NOT_OPTIONS = ("source", "driving", "preset", "config", "print_config", "dry_run", "debug", "version", "loop")

INTRO = "Animate the face in SOURCE with the motion of DRIVING."
SOURCE = ("source", "SOURCE", "Photo or video of the face to animate; also a folder of numbered images.")
DRIVING = (
    "driving",
    "DRIVING",
    "Video, photo, GIF, folder of images or motion template to take the motion from; a sound file is a voice that "
    "the face speaks with, a JSON or YAML file holds expressions over time. It may be left out with --idle.",
)
EXTRA_FLAGS = (
    (
        "preset",
        ["--preset"],
        "NAME",
        f"Start from a preset: {', '.join(BUILT_IN)}, one of your own, or a TOML or JSON file.",
    ),
    ("config", ["--config"], "FILE", "Read options from a TOML or JSON file; flags override it."),
    ("print_config", ["--print-config"], "", "Print each option and where its value comes from, and exit."),
    ("loop", ["--loop"], "", "The same as --length loop: the end leads back into the beginning."),
    ("dry_run", ["--dry-run"], "", "Check everything, show what would be done, and exit."),
    ("debug", ["--debug"], "", "Show the traceback of an error."),
    ("version", ["--version"], "", "Show the version and exit."),
)

app = make_app(INTRO)


def animate(values: Mapping[str, Any]) -> int:
    """Run the verb with the parsed flags."""
    with ExitStack() as stack:
        return _animate(values, stack)


def _animate(values: Mapping[str, Any], stack: ExitStack) -> int:
    names = [_file(values[name], name.upper()) for name in ("source", "driving") if values[name] is not None]
    given = {k: v for k, v in values.items() if v is not None and k not in NOT_OPTIONS}
    if values["loop"]:
        given["length"] = "loop"
    config = Path(values["config"]) if values["config"] else None
    resolved = resolve(given, preset=values["preset"] or "", config=config)
    if values["print_config"]:
        say(to_toml(resolved.options.values(), resolved.origins))
        return int(ExitCode.OK)
    wanted = resolved.options.input
    if values["driving"] is None and wanted.liveliness is None and not wanted.voice:
        raise UsageError("DRIVING is missing: nothing moves the face.", "Give a file, or add --voice or --idle.")
    source, *drivers = read_standard_input(stack, *names)
    from app.render import Job

    job = Job(source, drivers[0] if drivers else Path(), resolved.options, settings=resolved.files)
    return run_job(job, dry_run=values["dry_run"])


def run_job(job: Job, *, dry_run: bool = False) -> int:
    """Render a job, or only plan it, and report the result; returns the exit code.

    Raises:
        AppError: Nothing was written.
    """
    from app.events import CancelToken, EventStream
    from app.render import plan, render

    program = job.options.program
    check_standard_output(job.options)
    sink = choose_sink(json_lines=program.json_lines, quiet=program.quiet)
    events, token = EventStream(sink), CancelToken()
    try:
        with stop_on_signals(token):
            if dry_run:
                return _show_plan(plan(job, events), events, program.json_lines)
            report = render(job, events, token)
    finally:
        sink.close()
    return _conclude(report, events, json_lines=program.json_lines, quiet=program.quiet)


def _file(text: str, what: str) -> str:
    if not text:
        raise UsageError(f"{what} is empty; a file name is needed.")
    if text in VERBS and not Path(text).exists():
        raise UsageError(f"{text} is a command and not a file.", f"Write it first: animate {text} ...")
    return text


@contextmanager
def stop_on_signals(token: CancelToken) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal stop the work cleanly.

    A second signal aborts immediately, a third one kills the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]

    def stop(number: int, _frame: object) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM):  # the terminal was closed
            for stream in terminals:
                close_pipe(stream)
        if token.cancelled:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt
        token.cancel()

    kinds = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        kinds.append(signal.SIGHUP)
    portrait_animate.disarm()  # before handlers are restored: the result exists and is still to be reported
    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _show_plan(plan: Plan, events: EventStream, json_lines: bool) -> int:
    if json_lines:
        from app.events import Event

        events.emit(Event("result", data={"dry_run": True, **plan.to_json()}))
        return int(ExitCode.OK)
    frames = "" if plan.frames is None else f"{plan.frames} frames, "
    rate = f"{plan.rate} frames/s, " if plan.rate else ""
    place = show_path(shown(plan.output))
    say(
        f"Would write {place} ({plan.size[0]}x{plan.size[1]}, {frames}{rate}sound: {plan.audio}) "
        f"with the {plan.engine} engine on {plan.device}."
    )
    if plan.side_by_side is not None:
        say(f"Would write {show_path(plan.side_by_side)} beside it.")
    return int(ExitCode.OK)


def _conclude(report: RenderReport, events: EventStream, *, json_lines: bool, quiet: bool) -> int:
    """Report what was written; returns the exit code."""
    if json_lines:
        from app.events import Event

        events.emit(Event("result", message=report.message, data=report.to_json()))
    if report.message:
        complain(report.message, "warning")
    if not json_lines and not quiet:
        done = f"{report.frames} frames, {report.fps:.1f} frames/s"
        if report.frames == 1:
            done = f"1 image, {report.seconds:.1f} s"
        if report.output == STDOUT:
            write(sys.stderr, f"Wrote standard output ({done}).\n")
        else:
            say(f"Wrote {show_path(report.output)} ({done}).")
        if report.side_by_side is not None:
            say(f"Wrote {show_path(report.side_by_side)}.")
    return int(report.exit_code)


def _parameters() -> list[Flag | Argument]:
    extra = [
        text_flag(name, flags, value, text, PANEL) if value else switch(name, flags, text, PANEL)
        for name, flags, value, text in EXTRA_FLAGS
    ]
    return [argument(*SOURCE), optional_argument(*DRIVING), *(option_flag(info) for info in all_options()), *extra]


command(app, _parameters(), animate, standard=("source", "driving"), armed=True)
