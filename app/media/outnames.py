"""Checks of output names: made before any work is done, and again before the file gets its name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Final

from app.addresses import LONGEST_PART, address_error, as_typed
from app.errors import MediaError, UsageError
from models.messages import Option, msg

DIGITS: Final = 9  # in the numbers of image sequences
PATTERN: Final = re.compile(r"%0?(\d*)d")
# Device names on Windows, reserved in any folder and with any extension
RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]|conin\$|conout\$)[ ]*(\..*)?")
FORBIDDEN: Final = re.compile(r'[<>:"|?*\x00-\x1f]')
KINDS: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_name(path: Path, *, windows: bool | None = None) -> None:
    """Check that a file system accepts a name.

    Args:
        path: The output.
        windows: Whether Windows' rules apply; by default those of this system.

    Raises:
        UsageError: It can't be the name of a file, or it is a URL.
    """
    windows = os.name == "nt" if windows is None else windows
    typed = as_typed(path)
    if typed and not path.parent.is_dir():
        raise address_error(typed, Option("output"))
    if "\0" in str(path):
        raise UsageError(msg("{path}: a name can't contain the character NUL.", path), "Choose another name.")
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST_PART:
            size = f"{len(os.fsencode(part))} bytes, at most {LONGEST_PART}"
            raise UsageError(
                msg("{part}... is longer than file systems allow ({size}).", part[:60], size), "Choose a shorter name."
            )
    check_pattern(path)
    if windows:
        _check_windows(path)


def _check_windows(path: PurePath) -> None:
    for part in path.parts[1:] if path.anchor else path.parts:
        if RESERVED.fullmatch(part):
            raise UsageError(
                msg("{path}: {part} is the name of a device on Windows.", path, part), "Choose another name."
            )
        if found := FORBIDDEN.search(part):
            raise UsageError(
                msg("{path}: Windows does not allow {found!r} in a name.", path, found.group()), "Choose another name."
            )


def check_pattern(path: PurePath) -> None:
    """Check the number in a pattern such as shot_%04d.png.

    Raises:
        UsageError: It has too many digits.
    """
    match = PATTERN.search(path.name)
    digits = match.group(1).lstrip("0") if match is not None else ""
    if len(digits) > 2 or int(digits or 0) > DIGITS:
        raise UsageError(
            msg("{path}: image numbers can have at most {digits} digits.", path, DIGITS),
            msg("Write %05d, or up to %0{digits}d.", DIGITS),
        )


def special(path: Path) -> str:
    """Describe an existing file that must not be replaced: "a pipe", "a link to ..."; empty for files and folders.

    Raises:
        OSError: The system denies access.
    """
    if path.is_symlink() and not path.is_dir():
        target = os.readlink(path)
        return f"a link to {target}" + ("" if path.exists() else ", which does not exist")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ""
    return next((word for test, word in KINDS if test(mode)), "")


def check_plain(path: Path) -> None:
    """Check that a name is free or belongs to a regular file or folder: pipes, devices and links are never replaced.

    Raises:
        UsageError: It belongs to something else.
        OSError: The system denies access.
    """
    what = special(path)
    if what.startswith("a link"):
        hint = "Name that file itself, or choose another name." if path.exists() else msg("Choose another name.")
        raise UsageError(msg("{path} is {what}, and links are not replaced.", path, what), hint)
    if what:
        raise UsageError(msg("{path} is {what} and can't be an output file.", path, what), "Choose another name.")


def check_not_inputs(paths: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Check that none of the output files is also an input, under any name or link.

    Raises:
        UsageError: One of them is an input.
    """
    own = {mark for path in inputs for mark in marks(path)}
    for path in paths:
        if own & marks(path):
            raise UsageError(
                msg("{path} is an input and can't be the output as well.", path), "Choose another output name."
            )


def marks(path: str | Path) -> set[object]:
    """Keys that identify a file under any of its names; empty if it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return set()
    found: set[object] = {os.path.normcase(os.path.realpath(path))}
    if status.st_ino:  # some file systems have no inode numbers
        found.add((status.st_dev, status.st_ino))
    return found


def check_free(path: Path, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Check that a name can be given to an output.

    Args:
        path: The output.
        overwrite: Whether an existing file may be replaced.
        inputs: Input files of the same run, which must not be replaced.

    Raises:
        UsageError: It is not a valid file name, or it belongs to an input, to something other than a regular file, or
            to a file that must not be replaced.
        MediaError: The folder is missing.
        OSError: The system denies access.
    """
    check_name(path)
    if not path.parent.is_dir():
        raise MediaError(
            msg("Folder {parent} does not exist.", path.parent), "Create it first or choose another folder."
        )
    if path.exists():
        check_not_inputs([path], inputs)
    check_plain(path)
    if path.exists() and not overwrite:
        raise UsageError(
            msg("{path} already exists.", path), msg("Add {option:overwrite} to replace it, or choose another name.")
        )
