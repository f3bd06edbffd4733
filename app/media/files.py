"""Names and failures of files: what went wrong in one sentence, temporary names, checks before writing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from app.errors import MediaError, UsageError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space or choose another folder."),
    errno.EFBIG: ("the file would be larger than the system allows", "Choose another disk or a shorter clip."),
    getattr(errno, "EDQUOT", errno.ENOSPC): ("the disk is full", "Free some space or choose another folder."),
    errno.EACCES: ("permission is denied", "Choose another folder or change its permissions."),
    errno.EPERM: ("permission is denied", "Choose another folder or change its permissions."),
    errno.EROFS: ("the disk is read-only", "Choose another folder."),
    errno.ENOENT: ("it does not exist", "Check the name."),
    errno.ENOTDIR: ("a part of its path is not a folder", "Check the name."),
    errno.EISDIR: ("it is a folder", "Name a file."),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter name."),
    errno.EIO: ("the disk reports an error", "Check the disk."),
}
NAME_BYTES = 240  # file systems allow 255 bytes, some of which the temporary name needs


def reason(error: BaseException) -> tuple[str, str]:
    """Plain words for an operating-system or FFmpeg error: (what went wrong, what to do)."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and abs(number) in _REASONS:
        return _REASONS[abs(number)]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].strip().rstrip("."), ""


def read_error(path: str | Path, error: BaseException) -> MediaError:
    """The MediaError for a failure while reading ``path``."""
    what, hint = reason(error)
    return MediaError(f"{path} can't be read: {what}.", hint)


def write_error(path: str | Path, error: BaseException) -> MediaError:
    """The MediaError for a failure while writing ``path``."""
    what, hint = reason(error)
    return MediaError(f"{path} can't be written: {what}.", hint)


def check_input(path: str | Path) -> Path:
    """Check that ``path`` is a readable file that is not empty.

    Returns:
        The path, as Path.

    Raises:
        MediaError: It is missing, a folder, empty or may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a folder, not a file.", "Name a file in it.")
        if path.stat().st_size == 0:
            raise MediaError(f"{path} is empty (0 bytes).", "Copy or download it again.")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise read_error(path, error) from error
    return path


def check_output(path: str | Path, overwrite: bool, inputs: Iterable[str | Path] = ()) -> Path:
    """Check that ``path`` can be written, before any work is done.

    Args:
        path: File or folder that will be made.
        overwrite: Whether an existing file may be replaced.
        inputs: Files that are read meanwhile and must not be replaced.

    Raises:
        UsageError: The name is that of an input, or exists and ``overwrite`` is off.
        MediaError: The folder is missing or can't be written.
    """
    path = Path(path)
    folder = path.parent
    try:
        if not folder.is_dir():
            raise MediaError(f"Folder {folder} does not exist.", "Make it first or choose another place.")
        if path.exists():
            if any(Path(i).exists() and os.path.samefile(path, i) for i in inputs):
                raise UsageError(f"{path} is an input and can't be the output as well.", "Choose another output name.")
            if not overwrite:
                raise UsageError(f"{path} exists already.", "Choose another name or allow overwriting.")
    except (OSError, ValueError) as error:
        raise write_error(path, error) from error
    probe = temporary_name(path, "test")
    try:
        with probe.open("xb"):
            pass
        probe.unlink()
    except FileExistsError:
        pass
    except OSError as error:
        what, hint = reason(error)
        raise MediaError(f"Folder {folder} can't be written to: {what}.", hint) from error
    return path


def temporary_name(path: Path, word: str = "partial") -> Path:
    """Hidden name beside ``path`` under which it is written until complete."""
    stem, suffix = path.stem, path.suffix
    if len(os.fsencode(path.name)) + len(word) + 2 > NAME_BYTES:
        stem = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{stem}.{word}{suffix}")


def partial_name(path: Path) -> Path:
    """Visible name beside ``path`` for a result that was broken off."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def sync(path: Path) -> None:
    """Force the content of the file ``path`` to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file or folder tree if it is there; never fails."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
