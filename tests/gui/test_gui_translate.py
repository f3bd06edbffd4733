"""Translations: complete, with the same fields, and in use."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget

from app.gui.session import Session
from app.gui.translate import FOLDER, LANGUAGES, Languages, read_catalogue, tr
from app.gui.window import MainWindow

ROOT = Path(__file__).resolve().parents[2]
SAME = {
    "{time} ms", "Clips", "Name", "Codec", "Live", "Engine", "Threads", "Neutral", "Pause", "live", *"AEIOU", "Zoom",
    "Rate",
}  # fmt: skip


def test_catalogues_are_complete_and_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/translations.py", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("language", [key for key in LANGUAGES if key != "en"])
def test_every_text_is_translated_with_its_fields(language: str) -> None:
    texts = read_catalogue(FOLDER / f"{language}.ts")
    assert len(texts) > 300
    for source, target in texts.items():
        assert sorted(re.findall(r"\{\w+\}", source)) == sorted(re.findall(r"\{\w+\}", target)), source
        assert source.endswith("…") == target.endswith("…"), source
        assert source.endswith(".") == target.endswith("."), source
        assert target != source or source in SAME, source


def test_languages_are_switched(qapp: QApplication) -> None:
    languages = Languages(qapp)
    assert languages.use("de") == "de"
    assert tr("Undo") == "Rückgängig"
    assert tr("{name} is ready.", name="x") == "x ist fertig."
    assert tr("not in the catalogue") == "not in the catalogue"
    assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Abbrechen"
    assert QCoreApplication.translate("elsewhere", "Undo") == "Undo"
    assert languages.use("en") == "en"
    assert tr("Undo") == "Undo"
    assert languages.use("xx") == "en"


def test_window_is_german_throughout(make_window: Callable[..., MainWindow]) -> None:
    english = set(read_catalogue(FOLDER / "de.ts")) - SAME
    window = make_window(Session(), language="de", start=False)
    shown: set[str] = set()
    for widget in window.findChildren(QWidget):
        shown |= {widget.toolTip().split("\n")[0], widget.accessibleName(), widget.accessibleDescription()}
        if isinstance(widget, (QLabel, QAbstractButton)):
            shown.add(widget.text())
    german = set(read_catalogue(FOLDER / "de.ts").values())
    assert not {text for text in shown & english if text not in german}
    assert "Porträts" in shown
