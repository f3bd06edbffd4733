"""Converted weight files in the cache: the checked content of a checkpoint, in a form that loads without pickle.

A conversion is named by the SHA-256 of its source and by its own CRC-32, so it is found for every file with that
content, and damaged ones are detected and converted again. The source is never changed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.files import drop_abandoned, file_hash, unfinished, written_whole
from models.registry import get_model
from models.weights import recorded, user_folder

FOLDER: Final = "converted"
SOURCES: Final = "sources.json"
"""Index that avoids hashing unchanged sources again: path, size and modification time -> SHA-256."""
FORMAT: Final = "1"
"""Incremented when the content of conversions changes; older ones are converted again."""
SUFFIX: Final = ".safetensors"


@dataclass(frozen=True)
class Conversion:
    """One converted file.

    Attributes:
        path: The file in the cache.
        sources: Files that it was made from or is used for, as far as known.
        whole: Whether it is undamaged.
    """

    path: Path
    sources: tuple[Path, ...]
    whole: bool


def converted_folder() -> Path:
    """Folder of conversions, inside the user's folder of models."""
    return user_folder() / FOLDER


def find_converted(source: Path) -> Path | None:
    """The intact conversion of a file, or None. A damaged one is removed, so that it is converted again.

    Args:
        source: The original; it is hashed unless it is known to be unchanged.
    """
    try:
        found = _named(source_hash(source))
        if found is None or _is_whole(found):
            return found
        found.unlink()
    except OSError:
        return None
    return None


def save_converted(source: Path, write: Callable[[Path], object]) -> Path | None:
    """Store a conversion; no partial file ever appears under its name.

    Args:
        source: The original.
        write: Writes the converted content to a path.

    Returns:
        The file, or None if the cache can't be written: that costs only time.
    """
    folder = converted_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drop_abandoned(folder)
        name = source_hash(source)
        with unfinished(folder) as part:
            write(part)
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())
            target = folder / f"{name}-{FORMAT}-{_checksum(part):08x}{SUFFIX}"
            part.replace(target)
    except OSError:
        return None
    _drop_unused(folder)
    return target


def list_converted() -> list[Conversion]:
    """Every conversion in the cache, each read and checked."""
    by_hash: dict[str, list[Path]] = {}
    for name, (_, _, digest) in _sources().items():
        by_hash.setdefault(digest, []).append(Path(name))
    found = []
    for path in sorted(converted_folder().glob(f"*{SUFFIX}")):
        with suppress(OSError):
            sources = tuple(by_hash.get(path.name.partition("-")[0], ()))
            found.append(Conversion(path, sources, _is_whole(path)))
    return found


def converted_of(source: Path) -> Path | None:
    """Path of a file's conversion, if known without reading anything; it is not checked."""
    facts = _sources().get(str(source.resolve()))
    return None if facts is None else _named(facts[2])


def source_hash(source: Path) -> str:
    """SHA-256 of a file; cached with its size and modification time."""
    source = source.resolve()
    status = source.stat()
    known = _sources()
    facts = known.get(str(source))
    if facts is not None and facts[:2] == (status.st_size, status.st_mtime_ns):
        return facts[2]
    digest = file_hash(source)
    folder = converted_folder()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        entries = {**known, str(source): (status.st_size, status.st_mtime_ns, digest)}
        with written_whole(folder / SOURCES) as part:
            part.write_text(json.dumps(entries, indent=1, sort_keys=True), encoding="utf-8")
    return digest


def _sources() -> dict[str, tuple[int, int, str]]:
    """Path -> size, modification time and SHA-256 of known sources; unreadable entries are ignored."""
    try:
        data = json.loads((converted_folder() / SOURCES).read_text(encoding="utf-8"))
        return {str(name): (int(size), int(changed), str(digest)) for name, (size, changed, digest) in data.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _named(digest: str) -> Path | None:
    """The conversion of a source with this hash, in the current format."""
    return next(iter(sorted(converted_folder().glob(f"{digest}-{FORMAT}-*{SUFFIX}"))), None)


def _is_whole(path: Path) -> bool:
    return path.stem.rpartition("-")[2] == f"{_checksum(path):08x}"


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _drop_unused(folder: Path) -> None:
    """Remove conversions that no known file uses any more, and those of an older format."""
    used = {digest for name, (_, _, digest) in _sources().items() if Path(name).exists()}
    for path in folder.glob(f"*{SUFFIX}"):
        digest, form, *_ = [*path.stem.split("-"), "", ""]
        if digest not in used or form != FORMAT:
            with suppress(OSError):
                path.unlink()


def changed_fault(path: Path) -> str:
    """Fault of an installed file whose hash differs from the known one, as the rest of a sentence; or empty.

    Hashing takes a second for the largest; it is skipped while size and modification time are unchanged
    (see source_hash).

    Raises:
        OSError: It can't be read.
    """
    from models.registry import list_models

    for name in list_models():
        for file in get_model(name).files:
            if path != user_folder() / file.name:
                continue
            known = (file.size, file.sha256) if file.sha256 is not None else recorded(file)
            if known is not None and known[1] != source_hash(path):
                return "has changed since it was installed: its SHA-256 differs"
            return ""
    return ""
