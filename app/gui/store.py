"""Presets and expressions of the user as files: saved, listed, imported and exported. No Qt."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, UsageError
from app.options import find_option
from app.presets import Preset, config_folder, find_preset, read_settings, to_toml
from liveportrait.expression import Expression

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
"""Poses to begin with; the last five are vowels."""


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
    """A file name without characters that file systems refuse.

    Raises:
        UsageError: Nothing is left of the name.
    """
    text = re.sub(r'[\x00-\x1f<>:"/\\|?*]', " ", name).strip(" .")
    text = re.sub(r"\s+", " ", text)[:80]
    if not text:
        raise UsageError(f"{name!r} can't be used as a name.", "Use letters or digits.")
    return text


def expressions_folder() -> Path:
    """Folder of the user's expressions."""
    return config_folder() / "expressions"


def presets_folder() -> Path:
    """Folder of the user's presets."""
    return config_folder() / "presets"


def read_expression(path: Path) -> Saved:
    """An expression file.

    Raises:
        UsageError: The file can't be read or holds something else.
    """
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
        if not isinstance(data, dict):
            raise ValueError("a table of names and values is expected.")
        name = str(data.pop("name", path.stem))
        return Saved(name, Expression.from_dict(data), path)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is no expression: {error}") from None


def list_expressions() -> tuple[list[Saved], list[str]]:
    """Built-in expressions, then the user's own; and a sentence for each file that can't be read."""
    found = [Saved(name, Expression(dict(values))) for name, values in BUILT_IN_EXPRESSIONS.items()]
    faults = []
    for path in sorted(expressions_folder().glob("*.json")):
        try:
            found.append(read_expression(path))
        except UsageError as error:
            faults.append(str(error))
    return found, faults


def save_expression(name: str, expression: Expression, path: Path | None = None) -> Path:
    """Write an expression, under the user's folder unless a path is given."""
    path = path or expressions_folder() / f"{safe_name(name)}.json"
    text = json.dumps({"name": name, **expression.to_dict()}, indent=2, ensure_ascii=False)
    return _write(path, text + "\n")


def import_expression(path: Path) -> Path:
    """Copy an expression file into the user's folder after a check; a taken name gets a number.

    Raises:
        UsageError: See :func:`read_expression`.
    """
    saved = read_expression(path)
    target = free_name(expressions_folder(), safe_name(saved.name), ".json")
    return save_expression(saved.name, saved.expression, target)


def save_preset(name: str, values: Mapping[str, Any], description: str = "", path: Path | None = None) -> Path:
    """Write option values as a preset, under the user's folder unless a path is given; without options of a run."""
    kept = {k: v for k, v in values.items() if not find_option(k).run_only}
    path = path or presets_folder() / f"{safe_name(name)}.toml"
    return _write(path, to_toml(kept, name=name, description=description))


def import_preset(path: Path) -> Path:
    """Copy a preset file into the user's folder after a check.

    Raises:
        UsageError: It can't be read.
    """
    preset = read_settings(path, preset=True)
    target = free_name(presets_folder(), safe_name(preset.name), path.suffix.lower())
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def list_user_presets() -> tuple[list[Preset], list[str]]:
    """The user's presets, and a sentence for each file that can't be read."""
    found: list[Preset] = []
    faults = []
    for path in sorted([*presets_folder().glob("*.toml"), *presets_folder().glob("*.json")]):
        try:
            found.append(read_settings(path, preset=True))
        except AppError as error:
            faults.append(str(error))
    return found, faults


def preset_values(preset: Preset) -> dict[str, Any]:
    """Values of a preset together with those that it builds on."""
    values = dict(preset.values)
    seen = {preset.name}
    parent = preset.parent
    while parent and parent not in seen:
        seen.add(parent)
        base = find_preset(parent)
        values = {**base.values, **values}
        parent = base.parent
    return values


def free_name(folder: Path, stem: str, ending: str) -> Path:
    """A name in a folder that is not taken."""
    path, count = folder / f"{stem}{ending}", 2
    while path.exists():
        path = folder / f"{stem} {count}{ending}"
        count += 1
    return path


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.") from None
    return path
