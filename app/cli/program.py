"""The name of the program, and its commands."""

from __future__ import annotations

import os
import re
import sys
from typing import Final

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
    "inspect": ("app.cli.inspect", "show whether an image or clip is marked as made by AI"),
    "models": ("app.cli.models", "list, verify, import or download weight files"),
    "engines": ("app.cli.engines", "compile the networks for NVIDIA cards ahead of time"),
    "gui": ("app.cli.gui", "open the window"),
    "serve": ("app.cli.serve", "serve the program over HTTP, for browsers and programs"),
    "doctor": ("app.cli.doctor", "show what is installed and what can run"),
    "uninstall-data": ("app.cli.uninstall", "list and remove settings, weights, queue and caches"),
    "completion": ("app.cli.completion", "print the script that completes commands in your shell"),
    "help": ("app.cli.help", "show the help of a command"),
}
DEFAULT_VERB: Final = "app.cli.animate"
NAMES = ("animate", "portrait-animate")  # the second is unique: ImageMagick has an animate too


def called() -> str:
    """The name under which the program was called."""
    name = os.path.basename(sys.argv[0] if sys.argv else "").lower().removesuffix(".exe").removesuffix("-gui")
    return name if name in NAMES else NAMES[0]


PROGRAM = called()


def own_name(text: str) -> str:
    """Replace the program's name in a text with the name under which it was called."""
    if NAMES[0] == PROGRAM:
        return text
    words = "|".join([*VERBS, "--[a-z]", "SOURCE", r"\[OPTIONS", "COMMAND"])
    return re.sub(rf"(?<![\w./-])animate(?= (?:{words}))", PROGRAM, text)
