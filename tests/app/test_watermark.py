"""The watermark: found after hard compression, silent on other pictures, nowhere outside the animated square."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from app.media.images import read_image
from app.provenance.inspect import find_watermark
from app.provenance.lattice import Floats, Pixels
from app.provenance.search import FALSE_ALARMS, Score, Search, detect
from app.provenance.watermark import imprint, imprint_square
from liveportrait.compose import crop_window
from liveportrait.crop import Crop

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "sample" / "portrait.jpg"
SIDE = 512


@pytest.fixture(scope="module")
def photo() -> Pixels:
    rgb = read_image(PHOTO).rgb
    small = cv2.resize(rgb, (900, 900 * rgb.shape[0] // rgb.shape[1]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> Crop:
    return Crop.from_box(photo.shape[1] / 2, photo.shape[0] / 2.2, SIDE, angle=7, size=SIDE)


@pytest.fixture(scope="module")
def marked(photo: np.ndarray, crop: Crop) -> np.ndarray:
    out = photo.copy()
    imprint(out, crop)
    return out


def look(grey: Floats) -> Score:
    search = Search()
    search.add_luma(grey)
    return search.score()


def write_half(path: Path, frames: list[Pixels], *, keys: int = 250) -> None:
    """H.264 at crf 28 and half size."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"crf": "28", "g": str(keys)})
        height, width = (side // 4 * 2 for side in frames[0].shape[:2])
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            out.mux(stream.encode(picture.reformat(width, height, "yuv420p", interpolation="AREA")))
        out.mux(stream.encode(None))


def test_it_is_found_and_an_unmarked_photo_is_silent(photo: np.ndarray, marked: np.ndarray) -> None:
    assert detect([marked]).found
    assert not detect([photo]).found
    assert detect([]) == Score(0.0, 1.0)


@pytest.mark.parametrize("side", [256, 512])
def test_half_size_and_h264_at_crf_28_leave_it(photo: np.ndarray, side: int, tmp_path: Path) -> None:
    small = np.ascontiguousarray(cv2.resize(photo, None, fx=side / SIDE, fy=side / SIDE, interpolation=cv2.INTER_AREA))
    crop = Crop.from_box(small.shape[1] / 2, small.shape[0] / 2.2, side, angle=7, size=256)
    frames = [small.copy() for _ in range(12)]
    write_half(tmp_path / "plain.mp4", frames)
    for frame in frames:
        imprint(frame, crop)
    write_half(tmp_path / "marked.mp4", frames)
    plain, found = find_watermark(tmp_path / "plain.mp4"), find_watermark(tmp_path / "marked.mp4")
    assert plain is not None
    assert not plain.found
    assert found is not None
    assert found.found


def test_frames_in_which_everything_moves_add_up(photo: np.ndarray) -> None:
    """Each frame has noise of its own; together they agree more than any of them alone."""
    random, search = np.random.default_rng(4), Search()
    small = cv2.resize(photo, (320, 400), interpolation=cv2.INTER_AREA)
    crop, alone = Crop.from_box(160, 180, 256, size=256), []
    for shift in range(8):
        frame = np.ascontiguousarray(np.roll(small, 9 * shift, axis=1), np.uint8)
        imprint(frame, crop)
        noise = cv2.GaussianBlur(random.normal(0, 40, (400, 320)).astype(np.float32), (0, 0), 2)
        damaged = np.clip(frame + noise[..., None], 0, 255).astype(np.uint8)
        alone.append(detect([damaged]).deviations)
        search.add(damaged)
    assert search.score().found
    assert search.score().deviations > 1.5 * max(alone)


def test_a_clip_is_searched_by_its_key_frames_and_then_by_others(photo: np.ndarray, tmp_path: Path) -> None:
    """A clip whose first key frames are another scene."""
    marked = photo[:480, 200:680].copy()
    imprint_square(marked)
    other = np.ascontiguousarray(photo[:480, 200:680][::-1])
    write_half(tmp_path / "a.mp4", [other] * 4 + [marked] * 4, keys=4)
    found = find_watermark(tmp_path / "a.mp4")
    assert found is not None
    assert found.found


def test_outside_the_square_nothing_changes_and_inside_little(
    photo: np.ndarray, marked: np.ndarray, crop: Crop
) -> None:
    window = crop_window(crop, photo.shape)
    assert window is not None
    x0, y0, x1, y1 = window
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    at = np.stack([x, y], -1) @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    outside = (np.abs(at + 0.5 - crop.size / 2).max(-1)) >= crop.size / 2
    assert np.array_equal(marked[outside], photo[outside])
    change = marked[y0:y1, x0:x1].astype(float) - photo[y0:y1, x0:x1]
    assert 44 <= 10 * math.log10(255**2 / np.mean(change**2)) <= 52
    assert np.abs(change.mean(axis=(0, 1))).max() < 0.1  # brightness and colour stay


def test_a_part_of_the_picture_gets_what_the_whole_gets(photo: np.ndarray, marked: np.ndarray, crop: Crop) -> None:
    """The same in patches, as clips are composed, as in whole pictures, as the live mode does."""
    window = crop_window(crop, photo.shape)
    assert window is not None
    x0, y0, x1, y1 = window
    part = photo[y0:y1, x0:x1].copy()
    imprint(part, crop, photo.shape, (x0, y0))
    assert np.array_equal(part, marked[y0:y1, x0:x1])


def test_clear_pixels_keep_their_colour(photo: np.ndarray, crop: Crop) -> None:
    rgba = np.dstack([photo, np.zeros(photo.shape[:2], np.uint8)])
    before = rgba.copy()
    imprint(rgba, crop)
    assert np.array_equal(rgba, before)


def test_squares_outside_small_and_bare(photo: np.ndarray) -> None:
    away = photo.copy()
    imprint(away, Crop.from_box(-5000, -5000, 100, size=128))
    assert np.array_equal(away, photo)
    tiny = np.full((5, 5, 3), 128, np.uint8)
    imprint_square(tiny)
    assert not look(np.zeros((5, 5), np.float32)).found
    bare = np.ascontiguousarray(photo[:512, :512])
    imprint_square(bare)
    assert detect([bare]).found


def test_false_alarms_are_as_rare_as_stated() -> None:
    """Flat, noisy and patterned pictures: none agrees with the key more than chance allows."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:400, :500].astype(np.float32)
    pictures = [np.full((400, 500), 90, np.float32), x % 17 * 10 + y % 11 * 5, np.sin(x / 3) * 80 + 100]
    pictures += [
        cv2.GaussianBlur(random.normal(128, 60, (400, 500)), (0, 0), s).astype(np.float32) for s in (0.5, 1, 3)
    ]
    rates = [look(picture).false_alarms for picture in pictures]
    assert min(rates) > 20 * FALSE_ALARMS


def test_portraits_are_silent(shared: Path) -> None:
    portraits = sorted((shared / "data" / "portraits").glob("*.jpg"))[::40]
    assert portraits
    assert not [path.name for path in portraits if detect([read_image(path).rgb]).found]
