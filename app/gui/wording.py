"""Sentences of the layers below the window, in the user's language: found again by the pattern that they were made of.

Those layers speak English. The catalogue holds their sentences with numbered places, such as "{0} can't be read: {1}.";
a sentence that fits such a pattern is said in the other language with what stands in its places.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from PySide6.QtCore import QCoreApplication

from app.gui.translate import CONTEXT, FOLDER, LANGUAGES, mark, read_catalogue, tr
from app.options import all_options

PLACE: Final = re.compile(r"\{(\d+)\}")
BREAK: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'])|(?<=[.!?])\s+(?=/)|\n")
FLAG: Final = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9-]*)")
IN_WINDOW: Final = {  # advice for the command line, and what it is in the window
    "On a pet, a doll or a drawing place the face by hand: `animate landmarks PHOTO` begins it.":
        mark('Open "Crop and face" to place the face of a pet, a doll or a drawing by hand.'),
    " (--face chooses)": mark(' ("Crop and face" chooses)'),
    "Connect one, or name a video file as the camera.": mark("Connect one and look again, or choose a clip."),
    "Add --overwrite to replace it, or choose another name.": mark("Choose another name."),
    "Add --overwrite to replace it.": mark("Choose another name."),
    "(--reference auto)": mark('("Neutral reference": auto)'),
}  # fmt: skip
GET_WEIGHTS: Final = re.compile(r"`animate models download [^`]*` or `animate models import FOLDER` gets (them|it)\.")
COLUMNS: Final = 64  # of a tool tip
Pattern = tuple[re.Pattern[str], str]


def patterns(texts: Mapping[str, str]) -> list[Pattern]:
    """Patterns of a catalogue with their translations; those that say most come first."""
    found = []
    for source, target in texts.items():
        pieces = PLACE.split(source)
        if len(pieces) > 1:
            literal = sum(len(piece) for piece in pieces[::2])
            shape = "".join(_place(pieces, i) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
            found.append((literal, re.compile(shape, re.DOTALL), target))
    found.sort(key=lambda entry: -entry[0])
    return [(shape, target) for _, shape, target in found]


def _place(pieces: list[str], index: int) -> str:
    """What stands in a place; one that hangs on to a word, such as "{0} s{1}", may be empty."""
    return f"(?P<p{pieces[index]}>{'.*?' if pieces[index - 1][-1:].isalnum() else '.+?'})"


@lru_cache(maxsize=4)
def _known(language: str) -> tuple[Mapping[str, str], list[Pattern]]:
    texts = read_catalogue(FOLDER / f"{language}.ts")
    return texts, patterns(texts)


def _language() -> str:
    """The language in use: the one whose catalogue answers."""
    if QCoreApplication.translate(CONTEXT, "Undo") == "Undo":
        return "en"
    for language in LANGUAGES:
        if language != "en":
            texts, _ = _known(language)
            if QCoreApplication.translate(CONTEXT, "Undo") == texts.get("Undo"):
                return language
    return "en"


def say(text: str) -> str:
    """A sentence, or several, of a lower layer in the language in use; what is not known stays English."""
    language = _language()
    if not text:
        return text
    for command_line, window in IN_WINDOW.items():
        text = text.replace(command_line, tr(window))
    text = GET_WEIGHTS.sub(tr('"Model weights" in the menu gets them.'), text)
    return titled(text if language == "en" else translated(text, language))


def titled(text: str) -> str:
    """A text that names flags of the command line, with the titles that the options have in the window instead."""

    def title(match: re.Match[str]) -> str:
        name = _titles().get(match[2])
        if name is None:
            return match[0]
        named = tr('"{title}"', title=tr(name))
        return tr("{option} off", option=named) if match[1] else named

    return FLAG.sub(title, text)


@lru_cache(maxsize=1)
def _titles() -> Mapping[str, str]:
    """Flag without its dashes -> title of its option."""
    found = {flag.lstrip("-"): info.title for info in all_options() for flag in info.flags}
    return found | dict.fromkeys(("crop", "face", "points", "landmarks", "driver-for"), mark("Crop and face"))


def folded(text: str) -> str:
    """A text for a tool tip: in lines that can be read, and shown as it is whatever signs it holds."""
    lines = (textwrap.fill(line, COLUMNS, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    whole = "\n".join(lines)
    looks_rich = re.search(r"<[/!a-zA-Z]", whole) is not None
    return f"<qt>{html.escape(whole)}</qt>".replace("\n", "<br>") if looks_rich else whole


def plain(text: str) -> str:
    """A text for a button or a menu, such as a file's name: an ampersand is an ampersand, and no key."""
    return text.replace("&", "&&")


def translated(text: str, language: str) -> str:
    """A text of a lower layer in a language."""
    return _translated(text, *_known(language))


def _translated(text: str, texts: Mapping[str, str], shapes: list[Pattern]) -> str:
    parts = [part for part in BREAK.split(text) if part]
    said = [_whole(part, texts, shapes) for part in parts]
    whole = "" if len(parts) > 1 and all(said) else _whole(text, texts, shapes)
    return whole or " ".join(new or old for new, old in zip(said, parts, strict=True))


def _whole(text: str, texts: Mapping[str, str], shapes: list[Pattern]) -> str:
    """One sentence, or empty if it is not known."""
    if text in texts:
        return texts[text]
    for shape, target in shapes:
        match = shape.fullmatch(text)
        if match is not None and all(_fits(value, texts, shapes) for value in match.groups()):
            inner = {name: _translated(value, texts, shapes) or value for name, value in match.groupdict().items()}
            return PLACE.sub(lambda place, known=inner: known[f"p{place[1]}"], target)  # type: ignore[misc]
    name, colon, rest = text.partition(": ")  # what it is about, such as a file or an option
    said = _whole(rest, texts, shapes) if colon and not BREAK.search(text) else ""
    return f"{_whole(name, texts, shapes) or name}: {said}" if said else ""


def _fits(value: str, texts: Mapping[str, str], shapes: list[Pattern]) -> bool:
    """Whether a text can stand in a place: a part of a sentence, or sentences that are all known."""
    parts = BREAK.split(value)
    return len(parts) == 1 or all(_whole(part, texts, shapes) for part in parts if part)
