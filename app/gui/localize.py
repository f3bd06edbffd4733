"""Messages of the lower layers in the user's language, and texts for tool tips and buttons."""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any, Final

from app.errors import brief
from app.gui.titles import OptionTitles, SettingTitles, term_title
from app.gui.translate import mark, tr
from models.messages import Message, Term

IN_WINDOW: Final = {  # advice for the command line -> its counterpart in the window
    "For a pet, a doll or a drawing, place the face by hand, starting with `animate landmarks PHOTO`.":
        mark('Open "Crop and face" to place the face of a pet, a doll or a drawing by hand.'),
    "Connect one, or name a video file as the camera.": mark("Connect one and look again, or choose a clip."),
    "Add {option:overwrite} to replace it, or choose another name.": mark("Choose another name."),
    "Add {option:overwrite} to replace it.": mark("Choose another name."),
    "`animate models download {model}` or `animate models import FOLDER` gets them.":
        mark('Download or import them under "Model weights" in the menu.'),
}  # fmt: skip
TITLES: Final = {"option": OptionTitles(), "setting": SettingTitles()}
COLUMNS: Final = 64  # of a tool tip


def localized(text: str) -> str:
    """Translate one or several sentences of a lower layer; unknown ones stay English."""
    if not isinstance(text, Message):
        return tr(IN_WINDOW.get(text, text))
    values = {name: _shown(value) for name, value in text.values.items()}
    said = brief(tr(IN_WINDOW.get(text.template, text.template)).format(**TITLES, **values))
    return said if text.endswith(".") else said.rstrip(".")


def _shown(value: Any) -> Any:
    if isinstance(value, Term):
        return term_title(value)
    return localized(value) if isinstance(value, Message) else value


def tooltip_text(text: str) -> str:
    """A text for a tool tip: wrapped, and escaped so that it is shown literally."""
    lines = (textwrap.fill(line, COLUMNS, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    whole = "\n".join(lines)
    looks_rich = re.search(r"<[/!a-zA-Z]", whole) is not None
    return f"<qt>{html.escape(whole)}</qt>".replace("\n", "<br>") if looks_rich else whole


def menu_text(text: str) -> str:
    """A text for a button or a menu, such as a file name, with ampersands escaped."""
    return text.replace("&", "&&")
