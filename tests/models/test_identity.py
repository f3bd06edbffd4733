from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from face_measures import placed

from models.face import Face
from models.identity import Identity, appearance
from models.tracker import FaceTracker

Pose = Callable[..., tuple[np.ndarray, Face]]


def look(picture: np.ndarray, face: Face) -> np.ndarray:
    return appearance(picture, face.eye_centers, face.lip_center)


def another_person(astronaut: np.ndarray) -> np.ndarray:
    """The same features under another light, from below and the side, with a dark band as of a beard."""
    y, x = np.mgrid[:512, :512].astype(np.float32)
    shade = np.clip(0.35 + (y - 80) / 90, 0.2, 1.0) * np.clip(0.5 + (x - 190) / 70, 0.25, 1.0)
    picture = astronaut * shade[..., None]
    picture[130:178, 190:258] *= 0.35
    return picture.astype(np.uint8)


def test_appearance_ignores_place_size_roll_and_exposure(astronaut: np.ndarray, pose: Pose, face: Face):
    reference = look(astronaut, face)
    assert abs(np.linalg.norm(reference) - 1) < 1e-4
    turn = cv2.getRotationMatrix2D((225.0, 122.0), 40, 1.3)
    assert look(*pose(turn, (512, 512))) @ reference > 0.97
    assert look(*pose(placed(face, 40, 100, 100), (200, 200))) @ reference > 0.95
    assert look((astronaut * 0.4 + 20).astype(np.uint8), face) @ reference > 0.97
    assert look(another_person(astronaut), face) @ reference < 0.6


def test_identity_learns_slowly_and_lets_itself_be_replaced(astronaut: np.ndarray, face: Face):
    one, two = look(astronaut, face), look(another_person(astronaut), face)
    identity = Identity()
    assert identity.is_like(two), "nothing is remembered yet"
    identity.learn(one)
    assert identity.is_like(one)
    assert not identity.is_like(two)
    identity.learn(two)
    assert identity.is_like(two)
    assert not identity.is_like(one)


def test_cut_is_told_from_motion(astronaut: np.ndarray):
    identity = Identity()
    assert not identity.saw_cut(astronaut)
    assert not identity.saw_cut(np.roll(astronaut, 8, axis=1))
    assert identity.saw_cut(255 - astronaut)
    assert identity.saw_cut(astronaut)
    assert not identity.saw_cut(astronaut)
    assert not Identity().saw_cut(np.zeros((1, 1, 3), np.uint8))


def test_a_passer_by_in_front_does_not_take_over(tracker: FaceTracker, astronaut: np.ndarray, face: Face):
    def scene(x: float, passer: float) -> np.ndarray:
        picture = np.full((480, 960, 3), 120, np.uint8)
        for person, place in ((astronaut, x), (another_person(astronaut), passer)):
            matrix = placed(face, 130, place, 240)
            drawn = cv2.warpAffine(person, matrix, (960, 480))
            x0, x1 = (int(np.clip(place + side * 85, 0, 960)) for side in (-1, 1))
            picture[150:330, x0:x1] = drawn[150:330, x0:x1]
        return picture

    first = scene(300, 760)
    faces = tracker.detect(first)
    assert len(faces) == 2
    tracker.start(min(faces, key=lambda f: f.centre[0]))
    missing = 0
    for step in range(30):
        found = tracker.track(scene(300 + 3 * step, 760 - 24 * step))
        if found is None:
            missing += 1
    assert 0 < missing < 16, "hidden for a while, but not for good"
    assert found is not None
    assert abs(found.centre[0] - 387) < 20
