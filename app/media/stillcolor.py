"""Photos beyond sRGB: read the code points of HDR and wide-gamut images and map their colours as for clips."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

PQ, HLG, SRGB = 16, 18, 13  # transfer characteristics of ITU-T H.273
WIDE = (9, 11, 12)  # primaries: BT.2020, DCI-P3, Display P3
_UNSPECIFIED = 2
_ROWS = 256  # rows mapped at a time, so that a large photo needs little memory
_HEAD = 1 << 20  # bytes at the start of a file that are searched for colour information


@dataclass(frozen=True)
class Color:
    """ITU-T H.273 code points that define an image's colours."""

    primaries: int
    transfer: int

    @property
    def name(self) -> str:
        """Why the colours need mapping: "PQ", "HLG", "wide gamut", or empty if they don't."""
        known = {PQ: "PQ", HLG: "HLG"}.get(self.transfer, "")
        return known or ("wide gamut" if self.primaries in WIDE else "")


def color_of(image: Any, path: Path | None) -> Color | None:
    """Colour information of an opened Pillow image beyond sRGB, or None if nothing needs mapping.

    PNG's cICP chunk, the nclx box of AVIF and HEIC, and the cicp tag of an ICC profile are read. A profile takes
    precedence over an nclx box unless that is PQ or HLG.
    """
    icc = image.info.get("icc_profile") or b""
    color = _of_profile(icc)
    if color is None and path is not None and image.format == "PNG":
        color = _of_png(path)
    elif color is None and image.format == "HEIF":
        nclx = image.info.get("nclx_profile") or {}
        color = Color(int(nclx.get("color_primaries", 2)), int(nclx.get("transfer_characteristics", 2)))
    elif color is None and path is not None and image.format == "AVIF":
        color = _of_avif(path)
    if color is None or not color.name or (icc and image.format != "PNG" and color.name == "wide gamut"):
        return None
    return color


def mapped(rgb: np.ndarray, color: Color) -> np.ndarray:
    """Map to sRGB with swscale, exactly as clips are mapped.

    Args:
        rgb: (H, W, 3) uint8 or uint16 over the full range.
        color: Code points of the values.

    Returns:
        (H, W, 3) uint8.
    """
    import av

    from app.media.video import Orientation, ToRGB

    deep = rgb.dtype == np.uint16
    out = np.empty(rgb.shape, np.uint8)
    for top in range(0, rgb.shape[0], _ROWS):
        rows = np.ascontiguousarray(rgb[top : top + _ROWS])
        frame: Any = av.VideoFrame.from_ndarray(rows, format="rgb48le" if deep else "rgb24")
        frame.color_primaries, frame.color_range, frame.colorspace = color.primaries, 2, 0
        frame.color_trc = SRGB if color.transfer == _UNSPECIFIED else color.transfer
        size = (rows.shape[1], rows.shape[0])
        out[top : top + _ROWS], _ = ToRGB(size, Fraction(1))(frame, Orientation(), False)
    return out


def deep_pixels(image: Any, path: Path | None) -> np.ndarray | None:
    """The stored (H, W, 3) uint16 values of a PNG, HEIC or AVIF with more than 8 bits per channel, or None."""
    if path is None:
        return None
    if image.format == "PNG" and getattr(image, "n_frames", 1) == 1:
        import cv2

        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
            return None
        return np.ascontiguousarray(pixels[..., 2::-1])
    if image.format == "AVIF" and getattr(image, "n_frames", 1) == 1:
        return _deep_avif(path, image.size)
    if image.format == "HEIF" and int(image.info.get("bit_depth", 8)) > 8:
        import pillow_heif

        deep = np.asarray(pillow_heif.open_heif(path, convert_hdr_to_8bit=False))
        return np.ascontiguousarray(deep[..., :3]) if deep.dtype == np.uint16 and deep.ndim == 3 else None
    return None


def _deep_avif(path: Path, size: tuple[int, int]) -> np.ndarray | None:
    """(H, W, 3) uint16, full range, of a single-tile AVIF with more than 8 bits per channel, or None.

    Pillow decodes to 8 bits, which are too few for PQ in dark areas.
    """
    import av

    from app.errors import MediaError
    from app.media import container, video

    try:
        with container.open_input(path) as source:
            frame: Any = next(source.decode(video=0), None)
    except (MediaError, av.FFmpegError, ValueError, IndexError):
        return None
    if frame is None or (frame.width, frame.height) != size or max(c.bits for c in frame.format.components) <= 8:
        return None
    return video.to_deep(frame)


def _of_profile(icc: bytes) -> Color | None:
    """The cicp tag of an ICC profile (ICC.1:2022, 9.2.17)."""
    if len(icc) < 132:
        return None
    for k in range(min(struct.unpack(">I", icc[128:132])[0], 100)):
        entry = icc[132 + 12 * k : 144 + 12 * k]
        if len(entry) == 12 and entry[:4] == b"cicp":
            at = struct.unpack(">I", entry[4:8])[0]
            data = icc[at : at + 12]
            return Color(data[8], data[9]) if len(data) == 12 and data[:4] == b"cicp" else None
    match = re.search(rb"2100.{0,4}(PQ|HLG)", icc.replace(b"\0", b""))
    return Color(9, PQ if match.group(1) == b"PQ" else HLG) if match else None


def _of_png(path: Path) -> Color | None:
    """The cICP chunk of a PNG (PNG, third edition, 11.3.2.6), which precedes the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind == b"cICP" and size == 4:
                data = file.read(4)
                return Color(data[0], data[1]) if len(data) == 4 else None
            if kind in (b"IDAT", b"IEND"):
                break
            file.seek(size + 4, 1)
    return None


def _of_avif(path: Path) -> Color | None:
    """The nclx box of the primary image of an AVIF."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
    meta = next((body for kind, body in _boxes(data) if kind == b"meta"), b"")[4:]
    properties = [b for kind, body in _boxes(meta) if kind == b"iprp" for k, b in _boxes(body) if k == b"ipco"]
    for kind, body in _boxes(properties[0] if properties else b""):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            return Color(*struct.unpack(">HH", body[4:8]))
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of the complete boxes of an ISO base media file."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        size = size or len(data) - at
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size
