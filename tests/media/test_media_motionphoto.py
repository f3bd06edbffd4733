"""Motion Photos: the film behind the picture drives, the still is animated."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from media_clips import make_clip, steady
from PIL import Image

from app.media import container, motionphoto
from app.media.audio import AudioSource
from app.media.reader import open_clip

TRAILER = b"\0\0\x30\x0aSEFH" + bytes(24) + b"SEFT"  # what Samsung's phones write last


def _jpeg(size: tuple[int, int] = (96, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (40, 90, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_clip(path, steady(8), sound=[0.1]).read_bytes()


@pytest.mark.parametrize("before", [b"", b"MotionPhoto_Data"], ids=["google", "samsung"])
@pytest.mark.parametrize("after", [b"", TRAILER], ids=["plain", "trailer"])
def test_film_drives_and_still_is_the_source(tmp_path: Path, film: bytes, before: bytes, after: bytes) -> None:
    path = tmp_path / "a,b: %d photo.jpg" if Path("/").drive == "" else tmp_path / "photo.jpg"
    path.write_bytes(_jpeg() + before + film + after)
    with open_clip(path, film=True) as clip:
        assert len(list(clip)) == 8
        assert not clip.problem
        assert clip.notes[-1].endswith("is a Motion Photo; its film is used, not its still.")
        assert AudioSource.of_part(clip).present
    with open_clip(path) as clip:
        assert [(f.rgb.shape[1], f.rgb.shape[0]) for f in clip] == [(96, 64)]
        assert "only its still is used" in clip.notes[0]
        assert not AudioSource.of_part(clip).present


def test_range_ends_with_the_film(tmp_path: Path, film: bytes) -> None:
    path, head = tmp_path / "photo.jpg", _jpeg()
    path.write_bytes(head + film + TRAILER[8:])
    assert motionphoto.find_film(path) == (len(head), len(head) + len(film))


def test_damaged_film_leaves_the_still(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(_jpeg() + b"\0\0\0\x18ftypisom\0\0\0\0mp42isom" + struct.pack(">I4s", 4000, b"moov") + bytes(90))
    with open_clip(path, film=True) as clip:
        assert clip.info.kind == "image"
        assert len(list(clip)) == 1


def test_heic_film_in_its_box(tmp_path: Path, film: bytes) -> None:
    path = tmp_path / "photo.heic"
    head = struct.pack(">I4s4sI4s", 24, b"ftyp", b"heic", 0, b"mif1") + b"heic"
    path.write_bytes(head + struct.pack(">I4s", len(film) + 8, b"mpvd") + film)
    assert motionphoto.find_film(path) == (32, 32 + len(film))
    with open_clip(path, film=True) as clip:
        assert len(list(clip)) == 8


def test_clips_that_hold_other_files_are_clips(tmp_path: Path, film: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(film + struct.pack(">I4s", len(film) + 8, b"free") + film)
    assert motionphoto.find_film(path) is None
    assert container.url(path) == f"file:{path}"


def test_photo_without_film(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(_jpeg())
    assert motionphoto.find_film(path) is None
    with open_clip(path, film=True) as clip:
        assert np.asarray(next(iter(clip)).rgb).shape == (64, 96, 3)
        assert clip.notes == []
