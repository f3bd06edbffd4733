"""Files that appear under their name only when they are complete, and hashes of files."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ABANDONED: Final = 3600.0
"""Seconds after which an unfinished file is assumed to be left over from a crashed process."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file as lower-case hex.

    Raises:
        OSError: It can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A temporary name in a folder to write to; a leftover file is removed."""
    part = folder / f".{os.getpid()}-{time.monotonic_ns()}.part"
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary name next to a file for its new content; at the end it replaces the file, unless the block fails."""
    with unfinished(target.parent) as part:
        yield part
        part.replace(target)


def drop_abandoned(folder: Path) -> None:
    """Remove leftovers of :func:`unfinished` from crashed processes."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
