"""Face crops: numbers of the official release, mesh faces, and what the picture looks like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from motion_stubs import round_face

from liveportrait.crop import EXTENT, Box, Crop, face_box, two_points
from liveportrait.options import AnimationOptions
from liveportrait.warp import warp
from models import topology

LAYOUTS = ["p203_0", "p203_1", "p203_2", "p203_3", "p106_0", "p101_0", "p68_0", "p9_0", "p5_0"]
SETTINGS = {
    "src": (512, 2.3, -0.125, True), "norot": (512, 2.3, -0.125, False), "lmk224": (224, 1.5, -0.1, True),
    "s17": (512, 1.7, 0.05, True),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_points_equal_the_official_ones(official, layout):
    points = official[f"maths/crop/{layout}/pts"]
    np.testing.assert_allclose(two_points(points), official[f"maths/crop/{layout}/pt2"], atol=1e-4)
    np.testing.assert_allclose(two_points(points, False), official[f"maths/crop/{layout}/pt2_eyes_only"], atol=1e-4)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_crop_matrix_equals_the_official_one(official, layout, setting):
    size, scale, shift, turn = SETTINGS[setting]
    points = official[f"maths/crop/{layout}/pts"]
    options = AnimationOptions(crop_scale=scale, crop_y=shift, crop_rotate=turn)
    crop = Crop.from_face(points, options, size)
    key = f"maths/crop/{layout}/{setting}"
    np.testing.assert_allclose(crop.matrix, official[f"{key}/M_o2c"][:2], atol=1e-3)
    np.testing.assert_allclose(crop.inverse, official[f"{key}/M_c2o"][:2], atol=1e-3)
    np.testing.assert_allclose(crop.points(points[:5]), official[f"{key}/pt_crop_first5"], atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shift_to_the_side_works_unlike_in_the_release(official, layout):
    points = official[f"maths/crop/{layout}/pts"]
    box = face_box(points, 2.3, 0.1, -0.125)
    key = f"maths/crop/{layout}/rect_vx0.1"
    np.testing.assert_allclose((box.x, box.y), official[f"{key}/center"], atol=2e-3)
    np.testing.assert_allclose((box.size, box.size), official[f"{key}/size"], rtol=1e-5)
    assert box.angle == pytest.approx(float(official[f"{key}/angle_rad"][0]), abs=1e-6)
    crop = Crop.from_face(points, AnimationOptions(crop_x=0.1))
    np.testing.assert_allclose(crop.points([[box.x, box.y]]), [[256, 256]], atol=1e-2)


def test_driving_boxes_equal_the_official_ones(official):
    boxes = [face_box(official[f"maths/crop/p203_{i}/pts"], 2.2, 0.0, -0.1) for i in range(4)]
    edges = [(b.x - b.size / 2, b.y - b.size / 2, b.x + b.size / 2, b.y + b.size / 2) for b in boxes]
    np.testing.assert_allclose(edges, official["maths/driving_crop/per_frame_bbox"], atol=1e-3)


@pytest.mark.parametrize("angle", [-150, -40, 0, 25, 90, 180])
def test_mesh_face_stands_upright_in_its_crop_at_any_angle(angle):
    face = round_face(300, 200, 80, angle)
    crop = Crop.from_face(face, size=256)
    upper, lower = two_points(crop.points(face.points))
    assert upper[0] == pytest.approx(lower[0], abs=1e-3)
    assert upper[1] < lower[1]
    assert np.rad2deg(crop.box.angle) == pytest.approx(angle if angle != 180 else 180, abs=1e-3) or angle == 180
    assert crop.face(face).points.shape == (478, 3)


def test_forehead_does_not_count_for_the_size_of_the_crop():
    assert 10 not in EXTENT  # top of the forehead
    assert {*topology.LIPS, *topology.JAW, *topology.BROW_LEFT} <= set(EXTENT)
    face = round_face(300, 200, 80)
    plain = face_box(face)
    face.points[10] = (300, -500, 0)
    assert face_box(face).size == plain.size


def test_unlevelled_crop_has_no_turn():
    crop = Crop.from_face(round_face(100, 100, 50, 30), AnimationOptions(crop_rotate=False))
    assert crop.matrix[0, 1] == 0


def test_box_by_hand_and_its_corners():
    crop = Crop.from_box(100, 60, 40, size=80)
    assert crop.scale == pytest.approx(2)
    np.testing.assert_allclose(crop.points([[100, 60]]), [[40, 40]], atol=1e-5)
    np.testing.assert_allclose(crop.to_source(crop.points([[3, 7], [5, 9]])), [[3, 7], [5, 9]], atol=1e-4)
    side = np.linalg.norm(crop.corners[1] - crop.corners[0])
    assert side == pytest.approx(40)
    tilted = Crop.from_box(100, 60, 40, angle=30)
    assert tilted.box.angle == pytest.approx(np.pi / 6)
    assert tilted.resized(64).scale == pytest.approx(64 / 40)


def test_depth_is_scaled_like_the_plane():
    crop = Crop.from_box(100, 60, 40, size=80)
    np.testing.assert_allclose(crop.points([[100, 60, 5]]), [[40, 40, 10]], atol=1e-5)


@pytest.mark.parametrize("box", [Box(0, 0, 0), Box(np.nan, 0, 10), Box(0, 0, -4)])
def test_unusable_box_is_refused(box):
    with pytest.raises(ValueError, match="empty or not finite"):
        Crop.of_box(box)


def test_unknown_landmark_layout_is_refused():
    with pytest.raises(ValueError, match="7 landmarks"):
        two_points(np.zeros((7, 2)))
    with pytest.raises(ValueError, match="shape"):
        two_points(np.zeros(7))


def test_points_on_top_of_each_other_give_an_upright_box():
    points = np.zeros((5, 2), np.float32) + 50
    points[2] = (60, 60)
    assert face_box(points, 1.0).angle == 0


# ---------------------------------------------------------------------- pictures


def test_official_crop_of_a_picture(official):
    crop = Crop.from_face(official["maths/paste/lmk"])
    np.testing.assert_allclose(crop.matrix, official["maths/paste/M_o2c"][:2], atol=1e-3)
    square = crop.apply(official["maths/paste/frame"], official=True)
    assert square.shape == (512, 512, 3)
    back = cv2.warpAffine(square, crop.inverse, (320, 240))
    inside = cv2.warpAffine(np.ones((512, 512), np.uint8), crop.inverse, (320, 240)) > 0
    inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9))) > 0
    difference = np.abs(back.astype(int) - official["maths/paste/frame"])[inside]
    assert difference.mean() < 1.5


def test_shrinking_crop_averages_instead_of_picking():
    checks = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, axis=2)
    crop = Crop.from_box(512, 512, 1000, 7, size=200)
    ours, plain = crop.apply(image), crop.apply(image, official=True)
    assert np.abs(ours[20:-20, 20:-20].astype(int) - 127).max() <= 8
    assert plain[20:-20, 20:-20].std() > 10 * max(ours[20:-20, 20:-20].std(), 0.1)


def test_crop_at_the_scale_of_the_picture_copies_its_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 300, 3), np.uint8)
    crop = Crop.from_box(150, 140, 128, size=128)
    np.testing.assert_array_equal(crop.apply(image), image[76:204, 86:214])


def test_outside_of_the_picture_repeats_its_edge():
    image = np.full((50, 50, 3), 200, np.uint8)
    crop = Crop.from_box(0, 0, 100, size=100)
    assert crop.apply(image).min() == 200
    assert crop.apply(image, border="black").min() == 0


def test_hidden_colours_leave_no_fringe_in_a_transparent_picture():
    image = np.zeros((200, 200, 4), np.uint8)
    image[60:140, 60:140] = (255, 128, 0, 255)
    for size in (90, 400):
        square = Crop.from_box(100, 100, 200, 20, size=size).apply(image)
        edge = (square[..., 3] > 30) & (square[..., 3] < 225)
        assert edge.sum() > 50
        assert np.abs(square[edge][:, :3].astype(int) - (255, 128, 0)).max() <= 12


def test_outside_of_a_transparent_picture_is_transparent():
    image = np.full((50, 50, 4), 255, np.uint8)
    square = Crop.from_box(0, 0, 100, size=100).apply(image)
    assert square[10, 10, 3] == 0
    assert square[75, 75, 3] == 255


def test_warp_reads_only_what_it_needs():
    """A window of a huge picture: OpenCV alone refuses sides above 32,767 pixels."""
    image = np.zeros((40, 40000, 3), np.uint8)
    image[:, 39000:] = 255
    square = warp(image, np.array([[1.0, 0, -38990], [0, 1.0, 0]]), (20, 20))
    assert (square[:, :10] == 0).all()
    assert (square[:, 10:] == 255).all()
