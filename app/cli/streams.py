"""``-`` on the command line: standard input as a file that is read, standard output as the result."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import portrait_animate
from app.addresses import STANDARD
from app.cli.output import call_it
from app.errors import AppError, MediaError, UsageError

if TYPE_CHECKING:
    from app.options import RenderOptions

LIMIT: Final = 4 << 30  # most bytes read from standard input
BLOCK: Final = 1 << 20
NAMES: Final = ((b"PK\x03\x04", ".motion"), (b"\x80", ".pkl"))  # templates are recognised by their extension


def read_standard_input(stack: ExitStack, *given: str) -> list[Path]:
    """Resolve the inputs of a command to paths; "-" is read from standard input into a scratch file.

    Args:
        stack: Removes the scratch file on exit.
        given: The inputs as they were typed.

    Raises:
        UsageError: Two inputs are "-", or standard input is a terminal.
        MediaError: Standard input is empty or too long, or the scratch file can't be written.
    """
    if given.count(STANDARD) > 1:
        raise UsageError("Standard input can be read only once.", "Save one of the inputs as a file.")
    return [_spooled(stack) if one == STANDARD else Path(one) for one in given]


def _spooled(stack: ExitStack) -> Path:
    from app.cli.engines import stop_at_once
    from app.media.files import scratch_error, scratch_folder

    if sys.stdin.isatty():
        raise UsageError("Standard input is a terminal, so there is no file to read.", "Pipe a file in, or name one.")
    portrait_animate.disarm()  # a scratch file is about to be created
    stream = getattr(sys.stdin, "buffer", sys.stdin)
    folder = Path(stack.enter_context(scratch_folder()))
    with stop_at_once():
        path, size = folder / "stdin", 0
        block = _read(stream)
        if not block:
            raise MediaError("Standard input is empty (0 bytes).", "Check the command that fills the pipe.")
        path = path.with_suffix(next((ending for start, ending in NAMES if block.startswith(start)), ""))
        try:
            with path.open("wb") as file:
                while block:
                    size += len(block)
                    if size > LIMIT:
                        raise MediaError(
                            f"Standard input is longer than {LIMIT >> 20} MiB.", "Save it as a file and name that."
                        )
                    file.write(block)
                    block = _read(stream)
        except OSError as error:
            raise scratch_error(error) from error
    call_it(path, "standard input")
    return path


def _read(stream: object) -> bytes:
    try:
        return bytes(stream.read(BLOCK))  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        raise AppError(f"Standard input can't be read: {getattr(error, 'strerror', None) or error}.") from error


def check_standard_output(options: RenderOptions) -> None:
    """Check that a result can go to standard output, if requested.

    Raises:
        UsageError: Standard output is a terminal, or JSON lines go there.
    """
    if options.output.output != STANDARD:
        return
    if options.program.json_lines:
        raise UsageError("--json and -o - both need standard output.", "Give a file name with -o.")
    if sys.stdout.isatty():
        raise UsageError("Standard output is a terminal: no file can go there.", "Add | COMMAND or > FILE.")
