"""What jobs are told apart by: the content of their inputs and what their options ask for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from app.choices import FaceDriver
from app.option_files import FILES, named_files

IDLE: Final = frozenset({"output", "overwrite", "json_lines", "quiet", "threads"})  # options that change no result
ABSENT: Final = "absent"
Known = Callable[[str, int, int, int], "str | None"]  # path, size, time of change, inode -> hash
Keep = Callable[[str, int, int, int, str], None]


def option_hash(values: Mapping[str, Any], numbered: bool, expression: Mapping[str, Any] | None) -> str:
    """Hash of options that are not at their default, as far as they change the result."""
    kept = {name: value for name, value in values.items() if name not in IDLE}
    text = json.dumps([kept, numbered, expression], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(path: Path, known: Known | None = None, keep: Keep | None = None) -> str:
    """SHA-256 of a file; of names and contents for a folder of pictures or a pattern; "absent" if it can't be read.

    Args:
        path: The input.
        known: Gives the hash of a file that has not changed since it was kept, or None.
        keep: Told each hash that had to be worked out.
    """
    try:
        if os.path.isfile(path):
            return _file_hash(path, known, keep)
        parts = [f"{one.name}\0{_file_hash(one, known, keep)}" for one in _members(path)]
    except OSError:
        return ABSENT
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest() if parts else ABSENT


def input_files(source: Path, driving: Path | None, values: Mapping[str, Any]) -> list[Path]:
    """All files that a job reads: source, driving file (None: sliders pose it), and what its options name."""
    drivers = [] if driving is None else [driving]
    return [source, *drivers, *(path for path in named_files(values) if path.is_absolute())]


def joint_hash(hashes: Iterable[str]) -> str:
    """Hash of all inputs of a job."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def settled(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Option values with the names of files made absolute; a name that is no file may be one of something saved."""
    found = dict(values)
    for name in FILES:
        if found.get(name):
            path = Path(os.path.abspath(base / os.path.expanduser(str(found[name]))))
            if os.path.exists(path) or name != "expression":
                found[name] = str(path)
    if found.get("driver_for"):
        drivers = FaceDriver.parse(str(found["driver_for"]))
        absolute = (replace(one, path=Path(os.path.abspath(base / one.path.expanduser()))) for one in drivers)
        found["driver_for"] = "\n".join(map(str, absolute))
    return found


def _members(path: Path) -> list[Path]:
    """Pictures of a folder or of a pattern such as shot_%04d.png."""
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


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of the program's parts that read motion, so that what an older version read is not used."""
    import app
    import liveportrait
    import models

    digest = hashlib.sha256(liveportrait.__version__.encode())
    for package, pattern in ((liveportrait, "**/*.py"), (models, "**/*.py"), (app, "media/*.py"), (app, "render/*.py")):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.glob(pattern)):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
