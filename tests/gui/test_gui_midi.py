"""MIDI controllers move the window's sliders; an input is opened only while the options name one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

from app.errors import AppError
from app.gui.midi import Controllers
from app.gui.session import Session


class Desk:
    """Functions of mido; one input."""

    def __init__(self) -> None:
        self.callback: Callable[[Any], None] | None = None
        self.log: list[str] = []

    def get_input_names(self) -> list[str]:
        return ["nanoKONTROL2"]

    def open_input(self, name: str, callback: Callable[[Any], None]) -> Any:
        self.log.append(f"open {name}")
        self.callback = callback
        return self

    def close(self) -> None:
        self.log.append("close")

    def send(self, control: int, value: int) -> None:
        """From a thread of its own, as MIDI systems do."""
        assert self.callback is not None
        message = SimpleNamespace(type="control_change", channel=0, control=control, value=value)
        thread = threading.Thread(target=self.callback, args=[message])
        thread.start()
        thread.join()


class Studio(QObject):
    session_changed = Signal()
    failed = Signal(object, str)

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.background = self

    def run(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception, str], None]
    ) -> None:
        try:
            result = work()
        except AppError as error:
            failed(error, "")
        else:
            done(result)

    def set_slider(self, name: str, value: float) -> None:
        self.session = self.session.with_slider(name, value)

    def choose(self, **live: str) -> None:
        for name, value in live.items():
            self.session = self.session.with_live(name, value)
        self.session_changed.emit()


def test_an_input_is_opened_when_it_is_named_and_moves_the_sliders(qtbot: QtBot) -> None:
    studio, desk, told = Studio(), Desk(), []
    controllers = Controllers(studio, desk)  # type: ignore[arg-type]
    studio.failed.connect(lambda error, _: told.append(str(error)))
    studio.choose(mirror=False)
    assert desk.log == []
    studio.choose(midi="nano")
    assert (desk.log, controllers.name) == (["open nanoKONTROL2"], "nanoKONTROL2")
    desk.send(1, 127)
    qtbot.waitUntil(lambda: studio.session.sliders == {"smile": 1.3})
    studio.choose(midi_map="5=brow")
    desk.send(5, 0)
    qtbot.waitUntil(lambda: studio.session.sliders.get("brow") == -1)
    studio.choose(midi_map="5=nonsense")
    assert "no slider named 'nonsense'" in told[-1]
    assert desk.log.count("close") == 2
    studio.choose(midi_map="", midi="piano")
    assert "no MIDI input named 'piano'" in told[-1]
    studio.choose(midi="nano")
    controllers.close()
    assert desk.log[-1] == "close"
    assert controllers.name == ""
