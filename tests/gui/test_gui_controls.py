"""Controls as people use them: clicks and keys on the widgets themselves, and what they tell."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.gui.dialogs.shortcuts import ShortcutsDialog
from app.gui.session import Session, panel_options
from app.gui.widgets import background_choice
from app.gui.widgets.background_choice import BackgroundChoice
from app.gui.widgets.basic import Switch, ValueSlider
from app.gui.widgets.controls import ControlPanel, OptionEditor
from app.gui.window import MainWindow

Key = Qt.Key
WORDS = {
    "fill": "#102030", "reference": "first", "mask": "matte", "detector": "insightface", "size": "100x80",
    "camera_size": "320x240", "vcam_size": "640x480",
}  # fmt: skip


@pytest.fixture
def panel(qtbot: QtBot) -> ControlPanel:
    """The panel with everything unfolded."""
    made = ControlPanel()
    qtbot.addWidget(made)
    made.resize(320, 900)
    made.show_session(Session())
    made.show_advanced(True)
    for section in made.sections.values():
        section.button.setChecked(True)
    made.show()
    return made


def operate(editor: OptionEditor) -> None:
    """Change an option as a person would."""
    control = editor.main
    if isinstance(control, Switch):
        QTest.mouseClick(control, Qt.MouseButton.LeftButton)
    elif isinstance(control, ValueSlider):
        key = Key.Key_Left if control.value() == control.maximum() else Key.Key_Right
        QTest.keyClick(control, key)
    elif isinstance(control, QComboBox):
        last = control.currentIndex() == control.count() - 1
        QTest.keyClick(control, Key.Key_Up if last else Key.Key_Down)
    else:
        assert isinstance(control, QLineEdit)
        control.setFocus()
        control.selectAll()
        QTest.keyClicks(control, WORDS.get(editor.info.name, "1"))
        QTest.keyClick(control, Key.Key_Return)


def test_every_option_is_changed_by_its_own_control(panel: ControlPanel) -> None:
    told: list[tuple[str, object]] = []
    panel.option_changed.connect(lambda name, value: told.append((name, value)))
    panel.live_changed.connect(lambda name, value: told.append((name, value)))
    for name, editor in {**panel.editors, **panel.live_editors}.items():
        before = len(told)
        editor.setEnabled(True)  # some have no effect with the others as they are
        operate(editor)
        assert len(told) > before, name
        assert told[-1][0] == name
        assert type(told[-1][1]) is editor.info.kind or editor.info.choices, name
        assert told[-1][1] != editor.info.default, name


def test_fixed_openings_are_changed_by_their_own_controls(panel: ControlPanel) -> None:
    told: list[tuple[str, object]] = []
    panel.opening_changed.connect(lambda name, value: told.append((name, value)))
    for name, opening in panel.openings.items():
        QTest.mouseClick(opening.switch, Qt.MouseButton.LeftButton)
        assert told[-1][0] == name
        assert isinstance(told[-1][1], float)
        opening.show_value(told[-1][1])
        QTest.keyClick(opening.row.slider, Key.Key_Right)
        assert told[-1] == (name, pytest.approx(opening.row.slider.number))
        QTest.mouseClick(opening.switch, Qt.MouseButton.LeftButton)
        assert told[-1] == (name, None)


# ---- keys of the window and keys of the control that has the focus


def press(widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key on a widget that has the focus."""
    widget.setFocus()
    QTest.keyClick(widget, key, modifier)


def test_space_presses_the_control_with_the_focus_and_plays_elsewhere(qtbot: QtBot, window: MainWindow) -> None:
    panel, studio = window.controls, window.studio
    panel.sections["Motion"].button.setChecked(True)
    press(panel.editors["relative"].main, Key.Key_Space)
    assert studio.session.value("relative") is False
    section: QAbstractButton = panel.sections["Crop"].button
    before = section.isChecked()
    press(section, Key.Key_Space)
    assert section.isChecked() is not before
    qtbot.waitUntil(lambda: len(window.commands.saved.expressions.buttons) > 3)
    press(window.commands.saved.expressions.buttons[1], Key.Key_Space)
    assert studio.session.sliders
    assert not studio.paused
    press(window.preview, Key.Key_Space)
    assert studio.paused


def test_sliders_and_lists_keep_their_keys(window: MainWindow) -> None:
    slider = window.controls.sliders["smile"].slider
    slider.setValue(slider.maximum())
    press(slider, Key.Key_Home)
    assert slider.value() == slider.minimum()
    combo = window.controls.editors["region"].main
    loop = window.studio.loop
    press(combo, Key.Key_L)
    assert window.studio.loop is loop
    assert isinstance(combo, QComboBox)
    assert combo.currentData() == "lip"
    press(window.preview, Key.Key_L)
    assert window.studio.loop is not loop


def test_undo_reaches_the_session_from_a_field_unless_something_is_typed(window: MainWindow) -> None:
    control = Qt.KeyboardModifier.ControlModifier
    row = window.controls.sliders["smile"]
    row.value.setFocus()
    row.value.selectAll()
    QTest.keyClicks(row.value, "0.5")
    QTest.keyClick(row.value, Key.Key_Return)
    assert window.studio.session.sliders == {"smile": 0.5}
    press(row.value, Key.Key_Z, control)
    assert window.studio.session.sliders == {}
    press(row.value, Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert window.studio.session.sliders == {"smile": 0.5}
    row.value.selectAll()
    QTest.keyClicks(row.value, "1")
    press(row.value, Key.Key_Z, control)
    assert window.studio.session.sliders == {"smile": 0.5}


def test_escape_takes_back_what_was_typed_then_gives_the_focus_to_the_preview(window: MainWindow) -> None:
    row = window.controls.sliders["smile"]
    row.value.setFocus()
    row.value.selectAll()
    QTest.keyClicks(row.value, "0.9")
    QTest.keyClick(row.value, Key.Key_Escape)
    assert row.value.value() == 0.0
    assert row.value.lineEdit().text() == "0.00"
    edit = window.controls.editors["reference"].main
    assert isinstance(edit, QLineEdit)
    edit.setFocus()
    edit.selectAll()
    QTest.keyClicks(edit, "nonsense")
    QTest.keyClick(edit, Key.Key_Return)
    assert edit.property("wrong")
    QTest.keyClick(edit, Key.Key_Escape)
    assert edit.text() == "auto"
    assert not edit.property("wrong")
    QTest.keyClick(edit, Key.Key_Escape)
    assert window.preview.hasFocus()
    assert window.studio.session == Session(window.studio.session.portraits)


def test_escape_leaves_the_full_screen(window: MainWindow) -> None:
    window.actions_["full_screen"].trigger()
    assert window.isFullScreen()
    press(window.preview, Key.Key_Escape)
    assert not window.isFullScreen()
    assert not window.actions_["full_screen"].isChecked()


def test_escape_and_backspace_in_the_sheet_of_keys(window: MainWindow) -> None:
    window.actions_["shortcuts"].trigger()
    sheet = window.commands.prompts.dialogs[-1]
    assert isinstance(sheet, ShortcutsDialog)
    edit = sheet.edits["paste"]
    press(edit, Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    assert sheet.keys()["paste"] == "Ctrl+O"
    assert not sheet._ok.isEnabled()
    QTest.keyClick(edit, Key.Key_Escape)
    assert sheet.keys()["paste"] == "Ctrl+V"
    assert sheet._ok.isEnabled()
    QTest.keyClick(edit, Key.Key_Backspace)
    assert sheet.keys()["paste"] == ""
    QTest.keyClick(edit, Key.Key_Escape)
    assert sheet.isVisible()
    QTest.keyClick(edit, Key.Key_Escape)
    assert not sheet.isVisible()


def test_a_double_click_on_a_slider_at_rest_leaves_no_step_behind(window: MainWindow) -> None:
    slider = window.controls.sliders["smile"].slider
    place = QPoint(slider.width() - 12, slider.height() // 2)
    QTest.mouseClick(slider, Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseDClick(slider, Qt.MouseButton.LeftButton, pos=place)
    assert window.studio.session.sliders == {}
    assert window.studio.history.undo_text == ""
    assert not window.actions_["undo"].isEnabled()


def test_every_option_of_the_panel_has_a_control(qtbot: QtBot) -> None:
    panel = ControlPanel()
    qtbot.addWidget(panel)
    assert set(panel.editors) == set(panel_options())


def test_background_is_a_word_a_colour_or_a_picture(panel: ControlPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    editor, told = panel.editors["background"], list[object]()
    editor.changed.connect(told.append)
    combo = editor.main
    assert isinstance(combo, BackgroundChoice)
    colours = iter([QColor("#102030"), QColor()])
    monkeypatch.setattr(background_choice.QColorDialog, "getColor", lambda *_: next(colours))
    monkeypatch.setattr(background_choice.QFileDialog, "getOpenFileName", lambda *_: ("/pictures/sky.png", ""))
    for row in (1, 3, 3, 4):  # out of focus; a colour; no colour after all; a picture
        combo.setCurrentIndex(row)
        combo.activated.emit(row)
        editor.show_value(told[-1])
    assert told == ["blur", "#102030", "/pictures/sky.png"]
    assert combo.currentText() == "sky.png"
    editor.show_value("keep")
    assert combo.currentIndex() == 0
    assert combo.itemText(4) == "Image…"
