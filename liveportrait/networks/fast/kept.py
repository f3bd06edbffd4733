"""Files that are made once and kept under the hash of their own content, so that damage is noticed and mended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from models.files import drop_abandoned, file_hash, unfinished

DIGITS: Final = 16
"""Hexadecimal digits of a content's SHA-256 in its file's name."""


def content_key(path: Path) -> str:
    """First 16 digits of the SHA-256 of a file's content.

    Raises:
        OSError: It can't be read.
    """
    return file_hash(path)[:DIGITS]


def kept_key(path: Path) -> str:
    """Content key in the name of a kept file."""
    return path.stem.rpartition("-")[2]


def find_kept(folder: Path, stem: str, suffix: str = ".onnx", say: Callable[[str], None] | None = None) -> Path | None:
    """The whole file kept under a name, or None; a damaged one is removed, with one line.

    Args:
        folder: Where it is kept.
        stem: Its name without content key and ending.
        suffix: Its ending.
        say: Told of a damaged file.
    """
    for path in sorted(folder.glob(f"{stem}-{'?' * DIGITS}{suffix}")):
        with suppress(OSError):
            if content_key(path) == kept_key(path):
                return path
            if say is not None:
                say(f"{path.name} is damaged; it is made again.")
            path.unlink()
    return None


def keep_file(folder: Path, stem: str, write: Callable[[Path], object], suffix: str = ".onnx") -> Path:
    """Make a file and keep it; it appears under its name only when it is whole.

    Args:
        folder: Where to; made if it isn't there.
        stem: Its name without content key and ending.
        write: Writes the content to a path.
        suffix: Its ending.

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
