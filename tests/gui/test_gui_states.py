"""What the window shows and allows in the states that nobody plans for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from app.gui import store
from app.gui.dialogs.crop import CropDialog
from app.gui.dialogs.log import LogDialog
from app.gui.dialogs.messages import NameDialog, QuestionDialog
from app.gui.load import Load, LoadMeter
from app.gui.session import Driver, Session
from app.gui.shortcuts import Actions
from app.gui.window import MainWindow
from app.media.writer import ClipWriter

Make = Callable[..., MainWindow]
NEEDS_PORTRAIT = ("render", "save_picture", "edit_crop", "record", "virtual_camera")


def test_commands_that_need_a_portrait_are_grey_without_one(make_window: Make, small_session: Session) -> None:
    window = make_window(small_session, start=False)
    assert all(window.actions_[name].isEnabled() for name in (*NEEDS_PORTRAIT, "next_portrait"))
    assert window.top.render_button.isEnabled()
    window.commands.remove_portrait(0)
    assert not window.actions_["next_portrait"].isEnabled()
    window.commands.remove_portrait(0)
    assert not any(window.actions_[name].isEnabled() for name in NEEDS_PORTRAIT)
    assert not window.top.render_button.isEnabled()
    assert "Add a photo" in window.top.render_button.toolTip()
    window.actions_["undo"].trigger()
    assert window.top.render_button.isEnabled()


def test_reset_reaches_what_the_panel_shows_and_nothing_else(make_window: Make, small_session: Session) -> None:
    session = small_session.with_live("mirror", False).with_live("picture_size", 640).with_value("engine", "mesh")
    window = make_window(session.with_value("region", "lip"), start=False)
    window.controls.reset_requested.emit("Live")
    assert window.studio.session.live == {"mirror": False}
    window.actions_["undo"].trigger()
    window.actions_["reset_all"].trigger()
    assert window.studio.session.live == {"mirror": False}
    assert window.studio.session.values == {"engine": "mesh"}


def test_names_get_an_ending_and_never_replace_unasked(tmp_path: Path) -> None:
    endings = (".mp4", ".png")
    assert store.with_ending(tmp_path / "a.MP4", endings, ".mp4") == (tmp_path / "a.MP4", True)
    assert store.with_ending(tmp_path / "talk v1.5", endings, ".mp4") == (tmp_path / "talk v1.5.mp4", False)
    (tmp_path / "talk.mp4").touch()
    assert store.with_ending(tmp_path / "talk", endings, ".mp4") == (tmp_path / "talk 2.mp4", False)


def test_outputs_that_run_are_known_to_the_window_in_another_language(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    window.studio.outputs.start_recording(tmp_path / "live.mp4")
    window.show_queue(True)
    window.controls.show_advanced(True)
    window.controls.sections["Crop"].button.setChecked(True)
    window.save_state()
    other = MainWindow(window.studio, window.theme, window.languages)
    try:
        other.show()
        shown = other.actions_["record"].isChecked(), other.commands.recording, bool(other.busy_text())
        queue = other.queue_panel.isVisible()
        folds = other.controls.advanced, other.controls.sections["Crop"].is_open
        other.actions_["record"].trigger()
        running = other.studio.outputs.recording
    finally:
        window.studio.outputs.stop_recording()
        other.replace_by()
    assert shown == (True, True, True)
    assert queue
    assert folds == (True, True)
    assert not running


def test_saving_under_a_taken_name_says_so(qtbot: QtBot, theme: object) -> None:
    dialog = NameDialog("Save preset", "Name", None, {"Mine"})
    qtbot.addWidget(dialog)
    dialog.show()
    assert not dialog.save.isEnabled()
    dialog.edit.setText("other")
    assert dialog.save.isEnabled()
    assert dialog.note.isHidden()
    dialog.edit.setText(" mine. ")
    assert dialog.note.isVisible()
    assert dialog.save.text() == "Replace"
    dialog.edit.setText("???")
    assert not dialog.save.isEnabled()


def test_presets_are_deleted_after_a_question(qtbot: QtBot, window: MainWindow) -> None:
    path = store.save_preset("Mine", {"region": "eyes"})
    window.commands.saved.list_saved()
    qtbot.waitUntil(lambda: [preset.name for preset in window.commands.saved.presets] == ["Mine"])
    window.commands.saved._delete("Mine", path, "gone")
    question = window.commands.prompts.dialogs[-1]
    assert isinstance(question, QuestionDialog)
    question.reject()
    assert path.exists()
    window.commands.saved._delete("Mine", path, "gone")
    question = window.commands.prompts.dialogs[-1]
    assert isinstance(question, QuestionDialog)
    question.action.click()
    qtbot.waitUntil(lambda: window.commands.saved.presets == [])
    assert not path.exists()


def test_files_that_are_gone_are_told_at_the_start(
    make_window: Make, small_session: Session, settings: QSettings, tmp_path: Path
) -> None:
    data = replace(small_session, driver=Driver("file", str(tmp_path / "gone.mp4"))).to_dict()
    data["portraits"][0]["path"] = str(tmp_path / "gone.jpg")
    settings.setValue("session", json.dumps(data))
    window = make_window(start=False)
    assert [Path(item.path).name for item in window.studio.session.portraits] == ["b.jpg"]
    assert window.toast.isVisible()
    assert "gone.jpg, gone.mp4" in window.toast.text


def test_settings_that_cannot_be_written_are_told_once(
    make_window: Make, small_session: Session, own_config: Path
) -> None:
    (own_config / "window.ini").mkdir(parents=True)  # also root can't write a file of this name
    window = make_window(small_session, start=False)
    said: list[str] = []
    window.studio.said.connect(lambda _, text: said.append(text))
    window.studio.save()
    window.studio.save()
    assert len(said) == 1
    assert "window.ini" in said[0]


def test_crop_dialog_of_a_file_that_is_gone(
    qtbot: QtBot, make_window: Make, small_session: Session, tmp_path: Path
) -> None:
    item = replace(small_session.portraits[0], path=str(tmp_path / "gone.jpg"))
    window = make_window(replace(small_session, portraits=(item,)), start=False)
    window.commands.edit_crop_of(0)
    dialog = window.commands.prompts.dialogs[0]
    assert isinstance(dialog, CropDialog)
    qtbot.waitUntil(lambda: "gone.jpg" in dialog.view.message)
    assert not any(widget.isEnabled() for widget in (dialog._ok, dialog.follow, dialog.faces, dialog.fields["x"]))
    dialog.reject()


def test_a_clip_that_is_not_there_leaves_no_picture_of_the_driver_before(
    qtbot: QtBot, window: MainWindow, clip_driver: Driver, settled: Callable[[MainWindow], None]
) -> None:
    thumb = window.side.driver.thumb
    window.studio.set_driver(clip_driver)
    qtbot.waitUntil(lambda: thumb._image is not None)
    window.studio.set_driver(Driver("file", "no such clip.mp4"))
    assert thumb._image is None
    qtbot.waitUntil(lambda: thumb._text == "No image")
    close = [b for b in window.last_error.findChildren(QPushButton) if b.text() == "Close"]
    assert window.last_error.focusWidget() is close[0]
    window.last_error.close()
    window.studio.set_slider("smile", 0.5)
    settled(window)
    assert thumb._image is None


def test_a_driver_without_a_face_is_told(qtbot: QtBot, window: MainWindow, tmp_path: Path, black_clip: Path) -> None:
    thumb = window.side.driver.thumb
    window.studio.set_driver(Driver("file", str(black_clip)))
    assert thumb._image is None
    qtbot.waitUntil(lambda: thumb._note == "No face detected")
    window.studio.set_driver(Driver())
    assert thumb._note == ""


@pytest.fixture
def black_clip(tmp_path: Path) -> Path:
    """A second of black."""
    from fractions import Fraction

    import numpy as np

    path = tmp_path / "black.mp4"
    writer = ClipWriter(path, (64, 64), Fraction(20), Fraction(1, 20))
    for index in range(20):
        writer.write(np.zeros((64, 64, 3), np.uint8), Fraction(index, 20))
    writer.finish()
    return path


def test_kept_keys_win_over_a_default_that_came_later(window: MainWindow, settings: QSettings) -> None:
    settings.setValue("keys/play", "Ctrl+O")
    settings.setValue("keys/loop", "Ctrl+O")  # written by hand
    again = Actions(window, settings)
    assert again.keys()["play"] == "Ctrl+O"
    assert again.keys()["add_portrait"] == ""
    assert again.keys()["loop"] == "L"
    settings.remove("keys")


def test_messages_do_not_hide_each_other(window: MainWindow) -> None:
    window.toast.say("one", "warning")
    window.toast.say("two")
    window.toast.say("one", "warning")
    assert window.toast.text == "two\none"
    for text in ("three", "four"):
        window.toast.say(text)
    assert window.toast.text == "one\nthree\nfour"
    window.toast.hide()
    window.toast.say("alone")
    assert window.toast.text == "alone"


def test_several_clips_at_once_are_not_lost(window: MainWindow, small_media: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.mp4"
    more.write_bytes((small_media / "clip.mp4").read_bytes())
    window.commands.take_files([str(small_media / "clip.mp4"), str(more)], "")
    assert window.studio.session.driver.source == str(small_media / "clip.mp4")
    assert str(more) in window.studio.recent("drivers")
    assert "clip.mp4" in window.toast.text


def test_a_problem_that_is_over_is_no_longer_shown(make_window: Make, small_session: Session) -> None:
    transport = make_window(small_session, start=False).transport
    transport.show_state("waiting", "The camera is gone.")
    assert "The camera is gone." in transport.state.toolTip()
    transport.show_state("running", "")
    assert transport.state.toolTip() == ""


def test_messages_name_what_can_be_done_and_can_be_read_again(
    make_window: Make, small_session: Session, tmp_path: Path
) -> None:
    """The end of a render, a note on the portrait, a finished recording, remarks of the pipeline."""
    window = make_window(small_session, start=False)
    toast, studio, asked = window.toast, window.studio, []
    job: Any = SimpleNamespace(id=7, output=str(tmp_path / "x.mp4"), state="failed", error="The disk is full.")
    window.commands.show_job_report = asked.append  # type: ignore[method-assign]
    studio.queue.finished.emit(job)
    assert toast.text == "x.mp4: The disk is full."
    toast.actions_shown["Why"].click()
    assert asked == [7]
    assert not toast.isVisible()
    window.teller.note_portrait("a.jpg shows 3 faces.", lambda: asked.append("face"))
    window.teller.note_portrait("a.jpg shows 3 faces.", lambda: None)  # told once
    toast.actions_shown["Choose face"].click()
    studio.outputs.file = tmp_path / "live.mp4"
    studio.said.emit("remark", "The animated crop is smaller.")
    assert not toast.isVisible()
    studio.said.emit("remark", f"Recorded {tmp_path / 'live.mp4'} (9 frames, 1.0 s).")
    assert "Show file" in toast.actions_shown
    window.commands.show_log()
    dialog = window.commands.prompts.dialogs[-1]
    assert isinstance(dialog, LogDialog)
    lines = dialog.text.toPlainText().splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "Error: x.mp4: The disk is full.", "a.jpg shows 3 faces.", "The animated crop is smaller.",
        f"Recorded {tmp_path / 'live.mp4'} (9 frames, 1.0 s).",
    ]  # fmt: skip
    assert asked == [7, "face"]


def test_the_load_of_the_computer_is_shown(make_window: Make, small_session: Session) -> None:
    window = make_window(small_session, start=False)
    meter = LoadMeter()
    load = meter.read()
    assert 0 <= load.cpu <= 1
    assert load.memory is None or 50e6 < load.memory < 64e9
    window.transport.show_load(Load(0.254, 412_000_000, (3_100_000_000, 24_000_000_000)))
    assert window.transport.load.text() == "CPU 25 %  ·  412 MB  ·  GPU 3.1 GB"


def test_a_clip_reader_that_is_broken_does_not_stay_at_starting(
    qtbot: QtBot, make_window: Make, clip_driver: Driver, small_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a version of PyAV that takes other arguments: the error comes in a thread, after the start."""

    def broken(path: Path) -> None:
        raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")

    monkeypatch.setattr("app.media.container.open_input", broken)
    window = make_window(replace(small_session, driver=clip_driver))
    qtbot.waitUntil(lambda: window.side.driver.thumb._text == "No image")


def test_an_engine_that_can_not_load_is_told_over_the_preview(
    qtbot: QtBot, make_window: Make, clip_driver: Driver, small_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")

    window = make_window(replace(small_session, driver=clip_driver), start=False)
    live = window.studio.live
    live.context.engine = None
    monkeypatch.setattr("app.live.engine.EngineLoader.load", broken)
    window.studio.live_changed.disconnect()
    window.studio.start()
    qtbot.waitUntil(lambda: live.error is not None and live.state == "idle")
    window.live_view.refresh()  # as for a window that was made while the engine failed
    assert "onnxruntime" in window.preview.problem
    assert "install" in window.preview.problem
    assert window.side.driver.thumb._text == "No image"
