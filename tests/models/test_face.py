from __future__ import annotations

import math

import numpy as np
import pytest

from models.detectors import Detection
from models.face import Face, select_face
from models.mesh import Roi


def blank(**points: tuple[float, float]) -> Face:
    """A face whose points are zero but for those named i<index>."""
    values = np.zeros((478, 3), np.float32)
    for name, place in points.items():
        values[int(name[1:]), :2] = place
    return Face(values)


def square(x: float, y: float, size: float) -> Face:
    """A face whose box is a square around (x, y)."""
    values = np.zeros((478, 3), np.float32)
    values[:, :2] = (x, y)
    values[10, :2], values[152, :2] = (x - size / 2, y - size / 2), (x + size / 2, y + size / 2)
    return Face(values)


def test_ratios_read_the_points_that_the_mapping_names():
    face = blank(
        i33=(0, 0), i133=(40, 0), i159=(20, -5), i145=(20, 5),
        i263=(140, 0), i362=(100, 0), i386=(120, -2), i374=(120, 2),
        i61=(50, 90), i291=(90, 90), i13=(70, 84), i14=(70, 96),
    )  # fmt: skip
    np.testing.assert_allclose(face.eye_ratios, [10 / 40, 4 / 40], rtol=1e-5)
    assert face.lip_ratio == pytest.approx(12 / 40, rel=1e-5)
    np.testing.assert_allclose(face.eye_centers, [[20, 0], [120, 0]])
    np.testing.assert_allclose(face.lip_center, [70, 90])
    assert face.eye_ratios.shape == (2,)
    assert isinstance(face.lip_ratio, float)


def test_collapsed_points_give_finite_ratios():
    face = blank()
    assert np.isfinite(face.eye_ratios).all()
    assert np.isfinite(face.gaze).all()
    assert math.isfinite(face.lip_ratio)


def test_gaze_counts_to_the_right_and_down_in_both_eyes():
    corners = {"i33": (0.0, 0.0), "i133": (40.0, 0.0), "i362": (100.0, 0.0), "i263": (140.0, 0.0)}
    np.testing.assert_allclose(blank(**corners, i468=(20, 0), i473=(120, 0)).gaze, np.zeros((2, 2)), atol=1e-6)
    right = blank(**corners, i468=(30, 0), i473=(130, 0)).gaze
    np.testing.assert_allclose(right, [[0.5, 0], [0.5, 0]], atol=1e-6)
    down = blank(**corners, i468=(20, 5), i473=(120, 10)).gaze
    np.testing.assert_allclose(down, [[0, 0.25], [0, 0.5]], atol=1e-6)


def test_measures_do_not_depend_on_roll_and_size(face: Face):
    angle = math.radians(33)
    turn = 1.7 * np.array([[math.cos(angle), -math.sin(angle), 20], [math.sin(angle), math.cos(angle), -7]])
    moved = face.transformed(turn)
    np.testing.assert_allclose(moved.eye_ratios, face.eye_ratios, rtol=1e-3)
    np.testing.assert_allclose(moved.gaze, face.gaze, atol=1e-3)
    assert moved.lip_ratio == pytest.approx(face.lip_ratio, rel=1e-3)
    assert moved.roll - face.roll == pytest.approx(angle, abs=1e-4)
    np.testing.assert_allclose(moved.points[:, 2], 1.7 * face.points[:, 2], rtol=1e-4, atol=1e-3)


def test_box_and_crop_points_leave_out_what_they_should(face: Face):
    flat = face.points[:468, :2]
    np.testing.assert_array_equal(face.box, [*flat.min(0), *flat.max(0)])
    assert face.size == pytest.approx(float(max(face.box[2:] - face.box[:2])))
    np.testing.assert_allclose(face.centre, (face.box[:2] + face.box[2:]) / 2)
    crop = face.crop_points()
    assert crop.shape[1] == 2
    forehead = face.points[10, :2]
    assert crop[:, 1].min() > forehead[1] + 0.05 * face.size, "the forehead would enlarge the crop"
    assert crop[:, 1].max() == pytest.approx(float(flat[:, 1].max()), abs=0.02 * face.size)


def test_region_of_points_is_upright_and_holds_the_face(face: Face):
    angle = math.radians(-50)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    straight, tilted = Roi.of_points(face.points), Roi.of_points(face.transformed(turn).points)
    assert tilted.angle - straight.angle == pytest.approx(angle, abs=1e-4)
    assert tilted.side == pytest.approx(straight.side, rel=0.01)
    assert straight.side == pytest.approx(1.5 * face.size, rel=0.1)
    np.testing.assert_allclose(turn[:, :2] @ (straight.x, straight.y), (tilted.x, tilted.y), atol=1.0)


def test_region_of_a_detection_follows_its_eyes():
    points = np.array([[10, 10], [10, 30], [0, 20], [-5, 20], [10, 0], [10, 40]], np.float32)
    roi = Roi.of_detection(Detection(np.array([-10, 0, 20, 40], np.float32), points, 0.9))
    assert (roi.x, roi.y, roi.side) == (5, 20, 60)
    assert roi.angle == pytest.approx(math.pi / 2)


FACES = [square(300, 200, 120), square(60, 100, 80), square(560, 240, 40)]
SIZE = (640, 480)


@pytest.mark.parametrize(
    ("choice", "index"),
    [
        ("largest", 0), ("left", 1), ("right", 2), ("centre", 0), ("center", 0), (" Largest ", 0),
        ("1", 0), ("2", 1), ("3", 2), ("560,240", 2), ("60.5, 100", 1), ("130,100", 1), ("500,400", 2),
    ],
)  # fmt: skip
def test_select_face(choice: str, index: int):
    assert select_face(FACES, choice, SIZE) is FACES[index]


@pytest.mark.parametrize("sizes", [(101, 100, 99), (99, 100, 101), (100, 104, 97)])
def test_of_faces_that_are_alike_in_size_the_middle_one_is_taken(sizes: tuple[int, int, int]):
    faces = [square(x, 200, size) for x, size in zip((100, 320, 540), sizes, strict=True)]
    assert select_face(faces, "largest", SIZE) is faces[1]
    faces[2] = square(540, 200, 120)
    assert select_face(faces, "largest", SIZE) is faces[2]


def test_a_point_in_two_boxes_means_the_nearer_face():
    inner = square(330, 210, 60)
    assert select_face([FACES[0], inner], "335,215", SIZE) is inner
    assert select_face([FACES[0], inner], "290,190", SIZE) is FACES[0]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("4", "Face 4 does not exist; the image has 3 faces"),
        ("0", "is not one of"),
        ("tallest", "'tallest' is not one of largest, left, right, centre"),
        ("-1", "is not one of"),
        ("1,2,3", "is not one of"),
        ("", "is not one of"),
        ("640,10", "outside the image of 640x480 pixels; the image has 3 faces"),
        ("nan,1", "is not one of"),
    ],
)
def test_select_face_explains_itself(choice: str, words: str):
    with pytest.raises(ValueError, match=words):
        select_face(FACES, choice, SIZE)


def test_select_face_counts_one_face_and_none():
    with pytest.raises(ValueError, match=r"the image has 1 face, counted from 1"):
        select_face(FACES[:1], "2", SIZE)
    with pytest.raises(ValueError, match="no face to choose from"):
        select_face([], "largest", SIZE)
