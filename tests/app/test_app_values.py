"""Values of options that are more than a number: faces, points of animals, sliders; and saved expressions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.choices import FaceDriver, Faces, Square, Subject
from app.errors import UsageError
from app.expressions import expression_from, find_expression, list_expressions, read_expression, save_expression
from app.option_parsers import expression_of, parse_points, parse_sliders
from app.options import RenderOptions
from liveportrait.expression import Expression
from models.choices import FaceChoice

NINE = "\n".join(f"{10 * i} {i}" for i in range(9))


@pytest.mark.parametrize(
    ("text", "faces"),
    [
        ("all", ()), ("largest", (FaceChoice(),)), ("1+02", (FaceChoice(number=1), FaceChoice(number=2))),
        ("left + 10,20.5", (FaceChoice("left"), FaceChoice(point=(10, 20.5)))), ("Center", (FaceChoice("centre"),)),
    ],
)  # fmt: skip
def test_faces(text: str, faces: tuple[FaceChoice, ...]) -> None:
    assert Faces.parse(text) == Faces(faces)
    assert Faces.parse(str(Faces(faces))) == Faces(faces)


@pytest.mark.parametrize("text", ["", "1+", "all+1", "biggest", "0"])
def test_bad_faces(text: str) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        Faces.parse(text)


def test_what_is_animated_is_written_as_it_is_read_and_scales_with_the_picture() -> None:
    values = {"face": "10,20", "crop": "30,40,100,5", "driver_for": "10,20=a=b.mp4\nleft=c.mp4", "landmarks": "x.json"}
    subject = RenderOptions.from_values(values).input.subject
    assert subject.values == values
    assert subject.scaled(0.1).values == {
        "face": "1,2", "crop": "3,4,16,5", "driver_for": "1,2=a=b.mp4\nleft=c.mp4", "landmarks": "x.json",
    }  # fmt: skip
    assert subject.drivers[0] == FaceDriver(FaceChoice(point=(10, 20)), Path("a=b.mp4"))
    assert RenderOptions().input.subject == Subject()
    with pytest.raises(ValueError, match="at least 16 px"):
        Square(0, 0, 15)


@pytest.mark.parametrize("value", ["1e999999999", "1e400,0,50", "9" * 5000, "1/" + "9" * 5000, "1e-999999999"])
@pytest.mark.parametrize("name", ["fps", "face", "crop", "reference"])
def test_numbers_of_absurd_length_are_refused_at_once(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: "):
        RenderOptions.from_values({name: value})


def test_points() -> None:
    assert parse_points("# eyes\n" + NINE.replace(" ", ", ") + "  # the last\n\n")[8] == (80.0, 8.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "there are 0"), (NINE + "\n1 2", "there are 10"), (NINE[:-1] + "x", "two numbers"),
     (NINE + " 3", "two numbers"), (NINE[:-1] + "nan", "nine points"), (NINE[:-1] + "inf", "nine points")],
)  # fmt: skip
def test_bad_points(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_points(text)


def test_sliders_and_openings() -> None:
    assert parse_sliders("smile=0.5, gaze-left-x=-1;yaw=10") == {"smile": 0.5, "gaze_left_x": -1.0, "yaw": 10.0}
    assert expression_of({"eyes": 0.3}) == Expression({}, eye_ratio=(0.3, 0.3))
    assert expression_of({"left_eye": 0.1, "lips": 0}) == Expression({}, eye_ratio=(0.1, None), lip_ratio=0)
    assert expression_of({"eyes": 0.3, "right_eye": 0}) == Expression({}, eye_ratio=(0.3, 0))


@pytest.mark.parametrize("text", ["smile", "smile=", "=1", "smile=much", "smile=nan", "smirk=1", "smile=9", "lips=2"])
def test_bad_sliders(text: str) -> None:
    with pytest.raises(UsageError, match="sliders: "):
        RenderOptions.from_values({"sliders": text})


def test_expressions_add_up(here: Path) -> None:
    save_expression("Mine", Expression({"smile": 0.4, "brow": 0.2}, lip_ratio=0.1))
    total = expression_from("mine", "smile=0.5", Expression({"yaw": 5}))
    assert total is not None
    assert dict(total.values) == pytest.approx({"smile": 0.9, "brow": 0.2, "yaw": 5})
    assert total.lip_ratio == 0.1
    assert expression_from("", "") is None
    assert expression_from("", "", total) is total


def test_names_win_over_files_and_own_ones_over_built_in(here: Path) -> None:
    assert find_expression("SMILE").values["smile"] == 0.9
    save_expression("Smile", Expression({"smile": 0.1}))
    assert find_expression("smile").values["smile"] == 0.1
    Path("pose.json").write_text(json.dumps({"sliders": {"yaw": 3}}))
    assert find_expression("pose.json").values == {"yaw": 3.0}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"sliders": {"smirk": 1}}', '{"schema_version": 99}', '{"x": 1}'])
def test_bad_expression_files(here: Path, content: str) -> None:
    Path("bad.json").write_text(content)
    with pytest.raises(UsageError, match=r"bad\.json is not an expression"):
        find_expression("bad.json")


def test_expression_verbs(run_cli: Callable, here: Path) -> None:
    assert run_cli("expression", "save", "My grin", "wide=0.5,lips=0.1", "--expression", "wink").code == 0
    assert run_cli("expression", "show", "my grin").out.strip() == "smile=0.5,wide=0.5,wink_right=1,lips=0.1"
    again = run_cli("expression", "save", "my GRIN", "wide=1")
    assert again.code == 2
    assert "already" in again.err
    assert run_cli("expression", "save", "My grin", "wide=1", "--overwrite").code == 0
    listed = [json.loads(line) for line in run_cli("expression", "list", "--json").out.splitlines()]
    assert [one["sliders"] for one in listed if one["name"] == "My grin"] == [{"wide": 1.0}]
    assert len(listed) == len(list_expressions()[0])
    sliders = run_cli("expression", "sliders").out
    assert "smile " in sliders
    assert "-0.3 to 1.3" in sliders
    near = run_cli("expression", "show", "smlie")
    assert near.code == 2
    assert "Did you mean Smile?" in near.err
    assert run_cli("expression", "save", "x", "smile=4").code == 2
    assert run_cli("expression", "save", "x", "smile=0.4", "-o", "in/photo.jpg").code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"sliders": {}, "eye_ratio": [0, 0, 0]}', "eye_ratio"),
        ('{"eye_ratio": 3}', "eye_ratio"),
        ('{"eye_ratio": [3, 0]}', "eye_ratio of the left eye must be within 0 to 1, not 3"),
        ('{"eye_ratio": [null, -0.1]}', "eye_ratio of the right eye"),
        ('{"eye_ratio": [NaN, 0]}', "NaN"),
        ('{"eye_ratio": ["0", 0]}', "must be"),
        ('{"lip_ratio": -1}', "lip_ratio must be within 0 to 1, not -1"),
        ('{"lip_ratio": 1e999}', "too large"),
        ('{"lip_ratio": true}', "must be"),
        ('{"lip_ratio": [1]}', "must be"),
        ('{"sliders": [1]}', "sliders"),
        ('{"sliders": {"smile": "1"}}', "smile"),
        ('{"sliders": {"smile": null}}', "smile"),
        ('{"sliders": {"smile": 2}}', "smile must be within"),
        ('{"sliders": {"smile": %s}}' % ("9" * 400), "400 digits"),
        ('{"sliders": {"grin": 1}}', "grin"),
        ('{"schema_version": 2}', "newer version"),
        ('{"schema_version": 1.5}', "schema_version"),
        ('{"schema_version": 0}', "schema_version"),
        ('{"name": 3}', "name"),
        ('{"name": "%s"}' % ("x" * 300), "name"),
        ('{"more": 1}', "more"),
        ("[]", "table"),
        ("[" * 100_000, "nested"),
        ("{", "not JSON"),
        (" " * (2 << 20), "larger than"),
    ],
)
def test_hostile_expressions_are_one_short_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        read_expression(path)
    assert "e.json" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_pipes_and_folders_are_no_expressions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        read_expression(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="not a regular file"):
            read_expression(tmp_path / "pipe")
