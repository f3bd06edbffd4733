"""Data that the program keeps on this computer besides the user's results, and their removal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.errors import MediaError, UsageError
from app.media.files import reason
from models.messages import msg

NAME: Final = "portrait-animate"
VARIABLES: Final = {  # variable that sets another location -> what is stored there
    "PORTRAIT_MODELS": "weights",
    "PORTRAIT_ANIMATE_CACHE": "kept motion",
    "PORTRAIT_ANIMATE_CONFIG": "settings",
    "PORTRAIT_ANIMATE_QUEUE": "queue",
}


@dataclass(frozen=True)
class DataFolder:
    """A folder with the program's own data.

    Attributes:
        what: Description of its contents.
        path: The folder; its name is that of the program.
    """

    what: str
    path: Path

    @property
    def size(self) -> int:
        """Total size of its files in bytes, without following links."""
        return sum(_sizes(self.path))


def data_folders() -> list[DataFolder]:
    """The program's existing folders, each once, outer ones first."""
    import platformdirs

    places = (
        ("settings, presets, expressions", platformdirs.user_config_path(NAME, appauthor=False)),
        ("weights, compiled engines, pasted images", platformdirs.user_data_path(NAME, appauthor=False)),
        ("kept motion", platformdirs.user_cache_path(NAME, appauthor=False)),
        ("queue", platformdirs.user_state_path(NAME, appauthor=False)),
    )
    found: list[DataFolder] = []
    for what, path in places:
        inside = any(path == one.path or one.path in path.parents for one in found)
        if os.path.lexists(path) and not inside:
            found.append(DataFolder(what, path))
    return found


def elsewhere() -> list[tuple[str, str, Path]]:
    """Locations set by environment variables: (variable, description, path). They are never removed."""
    return [
        (name, what, Path(os.environ[name]).expanduser()) for name, what in VARIABLES.items() if os.environ.get(name)
    ]


def check_nobody_works() -> None:
    """Check that no render is running, since its queue and weights must not be removed.

    Raises:
        UsageError: One is running.
    """
    from app.jobs import Queue
    from app.jobs.store import default_path

    if not default_path().is_file():
        return
    try:
        with Queue() as queue:
            names = queue.reader.workers()
    except MediaError:  # damaged: no worker uses it
        return
    if names:
        raise UsageError(
            "A batch or the window is rendering.",
            msg("Wait for it, or stop it (animate jobs cancel --all), then try again."),
        )


def remove(folder: DataFolder) -> None:
    """Remove a folder of the program with all its contents; of a link, only the link itself is removed.

    Raises:
        MediaError: Something in it can't be removed.
    """
    try:
        if folder.path.is_symlink() or not folder.path.is_dir():
            folder.path.unlink()
        else:
            shutil.rmtree(folder.path)
    except OSError as error:
        what, hint = reason(error)
        raise MediaError(
            msg("{filename} can't be removed: {what}.", error.filename or folder.path, what), hint
        ) from error


def _sizes(path: Path) -> Iterator[int]:
    if path.is_symlink():
        return
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(folder, name)).st_size
