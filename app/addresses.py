"""File names as typed: ``file://`` URLs become paths, all other URLs are rejected with one sentence.

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from app.errors import UsageError
from models.messages import Option, about, msg

# A scheme has at least two letters (RFC 3986 allows one, but that is a Windows drive letter).
ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(data):[\w.+-]*(?:/[\w.+-]+)?[;,]", re.IGNORECASE)
FILE: Final = re.compile(r"file:(?://([^/\\]*))?(?=[/\\]|[A-Za-z][:|])", re.IGNORECASE)
DRIVE: Final = re.compile(r"[/\\]*([A-Za-z])[:|](?=[/\\]|$)(.*)", re.DOTALL)
# "%05d" is a pattern for numbered images and not an escaped control character.
ESCAPES: Final = re.compile(r"(?:%(?!0\d+d|1\d*d)[0-9A-Fa-f]{2})+")
NAMES: Final = re.compile(r"://.*@", re.DOTALL)
"""Name and password of a URL."""
STANDARD: Final = "-"
"""Stands for standard input and standard output on the command line."""
LONGEST_PART: Final = 255  # bytes of a name on all common file systems (characters on Windows and macOS)
LONGEST_PATH: Final = 4095
SHOWN: Final = 200  # characters of a URL shown in an error


def is_address(text: str) -> bool:
    """Whether a name is a URL such as https://..., including file URLs."""
    return ADDRESS.match(text) is not None or FILE.match(text) is not None


def local_name(text: str, label: str | Option = "", *, windows: bool | None = None) -> str:
    """Convert a name to a path; names that are not URLs stay unchanged.

    Args:
        text: A path, or a file URL: file:///folder/name, file://localhost/..., file:/..., with percent escapes.
        label: Flag or entry that the name was given for, for the error.
        windows: Whether paths have drive letters and server names; by default as on this system.

    Raises:
        UsageError: It is another kind of URL, a file on another machine, or too long for a file name.
    """
    windows = os.name == "nt" if windows is None else windows
    match = FILE.match(text)
    if match is None:
        if ADDRESS.match(text):
            raise address_error(text, label)
        _check_length(text, label)
        return text
    host, rest = match.group(1) or "", text[match.end() :]
    path = ESCAPES.sub(lambda found: os.fsdecode(unquote_to_bytes(found.group())), rest)
    _check_length(path, label)
    drive = DRIVE.fullmatch(f"{host}{path}" if re.fullmatch("[A-Za-z][:|]", host) else path)
    if drive is not None and windows:
        return f"{drive.group(1)}:{drive.group(2) or '/'}".replace("/", "\\")
    if re.fullmatch("[A-Za-z][:|]", host):
        return f"{host}{path}"
    if host.lower() not in ("", "localhost"):
        if not windows:
            raise UsageError(
                about(label, msg("{text} is a file on another machine, {host}.", text, host)),
                "Copy it here, or name it by its path.",
            )
        path = f"//{host}{path}"
    return path.replace("/", "\\") if windows else path


def _check_length(path: str, label: str | Option) -> None:
    """Reject names that are too long for any file, before passing them to the system."""
    if 4 * len(path) <= LONGEST_PART:
        return
    longest = max(len(os.fsencode(part)) for part in re.split(r"[/\\]", path))
    if longest > LONGEST_PART or len(os.fsencode(path)) > LONGEST_PATH:
        raise UsageError(
            about(label, msg("{path}... is longer than the name of a file can be.", path[:60])), "Check the name."
        )


def address_error(text: str, label: str | Option = "") -> UsageError:
    """The error for a URL given where a file is needed; it shows the URL without names and passwords."""
    text = NAMES.sub("://", text)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    if str(label).endswith(("output", "record", "screenshot")):
        return UsageError(
            about(label, msg("{shown} is a URL, and URLs can't be written to.", shown)),
            "Give a file on this computer.",
        )
    return UsageError(
        about(label, msg("{shown} is a URL, and URLs can't be read.", shown)),
        "Download it first, then give the name of the file.",
    )


def as_typed(path: Path) -> str:
    """The URL that a path was made from (the path loses a slash), or an empty string."""
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):[/\\](?![/\\])", r"\1://", str(path))
    return text if is_address(text) else ""


def local_path(path: str | Path) -> Path:
    """A path from a path or name, see :func:`local_name`; also recognises URLs that were converted to a path.

    Raises:
        UsageError: It is a URL that is not a file on this machine.
    """
    if isinstance(path, str):
        return Path(local_name(path))
    typed = as_typed(path)
    return Path(local_name(typed)) if typed and not path.exists() else path
