"""Locations of results: a folder, or anything that fsspec supports. Files get their names only when complete.

A worker renders into the job's own hidden folder beside the result; the files are then renamed into place. Between the
two steps the queue records which files belong there, so that a kill at any time leaves a defined state.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from app.errors import MediaError, MissingError
from app.media import files
from app.render.job import SIDE_BY_SIDE
from models.messages import msg

Files = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and modification time in nanoseconds (0 if not available) of each file of a result."""

NUMBER: Final = re.compile(r"%0?(\d*)d")


class Target(ABC):
    """Location of one result.

    Args:
        output: File, pattern for numbered images, or URL.
        numbered: Whether it is a pattern.
    """

    def __init__(self, output: str, numbered: bool) -> None:
        self.output = output
        self._numbered = numbered
        self.name = PurePosixPath(output).name if "://" in output else Path(output).name
        self.first = NUMBER.sub(lambda m: "1".zfill(int(m.group(1) or 0)), self.name) if numbered else self.name

    def exists(self) -> bool:
        """Whether something exists under the result's name."""
        return self.has(self.first)

    def owns(self, name: str) -> bool:
        """Whether a file with this name can belong to the result: itself, a numbered image, or the comparison."""
        stem, dot, suffix = name.rpartition(".")
        plain = f"{stem.removesuffix(SIDE_BY_SIDE)}{dot}{suffix}"
        pattern = "[0-9]+".join(re.escape(part) for part in NUMBER.split(self.name)[::2]) if self._numbered else ""
        names = [name, plain] if stem.endswith(SIDE_BY_SIDE) else [name]
        return any(one == self.name or (pattern and re.fullmatch(pattern, one)) for one in names)

    def foreign(self, names: Iterable[str], own: Files) -> str:
        """The first of some names that belongs to a foreign file.

        Args:
            names: Names about to be used.
            own: Files written earlier; unchanged ones may be replaced.

        Returns:
            The name, empty if all are free.
        """
        before = {one[0]: one for one in own}
        for name in names:
            if self.has(name) and not (name in before and self.holds((before[name],))):
                return name
        return ""

    @abstractmethod
    def open(self, tag: str) -> Path:
        """Create the empty folder to render into.

        Args:
            tag: Unique for each attempt of each job.

        Raises:
            MediaError: The location can't be written to.
        """

    @abstractmethod
    def stage(self, tag: str) -> Files:
        """Move the rendered files to the location, still hidden."""

    @abstractmethod
    def publish(self, tag: str, what: Files) -> bool:
        """Give staged files their names; False if some are neither staged nor already in place. May be repeated."""

    @abstractmethod
    def holds(self, what: Files) -> bool:
        """Whether these files exist unchanged under their names."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file with this name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file of an older result."""

    @abstractmethod
    def clean(self, tag: str) -> None:
        """Remove the hidden files; never fails."""

    def drop(self, old: Files, new: Files) -> None:
        """Remove files of an older result that a newer one has not replaced, unless they were changed."""
        names = {name for name, _, _ in new}
        for one in old:
            if one[0] not in names and self.owns(one[0]) and self.holds((one,)):
                self.remove(one[0])


def open_target(output: str, numbered: bool = False) -> Target:
    """Open the location of a result.

    Raises:
        MissingError: It is a URL, and fsspec or another required package is not installed.
    """
    return RemoteTarget(output, numbered) if "://" in output else FolderTarget(output, numbered)


class FolderTarget(Target):
    """A folder of the file system, possibly shared."""

    def __init__(self, output: str, numbered: bool = False) -> None:
        super().__init__(output, numbered)
        self.folder = Path(output).parent

    def _hidden(self, tag: str) -> Path:
        return self.folder / f".animate-job-{tag}"

    def has(self, name: str) -> bool:
        """See Target."""
        return os.path.lexists(self.folder / name)

    def open(self, tag: str) -> Path:
        """See Target."""
        hidden = self._hidden(tag)
        files.remove(hidden)
        try:
            hidden.mkdir(parents=True)
        except OSError as error:
            what, hint = files.reason(error)
            raise MediaError(msg("Folder {folder} can't be written to: {what}.", self.folder, what), hint) from error
        return hidden

    def stage(self, tag: str) -> Files:
        """See Target."""
        return tuple(_print(path) for path in sorted(self._hidden(tag).iterdir()))

    def publish(self, tag: str, what: Files) -> bool:
        """See Target."""
        hidden = self._hidden(tag)
        for one in what:
            if not self.owns(one[0]):
                return False
            if _same(hidden / one[0], one):
                os.replace(hidden / one[0], self.folder / one[0])
            elif not _same(self.folder / one[0], one):
                return False
        files.remove(hidden)
        return True

    def holds(self, what: Files) -> bool:
        """See Target."""
        return bool(what) and all(_same(self.folder / one[0], one) for one in what)

    def remove(self, name: str) -> None:
        """See Target."""
        files.remove(self.folder / name)

    def clean(self, tag: str) -> None:
        """See Target."""
        files.remove(self._hidden(tag))


class RemoteTarget(Target):
    """A location supported by fsspec, such as s3://bucket/folder/name.mp4."""

    def __init__(self, output: str, numbered: bool = False) -> None:
        super().__init__(output, numbered)
        try:
            import fsspec
        except ImportError:
            raise MissingError(
                msg("{output} needs fsspec, which is not installed.", output), "pip install fsspec"
            ) from None
        try:
            self._system, path = fsspec.core.url_to_fs(output)
        except (ImportError, ValueError) as error:
            raise MissingError(msg("{output} can't be reached: {error}.", output, str(error).rstrip("."))) from None
        self._folder = str(path).rpartition("/")[0]

    def _call(self, what: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self._system, what)(*arguments, **named)
        except Exception as error:
            text = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            raise MediaError(msg("{output} can't be reached or written: {text}.", self.output, text)) from error

    def _local(self, tag: str) -> Path:
        return Path(tempfile.gettempdir()) / f"animate-job-{tag}"

    def _hidden(self, tag: str) -> str:
        return f"{self._folder}/.animate-job-{tag}"

    def has(self, name: str) -> bool:
        """See Target."""
        return bool(self._call("exists", f"{self._folder}/{name}"))

    def open(self, tag: str) -> Path:
        """See Target."""
        local = self._local(tag)
        files.remove(local)
        local.mkdir(parents=True)
        return local

    def stage(self, tag: str) -> Files:
        """See Target."""
        local, hidden = self._local(tag), self._hidden(tag)
        self._call("makedirs", hidden, exist_ok=True)
        staged = []
        for path in sorted(local.iterdir()):
            self._call("put_file", str(path), f"{hidden}/{path.name}")
            staged.append((path.name, path.stat().st_size, 0))
        files.remove(local)
        return tuple(staged)

    def publish(self, tag: str, what: Files) -> bool:
        """See Target."""
        hidden = self._hidden(tag)
        for name, size, _ in what:
            if not self.owns(name):
                return False
            if self._size(f"{hidden}/{name}") == size:
                self._call("mv", f"{hidden}/{name}", f"{self._folder}/{name}")
            elif self._size(f"{self._folder}/{name}") != size:
                return False
        self.clean(tag)
        return True

    def _size(self, path: str) -> int:
        self._call("invalidate_cache")
        return int(self._call("size", path)) if self._call("exists", path) else -1

    def holds(self, what: Files) -> bool:
        """See Target; only the size is compared."""
        return bool(what) and all(self._size(f"{self._folder}/{name}") == size for name, size, _ in what)

    def remove(self, name: str) -> None:
        """See Target."""
        self._call("rm_file", f"{self._folder}/{name}")

    def clean(self, tag: str) -> None:
        """See Target."""
        shutil.rmtree(self._local(tag), ignore_errors=True)
        try:
            if self._call("exists", self._hidden(tag)):
                self._call("rm", self._hidden(tag), recursive=True)
        except MediaError:
            return


def _print(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


def _same(path: Path, one: tuple[str, int, int]) -> bool:
    try:
        return _print(path) == one
    except OSError:
        return False
