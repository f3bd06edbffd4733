"""The watermark: found after hard compression, silent on other pictures, nowhere outside the animated square."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.media.images import read_image
from app.provenance.watermark import FALSE_ALARMS, Score, detect, imprint, imprint_square, look
from liveportrait.compose import crop_window
from liveportrait.crop import Crop

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "sample" / "portrait.jpg"
SIDE = 512


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    rgb = read_image(PHOTO).rgb
    return np.ascontiguousarray(
        cv2.resize(rgb, (900, 900 * rgb.shape[0] // rgb.shape[1]), interpolation=cv2.INTER_AREA)
    )


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> Crop:
    return Crop.from_box(photo.shape[1] / 2, photo.shape[0] / 2.2, SIDE, angle=7, size=SIDE)


@pytest.fixture(scope="module")
def marked(photo: np.ndarray, crop: Crop) -> np.ndarray:
    out = photo.copy()
    imprint(out, crop)
    return out


def test_it_is_found_and_an_unmarked_photo_is_silent(photo: np.ndarray, marked: np.ndarray) -> None:
    assert detect([marked]).found
    assert not detect([photo]).found
    assert detect([]) == Score(0.0, 1.0)


def test_half_size_and_hard_compression_leave_it(marked: np.ndarray) -> None:
    half = cv2.resize(marked, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", half, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    assert detect([cv2.imdecode(coded, cv2.IMREAD_COLOR)]).found


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
    assert 10 * math.log10(255**2 / np.mean(change**2)) >= 44
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
