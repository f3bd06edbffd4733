"""Paste-back: equal to the full-frame formula, at no more than the crop's cost, sharp where nothing moved."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveportrait.compose import Compositor, crop_window, edge_ramp, official_mask, paste_back_official
from liveportrait.crop import Crop
from liveportrait.warp import warp


def _moved(square: np.ndarray) -> np.ndarray:
    """A middle part of the square shifted and brightened."""
    out = square.copy()
    n = len(out)
    part = out[n // 4 : 3 * n // 4, n // 4 : 3 * n // 4]
    part[..., :3] = np.clip(np.roll(part[..., :3], 9, axis=1).astype(int) + 20, 0, 255)
    return out


def _full_frame(image: np.ndarray, rendered: np.ndarray, crop: Crop) -> np.ndarray:
    h, w = image.shape[:2]
    mask = edge_ramp(crop.matrix, crop.size, (0, 0, w, h))[..., None].astype(np.float64)
    return np.rint(mask * warp(rendered, crop.inverse, (w, h)) + (1 - mask) * image)


def _check(got: np.ndarray, full: np.ndarray) -> None:
    """Equal within one level; before version 5 OpenCV rounds positions to 1/32 px, which shows at hard edges."""
    error = np.abs(got - full)
    assert np.mean(error > 1) < 0.01
    assert error.max() <= (1 if int(cv2.__version__.split(".")[0]) >= 5 else 10)


@pytest.fixture(params=[0.4, 1.0, 2.5], ids=["small", "equal", "large"])
def scene(request, astronaut):
    k = request.param
    image = cv2.resize(astronaut, None, fx=k, fy=k, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_CUBIC)
    crop = Crop.from_box(222 * k, 130 * k, 230 * k, 14, size=256)
    return image, crop, crop.apply(image)


def test_official_mask_has_the_released_values():
    mask = official_mask()
    assert mask.shape == (512, 512)
    np.testing.assert_array_equal(mask[256, :6], [0, 15, 31, 47, 63, 79])
    np.testing.assert_array_equal(mask[256, -3:], [47, 31, 15])
    np.testing.assert_array_equal(mask[5, 4:10], [0, 7, 18, 28, 38, 47])
    assert (mask[16:497, 16:497] == 255).all()


def test_official_paste_back_equals_the_release(official):
    """The rendered square itself is not in the numbers: it is taken back from the released result."""
    frame, wanted = official["maths/paste/frame"], official["maths/paste/out"]
    crop = Crop(official["maths/paste/M_o2c"][:2].astype(np.float64), 512)
    square = crop.apply(wanted)
    got = paste_back_official(frame, square, crop)
    x0, y0, x1, y1 = crop_window(crop, frame.shape)
    outside = np.ones(frame.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(got[outside], wanted[outside])
    weight = cv2.warpAffine(official_mask(), crop.inverse, (320, 240))
    assert np.mean((got != wanted).any(axis=2)[weight == 0]) < 1e-3
    inner = cv2.erode((weight == 255).astype(np.uint8), np.ones((5, 5))) > 0
    difference = np.abs(got.astype(int) - wanted)[inner]
    assert np.mean(difference <= 2) > 0.99


def test_official_paste_back_equals_the_full_frame_formula(official):
    frame = official["maths/paste/frame"]
    crop = Crop(official["maths/paste/M_o2c"][:2].astype(np.float64), 512)
    rendered = 255 - crop.apply(frame, official=True)
    weight = cv2.warpAffine(official_mask(), crop.inverse, (320, 240)).astype(np.float32)[..., None] / np.float32(255)
    full = weight * cv2.warpAffine(rendered, crop.inverse, (320, 240)) + (1 - weight) * frame
    got = paste_back_official(frame, rendered, crop)
    assert np.abs(got.astype(int) - np.clip(full, 0, 255).astype(np.uint8)).max() <= 1


def test_plain_blend_equals_the_full_frame_formula(scene):
    image, crop, square = scene
    rendered = _moved(square)
    got = Compositor(image, crop, square, detail=False).paste(rendered)
    _check(got, _full_frame(image, rendered, crop))


def test_moved_parts_equal_the_full_frame_formula_with_detail_too(scene):
    image, crop, square = scene
    rendered = np.ascontiguousarray(255 - square)
    got = Compositor(image, crop, square).paste(rendered)
    error = np.abs(got - _full_frame(image, rendered, crop))
    grey = np.abs(square[..., :3].astype(int) - 127).min(axis=2) < 12  # inverted grey stays grey: not moved
    still = warp(cv2.dilate(grey.astype(np.uint8), np.ones((25, 25))) * 255, crop.inverse, image.shape[1::-1]) > 0
    assert error[~still].max() <= 1


def test_identity_returns_the_source_to_the_bit(scene):
    image, crop, square = scene
    np.testing.assert_array_equal(Compositor(image, crop, square).paste(square.copy()), image)


def test_identity_keeps_the_sharpness_of_a_face_larger_than_the_crop(scene):
    image, crop, square = scene
    x0, y0, x1, y1 = crop_window(crop, image.shape)
    inside = np.s_[y0:y1, x0:x1]

    def sharpness(picture):
        return cv2.Laplacian(cv2.cvtColor(picture[inside], cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()

    assert sharpness(Compositor(image, crop, square).paste(square)) == sharpness(image)
    if crop.scale < 0.5:  # what the detail is for: the plain way loses most of it
        assert sharpness(Compositor(image, crop, square, detail=False).paste(square)) < 0.8 * sharpness(image)


def test_a_small_change_leaves_the_rest_of_the_face_sharp(scene):
    image, crop, square = scene
    rendered = square.copy()
    rendered[150:170, 100:150] = rendered[150:170, 100:150] // 2
    got = Compositor(image, crop, square).paste(rendered)
    changed = (got != image).any(axis=2)
    where = crop.points(np.argwhere(changed)[:, ::-1])
    assert changed.any()
    assert where[:, 0].min() > 100 - 24
    assert where[:, 0].max() < 150 + 24
    assert where[:, 1].min() > 150 - 24
    assert where[:, 1].max() < 170 + 24


def test_pixels_beyond_the_mask_are_untouched(scene):
    image, crop, square = scene
    got = Compositor(image, crop, square).paste(255 - square)
    mask = edge_ramp(crop.matrix, crop.size, (0, 0, image.shape[1], image.shape[0]))
    np.testing.assert_array_equal(got[mask == 0], image[mask == 0])


def test_the_source_is_not_changed_and_the_target_is(scene):
    image, crop, square = scene
    before = image.copy()
    target = image.copy()
    result = Compositor(image, crop, square).paste(255 - square, out=target)
    assert result is target
    np.testing.assert_array_equal(image, before)


def test_own_mask_limits_the_paste(scene):
    image, crop, square = scene
    mask = np.zeros((256, 256), np.float32)
    mask[:128] = 1
    got = Compositor(image, crop, square, mask=mask, detail=False).paste(255 - square)
    changed = crop.points(np.argwhere((got != image).any(axis=2))[:, ::-1])
    assert changed[:, 1].max() < 128 + 4
    assert changed[:, 1].min() < 20


def test_two_faces_that_overlap_are_both_pasted(astronaut):
    left, right = Crop.from_box(180, 150, 160, size=128), Crop.from_box(270, 150, 160, size=128)
    picture = astronaut.copy()
    for crop, level in ((left, 40), (right, -40)):
        square = crop.apply(astronaut)
        rendered = square.copy()
        rendered[40:88, 40:88] = np.clip(rendered[40:88, 40:88].astype(int) + level, 0, 255)
        Compositor(astronaut, crop, square).paste(rendered, out=picture)
    change = picture.astype(int) - astronaut
    assert change[140:160, 170:190].mean() > 15
    assert change[140:160, 260:280].mean() < -15


def test_crop_outside_of_the_picture_changes_nothing(astronaut):
    crop = Crop.from_box(-400, -400, 100, size=64)
    rendered = np.zeros((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(Compositor(astronaut, crop).paste(rendered), astronaut)
    np.testing.assert_array_equal(paste_back_official(astronaut, rendered, crop), astronaut)
    assert crop_window(crop, astronaut.shape) is None


def test_crop_over_the_border_is_cut(astronaut):
    crop = Crop.from_box(20, 490, 200, -30, size=128)
    square = crop.apply(astronaut)
    got = Compositor(astronaut, crop, square, detail=False).paste(255 - square)
    _check(got, _full_frame(astronaut, 255 - square, crop))


@pytest.mark.parametrize("detail", [True, False])
def test_transparency_is_kept_and_edges_have_no_dark_fringe(astronaut, detail):
    h, w = astronaut.shape[:2]
    yy, xx = np.mgrid[:h, :w]
    alpha = np.clip((110 - np.hypot(xx - 222, yy - 130)) * 60, 0, 255).astype(np.uint8)
    image = np.dstack([np.where(alpha[..., None] > 0, 180, 0).astype(np.uint8).repeat(3, axis=2), alpha])
    crop = Crop.from_box(222, 130, 300, 5, size=256)
    square = crop.apply(image)
    compositor = Compositor(image, crop, square, detail=detail)
    if detail:
        np.testing.assert_array_equal(compositor.paste(square.copy()), image)
    rendered = np.roll(square, 12, axis=1)
    got = compositor.paste(rendered)
    assert got.shape == image.shape
    visible = got[..., 3] > 40
    assert got[visible][:, :3].min() > 150
    assert got[130, 222 + 110 + 6, 3] > image[130, 222 + 110 + 6, 3]


def test_change_of_alpha_alone_is_pasted(astronaut):
    image = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    crop = Crop.from_box(222, 130, 230, size=128)
    square = crop.apply(image)
    rendered = square.copy()
    rendered[40:80, 40:80, 3] = 0
    got = Compositor(image, crop, square).paste(rendered)
    assert got[tuple(np.rint(crop.to_source([[60, 60]])[0]).astype(int)[::-1])][3] == 0


def test_engine_without_alpha_keeps_the_alpha_of_the_source(astronaut):
    image = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    image[:, :200, 3] = 0
    crop = Crop.from_box(222, 130, 230, size=128)
    square = crop.apply(image)
    got = Compositor(image, crop, square).paste(np.ascontiguousarray(255 - square[..., :3]))
    assert np.abs(got[..., 3].astype(int) - image[..., 3]).max() <= 130  # at the hard edge only
    assert (got[:, 230:, 3] == 255).all()
    assert (got[:, :190, 3] == 0).all()
    assert np.abs(got[130, 240, :3].astype(int) - image[130, 240, :3]).max() > 20


def test_work_depends_on_the_face_and_not_on_the_picture(astronaut):
    """The rectangle that is computed is the same in a picture sixteen times as large."""
    wide = np.zeros((2048, 2048, 3), np.uint8)
    wide[700:1212, 900:1412] = astronaut
    small = Compositor(astronaut, Crop.from_box(222, 130, 150, 9, size=128))
    large = Compositor(wide, Crop.from_box(900 + 222, 700 + 130, 150, 9, size=128))
    assert (
        np.subtract(small.window[2:], small.window[:2]).tolist()
        == np.subtract(large.window[2:], large.window[:2]).tolist()
    )


def test_aligned_square_is_copied_without_resampling():
    """A crop in the picture's own pixels: inside its soft border the rendered values arrive as they are."""
    rng = np.random.default_rng(5)
    source = rng.integers(0, 256, (120, 150, 3), np.uint8)
    crop = Crop(np.array([[1.0, 0, -30], [0, 1, 10]]), 100)  # reaches over the upper edge
    rendered = rng.integers(0, 256, (100, 100, 3), np.uint8)
    result = Compositor(source, crop).paste(rendered)
    assert np.array_equal(result[40:70, 60:100], rendered[50:80, 30:70])
    assert np.array_equal(result[:, :30], source[:, :30])
    assert np.array_equal(result[92:], source[92:])
    assert np.array_equal(Compositor(source, crop).paste(crop.apply(source)), source)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("angle", [0, 14])
def test_large_windows_take_less_memory_and_look_the_same(astronaut, monkeypatch, masked, angle):
    """Strips change next to nothing; the mask in 256 levels at most a level of grey."""
    image = cv2.resize(astronaut, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    crop = Crop.from_box(666, 390, 690, angle, size=256)
    square = crop.apply(image)
    mask = cv2.GaussianBlur(np.eye(256, dtype=np.float32), (0, 0), 40)
    mask = mask / mask.max() if masked else None
    whole = Compositor(image, crop, square, mask=mask)
    wanted = whole.paste(_moved(square))
    monkeypatch.setattr("liveportrait.compose.WHOLE_PIXELS", 1000)
    monkeypatch.setattr("liveportrait.compose.STRIP_PIXELS", 20_000)
    in_strips = Compositor(image, crop, square, mask=mask)
    np.testing.assert_array_equal(in_strips.mask, whole.mask)
    error = np.abs(in_strips.paste(_moved(square)).astype(int) - wanted)
    assert error.max() <= 1, "positions are rounded from the corner of each strip"
    assert (error > 0).mean() < 1e-4
    monkeypatch.setattr("liveportrait.compose.LARGE_WINDOW", 1000)
    large = Compositor(image, crop, square, mask=mask)
    assert large._up_source is None
    assert large._mask.dtype == np.uint8
    np.testing.assert_allclose(large.mask, whole.mask, atol=0.5 / 255 + 1e-6)
    assert np.abs(large.paste(_moved(square)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("holes", [False, True])
def test_the_mask_counts_only_where_it_is_not_full(holes):
    """Against mixing every pixel."""
    rng = np.random.default_rng(5)
    source, rendered = (rng.integers(0, 255, (90, 110, 3), np.uint8) for _ in range(2))
    rendered = np.ascontiguousarray(rendered[:80, :80])
    crop = Crop(np.array([[1.0, 0, -20], [0, 1, -5]]), 80)
    mask = np.where(rng.random((80, 80)) < 0.02, 0, 1).astype(np.float32) if holes else None
    compositor = Compositor(source, crop, mask=mask)
    whole = source[5:85, 20:100]
    expected = cv2.blendLinear(rendered, np.ascontiguousarray(whole), compositor.mask, 1 - compositor.mask)
    assert np.array_equal(compositor.paste(rendered)[5:85, 20:100], expected)
