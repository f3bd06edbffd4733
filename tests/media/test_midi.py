"""MIDI controllers move sliders, through a stand-in with mido's functions and through real mido messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import MediaError, MissingError, UsageError
from app.media import midi
from app.media.midi import USUAL, Bindings, MidiInput, slider_value
from liveportrait.expression import SLIDERS, Expression

DOCS = Path(__file__).resolve().parents[2] / "docs" / "live.md"


class System:
    """Functions of mido, with inputs that a test sends to."""

    def __init__(self, *names: str, busy: bool = False) -> None:
        self.names, self.busy = names, busy
        self.callback: Callable[[Any], None] | None = None
        self.opened: list[str] = []
        self.closed = 0

    def get_input_names(self) -> list[str]:
        return list(self.names)

    def open_input(self, name: str, callback: Callable[[Any], None]) -> Any:
        if self.busy:
            raise OSError("device is busy")
        self.opened.append(name)
        self.callback = callback
        return self

    def close(self) -> None:
        self.closed += 1

    def send(self, control: int, value: int, channel: int = 0) -> None:
        assert self.callback is not None
        self.callback(SimpleNamespace(type="control_change", channel=channel, control=control, value=value))


def test_faders_and_knobs_move_sliders_and_other_messages_nothing() -> None:
    moved: list[tuple[str, float]] = []
    system = System("Midi Through Port-0", "nanoKONTROL2 SLIDER/KNOB")
    controllers = MidiInput("first", Bindings(), lambda *one: moved.append(one), system)
    assert controllers.name == "nanoKONTROL2 SLIDER/KNOB"
    system.send(1, 127)
    system.send(21, 0, channel=15)
    system.send(99, 5)
    assert system.callback is not None
    system.callback(SimpleNamespace(type="note_on", channel=0, note=1, velocity=64))
    assert moved == [("smile", 1.3), ("frown", 0.0)]
    controllers.close()
    assert system.closed == 1


@pytest.mark.parametrize("name", sorted(SLIDERS))
def test_every_slider_stays_in_its_bounds_and_rests_in_the_middle(name: str) -> None:
    values = [slider_value(name, value) for value in range(128)]
    for value in values:
        Expression({name: value})  # raises outside its bounds
    assert values == sorted(values)
    slider = SLIDERS[name]
    assert (values[0], values[-1]) == (slider.minimum, pytest.approx(slider.maximum))
    assert values[0 if slider.default == slider.minimum else 64] == slider.default


def test_own_bindings_and_channels() -> None:
    bound = Bindings.parse("1=brow, 3/1=smile;74=yaw")
    at = lambda channel, control: bound.read(  # noqa: E731
        SimpleNamespace(type="control_change", channel=channel - 1, control=control, value=127)
    )
    assert at(1, 1) == ("brow", 1.0)
    assert at(3, 1) == ("smile", pytest.approx(1.3))
    assert at(9, 74) == ("yaw", 25.0)
    assert at(1, 2) is None
    assert Bindings.parse("") == Bindings()


@pytest.mark.parametrize(
    "text", ["smile", "1=", "128=smile", "17/1=smile", "0/1=smile", "1=grin", "-1=smile", "1=smile=2"]
)
def test_wrong_bindings_are_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"--midi-map: "):
        Bindings.parse(text)


def test_inputs_are_found_by_a_part_of_their_name() -> None:
    system = System("Launch Control XL:0", "nanoKONTROL2")
    assert MidiInput("control xl", Bindings(), lambda *_: None, system).name == "Launch Control XL:0"
    with pytest.raises(MediaError, match=r"no MIDI input named 'piano'.*Launch Control XL:0, nanoKONTROL2"):
        MidiInput("piano", Bindings(), lambda *_: None, system)
    with pytest.raises(MediaError, match="none was found"):
        MidiInput("first", Bindings(), lambda *_: None, System())
    with pytest.raises(MediaError, match="can't be opened: device is busy"):
        MidiInput("first", Bindings(), lambda *_: None, System("a", busy=True))


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mido", None)
    with pytest.raises(MissingError, match="mido and python-rtmidi"):
        MidiInput("first", Bindings(), lambda *_: None)
    system = System("a")
    monkeypatch.setattr(system, "get_input_names", lambda: (_ for _ in ()).throw(ModuleNotFoundError("rtmidi")))
    with pytest.raises(MissingError):
        MidiInput("first", Bindings(), lambda *_: None, system)


def test_real_messages() -> None:
    mido = pytest.importorskip("mido")
    parser = mido.Parser()
    parser.feed([0xB0, 1, 127, 0x90, 60, 64, 0xE3, 0, 64, 0xB4, 21, 127, 0xF8])
    assert [found for message in parser if (found := Bindings().read(message))] == [
        ("smile", pytest.approx(1.3)), ("frown", 1.0),
    ]  # fmt: skip


def test_the_table_in_the_docs_is_the_one_in_use() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(number): name for number, name in rows} == dict(USUAL)
    assert midi.FIRST in DOCS.read_text(encoding="utf-8")
