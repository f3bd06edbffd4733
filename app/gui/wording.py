"""Translate messages of the lower layers and show options by their titles in the window."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from app.errors import brief
from app.gui.translate import mark, tr
from app.options import all_options
from models.messages import Message, Option

FLAG: Final = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9-]*)")
IN_WINDOW: Final = {  # advice for the command line -> its counterpart in the window
    "For a pet, a doll or a drawing, place the face by hand, starting with `animate landmarks PHOTO`.":
        mark('Open "Crop and face" to place the face of a pet, a doll or a drawing by hand.'),
    "Connect one, or name a video file as the camera.": mark("Connect one and look again, or choose a clip."),
    "Add {option:overwrite} to replace it, or choose another name.": mark("Choose another name."),
    "Add {option:overwrite} to replace it.": mark("Choose another name."),
    "`animate models download {model}` or `animate models import FOLDER` gets them.":
        mark('Download or import them under "Model weights" in the menu.'),
}  # fmt: skip
COLUMNS: Final = 64  # of a tool tip


class Titles:
    """Titles of options in the window, for ``{option:...}`` in templates."""

    def __format__(self, text: str) -> str:
        name, _, value = text.partition("=")
        titles = _titles()
        named = tr('"{title}"', title=tr(titles[name])) if name in titles else f"--{name.replace('_', '-')}"
        if value == "off":
            return tr("{option} off", option=named)
        return f"{named}: {value}" if value else named


def say(text: str) -> str:
    """Translate one or several sentences of a lower layer; unknown ones stay English."""
    if not isinstance(text, Message):
        return tr(IN_WINDOW.get(text, text))
    values = {name: _shown(value) for name, value in text.values.items()}
    said = brief(tr(IN_WINDOW.get(text.template, text.template)).format(option=Titles(), **values))
    return said if text.endswith(".") else said.rstrip(".")


def _shown(value: Any) -> Any:
    if isinstance(value, Option):
        return f"{Titles():{value.name}}"
    return say(value) if isinstance(value, Message) else value


def titled(text: str) -> str:
    """The help of an option with its command-line flags replaced by the window's titles."""

    def title(match: re.Match[str]) -> str:
        name = match[2].replace("-", "_")
        return f"{Titles():{name}{'=off' if match[1] else ''}}" if name in _titles() else match[0]

    return FLAG.sub(title, text)


@lru_cache(maxsize=1)
def _titles() -> Mapping[str, str]:
    """Name of an option -> its title."""
    found = {info.name: info.title for info in all_options()}
    return found | dict.fromkeys(("crop", "face", "points", "landmarks", "driver_for"), mark("Crop and face"))


def folded(text: str) -> str:
    """A text for a tool tip: wrapped, and escaped so that it is shown literally."""
    lines = (textwrap.fill(line, COLUMNS, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    whole = "\n".join(lines)
    looks_rich = re.search(r"<[/!a-zA-Z]", whole) is not None
    return f"<qt>{html.escape(whole)}</qt>".replace("\n", "<br>") if looks_rich else whole


def plain(text: str) -> str:
    """A text for a button or a menu, such as a file name, with ampersands escaped."""
    return text.replace("&", "&&")
