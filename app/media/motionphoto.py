"""Motion Photos: JPEG or HEIC files with a short film appended, as phones write them."""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path

# A file type box with a plausible size and brand, followed by a box that films have: after the JPEG data in Google's
# and Samsung's variants, in the box "mpvd" of a HEIC
_FILM = re.compile(rb"\0\0\0[\x10-\xff]ftyp[\x20-\x7e]{4}")
_NEXT = (b"moov", b"mdat", b"free", b"wide", b"skip", b"uuid", b"beam", b"meta")


_STILL = (b"heic", b"heix", b"heim", b"heis", b"mif1")  # brands of HEIC; clips may contain other files
_BOX = re.compile(rb"[\x20-\x7e\xa9]{4}")


def find_film(path: Path) -> tuple[int, int] | None:
    """(first byte, byte after the last) of the film in a JPEG or HEIC, or None if there is none.

    The film is a complete ISO base media file after the image; data that phones append after it are excluded.
    """
    try:
        if not path.is_file():  # opening a pipe would block
            return None
        with path.open("rb") as file:
            head = file.read(12)
            if not head.startswith(b"\xff\xd8") and not (head[4:8] == b"ftyp" and head[8:12] in _STILL):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for match in _FILM.finditer(data, 12):
                    end = match.start() + data[match.start() + 3]
                    if data[end + 4 : end + 8] in _NEXT:
                        return match.start(), _end(data, match.start())
    except (OSError, ValueError):
        return None
    return None


def has_film(path: Path) -> bool:
    """Whether a JPEG or HEIC contains a film."""
    return find_film(path) is not None


def _end(data: mmap.mmap, at: int) -> int:
    """Byte after the last box of a film that begins at ``at``; the end of the file if a box extends beyond it."""
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if size == 1 and at + 16 <= len(data):
            size = struct.unpack(">Q", data[at + 8 : at + 16])[0]
        if size < 8 or not _BOX.fullmatch(kind):
            break
        if at + size > len(data):
            return len(data)
        at += size
    return at
