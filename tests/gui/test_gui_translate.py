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
from pytestqt.qtbot import QtBot

from app.errors import UsageError
from app.gui.dialogs.engine import EngineDialog
from app.gui.dialogs.messages import show_error
from app.gui.session import PortraitItem, Session
from app.gui.translate import FOLDER, LANGUAGES, Languages, read_catalogue, tr
from app.gui.window import MainWindow
from app.gui.wording import say, translated

ROOT = Path(__file__).resolve().parents[2]
SAME = {
    "{time} ms", "Clips", "Name", "Codec", "Live", "Engine", "Threads", "Neutral", "Pause", "live", *"AEIOU", "Zoom",
    "Rate", "Engines", "ONNX Runtime",
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


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("/a b.mp4 can't be read: it is 0 s long.", "/a b.mp4 kann nicht gelesen werden: it is 0 s long."),
        ("The camera Front gives no more pictures. Is it still plugged in? It is tried again.",
         "Die Kamera Front liefert keine Bilder mehr. Ist sie noch angeschlossen? Es wird wieder versucht."),
        ("Front has given no picture for 3 s. The last one stays.",
         "Front hat seit 3 s kein Bild geliefert. Das letzte bleibt stehen."),
        ("room.jpg: no face was found in the picture.", "room.jpg: im Bild wurde kein Gesicht gefunden."),
        ("The animated square was lowered from 512 to 384 px to hold 30 frames/s.",
         "Das bewegte Quadrat wurde von 512 auf 384 px verkleinert, um 30 Bilder/s zu halten."),
        ("self-test passed; crop 512 px", "Selbsttest bestanden; crop 512 px"),
        ("An unknown sentence. The camera is back.", "An unknown sentence. Die Kamera ist wieder da."),
        ("Not torch, onnx: the package torch is not installed. Not tensorrt: it needs an NVIDIA graphics card, and no "
         "NVIDIA driver is installed.",
         "Nicht torch, onnx: das Paket torch ist nicht installiert. Nicht tensorrt: sie braucht eine NVIDIA-"
         "Grafikkarte, und kein NVIDIA-Treiber ist installiert."),
        ("Driver of a face gone.mp4: /x/gone.mp4 does not exist.",
         "Antrieb eines Gesichts gone.mp4: /x/gone.mp4 gibt es nicht."),
        ("--face: photo.jpg: Face 3 does not exist; the picture has 2 faces, counted from 1 in order of size.",
         "--face: photo.jpg: Gesicht 3 gibt es nicht; das Bild hat 2 Gesichter, gezählt ab 1 nach der Größe."),
        ("/a.mp4: no face was found for 3 of 40 frames; the motion was held and eased to neutral there.",
         "/a.mp4: in 3 von 40 Bildern wurde kein Gesicht gefunden; die Bewegung wurde dort gehalten und zur Ruhe "
         "geführt."),
        ("Recorded /tmp/a.mp4 (31 frames, 1.2 s).", "Aufgenommen: /tmp/a.mp4 (31 Bilder, 1.2 s)."),
        ("", ""),
    ],
)  # fmt: skip
def test_sentences_from_below_are_said_in_german(english: str, german: str) -> None:
    assert translated(english, "de") == german


def test_sentences_from_below_stay_as_they_are_in_english(qapp: QApplication) -> None:
    languages = Languages(qapp)
    languages.use("en")
    assert say("The camera is back.") == "The camera is back."
    languages.use("de")
    try:
        assert say("The camera is back.") == "Die Kamera ist wieder da."
    finally:
        languages.use("en")


def test_every_sentence_below_the_window_is_in_the_catalogue() -> None:
    """Those that the tool gathers; each finds its own pattern again, whatever stands in its places."""
    sys.path.insert(0, str(ROOT / "tools"))
    from translations import lower_texts

    texts = read_catalogue(FOLDER / "de.ts")
    gathered = list(dict.fromkeys(lower_texts()))
    assert len(gathered) > 120
    for source in gathered:
        spoken = re.sub(r"\{\d+\}", "17", source)
        assert translated(spoken, "de") == re.sub(r"\{\d+\}", "17", texts[source]), source


def test_doctor_and_errors_are_german_in_the_window(
    qtbot: QtBot, make_window: Callable[..., MainWindow], small_media: Path
) -> None:
    window = make_window(Session((PortraitItem(str(small_media / "room.jpg")),)), language="de")
    qtbot.waitUntil(lambda: "kein Gesicht" in window.preview.problem)
    window.commands.choose_engine()
    dialog = window.commands.dialogs[-1]
    assert isinstance(dialog, EngineDialog)
    qtbot.waitUntil(lambda: bool(dialog.findings))
    items = (dialog.table.item(row, column) for row in range(dialog.table.rowCount()) for column in range(3))
    shown = {item.text() for item in items if item is not None}
    assert {"Pakete", "Ordner", "Zusatzpakete"} & shown
    assert not {"not installed", "not needed", "Folders", "Packages", "Encoders"} & shown
    assert any(text.startswith("Selbsttest bestanden") for text in shown)
    dialog.reject()
    error = show_error(window, UsageError("The camera Front is not connected.", "Plug it in again."))
    assert "Die Kamera Front ist nicht angeschlossen." in {label.text() for label in error.findChildren(QLabel)}
    assert error.report.startswith("The camera Front is not connected. Plug it in again.")
    error.close()
