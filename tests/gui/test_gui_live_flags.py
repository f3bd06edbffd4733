"""What `animate live` asks for on the command line stands in the window."""

from __future__ import annotations

from pathlib import Path

import pytest

import assets
from app.gui.main import Program, Start
from liveportrait.expression import Expression


def test_a_placed_face_of_the_command_line_belongs_to_the_portrait(
    qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Path(str(assets.__file__)).parent / "sample" / "portrait.jpg"
    monkeypatch.chdir(tmp_path)
    program = Program(Start((photo,), values={"landmarks": "cat.landmarks.json"}))
    try:
        item = program.studio.session.portrait
        assert item is not None
        assert item.subject.values["landmarks"] == str(tmp_path / "cat.landmarks.json")
    finally:
        program.window.replace_by()
        program.studio.close()


def test_options_and_sliders_of_the_command_line(qapp: object) -> None:
    photo = Path(str(assets.__file__)).parent / "sample" / "portrait.jpg"
    start = Start((photo,), values={"multiplier": 1.5, "face": "1"}, live={"hold_rate": 25.0, "stream": "udp://127.0.0.1:5000"},
                  expression=Expression({"smile": 0.5}, (0.2, None), 0.0))  # fmt: skip
    program = Program(start)
    try:
        session = program.studio.session
        assert session.value("multiplier") == 1.5
        assert session.value("face") == "1"
        assert session.live_value("hold_rate") == 25.0
        assert session.expression == Expression({"smile": 0.5}, (0.2, None), 0.0)
        assert program.studio.live.expression == session.expression
        assert list(program.studio.outputs.streams) == ["udp://127.0.0.1:5000"]
        assert program.window.controls.streams.rows[0].switch.isChecked()
        assert "stream" not in session.values  # so that no preset holds an address
    finally:
        program.window.replace_by()
        program.studio.close()
