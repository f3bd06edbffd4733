"""The commands of the program: the module of each, and the lookup of a command by the words of a command line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.cli.program import DEFAULT_VERB, PROGRAM, VERBS

ANSWER: Final = "__complete"  # called by the scripts of `animate completion`, see app.cli.candidates


@dataclass(frozen=True)
class Found:
    """The command that a command line resolves to.

    Attributes:
        module: Name of its module.
        name: Its full name, such as "animate jobs list".
        command: The command; a group if a sub-command is missing or unknown.
        rest: The words after its name.
    """

    module: str
    name: str
    command: Any
    rest: list[str]

    @property
    def commands(self) -> dict[str, Any]:
        """Its sub-commands by name; empty if it has none."""
        return getattr(self.command, "commands", {})


def find_command(words: Sequence[str]) -> Found:
    """Find the command for the words; the default one if the first word is not a verb."""
    module, name, rest = DEFAULT_VERB, PROGRAM, list(words)
    if rest and rest[0] in VERBS:
        module, name = VERBS[rest[0]][0], f"{PROGRAM} {rest[0]}"
        del rest[0]
    app = importlib.import_module(module).app
    command: Any = app.commands.get("", app)
    found = Found(module, name, command, rest)
    while found.rest and found.rest[0] in found.commands:
        word, *rest = found.rest
        found = Found(module, f"{found.name} {word}", found.commands[word], rest)
    return found
