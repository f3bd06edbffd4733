"""Metadata: an XMP packet, and where each format stores it.

Written here because python-xmp-toolkit needs the C library Exempi, which pip doesn't install.
Adobe's XMP specification, part 3 (storage in files), defines where: an iTXt chunk of PNG, an APP1 segment of JPEG, a
chunk of WebP, an application extension of GIF, tag 700 of TIFF and a box of type uuid in MP4 and QuickTime files.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.provenance.mark import SOURCE_TYPE, STATEMENT, tool

NAMESPACE: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
PNG_KEY: Final = "XML:com.adobe.xmp"
JPEG_KEY: Final = b"http://ns.adobe.com/xap/1.0/\0"
TIFF_TAG: Final = 700
BOX: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # the UUID of XMP in ISO base media files
GIF_HEAD: Final = b"\x21\xff\x0bXMP DataXMP"
# Readers without XMP support parse a GIF's extension as sub-blocks: whichever byte of the packet they take for a
# length, this ramp leads them to its end.
GIF_TAIL: Final = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
GIF_END: Final = b"\x3b"
MATROSKA: Final = {"COMMENT": STATEMENT, "DIGITAL_SOURCE_TYPE": SOURCE_TYPE, "CREATOR_TOOL": tool()}
LONGEST: Final = 1 << 20  # most bytes read of a packet; ours has fewer than one thousand


def packet() -> bytes:
    """The XMP packet: the kind of work, and the program and version that made it."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        f'xmlns:Iptc4xmpExt="{NAMESPACE}" xmp:CreatorTool="{tool()}" '
        f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def picture_arguments(form: str) -> dict[str, Any]:
    """Arguments of Pillow's ``save`` that add the packet to an image.

    Args:
        form: Pillow's name of the format. BMP can't hold metadata, so nothing is added.
    """
    if form == "PNG":
        info = PngInfo()
        info.add_itxt(PNG_KEY, packet().decode())
        return {"pnginfo": info}
    if form == "JPEG":
        body = JPEG_KEY + packet()
        return {"extra": b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body}
    if form == "WEBP":
        return {"xmp": packet()}
    return {"tiffinfo": {TIFF_TAG: packet()}} if form == "TIFF" else {}


def clip_tags(form: str) -> dict[str, str]:
    """Tags for FFmpeg's muxer of a clip.

    Args:
        form: Its name, such as "mp4" or "matroska".
    """
    return dict(MATROSKA) if form in ("matroska", "webm") else {"comment": STATEMENT}


def tail(form: str) -> bytes:
    """Bytes to append to a finished clip besides its tags; the rest of the file is not moved.

    Args:
        form: Name of FFmpeg's muxer. A GIF's own last byte (``GIF_END``) must be removed first.
    """
    if form == "gif":
        return GIF_HEAD + packet() + GIF_TAIL + GIF_END
    if form in ("mp4", "mov"):
        return struct.pack(">I", 24 + len(packet())) + b"uuid" + BOX + packet()
    return b""


def add_tail(path: Path, form: str) -> None:
    """Append the packet to a finished MP4, QuickTime or GIF file; others have it only in their tags.

    Raises:
        OSError: Writing fails.
    """
    if not (end := tail(form)):
        return
    with path.open("rb+") as file:
        file.seek(-1 if form == "gif" else 0, 2)
        file.write(end)


# ---- reading --------------------------------------------------------------------------------------------------------


def read_packet(path: Path) -> str:
    """The XMP packet of a file, from any program; empty if there is none.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp":
            return _text(_box(file, path.stat().st_size))
        if head[:3] == b"GIF":
            return _text(_gif(file))
    try:
        with Image.open(path) as image:
            found = image.info.get("xmp") or image.info.get(PNG_KEY) or b""
            if not found and image.format == "TIFF":
                found = getattr(image, "tag_v2", {}).get(TIFF_TAG, b"")
    except (OSError, ValueError, SyntaxError):
        return ""
    return _text(found)


def _text(found: bytes | str) -> str:
    return found if isinstance(found, str) else bytes(found).decode("utf-8", "replace")


def _box(file: BinaryIO, size: int) -> bytes:
    """Content of the XMP box among the top-level boxes of an ISO base media file."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I", head)[0], head[4:8]
        skip = 8
        if length == 1 and len(head) == 16:
            length, skip = struct.unpack_from(">Q", head, 8)[0], 16
        if length < skip:  # 0 extends to the end of the file; less is damaged
            return b""
        if kind == b"uuid" and head[8:16] == BOX[:8]:
            file.seek(at + skip)
            if file.read(16) == BOX:
                return file.read(min(length - skip - 16, LONGEST))
        at += length
    return b""


def _gif(file: BinaryIO) -> bytes:
    """Packet of the last application extension of a GIF that holds XMP; it is at the end or near the beginning."""
    file.seek(0, 2)
    size = file.tell()
    for at in (max(0, size - LONGEST), 0):
        file.seek(at)
        part = file.read(LONGEST)
        found = part.rfind(GIF_HEAD)
        if found >= 0:
            body = part[found + len(GIF_HEAD) :]
            return body[: body.find(GIF_TAIL[:8])]
    return b""


def source_type(text: str) -> str:
    """The DigitalSourceType in an XMP packet, as an attribute or an element; empty if there is none."""
    return _value(text, "DigitalSourceType")


def creator(text: str) -> str:
    """The creator tool in an XMP packet."""
    return _value(text, "CreatorTool")


def _value(text: str, name: str) -> str:
    match = re.search(rf'\b\w+:{name}\s*=\s*(["\'])(.*?)\1|<\w+:{name}(?:\s[^>]*)?>\s*(.*?)\s*</', text, re.DOTALL)
    return (match.group(2) or match.group(3) or "").strip() if match else ""
