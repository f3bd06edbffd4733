"""Sentences of the layers below the window, in the user's language: found again by the pattern that they were made of.

Those layers speak English. The catalogue holds their sentences with numbered places, such as "{0} can't be read: {1}.";
a sentence that fits such a pattern is said in the other language with what stands in its places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from PySide6.QtCore import QCoreApplication

from app.gui.translate import CONTEXT, FOLDER, LANGUAGES, read_catalogue

PLACE: Final = re.compile(r"\{(\d+)\}")
BREAK: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'])|(?<=[.!?])\s+(?=/)|\n")
Pattern = tuple[re.Pattern[str], str]


def patterns(texts: Mapping[str, str]) -> list[Pattern]:
    """Patterns of a catalogue with their translations; those that say most come first."""
    found = []
    for source, target in texts.items():
        pieces = PLACE.split(source)
        if len(pieces) > 1:
            literal = sum(len(piece) for piece in pieces[::2])
            shape = "".join(f"(?P<p{piece}>.+?)" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
            found.append((literal, re.compile(shape, re.DOTALL), target))
    found.sort(key=lambda entry: -entry[0])
    return [(shape, target) for _, shape, target in found]


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
    return text if language == "en" or not text else translated(text, language)


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
