"""Streams in the window: addresses, switches, states; secrets are hidden."""

from __future__ import annotations

import socket
from urllib.request import urlopen

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.gui.session import Session
from app.gui.widgets.streams import StreamsEditor
from app.gui.window import MainWindow
from app.live.stats import SinkInfo

SECRET = "Xy7sEcReT"
KEYED = f"rtmp://live.example.org/app/{SECRET}"


@pytest.fixture
def editor(qtbot: QtBot) -> StreamsEditor:
    made = StreamsEditor()
    qtbot.addWidget(made)
    made.show()
    return made


def typed(editor: StreamsEditor, text: str) -> None:
    editor.add.click()
    row = editor.rows[-1]
    row.edit.setText(text)
    QTest.keyClick(row.edit, Qt.Key.Key_Return)


def test_addresses_are_added_corrected_and_removed(editor: StreamsEditor) -> None:
    told: list[str] = []
    editor.changed.connect(told.append)
    typed(editor, "mjpeg://127.0.0.1:8090")
    typed(editor, "http://nonsense")
    assert told == ["mjpeg://127.0.0.1:8090"]
    assert "address such as" in editor.rows[1].state.text()
    assert not editor.rows[1].switch.isEnabled()
    editor.rows[1].edit.setText("mjpeg://127.0.0.1:8090")
    QTest.keyClick(editor.rows[1].edit, Qt.Key.Key_Return)
    assert "already in the list" in editor.rows[1].state.text()
    editor.rows[1].edit.setText("udp://127.0.0.1:5000")
    QTest.keyClick(editor.rows[1].edit, Qt.Key.Key_Return)
    assert told[-1] == "mjpeg://127.0.0.1:8090\nudp://127.0.0.1:5000"
    assert editor.rows[1].switch.isEnabled()
    editor._remove(editor.rows[0])
    assert told[-1] == "udp://127.0.0.1:5000"


def test_secrets_are_seen_only_while_they_are_edited(editor: StreamsEditor, qtbot: QtBot) -> None:
    editor.show_session(Session().with_live("stream", f"{KEYED}\nudp://127.0.0.1:5000"))
    row = editor.rows[0]
    assert SECRET not in row.edit.text()
    assert editor.rows[1].edit.text() == "udp://127.0.0.1:5000"
    row.edit.setFocus()
    qtbot.waitUntil(lambda: row.edit.text() == KEYED)
    told: list[str] = []
    editor.changed.connect(told.append)
    editor.rows[1].edit.setFocus()
    qtbot.waitUntil(lambda: SECRET not in row.edit.text())
    assert told == []
    editor.show_states({KEYED: SinkInfo("rtmp://live.example.org:1935", "failed", "No answer.", retrying=True)})
    assert row.switch.isChecked()
    assert row.state.text() == "No answer."
    assert not editor.rows[1].switch.isChecked()


def test_stream_is_switched_on_and_off(window: MainWindow, qtbot: QtBot) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    address = f"mjpeg://127.0.0.1:{port}"
    window.studio.set_live_option("stream", address)
    row = window.controls.streams.rows[0]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))
    row.switch.click()
    live = window.studio.live
    qtbot.waitUntil(lambda: any(s.name == address and s.shown > 0 for s in live.sinks))
    with urlopen(f"http://127.0.0.1:{port}/frame.png") as answer:
        assert answer.read(4) == b"\x89PNG"
    window.commands.show_sinks()
    assert row.state.text() == "On"
    row.switch.click()
    qtbot.waitUntil(lambda: all(s.name != address for s in live.sinks))
    assert not row.state.isVisibleTo(window)
    assert window.studio.outputs.streams == {}
