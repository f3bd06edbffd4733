"""The commands of the program: the module of each, and the lookup of a command by the words of a command line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.cli.output import PROGRAM

# Verb -> (module with `app`, one line for the help). Anything else is SOURCE of the default verb.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "batch": ("app.cli.batch", "animate many pairs of files; an interrupted batch can be resumed"),
    "jobs": ("app.cli.jobs", "show the queue of a batch; retry, pause, cancel or clear jobs"),
    "live": ("app.cli.live", "animate a portrait from a camera in real time"),
    "edit": ("app.cli.edit", "pose the face in a photo or clip with sliders"),
    "retouch": ("app.cli.retouch", "keep the lips of a clip closed or still"),
    "expression": ("app.cli.expression", "list, show or save expressions"),
    "landmarks": ("app.cli.landmarks", "create a face to place by hand on a photo of a pet, a doll or a drawing"),
    "template": ("app.cli.template", "save the motion of a clip as a template, or show one"),
    "inspect": ("app.cli.inspect", "show whether a picture or clip is marked as made by AI"),
    "models": ("app.cli.models", "list, verify, import or download weight files"),
    "engines": ("app.cli.engines", "compile the networks for NVIDIA cards ahead of time"),
    "gui": ("app.cli.gui", "open the window"),
    "doctor": ("app.cli.doctor", "show what is installed and what can run"),
    "uninstall-data": ("app.cli.uninstall", "list and remove settings, weights, queue and caches"),
    "completion": ("app.cli.completion", "print the script that completes commands in your shell"),
    "help": ("app.cli.help", "show the help of a command"),
}
DEFAULT_VERB: Final = "app.cli.animate"
ANSWER: Final = "__complete"  # called by the scripts of `animate completion`, see app.cli.candidates


@dataclass(frozen=True)
class Found:
    """The command that a command line resolves to.

    Attributes:
        module: Name of its module.
        name: Its full name, such as "animate jobs list".
        command: The command built by typer; a group if a sub-command is missing or unknown.
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
    import typer.main

    module, name, rest = DEFAULT_VERB, PROGRAM, list(words)
    if rest and rest[0] in VERBS:
        module, name = VERBS[rest[0]][0], f"{PROGRAM} {rest[0]}"
        del rest[0]
    command: Any = typer.main.get_command(importlib.import_module(module).app)
    found = Found(module, name, command, rest)
    while found.rest and found.rest[0] in found.commands:
        word, *rest = found.rest
        found = Found(module, f"{found.name} {word}", found.commands[word], rest)
    return found
