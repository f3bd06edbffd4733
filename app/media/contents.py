"""Hashes of the content of inputs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

ABSENT: Final = "absent"
Known = Callable[[str, int, int, int], "str | None"]  # path, size, modification time, inode -> hash
Keep = Callable[[str, int, int, int, str], None]


def content_hash(path: Path, known: Known | None = None, keep: Keep | None = None) -> str:
    """SHA-256 of a file; of names and contents for a folder of images or a pattern; "absent" if it can't be read.

    Args:
        path: The input.
        known: Returns the stored hash of an unchanged file, or None.
        keep: Called with each newly computed hash.
    """
    try:
        if os.path.isfile(path):
            return _file_hash(path, known, keep)
        parts = [f"{one.name}\0{_file_hash(one, known, keep)}" for one in _members(path)]
    except OSError:
        return ABSENT
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest() if parts else ABSENT


def _members(path: Path) -> list[Path]:
    """Images of a folder or of a pattern such as shot_%04d.png."""
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    if not re.search(r"%0?\d*d", path.name) or not path.parent.is_dir():
        return []
    pattern = re.compile(r"\d+".join(re.escape(part) for part in re.split(r"%0?\d*d", path.name)))
    return sorted(one for one in path.parent.iterdir() if pattern.fullmatch(one.name))


def _file_hash(path: Path, known: Known | None, keep: Keep | None) -> str:
    status = os.stat(path)
    key = str(path), status.st_size, status.st_mtime_ns, status.st_ino
    found = known(*key) if known is not None else None
    if found is not None:
        return found
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if keep is not None:
        keep(*key, digest.hexdigest())
    return digest.hexdigest()
