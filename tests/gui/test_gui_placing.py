"""A face placed by hand in the crop editor: handles, mirror, steps back, file, preview and render."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QSettings, Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.gui.dialogs.crop import CropDialog
from app.gui.dialogs.placing import placed_folder
from app.gui.jobs import make_entry
from app.gui.localize import localized
from app.gui.placing import Placing
from app.gui.session import PortraitItem, Session
from app.gui.titles import HANDLES as TITLES
from app.gui.window import MainWindow
from app.media.images import read_image, write_image
from liveportrait.placed import HANDLES, PlacedError, centred_handles, placed_points
from liveportrait.placed_file import PlacedFile, read_placed

Make = Callable[..., MainWindow]


@pytest.fixture(scope="session")
def room(small_media: Path) -> Path:
    """A picture of (200, 200) without a face."""
    path = small_media / "plain.png"
    write_image(path, np.full((200, 200, 3), (190, 170, 140), np.uint8))
    return path


@pytest.fixture
def editor(make_window: Make, room: Path, qtbot: QtBot) -> Iterator[CropDialog]:
    """The crop editor of that picture."""
    window = make_window(Session((PortraitItem(str(room)),)), start=False)
    yield opened(window, qtbot)
    for dialog in window.commands.prompts.dialogs:
        dialog.reject()


def opened(window: MainWindow, qtbot: QtBot) -> CropDialog:
    window.commands.edit_crop_of(0)
    dialog = window.commands.prompts.dialogs[-1]
    assert isinstance(dialog, CropDialog)
    qtbot.waitUntil(dialog.placing.isEnabled)
    return dialog


def spot(dialog: CropDialog, name: str) -> QPoint:
    """Where a handle is on the screen."""
    assert dialog.view.placing is not None
    return dialog.view.to_view(*dialog.view.placing.handles[name]).toPoint()


def drag(qtbot: QtBot, dialog: CropDialog, start: QPoint, way: tuple[int, int]) -> None:
    end = start + QPoint(*way)
    qtbot.mousePress(dialog.view, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(dialog.view, (start + end) / 2)
    qtbot.mouseMove(dialog.view, end)
    qtbot.mouseRelease(dialog.view, Qt.MouseButton.LeftButton, pos=end)


def test_where_no_face_is_found_handles_are_there_at_once(qtbot: QtBot, editor: CropDialog) -> None:
    assert editor.placing.switch.isChecked()
    placing = editor.view.placing
    assert placing is not None
    assert set(placing.handles) == set(HANDLES) == set(TITLES)
    before = dict(placing.handles)
    drag(qtbot, editor, spot(editor, "left_eye_outer"), (-12, 6))
    left, right = (np.subtract(placing.handles[n], before[n]) for n in ("left_eye_outer", "right_eye_outer"))
    assert left[0] < -2
    assert left[1] > 1
    np.testing.assert_allclose(right, left * [-1, 1], atol=1e-6)  # mirrored by default
    assert editor.placing.undo.isEnabled()
    editor.placing.undo.click()
    assert placing.handles == before
    editor.placing.redo.click()
    assert placing.handles != before
    editor.placing.mirrored.click()
    after = dict(placing.handles)
    drag(qtbot, editor, spot(editor, "left_brow"), (0, -9))
    assert placing.handles["left_brow"][1] < after["left_brow"][1] - 1
    assert placing.handles["right_brow"] == after["right_brow"]
    editor.placing.again.click()
    assert placing.handles == before


def test_keys_choose_and_move_handles(qtbot: QtBot, editor: CropDialog) -> None:
    placing, view = editor.view.placing, editor.view
    assert placing is not None
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_PageDown)
    assert placing.chosen == "left_eye_inner"
    assert "Left eye, inner corner" in view.accessibleDescription()
    x, y = placing.handles[placing.chosen]
    qtbot.keyClick(view, Qt.Key.Key_Left)
    qtbot.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    assert placing.handles[placing.chosen] == (x - 1, y - 10)
    qtbot.keyClick(view, Qt.Key.Key_PageUp)
    assert placing.chosen == "left_eye_outer"


def test_the_square_carries_the_whole_face(qtbot: QtBot, editor: CropDialog) -> None:
    placing, box = editor.view.placing, editor.view.box
    assert placing is not None
    assert box is not None
    before = np.array(list(placing.handles.values()))
    editor.fields["x"].setValue(box.x + 20)
    after = np.array(list(placing.handles.values()))
    np.testing.assert_allclose(after - before, [[20, 0]] * len(before), atol=0.2)
    editor.fields["size"].setValue(box.size * 1.5)
    assert np.ptp(np.array(list(placing.handles.values()))[:, 0]) == pytest.approx(1.5 * np.ptp(before[:, 0]), rel=0.02)
    editor.placing.undo.click()
    editor.placing.undo.click()
    np.testing.assert_array_equal(np.array(list(placing.handles.values())), before)


def test_handles_that_make_no_face_are_told_and_not_kept(qtbot: QtBot, editor: CropDialog) -> None:
    placing = editor.view.placing
    assert placing is not None
    placing.begin()
    placing.move("chin", (100.0, -300.0))
    editor.view.placed.emit()
    problem = 'the handle "Top of the face" must lie above the handle "Chin"'
    assert editor.placing.hint.text() == f"The handles don't form a face: {problem}."
    editor.accept()
    assert editor.isVisible()
    assert not placed_folder().exists()
    editor.placing.undo.click()
    assert "Arrow keys" in editor.placing.hint.text()
    editor.accept()
    assert not editor.isVisible()


def test_from_the_editor_to_preview_session_and_file(
    qtbot: QtBot, make_window: Make, room: Path, settings: QSettings, tmp_path: Path
) -> None:
    window = make_window(Session((PortraitItem(str(room)),)))
    studio = window.studio
    qtbot.waitUntil(lambda: "no face was found" in window.preview.problem)
    assert 'Open "Crop and face" to place the face' in window.preview.problem
    dialog = opened(window, qtbot)
    dialog.accept()
    item = studio.session.portraits[0]
    assert Path(item.subject.values["landmarks"]).parent == placed_folder()
    qtbot.waitUntil(lambda: studio.shown is not None and window.preview.problem == "")
    studio.set_slider("lip_open", 1.0)
    qtbot.waitUntil(lambda: np.ptp(np.asarray(studio.shown.frame.picture[..., :3], int)[60:140, 60:140]) > 120)
    studio.save()
    assert Session.from_dict(json.loads(str(settings.value("session")))).portraits[0] == item
    assert (
        make_entry(studio.session, tmp_path / "out.png", overwrite=False).values["landmarks"]
        == item.subject.values["landmarks"]
    )
    window.commands.queue_render(tmp_path / "out.png", overwrite=False)
    qtbot.waitUntil(lambda: [job.state for job in studio.queue.jobs] == ["done"])
    assert np.ptp(np.asarray(read_image(tmp_path / "out.png").rgb, int)) > 120
    again = opened(window, qtbot)
    assert again.placing.switch.isChecked()
    assert again.view.placing is not None
    drag(qtbot, again, spot(again, "mouth_left"), (-10, 0))
    again.accept()
    changed = studio.session.portraits[0]
    assert changed.subject.values["landmarks"] != item.subject.values["landmarks"]
    window.actions_["undo"].trigger()
    assert studio.session.portraits[0] == item
    assert (
        read_placed(Path(item.subject.values["landmarks"])).handles
        != read_placed(Path(changed.subject.values["landmarks"])).handles
    )
    third = opened(window, qtbot)
    third.placing.switch.click()
    third.accept()
    assert studio.session.portraits[0].subject.values["landmarks"] == ""


def test_a_found_face_is_placed_on_request(qtbot: QtBot, make_window: Make, small_session: Session) -> None:
    dialog = opened(make_window(small_session, start=False), qtbot)
    assert dialog.view.placing is None
    assert not dialog.placing.undo.isVisible()
    dialog.placing.switch.click()
    assert dialog.view.placing is not None
    assert not dialog.faces.isEnabled()
    dialog.placing.switch.click()
    assert dialog.view.placing is None
    assert dialog.faces.isEnabled()
    assert dialog.view._landmarks.size() == 478
    dialog.reject()


def test_a_placed_face_is_opened_and_saved_as_a_file(
    qtbot: QtBot, editor: CropDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = centred_handles(90, 110, 150)
    mine = tmp_path / "mine.landmarks.json"
    mine.write_text(PlacedFile(200, 200, handles).to_text(), encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(mine), ""))
    editor.placing.open_.click()
    assert editor.view.placing is not None
    assert editor.view.placing.handles["nose"] == pytest.approx(handles["nose"], abs=0.01)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "copy"), ""))
    editor.placing.save.click()
    assert read_placed(tmp_path / "copy.landmarks.json") == read_placed(mine)
    mine.write_text(PlacedFile(300, 200, handles).to_text(), encoding="utf-8")
    editor.placing.open_.click()
    assert "made for an image of 300x200" in editor.placing.hint.text()


def test_on_a_clip_nothing_is_placed(qtbot: QtBot, make_window: Make, small_media: Path) -> None:
    dialog = opened(make_window(Session((PortraitItem(str(small_media / "clip.mp4")),)), start=False), qtbot)
    assert not dialog.placing.switch.isEnabled()
    assert "only on photos" in dialog.placing.switch.toolTip()
    dialog.reject()


def test_faults_of_handles_are_told_in_the_words_of_the_window(make_window: Make, small_session: Session) -> None:
    make_window(small_session, language="de", start=False)
    for moved, said in (
        ({"nose": (100, 190)}, "der Griff „Nasenspitze“ muss über dem Griff „Unterer Rand der Mundöffnung“ liegen"),
        ({"left_eye_outer": (150, 60)}, "der Griff „Linkes Auge, äußerer Winkel“ muss links"),
    ):
        with pytest.raises(PlacedError) as caught:
            placed_points({**centred_handles(100, 100, 200), **moved})
        assert said in localized(str(caught.value))


def test_of_shut_lips_the_one_on_the_side_of_the_mouse_is_taken() -> None:
    placing = Placing(centred_handles(100, 100, 200))
    x, y = placing.handles["lip_top"]
    assert placing.near((x, y - 2), 5) == "lip_top"
    assert placing.near((x, y + 2), 5) == "lip_bottom"
    assert placing.near((x, y + 50), 5) == ""
    placing.move("lip_bottom", (x, y + 9))
    placing.move("lip_top", (x, y + 30))
    assert placing.handles["lip_top"][1] == pytest.approx(y + 9)  # lips stop at each other
    assert placing.problem == ""


def test_a_click_that_moves_nothing_is_no_step() -> None:
    placing = Placing(centred_handles(100, 100, 200))
    placing.begin()
    placing.move("nose", placing.handles["nose"])
    assert not placing.can_undo
    placing.move("nose", (101.0, 120.0))
    placing.move("nose", (102.0, 121.0))
    assert placing.can_undo
    placing.undo()
    assert not placing.can_undo
    assert placing.can_redo


def test_the_mesh_is_drawn_over_the_picture(qtbot: QtBot, editor: CropDialog) -> None:
    view = editor.view
    with_mesh = view.grab().toImage()
    editor.placing.switch.click()
    without = view.grab().toImage()
    middle = view.to_view(*centred_handles(100, 100, 160)["nose"])
    assert with_mesh != without
    assert view.rect().contains(QPointF(middle).toPoint())
