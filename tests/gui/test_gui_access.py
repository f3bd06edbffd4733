"""For everybody: names, roles and hints of all controls; nothing is cut; everything fits on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QKeySequenceEdit,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from app.errors import UsageError
from app.gui.dialogs.base import FRAME, within
from app.gui.dialogs.crop import CropDialog
from app.gui.dialogs.engine import EngineDialog
from app.gui.dialogs.messages import show_error
from app.gui.dialogs.weights import WeightsDialog
from app.gui.localize import localized, menu_text, tooltip_text
from app.gui.session import Driver, PortraitItem, Session
from app.gui.widgets.preview import Preview
from app.gui.window import MainWindow
from app.live_options import live_options
from app.options import all_options, find_option
from liveportrait.engines import HOW_TO_GET
from models.messages import joined, msg

Make = Callable[..., MainWindow]
CONTROLS = (
    QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QAbstractItemView, QKeySequenceEdit,
    QPlainTextEdit,
)  # fmt: skip
DIALOGS = ("edit_crop", "engine", "models", "shortcuts", "help", "about", "messages", "save_preset", "save_expression")


def controls(root: QWidget) -> Iterator[QWidget]:
    """What can be operated in a window, without the inner parts of Qt's own widgets."""
    for widget in root.findChildren(QWidget):
        inner = widget.objectName().startswith("qt_") or isinstance(
            widget.parentWidget(), (QAbstractSpinBox, QKeySequenceEdit)
        )
        if (
            widget.window() is root
            and not inner
            and not isinstance(widget, (QScrollBar, QHeaderView))
            and widget.isVisible()
        ):
            takes_focus = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and not isinstance(widget, QScrollArea)
            if isinstance(widget, CONTROLS) or takes_focus:
                yield widget


def hint(widget: QWidget | None) -> str:
    """The tool tip that is shown over a widget."""
    while widget is not None and not widget.toolTip():
        widget = None if widget.isWindow() else widget.parentWidget()
    return "" if widget is None else widget.toolTip()


def faults(root: QWidget) -> list[str]:
    """Controls without a name, a role or a hint; buttons that say all in their text need none."""
    found = []
    for widget in controls(root):
        face = QAccessible.queryAccessibleInterface(widget)
        name = face.text(QAccessible.Text.Name)
        label = f"{type(widget).__name__} {name!r}"
        if not name:
            found.append(f"{label}: no name")
        if face.role() in (QAccessible.Role.NoRole, QAccessible.Role.Client) and not isinstance(
            widget, QKeySequenceEdit
        ):
            found.append(f"{label}: no role")
        in_words = isinstance(widget, QAbstractButton) and isinstance(root, QDialog) and widget.text()
        if not (hint(widget) or in_words or isinstance(widget, (QAbstractItemView, QPlainTextEdit, Preview))):
            found.append(f"{label}: no hint")
    return found


def shown_dialog(qtbot: QtBot, window: MainWindow, name: str) -> QDialog:
    """A dialog with its content."""
    window.actions_[name].trigger()
    dialog = window.commands.prompts.dialogs[-1]
    if isinstance(dialog, CropDialog):
        qtbot.waitUntil(lambda: dialog.view.box is not None)
    elif isinstance(dialog, EngineDialog):
        qtbot.waitUntil(lambda: bool(dialog.findings))
    elif isinstance(dialog, WeightsDialog):
        qtbot.waitUntil(lambda: bool(dialog.cards))
    assert isinstance(dialog, QDialog)
    return dialog


def test_all_controls_have_a_name_a_role_and_a_hint(qtbot: QtBot, window: MainWindow, clip_driver: Driver) -> None:
    panel = window.controls
    panel.show_advanced(True)
    for section in panel.sections.values():
        section.button.setChecked(True)
    for opening in panel.openings.values():
        opening.switch.click()
    qtbot.waitUntil(lambda: bool(window.commands.saved.expressions.buttons))
    window.studio.set_driver(clip_driver)
    qtbot.waitUntil(window.transport.slider.isVisible)
    window.show_queue(True)
    assert faults(window) == []
    window.studio.set_driver(Driver("camera"))
    assert faults(window) == []


@pytest.mark.parametrize("name", DIALOGS)
def test_controls_of_dialogs_have_a_name_a_role_and_a_hint(qtbot: QtBot, window: MainWindow, name: str) -> None:
    dialog = shown_dialog(qtbot, window, name)
    assert faults(dialog) == []
    room = window.screen().availableGeometry()
    assert room.contains(QRect(dialog.pos(), dialog.size()))
    dialog.reject()


def test_tab_goes_in_reading_order(qtbot: QtBot, window: MainWindow, clip_driver: Driver) -> None:
    window.studio.set_driver(clip_driver)
    qtbot.waitUntil(window.transport.slider.isVisible)
    qtbot.waitUntil(lambda: bool(window.commands.saved.expressions.buttons))
    parts = (window.top, window.side, window.preview, window.transport, window.controls)
    window.top.render_button.setFocus()
    start, walked, seen = window.focusWidget(), [], []
    while True:
        window.focusNextChild()
        widget = window.focusWidget()
        assert widget is not None
        walked.append(next(i for i, part in enumerate(parts) if part is widget or part.isAncestorOf(widget)))
        seen.append(widget)
        if widget is start:
            break
    assert [part for i, part in enumerate(walked) if i == 0 or part != walked[i - 1]] == [1, 2, 3, 4, 0]
    places = [w.mapTo(window.controls, w.rect().center()) for w in seen if window.controls.isAncestorOf(w)]
    assert all(b.y() >= a.y() - 12 for a, b in pairwise(places))
    assert window.commands.saved.preset_bar is next(w for w in seen if window.controls.isAncestorOf(w))


@pytest.mark.parametrize("language", ["en", "de"])
def test_nothing_is_cut_at_the_smallest_size(make_window: Make, small_session: Session, language: str) -> None:
    window = make_window(small_session, language=language, start=False)
    window.resize(1, 1)
    window.controls.show_advanced(True)
    for section in window.controls.sections.values():
        section.button.setChecked(True)
    window.transport.show_driver("file", False, True)
    area = window.controls.findChild(QScrollArea)
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
    edges = QRect(0, 0, window.width(), window.height())
    for bar in (window.top, window.transport):
        whole = bar.mapTo(window, bar.rect().topLeft())
        assert edges.contains(QRect(whole, bar.size()))
        boxes = [QRect(w.mapTo(bar, w.rect().topLeft()), w.size()) for w in controls(window) if bar.isAncestorOf(w)]
        assert all(bar.rect().contains(box) for box in boxes)
        assert not any(a.intersects(b) for i, a in enumerate(boxes) for b in boxes[:i])
    short = [
        button.text()
        for button in controls(window)
        if isinstance(button, QAbstractButton)
        and button.text()
        and button.objectName() in ("chip", "primary")
        and button.width() < button.minimumSizeHint().width()
    ]
    assert short == []


def test_windows_are_made_for_the_screen() -> None:
    small = QRect(0, 0, 1024, 600)
    assert within(QSize(1280, 800), small) == small.size() - FRAME
    assert within(QSize(360, 200), small) == QSize(360, 200)


def test_return_closes_a_message(qtbot: QtBot, window: MainWindow) -> None:
    dialog = show_error(window, UsageError("That is wrong <b>indeed</b>.", "Do it & that."))
    box = dialog.findChild(QDialogButtonBox)
    close = box.button(QDialogButtonBox.StandardButton.Close)
    assert dialog.focusWidget() is close
    assert faults(dialog) == []
    close.click()


def test_names_are_shown_as_they_are(window: MainWindow, tmp_path: Path, small_media: Path) -> None:
    odd = tmp_path / "R&B <b>.jpg"
    odd.write_bytes((small_media / "a.jpg").read_bytes())
    window.studio.set_driver(Driver("still", str(odd)))
    assert window.side.driver.file_button.text() == "R&&B <b>.jpg"
    assert "&lt;b&gt;" in window.side.driver.file_button.toolTip()
    assert menu_text("a & b") == "a && b"
    assert tooltip_text("short") == "short"
    assert max(map(len, tooltip_text("word " * 40).splitlines())) <= 64
    window.studio.apply(window.studio.session.with_slider("smile", 1.0), "use preset A&B")
    assert window.actions_["undo"].text() == "Undo: use preset A&&B"
    assert "use preset A&B (Ctrl+Z)" in window.actions_["undo"].toolTip()


def test_the_window_names_what_it_shows_instead_of_flags(make_window: Make, small_media: Path) -> None:
    assert find_option("fit").help.startswith("How the image fits into --size: contain shows all of it")
    assert localized(find_option("fit").help).startswith(
        'How the image fits into "Size": "Whole, with borders" shows all of it'
    )
    for info in [*all_options(), *live_options()]:
        assert "--" not in localized(info.help).replace("{source}--{driving}", ""), info.name
    advice = joined((
        msg("{name} shows {count} faces; the largest is animated ({option:face} chooses).", "a.jpg", 3),
        msg("Add {option:overwrite} to replace it."),
    ))  # fmt: skip
    assert localized(advice) == (
        'a.jpg shows 3 faces; the largest is animated ("Crop and face" chooses). Choose another name.'
    )
    window = make_window(Session((PortraitItem(str(small_media / "a.jpg")),)), language="de", start=False)
    assert "„Ausschnitt und Gesicht“ wählt" in localized(advice)
    absent = msg("its weights (model {name}) are not installed.", "liveportrait/human")
    weights = joined((absent, msg(HOW_TO_GET, "liveportrait/human")))
    assert "`" not in localized(weights)
    assert "Modellgewichte" in localized(weights)
    for editor in window.controls.editors.values():
        assert "--" not in editor.toolTip()
