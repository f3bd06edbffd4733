"""Sentences that keep what they were made of."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from pathlib import Path

import pytest

from app.errors import UsageError
from models.messages import Flags, Option, about, changed, fields, joined, msg, revived, stored_message

ROOT = Path(__file__).resolve().parents[2]


def test_a_message_is_its_english_text() -> None:
    message = msg("{path} has {count:,} rows and {path} {{braces}}.", "a.csv", 12345)
    assert message == "a.csv has 12,345 rows and a.csv {braces}."
    assert (message.template, message.values) == (
        "{path} has {count:,} rows and {path} {{braces}}.", {"path": "a.csv", "count": 12345},
    )  # fmt: skip
    assert str(ValueError(message)) is message
    assert message.rstrip(".") == message[:-1]
    assert message.rstrip(".").template == message.template
    for twin in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):
        assert (twin, twin.template, twin.values) == (message, message.template, message.values)
    with pytest.raises(ValueError, match="zip"):
        msg("{one} and {two}", 1)


def test_options_are_flags_on_the_command_line() -> None:
    assert msg("{option:max_side} and {option:paste_back=off} and {option:reference=auto}.") == (
        "--max-side and --no-paste-back and --reference auto."
    )
    assert about(Option("crop"), msg("{text!r} is odd.", "x")) == "--crop: 'x' is odd."
    assert about(Option("output", "-o"), "gone.") == "-o: gone."
    assert about("", "gone.") == "gone."
    assert f"{Flags():driver_for}" == "--driver-for"


def test_messages_survive_json() -> None:
    inner = msg("{count} frames", 3)
    whole = joined((about(Option("crop"), msg("{what} of {path}", inner, Path("a/b"))), "", "As it was."))
    assert whole == "--crop: 3 frames of a/b As it was."
    again = revived(json.loads(json.dumps(stored_message(whole))))
    assert again == whole
    assert stored_message(again) == stored_message(whole)
    assert stored_message(whole)["values"]["part0"]["values"]["label"] == {"option": "crop"}
    assert revived("plain") == "plain"
    assert revived({"message_id": "{gone} of a newer version", "values": {}}) == "{gone} of a newer version"


def test_long_values_are_cut_in_errors_with_their_templates() -> None:
    error = UsageError(msg("{text!r} is no size.", "9" * 300), msg("Take {one}.", "1"))
    assert str(error) == f"'{'9' * 40}'... is no size. Take 1."
    assert error.message.template == "{text!r} is no size."
    moved = changed(msg("{path} is gone.", Path("/tmp/x/a")), lambda text: text.replace("/tmp/x", "/home"))
    assert (moved, moved.values["path"]) == ("/home/a is gone.", "/home/a")


def test_every_message_gets_a_value_for_each_of_its_fields() -> None:
    wrong = []
    for package in ("app", "liveportrait", "models"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "msg":
                    first, *values = node.args
                    known = isinstance(first, ast.Constant) and not any(isinstance(v, ast.Starred) for v in values)
                    if known and len(fields(first.value)) != len(values):
                        wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []
