"""Contents of HEIC and HEIF files: one still, several, or an image sequence that plays like a clip."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

BRANDS: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))  # ISO/IEC 23008-12
MOST_BOXES: Final = 64  # limit on the boxes examined; files have fewer than ten


def brand(path: Path) -> bytes:
    """Major brand of an ISO media file, or empty.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
    return head[8:12] if head[4:8] == b"ftyp" else b""


def is_sequence(path: Path) -> bool:
    """Whether a HEIC or HEIF file holds an image sequence, with or without a still."""
    return b"moov" in _boxes(path)


def has_still(path: Path) -> bool:
    """Whether a HEIC or HEIF file holds a still, as all except pure sequences do."""
    return b"meta" in _boxes(path)


def _boxes(path: Path) -> set[bytes]:
    """Types of the top-level boxes of a HEIC or HEIF file, without those of an appended film."""
    found: set[bytes] = set()
    try:
        if brand(path) not in BRANDS:
            return found
        with path.open("rb") as file:
            for _ in range(MOST_BOXES):
                head = file.read(16)
                if len(head) < 8:
                    break
                size, kind = struct.unpack_from(">I4s", head)
                if size == 1 and len(head) == 16:
                    size = struct.unpack_from(">Q", head, 8)[0]
                if kind == b"ftyp" and found:
                    break
                found.add(kind)
                if size < 8:  # up to the end of the file, or damaged
                    break
                file.seek(size - len(head), 1)
    except (OSError, ValueError, OverflowError):
        return found
    return found
