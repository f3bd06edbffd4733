"""Sizes: what is too large is refused from its header, and what is large is worked on in parts."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from app.media import encode, limits
from app.media.reader import open_clip
from app.media.writer import ClipWriter
from liveportrait.patched import Patch, Patched, separate, split


def with_size(data: bytes, kind: str, side: int) -> bytes:
    """A picture file whose header says that it is so large."""
    out = bytearray(data)
    if kind == "PNG":
        out[16:24] = struct.pack(">II", side, side)
        out[29:33] = zlib.crc32(bytes(out[12:29])).to_bytes(4, "big")
    elif kind == "JPEG":
        at = out.index(b"\xff\xc0")
        out[at + 5 : at + 9] = struct.pack(">HH", side, side)
    elif kind == "BMP":
        out[18:26] = struct.pack("<ii", side, side)
    else:  # GIF: the screen
        out[6:10] = struct.pack("<HH", side, side)
    return bytes(out)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
@pytest.mark.parametrize("side", [11_000, 13_300, 20_000])
def test_a_picture_beyond_the_limit_is_refused_with_its_size(tmp_path: Path, kind: str, side: int) -> None:
    buffer = io.BytesIO()
    Image.new("L" if kind != "JPEG" else "RGB", (8, 8)).save(buffer, kind)
    path = tmp_path / f"bomb.{kind.lower()}"
    path.write_bytes(with_size(buffer.getvalue(), kind, side))
    with pytest.raises(limits.TooLargeError, match=rf"{side}x{side} .*the limit for a photo is 120\.0 million pixels"):
        open_clip(path)


@pytest.mark.parametrize(("codec", "name"), [("png", "a.mov"), ("mjpeg", "a.avi"), ("ffv1", "a.mkv")])
def test_a_clip_beyond_the_limit_is_refused_before_a_frame_is_decoded(
    tmp_path: Path, codec: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pix_fmt = tmp_path / name, {"png": "gray", "mjpeg": "yuvj420p", "ffv1": "gray"}[codec]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, pix_fmt
        frame = av.VideoFrame(640, 480, pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = 0
        out.mux([*stream.encode(frame), *stream.encode(None)])
    open_clip(path).close()
    monkeypatch.setattr(limits, "CLIP_PIXELS", 300_000)
    with pytest.raises(limits.TooLargeError, match="640x480"):
        open_clip(path)


def test_updates_give_the_planes_that_whole_frames_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    planes: list[np.ndarray] = []
    encode_frame = encode.VideoSink._encode

    def spy(self: encode.VideoSink, until: int) -> None:
        planes.extend(encode._rows(plane, encode.PARTIAL[self._format]).copy() for plane in self._frame.planes)
        encode_frame(self, until)

    monkeypatch.setattr(encode.VideoSink, "_encode", spy)
    monkeypatch.setattr(encode, "BAND_PIXELS", 4000)
    for size, name, channels in (((334, 250), "a.mp4", 3), ((333, 251), "b.mp4", 4), ((206, 150), "c.webm", 4)):
        width, height = size
        base = rng.integers(0, 256, (height, width, channels), np.uint8)
        frames = []
        for x, y in ((0, 0), (31, 77), (width - 60, height - 50), (100, 3)):
            pixels = rng.integers(0, 256, (50, 60, channels), np.uint8)
            frames.append(Patched(base, (Patch(x, y, pixels),)))
        made = []
        for patched in (False, True):
            planes.clear()
            with ClipWriter(
                tmp_path / name, size, Fraction(25), alpha=channels == 4, overwrite=True, hardware="none"
            ) as writer:
                for number, frame in enumerate(frames):
                    if patched:
                        writer.write_patched(frame, Fraction(number, 25))
                    else:
                        rgb, alpha = split(frame.whole())
                        writer.write(rgb, Fraction(number, 25), alpha)
                writer.finish()
            made.append(list(planes))
        assert len(made[0]) == len(made[1]) > 0
        assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True)), name


def test_overlapping_windows_become_one() -> None:
    assert separate([(0, 0, 4, 4), (10, 0, 14, 4)]) == [(0, 0, 4, 4), (10, 0, 14, 4)]
    assert separate([(0, 0, 4, 4), (6, 6, 9, 9), (3, 3, 7, 7)]) == [(0, 0, 9, 9)]


def test_encoders_of_large_frames_hold_few_of_them() -> None:
    assert encode.frugal("libx264", (1920, 1080)) == {}
    assert encode.frugal("libx264", (4000, 3000)) == {"rc-lookahead": "1", "bf": "0", "refs": "1"}
    assert int(encode.frugal("libx264", (3840, 2160))["rc-lookahead"]) < 30


@pytest.mark.parametrize(
    ("size", "fitting"),
    [
        ((1921, 1081), (1921, 1081)),
        ((8192, 4352), (8192, 4352)),
        ((6048, 8064), (5170, 6894)),
        ((12000, 10000), (6540, 5450)),
        ((32000, 900), (16384, 460)),
    ],
)
def test_clips_have_a_size_that_players_know(size: tuple[int, int], fitting: tuple[int, int]) -> None:
    found = limits.fitting_clip(*size)
    assert found == fitting
    assert found[0] * found[1] <= limits.CLIP_PIXELS
    limits.check_frame(Path("x"), *found)
