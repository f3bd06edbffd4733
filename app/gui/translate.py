"""Texts in the user's language through Qt's translators.

Qt Linguist's .ts catalogues are read directly, not compiled by lrelease: a compiled copy could be out of date.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator

CONTEXT: Final = "app"
FOLDER: Final = Path(__file__).parent / "translations"
LANGUAGES: Final = {"en": "English", "de": "Deutsch"}


def tr(text: str, **values: Any) -> str:
    """Translate a text into the chosen language.

    Args:
        text: English text; the key of the catalogue.
        values: Values for the {names} in it.
    """
    translated = QCoreApplication.translate(CONTEXT, text)
    return translated.format(**values) if values else translated


def mark(text: str) -> str:
    """Mark a text in a table for the catalogue; it is translated when shown."""
    return text


def read_catalogue(path: Path) -> dict[str, str]:
    """Texts of a .ts file: English -> translation; unfinished ones are left out."""
    found = {}
    for message in ET.parse(path).getroot().iter("message"):  # noqa: S314 - our own file
        source, target = message.findtext("source"), message.find("translation")
        if source and target is not None and target.get("type") != "unfinished" and target.text:
            found[source] = target.text
    return found


class TsTranslator(QTranslator):
    """A translator that reads a .ts file without a compiled catalogue.

    Args:
        path: The file.
        parent: Owner.
    """

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.texts = read_catalogue(path)

    def isEmpty(self) -> bool:  # noqa: N802 - Qt's name
        """Whether there is no text."""
        return not self.texts

    def translate(self, context: str, sourceText: str, disambiguation: str | None = None, n: int = -1) -> str:
        """Translation of one of this program's texts; None for others (Qt would show an empty string)."""
        return self.texts.get(sourceText) if context == CONTEXT else None  # type: ignore[return-value]


class Languages(QObject):
    """Installs and removes the translators of a language."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._installed: list[QTranslator] = []
        self.current = "en"

    def use(self, language: str) -> str:
        """Switch to a language.

        Args:
            language: Key of LANGUAGES, or empty for the system's.

        Returns:
            The key in use.
        """
        chosen = language or QLocale.system().name().split("_", maxsplit=1)[0]
        chosen = chosen if chosen in LANGUAGES else "en"
        for old in self._installed:
            QCoreApplication.removeTranslator(old)
        self._installed.clear()
        if chosen != "en":
            own = QTranslator(self)
            if own.load(f"qtbase_{chosen}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
                self._install(own)
            self._install(TsTranslator(FOLDER / f"{chosen}.ts", self))
        QLocale.setDefault(QLocale(chosen))  # numbers in fields have the language's decimal sign
        self.current = chosen
        return chosen

    def _install(self, translator: QTranslator) -> None:
        QCoreApplication.installTranslator(translator)
        self._installed.append(translator)
