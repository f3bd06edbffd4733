"""Faces placed by hand: from handles to landmarks, what is refused, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from liveportrait.placed import (
    HANDLES,
    PAIRS,
    PlacedError,
    centred_handles,
    face_axis,
    handles_of,
    handles_of_face,
    moved,
    placed_face,
    placed_points,
)
from liveportrait.placed_file import PlacedFile, json_schema, parse_placed, read_placed
from models.face import Face
from models.topology import EYES, LIP_LOWER_INNER, LIP_UPPER_INNER, LIPS_OUTER, OVAL, POINTS
from models.tracker import FaceTracker

CAT = {  # a cat's head, tilted: round eyes far apart, a small mouth near the nose
    "left_eye_outer": (372, 482), "left_eye_inner": (462, 488), "left_eye_top": (414, 444),
    "left_eye_bottom": (416, 520),
    "right_eye_inner": (589, 427), "right_eye_outer": (673, 408), "right_eye_top": (626, 378),
    "right_eye_bottom": (632, 456), "left_brow": (391, 408), "right_brow": (618, 340), "nose": (567, 550),
    "mouth_left": (533, 656), "mouth_right": (635, 626), "lip_top": (583, 635), "lip_bottom": (583, 635),
    "chin": (592, 683), "face_top": (482, 255), "face_left": (244, 545), "face_right": (811, 386),
}  # fmt: skip
Rng = np.random.Generator


def crossing(points: np.ndarray) -> float:
    """Largest way by which an upper inner lip lies below the lower one, in pixels, in an upright face."""
    return float((points[list(LIP_UPPER_INNER), 1] - points[list(LIP_LOWER_INNER), 1]).max())


def shaken(handles: dict[str, tuple[float, float]], amount: float, rng: Rng) -> dict[str, tuple[float, float]]:
    return {n: (x + amount * rng.uniform(-1, 1), y + amount * rng.uniform(-1, 1)) for n, (x, y) in handles.items()}


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_handles_land_exactly_and_the_rest_is_a_face(angle: float) -> None:
    rng = np.random.default_rng(1)
    handles = shaken(centred_handles(300, 200, 240, angle), 2, rng)
    handles["lip_bottom"] = handles["lip_top"]
    points = placed_points(handles)
    assert points.shape == (POINTS, 3)
    assert points.dtype == np.float32
    for name, index in HANDLES.items():
        np.testing.assert_allclose(points[index, :2], handles[name], atol=1e-3)
    face = Face(points)
    assert abs(np.sin(face.roll - angle)) < 0.1
    assert face.box[0] > 300 - 125
    assert 100 < face.size < 200


def test_the_mean_face_comes_out_of_its_own_handles() -> None:
    handles = centred_handles(0, 0, 400)
    points = placed_points(handles)
    for left, right in PAIRS:
        a, b = points[HANDLES[left]], points[HANDLES[right]]
        np.testing.assert_allclose(a[:2] * [-1, 1], b[:2], atol=0.5)
        assert abs(a[2] - b[2]) < 1  # it looks straight ahead
    assert abs(Face(points).lip_ratio) < 0.01


def test_handles_of_a_cat_make_a_mesh_that_is_nowhere_folded() -> None:
    face = placed_face(CAT)
    assert face.placed
    for eye in EYES:
        ring = face.points[list(eye.ring), :2]
        iris = face.points[eye.iris : eye.iris + 5, :2]
        assert (ring.min(0) < iris[0]).all()
        assert (iris[0] < ring.max(0)).all()
        radius = np.linalg.norm(iris[1] - iris[3]) / 2
        assert 0.4 < radius / np.ptp(ring[:, 1]) < 0.6  # a round eye is all iris
    hull = face.points[list(OVAL), :2]
    assert np.linalg.norm(np.diff(hull, axis=0, append=hull[:1]), axis=1).max() < 120


@pytest.mark.parametrize("yaw", [-25.0, 0.0, 25.0])
def test_a_turned_face_is_taken_for_turned(astronaut: np.ndarray, yaw: float) -> None:
    """The depth of landmarks that a person's handles give agrees with a head turned so far."""
    from liveportrait.engines.mesh.data import face_model
    from liveportrait.engines.mesh.layout import Pose

    mean = face_model().mean.astype(np.float64)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = mean @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T * 200 + [300, 300, 0]
    found = Pose.fit(mean, placed_points(handles_of(turned)).astype(np.float64))
    asked = Pose.fit(mean, turned)
    angle = np.degrees(np.arccos(np.clip((np.trace(found.rotation.T @ asked.rotation) - 1) / 2, -1, 1)))
    assert angle < 6


def test_handles_of_a_photo_give_back_its_face(astronaut: np.ndarray) -> None:
    (face,) = FaceTracker().detect(astronaut)
    points = placed_points(handles_of(face.points))
    away = np.linalg.norm(points[:468, :2] - face.points[:468, :2], axis=1)
    assert away.mean() < 0.03 * face.size
    assert away.max() < 0.12 * face.size


def test_a_face_from_the_side_begins_as_one_from_the_front() -> None:
    mean = centred_handles(200, 200, 200)
    points = placed_points(mean)
    points[:, 0] = 200 + 0.3 * points[:, 2]  # a profile: both eyes in one place
    handles = handles_of_face(Face(points))
    face = placed_face(handles)
    assert np.linalg.norm(face.centre - Face(points).centre) < 0.2 * Face(points).size
    assert handles_of_face(placed_face(CAT)) == handles_of(placed_points(CAT))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.8])
def test_lips_open_as_far_as_their_handles(share: float) -> None:
    handles = centred_handles(0, 0, 400)
    x, y = handles["lip_top"]
    width = handles["mouth_right"][0] - handles["mouth_left"][0]
    handles["lip_bottom"] = (x, y + share * width)
    handles["chin"] = (handles["chin"][0], handles["chin"][1] + share * width)
    points = placed_points(handles)
    assert abs(Face(points).lip_ratio - share) < 0.01
    assert crossing(points) < 0.5
    assert points[LIPS_OUTER[5], 1] < points[13, 1] + 1e-3
    assert points[17, 1] > points[14, 1]


def test_a_twin_moves_about_the_axis_of_the_face() -> None:
    handles = centred_handles(100, 100, 200, 0.4)
    _, across = face_axis(handles)
    down = np.array([-across[1], across[0]])
    start = np.array(handles["left_eye_top"])
    changed = moved(handles, "left_eye_top", tuple(start + 7 * across + 3 * down), mirrored=True)
    twin = np.subtract(changed["right_eye_top"], handles["right_eye_top"])
    np.testing.assert_allclose([twin @ across, twin @ down], [-7, 3], atol=1e-9)
    assert sum(changed[name] != handles[name] for name in handles) == 2
    alone = moved(handles, "left_eye_top", (1.0, 2.0), mirrored=False)
    assert sum(alone[name] != handles[name] for name in handles) == 1
    axis = moved(handles, "nose", (1.0, 2.0), mirrored=True)
    assert sum(axis[name] != handles[name] for name in handles) == 1


WRONG = [
    ({"left_eye_outer": (470, 482)}, "left_eye_outer must lie to the left of the handle left_eye_inner"),
    ({"chin": (500, 200)}, "must lie above"),
    ({"lip_bottom": (583, 600)}, "lip_top must not lie below"),
    ({"nose": (float("nan"), 1)}, "finite"),
    (dict.fromkeys(CAT, (5.0, 5.0)), "must lie"),
    ({n: CAT[other] for pair in PAIRS for n, other in (pair, pair[::-1])}, "must lie"),
    ({name: (x / 100, y / 100) for name, (x, y) in CAT.items()}, "pixels large"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_face_is_refused(change: dict[str, tuple[float, float]], said: str) -> None:
    with pytest.raises(PlacedError, match=said):
        placed_points({**CAT, **change})
    with pytest.raises(PlacedError, match="the handle nose is missing"):
        placed_points({name: place for name, place in CAT.items() if name != "nose"})


def test_random_handles_give_a_sound_face_or_an_error() -> None:
    rng = np.random.default_rng(3)
    made = 0
    for _ in range(150):
        try:
            points = placed_points(shaken(centred_handles(0, 0, 200), rng.uniform(0, 12), rng))
        except PlacedError:
            continue
        made += 1
        assert np.isfinite(points).all()
        assert np.abs(points).max() < 400
    assert 30 < made < 150


# ---- the file
def test_the_file_comes_back_as_it_was(tmp_path: Path) -> None:
    placed = PlacedFile(1080, 1439, CAT)
    path = tmp_path / "cat.landmarks.json"
    path.write_text(placed.to_text(), encoding="utf-8")
    assert read_placed(path) == placed
    assert set(json.loads(path.read_text())["handles"]) == set(HANDLES)
    assert set(json_schema()["required"]) == {"format", "version", "width", "height", "handles"}


def test_a_smaller_copy_of_the_picture_takes_the_same_file() -> None:
    placed = PlacedFile(1080, 1439, CAT)
    whole, half = placed.face_on(1080, 1439), placed.face_on(540, 720)
    np.testing.assert_allclose(
        half.points[:, :2] + 0.5, (whole.points[:, :2] + 0.5) * [540 / 1080, 720 / 1439], atol=0.2
    )
    with pytest.raises(ValueError, match="made for an image of 1080x1439 pixels, and this one has 1439x1080"):
        placed.face_on(1439, 1080)


BROKEN = [
    ("{}", "it contains no placed face"),
    ("[1]", "it contains no placed face"),
    ("{", "it is not JSON"),
    ('"version": 2', "version 2"),
    ('"width": 0', "'width' is 0"),
    ('"width": true', "'width'"),
    ('"width": 10', "lies far outside the image"),
    ('"more": 1, "width": 1080', "'more' is not known"),
    ('"nose": [1]', "handles.nose"),
    ('"nose": [1e999, 2]', "too large"),
    ('"nose": [true, 2]', "handles.nose"),
    ('"snout": [1, 2]', "handles.nose' is missing"),
    ('"nose": [500, 1000]', "nose must lie above"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_a_broken_file_says_what_is_wrong(change: str, said: str) -> None:
    text = PlacedFile(1080, 1439, CAT).to_text()
    key = change.partition(":")[0]
    before = {'"version"': '"version": 1', '"width"': '"width": 1080', '"more"': '"width": 1080'}
    nose = '"nose": [567.00, 550.00]'
    assert nose in text
    broken = change if ":" not in change else text.replace(before.get(key, nose), change)
    with pytest.raises(ValueError, match=said):
        parse_placed(broken)
