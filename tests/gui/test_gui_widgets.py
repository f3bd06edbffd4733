"""Widgets by themselves: sliders, editors, preview, crop view, hotkeys."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from app.gui import qt_images
from app.gui.qt_images import Transform
from app.gui.session import Session
from app.gui.theme import DARK, LIGHT, Theme, style_sheet
from app.gui.widgets.basic import SliderRow, Switch, ValueSlider
from app.gui.widgets.controls import ControlPanel, OptionEditor
from app.gui.widgets.cropview import CropView
from app.gui.widgets.driver import driver_kind
from app.gui.widgets.preview import Layout, Preview, make_picture
from app.options import all_options, find_option
from liveportrait.crop import Box
from liveportrait.expression import SLIDERS

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def _look(theme: Theme) -> None:
    """Widgets draw in the theme's colours."""


@pytest.mark.parametrize("name", SLIDERS)
def test_slider_of_every_declaration(qtbot: QtBot, name: str) -> None:
    s = SLIDERS[name]
    row = SliderRow(s.title, s.help, s.minimum, s.maximum, s.step, s.default, s.unit)
    qtbot.addWidget(row)
    row.resize(280, 48)
    row.show()
    got: list[float] = []
    row.changed.connect(got.append)
    row.slider.setValue(row.slider.maximum())
    assert got == [pytest.approx(s.maximum)]
    assert row.value.value() == pytest.approx(s.maximum)
    qtbot.mouseDClick(row.slider, LEFT, pos=QPoint(5, 10))
    assert got[-1] == pytest.approx(s.default)
    row.value.setValue(s.minimum)
    assert got[-1] == pytest.approx(s.minimum)
    row.show_value(s.default)
    assert (len(got), row.slider.number) == (got.index(got[-1]) + 1 if got[-1] not in got[:-1] else len(got),
                                             pytest.approx(s.default, abs=s.step))  # fmt: skip


def test_slider_follows_mouse_and_keys(qtbot: QtBot) -> None:
    slider = ValueSlider(-1.0, 1.0, 0.01, 0.0)
    qtbot.addWidget(slider)
    slider.resize(216, 20)
    slider.show()
    qtbot.mousePress(slider, LEFT, pos=QPoint(8, 10))
    assert slider.number == -1.0
    qtbot.mouseMove(slider, QPoint(208, 10))
    qtbot.mouseRelease(slider, LEFT, pos=QPoint(208, 10))
    assert slider.number == 1.0
    qtbot.keyClick(slider, Qt.Key.Key_Left)
    assert slider.number == pytest.approx(0.99)


def test_switch_is_clicked_anywhere(qtbot: QtBot) -> None:
    switch = Switch("Stitching", "Keeps shoulders.")
    qtbot.addWidget(switch)
    switch.resize(240, 30)
    switch.show()
    qtbot.mouseClick(switch, LEFT, pos=QPoint(20, 15))
    assert switch.isChecked()
    assert (switch.accessibleName(), switch.accessibleDescription()) == ("Stitching", "Keeps shoulders.")


def test_panel_shows_and_tells_every_option(qtbot: QtBot) -> None:
    panel = ControlPanel()
    qtbot.addWidget(panel)
    told: list[tuple[str, object]] = []
    panel.option_changed.connect(lambda name, value: told.append((name, value)))
    panel.live_changed.connect(lambda name, value: told.append((name, value)))
    for name, editor in {**panel.editors, **panel.live_editors}.items():
        value = other_value(editor)
        editor.show_value(value)
        editor.changed.emit(value)
        assert told[-1] == (name, value)
    assert set(panel.sliders) == set(SLIDERS)
    panel.show_session(Session())
    assert panel.editors["relative"].main.isChecked()  # type: ignore[attr-defined]


def other_value(editor: OptionEditor) -> object:
    info = editor.info
    if info.kind is bool:
        return not info.default
    if info.choices:
        return next(c for c in info.choices if c != info.default)
    if info.name == "background":
        return "#102030"
    return info.maximum if info.kind in (int, float) else "1"


def test_wrong_text_is_marked_and_not_taken(qtbot: QtBot) -> None:
    editor = OptionEditor(find_option("reference"))
    qtbot.addWidget(editor)
    told: list[object] = []
    editor.changed.connect(told.append)
    edit = editor.findChild(QLineEdit)
    edit.setText("middle")
    edit.editingFinished.emit()
    assert told == []
    assert edit.property("wrong") is True
    assert "middle" in editor.fault.text()
    assert not editor.fault.isHidden()
    edit.setText("12")
    edit.editingFinished.emit()
    assert (told, edit.property("wrong")) == (["12"], False)


def test_advanced_options_are_hidden_until_asked_for(qtbot: QtBot) -> None:
    panel = ControlPanel()
    qtbot.addWidget(panel)
    hidden = {info.name for info in all_options() if info.advanced and info.name in panel.editors}
    assert hidden
    assert all(panel.editors[name].isHidden() for name in hidden)
    panel.show_advanced(True)
    assert not any(panel.editors[name].isHidden() for name in hidden)


# ---- pictures and preview


def gradient(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)


def test_tile_at_single_pixels_is_exact() -> None:
    pixels = gradient(60, 40)
    tile = qt_images.tile(pixels, Transform(1.0, -10, 5), (30, 20))
    assert tile is not None
    assert tile.region == (10, 0, 40, 15)
    assert tile.image.pixelColor(3, 4) == QColor(13, 4, 17)
    assert qt_images.tile(pixels, Transform(1.0, 100, 0), (30, 20)) is None


@pytest.mark.parametrize("scale", [0.1, 0.37, 1.0, 2.5, 7.0])
def test_tile_lies_where_the_transform_says(scale: float) -> None:
    pixels = gradient(101, 57)
    place = Transform(scale, 3, 4)
    tile = qt_images.tile(pixels, place, (4000, 4000))
    assert tile is not None
    target = place.rect(tile.region)
    assert (target.x(), target.y()) == (3, 4)
    assert abs(target.width() - tile.image.width()) <= 1
    assert abs(target.height() - tile.image.height()) <= 1


def test_fit_and_shrink() -> None:
    assert qt_images.fit((200, 100), (100, 100)) == Transform(0.5, 0, 25)
    assert qt_images.fit((20, 10), (100, 100), enlarge=False).scale == 1.0
    assert qt_images.shrink(gradient(300, 100), 100, 100).shape == (33, 100, 3)
    assert qt_images.square(gradient(300, 100), 50).shape == (50, 50, 3)
    clear = np.dstack([gradient(8, 8), np.zeros((8, 8), np.uint8)])
    assert QColor(qt_images.to_image(clear).pixel(0, 0)).red() == 204


def show(preview: Preview, size: tuple[int, int] = (400, 300)) -> None:
    pixels = gradient(*size)
    preview.show_picture(make_picture(pixels, pixels, None, preview.layout_for_tiles()))


def test_preview_zooms_around_the_mouse_and_fits_again(qtbot: QtBot) -> None:
    preview = Preview()
    qtbot.addWidget(preview)
    preview.resize(500, 400)
    preview.show()
    preview.layout_changed.connect(lambda: show(preview))
    show(preview)
    assert preview.percent == 125
    at = QPointF(100, 120)
    before = preview.layout_for_tiles().transform((400, 300))
    here = ((at.x() - before.x) / before.scale, (at.y() - before.y) / before.scale)
    preview.zoom_by(2.0, at)
    after = preview.layout_for_tiles().transform((400, 300))
    assert after.scale == pytest.approx(2.5)
    assert (at.x() - after.x) / after.scale == pytest.approx(here[0], abs=0.5)
    assert (at.y() - after.y) / after.scale == pytest.approx(here[1], abs=0.5)
    qtbot.keyClick(preview, Qt.Key.Key_1)
    assert preview.percent == 100
    qtbot.keyClick(preview, Qt.Key.Key_0)
    assert preview.percent == 125


def grabbed(preview: Preview) -> QImage:
    return preview.grab().toImage()


def test_preview_paints_single_pixels_as_they_are(qtbot: QtBot) -> None:
    preview = Preview()
    qtbot.addWidget(preview)
    preview.resize(500, 400)
    preview.show()
    preview.actual_size()
    show(preview)
    assert grabbed(preview).pixelColor(50 + 20, 50 + 30) == QColor(20, 30, 50)
    assert grabbed(preview).pixelColor(5, 5) == QColor(DARK.stage)


def test_views_show_what_they_name(qtbot: QtBot) -> None:
    preview = Preview()
    qtbot.addWidget(preview)
    preview.resize(600, 300)
    preview.show()
    red, green, blue = (np.full((100, 100, 3), c, np.uint8) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))

    def paint(view: str) -> tuple[QColor, QColor]:
        preview.set_view(view)  # type: ignore[arg-type]
        preview.show_picture(make_picture(red, green, blue, preview.layout_for_tiles()))
        image = grabbed(preview)
        return image.pixelColor(200, 200), image.pixelColor(400, 200)

    assert paint("result") == (QColor("red"), QColor("red"))
    assert paint("side") == (QColor("blue"), QColor("red"))
    assert paint("over") == (QColor(0, 255, 0), QColor("red"))
    qtbot.mousePress(preview, LEFT, pos=QPoint(300, 150))
    qtbot.mouseMove(preview, QPoint(450, 150))
    qtbot.mouseRelease(preview, LEFT, pos=QPoint(450, 150))
    assert paint("over") == (QColor(0, 255, 0), QColor(0, 255, 0))


def test_preview_tells_problem_and_countdown(qtbot: QtBot) -> None:
    preview = Preview()
    qtbot.addWidget(preview)
    preview.resize(500, 400)
    preview.show()
    show(preview)
    plain = grabbed(preview)
    preview.show_count(3)
    assert grabbed(preview) != plain
    preview.show_count(0)
    assert grabbed(preview) == plain
    preview.show_problem("No face was found.")
    assert grabbed(preview).pixelColor(10, 10) == QColor(DARK.stage)
    assert grabbed(preview) != plain


def test_layout_keeps_big_pictures_within_the_pane() -> None:
    assert Layout("result", (300, 200), 0.0, (0, 0)).transform((3000, 2000)) == Transform(0.1, 0, 0)
    assert Layout("result", (300, 200), 2.0, (5, -5)).transform((100, 50)) == Transform(2.0, 55, 45)


# ---- crop


def test_crop_box_is_moved_sized_and_turned(qtbot: QtBot) -> None:
    view = CropView()
    qtbot.addWidget(view)
    view.resize(500, 400)
    view.show()
    view.set_picture(qt_images.to_image(gradient(400, 300)), (400, 300))
    view.set_box(Box(200, 150, 100))
    told: list[Box] = []
    view.box_changed.connect(told.append)

    def drag(start: QPointF, end: QPointF) -> None:
        qtbot.mousePress(view, LEFT, pos=start.toPoint())
        qtbot.mouseMove(view, end.toPoint())
        qtbot.mouseRelease(view, LEFT, pos=end.toPoint())

    drag(view.to_view(200, 150), view.to_view(240, 130))
    assert (told[-1].x, told[-1].y) == (pytest.approx(240, abs=1.5), pytest.approx(130, abs=1.5))
    drag(view.corners()[2], view.to_view(told[-1].x + 80, told[-1].y + 80))
    assert told[-1].size == pytest.approx(160, abs=3)
    box = told[-1]
    drag(view.turner(), view.to_view(box.x + 60, box.y))
    assert math.degrees(told[-1].angle) == pytest.approx(90, abs=2)
    picture = view.to_picture(view.to_view(12, 34))
    assert (picture.x(), picture.y()) == (pytest.approx(12), pytest.approx(34))


def test_another_face_is_chosen_by_a_click(qtbot: QtBot) -> None:
    view = CropView()
    qtbot.addWidget(view)
    view.resize(500, 400)
    view.show()
    view.set_picture(qt_images.to_image(gradient(400, 300)), (400, 300))
    view.set_faces([np.array([50, 50, 100, 100]), np.array([250, 50, 320, 120])])  # type: ignore[list-item]
    view.set_chosen(0, None)
    view.set_box(Box(75, 75, 90))
    with qtbot.waitSignal(view.face_clicked) as caught:
        qtbot.mouseClick(view, LEFT, pos=view.to_view(280, 90).toPoint())
    assert caught.args == [1]


# ---- looks


def test_colours_are_readable() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    def contrast(a: str, b: str) -> float:
        high, low = sorted((light(a), light(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for c in (DARK, LIGHT):
        for ground in (c.surface, c.raised, c.window, c.stage, c.hover):
            assert contrast(c.text, ground) >= 7
            assert contrast(c.muted, ground) >= 4.5
        for ground in (c.surface, c.raised, c.stage):
            for colour in (c.ok, c.warning, c.danger):
                assert contrast(colour, ground) >= 4.5
        for ground in (c.accent, c.accent_hover):
            assert contrast(c.on_accent, ground) >= 4.5
        assert contrast(c.accent, c.surface) >= 4.5
        assert contrast(c.faint, c.surface) >= 3  # what is switched off
        faint = [line for line in style_sheet(c).splitlines() if f"color: {c.faint}" in line]
        assert all(re.search(r"disabled|QScrollBar|QCheckBox::indicator", line) for line in faint), faint
        assert "$" not in style_sheet(c)


def test_kind_of_a_driver() -> None:
    kinds = {name: driver_kind(name) for name in ("a.mp4", "b.JPG", "c.motion", "d.pkl", "e.gif", "f.unknown")}
    assert list(kinds.values()) == ["file", "still", "template", "template", "file", "file"]
