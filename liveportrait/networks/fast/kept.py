"""Files that are cached under the hash of their own content, so that damage is detected and repaired."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from models.files import drop_abandoned, file_hash, unfinished

DIGITS: Final = 16
"""Hexadecimal digits of the content's SHA-256 in a file's name."""


def content_key(path: Path) -> str:
    """First 16 digits of the SHA-256 of a file's content.

    Raises:
        OSError: It can't be read.
    """
    return file_hash(path)[:DIGITS]


def kept_key(path: Path) -> str:
    """Content key in the name of a cached file."""
    return path.stem.rpartition("-")[2]


def find_kept(folder: Path, stem: str, suffix: str = ".onnx", say: Callable[[str], None] | None = None) -> Path | None:
    """The intact file cached under a name, or None; a damaged one is removed, with one line.

    Args:
        folder: Its folder.
        stem: Its name without content key and extension.
        suffix: Its extension.
        say: Called with a line on a damaged file.
    """
    for path in sorted(folder.glob(f"{stem}-{'?' * DIGITS}{suffix}")):
        with suppress(OSError):
            if content_key(path) == kept_key(path):
                return path
            if say is not None:
                say(f"{path.name} is damaged; it is created again.")
            path.unlink()
    return None


def keep_file(folder: Path, stem: str, write: Callable[[Path], object], suffix: str = ".onnx") -> Path:
    """Write a file into the cache; it appears under its name only when it is complete.

    Args:
        folder: Target folder; created if missing.
        stem: Its name without content key and extension.
        write: Writes the content to a path.
        suffix: Its extension.

    Returns:
        The file.

    Raises:
        OSError: It can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drop_abandoned(folder)
    with unfinished(folder) as part:
        write(part)
        target = folder / f"{stem}-{content_key(part)}{suffix}"
        part.replace(target)
    return target
