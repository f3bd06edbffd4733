"""File names and errors: plain sentences for failures, temporary names, checks before writing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

from app.addresses import local_path
from app.errors import MediaError, UsageError
from app.media.outnames import check_free
from app.processes import is_alive, machine
from models.messages import msg

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space or choose another folder."),
    errno.EFBIG: ("the file would be larger than the system allows", "Choose another disk or a shorter clip."),
    getattr(errno, "EDQUOT", errno.ENOSPC): ("the disk is full", "Free some space or choose another folder."),
    errno.EACCES: ("permission is denied", "Choose another folder or change its permissions."),
    errno.EPERM: ("permission is denied", "Choose another folder or change its permissions."),
    errno.EROFS: ("the disk is read-only", "Choose another folder."),
    errno.ENOENT: ("it does not exist", "Check the name."),
    errno.ENOTDIR: ("a part of its path is not a folder", "Check the name."),
    errno.EISDIR: ("it is a folder", "Give a file name."),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter name."),
    errno.EIO: ("the disk reports an error", "Check the disk."),
}
SCRATCH = re.compile(
    r"\.(?P<stem>.*)\.(?P<pid>\d{1,9})-(?P<host>[0-9a-f]{6})-[0-9a-f]{6}\.partial(?P<suffix>.*)", re.DOTALL
)
NAME_BYTES = 240  # file systems allow 255 bytes, and temporary names need some of them


def reason(error: BaseException) -> tuple[str, str]:
    """Describe an operating-system or FFmpeg error in plain words: (what went wrong, what to do)."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and abs(number) in _REASONS:
        return _REASONS[abs(number)]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].strip().rstrip("."), ""


def read_error(path: str | Path, error: BaseException) -> MediaError:
    """The MediaError for a failure while reading ``path``."""
    what, hint = reason(error)
    return MediaError(msg("{path} can't be read: {what}.", path, what), hint)


def write_error(path: str | Path, error: BaseException) -> MediaError:
    """The MediaError for a failure while writing ``path``."""
    what, hint = reason(error)
    return MediaError(msg("{path} can't be written: {what}.", path, what), hint)


def scratch_error(error: OSError) -> MediaError:
    """The MediaError for a failure of a scratch file; names the folder, since the file means nothing to the user."""
    try:
        folder = tempfile.gettempdir()
    except OSError:
        folder = ""
    if not os.path.isdir(folder):
        return _no_scratch(folder)
    return MediaError(
        msg("Temporary files can't be written to {parent}: {error}.", folder, reason(error)[0]),
        "Free some space, or set the variable TMPDIR to another folder.",
    )


def _no_scratch(folder: str) -> MediaError:
    tried = folder or os.environ.get("TMPDIR") or "any of the system's folders for them"
    return MediaError(
        msg("No folder for temporary files can be created in {tried}.", tried),
        "Free some space, or set the variable TMPDIR to a writable folder.",
    )


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for scratch files, removed at the end of the ``with`` statement.

    Raises:
        MediaError: It can't be made.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="portrait-animate-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_scratch(error.filename or "") from error


def check_input(path: str | Path) -> Path:
    """Check that ``path`` is a readable file that is not empty.

    Returns:
        The path, as Path.

    Raises:
        MediaError: It is missing, a folder, a pipe, empty or may not be read.
    """
    path = local_path(path)
    try:
        if path.is_dir():
            raise MediaError(msg("{path} is a folder, not a file.", path), "Choose a file in it.")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(msg("{path} is a pipe or a device, not a file.", path), "Save it as a file first.")
        if status.st_size == 0:
            raise MediaError(msg("{path} is empty (0 bytes).", path), "Copy or download it again.")
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
        inputs: Input files of the same run, which must not be replaced.

    Raises:
        UsageError: The name is not valid; it is that of an input, a pipe, a device or a link; or it exists and
            ``overwrite`` is off.
        MediaError: The folder is missing or can't be written.
    """
    path = Path(path)
    folder = path.parent
    try:
        check_free(path, overwrite, inputs)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise UsageError(
                msg("The path {folder} is longer than the system allows.", folder), "Choose a shorter one."
            ) from error
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
        raise MediaError(msg("Folder {folder} can't be written to: {what}.", folder, what), hint) from error
    return path


def temporary_name(path: Path, word: str = "partial") -> Path:
    """Hidden name beside ``path`` for the file while it is being written."""
    stem, suffix = path.stem, path.suffix
    if len(os.fsencode(path.name)) + len(word) + 2 > NAME_BYTES:
        stem = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{stem}.{word}{suffix}")


def scratch_name(path: Path) -> Path:
    """Hidden name beside ``path`` that no other run uses; files left behind by killed runs are removed."""
    host = hashlib.sha256(machine().encode()).hexdigest()[:6]
    stems = {path.stem, hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}
    with contextlib.suppress(OSError):
        for old in path.parent.iterdir():
            match = SCRATCH.fullmatch(old.name)
            if match is None or match["stem"] not in stems or (match["suffix"], match["host"]) != (path.suffix, host):
                continue
            if not is_alive(int(match["pid"])):
                remove(old)
    return temporary_name(path, f"{os.getpid()}-{host}-{uuid.uuid4().hex[:6]}.partial")


def partial_name(path: Path) -> Path:
    """Visible name beside ``path`` for an incomplete result; never the name of an existing file."""
    return free_name(path, ".partial")


def free_name(path: Path, word: str = "") -> Path:
    """The name with a word before its extension, and a number if it is taken; shortened if it gets too long."""
    stem = path.stem
    while stem and len(os.fsencode(stem + word + path.suffix)) > NAME_BYTES:
        stem = stem[:-1]
    free, count = path.with_name(f"{stem}{word}{path.suffix}"), 2
    while free.exists() or free.is_symlink():
        free = path.with_name(f"{stem}{word}-{count}{path.suffix}")
        count += 1
    return free


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
