"""The help texts of all commands in one layout, as wide as the terminal, and `animate help`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.flags import arguments, command, make_app, switch
from app.cli.layout import OPTIONS, text_of
from app.cli.output import say
from app.cli.program import PROGRAM, VERBS
from app.cli.verbs import Found, find_command
from app.errors import ExitCode, UsageError

app = make_app("Show the help of a command.")


def help_verb(values: Mapping[str, Any]) -> int:
    """Show the help of COMMAND, as COMMAND --help does, or that of the program."""
    say(command_help(find_exactly(values["words"] or [])))
    return int(ExitCode.OK)


def find_exactly(words: Sequence[str]) -> Found:
    """Find the command with this name.

    Raises:
        UsageError: There is none.
    """
    from difflib import get_close_matches

    found = find_command(words)
    if not found.rest:
        return found
    known = found.commands or ({} if words[0] in VERBS else VERBS)
    near = get_close_matches(found.rest[0].lower(), known, 1)
    hint = f"Did you mean {PROGRAM} help {' '.join([*words[: -len(found.rest)], near[0]])}?" if near else ""
    raise UsageError(f"There is no command {' '.join(words)!r}.", hint or f"See {found.name} --help.")


def command_help(found: Found) -> str:
    """The output of a command's --help."""
    return text_of(found.command, found.name)


WORDS = arguments("words", "[COMMAND]...", "Name of a command, and of its sub-command, such as jobs list.")
DEBUG = switch("debug", ["--debug"], "Show the traceback of an error.", OPTIONS)
command(app, [WORDS, DEBUG], help_verb, armed=True, help=help_verb.__doc__)
