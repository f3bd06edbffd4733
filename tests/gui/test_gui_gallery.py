"""Drivers and cameras as pictures, and drivers of single parts."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot

from app.errors import MediaError
from app.events import CancelToken, EventStream
from app.gui import galleries, qt_images
from app.gui.galleries import known_files
from app.gui.jobs import make_entry
from app.gui.session import Driver, sample_driver
from app.gui.widgets.gallery import Gallery
from app.gui.window import MainWindow
from app.media.cameras import CameraDevice
from app.options import RenderOptions
from app.render.template import make_template


def opened(qtbot: QtBot, window: MainWindow, tiles: int) -> Gallery:
    """The gallery, once it shows so many drivers."""
    qtbot.waitUntil(
        lambda: window.commands.galleries.gallery is not None and len(window.commands.galleries.gallery.tiles) >= tiles,
    )
    gallery = window.commands.galleries.gallery
    assert gallery is not None
    return gallery


def test_recent_and_shipped_drivers_are_shown_as_pictures(
    qtbot: QtBot, window: MainWindow, small_media: Path, tmp_path: Path
) -> None:
    clip, still = str(small_media / "clip.mp4"), str(small_media / "a.jpg")
    for path in (str(tmp_path / "gone.mp4"), still, clip):
        window.studio.remember("drivers", path)
    qtbot.mouseClick(window.side.driver.thumb, Qt.MouseButton.LeftButton)
    gallery = opened(qtbot, window, 3)
    assert set(gallery.tiles) >= {Driver("file", clip), Driver("file", str(sample_driver())), Driver("still", still)}
    assert not any("gone" in driver.source for driver in gallery.tiles)
    placeholder = gallery._placeholder("file").toImage()

    def pictured() -> bool:
        icon = gallery.tiles[Driver("file", clip)].icon()
        return icon.pixmap(placeholder.size()).toImage() != placeholder

    qtbot.waitUntil(pictured)
    assert gallery.tiles[Driver("still", still)].accessibleName() == "a.jpg"
    gallery.tiles[Driver("file", clip)].click()
    assert window.studio.session.driver == Driver("file", clip)
    qtbot.waitUntil(lambda: window.commands.galleries.gallery is None)


def test_cameras_are_opened_only_when_asked_and_given_back(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [CameraDevice(name, f"key {name}", i) for i, name in enumerate(("Front", "Broken", "Side"))]
    monkeypatch.setattr(galleries, "list_cameras", lambda: devices)
    opened_now: list[str] = []
    most = [0]
    lock = threading.Lock()

    def shoot(device: CameraDevice) -> qt_images.Pixels:
        with lock:
            opened_now.append(device.name)
            most[0] = max(most[0], len(opened_now))
        try:
            if device.name == "Broken":
                raise MediaError("The camera Broken is used by another program.")
            return np.full((48, 64, 3), 200, np.uint8)
        finally:
            with lock:
                opened_now.remove(device.name)
                done.append(device.name)

    done: list[str] = []
    window.commands.galleries.snapshot = shoot
    window.commands.show_gallery(window.side.driver.thumb)
    gallery = opened(qtbot, window, 4)
    assert gallery.pictures.isVisible()
    assert done == []
    gallery.pictures.click()
    qtbot.waitUntil(lambda: len(done) == 3)
    assert done == ["Front", "Broken", "Side"]
    assert most == [1]  # one after the other
    assert opened_now == []
    broken = gallery.tiles[Driver("camera", "Broken")]
    qtbot.waitUntil(lambda: "used by another program" in broken.toolTip())
    gallery.close()


def test_pictures_stop_when_the_gallery_closes(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [CameraDevice(name, f"key {name}", i) for i, name in enumerate(("One", "Two"))]
    monkeypatch.setattr(galleries, "list_cameras", lambda: devices)
    begun, go = threading.Event(), threading.Event()
    shot: list[str] = []

    def shoot(device: CameraDevice) -> qt_images.Pixels:
        shot.append(device.name)
        begun.set()
        go.wait(60)
        return np.zeros((8, 8, 3), np.uint8)

    window.commands.galleries.snapshot = shoot
    window.commands.show_gallery(window.side.driver.thumb)
    gallery = opened(qtbot, window, 3)
    gallery.pictures.click()
    qtbot.waitUntil(begun.is_set)
    gallery.close()
    qtbot.waitUntil(lambda: window.commands.galleries.gallery is None)
    go.set()
    window.studio.background.wait()
    qtbot.wait(50)
    assert shot == ["One"]


def test_known_files_are_those_that_are_there(tmp_path: Path, small_media: Path) -> None:
    clip = str(small_media / "clip.mp4")
    found = known_files([str(tmp_path / "gone.mp4"), clip], ("file", "template"))
    assert found == [Driver("file", clip), Driver("file", str(sample_driver()))]
    assert known_files([clip], ("still",)) == []


def test_a_template_is_drawn_as_curves(tmp_path: Path, small_media: Path) -> None:
    path = tmp_path / "talk.motion"
    options = RenderOptions.from_values({"output": str(path)})
    make_template(small_media / "clip.mp4", options, EventStream(), CancelToken())
    image = galleries.driver_picture(Driver("template", str(path)), 1.0)
    colours = {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}
    assert len(colours) > 10
    assert (image.width(), image.height()) == (104, 78)


def test_parts_follow_drivers_of_their_own(
    qtbot: QtBot, window: MainWindow, small_media: Path, tmp_path: Path, clip_driver: Driver
) -> None:
    studio, parts = window.studio, window.controls.parts
    clip = str(small_media / "clip.mp4")
    section = window.controls.sections["Drivers"]
    section.button.setChecked(True)
    parts.rows["lips_from"].button.click()
    gallery = opened(qtbot, window, 1)
    gallery.tiles[Driver("file", str(sample_driver()))].click()
    assert studio.session.value("lips_from") == str(sample_driver())
    assert parts.rows["lips_from"].button.text() == "driving.mp4"
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(clip)])
    parts.rows["pose_from"].dropEvent(
        QDropEvent(
            QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
    )
    assert studio.session.value("pose_from") == clip
    studio.set_driver(clip_driver)
    entry = make_entry(studio.session, tmp_path / "out.mp4", overwrite=False)
    assert entry.values["lips_from"] == str(sample_driver())
    assert entry.values["pose_from"] == clip
    window.actions_["undo"].trigger()
    window.actions_["undo"].trigger()
    assert studio.session.value("pose_from") == ""
    parts.rows["lips_from"].clear.click()
    assert studio.session.values == {}
    assert parts.rows["lips_from"].button.text() == "As the driver"


def test_parts_are_reset_with_their_section(window: MainWindow, small_media: Path) -> None:
    window.commands.set_part("eyes_from", str(small_media / "clip.mp4"))
    window.controls.reset_requested.emit("Drivers")
    assert window.studio.session.values == {}
