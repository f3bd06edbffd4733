"""Faces of a portrait in the window: which of them move, and drivers of their own; in preview, session and file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot

from app.gui.dialogs.crop import CropDialog, chosen_faces, load
from app.gui.jobs import make_entry
from app.gui.session import Driver, PortraitItem, Session
from app.gui.widgets.faces import FaceList
from app.gui.window import MainWindow
from app.media.images import read_image, write_image
from app.media.reader import open_clip

Make = Callable[..., MainWindow]


@pytest.fixture(scope="session")
def couple(small_media: Path) -> Path:
    """A photo of two people, (320, 512)."""
    path = small_media / "couple.png"
    left, right = read_image(small_media / "a.jpg").rgb, read_image(small_media / "b.jpg").rgb
    write_image(path, np.concatenate([left, right], axis=1))
    return path


@pytest.fixture
def window_of_two(make_window: Make, couple: Path, small_media: Path, qtbot: QtBot) -> MainWindow:
    """A window that shows two people; the larger or first of them is driven by a photo."""
    made = make_window(Session((PortraitItem(str(couple)),), driver=Driver("still", str(small_media / "b.jpg"))))
    qtbot.waitUntil(lambda: made.studio.shown is not None and made.studio.shown.frame.seen)
    return made


def open_editor(qtbot: QtBot, window: MainWindow) -> CropDialog:
    window.actions_["edit_crop"].trigger()
    dialog = window.commands.prompts.dialogs[0]
    assert isinstance(dialog, CropDialog)
    qtbot.waitUntil(lambda: dialog.view.box is not None)
    return dialog


def halves(window: MainWindow) -> tuple[float, float]:
    """How far the left and the right face are from rest."""
    shown = window.studio.shown
    assert shown is not None
    error = np.abs(shown.frame.picture.astype(int) - shown.frame.source)
    middle = error.shape[1] // 2
    return float(error[:, : middle - 40].mean()), float(error[:, middle + 40 :].mean())


def test_both_faces_move_when_they_are_chosen(qtbot: QtBot, window_of_two: MainWindow) -> None:
    window, studio = window_of_two, window_of_two.studio
    assert min(halves(window)) < 0.05
    dialog = open_editor(qtbot, window)
    assert len(dialog.list.rows) == 2
    assert dialog.list.isVisible()
    assert [row.switch.isChecked() for row in dialog.list.rows].count(True) == 1
    dialog.list.everybody.click()
    assert not dialog.fields["x"].isEnabled()
    dialog.accept()
    assert studio.session.portraits[0].subject.values["face"] == "all"
    qtbot.waitUntil(lambda: min(halves(window)) > 0.2)
    window.actions_["undo"].trigger()
    assert studio.session.portraits[0].subject.values["face"] == "largest"
    qtbot.waitUntil(lambda: min(halves(window)) < 0.05)


def test_a_face_gets_a_driver_of_its_own(
    qtbot: QtBot, window_of_two: MainWindow, small_media: Path, settings: QSettings, tmp_path: Path
) -> None:
    """Chosen in the editor, seen in the preview, kept in the session, undone, and rendered as it is seen."""
    window, studio = window_of_two, window_of_two.studio
    own = str(small_media / "a.jpg")
    dialog = open_editor(qtbot, window)
    quiet = next(number for number in (0, 1) if number not in dialog.list.moving)
    row = dialog.list.rows[quiet]
    assert not row.button.isEnabled()  # it does not move yet
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(own)])
    row.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                             Qt.KeyboardModifier.NoModifier))  # fmt: skip
    assert row.switch.isChecked()
    assert "a.jpg" in row.button.accessibleName()
    dialog.accept()
    item = studio.session.portraits[0]
    assert item.subject.values["driver_for"].endswith(f"={own}")
    assert item.subject.values["face"] == "all"
    parts = studio.live.parts
    qtbot.waitUntil(lambda: parts.current is not None and min(halves(window)) > 0.2)
    studio.save()
    assert Session.from_dict(json.loads(str(settings.value("session")))).portraits[0] == item
    entry = make_entry(studio.session, tmp_path / "out.png", overwrite=False)
    assert entry.values["driver_for"] == item.subject.values["driver_for"]
    window.commands.queue_render(tmp_path / "out.png", overwrite=False)
    qtbot.waitUntil(lambda: [job.state for job in studio.queue.jobs] == ["done"])
    assert studio.shown is not None
    picture = studio.shown.frame.picture[..., :3]
    assert np.abs(picture.astype(int) - read_image(tmp_path / "out.png").rgb).max() <= 1
    again = open_editor(qtbot, window)
    assert again.list.drivers == {quiet: own}
    again.list.rows[quiet].clear.click()
    again.accept()
    assert studio.session.portraits[0].subject.values["driver_for"] == ""
    qtbot.waitUntil(lambda: parts.current is None)
    window.actions_["undo"].trigger()
    assert studio.session.portraits[0].subject.values["driver_for"] == item.subject.values["driver_for"]


def test_drivers_of_faces_are_chosen_from_the_gallery(
    qtbot: QtBot, window_of_two: MainWindow, small_media: Path
) -> None:
    window = window_of_two
    window.studio.remember("drivers", str(small_media / "clip.mp4"))
    dialog = open_editor(qtbot, window)
    dialog.list.everybody.click()
    dialog.list.rows[1].button.click()
    galleries = window.commands.galleries
    clip = Driver("file", str(small_media / "clip.mp4"))
    qtbot.waitUntil(lambda: galleries.gallery is not None and clip in galleries.gallery.tiles)
    assert galleries.gallery is not None
    galleries.gallery.tiles[clip].click()
    assert dialog.list.drivers == {1: clip.source}
    dialog.reject()
    assert window.studio.session.portraits[0].subject.values["driver_for"] == ""


def test_a_missing_driver_of_a_face_is_told_and_the_face_follows_the_driver_of_all(
    qtbot: QtBot, window_of_two: MainWindow, tmp_path: Path
) -> None:
    window, studio = window_of_two, window_of_two.studio
    item = PortraitItem.of(studio.session.portraits[0].path, driver_for=f"right={tmp_path / 'gone.mp4'}")
    with qtbot.waitSignal(studio.said, check_params_cb=lambda level, text: "gone.mp4" in text):
        studio.apply(replace(studio.session, portraits=(item,)), "test")
    qtbot.waitUntil(lambda: halves(window)[1] > 0.2)


def test_at_least_one_face_moves(qtbot: QtBot, couple: Path) -> None:
    loaded = load(couple)
    faces = FaceList()
    qtbot.addWidget(faces)
    faces.show_faces(loaded.thumbs, {0}, {})
    faces.rows[0].switch.click()
    assert faces.moving == {0}
    assert faces.rows[0].switch.isChecked()
    faces.rows[1].switch.click()
    faces.rows[0].switch.click()
    assert faces.moving == {1}


def test_choices_that_no_longer_fit_are_left_out(couple: Path) -> None:
    loaded = load(couple)
    item = PortraitItem.of(str(couple), face="left+7", driver_for="right=x.mp4\n9=y.mp4")
    moving, drivers = chosen_faces(item, loaded)
    assert len(moving) == 2
    assert list(drivers.values()) == ["x.mp4"]
    assert chosen_faces(PortraitItem.of(str(couple), face="all"), loaded) == ({0, 1}, {})


def test_a_clip_with_another_first_frame_is_previewed_as_it_is_rendered(
    qtbot: QtBot, make_window: Make, small_session: Session, small_media: Path, tmp_path: Path
) -> None:
    """The window finds the neutral frame of the clip in the background; a frame in a pause is then that of the file."""
    from app.media.writer import ClipWriter

    path = tmp_path / "late.mp4"
    with open_clip(small_media / "clip.mp4") as clip:
        frames = list(clip)
    rate = frames[1].time - frames[0].time
    with ClipWriter(path, (frames[0].rgb.shape[1], frames[0].rgb.shape[0]), 1 / rate, hardware="none") as writer:
        for index, frame in enumerate([*frames[70:100:3], *frames[:8]]):
            writer.write(frame.rgb, index * rate)
        writer.finish()
    window = make_window(replace(small_session, values={"smooth": 0.0}, live={"adapt": False}), start=False)
    studio = window.studio
    studio.live.channel.delay = 0.0
    studio.start()
    studio.set_driver(Driver("file", str(path)))
    neutral = studio.live.channel
    qtbot.waitUntil(lambda: neutral.current is not None)
    studio.live.channel.task.join(60)
    cache = tmp_path / "state" / "cache" / "motion"
    assert len(list(cache.glob("*.motion"))) == 1
    window.commands.queue_render(tmp_path / "out-%02d.png", overwrite=False)
    qtbot.waitUntil(lambda: [job.state for job in studio.queue.jobs] == ["done"])
    assert len(list(cache.glob("*.motion"))) == 1  # the motion that was read for the preview is that of the render
    rendered = [read_image(path).rgb.astype(float) for path in sorted(tmp_path.glob("out-*.png"))]
    rest = read_image(small_media / "a.jpg").rgb
    moved = [float(np.mean((picture - rest) ** 2)) for picture in rendered]
    chosen = int(np.argmax(moved))
    with open_clip(path) as clip:
        wanted = [frame.rgb for frame in clip][chosen]
    studio.set_paused(True)

    def came(after: int) -> bool:
        frame = None if studio.shown is None else studio.shown.frame
        if frame is None or frame.index <= after or not frame.fresh or frame.driver is None:
            return False
        return np.array_equal(frame.driver, wanted)

    def same() -> bool:
        assert studio.shown is not None
        return bool(np.mean((studio.shown.frame.picture[..., :3] - rendered[chosen]) ** 2) < moved[chosen] / 2)

    end = time.monotonic() + 60
    while True:  # the face is followed from the frame before: from the second time on that is the same one
        before = -1 if studio.shown is None else studio.shown.frame.index
        studio.seek(chosen / 25 + 0.004)
        qtbot.waitUntil(lambda before=before: came(before))
        if same() or time.monotonic() > end:
            break
    run = studio.live.context.pipeline
    assert same(), (studio.shown, run and (run.lost, run._reference is neutral.current), neutral.current is None)
