"""Finding faces in single pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_measures import error, placed

from models.detectors import BlazeFace, Window, cut_window, iou, lift_shadows, weighted_nms
from models.face import Face, select_face
from models.search import full_search
from models.tracker import FaceTracker

Pose = Callable[..., tuple[np.ndarray, Face]]


def rotation(degrees: float, size: int = 512) -> np.ndarray:
    return cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), degrees, 1.0)


def darkened(picture: np.ndarray, gamma: float) -> np.ndarray:
    return (255 * (picture / 255.0) ** gamma).astype(np.uint8)


def test_the_astronaut_is_where_she_is(face: Face):
    """Places read off the enlarged photo by hand."""
    assert face.score > 0.99
    np.testing.assert_allclose(face.points[[468, 473], :2], [(202.7, 101), (246.2, 103.5)], atol=1.5)
    np.testing.assert_allclose(face.points[[61, 291], :2], [(202.5, 140), (247.5, 138.5)], atol=2.5)
    np.testing.assert_allclose(face.points[152, :2], (223, 178), atol=3)
    assert abs(math.degrees(face.roll)) < 6
    assert 0.2 < face.eye_ratios.min() < face.eye_ratios.max() < 0.5
    assert face.lip_ratio > 0.05, "she smiles with her teeth shown"


@pytest.mark.parametrize("kind", ["full", "short"])
def test_each_detector_alone_finds_her(astronaut: np.ndarray, face: Face, kind: str):
    (found,) = BlazeFace(kind)(astronaut, Window(225, 125, 300))
    assert iou(face.box, found.box[None])[0] > 0.6
    np.testing.assert_allclose(found.points[:2], face.eye_centers, atol=0.08 * face.size)
    assert found.score > 0.5


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_any_roll(finder: FaceTracker, pose: Pose, degrees: int):
    picture, expected = pose(rotation(degrees), (512, 512))
    found = finder.detect(picture)
    assert len(found) == 1
    assert error(found[0], expected) < 0.03


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turned_file(finder: FaceTracker, astronaut: np.ndarray, face: Face, turns: int):
    picture = np.rot90(astronaut, turns)
    (found,) = finder.detect(picture)
    turned = (math.degrees(found.roll - face.roll) + 90 * turns) % 360
    assert min(turned, 360 - turned) < 3
    assert found.size == pytest.approx(face.size, rel=0.1)


@pytest.mark.parametrize("enlarge", [1, 6])
@pytest.mark.parametrize("top", ["hair", "brow"])
def test_face_that_fills_the_picture(finder: FaceTracker, astronaut: np.ndarray, face: Face, top: str, enlarge: int):
    x0, y0, x1, y1 = face.box.round().astype(int)
    if top == "brow":
        y0 = round(float(face.crop_points()[:, 1].min()))
    picture = cv2.resize(astronaut[y0:y1, x0:x1], None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1, 0, 0.5 - x0], [0, 1, 0.5 - y0]]) * enlarge - [[0, 0, 0.5], [0, 0, 0.5]]
    (found,) = finder.detect(picture)
    assert error(found, face.transformed(matrix)) < 0.04


@pytest.mark.parametrize("pixels", [24, 32, 48, 64])
def test_small_face_in_full_hd(finder: FaceTracker, pose: Pose, face: Face, pixels: int):
    picture, expected = pose(placed(face, pixels, 1480, 811), (1920, 1080))
    (found,) = finder.detect(picture)
    assert error(found, expected) < 0.1
    (found,) = finder.detect(darkened(picture, 1 / 0.3))
    assert error(found, expected) < 0.15


@pytest.mark.parametrize("gamma", [0.3, 2, 1 / 0.3, 5])
def test_over_and_underexposed(finder: FaceTracker, astronaut: np.ndarray, face: Face, gamma: float):
    (found,) = finder.detect(darkened(astronaut, gamma))
    assert error(found, face) < 0.04


def test_nearly_black(finder: FaceTracker, astronaut: np.ndarray, face: Face):
    (found,) = finder.detect((astronaut * 0.06).astype(np.uint8))
    assert error(found, face) < 0.06


@pytest.fixture(scope="module")
def group(astronaut: np.ndarray, face: Face) -> tuple[np.ndarray, list[Face]]:
    """The face three times, largest first: middle, right (mirrored), left."""
    picture = np.full((480, 800, 3), 128, np.uint8)
    places = []
    for height, x, mirror in ((150, 400, False), (100, 660, True), (60, 120, False)):
        matrix = placed(face, height, x, 240, mirror)
        drawn = cv2.warpAffine(astronaut, matrix, (800, 480))
        head = cv2.warpAffine(np.full((512, 512), 255, np.uint8), matrix, (800, 480))
        cut = np.zeros_like(head)
        cut[:, int(x - 0.9 * height) : int(x + 0.9 * height)] = 1
        head *= cut
        picture[head > 0] = drawn[head > 0]
        places.append(face.transformed(matrix))
    return picture, places


def test_three_faces_and_the_choice_among_them(finder: FaceTracker, group: tuple[np.ndarray, list[Face]]):
    picture, places = group
    found = finder.detect(picture)
    assert len(found) == 3
    assert [f.size for f in found] == sorted((f.size for f in found), reverse=True)
    for one, place in zip(found, places, strict=True):
        assert np.linalg.norm(one.centre - place.centre) < 0.1 * place.size
    choose = {name: select_face(found, name, (800, 480)) for name in ("left", "right", "centre", "2", "120,240")}
    assert choose["left"] is choose["120,240"] is found[2]
    assert choose["right"] is choose["2"] is found[1]
    assert choose["centre"] is found[0]
    with pytest.raises(ValueError, match="has 3 faces"):
        select_face(found, "4", (800, 480))


def test_limit_keeps_the_largest(finder: FaceTracker, group: tuple[np.ndarray, list[Face]]):
    picture, places = group
    (only,) = finder.detect(picture, limit=1)
    assert np.linalg.norm(only.centre - places[0].centre) < 0.1 * places[0].size


def noise(seed: int, shape: tuple[int, int, int], blur: float = 0) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture


@pytest.mark.parametrize(
    "picture",
    [
        noise(0, (512, 512, 3)), noise(1, (360, 640, 3), 8), noise(2, (360, 640, 3), 30),
        np.full((300, 400, 3), 128, np.uint8), np.zeros((300, 400, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8),
        np.zeros((1, 1, 3), np.uint8), np.full((1, 500, 3), 90, np.uint8), noise(3, (700, 2, 3)), noise(4, (9, 13, 3)),
    ],
    ids=["noise", "clouds", "blobs", "grey", "black", "white", "1x1", "line", "column", "tiny"],
)  # fmt: skip
def test_no_face_where_there_is_none(finder: FaceTracker, picture: np.ndarray):
    assert finder.detect(picture) == []


def test_photo_without_its_face(finder: FaceTracker, astronaut: np.ndarray):
    picture = astronaut.copy()
    picture[:200, 140:300] = 150
    assert finder.detect(picture) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_cat_cup_and_rocket_are_no_people(finder: FaceTracker, name: str):
    data = pytest.importorskip("skimage.data", reason="scikit-image (dev extra) is not installed")
    assert finder.detect(getattr(data, name)()) == []


def test_any_memory_layout(finder: FaceTracker, astronaut: np.ndarray, face: Face):
    wide = np.zeros((512, 1024, 4), np.uint8)
    wide[:, ::2, :3] = astronaut
    for picture in (wide[:, ::2, :3], astronaut[..., ::-1].copy()[..., ::-1], np.asfortranarray(astronaut)):
        assert not picture.flags.c_contiguous
        (found,) = finder.detect(picture)
        assert error(found, face) < 1e-3
    flipped = finder.detect(astronaut[:, ::-1])
    assert len(flipped) == 1
    readonly = astronaut.copy()
    readonly.flags.writeable = False
    assert len(finder.detect(readonly)) == 1


def test_face_smaller_than_32_px_picture(finder: FaceTracker, pose: Pose, face: Face):
    picture, expected = pose(placed(face, 20, 13, 14), (28, 29))
    (found,) = finder.detect(picture)
    assert error(found, expected) < 0.15


@pytest.mark.parametrize(
    "bad",
    [np.zeros(4, np.uint8), np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["row", "five channels", "float", "empty"],
)
def test_other_arrays_are_refused(finder: FaceTracker, bad: np.ndarray):
    with pytest.raises(ValueError, match="must be"):
        finder.detect(bad)
    with pytest.raises(ValueError, match="must be"):
        finder.track(bad)


def test_window_and_matrix_agree(astronaut: np.ndarray):
    for window in (Window(225, 125, 192), Window(225, 125, 700), Window(225, 125, 1800), Window(20, 500, 300, 0.7)):
        image, back = cut_window(astronaut, window, 192)
        np.testing.assert_allclose(back[:, :2] @ (95.5, 95.5) + back[:, 2], (window.x, window.y), atol=1e-3)
        direct = cv2.warpAffine(
            cv2.GaussianBlur(astronaut, (0, 0), max(window.side / 192 / 2.5, 0.01)), back, (192, 192),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )  # fmt: skip
        assert np.abs(image.astype(int) - direct).mean() < 8
    outside, _ = cut_window(astronaut, Window(-900, -900, 100), 192)
    assert not outside.any()


def test_weighted_nms_merges_by_score():
    corners = np.array([[[0, 0], [10, 10]], [[1, 0], [11, 10]], [[50, 50], [60, 60]]], np.float32)
    points = np.zeros((3, 6, 2), np.float32)
    merged = weighted_nms(corners, points, np.array([0.9, 0.3, 0.5], np.float32))
    assert [score for *_, score in merged] == pytest.approx([0.9, 0.5])
    np.testing.assert_allclose(merged[0][0], [[0.25, 0], [10.25, 10]], atol=1e-5)
    np.testing.assert_allclose(merged[1][0], corners[2])


def test_lift_leaves_bright_pictures_alone(astronaut: np.ndarray):
    assert lift_shadows(astronaut) is astronaut
    dark = (astronaut * 0.1).astype(np.uint8)
    assert np.percentile(lift_shadows(dark), 95) > 3 * np.percentile(dark, 95)
    black = np.zeros((8, 8, 3), np.uint8)
    assert lift_shadows(black) is black


@pytest.mark.parametrize("size", [(1080, 1920), (300, 200), (5000, 400), (7680, 4320), (1, 1)])
def test_search_covers_the_picture_and_stays_bounded(size: tuple[int, int]):
    steps = list(full_search(np.broadcast_to(np.uint8(200), (*size, 3))))
    assert len(steps) < 900
    tiles = [s.window for s in steps if s.window.side < max(size) * 0.9]
    for side in {w.side for w in tiles}:
        mine = [w for w in tiles if w.side == side]
        for x, y in ((0, 0), (size[1] - 1, 0), (size[1] // 2, size[0] // 2), (size[1] - 1, size[0] - 1)):
            assert any(abs(w.x - x) <= side / 2 and abs(w.y - y) <= side / 2 for w in mine)


def test_threshold_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        FaceTracker(min_presence=1.5)


def test_photos_and_paintings(finder: FaceTracker, shared: Path):
    names = [path for path in sorted((shared / "data" / "sources").glob("*.jpg")) if path.stem != "s39"]
    assert len(names) >= 9
    for path in [*names, shared / "data" / "drivings" / "d30.jpg"]:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert len(finder.detect(picture)) == 1, path.name
