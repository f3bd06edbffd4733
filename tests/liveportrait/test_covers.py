"""What covers a face in a photo: things before it stay in their place, what is worn turns with the head, whole."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from liveportrait.animator import Animator
from liveportrait.covers import AutoMasks, paste_masks
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.expression import Expression
from liveportrait.options import AnimationOptions
from models.topology import EYE_LEFT, EYE_RIGHT
from models.tracker import FaceTracker

SHUT = Expression({}, (0.02, 0.02))
POSE = Expression({"yaw": 12.0, "pitch": -5.0, "gaze_x": 0.5}, (0.02, 0.02), 0.4)
TALK = Expression({"brow": 0.5}, None, 0.5)


@pytest.fixture(scope="module")
def engine():
    return MeshEngine()


@pytest.fixture(scope="module")
def tracker():
    return FaceTracker()


@pytest.fixture(scope="module")
def face(astronaut, tracker):
    return tracker.detect(astronaut)[0]


def drawn(engine, picture, face, pose, **options):
    animator = Animator(engine, AnimationOptions(**options), pose)
    scene = animator.scene(picture, [face])
    return animator.frame(scene), scene.faces[0]


def lenses(picture, face, rings):
    """The picture with black glass over eyes that catches some soft light, and where it is for sure."""
    glass, glow = np.zeros(picture.shape[:2], np.uint8), np.zeros(picture.shape[:2], np.float32)
    wide = float(np.linalg.norm(face.points[454, :2] - face.points[234, :2]))
    for ring in rings:
        x, y = (int(v) for v in face.points[list(ring), :2].mean(axis=0))
        cv2.ellipse(glass, (x, y), (int(0.17 * wide), int(0.12 * wide)), 0, 0, 360, 1, -1)
        cv2.ellipse(glow, (x, y - int(0.02 * wide)), (int(0.07 * wide), int(0.03 * wide)), 0, 0, 360, 130.0, -1)
    lens = 14 + cv2.GaussianBlur(glow, (0, 0), 0.03 * wide)[..., None]
    out = np.where(glass[..., None] > 0, lens, picture).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(out, picture.shape)), cv2.erode(glass, np.ones((7, 7), np.uint8)) > 0


def masked(picture, face, colour=(40, 90, 170)):
    """The picture with a cloth mask over nose, mouth and chin."""
    left, right = (234, 93, 132, 58, 172, 136, 150, 149, 176), (454, 323, 361, 288, 397, 365, 379, 378, 400)
    outline = face.points[[*left, 152, *right[::-1], 330, 197, 101], :2]
    out = picture.copy()
    cv2.fillPoly(out, [np.round(outline).astype(np.int32)], colour, cv2.LINE_AA)
    return np.ascontiguousarray(out)


@pytest.mark.parametrize("rings", [(EYE_LEFT.ring, EYE_RIGHT.ring), (EYE_RIGHT.ring,)], ids=["shades", "patch"])
def test_no_lids_are_drawn_on_black_glass(engine, tracker, astronaut, face, rings):
    picture, inside = lenses(astronaut, face, rings)
    there = tracker.detect(picture, covered=True)[0]
    shut, one = drawn(engine, picture, there, SHUT)
    bare, _ = drawn(engine, picture, there, SHUT, mask="template")
    assert one.hidden == {"eye_right"} if len(rings) == 1 else {"eye_left", "eye_right"}
    assert np.abs(shut.astype(int) - picture)[inside].max() <= 20
    assert np.abs(bare.astype(int) - picture)[inside].max() > 20
    if len(rings) == 1:  # the other eye shuts
        x, y = there.points[468, :2].round().astype(int)
        eye = np.s_[y - 4 : y + 5, x - 6 : x + 7]
        assert np.abs(shut[eye].astype(int) - picture[eye]).mean() > 5


def test_a_mask_stays_whole_and_turns_with_the_head(engine, tracker, astronaut, face):
    picture = masked(astronaut, face)
    there = tracker.detect(picture, covered=True)[0]
    talking, one = drawn(engine, picture, there, TALK)
    assert one.hidden == {"mouth"}
    assert one.portrait.covered == "lower"
    assert not one.before
    x0, y0, x1, y1 = (
        int(v) for v in (*there.points[[101, 197], :2].min(axis=0), *there.points[[330, 17], :2].max(axis=0))
    )
    lower = np.s_[y0 + 12 : y1, x0:x1]
    assert np.abs(talking[lower].astype(int) - picture[lower]).max() < 3
    turned, _ = drawn(engine, picture, there, POSE)
    blue = (turned[..., 2].astype(int) - turned[..., 0] > 60)[lower]
    assert blue.mean() > 0.97
    assert np.abs(turned.astype(int) - picture).max() > 60


@pytest.mark.parametrize(("kind", "seed", "at"), [("hand", 3, (0.1, 0.5)), ("microphone", 10, (0.1, 0.55))])
def test_hands_and_microphones_stay_in_their_place_by_default(engine, tracker, astronaut, face, kind, seed, at):
    from tests.liveportrait.test_occlusion import drawn_before

    picture, cover = drawn_before(astronaut, face, kind, seed, at)
    there = tracker.detect(picture, covered=True)[0]
    out, one = drawn(engine, picture, there, POSE)
    assert one.before
    x0, y0, x1, y1 = there.box.astype(int)
    near = np.zeros(cover.shape, bool)
    near[y0:y1, x0:x1] = True
    inside = (cover > 0.99) & near
    assert (out[inside] == picture[inside]).all(axis=1).mean() > 0.7


def test_a_free_face_is_drawn_as_with_the_template(engine, astronaut, face):
    out, one = drawn(engine, astronaut, face, POSE)
    plain, _ = drawn(engine, astronaut, face, POSE, mask="template")
    assert (out == plain).all()
    assert one.hidden == frozenset()
    assert not one.before


def test_where_it_does_not_look(engine, astronaut, face):
    assert isinstance(paste_masks("auto"), AutoMasks)
    assert paste_masks("matte", pasted=False) is None
    picture, _ = lenses(astronaut, face, (EYE_LEFT.ring, EYE_RIGHT.ring))
    official = Animator(engine, AnimationOptions(official=True))
    assert official.prepare(picture, face).hidden == frozenset()
    assert Animator(engine).prepare(picture, face, clip=True).hidden == frozenset()
    assert Animator(engine).prepare(picture, replace(face, placed=True)).hidden == frozenset()
    assert Animator(engine, AnimationOptions(paste_back=False)).prepare(picture, face).hidden
