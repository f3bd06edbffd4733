"""Presets that name drivers of parts: kept, used, imported; files of another computer are told and left out."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytestqt.qtbot import QtBot

from app.gui import store
from app.gui.window import MainWindow
from app.presets import Preset, read_settings, resolve


def test_drivers_of_parts_come_back_with_their_preset(qtbot: QtBot, window: MainWindow, small_media: Path) -> None:
    """Saved and exported from the window, used again, undone; the command line reads the same file."""
    commands, studio = window.commands, window.studio
    clip, photo = str(small_media / "clip.mp4"), str(small_media / "b.jpg")
    commands.set_part("lips_from", clip)
    commands.set_part("eyes_from", photo)
    with qtbot.waitSignal(studio.saved_changed):
        studio.store(lambda: store.save_preset("Talk", dict(studio.session.values)), "saved")
    qtbot.waitUntil(lambda: [preset.name for preset in commands.saved.presets] == ["Talk"])
    assert resolve({}, preset="Talk").options.input.lips_from == clip
    commands.saved.use_preset(Preset("", {}))
    assert studio.session.value("lips_from") == ""
    commands.saved.use_preset(commands.saved.presets[0])
    qtbot.waitUntil(lambda: studio.session.value("lips_from") == clip)
    assert studio.session.value("eyes_from") == photo
    assert window.controls.parts.rows["lips_from"].button.text() == "clip.mp4"
    window.actions_["undo"].trigger()
    assert studio.session.value("eyes_from") == ""


def test_files_of_another_computer_are_told_and_left_out(
    qtbot: QtBot, window: MainWindow, small_media: Path, tmp_path: Path
) -> None:
    commands, studio = window.commands, window.studio
    clip = str(small_media / "clip.mp4")
    values = {"region": "exp", "lips_from": "/home/mum/talk.mp4", "pose_from": clip}
    commands.saved.use_preset(Preset("Mum's", values, path=tmp_path / "mum.toml"))
    qtbot.waitUntil(lambda: studio.session.value("region") == "exp")
    assert studio.session.value("pose_from") == clip
    assert studio.session.value("lips_from") == ""
    said = window.toast.text
    assert "/home/mum/talk.mp4" in said
    assert "Mum's" in said
    assert "follow the driver" in said
    assert values["lips_from"]  # the preset itself is as it was
    with qtbot.waitSignal(studio.failed, check_params_cb=lambda error, _: "no preset named 'gone'" in str(error)):
        commands.saved.use_preset(Preset("heir", {}, parent="gone"))
    window.last_error.close()


def test_drivers_beside_an_imported_preset_are_found(own_config: Path, small_media: Path, tmp_path: Path) -> None:
    shutil.copyfile(small_media / "b.jpg", tmp_path / "b.jpg")
    away = tmp_path / "away.toml"
    away.write_text('schema_version = 1\nname = "Away"\n[options]\nlips_from = "b.jpg"\nsmooth = 3\n', encoding="utf-8")
    imported = read_settings(store.import_preset(away), preset=True)
    assert imported.name == "Away"
    assert dict(imported.values) == {"lips_from": str(tmp_path / "b.jpg"), "smooth": 3.0}
    assert resolve({}, preset=str(away)).options.input.lips_from == str(tmp_path / "b.jpg")
    values = {"lips_from": str(tmp_path / "b.jpg"), "eyes_from": "c.jpg", "pose_from": "c.jpg"}
    assert store.present_files(values) == ({"lips_from": str(tmp_path / "b.jpg")}, ["c.jpg"])
    assert store.present_files({"lips_from": ""}) == ({"lips_from": ""}, [])
