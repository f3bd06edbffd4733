"""Projects: relative names, versions, undo, what is missing; outputs of all portraits; the image alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.errors import UsageError
from app.gui.clip_part import DRIVER, part_of, whole, with_edge
from app.gui.keyframes import Keyframes
from app.gui.projects import read_project, write_project
from app.gui.session import Driver, PortraitItem, Session
from app.gui.whole_outputs import copy_picture, render_all
from app.gui.window import MainWindow
from app.sources.playback import Place
from liveportrait.expression import Expression

Make = Callable[..., MainWindow]


def full_session(folder: Path) -> Session:
    """Everything that a project holds, of files in a folder."""
    for name in ("a.jpg", "b.jpg", "clip.mp4", "back.png", "lips.mp4", "mum.mp4"):
        (folder / name).touch()
    portraits = (
        PortraitItem(str(folder / "a.jpg")),
        PortraitItem.of(str(folder / "b.jpg"), face="left", driver_for=f"left={folder / 'mum.mp4'}"),
    )
    session = Session(portraits, 1, Driver("file", str(folder / "clip.mp4")), sliders={"smile": 0.4}, lips=0.2)
    for name, value in (("lips_from", folder / "lips.mp4"), ("background", folder / "back.png"), ("multiplier", 1.5)):
        session = session.with_value(name, str(value) if isinstance(value, Path) else value)
    return replace(session, keyed=True, keys=Keyframes().with_key(1, Expression({"yaw": 5.0})))


def test_project_moves_with_its_folder(tmp_path: Path) -> None:
    """All names are relative; a copy elsewhere opens the files beside it, and missing ones are told."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    session = full_session(here)
    path = write_project(here / "film.portraits", session)
    assert str(here) not in path.read_text(encoding="utf-8")
    assert read_project(path).session == session
    shutil.copytree(here, there)
    (there / "a.jpg").unlink()
    moved = read_project(there / "film.portraits")
    assert [Path(name).name for name in moved.missing] == ["a.jpg"]
    assert moved.session.driver.source == str(there / "clip.mp4")
    assert moved.session.value("background") == str(there / "back.png")
    assert moved.session.portraits[0].subject.drivers[0].path == there / "mum.mp4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"kind": "portrait-animate project", "session": 1}',
        '{"kind": "portrait-animate project", "version": 99, "session": {}}',
        '{"kind": "portrait-animate project", "version": 1, "session": {"schema_version": 1}}',
    ],
)
def test_files_that_are_no_projects_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.portraits"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        read_project(path)


def test_projects_are_saved_opened_and_undone(
    qtbot: QtBot, make_window: Make, small_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window(small_session, start=False)
    studio, projects, path = window.studio, window.commands.projects, tmp_path / "film.portraits"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path.with_suffix("")), ""))
    window.actions_["save_project"].trigger()
    qtbot.waitUntil(lambda: projects.path == path)
    assert window.windowTitle() == "film – Portrait Animate"
    studio.set_slider("smile", 0.5)
    assert window.windowTitle() == "film* – Portrait Animate"
    window.actions_["save_project"].trigger()
    qtbot.waitUntil(lambda: not projects.changed)
    assert json.loads(path.read_text(encoding="utf-8"))["session"]["sliders"] == {"smile": 0.5}
    window.actions_["new_project"].trigger()
    assert (studio.session.portraits, window.windowTitle()) == ((), "Portrait Animate")
    window.commands.take_files([str(path)], "")
    qtbot.waitUntil(lambda: projects.path == path)
    assert studio.session.sliders == {"smile": 0.5}
    assert studio.recent("projects") == [str(path)]
    window.actions_["undo"].trigger()
    window.actions_["undo"].trigger()
    assert studio.session.portraits == small_session.portraits  # nothing that was open is lost


def test_all_portraits_are_rendered_and_the_image_is_copied(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    added: list[Path] = []
    monkeypatch.setattr(window.studio.queue, "add", lambda entry: added.append(Path(entry.output)))
    (tmp_path / "b-posed.png").touch()
    render_all(window)
    assert added == [tmp_path / "a-posed.png", tmp_path / "b-posed 2.png"]
    copy_picture(window)
    shown = window.studio.visible
    assert shown is not None
    assert QGuiApplication.clipboard().image().width() == shown.frame.picture.shape[1]


def test_the_image_is_alone_on_the_screen(make_window: Make, small_session: Session) -> None:
    window = make_window(small_session, start=False)
    window.actions_["clean_view"].trigger()
    assert window.isFullScreen()
    parts = window.top, window.side, window.controls, window.transport
    assert not any(part.isVisible() for part in parts)
    window.show_alone(False)
    assert all(part.isVisible() for part in parts)


def test_a_part_of_the_clip_is_cut_on_the_time_line(
    qtbot: QtBot, make_window: Make, small_session: Session, clip_driver: Driver
) -> None:
    """In and out points count from the beginning of the clip, hold the frame on screen, and can be taken back."""
    at = Place(Fraction(2, 3), Fraction(4), Fraction(30))
    session = with_edge(small_session, DRIVER, "start", at)
    assert session.value("start") == "0.666666"
    session = with_edge(session, DRIVER, "end", at)
    assert part_of(session, DRIVER).end == pytest.approx(2 / 3 + 2 / 3 + 1 / 30, abs=1e-5)
    later = with_edge(session, DRIVER, "start", Place(Fraction(3), Fraction(4), Fraction(30)))
    assert part_of(later, DRIVER).end is None  # it was before the new beginning
    assert whole(session, DRIVER).values == {}
    window = make_window(replace(small_session, driver=clip_driver))
    studio, transport = window.studio, window.transport
    qtbot.waitUntil(lambda: studio.playback.seekable)
    length = studio.playback.place.duration
    window.commands.toggle_play()
    studio.seek(1.0)
    qtbot.waitUntil(lambda: studio.playback.place.time >= 0.9)
    window.actions_["in_point"].trigger()
    qtbot.waitUntil(lambda: 0 < studio.playback.place.duration < length - Fraction(1, 2))
    assert transport.part.isVisible()
    assert transport.part.text().startswith("0:00.9") or transport.part.text().startswith("0:01.0")
    transport.part.click()
    qtbot.waitUntil(lambda: studio.playback.place.duration == length)
    assert not transport.part.isVisible()
