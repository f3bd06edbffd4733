"""Camera raws: recognised by content, so that the small preview inside is never taken for the photo."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from app.errors import MediaError
from models.messages import msg

SUFFIXES = (
    ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef", ".x3f",
    ".3fr", ".erf", ".mrw", ".srw", ".iiq", ".kdc", ".dcr", ".rwl", ".mef", ".mos",
)  # fmt: skip
_MAGIC = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
_TIFF = (b"II*\0", b"MM\0*")
_PHASE_ONE = (b"IIII", b"MMMM")  # after the TIFF header, before "Raw" in this byte order
_DNG_VERSION, _SUB_IFDS, _PHOTOMETRIC = 50706, 330, 262
_SENSOR = (32803, 34892)  # colour filter array, linear raw
_HEAD = 1 << 16


def check_not_raw(path: Path) -> None:
    """Check that a file is not a camera raw.

    Raises:
        MediaError: It is one.
    """
    if is_raw(path):
        raise MediaError(
            msg("{path} is a camera raw file, of which only a small preview could be read.", path),
            "Develop it to JPEG, PNG or TIFF first.",
        )


def is_raw(path: Path) -> bool:
    """Whether a file is a camera raw: by its signature, its TIFF tags, or the extension of a TIFF file."""
    if not path.is_file():  # opening a pipe would block
        return False
    try:
        if not path.is_file():  # opening a pipe would block
            return False
        with path.open("rb") as file:
            head = file.read(16)
            if head.startswith(_MAGIC) or head[4:12] == b"ftypcrx " or (head[:4] in _TIFF and head[8:10] == b"CR"):
                return True
            if not head.startswith(_TIFF):
                return False
            if head[8:12] in _PHASE_ONE and b"Raw" in (head[12:15], head[15:12:-1]):
                return True
            if path.suffix.lower() in SUFFIXES:
                return True
            order = "<" if head[:1] == b"I" else ">"
            return _has_sensor_data(file, order, struct.unpack_from(order + "I", head, 4)[0])
    except (OSError, ValueError, struct.error):
        return False


def _has_sensor_data(file: BinaryIO, order: str, first: int) -> bool:
    """Whether the first directories of a TIFF, or their subdirectories, hold sensor data."""
    todo, seen = [first], set[int]()
    while todo and len(seen) < 16:
        at = todo.pop(0)
        if not at or at in seen:
            continue
        seen.add(at)
        file.seek(at)
        count = struct.unpack(order + "H", file.read(2))[0]
        entries = file.read(12 * min(count, 512))
        following = file.read(4)
        for k in range(len(entries) // 12):
            tag, kind, number = struct.unpack_from(order + "HHI", entries, 12 * k)
            if tag == _DNG_VERSION:
                return True
            value = struct.unpack_from(order + ("H" if kind == 3 else "I"), entries, 12 * k + 8)[0]
            if tag == _PHOTOMETRIC and value in _SENSOR:
                return True
            if tag == _SUB_IFDS and number == 1:
                todo.append(value)
            elif tag == _SUB_IFDS and number < 16:
                file.seek(value)
                todo += struct.unpack(f"{order}{number}I", file.read(4 * number))
        if len(following) == 4:
            todo.append(struct.unpack(order + "I", following)[0])
    return False
