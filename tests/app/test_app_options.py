"""The one list of options: declarations, checks, schema, documentation."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest

from app.choices import Square
from app.errors import UsageError
from app.options import (
    RUN_ONLY,
    SECTIONS,
    RenderOptions,
    all_options,
    find_option,
    json_schema,
    notes_on,
    parse_colour,
    parse_rate,
)

ROOT = Path(__file__).resolve().parents[2]


def test_every_field_is_an_option_once() -> None:
    fields = [field.name for kind in SECTIONS.values() for field in dataclasses.fields(kind)]
    assert sorted(info.name for info in all_options()) == sorted(fields)
    assert len(set(fields)) == len(fields)
    flags = [flag for info in all_options() for flag in info.flags]
    assert len(set(flags)) == len(flags)
    assert set(fields) >= RUN_ONLY


@pytest.mark.parametrize("info", all_options(), ids=lambda info: info.name)
def test_declaration_is_complete(info) -> None:
    assert info.title
    assert info.help.endswith(".")
    assert info.flags[-1].startswith("--")
    assert info.check(info.default) == info.default
    if info.kind in (int, float):
        assert info.minimum is not None
        assert info.maximum is not None
        assert info.minimum <= info.default <= info.maximum
        for bound in (info.minimum, info.maximum):
            assert info.check(str(bound)) == bound
        for outside in (info.minimum - 1, info.maximum + 1):
            with pytest.raises(UsageError, match=info.name):
                info.check(outside)
    if info.choices:
        assert info.default in info.choices


def test_values_go_round() -> None:
    options = RenderOptions.from_values({"multiplier": "1.5", "stitching": "no", "quality": 50, "region": "lip"})
    assert options.animation.multiplier == 1.5
    assert options.animation.stitching is False
    assert options.output.quality == 50
    assert RenderOptions.from_values(options.values()) == options


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"multiplyer": 1}, "job.toml: there is no option named 'multiplyer'. Did you mean multiplier?"),
        ({"multiplier": 5}, "job.toml: multiplier: 5 is out of bounds, it must be 0 to 3."),
        ({"multiplier": float("nan")}, "job.toml: multiplier: 'nan' is not a number from 0 to 3."),
        ({"quality": 1.5}, "job.toml: quality: '1.5' is not a whole number from 0 to 100."),
        ({"relative": "maybe"}, "job.toml: relative: 'maybe' is not yes or no."),
        ({"relative": 1}, "job.toml: relative: '1' is not yes or no."),
        (
            {"region": "lips"},
            "job.toml: region: 'lips' is not one of all, exp, pose, lip, eyes, or several joined by commas. "
            "Did you mean lip?",
        ),
        ({"multiplier": True}, "job.toml: multiplier: 'True' is not a number from 0 to 3."),
        ({"output": ["a"]}, "job.toml: output: \"['a']\" is not text."),
    ],
)
def test_messages_name_option_value_and_bounds(values: dict, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        RenderOptions.from_values(values, "job.toml")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        ("29.97", Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("", None),
    ],
)
def test_rates_are_exact(text: str, rate: Fraction | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-25", "fast", "1/0", "1e9"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="frame rate"):
        parse_rate(text)


def test_crop_and_colour() -> None:
    assert Square.parse("10,20,300") == Square(10, 20, 300)
    assert Square.parse("10, 20.5, 300, -15") == Square(10, 20.5, 300, -15)
    assert parse_colour("#00ff7F") == (0, 255, 127)
    for wrong in ("1,2,3", "a,b,c", "1,2,300,4,5"):
        with pytest.raises(ValueError, match=r"crop|x,y"):
            Square.parse(wrong)


def test_dashes_and_underscores() -> None:
    assert find_option("side-by-side").name == "side_by_side"


def test_schema_agrees_with_the_checks() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {info.name for info in all_options()}
    assert schema["additionalProperties"] is False
    multiplier = schema["properties"]["multiplier"]
    assert (multiplier["minimum"], multiplier["maximum"], multiplier["default"]) == (0, 3, 1)
    assert schema["properties"]["region"]["enum"][:5] == ["all", "exp", "pose", "lip", "eyes"]
    kinds = {"boolean": bool, "integer": int, "number": float, "string": str}
    for info in all_options():
        form = schema["properties"][info.name]
        assert type(info.check(form["default"])) is kinds[form.get("type", "string")], info.name
        for value in form.get("enum", [form[end] for end in ("minimum", "maximum") if end in form]):
            assert info.check(value) == value
        beyond = "nothing of these" if "enum" in form else form["maximum"] + 1 if "maximum" in form else None
        if beyond is not None:
            with pytest.raises(UsageError):
                info.check(beyond)
    assert schema["properties"]["driver_for"]["anyOf"][1] == {"type": "array", "items": {"type": "string"}}


def test_options_without_effect_are_named() -> None:
    assert notes_on(RenderOptions()) == []
    options = RenderOptions.from_values({"relative": False, "reference": "3"})
    assert notes_on(options) == ["The neutral reference has no effect on absolute motion (--no-relative)."]


def test_documentation_is_up_to_date() -> None:
    """docs/options.md is what tools/make_docs.py writes."""
    from tools.make_docs import options_page

    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == options_page()


def test_command_line_page_names_every_exit_code_and_command() -> None:
    from app.cli.main import VERBS
    from app.errors import ExitCode

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {int(code)} | " in page
    for verb in VERBS:
        assert f"animate {verb}" in page
