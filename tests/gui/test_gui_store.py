"""Saved expressions and presets as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UsageError
from app.gui import store
from app.gui.session import Session
from app.presets import BUILT_IN, Preset, find_preset, resolve
from liveportrait.expression import Expression


def test_expression_is_saved_listed_and_imported(own_config: Path, tmp_path: Path) -> None:
    expression = Expression({"smile": 0.5}, (0.1, None))
    path = store.save_expression('My: "best" / one', expression)
    assert path.parent == own_config / "expressions"
    found, faults = store.list_expressions()
    assert not faults
    assert found[-1] == store.Saved('My: "best" / one', expression, path)
    exported = store.save_expression("other", expression, tmp_path / "other.json")
    first, second = store.import_expression(exported), store.import_expression(exported)
    assert first != second
    assert [saved.expression for saved in store.list_expressions()[0]][-3:] == [expression] * 3


def test_broken_expressions_are_named_and_left_out(own_config: Path) -> None:
    folder = own_config / "expressions"
    folder.mkdir(parents=True)
    (folder / "bad.json").write_text("{")
    (folder / "list.json").write_text("[]")
    (folder / "range.json").write_text('{"sliders": {"smile": 99}}')
    found, faults = store.list_expressions()
    assert all(saved.path is None for saved in found)
    assert [name in text for name, text in zip(("bad", "list", "range"), faults, strict=True)] == [True] * 3
    with pytest.raises(UsageError, match="can't be read"):
        store.read_expression(folder / "gone.json")


def test_names_that_are_no_names() -> None:
    assert store.safe_name("a/b\\c:d") == "a b c d"
    for name in ("", " . ", "///", "\x00"):
        with pytest.raises(UsageError):
            store.safe_name(name)


def test_preset_of_the_window_serves_the_command_line(own_config: Path, tmp_path: Path) -> None:
    store.save_preset("Mine", {"region": "lip", "multiplier": 1.5, "output": "x.mp4"}, "For dubbing.")
    assert find_preset("Mine").values == {"region": "lip", "multiplier": 1.5}
    assert resolve({}, preset="Mine").options.animation.region == "lip"
    exported = store.save_preset("x", {"region": "eyes"}, "", tmp_path / "x.toml")
    store.import_preset(exported)
    assert [preset.name for preset in store.list_user_presets()[0]] == ["Mine", "x"]
    (own_config / "presets" / "bad.toml").write_text("][")
    assert "bad.toml" in store.list_user_presets()[1][0]


def test_preset_takes_what_it_builds_on(own_config: Path) -> None:
    child = Preset("child", {"multiplier": 2.0}, parent="expression")
    assert store.preset_values(child) == {"region": "exp", "multiplier": 2.0}
    assert store.preset_values(Preset("loop", {}, parent="loop")) == {}
    assert "expression" in BUILT_IN


def test_built_in_expressions_are_within_range() -> None:
    found, _ = store.list_expressions()
    assert [saved.name for saved in found] == list(store.BUILT_IN_EXPRESSIONS)
    vowels = {name: found[i].expression.values for i, name in enumerate(store.BUILT_IN_EXPRESSIONS) if len(name) == 1}
    assert set(vowels) == set("AEIOU")
    assert len({tuple(sorted(v.items())) for v in vowels.values()}) == 5


def test_presets_hold_what_is_on_screen_and_expressions_leave_the_head_alone() -> None:
    """Parts that a preset or an expression does not name stay; a part at rest is named, so that it comes back too."""
    screen = Session(values={"multiplier": 2.0}, sliders={"yaw": 16.0, "smile": 0.5}, eye_left=0.2)
    assert store.on_screen(screen) == {"multiplier": 2.0, "sliders": "yaw=16,smile=0.5,left_eye=0.2"}
    assert store.on_screen(screen, ["pose"]) == {"sliders": "yaw=16"}
    assert store.on_screen(Session(), ["pose", "expression"]) == {"sliders": "yaw=0,smile=0"}
    assert store.on_screen(screen, ["options"]) == {"multiplier": 2.0}
    posed = screen.with_face(Expression({"brow": 0.4}))
    assert (dict(posed.sliders), posed.eye_left) == ({"yaw": 16.0, "brow": 0.4}, None)
    assert screen.with_face(Expression({"pitch": 5.0})).sliders == {"pitch": 5.0}
    assert screen.with_face(Expression({})).sliders == {"yaw": 16.0}
    turned = screen.with_named(Expression({"yaw": 0.0}))
    assert (dict(turned.sliders), turned.eye_left) == ({"smile": 0.5}, 0.2)
    assert screen.with_named(Expression({"smile": 0.0})).sliders == {"yaw": 16.0}
