"""Voices, life and keyframes in the window."""

from __future__ import annotations

import json
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.frames.voices import open_track
from app.gui.jobs import make_entry
from app.gui.keyframes import Keyframes
from app.gui.preview_sound import sound_of_session
from app.gui.session import Driver, Session
from app.gui.window import MainWindow
from app.media.sound import sound_of
from app.media.speaker import Played
from app.media.waveform import waveform
from liveportrait.expression import Expression


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of silence, then half a second of a vowel."""
    path = tmp_path_factory.mktemp("voice") / "speech.wav"
    time = np.arange(16000) / 16000
    sound = sum(np.sin(2 * np.pi * 120 * k * time) / (1 + abs(120 * k - 750) / 150) for k in range(1, 30))
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes((3000 * sound * (time > 0.5)).astype("<i2").tobytes())
    return path


def test_a_waveform_is_as_loud_as_the_sound(voice: Path) -> None:
    peaks = waveform(sound_of(voice), 40)
    assert peaks.shape == (40,)
    assert (peaks[:19] == 0).all()
    assert (peaks[21:] > 0.5).all()
    assert peaks.max() == 1
    assert len(waveform(sound_of(voice, Fraction(0), Fraction(1, 4)), 7)) == 7


def test_a_sound_speaks_over_its_waveform_and_life_is_undone(qtbot: QtBot, window: MainWindow, voice: Path) -> None:
    studio, bar, panel = window.studio, window.transport, window.side.driver
    window.commands.take_files([str(voice)], "")
    assert studio.session.driver == Driver("template", str(voice))
    qtbot.waitUntil(lambda: bar.slider.wave is not None and studio.timeline is not None)
    assert bar.slider.wave is not None
    assert bar.slider.wave[:900].max() == 0 < bar.slider.wave[1100:].min()
    assert studio.playback.place.duration == 1
    qtbot.waitUntil(lambda: not panel.thumb.empty)
    assert panel.life.value.value() == 0.5
    qtbot.mouseClick(panel.life.slider, Qt.MouseButton.LeftButton, pos=QPoint(4, 10))
    assert studio.session.value("idle") == "0"
    studio.undo()
    assert (studio.session.value("idle"), panel.life.value.value()) == ("", 0.5)
    place = QPoint(round(0.75 * bar.slider.width()), 20)  # into the vowel
    studio.set_paused(True)
    qtbot.mouseClick(bar.slider, Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: abs(studio.playback.place.time - Fraction(3, 4)) < Fraction(1, 20))


class Listener:
    """A speaker that keeps what it is told."""

    problem = ""

    def __init__(self) -> None:
        self.volume = 0.0
        self.said: list[str] = []
        self.played: Played | None = None
        self.places: list[float] = []

    def play(self, played: Played | None) -> None:
        self.played = played

    def show(self, place: Fraction) -> None:
        self.said.append("show")
        self.places.append(float(place))

    def hush(self) -> None:
        self.said.append("hush")

    def close(self) -> None: ...


def test_the_preview_is_heard_in_step_until_it_pauses(qtbot: QtBot, window: MainWindow, voice: Path) -> None:
    studio, transport = window.studio, window.transport
    listener = Listener()
    studio.sound.speaker = listener  # type: ignore[assignment]
    assert transport.mute.isHidden()
    window.commands.take_files([str(voice)], "")
    qtbot.waitUntil(lambda: len(listener.places) > 3)
    assert listener.played is not None
    assert (listener.played.sound.path, listener.played.length, listener.played.loop) == (voice, 1, True)
    assert all(0 <= place < 1 for place in listener.places)
    assert not transport.mute.isHidden()
    studio.set_paused(True)
    assert listener.said[-1] == "hush"
    count = len(listener.places)
    studio.seek(0.5)
    qtbot.waitUntil(lambda: abs(studio.playback.place.time - Fraction(1, 2)) < Fraction(1, 20))
    qtbot.waitUntil(lambda: studio.shown is not None and studio.shown.frame.place == studio.playback.place.time)
    assert len(listener.places) == count  # seeking in a pause is silent
    studio.set_paused(False)
    qtbot.waitUntil(lambda: len(listener.places) > count + 1)
    transport.volume_changed.emit(0.5)
    assert (listener.volume, studio.settings.value("window/volume")) == (0.25, 0.5)
    window.actions_["mute"].setEnabled(True)
    window.actions_["mute"].trigger()
    assert (listener.said[-1], studio.sound.muted) == ("hush", True)


def test_what_is_heard_is_what_the_file_will_have(small_media: Path, small_session: Session, voice: Path) -> None:
    clip = replace(small_session, driver=Driver("file", str(small_media / "clip.mp4")))
    spoken = clip.with_value("lips_from", str(voice)).with_value("start", "0.5")

    def heard(session: Session) -> tuple[Path, Fraction] | None:
        found = sound_of_session(session)
        return None if found is None else (found.sound.path, found.sound.start)

    assert heard(small_session) is None
    assert heard(small_session.with_value("voice", str(voice)).with_value("start", "0.5")) == (voice, Fraction(1, 2))
    assert heard(spoken) == (voice, 0)
    assert heard(clip.with_value("voice", str(voice))) == (voice, 0)
    assert heard(spoken.with_value("audio", "none")) is None
    assert heard(replace(small_session, driver=Driver("template", str(voice))).with_value("start", "0.25")) == (
        voice, Fraction(1, 4),
    )  # fmt: skip


def test_sliders_only_can_live_and_render_as_a_clip(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, small_session: Session
) -> None:
    studio, life = window.studio, window.side.driver.life
    assert studio.timeline is None
    assert make_entry(studio.session.with_value("idle", "0"), tmp_path / "a.mp4", overwrite=False).values == {}
    life.slider.setFocus()
    qtbot.keyClick(life.slider, Qt.Key.Key_End)
    assert studio.session.value("idle") == "1"
    qtbot.waitUntil(lambda: studio.timeline is not None and studio.playback.place.time > 0)
    assert studio.playback.place.duration == 10
    assert window.commands.default_output(studio.session).name == "a-alive.mp4"
    entry = make_entry(studio.session, tmp_path / "a.mp4", overwrite=False)
    assert (entry.driving, entry.values["idle"]) == (None, "1")
    studio.undo()
    qtbot.waitUntil(lambda: studio.timeline is None and studio.live.driver is None)
    assert window.commands.default_output(studio.session).suffix == ".png"


def test_keys_are_set_dragged_eased_deleted_and_undone(qtbot: QtBot, window: MainWindow) -> None:
    studio, bar, lane = window.studio, window.transport.keys, window.transport.keyframes

    def times() -> list[float]:
        return [float(key.time) for key in studio.session.keys.keys]

    def ready() -> None:
        qtbot.waitUntil(lambda: studio.driven and studio.timeline is not None)

    assert lane.isHidden()
    qtbot.mouseClick(window.side.driver.keys, Qt.MouseButton.LeftButton)
    assert studio.session.keyed
    ready()
    qtbot.waitUntil(lane.isVisible)
    assert (studio.paused, studio.playback.place.duration) == (True, 5)
    qtbot.mouseClick(bar.set, Qt.MouseButton.LeftButton)
    studio.set_slider("yaw", 8.0)
    ready()
    studio.seek(2.0)
    qtbot.waitUntil(lambda: studio.playback.place.time == 2)
    qtbot.mouseClick(bar.set, Qt.MouseButton.LeftButton)
    assert times() == [0, 2]
    assert (studio.session.sliders, studio.session.keys.keys[1].expression.values) == ({}, {"yaw": 8.0})
    ready()
    assert studio.playback.place.time == 2 or studio.playback.seeking  # goes on where it was
    middle = lane.height() // 2
    at = [QPoint(round(lane.x_of(seconds)), middle) for seconds in (2, 3.2, 1)]
    qtbot.mousePress(lane, Qt.MouseButton.LeftButton, pos=at[0])
    qtbot.mouseMove(lane, QPoint(at[0].x() + 20, middle))
    qtbot.mouseMove(lane, at[1])
    qtbot.mouseRelease(lane, Qt.MouseButton.LeftButton, pos=at[1])
    assert times() == [0, pytest.approx(3.2, abs=0.05)]
    studio.undo()  # the drag is one step
    assert times() == [0, 2]
    qtbot.mouseDClick(lane, Qt.MouseButton.LeftButton, pos=at[2])
    assert times() == [0, pytest.approx(1, abs=0.05), 2]
    assert studio.session.keys.keys[1].expression.values["yaw"] == pytest.approx(4, abs=0.3)  # half the way
    qtbot.mouseClick(lane, Qt.MouseButton.LeftButton, pos=QPoint(round(lane.x_of(0)), middle))
    bar.ease.setFocus()
    qtbot.keyClick(bar.ease, Qt.Key.Key_End)
    assert studio.session.keys.keys[0].ease == "hold"
    lane.setFocus()
    qtbot.keyClick(lane, Qt.Key.Key_Right)
    qtbot.keyClick(lane, Qt.Key.Key_Delete)
    assert times() == [0, 2]
    bar.length.setValue(1.0)
    assert studio.session.keys.length == 2  # no key is lost
    saved = Session.from_dict(json.loads(json.dumps(studio.session.to_dict())))
    assert (saved.keys, saved.keyed) == (studio.session.keys, True)


def test_keys_are_saved_opened_played_and_rendered(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, bar, path = window.studio, window.transport.keys, tmp_path / "track.json"
    frames = (
        Keyframes(length=Fraction(1)).with_key(0, Expression({"smile": 0.5})).with_key(0.6, Expression({"yaw": 10}))
    )
    studio.apply(replace(studio.session, keys=frames.with_ease(0, "linear"), keyed=True), "")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    qtbot.mouseClick(bar.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(path.exists)
    driver = open_track(path)
    assert driver is not None
    assert driver.track is not None
    assert (driver.length, driver.track.at(0.3).values) == (1, {"smile": 0.25, "yaw": 5})
    entry = make_entry(studio.session, tmp_path / "out.mp4", overwrite=False)
    assert entry.driving is not None
    assert json.loads(entry.driving.read_text()) == json.loads(path.read_text())
    assert window.commands.default_output(studio.session).name == "a-keys.mp4"
    qtbot.waitUntil(lambda: studio.driven and studio.playback.place.time > Fraction(1, 5))  # plays
    studio.apply(replace(studio.session, keys=Keyframes(), keyed=False), "")
    assert window.transport.keyframes.isHidden()
    window.side.driver.keys.click()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    window.keying.open()
    qtbot.waitUntil(lambda: len(studio.session.keys.keys) == 2)
    assert studio.session.keys.to_dict() == frames.with_ease(0, "linear").to_dict()
