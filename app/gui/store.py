"""Save, list, import and export the user's presets and expressions. No Qt."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.driver_options import PART_FILES
from app.expressions import (
    BUILT_IN_EXPRESSIONS,
    Saved,
    expressions_folder,
    free_name,
    list_expressions,
    read_expression,
    safe_name,
    save_expression,
    write_text,
)
from app.gui.keyframes import Keyframes
from app.option_files import background_file
from app.options import find_option
from app.presets import Preset, config_folder, find_preset, list_presets, read_settings, to_toml
from liveportrait.expression import POSE_SLIDERS

if TYPE_CHECKING:
    from app.gui.session import Session

PARTS: Final = ("options", "pose", "expression")
"""What a preset can hold."""

__all__ = [
    "BUILT_IN_EXPRESSIONS",
    "Saved",
    "expressions_folder",
    "free_name",
    "import_expression",
    "import_preset",
    "list_expressions",
    "list_user_presets",
    "on_screen",
    "preset_values",
    "presets_folder",
    "read_expression",
    "safe_name",
    "save_expression",
    "save_preset",
    "write_text",
]


def with_ending(path: Path, known: tuple[str, ...], default: str) -> tuple[Path, bool]:
    """Complete a name from a file dialog with an extension for the format.

    Args:
        path: The name as it was typed; the part after its last dot may not be an extension.
        known: Extensions that can be written.
        default: Added if the name has none of them.

    Returns:
        The name, and whether it is the one that the dialog saw and asked about before replacing a file. A name
        completed here does not exist yet.
    """
    if path.suffix.lower() in known:
        return path, True
    return free_name(path.parent, path.name, default), False


def presets_folder() -> Path:
    """Folder of the user's presets."""
    return config_folder() / "presets"


def import_expression(path: Path) -> Path:
    """Check an expression file and copy it into the user's folder; a number is added if the name is taken.

    Raises:
        UsageError: See :func:`read_expression`.
    """
    saved = read_expression(path)
    target = free_name(expressions_folder(), safe_name(saved.name), ".json")
    return save_expression(saved.name, saved.expression, target)


def on_screen(session: Session, parts: Collection[str] = PARTS) -> dict[str, Any]:
    """Option values that make what is on screen: the options, and as ``sliders`` the pose and the expression.

    Args:
        session: What is on screen.
        parts: Which of PARTS.

    Returns:
        Option name -> value. A pose or an expression at rest is named by one slider at 0, so that it is restored too.
    """
    values = dict(session.values) if "options" in parts else {}
    named = {k: v for k, v in session.sliders.items() if ("pose" if k in POSE_SLIDERS else "expression") in parts}
    if "pose" in parts and named.keys().isdisjoint(POSE_SLIDERS):
        named["yaw"] = 0.0
    if "expression" in parts:
        ratios = {"left_eye": session.eye_left, "right_eye": session.eye_right, "lips": session.lips}
        fixed = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if not fixed and named.keys() <= set(POSE_SLIDERS):
            named["smile"] = 0.0
        named |= fixed
    return {**values, "sliders": ",".join(f"{name}={value:g}" for name, value in named.items())} if named else values


def save_preset(name: str, values: Mapping[str, Any], description: str = "", path: Path | None = None) -> Path:
    """Write option values as a preset, in the user's folder unless a path is given; without options of a run."""
    kept = {k: v for k, v in values.items() if not find_option(k).run_only}
    path = path or presets_folder() / f"{safe_name(name)}.toml"
    return write_text(path, to_toml(kept, name=name, description=description))


def keep_track(frames: Keyframes) -> Path:
    """The file of keyframes that a render plays, named by what it holds; the same keyframes have the same file.

    Raises:
        UsageError: It can't be written.
    """
    text = json.dumps(frames.to_dict(), indent=2) + "\n"
    path = config_folder() / "tracks" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    return path if path.is_file() else write_text(path, text)


def import_preset(path: Path) -> Path:
    """Check a preset file and copy it into the user's folder.

    Raises:
        UsageError: It can't be read.
    """
    preset = read_settings(path, preset=True)
    names = any(preset.values.get(name) for name in PART_FILES) or background_file(preset.values) is not None
    if names:  # relative file names are not valid in another folder
        target = free_name(presets_folder(), safe_name(preset.name), ".toml")
        head = {"name": preset.name, "description": preset.description, "preset": preset.parent}
        return write_text(target, to_toml(preset.values, None, **head))
    target = free_name(presets_folder(), safe_name(preset.name), path.suffix.lower())
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def names_files(preset: Preset) -> bool:
    """Whether a preset, or one that it is based on, names drivers of parts."""
    return bool(preset.parent) or any(name in preset.values for name in (*PART_FILES, "background"))


def present_files(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values of a preset without part drivers whose files are missing, and those files."""
    missing = {name: str(values[name]) for name in PART_FILES if values.get(name) and not Path(values[name]).exists()}
    return {name: value for name, value in values.items() if name not in missing}, list(dict.fromkeys(missing.values()))


def list_user_presets() -> tuple[list[Preset], list[str]]:
    """The user's presets, and a sentence for each file that can't be read."""
    found, faults = list_presets()
    return [preset for preset in found if preset.path is not None], faults


def preset_values(preset: Preset) -> dict[str, Any]:
    """Values of a preset, including those that it is based on."""
    values = dict(preset.values)
    seen = {preset.name}
    parent = preset.parent
    while parent and parent not in seen:
        seen.add(parent)
        base = find_preset(parent)
        values = {**base.values, **values}
        parent = base.parent
    return values
