"""Entry point: finds the verb, runs it, and turns every error into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import portrait_animate
from app.cli.output import complain, say, write
from app.cli.program import DEFAULT_VERB, PROGRAM, VERBS
from app.cli.verbs import ANSWER, find_command
from app.errors import AppError, CancelledError, ExitCode, UsageError
from models.messages import msg

# verbs that load OpenCV and ONNX Runtime, and therefore warn if these are installed twice
DRAWING: Final = (DEFAULT_VERB, "app.cli.batch", "app.cli.live", "app.cli.edit", "app.cli.gui")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        The exit code (docs/cli.md lists them).
    """
    _open_streams()
    _find_home()
    arguments = list(sys.argv[1:] if argv is None else argv)
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    try:
        return run(arguments)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - printed as one line instead of a traceback
        if "--debug" in flags and not isinstance(error, (KeyboardInterrupt, MemoryError)):
            _show_traceback()
        known = error if isinstance(error, AppError) else _translated(error, debug="--debug" in flags)
        if known.message:  # none if the reader has gone
            report(known, as_json="--json" in flags)
        return int(known.exit_code)
    finally:
        _flush()


def _open_streams() -> None:
    """Open closed standard streams on the null device, so that no other file gets their descriptors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _find_home() -> None:
    """Handle users without a home folder and name, as in some containers: no settings, and nothing is kept."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.sep


def _homeless() -> bool:
    """Whether the current folder has been removed."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _translated(error: BaseException, *, debug: bool) -> AppError:
    """Convert any exception to an expected error, which prints one line instead of a traceback."""
    if isinstance(error, KeyboardInterrupt):
        return CancelledError("Stopped.")
    if isinstance(error, MemoryError):
        return AppError(
            "There is not enough memory for this image or clip.", "Close other programs or use a smaller one."
        )
    if isinstance(error, OSError):
        from app.media.files import reason

        what, hint = reason(error)
        if isinstance(error, FileNotFoundError) and not error.filename and _homeless():
            return AppError("The current folder no longer exists.", "Change to another one.")
        return AppError(msg("{filename} can't be used: {what}.", error.filename or msg("A file"), what), hint)
    from app.environment import fault

    hint = "" if debug else "Run again with --debug and report what it prints."
    return fault(error, hint)


def gui() -> int:
    """Start the window: `animate gui`."""
    return main(["gui", *sys.argv[1:]])


def run(arguments: list[str]) -> int:
    """Run a verb; errors are raised as exceptions.

    Raises:
        AppError: Every expected error.
    """
    if arguments[:1] == [ANSWER]:
        from app.cli.candidates import answer

        write(sys.stdout, answer(arguments[1:]))
        return int(ExitCode.OK)
    default = not arguments or arguments[0] not in VERBS
    if default:
        _check_verb(arguments)
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if default and ("--version" in flags or flags[:1] == ["-V"]):
        from liveportrait import __version__

        say(f"{PROGRAM} {__version__}")
        return int(ExitCode.OK)
    found = find_command(arguments)
    asked = bool({"-h", "--help"} & set(flags))
    if found.commands and found.rest and not found.rest[0].startswith("-"):
        near = get_close_matches(found.rest[0], found.commands, 1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        raise _misused(f"No such command {found.rest[0]!r}.", found.name, hint)
    if asked or not arguments or (found.commands and not found.rest):
        from app.cli.help import command_help

        say(command_help(found))
        return int(ExitCode.OK if asked else ExitCode.USAGE)
    if found.module in DRAWING and not asked:
        from app.environment import clashes

        for text in clashes():
            complain(text, "warning")
    return invoke(found.command, found.name, found.rest)


def _check_verb(arguments: Sequence[str]) -> None:
    """Detect a misspelt command: the first word is neither a file nor the beginning of a file name.

    Raises:
        UsageError: It is close to a command.
    """
    word = arguments[0] if arguments else ""
    if not word or not word.replace("-", "").isalpha() or word.startswith("-") or Path(word).exists():
        return
    if near := get_close_matches(word.lower(), VERBS, 1):
        raise UsageError(f"There is no command and no file {word!r}.", f"Did you mean {PROGRAM} {near[0]}?")


def invoke(command: Any, name: str, arguments: list[str]) -> int:
    """Run one click command and translate its own errors.

    Raises:
        AppError: Also for wrong flags and missing arguments.
    """
    import click

    try:
        with command.make_context(name, list(arguments)) as context:
            return int(command.invoke(context) or 0)
    except click.exceptions.Exit as error:  # after the help
        return int(error.exit_code)
    except click.NoSuchOption as error:
        near = f"Did you mean {error.possibilities[0]}?" if error.possibilities else ""
        raise _misused(f"No such option: {error.option_name}.", name, near) from None
    except click.UsageError as error:
        text = error.format_message().strip()
        if name.endswith(" batch"):
            from app.cli.batch import advise

            if hint := advise(arguments, text):
                raise UsageError(_sentence(text), hint) from None
        named = "The result is named by -o FILE." if name == PROGRAM and "unexpected extra" in text else ""
        raise _misused(_sentence(text), name, named) from None


def _misused(text: str, name: str, hint: str = "") -> UsageError:
    return UsageError(text, f"{hint} See {name} --help.".strip())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def report(error: AppError, *, as_json: bool) -> None:
    """Print an expected error: one line, and with --json a last JSON line."""
    complain(str(error))
    if as_json:
        from app.cli.output import JsonLines
        from app.events import Event

        data = {"exit_code": int(error.exit_code), "hint": error.hint}
        JsonLines()(Event("error", message=error.message, level="error", data=data))


def _show_traceback() -> None:
    import traceback

    traceback.print_exc()


def _flush() -> None:
    """Flush standard output; a reader that has gone is not an error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from app.cli.output import close_pipe

        close_pipe(sys.stdout)
    except (OSError, ValueError) as error:  # closed, or the disk behind a redirection is full
        complain(f"Standard output can't be written: {error}.", "warning")


if __name__ == "__main__":
    sys.exit(portrait_animate.main())
