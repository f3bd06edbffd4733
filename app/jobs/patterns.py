"""Glob patterns in job files, with a limit on how much of a disk they may search."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.errors import UsageError
from models.messages import msg

MOST_ENTRIES: Final = 300_000  # files and folders that the patterns of a batch may visit


class Search:
    """Expands patterns; all patterns of a batch share its limit.

    Args:
        limit: Number of files and folders that may be visited.
    """

    def __init__(self, limit: int = MOST_ENTRIES) -> None:
        self._limit = limit
        self._left = limit

    def find(self, pattern: str, base: Path, where: str = "") -> list[Path]:
        """Files that match, each once, in no particular order.

        ``*``, ``?`` and ``[...]`` match within a name, ``**`` any folders in between; names that begin with a dot are
        only found by patterns that do, and links to folders are not followed by ``**``.

        Args:
            pattern: The pattern; ~ is the home folder.
            base: Folder that it starts from.
            where: Location of the pattern, for errors.

        Raises:
            UsageError: It would search too much of the disk.
        """
        whole = Path(os.path.abspath(base)) / os.path.expanduser(pattern)
        parts = [part for part in whole.parts[1:] if part != "."]
        parts = [part for i, part in enumerate(parts) if part != "**" or parts[i - 1 : i] != ["**"]]
        try:
            found = {os.path.abspath(path) for path in self._walk(whole.anchor, parts)}
        except _SearchedTooMuchError:
            start = f"{where}: " if where else ""
            raise UsageError(
                msg(
                    "{start}{pattern} would search more than {limit:,} files and folders.", start, pattern, self._limit
                ),
                "Begin the pattern with the folder that holds the files.",
            ) from None
        return [Path(path) for path in found if not os.path.isdir(path)]

    def _walk(self, folder: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            yield folder
            return
        first, rest = parts[0], parts[1:]
        if first == "**":
            yield from self._walk(folder, rest) if rest else self._files(folder)
            for entry in self._entries(folder):
                if not entry.name.startswith(".") and _is_folder(entry):
                    yield from self._walk(entry.path, parts)
        elif glob.has_magic(first):
            matches = re.compile(fnmatch.translate(os.path.normcase(first))).match
            for entry in self._entries(folder):
                if entry.name.startswith(".") and not first.startswith("."):
                    continue
                if matches(os.path.normcase(entry.name)) and (not rest or entry.is_dir()):
                    yield from self._walk(entry.path, rest)
        else:
            path = os.path.join(folder, first)
            if os.path.lexists(path):
                yield from self._walk(path, rest)

    def _files(self, folder: str) -> Iterator[str]:
        for entry in self._entries(folder):
            if not entry.name.startswith("."):
                yield entry.path

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                found = []
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        raise _SearchedTooMuchError
                    found.append(entry)
        except OSError:  # not a folder, or not readable
            return []
        return found


class _SearchedTooMuchError(Exception):
    """The limit is reached."""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
