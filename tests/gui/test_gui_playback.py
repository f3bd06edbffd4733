"""The time line of the window, and portraits that are clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.gui.session import Driver, PortraitItem, Session
from app.gui.widgets.bars import clock_text
from app.gui.window import MainWindow
from app.media.reader import open_clip

Make = Callable[..., MainWindow]


def frames_of(path: Path) -> list[np.ndarray]:
    """All pictures of a clip."""
    with open_clip(path) as reader:
        return [frame.rgb for frame in reader]


def driver_is(window: MainWindow, wanted: np.ndarray) -> bool:
    """Whether the frame on screen was driven by this picture."""
    shown = window.studio.shown
    return shown is not None and shown.frame.driver is not None and np.array_equal(shown.frame.driver, wanted)


def test_time_line_shows_the_frame_that_it_names(qtbot: QtBot, window: MainWindow, clip_driver: Driver) -> None:
    studio, bar, actions = window.studio, window.transport, window.actions_
    assert not bar.line.isVisible()
    assert not actions["step_forward"].isEnabled()
    studio.set_driver(clip_driver)
    qtbot.waitUntil(lambda: bar.line.isVisible() and studio.playback.place.rate > 0)
    pictures = frames_of(Path(clip_driver.source))
    rate = studio.playback.place.rate
    actions["play"].trigger()
    assert studio.paused
    bar.slider.setSliderDown(True)
    bar.slider.setSliderPosition(round(1000 * 20 / rate))
    bar.slider.sought.emit(bar.slider.sliderPosition())
    bar.slider.setSliderDown(False)
    qtbot.waitUntil(lambda: driver_is(window, pictures[20]))
    still = window.studio.shown
    for name, number in (("step_forward", 21), ("step_forward", 22), ("step_back", 21), ("to_start", 0)):
        actions[name].trigger()
        qtbot.waitUntil(lambda n=number: driver_is(window, pictures[n]))
    qtbot.waitUntil(lambda: bar.time.text().startswith("0:00.00 / "))
    assert still is not None
    assert bar.time.toolTip().startswith("Frame 1 of ")
    actions["play"].trigger()
    qtbot.waitUntil(lambda: studio.playback.place.time > 3 / rate)


def test_a_frame_that_comes_while_the_layout_changes_is_shown(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, presenter = window.studio, window.studio._presenter
    assert studio.shown is not None
    newer = replace(studio.shown.frame, index=studio.shown.frame.index + 1000)
    request = presenter.request

    def overtaken(argument: object) -> None:
        """The live session's thread delivers a frame between the window's look at the last one and its request."""
        monkeypatch.setattr(presenter, "request", request)
        studio._frame(newer)
        request(argument)

    monkeypatch.setattr(presenter, "request", overtaken)
    studio.set_layout(studio._layout)
    qtbot.waitUntil(lambda: studio.shown is not None and studio.shown.frame is newer)


def test_keys_play_and_step(qtbot: QtBot, window: MainWindow, clip_driver: Driver) -> None:
    studio = window.studio
    studio.set_driver(clip_driver)
    qtbot.waitUntil(window.transport.line.isVisible)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.waitUntil(lambda: studio.playback.place.time > 0)
    qtbot.keyClick(window.preview, Qt.Key.Key_Space)
    assert studio.paused
    rate = studio.playback.place.rate
    qtbot.keyClick(window.preview, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: studio.playback.place.time == 0)
    qtbot.keyClick(window.preview, Qt.Key.Key_Period)
    qtbot.waitUntil(lambda: round(studio.playback.place.time * rate) == 1)
    qtbot.keyClick(window.preview, Qt.Key.Key_Comma)
    qtbot.waitUntil(lambda: studio.playback.place.time == 0)
    qtbot.keyClick(window.preview, Qt.Key.Key_L)
    assert not studio.loop
    assert not studio.playback.place.loop
    assert not window.actions_["loop"].isChecked()


def test_clip_ends_without_a_loop_and_the_choice_is_kept(
    qtbot: QtBot, window: MainWindow, clip_driver: Driver, settings: object
) -> None:
    studio = window.studio
    studio.set_loop(False)
    studio.set_driver(clip_driver)
    qtbot.waitUntil(lambda: studio.playback.seekable)
    place = studio.playback.place
    studio.seek(float(place.duration - 4 / place.rate))
    qtbot.waitUntil(lambda: studio.paused)
    assert studio.playback.place.time > place.duration - 2 / place.rate
    studio.set_paused(False)
    qtbot.waitUntil(lambda: 0 < studio.playback.place.time < 1)
    assert studio.settings.value("window/loop") in (False, "false")


def test_a_clip_as_portrait_plays_and_sliders_act_on_it(qtbot: QtBot, make_window: Make, small_media: Path) -> None:
    window = make_window(Session((PortraitItem(str(small_media / "clip.mp4")),)))
    studio = window.studio
    pictures = frames_of(small_media / "clip.mp4")
    qtbot.waitUntil(window.transport.line.isVisible)
    seen: set[bytes] = set()

    def several() -> bool:
        if studio.shown is not None:
            seen.add(studio.shown.frame.source.tobytes())
        return len(seen) > 5

    qtbot.waitUntil(several)
    window.actions_["play"].trigger()
    clip = studio.live.clip
    assert clip is not None
    assert clip.paused
    clip.seek(Fraction(30) / clip.place.rate)
    qtbot.waitUntil(lambda: studio.shown is not None and np.array_equal(studio.shown.frame.source, pictures[30]))
    assert studio.shown is not None
    rest = studio.shown.frame.picture.copy()
    studio.set_slider("smile", 1.0)
    qtbot.waitUntil(
        lambda: studio.shown is not None and np.abs(studio.shown.frame.picture.astype(int) - rest).max() > 20
    )
    assert studio.shown is not None
    assert np.array_equal(studio.shown.frame.source, pictures[30])
    studio.set_slider("smile", 0.0)
    qtbot.waitUntil(lambda: studio.shown is not None and np.array_equal(studio.shown.frame.picture, rest))


def test_a_clip_as_portrait_with_a_clip_as_driver(
    qtbot: QtBot, make_window: Make, small_media: Path, clip_driver: Driver
) -> None:
    items = (PortraitItem(str(small_media / "clip.mp4")), PortraitItem(str(small_media / "a.jpg")))
    window = make_window(Session(items, driver=clip_driver))
    studio = window.studio
    qtbot.waitUntil(lambda: studio.live.clip is not None and studio.playback.seekable)
    window.commands.choose_portrait(1)  # a photo: nothing plays behind it
    qtbot.waitUntil(lambda: studio.live.clip is None)
    window.commands.choose_portrait(0)
    qtbot.waitUntil(lambda: studio.live.clip is not None and studio.live.clip.seekable)
    studio.set_paused(True)
    clip = studio.live.clip
    assert clip is not None
    assert clip.paused
    assert studio.playback.paused
    studio.seek(0.4)
    qtbot.waitUntil(lambda: abs(float(clip.place.time) - 0.4) < 0.05)
    qtbot.waitUntil(lambda: abs(float(studio.playback.place.time) - 0.4) < 0.05)
    window.commands.remove_portrait(0)
    qtbot.waitUntil(lambda: studio.live.clip is None)


def test_the_preview_plays_the_part_that_is_rendered(
    qtbot: QtBot, make_window: Make, small_media: Path, clip_driver: Driver
) -> None:
    """Of the driver and of a clip as portrait; an end before the start is told, and mended by the next change."""
    window = make_window(Session((PortraitItem(str(small_media / "clip.mp4")),), driver=clip_driver))
    studio = window.studio
    qtbot.waitUntil(lambda: studio.live.clip is not None and studio.playback.seekable)
    driving, own = frames_of(Path(clip_driver.source)), frames_of(small_media / "clip.mp4")
    rate = studio.playback.place.rate
    studio.set_option("start", "0.4")
    studio.set_option("duration", "0.4")
    studio.set_option("source_start", "0.2")
    expected = round(Fraction(4, 10) * rate)
    qtbot.waitUntil(lambda: 0 < studio.playback.place.duration <= Fraction(1, 2))
    qtbot.waitUntil(lambda: driver_is(window, driving[expected]))
    qtbot.waitUntil(lambda: not driver_is(window, driving[expected]))
    studio.set_paused(True)
    studio.seek(0.0)
    qtbot.waitUntil(lambda: driver_is(window, driving[expected]))
    studio.seek(9.0)
    qtbot.waitUntil(lambda: driver_is(window, driving[2 * expected - 1]))
    first = round(Fraction(2, 10) * rate)
    rest = Fraction(len(own) - first) / rate
    qtbot.waitUntil(lambda: studio.live.clip is not None and studio.live.clip.place.duration == rest)
    studio.seek(0.0)
    qtbot.waitUntil(lambda: studio.shown is not None and np.array_equal(studio.shown.frame.source, own[first]))
    studio.set_option("source_start", "0.4")  # while it stands still
    qtbot.waitUntil(lambda: studio.shown is not None and np.array_equal(studio.shown.frame.source, own[2 * first]))
    studio.set_paused(False)
    with qtbot.waitSignal(studio.failed) as told:
        studio.set_option("duration", "")
        studio.set_option("end", "0.2")
    assert "is not after the start" in str(told.args[0])
    studio.set_option("end", "")
    qtbot.waitUntil(lambda: studio.playback.place.duration > Fraction(1, 2))


def test_times_are_written_as_people_read_them() -> None:
    assert clock_text(0) == "0:00.00"
    assert clock_text(59.999) == "1:00.00"
    assert clock_text(61.5) == "1:01.50"
    assert clock_text(3725.07) == "62:05.07"
