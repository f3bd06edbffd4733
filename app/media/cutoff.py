"""Tell whether the end of a sound file is missing: FFmpeg plays what is there and says nothing."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from app.media import container as containers
from app.media import tracks

UNKNOWN: Final = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes in headers of sound that was written to a pipe; espeak-ng writes one a little below the second."""
PIPED: Final = 0x7FFF0000
TAIL: Final = 1 << 16  # bytes; the longest Ogg page is a little shorter
HEAD: Final = 4096  # bytes of an MP3 frame and what precedes it
TABLES: Final = (b"Xing", b"Info", b"VBRI")


def declared_end(container: Any, stream: Any, path: Path) -> Fraction | None:
    """The end of a sound in seconds of its time line, by its header; None if that doesn't tell, or only guesses.

    Args:
        container: PyAV input.
        stream: Its sound.
        path: The file.
    """
    form = container.format.name
    begin = (stream.start_time or 0) * containers.time_base(stream)
    if form in ("wav", "rf64"):
        whole = _riff_length(path)
        return None if whole is None else begin + whole
    if form == "ogg" or (form == "mp3" and not _has_table(path)):  # FFmpeg then guesses from the size of the file
        return None
    if stream.duration:
        return begin + tracks.length(stream)
    if "matroska" in form and container.duration:
        return Fraction(container.duration, 1_000_000)
    return None


def lacks_last_page(path: Path) -> bool:
    """Whether an Ogg file doesn't end with a page that is marked as the last one."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 27 or not tail[page + 5] & 4


def _riff_length(path: Path) -> Fraction | None:
    """Seconds of sound that the header of a WAV file declares, None if it was written without knowing them."""
    with path.open("rb") as file:
        file.seek(12)
        rate, large = 0, None
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                size = large if large is not None and size == 0xFFFFFFFF else size
                unknown = size in UNKNOWN or PIPED <= size < UNKNOWN[1]
                return None if unknown or not rate else Fraction(size, rate)
            body = file.read(28) if name in (b"fmt ", b"ds64") else b""
            if name == b"fmt " and len(body) >= 12:
                (rate,) = struct.unpack_from("<I", body, 8)  # bytes per second
            elif name == b"ds64" and len(body) >= 16:
                (large,) = struct.unpack_from("<Q", body, 8)
            file.seek(size + size % 2 - len(body), 1)
    return None


def _has_table(path: Path) -> bool:
    """Whether an MP3 file begins with a table that counts its frames."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3" and len(head) == 10:
            file.seek(10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        start = file.read(HEAD)
    return any(table in start for table in TABLES)
