"""The layout of help texts: as wide as the terminal.

click's formatter has no headings for groups of flags, and breaks lines within the words of a choice.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.cli.program import PROGRAM, VERBS, own_name

Entry = tuple[str, str]  # left column, text

NARROWEST, WIDEST = 40, 110  # characters of a line
COLUMN: Final = 30  # column where the texts begin
UNDER: Final = 6  # column on a narrow terminal, where each text is under its flag
ROOM: Final = 72  # terminal width from which both columns fit side by side
OPTIONS: Final = "Options"
HELP: Final = ("-h, --help", "Show this text and exit.")
ENDING: Final = (
    "Write ./NAME for a file named like a command, and ./-NAME for one whose name begins with a dash.\n"
    "Exit codes: 0 done, 1 error, 2 wrong usage, 3 no face found, 4 stopped, 5 an input is truncated and the part "
    "before that was rendered, 6 a model or package is missing."
)


def text_of(command: Any, name: str) -> str:
    """Lay out the help of a command.

    Args:
        command: The command or group.
        name: Its full name, such as "animate jobs list".
    """
    usage, ending = name, ""
    sections = _sections(command)
    if subs := getattr(command, "commands", None):
        usage += " COMMAND [OPTIONS]"
        sections["Commands"] = [(word, _first_sentence(sub.help)) for word, sub in subs.items()]
        ending = f"{name} COMMAND --help shows the options of one."
    else:
        usage += "".join([" [OPTIONS]", *(f" {_usage(one)}" for one in command.params if _is_argument(one))])
    headings = [heading for heading in sections if heading not in ("Arguments", "Commands")] or [OPTIONS]
    sections.setdefault(headings[-1], []).append(HELP)
    if name == PROGRAM:
        sections["Other commands"] = [(f"{PROGRAM} {verb}", text) for verb, (_, text) in VERBS.items()]
        ending = ENDING
    return render_help(usage, command.help or "", sections.items(), ending)


def render_help(usage: str, intro: str, sections: Iterable[tuple[str, Sequence[Entry]]], ending: str) -> str:
    """Lay out a help text.

    Args:
        usage: Usage line.
        intro: First paragraphs, separated by empty lines.
        sections: (heading, entries).
        ending: Last paragraphs, separated by line breaks.
    """
    width = max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))
    lines = textwrap.wrap(f"Usage: {usage}", width, subsequent_indent=" " * 7, break_on_hyphens=False)
    for paragraph in filter(None, re.split(r"\n\s*\n", inspect.cleandoc(intro))):
        lines += ["", *textwrap.wrap(paragraph, width, break_on_hyphens=False)]
    for heading, entries in sections:
        lines += ["", f"{heading}:"]
        for left, text in entries:
            lines += _entry(left, text, width)
    for paragraph in ending.splitlines():
        lines += ["", *textwrap.wrap(paragraph, width, break_on_hyphens=False)]
    return own_name("\n".join(lines)) + "\n"


def _entry(left: str, text: str, width: int) -> list[str]:
    column = COLUMN if width >= ROOM else UNDER
    body = [" " * column + line for line in textwrap.wrap(text, width - column, break_on_hyphens=False)]
    *others, last = _broken(f"  {left}", width)
    if others or not body or len(last) > column - 2:
        return [*others, last, *body]
    return [last.ljust(column) + body[0].lstrip(), *body[1:]]


def _broken(text: str, width: int) -> list[str]:
    """Wrap flags with their placeholder without breaking the words of a choice."""
    lines = [""]
    for piece in re.split(r"(?<=[|,])", text):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append(" " * UNDER)
        lines[-1] += piece
    return lines


def _sections(command: Any) -> dict[str, list[Entry]]:
    """Arguments and flags of a command under their headings."""
    sections: dict[str, list[Entry]] = {}
    for one in command.params:
        if getattr(one, "hidden", False):
            continue
        if _is_argument(one):
            sections.setdefault("Arguments", []).append((str(one.metavar), str(one.help or "")))
        else:
            sections.setdefault(one.panel, []).append(_option(one))
    return sections


def _option(one: Any) -> Entry:
    """Help entry of a flag: its forms with a placeholder, and its help with the default."""
    flags, default = list(one.opts), one.shown
    if not one.is_flag:
        text = str(one.help or "")
        return f"{', '.join(flags)} {one.metavar or 'TEXT'}", f"{text} [{default}]" if default else text
    on = default == "yes"  # otherwise the form that switches it off is not useful
    return ", ".join([*flags, *(one.secondary_opts if on else ())]), f"{one.help or ''}{' [on]' if on else ''}"


def _is_argument(one: Any) -> bool:
    return bool(one.param_type_name == "argument")


def _usage(one: Any) -> str:
    word = str(one.metavar)
    return word if one.required or word.startswith("[") else f"[{word}]"


def _first_sentence(text: str | None) -> str:
    """The first sentence of a help text, for the list of commands."""
    return inspect.cleandoc(text or "").split("\n\n")[0].replace("\n", " ")
