"""Presets, the user's settings and job files: option values in TOML or JSON, and their precedence.

Precedence, highest first: command line, ``--config`` file, ``--preset``, the user's own file, default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from app.addresses import local_path
from app.driver_options import PART_FILES
from app.errors import UsageError
from app.option_files import background_file
from app.options import RenderOptions, all_options, check_values, find_option
from app.textfiles import parse_toml, read_text
from liveportrait.limits import parse_json, shown
from models.messages import msg

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
HEAD: Final = {"name": 200, "description": 2000, "preset": 1000}
"""Text entries of the header, and their maximum lengths."""

# Ordered steps (from version, change) that migrate older files to the next version.
MIGRATIONS: Final[tuple[tuple[int, Callable[[dict[str, Any]], dict[str, Any]]], ...]] = ()

BUILT_IN: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "calm": ("Small, smooth motion for photos that should move only a little.",
             {"multiplier": 0.7, "smooth": 10.0}),
    "lively": ("Stronger expression.", {"multiplier": 1.2, "eye_gain": 1.1, "lip_gain": 1.15}),
    "expression": ("Expression only, the head keeps its pose.", {"region": "exp"}),
    "lip-sync": ("Only mouth and jaw move; for dubbing a source video.", {"region": "lip"}),
    "copy": ("The driver's pose and expression as they are, not relative to the source's own.",
             {"relative": False}),
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A named set of option values.

    Attributes:
        name: Name for `--preset`.
        values: Option name -> checked value.
        description: One sentence, may be empty.
        parent: Preset that this one is based on, may be empty.
        path: File it was read from, None for a built-in one.
    """

    name: str
    values: Mapping[str, Any]
    description: str = ""
    parent: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Resolved:
    """Options after all sources have been merged.

    Attributes:
        options: The result.
        origins: Option name -> origin of its value ("default", "user file ...", "preset ...", ...).
        files: Files that were read.
    """

    options: RenderOptions
    origins: Mapping[str, str]
    files: tuple[Path, ...] = ()


def config_folder() -> Path:
    """Folder of the user's own settings and presets ($PORTRAIT_ANIMATE_CONFIG overrides it)."""
    chosen = os.environ.get("PORTRAIT_ANIMATE_CONFIG")
    if chosen:
        return Path(chosen)
    from platformdirs import user_config_path

    return user_config_path("portrait-animate", appauthor=False)


def user_file() -> Path:
    """The user's own settings; need not exist."""
    return config_folder() / "config.toml"


def read_settings(path: Path, *, preset: bool) -> Preset:
    """Read a TOML or JSON file with ``schema_version``, optional ``preset`` and ``description``, and ``[options]``.

    Args:
        path: The file.
        preset: True for a preset, which may not hold options of a single run (such as output).

    Raises:
        UsageError: The file can't be read, has a newer version, or contains an unknown name or an invalid value.
    """
    data = _migrate(_parse(path), path)
    unknown = set(data) - {"schema_version", "name", "description", "preset", "options"}
    if unknown:
        word = sorted(unknown)[0]
        known = [info.name for info in all_options()]
        hint = "Options belong under [options]." if word.replace("-", "_") in known else ""
        raise UsageError(msg("{path}: there is no entry named {word}.", path, shown(word)), hint)
    values = data.get("options", {})
    if not isinstance(values, dict):
        raise UsageError(msg("{path}: options must be a table of names and values.", path))
    for word, longest in HEAD.items():
        text = data.get(word, "")
        if not isinstance(text, str) or len(text) > longest:
            raise UsageError(
                msg(
                    "{path}: {word} must be a text of at most {longest:,} characters, not {text}.",
                    path, word, longest, shown(text)
                )
            )  # fmt: skip
    checked = check_values(values, str(path))
    if preset:
        wrong = [name for name in checked if find_option(name).run_only]
        if wrong:
            raise UsageError(
                msg("{path}: {wrong} belongs to a single run and can't be part of a preset.", path, wrong[0])
            )
        checked |= _files_beside(checked, path)
    return Preset(
        name=data.get("name", path.stem),
        values=checked,
        description=data.get("description", ""),
        parent=data.get("preset", ""),
        path=path,
    )


def list_presets() -> tuple[list[Preset], list[str]]:
    """Built-in presets, then the user's own, by name; and an error sentence for each file that can't be read."""
    found = [Preset(name, values, text) for name, (text, values) in BUILT_IN.items()]
    folder, faults = config_folder() / "presets", []
    for path in sorted([*folder.glob("*.toml"), *folder.glob("*.json")]) if folder.is_dir() else []:
        try:
            found.append(read_settings(path, preset=True))
        except UsageError as error:
            faults.append(str(error))
    return found, faults


def find_preset(name: str) -> Preset:
    """Find a preset by name, or read it from a file if the name ends in .toml or .json.

    Raises:
        UsageError: There is no such preset.
    """
    if name.lower().endswith((".toml", ".json")):
        return read_settings(local_path(name), preset=True)
    folder = config_folder() / "presets"
    for ending in (".toml", ".json"):
        if (folder / (name + ending)).is_file() and not {"/", os.sep} & set(name):
            return read_settings(folder / (name + ending), preset=True)
    if name in BUILT_IN:
        text, values = BUILT_IN[name]
        return Preset(name, values, text)
    known = [preset.name for preset in list_presets()[0]]
    near = get_close_matches(name, known, 1)
    raise UsageError(
        msg("There is no preset named {name}; known are {names}.", shown(name), ", ".join(known)),
        msg("Did you mean {near}?", near[0]) if near else "",
    )


def resolve(given: Mapping[str, Any], *, preset: str = "", config: Path | None = None) -> Resolved:
    """Merge all sources of option values.

    Args:
        given: Option name -> value from the command line; only those that were given.
        preset: Preset name or file, may be empty.
        config: Job or config file, or None.

    Raises:
        UsageError: A file can't be used, or ``given`` contains an invalid value.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    own = user_file()
    chosen = preset
    presets: list[Preset] = []
    job = None
    if config is not None:
        job = read_settings(config, preset=False)
        chosen = chosen or job.parent
    if own.is_file():
        settings = read_settings(own, preset=False)
        if settings.parent and not chosen:
            presets = _preset_chain(settings.parent)
            layers += map(_layer, presets)
        layers.append((f"user file {own}", settings.values))
    if chosen:
        presets = _preset_chain(chosen)
        layers += map(_layer, presets)
    if job is not None:
        layers.append((f"file {config}", job.values))
    flags = {find_option(name).name: find_option(name).check(v, find_option(name).label) for name, v in given.items()}
    layers.append(("command line", flags))
    values = {info.name: info.default for info in all_options()}
    origins = dict.fromkeys(values, "default")
    for origin, layer in layers:
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    read = [
        *([config] if config else []),
        *([own] if own.is_file() else []),
        *(one.path for one in presets if one.path),
    ]
    return Resolved(RenderOptions.from_values(values), origins, tuple(read))


def to_toml(values: Mapping[str, Any], comments: Mapping[str, str] | None = None, **head: str) -> str:
    """Write option values as a file that :func:`read_settings` reads.

    Args:
        values: Option name -> value.
        comments: Option name -> comment at the end of its line.
        head: Further header entries, such as name and description.
    """
    lines = [f"schema_version = {SCHEMA_VERSION}"]
    lines += [f"{key} = {_toml_value(text)}" for key, text in head.items() if text]
    lines += ["", "[options]"]
    for name, value in values.items():
        line = f"{name} = {_toml_value(value)}"
        comment = (comments or {}).get(name, "")
        lines.append(f"{line:<40} # {comment}" if comment else line)
    return "\n".join(lines) + "\n"


def _layer(preset: Preset) -> tuple[str, Mapping[str, Any]]:
    """Origin and values of a preset."""
    return f"preset {preset.path or preset.name}", preset.values


def _preset_chain(name: str) -> list[Preset]:
    """A preset and those it is based on, the base first."""
    chain: list[Preset] = []
    seen: list[str] = []
    while name:
        if name in seen:
            raise UsageError(msg("The presets {names} refer to each other in a circle.", ", ".join(seen)))
        seen.append(name)
        preset = find_preset(name)
        chain.insert(0, preset)
        name = preset.parent
    return chain


def _parse(path: Path) -> dict[str, Any]:
    text = read_text(path, MAX_BYTES)
    try:
        data = parse_json(text) if path.suffix.lower() == ".json" else parse_toml(text)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise UsageError(
            msg("{path} is not valid {suffix}: {reason}.", path, path.suffix[1:].upper() or "TOML", reason)
        ) from None
    if not isinstance(data, dict):
        raise UsageError(msg("{path}: a table of names and values is expected.", path))
    return data


def _files_beside(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Part drivers named in a preset that are in its folder, with absolute paths."""
    places = {name: path.parent / str(values[name]) for name in PART_FILES if values.get(name)}
    if (behind := background_file(values)) is not None:
        places["background"] = path.parent / behind
    return {name: os.path.abspath(place) for name, place in places.items() if place.exists()}


def _migrate(data: dict[str, Any], path: Path) -> dict[str, Any]:
    version = data.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UsageError(
            msg("{path}: schema_version must be a whole number from 1, not {version}.", path, shown(version))
        )
    if version > SCHEMA_VERSION:
        raise UsageError(
            msg(
                "{path} has version {version}, but this program supports only versions up to {schema_version}.",
                path, version, SCHEMA_VERSION
            ),
            "Update the program, or save the file again with this version."
        )  # fmt: skip
    for step, change in MIGRATIONS:
        if step >= version:
            data = change(data)
    return data


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return text if any(c in text for c in ".en") else text + ".0"
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
