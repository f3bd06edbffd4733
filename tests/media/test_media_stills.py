"""Photos that hold more than a plain picture: HDR colours, a film, a camera raw."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_clips import make_clip, steady
from PIL import Image

from app.errors import MediaError
from app.media.images import read_image
from app.media.reader import open_clip


def with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    """Put a chunk behind the header of a PNG."""
    png = path.read_bytes()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(png[:33] + chunk + png[33:])
    return path


def test_a_pq_png_is_mapped_and_noted(tmp_path: Path) -> None:
    white = 0.58068  # PQ's signal for 203 cd/m2, the white of graphics (ITU-R BT.2408)
    path = tmp_path / "a.png"
    Image.fromarray(np.full((300, 40, 3), round(255 * white), np.uint8)).save(path)
    picture = read_image(with_chunk(path, b"cICP", bytes([9, 16, 0, 1])))
    assert abs(int(picture.rgb.astype(int).mean()) - 255) <= 3
    assert "PQ" in picture.notes[0]


def test_a_plain_cicp_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((20, 20, 3), 120, np.uint8)).save(path)
    picture = read_image(with_chunk(path, b"cICP", bytes([1, 13, 0, 1])))
    assert picture.rgb.min() == picture.rgb.max() == 120
    assert not picture.notes


def test_a_motion_photo_says_that_its_still_is_used(tmp_path: Path) -> None:
    path, plain = tmp_path / "MVIMG.jpg", tmp_path / "a.jpg"
    Image.new("RGB", (40, 30), (90, 120, 60)).save(plain)
    path.write_bytes(plain.read_bytes() + make_clip(tmp_path / "film.mp4", steady(5)).read_bytes())
    with open_clip(path) as clip:
        assert "only its still is used" in clip.notes[0]
    with open_clip(plain) as clip:
        assert not clip.notes


@pytest.mark.parametrize("suffix", [".dng", ".tif"])
def test_a_camera_raw_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (40, 30)).save(path, "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    for use in (read_image, open_clip):
        with pytest.raises(MediaError, match="camera raw"):
            use(path)


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "RGB"), ("a.png", "RGBA"), ("a.png", "L")])
def test_large_images_are_reduced_while_they_are_read(tmp_path: Path, name: str, mode: str) -> None:
    """No less than asked for, turned upright, with the pixels of the whole averaged; small ones stay as they are."""
    rows, columns = np.mgrid[0:900, 0:1203]
    rgb = np.stack([columns / 5, rows / 4, (rows + columns) / 9], 2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.fromarray(rgb).convert(mode).save(tmp_path / name, exif=exif)
    whole, small = read_image(tmp_path / name), read_image(tmp_path / name, 250)
    assert (whole.width, whole.height) == small.full == (900, 1203)
    assert 250 <= max(small.width, small.height) < 500
    assert (small.alpha is None) == (whole.alpha is None)
    resized = cv2.resize(whole.rgb, (small.width, small.height), interpolation=cv2.INTER_AREA)
    assert np.abs(small.rgb.astype(int) - resized).max() <= 4
    assert read_image(tmp_path / name, 700).full is None
