"""Heads half behind others: the detector sees them although the mesh can't read them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.detectors import Detection
from models.group import Bystanders
from models.hidden import hidden_heads
from models.matte import PersonMatte
from models.tracker import FaceTracker

BEHIND = 0.72
"""Distance of the head behind from the one in front, in widths of the face."""


@pytest.fixture(scope="module")
def tracker():
    return FaceTracker()


@pytest.fixture(scope="module")
def pair(astronaut, tracker):
    """One person half behind another, the face in front, and where the other one's is."""
    face = tracker.detect(astronaut)[0]
    matte = PersonMatte()(astronaut)[..., None]
    shift = BEHIND * float(np.linalg.norm(face.points[454, :2] - face.points[234, :2]))
    moved = np.array([[1, 0, -shift], [0, 1, 10]])
    size = astronaut.shape[1::-1]
    other = cv2.warpAffine((astronaut * 0.7).astype(np.uint8), moved, size, borderMode=cv2.BORDER_REPLICATE)
    picture = (astronaut * matte + other * (1 - matte) + 0.5).astype(np.uint8)
    return picture, face, face.transformed(moved)


def test_a_head_half_behind_another_is_seen(tracker, pair):
    picture, face, behind = pair
    faces = tracker.detect(picture)
    assert len(faces) == 1
    assert np.linalg.norm(faces[0].centre - face.centre) < 0.05 * face.size
    (head,) = hidden_heads(tracker.detections(picture), faces)
    assert np.linalg.norm(head.centre - behind.centre) < 0.25 * behind.size
    assert 0.7 < head.size / behind.size < 1.4


def test_a_lone_face_has_nobody_behind_it(tracker, astronaut):
    faces = tracker.detect(astronaut)
    assert hidden_heads(tracker.detections(astronaut), faces) == []
    assert hidden_heads(tracker.detections(astronaut), []) == []


def test_weak_and_nested_detections_are_no_heads(pair):
    _, face, behind = pair
    points = np.stack([*behind.eye_centers, behind.points[1, :2], behind.lip_center, *behind.points[[234, 454], :2]])
    assert len(hidden_heads([Detection(behind.box, points, 0.9)], [face])) == 1
    assert hidden_heads([Detection(behind.box, points, 0.4)], [face]) == []
    inside = face.centre + 0.2 * (points - points.mean(axis=0))
    assert hidden_heads([Detection(face.box, inside, 0.9)], [face]) == []


def test_bystanders_count_while_they_are_half_hidden(tracker, pair):
    picture, face, _ = pair
    look = Bystanders(tracker)
    for _ in range(3):
        assert len(look(picture, [face])) == 1
