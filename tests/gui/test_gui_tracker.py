"""Face trackers and cameras of the network in the window: chosen, shown, and saved without what is secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from app.choices import LOOPBACK
from app.gui.dialogs.address import AddressDialog
from app.gui.main import Program, Start
from app.gui.session import Driver, Session
from app.gui.window import MainWindow

WAIT = 8_000  # milliseconds after which a test gives up; never reached when things work


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def test_a_tracking_app_drives_the_window(
    make_window: Callable[..., MainWindow], small_session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.sources.sensors.source.AWAITED", 0.05)
    window = make_window(small_session)
    panel, studio, port = window.side.driver, window.studio, free_port()
    panel.tracker.protocol.setCurrentIndex(panel.tracker.protocol.findData("ifacialmocap"))
    panel.tracker._protocol_chosen()
    panel.tracker.port.setText(str(port))
    panel.tracker.port.editingFinished.emit()
    assert studio.session.driver == Driver("tracking", f"ifacialmocap://127.0.0.1:{port}")
    qtbot.waitUntil(lambda: studio.live.state == "waiting", timeout=WAIT)
    qtbot.waitUntil(lambda: "Waiting for packets from" in window.transport.state.toolTip(), timeout=WAIT)
    assert panel.thumb._text == f"Waiting for packets from iFacialMocap at 127.0.0.1:{port}."
    assert not window.transport.recentre.isHidden()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.sendto(b"jawOpen-50|=head#0,10,0,0,0,0|", (LOOPBACK, port))
    qtbot.waitUntil(lambda: panel.thumb._text == "A face arrives", timeout=WAIT)
    panel.tracker.phone.click()
    assert studio.session.driver.source == f"ifacialmocap://0.0.0.0:{port}"
    assert f"port {port}" in panel.tracker.hint.text()
    kept = Session.from_dict(json.loads(json.dumps(studio.session.to_dict()))).driver
    assert kept == Driver("tracking", f"ifacialmocap://127.0.0.1:{port}")  # the next start opens nothing to the network


def test_a_camera_of_the_network_is_asked_for_and_its_password_not_kept(
    make_window: Callable[..., MainWindow], small_session: Session, qtbot: QtBot
) -> None:
    window = make_window(small_session)
    window.commands.ask_for_stream()
    dialog: Any = window.commands.prompts.dialogs[-1]
    assert isinstance(dialog, AddressDialog)
    for text, good in (
        ("rtsp://", False),
        ("ftp://host/x", False),
        (f"http://tom:pa55@127.0.0.1:{free_port()}/v", True),
    ):
        dialog.edit.setText(text)
        assert dialog.ok.isEnabled() is good
    url = dialog.url
    dialog.accept()
    assert window.studio.session.driver == Driver("camera", url)
    qtbot.waitUntil(lambda: "can't be read: Connection refused" in window.side.driver.thumb._text, timeout=WAIT)
    cameras = window.side.driver.cameras
    assert cameras.currentText() == url.replace("tom:pa55@", "")
    window.side.driver.show_cameras(["Webcam"])
    assert cameras.currentData() == url
    shown = [window.side.driver.thumb._text, cameras.currentText(), window.transport.state.toolTip()]
    assert not [text for text in [*shown, json.dumps(window.studio.session.to_dict())] if "pa55" in text]


def test_an_address_of_the_command_line_drives(qapp: object) -> None:
    program = Program(Start(address=f"osc://:{free_port()}"))
    try:
        assert program.studio.session.driver.kind == "tracking"
        assert Driver.at("http://127.0.0.1/x").kind == "camera"
    finally:
        program.window.replace_by()
        program.studio.close()
