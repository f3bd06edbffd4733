"""Nothing surprising: the image belongs to the selection, the state is true, nothing moves, bad files are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent
from pytestqt.qtbot import QtBot

from app.gui.dialogs.folder import FolderDialog
from app.gui.live_view import doing
from app.gui.session import Driver, PortraitItem, Session
from app.gui.widgets.driver import DriverPanel
from app.gui.window import MainWindow

Make = Callable[..., MainWindow]


def test_another_portrait_is_never_shown_under_a_new_selection(
    qtbot: QtBot, window: MainWindow, small_media: Path
) -> None:
    """A busy sign at once; a frame of the portrait before, which is still on its way, is left out."""
    studio, preview = window.studio, window.preview
    frame = studio.shown
    assert frame is not None
    studio.add_portraits([str(small_media / "room.jpg")])
    assert preview.picture is None
    assert "room.jpg" in preview.message
    studio.shown = frame
    window.live_view.show_frame()
    assert preview.picture is None
    assert studio.visible is None
    assert doing(studio) == "starting"
    qtbot.waitUntil(lambda: "no face was found" in preview.problem)
    assert doing(studio) == "resting"
    window.actions_["undo"].trigger()
    qtbot.waitUntil(lambda: preview.picture is not None and preview.problem == "")


def test_the_state_is_what_is_going_on(qtbot: QtBot, window: MainWindow, clip_driver: Driver) -> None:
    studio, pill = window.studio, window.transport.state
    qtbot.waitUntil(lambda: pill.text() == "idle")
    studio.set_driver(clip_driver)
    assert pill.text() == "starting"
    assert window.transport.line.isVisible()  # it does not come and go while a clip is opened
    qtbot.waitUntil(lambda: pill.text() == "playing")
    window.commands.toggle_play()
    qtbot.waitUntil(lambda: pill.text() == "paused")


def test_a_missing_camera_is_a_state_and_no_dialog(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box says what to do; the camera drives as soon as it is found."""
    studio, told = window.studio, []
    studio.failed.connect(lambda error, _: told.append(error))
    names: list[str] = []
    monkeypatch.setattr("app.gui.commands.list_cameras", lambda: [type("Device", (), {"name": n}) for n in names])
    studio.set_driver(Driver("camera"))
    qtbot.waitUntil(lambda: window.transport.state.text() == "no camera")
    assert "Connect a camera and look again" in window.side.driver.thumb._text
    assert told == []
    driven: list[Driver] = []
    monkeypatch.setattr(studio, "set_driver", driven.append)
    names.append("Webcam")
    window.commands.list_cameras()
    qtbot.waitUntil(lambda: driven == [Driver("camera")])


def test_the_drivers_buttons_stay_where_they_are(qtbot: QtBot) -> None:
    panel = DriverPanel()
    qtbot.addWidget(panel)
    heights = set()
    for driver in (
        Driver(), Driver("file", "x.mp4"), Driver("camera"), Driver("template", "x.speech"), Driver("still", "a.jpg"),
        Driver("tracking", "osc://127.0.0.1:39539"),
    ):  # fmt: skip
        panel.show_driver(driver)
        heights.add(panel.minimumSizeHint().height())
    assert len(heights) == 1


def test_what_is_no_image_is_refused_and_not_kept(
    qtbot: QtBot, make_window: Make, small_session: Session, tmp_path: Path, small_media: Path
) -> None:
    window = make_window(small_session, start=False)
    studio, commands = window.studio, window.commands
    (tmp_path / "notes.txt").write_text("hello")
    unnamed = tmp_path / "portrait"  # an image without an extension
    unnamed.write_bytes((small_media / "b.jpg").read_bytes())
    for target in ("", "portrait", "driver"):
        before = studio.session
        commands.take_files([str(tmp_path / "notes.txt")], target)
        qtbot.waitUntil(lambda: "notes.txt can't be used" in window.toast.text)
        assert studio.session == before
        window.toast.hide()
    commands.take_files([str(unnamed)], "")
    qtbot.waitUntil(lambda: studio.session.portrait == PortraitItem(str(unnamed)))


def test_a_folder_asks_what_it_is(qtbot: QtBot, make_window: Make, small_session: Session, tmp_path: Path) -> None:
    window = make_window(replace(small_session, portraits=()), start=False)
    folder = tmp_path / "Pictures"
    folder.mkdir()
    window.commands.take_files([str(folder)], "")
    qtbot.waitUntil(lambda: "holds no images" in window.toast.text)
    for name in ("img1.jpg", "img2.jpg", "notes.txt"):
        (folder / name).touch()
    for answer, count in (("sequence", 1), ("portraits", 3)):
        window.commands.take_files([str(folder)], "")
        qtbot.waitUntil(lambda: bool(window.commands.prompts.dialogs))
        dialog = window.commands.prompts.dialogs[-1]
        assert isinstance(dialog, FolderDialog)
        dialog.buttons[answer].click()
        assert len(window.studio.session.portraits) == count


def test_a_drag_shows_where_it_may_be_dropped(make_window: Make, small_session: Session) -> None:
    window = make_window(small_session, start=False)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/a.jpg")])
    for widget, word in ((window.side.driver, "driver"), (window.side.portraits, "Add as a portrait")):
        point = widget.mapTo(window, widget.rect().center())
        how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        window.dragEnterEvent(QDragEnterEvent(point, *how))
        assert word in window.drop_frame.text
        assert window.drop_frame.geometry().contains(QPointF(point).toPoint())
        assert window.drop_frame.isVisible()
    window.dragLeaveEvent(None)  # type: ignore[arg-type]
    assert not window.drop_frame.isVisible()


def test_a_folder_that_cannot_be_written_is_told_at_once(
    make_window: Make, small_session: Session, tmp_path: Path
) -> None:
    window = make_window(small_session, start=False)
    window.studio.settings.setValue("folders/output", str(tmp_path))
    assert not window.commands.queue_render(tmp_path / "gone" / "x.png", overwrite=False)
    assert window.studio.settings.value("folders/output") == str(tmp_path)
    assert window.studio.queue.jobs == ()
