"""Scratch folders of workers; only folders created by this program are ever removed.

A queue file may come from anywhere, so its content must not decide what is removed. A worker's folder is derived from
its name alone, is directly inside the folder for temporary files, and contains a marker with that name.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from models.messages import msg

NAME: Final = re.compile(r"[0-9]{1,10}-[0-9]{1,6}-[0-9a-f]{12}")
MARKER: Final = ".portrait-animate-worker"
_base: list[Path] = []  # the folder for temporary files before a worker set its own


def base() -> Path:
    """The folder for temporary files of this user."""
    return _base[0] if _base else Path(tempfile.gettempdir())


def folder_of(worker: str) -> Path:
    """Scratch folder of a worker.

    Raises:
        ValueError: It is not a name of one of our workers.
    """
    if not NAME.fullmatch(worker):
        raise ValueError(msg("{worker!r} is not the name of a worker", worker))
    return base() / f"animate-worker-{worker}"


def settle_in(worker: str) -> Path:
    """Create the folder of this process's worker and use it for temporary files from now on."""
    folder = folder_of(worker)
    _base[:] = [base()]
    folder.mkdir(mode=0o700)
    (folder / MARKER).write_text(worker, encoding="ascii")
    tempfile.tempdir = str(folder)
    return folder


def discard(worker: str) -> bool:
    """Remove the scratch folder of a worker that has left; returns whether there was one of ours."""
    try:
        folder = folder_of(worker)
        status = os.lstat(folder)
        ours = stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
        marker = folder / MARKER
        if not ours:
            return False
        if not os.path.lexists(marker):
            os.rmdir(folder)  # only succeeds if empty: the worker died before it wrote the marker
            return True
        if marker.is_symlink() or marker.read_text(encoding="ascii") != worker:
            return False
    except (OSError, ValueError):
        return False
    with suppress(OSError):
        shutil.rmtree(folder, ignore_errors=True)
    return True
