"""Saved expressions: named slider values, built in or in the user's files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from app.addresses import local_name
from app.errors import UsageError
from app.media.outnames import check_name, check_plain
from app.option_parsers import expression_of, parse_sliders
from app.presets import config_folder
from liveportrait.expression import Expression
from liveportrait.limits import parse_json, read_limited, shown
from models.messages import Option, msg

BUILT_IN_EXPRESSIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "Neutral": {},
    "Smile": {"smile": 0.9, "blink": 0.08, "brow": 0.1},
    "Laugh": {"smile": 1.1, "lip_open": 0.55, "blink": 0.25, "brow": 0.2},
    "Surprise": {"brow": 0.8, "blink": -0.35, "lip_open": 0.6},
    "Sad": {"smile": -0.3, "frown": 0.5, "blink": 0.15, "gaze_y": -0.3},
    "Angry": {"brow": -0.6, "frown": 0.9, "lip_open": -0.3},
    "Wink": {"wink_right": 1.0, "smile": 0.5},
    "Kiss": {"pout": 0.7, "purse": 0.4, "blink": 0.3},
    "A": {"lip_open": 0.9},
    "E": {"lip_open": 0.35, "wide": 0.6},
    "I": {"lip_open": 0.18, "wide": 0.85, "smile": 0.2},
    "O": {"lip_open": 0.55, "wide": -0.7, "pout": 0.3},
    "U": {"lip_open": 0.2, "wide": -0.8, "pout": 0.7},
}
"""Built-in expressions; the last five are vowels."""
MAX_BYTES: Final = 1 << 20
MAX_NAME: Final = 200
LIST_HINT: Final = "`animate expression list` shows the saved ones."


@dataclass(frozen=True)
class Saved:
    """A named expression.

    Attributes:
        name: Its name.
        expression: The sliders.
        path: The user's file, None for a built-in one.
    """

    name: str
    expression: Expression
    path: Path | None = None


def safe_name(name: str) -> str:
    """Remove characters that file systems reject from a name.

    Raises:
        UsageError: Nothing remains of the name.
    """
    text = re.sub(r'[\x00-\x1f<>:"/\\|?*]', " ", name).strip(" .")
    text = re.sub(r"\s+", " ", text)[:80]
    if not text:
        raise UsageError(msg("{name!r} can't be used as a name.", name), "Use letters or digits.")
    return text


def expressions_folder() -> Path:
    """Folder of the user's expressions."""
    return config_folder() / "expressions"


def read_expression(path: Path) -> Saved:
    """Read an expression file.

    Raises:
        UsageError: The file can't be read or is not an expression.
    """
    try:
        data = parse_json(read_limited(path, MAX_BYTES))
        if not isinstance(data, dict):
            raise ValueError("a table of names and values is expected")
        name = data.pop("name", path.stem)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise ValueError(
                msg("its name is {name}, not a text of at most {max_name} characters", shown(name), MAX_NAME)
            )
        return Saved(name, Expression.from_dict(data), path)
    except OSError as error:
        raise UsageError(msg("{path} can't be read: {reason}.", path, error.strerror)) from None
    except ValueError as error:
        raise UsageError(
            msg("{path} is not an expression: {error}.", path, str(error).rstrip(".")), LIST_HINT
        ) from None


def list_expressions() -> tuple[list[Saved], list[str]]:
    """Built-in expressions, then the user's own; and an error sentence for each file that can't be read."""
    found = [Saved(name, Expression(dict(values))) for name, values in BUILT_IN_EXPRESSIONS.items()]
    faults = []
    for path in sorted(expressions_folder().glob("*.json")):
        try:
            found.append(read_expression(path))
        except UsageError as error:
            faults.append(str(error))
    return found, faults


def save_expression(name: str, expression: Expression, path: Path | None = None) -> Path:
    """Write an expression, in the user's folder unless a path is given."""
    path = path or expressions_folder() / f"{safe_name(name)}.json"
    text = json.dumps({"name": name, **expression.to_dict()}, indent=2, ensure_ascii=False)
    return write_text(path, text + "\n")


def find_saved(name: str) -> Saved | None:
    """The saved expression with a name (ignoring case), or None; the user's own take precedence over built-in ones."""
    saved, _ = list_expressions()
    return next((one for one in reversed(saved) if one.name.lower() == name.lower()), None)


def find_expression(text: str) -> Expression:
    """A saved expression by name (ignoring case) or file.

    Raises:
        UsageError: There is none with that name, or the file is not an expression.
    """
    if (one := find_saved(text)) is not None:
        return one.expression
    path = Path(local_name(text, Option("expression")))
    if path.exists():
        return read_expression(path).expression
    saved, _ = list_expressions()
    near = get_close_matches(text.lower(), [one.name.lower() for one in saved], 1)
    hint = next((msg("Did you mean {one}?", one.name) for one in saved if near and one.name.lower() == near[0]), "")
    raise UsageError(
        msg("{option:expression}: there is no saved expression and no file {text!r}.", text), hint or LIST_HINT
    )


def expression_from(expression: str, sliders: str, more: Expression | None = None) -> Expression | None:
    """Combine the options "expression" and "sliders"; None if both are empty.

    Args:
        expression: Name or file of a saved expression, or empty.
        sliders: Sliders with values, or empty.
        more: A third expression to add.

    Raises:
        UsageError: An unknown name, or a value out of range.
    """
    parts = [] if more is None else [more]
    if sliders:
        try:
            parts.insert(0, expression_of(parse_sliders(sliders)))
        except ValueError as error:
            raise UsageError(msg("{option:sliders}: {error}", error)) from None
    if expression:
        parts.insert(0, find_expression(expression))
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def free_name(folder: Path, stem: str, ending: str) -> Path:
    """An unused file name in a folder."""
    path, count = folder / f"{stem}{ending}", 2
    while path.exists():
        path = folder / f"{stem} {count}{ending}"
        count += 1
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a file atomically, creating its folder.

    Raises:
        UsageError: It can't be written.
    """
    try:
        path = path.resolve() if path.is_file() else path  # a link to a file stays a link
        check_name(path)
        check_plain(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UsageError(msg("{path} can't be written: {reason}.", path, error.strerror)) from None
    return path
