"""Photos of faces with a mask or goggles: found by the half that is seen, marked, and that half alone moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.media.images import read_image
from liveportrait.animator import Animator
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.options import AnimationOptions
from liveportrait.rules import seen_mask
from liveportrait.transfer import transfer
from models.covered import covered_half
from models.topology import EYE_LEFT, LIPS
from models.tracker import FaceTracker

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample" / "portrait.jpg"


@pytest.fixture(scope="module")
def tracker():
    return FaceTracker()


@pytest.fixture(scope="module")
def goggled(tracker):
    """The sample with ski goggles, and its landmarks without them."""
    picture = np.ascontiguousarray(read_image(SAMPLE).rgb).copy()
    face = tracker.detect(picture)[0]
    wide = float(np.linalg.norm(face.points[454, :2] - face.points[234, :2]))
    x, y = (float(v) for v in face.eye_centers.mean(axis=0))
    box = cv2.boxPoints(((x, y), (1.08 * wide, 0.42 * wide), float(np.degrees(face.roll)))).astype(np.int32)
    cv2.fillPoly(picture, [box], (240, 240, 240), cv2.LINE_AA)
    cv2.polylines(picture, [box], True, (15, 15, 15), 8, cv2.LINE_AA)
    return picture, face


def test_goggles_are_found_only_where_covered_faces_are_asked_for(tracker, goggled):
    picture, true = goggled
    assert tracker.detect(picture) == []
    faces = tracker.detect(picture, covered=True)
    assert [face.covered for face in faces] == ["upper"]
    lips = list(LIPS)
    away = np.linalg.norm(faces[0].points[lips, :2] - true.points[lips, :2], axis=1).mean()
    assert away < 0.02 * true.size
    assert true.covered == ""


def test_nothing_else_is_taken_for_a_covered_face(tracker):
    room = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 9)
    assert tracker.detect(room, covered=True) == []


def test_an_upside_down_covered_face_is_read_the_right_way_round(tracker, goggled):
    upside = np.ascontiguousarray(np.rot90(goggled[0], 2))
    assert all(abs(face.roll) > 2.8 for face in tracker.detect(upside, covered=True))


@pytest.mark.parametrize(("half", "still", "moving"), [("lower", LIPS, EYE_LEFT.ring), ("upper", EYE_LEFT.ring, LIPS)])
def test_the_covered_half_keeps_its_expression(astronaut, tracker, half, still, moving):
    engine, options = MeshEngine(), AnimationOptions(lip_retargeting=True, eye_retargeting=True, normalize_lip=True)
    face = replace(tracker.detect(astronaut)[0], covered=half)
    portrait = Animator(engine, options).prepare(astronaut, face).portrait
    assert portrait.covered == half
    own, rng = portrait.motion, np.random.default_rng(2)
    change = rng.normal(0, 0.01, own.delta.shape).astype(np.float32)
    driving = replace(own, delta=own.delta + change, eye_ratio=own.eye_ratio * 0.2, lip_ratio=own.lip_ratio + 0.5)
    moved = np.abs(transfer(engine, portrait, driving, own, options) - portrait.keypoints)[0]
    assert moved[list(moving)].mean() > 0.003
    assert moved[list(still)].mean() < 0.2 * moved[list(moving)].mean()


def test_regions_that_move_beside_a_cover():
    engine = MeshEngine()
    assert (seen_mask(engine, "") == 1).all()
    lower, upper = seen_mask(engine, "lower"), seen_mask(engine, "upper")
    assert lower[list(LIPS)].max() == 0
    assert lower[list(EYE_LEFT.ring)].min() == 1
    assert upper[list(EYE_LEFT.ring)].max() < 0.1
    assert upper[list(LIPS)].min() == 1


def test_halves_that_read_differently(astronaut, tracker):
    face = tracker.detect(astronaut)[0]
    below = face.points[:, 1] > face.lip_center[1] - 0.1 * face.size
    shift = np.zeros_like(face.points)
    shift[below, 0] = 0.06 * face.size
    assert covered_half([face.points], face.points, face.size) == ""
    assert covered_half([face.points + shift], face.points, face.size) == "lower"
    shift = np.where(below[:, None], 0, shift.max()).astype(np.float32)
    assert covered_half([face.points + shift], face.points, face.size) == "upper"
    assert covered_half([face.points + shift.max()], face.points, face.size) == ""
