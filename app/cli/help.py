"""The help text of the default verb: options under their headings, as wide as the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from app.cli.output import own_name
from app.options import OptionInfo, all_options, show_value

Entry = tuple[str, str]  # left column, text


def render_help(usage: str, intro: str, sections: Iterable[tuple[str, Sequence[Entry]]], ending: str) -> str:
    """Lay out a help text.

    Args:
        usage: Usage line.
        intro: First paragraph.
        sections: (heading, entries).
        ending: Last paragraphs, separated by line breaks.
    """
    width = max(60, min(shutil.get_terminal_size().columns, 110))
    lines = [f"Usage: {usage}", "", *textwrap.wrap(intro, width)]
    for heading, entries in sections:
        lines += ["", f"{heading}:"]
        for left, text in entries:
            lines += _entry(left, text, width)
    for paragraph in ending.splitlines():
        lines += ["", *textwrap.wrap(paragraph, width, break_on_hyphens=False)]
    return own_name("\n".join(lines)) + "\n"


def _entry(left: str, text: str, width: int, column: int = 30) -> list[str]:
    body = textwrap.wrap(text, width - column, break_on_hyphens=False)
    head = f"  {left}"
    if len(head) > column - 2:
        return [head, *(" " * column + line for line in body)]
    return [head.ljust(column) + body[0], *(" " * column + line for line in body[1:])]


def option_entry(info: OptionInfo, metavar: str) -> Entry:
    """Help entry of a declared option."""
    flags = ", ".join(info.flags)
    if info.kind is bool:
        flags += f", --no-{info.flags[-1][2:]}" if info.default else ""
        return flags, info.help + (" [on]" if info.default else "")
    default = f" [{show_value(info.default)}]" if info.default != "" else ""
    return f"{flags} {metavar}", info.help + default


def option_sections(metavar_of: dict[str, str]) -> list[tuple[str, list[Entry]]]:
    """All declared options under their group headings."""
    groups: dict[str, list[Entry]] = {}
    for info in all_options():
        groups.setdefault(info.group, []).append(option_entry(info, metavar_of[info.name]))
    return list(groups.items())
