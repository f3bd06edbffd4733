"""Translations: complete, with the same fields, and in use."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter

import pytest
from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.errors import NoFaceError, UsageError
from app.gui.dialogs.engine import EngineDialog
from app.gui.dialogs.messages import show_error
from app.gui.localize import IN_WINDOW, TITLES, localized
from app.gui.session import PortraitItem, Session
from app.gui.translate import FOLDER, LANGUAGES, Languages, read_catalogue, tr
from app.gui.window import MainWindow
from app.live_options import live_options
from app.options import all_options
from models.messages import Flags, Message, Option, about, fields, joined, msg, revived, stored_message

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import translations as gathered  # noqa: E402

SAME = {
    "{time} ms", "CPU {percent} %", "{size} MB", "GPU {size} GB", "Version {version}",
    "Clips", "Name", "Codec", "Live", "Engine", "Threads", "Neutral", "Pause", "live", *"AEIOU", "Zoom",
    "Rate", "Engines", "ONNX Runtime", "Port", "Tracker", "Streams",
}  # fmt: skip


def test_catalogues_are_complete_and_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/translations.py", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def fields_of(text: str) -> list[tuple[str, str, str]]:
    """Fields of a template with their formats, however they are ordered."""
    return sorted((name, spec or "", how or "") for _, name, spec, how in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("language", [key for key in LANGUAGES if key != "en"])
def test_every_text_is_translated_with_its_fields(language: str) -> None:
    texts = read_catalogue(FOLDER / f"{language}.ts")
    assert len(texts) > 300
    for source, target in texts.items():
        assert fields_of(source) == fields_of(target), source
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


CAMERA = msg("Camera {name} stopped delivering frames.", "Front")
LOST = msg("{name}: no face was found {where}.", "room.jpg", msg("in the image"))


@pytest.fixture
def german(qapp: QApplication) -> Iterator[None]:
    """German, for one test."""
    languages = Languages(qapp)
    languages.use("de")
    yield
    languages.use("en")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (joined((CAMERA, msg("Check that it is still plugged in."))),
         "Die Kamera Front liefert keine Bilder mehr. Prüfen, ob sie noch angeschlossen ist."),
        (msg("{error} Trying again.", CAMERA),
         "Die Kamera Front liefert keine Bilder mehr. Es wird wieder versucht."),
        (str(NoFaceError(LOST)), "room.jpg: im Bild wurde kein Gesicht gefunden."),
        (msg("{path} can't be read: {what}.", "/a {b}.mp4", "it is 0 s long"),
         "/a {b}.mp4 kann nicht gelesen werden: it is 0 s long."),
        (msg("self-test passed; {facts}", "crop 512 px"), "Selbsttest bestanden; crop 512 px"),
        ("The camera is back.", "Die Kamera ist wieder da."),
        ("An unknown sentence.", "An unknown sentence."),
        (about(Option("face"), about("photo.jpg", msg("There is no face to choose from."))),
         '„Ausschnitt und Gesicht“: photo.jpg: Es gibt kein Gesicht zur Wahl.'),
        (msg("The fill colour has no effect on the bare crop ({option:paste_back=off})."),
         'Die Füllfarbe hat beim bloßen Ausschnitt („Zurück ins Bild“ aus) keine Wirkung.'),
        (msg("{option:output}: there is no field {{{name}}}; known are {names}.", "foo", "{source}, {date}"),
         '„Ausgabedatei“: es gibt kein Feld {foo}; bekannt sind {source}, {date}.'),
        (msg("Write {{{{{name}}}}} for the text itself.", "foo"), "Für den Text selbst {{foo}} schreiben."),
        (str(UsageError(msg("{path} already exists.", "a.mp4"), msg("Add {option:overwrite} to replace it."))),
         "a.mp4 gibt es schon. Einen anderen Namen wählen."),
        (str(UsageError(msg("{path} already exists.", "x" * 500))), "x" * 100 + "..." + "x" * 50 + " gibt es schon."),
        ("", ""),
    ],
)  # fmt: skip
def test_sentences_from_below_are_said_in_german(german: None, message: str, words: str) -> None:
    assert localized(message) == words
    assert localized(revived(json.loads(json.dumps(stored_message(message))))) == words


def test_sentences_are_those_of_the_command_line_in_english(qapp: QApplication) -> None:
    assert localized("The camera is back.") == "The camera is back."
    message = msg("{option:crop} and {option:points} both set the crop.")
    assert message == "--crop and --points both set the crop."
    assert localized(message) == '"Crop and face" and "Crop and face" both set the crop.'
    assert str(ValueError(message)) is message


def test_every_template_is_filled_in_german(german: None) -> None:
    """Each finds its translation, whatever stands in its fields, braces among it."""
    texts = read_catalogue(FOLDER / "de.ts")
    templates = [text for text in gathered.all_texts() if fields(text) or "{{" in text]
    assert len(templates) > 300
    for template in templates:
        plain = dict.fromkeys(fields(template), 17)
        wanted = texts[IN_WINDOW.get(template, template)].format(**TITLES, **plain)
        assert localized(Message(template, plain)) == wanted, template
        assert "{17" not in wanted or "{{" in template, template


def test_the_window_words_what_is_really_said() -> None:
    known = {info.name for info in [*all_options(), *live_options()]}
    texts = set(gathered.all_texts())
    assert set(IN_WINDOW) <= texts
    for text in texts:
        named = [spec for _, name, spec, _ in Formatter().parse(text) if name == "option" and spec]
        assert {spec.partition("=")[0] for spec in named} <= known, text
    assert all(f"{Flags():{info.name}}" in info.flags for info in all_options() if info.name != "json_lines")


def test_no_error_of_what_the_window_runs_is_made_of_a_finished_text() -> None:
    """An f-string has forgotten its values: errors, warnings and notes take msg(), or a text without any."""
    code = (
        "import pkgutil, importlib, sys, app.gui; [importlib.import_module(m.name) for m in "
        "pkgutil.walk_packages(app.gui.__path__, 'app.gui.')]; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n[:4] == 'app.' and n[:7] != 'app.cli'))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    files = [Path(name) for name in run.stdout.split()]
    assert len(files) > 100
    assert [found for path in files for found in finished_texts(path.read_text(encoding="utf-8"))] == []
    assert finished_texts("raise UsageError(f'{path} is gone.')") == ["f'{path} is gone.'"]
    assert finished_texts("self.notes.append(f'{x}' if y else z)") == ["f'{x}'"]


def finished_texts(source: str) -> list[str]:
    """The f-strings that errors, warnings and notes are made of."""
    found = []
    for node in ast.walk(ast.parse(source)):
        called = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        notes = called == "append" and ast.unparse(node.func.value).endswith("notes")
        if called.endswith("Error") or called in ("warn", "info", "note", "joined", "about") or notes:
            given = [*node.args, *(word.value for word in node.keywords)]
            parts = [part for one in given for part in gathered.alternatives(one)]
            found += [ast.unparse(part) for part in parts if isinstance(part, ast.JoinedStr)]
    return found


def test_doctor_and_errors_are_german_in_the_window(
    qtbot: QtBot, make_window: Callable[..., MainWindow], small_media: Path
) -> None:
    window = make_window(Session((PortraitItem(str(small_media / "room.jpg")),)), language="de")
    qtbot.waitUntil(lambda: "kein Gesicht" in window.preview.problem)
    window.commands.choose_engine()
    dialog = window.commands.prompts.dialogs[-1]
    assert isinstance(dialog, EngineDialog)
    qtbot.waitUntil(lambda: bool(dialog.findings))
    items = (dialog.table.item(row, column) for row in range(dialog.table.rowCount()) for column in range(3))
    shown = {item.text() for item in items if item is not None}
    assert {"Pakete", "Ordner", "Zusatzpakete"} & shown
    assert not {"not installed", "not needed", "Folders", "Packages", "Encoders"} & shown
    assert any(text.startswith("Selbsttest bestanden") for text in shown)
    dialog.reject()
    error = show_error(window, UsageError(msg("The camera {name} is not connected.", "Front"), "Plug it in again."))
    assert "Die Kamera Front ist nicht angeschlossen." in {label.text() for label in error.findChildren(QLabel)}
    assert error.report.startswith("The camera Front is not connected. Plug it in again.")
    error.close()
