"""Detects, without a hash, weight files that are incomplete or should not be opened."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

MAX_HEADER: Final = 100 << 20
"""Limit of a safetensors header in bytes, as in the official readers."""
TENSOR_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32,
    "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits per number of each safetensors type."""
LEGACY_TORCH: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of torch's older files: a pickled magic number."""
SMALLEST: Final = 256
"""Minimum size in bytes of any file with weights."""
ONNX_GRAPH: Final = 7 << 3 | 2
"""Field number of the network (graph) in an ONNX file."""
UNPACKED: Final = 4
"""Limit of the unpacked size of a PyTorch archive, as a multiple of its own size."""


def form_fault(path: Path) -> str:
    """Fault of a file that is visible without a hash, as the rest of a sentence; empty if there is none.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as stream:
        return head_fault(path, stream.read(512), path.stat().st_size)


def head_fault(path: Path, head: bytes, size: int) -> str:
    """Fault of a file that is visible without a hash; empty if there is none."""
    if path.suffix == ".safetensors":
        length = int.from_bytes(head[:8], "little")
        if size < 8 or length + 8 > size or head[8:9] != b"{":
            return "is not a complete safetensors file"
        return _safetensors_fault(path, length, size)
    if path.suffix in (".pth", ".pt", ".ckpt"):
        if head.startswith(b"PK"):
            return archive_fault(path, size)
        return "" if head.startswith(LEGACY_TORCH) and size >= SMALLEST else "is not a PyTorch file"
    if path.suffix == ".onnx":
        return _protobuf_fault(path, size)
    return ""


def archive_fault(path: Path, size: int) -> str:
    """Reason not to open a PyTorch archive; empty if there is none.

    torch stores tensors uncompressed; an archive that unpacks to several times its size is meant to exhaust memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > UNPACKED * size:
                return (
                    f"would unpack to {unpacked:,} bytes from {size:,}, which no checkpoint does; it may be malicious"
                )
            if not any(entry.filename.endswith("data.pkl") for entry in entries):
                return "is a zip file, but not a PyTorch archive"
            for entry in entries:
                with archive.open(entry) as stream:  # checks the CRC, which torch does not
                    while stream.read(1 << 20):
                        pass
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        whole = "CRC" in str(error)
        return "is damaged: a part of it does not match its checksum" if whole else "is a truncated PyTorch archive"
    return ""


def _safetensors_fault(path: Path, length: int, size: int) -> str:
    if length > MAX_HEADER:
        return "has a damaged safetensors header"
    with path.open("rb") as stream:
        stream.seek(8)
        try:
            header = json.loads(stream.read(length))
            spans = sorted(_span(value) for name, value in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return "has a damaged safetensors header"
    if not spans:
        return "contains no weights"
    end = 0
    for begin, stop in spans:
        if begin != end:
            return "has a safetensors header whose parts overlap or leave gaps"
        end = stop
    return "" if end == size - 8 - length else f"has {size - 8 - length:,} bytes of weights instead of {end:,}"


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    """Begin and end of a tensor's bytes, which must match its shape and type."""
    (begin, end), shape = entry["data_offsets"], entry["shape"]
    if not all(type(n) is int and n >= 0 for n in (begin, end, *shape)):
        raise ValueError("offsets")
    if (end - begin) * 8 != math.prod(shape) * TENSOR_BITS[entry["dtype"]]:
        raise ValueError("size")
    return begin, end


def _protobuf_fault(path: Path, size: int) -> str:
    """Walk the top-level fields of an ONNX file: they must end exactly where the file ends."""
    graph = False
    with path.open("rb") as stream:
        position = 0
        while position < size:
            stream.seek(position)
            block = stream.read(20)
            key, used = _varint(block)
            length, more = _varint(block[used:])
            if not used or key & 7 not in (0, 2) or not more:
                return "is not an ONNX file, or a damaged one"
            position += used + more + (length if key & 7 == 2 else 0)
            graph = graph or (key == ONNX_GRAPH and length > 0)
    if position == size and not graph:
        return "is not an ONNX file: it contains no network"
    return "" if position == size else f"is an ONNX file truncated after {size:,} of {position:,} bytes"


def _varint(block: bytes) -> tuple[int, int]:
    """A protobuf variable-length integer and its length in bytes (0: invalid)."""
    value = 0
    for index, byte in enumerate(block[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return 0, 0
