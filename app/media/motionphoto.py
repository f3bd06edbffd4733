"""Motion Photos: a JPEG or HEIC with a short film behind the picture, as phones write them."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

# A file type box with a sane size and brand, and one of the boxes that follow it in a film: behind a JPEG in Google's
# and Samsung's forms, in the box "mpvd" of a HEIC
_FILM = re.compile(rb"\0\0\0[\x10-\xff]ftyp[\x20-\x7e]{4}")
_NEXT = (b"moov", b"mdat", b"free", b"wide", b"skip", b"uuid", b"beam", b"meta")


def has_film(path: Path) -> bool:
    """Whether a JPEG or HEIC carries a film."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if not head.startswith(b"\xff\xd8") and head[4:8] != b"ftyp":
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for match in _FILM.finditer(data, 12):
                    end = match.start() + data[match.start() + 3]
                    if data[end + 4 : end + 8] in _NEXT:
                        return True
    except (OSError, ValueError):
        return False
    return False
