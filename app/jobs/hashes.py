"""Hashes that identify jobs: of the content of their inputs and of their options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.choices import FaceDriver
from app.option_files import FILES, IDLE, background_file, named_files


def option_hash(values: Mapping[str, Any], numbered: bool, expression: Mapping[str, Any] | None) -> str:
    """Hash of the non-default options that affect the result."""
    kept = {name: value for name, value in values.items() if name not in IDLE}
    text = json.dumps([kept, numbered, expression], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def input_files(source: Path, driving: Path | None, values: Mapping[str, Any]) -> list[Path]:
    """All files that a job reads: source, driving file (None if sliders pose it), and files named by options."""
    drivers = [] if driving is None else [driving]
    return [source, *drivers, *(path for path in named_files(values) if path.is_absolute())]


def joint_hash(hashes: Iterable[str]) -> str:
    """Hash of all inputs of a job."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def settled(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Option values with absolute file names; a name that is not a file may be that of a saved expression."""
    found = dict(values)
    for name in FILES:
        if found.get(name):
            path = Path(os.path.abspath(base / os.path.expanduser(str(found[name]))))
            if os.path.exists(path) or name != "expression":
                found[name] = str(path)
    if (behind := background_file(found)) is not None:
        found["background"] = os.path.abspath(base / behind.expanduser())
    if found.get("driver_for"):
        drivers = FaceDriver.parse(str(found["driver_for"]))
        absolute = (replace(one, path=Path(os.path.abspath(base / one.path.expanduser()))) for one in drivers)
        found["driver_for"] = "\n".join(map(str, absolute))
    return found
