"""Recordings that a crash cut off: noted while they run, found at the next start, completed on request."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.errors import MediaError
from app.media import files
from app.media.encode import FORMATS
from app.presets import config_folder
from app.processes import is_alive
from models.messages import msg

SMALLEST: Final = 1024  # bytes below which a recording holds no image


@dataclass(frozen=True)
class CutOff:
    """A recording that was cut off.

    Attributes:
        note: File that notes it.
        scratch: Hidden file that holds what was recorded.
        target: The name that the user gave it.
    """

    note: Path
    scratch: Path
    target: Path


def folder() -> Path:
    """Where running recordings are noted."""
    return config_folder() / "recordings"


def note(scratch: Path, target: Path) -> Path | None:
    """Note that a recording runs; returns the file to remove at its end, or None if it can't be written."""
    path = folder() / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([str(scratch.absolute()), str(target.absolute())]), encoding="utf-8")
    except OSError:
        return None
    return path


def cut_off() -> list[CutOff]:
    """Recordings whose program has ended without completing them, oldest first."""
    found = []
    try:
        notes = sorted(folder().glob("*.json"), key=lambda path: path.stat().st_mtime)
    except OSError:
        return []
    for path in notes:
        try:
            if is_alive(int(path.stem.split("-")[0])):
                continue
            scratch, target = (Path(name) for name in json.loads(path.read_text(encoding="utf-8")))
            size = scratch.stat().st_size
        except (OSError, ValueError, TypeError):
            files.remove(path)  # nothing is left of it
            continue
        if size < SMALLEST:
            discard(CutOff(path, scratch, target))
        else:
            found.append(CutOff(path, scratch, target))
    return found


def complete(one: CutOff, target: Path | None = None) -> Path:
    """Make a whole file of a recording that was cut off.

    Args:
        one: The recording.
        target: File to write; by default its own name or the next free one.

    Raises:
        MediaError: It can't be read or written; it is kept.
    """
    from app.media.remux import remux

    if target is None:
        target = files.free_name(one.target) if one.target.exists() else one.target
    scratch = files.temporary_name(target, f"{os.getpid()}.rescued")
    try:
        remux(one.scratch, scratch, FORMATS[target.suffix.lower()])
        files.sync(scratch)
        os.replace(scratch, target)
    except (OSError, ValueError, KeyError) as error:
        files.remove(scratch)
        why = files.reason(error)[0]
        raise MediaError(
            msg("{target} can't be completed: {reason}.", target.name, why), msg("It is kept as {path}.", one.scratch)
        ) from error
    discard(one)
    return target


def discard(one: CutOff) -> None:
    """Remove a recording that was cut off."""
    files.remove(one.scratch)
    files.remove(one.note)
