"""Paste-back masks: what lies before a face stays in front, hair stays over eyes, the rest is to the bit at rest."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.animator import Animator
from liveportrait.covers import paste_masks
from liveportrait.engines.base import Surroundings
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.expression import Expression
from liveportrait.occlusion import PasteMasks, fill, reach_of
from liveportrait.options import AnimationOptions
from models.registry import ModelError
from models.tracker import FaceTracker

POSE = Expression({"yaw": 14.0, "pitch": -6.0}, (0.02, 0.02), 0.4)


@pytest.fixture(scope="module")
def engine():
    return MeshEngine()


@pytest.fixture(scope="module")
def face(astronaut):
    return FaceTracker().detect(astronaut)[0]


@pytest.fixture(scope="module")
def carded(astronaut, face):
    """The astronaut with a card before one cheek, and where the card is."""
    picture, where = astronaut.copy(), np.zeros(astronaut.shape[:2], bool)
    x, y = (round(float(v)) for v in face.points[50, :2])
    where[y - 16 : y + 20, x - 26 : x + 14] = True
    picture[where] = (30, 160, 60)
    return picture, where


def animated(engine, picture, face, mask, pose):
    animator = Animator(engine, AnimationOptions(mask=mask), pose)
    scene = animator.scene(picture, [face])
    return animator.frame(scene), scene


def test_a_card_before_the_face_stays_where_it_is(engine, carded, face):
    picture, where = carded
    plain, _ = animated(engine, picture, face, "template", POSE)
    out, scene = animated(engine, picture, face, "matte", POSE)
    assert (np.abs(plain[where].astype(int) - picture[where]).max(axis=1) > 30).mean() > 0.05  # it was dragged along
    assert (out[where] == picture[where]).all()
    # No copy of it moves along: green is nowhere but on the card.
    green = (out[..., 1].astype(int) - out[..., 0] > 60) & (out[..., 1].astype(int) - out[..., 2] > 50)
    assert not (green & ~where).any()
    x, y = face.points[468, :2].round().astype(int)
    eye = np.s_[y - 3 : y + 4, x - 5 : x + 6]
    assert (out[eye] != picture[eye]).any()
    square = scene.faces[0].portrait.crop
    assert square.shape[0] == scene.faces[0].crop.size


@pytest.mark.parametrize("mask", ["template", "matte"])
def test_at_rest_the_picture_is_the_source_to_the_bit(engine, carded, face, mask):
    picture, _ = carded
    out, _ = animated(engine, picture, face, mask, Expression({}))
    assert (out == picture).all()


def test_transparent_sources_keep_their_alpha(engine, carded, face):
    picture, where = carded
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:40] = 0
    out, _ = animated(engine, np.dstack([picture, alpha]), face, "matte", POSE)
    assert out.shape[2] == 4
    assert (out[where][:, :3] == picture[where]).all()
    assert (out[..., 3][where] == 255).all()


def test_nothing_before_the_face_leaves_the_square_alone(engine, astronaut, face):
    crop = Animator(engine).prepare(astronaut, face).crop
    square = crop.apply(astronaut)
    paste = PasteMasks("matte")(square, crop.face(face))
    assert paste.hidden is None
    assert paste.square is square
    oval = crop.face(face).points[[10, 152, 234, 454, 4], :2].round().astype(int)
    assert (paste.mask[oval[:, 1], oval[:, 0]] == 1).all()


def test_room_around_the_person_is_soft():
    person = np.zeros((100, 100), np.float32)
    person[40:60, 40:60] = 1
    reach = reach_of(person, 100)
    assert (reach[40:60, 40:60] == 1).all()
    assert reach[50, 66] == 1
    assert 0 < reach[50, 71] < 1
    assert reach[50, 80] == 0


def test_filling_changes_hidden_pixels_alone(carded, face):
    picture, where = carded
    out = fill(picture, where, face.points)
    assert (out[~where] == picture[~where]).all()
    filled = out[where].astype(float)
    assert (filled[:, 0] > filled[:, 1]).mean() > 0.8  # like skin, no longer green


def test_hair_over_an_eye_stays_over_it(engine, astronaut, face):
    crop = Animator(engine).prepare(astronaut, face).crop
    square, there = crop.apply(astronaut), crop.face(face)
    x, y = there.points[468, :2].round().astype(int)
    cover = np.zeros(square.shape[:2], np.float32)
    cover[y - 14 : y + 15, x - 16 : x + 17] = 1
    box = np.s_[y - 8 : y + 9, x - 10 : x + 11]
    shut = Expression({}, (0.02, 0.02))
    from liveportrait.expression import express

    drawn = []
    for portrait in (engine.encode(square, there), engine.encode_in(square, there, Surroundings(cover=cover))):
        drawn.append(engine.render(portrait, express(engine, portrait, shut, True))[0])
    bare, covered = drawn
    assert np.abs(bare[box].astype(int) - covered[box]).mean() > 4
    other = there.points[473, :2].round().astype(int)
    right = np.s_[other[1] - 8 : other[1] + 9, other[0] - 10 : other[0] + 11]
    assert (bare[right] == covered[right]).all()


def test_masks_that_do_not_exist_are_refused_before_any_work(engine):
    assert paste_masks("template") is None
    for kind, words in (("parse/emo2_1m", "without weights"), ("nowhere.onnx", "does not exist")):
        with pytest.raises(ModelError, match=words):
            _ = Animator(engine, AnimationOptions(mask=kind)).masks


def drawn_before(astronaut, face, kind, seed, at):
    """The astronaut with something drawn before her face, and its cover (H, W) 0..1."""
    from tools.parsing import scenes

    rng, points = np.random.default_rng(seed), face.points[:, :2]
    width = float(np.linalg.norm(points[454] - points[234]))
    place = (points[33] + points[263]) / 2 + np.array(at) * width
    x, y = points[50].round().astype(int)
    skin = astronaut[y, x] * 0.9 + (scenes.noise(512, 6, rng, 1) - 0.5) * 40
    layer = scenes.occluder(kind, 512, width, place, skin.astype(np.float32), np.array([90.0, 70, 50]), rng)
    picture, cover = scenes.lay_over(astronaut.astype(np.float32), layer, rng)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8), cover


@pytest.mark.parametrize(("kind", "seed", "at"), [("hand", 3, (0.1, 0.5)), ("microphone", 5, (0.12, 0.62))])
def test_the_parser_that_ships_keeps_hands_and_microphones_in_front(engine, astronaut, face, kind, seed, at):
    picture, cover = drawn_before(astronaut, face, kind, seed, at)
    there = FaceTracker().detect(picture)[0]
    out, _ = animated(engine, picture, there, "parse/osa_micro", POSE)
    plain, _ = animated(engine, picture, there, "template", POSE)
    near = np.zeros(cover.shape, bool)
    x0, y0, x1, y1 = there.box.astype(int)
    near[y0:y1, x0:x1] = True
    inside = (cover > 0.99) & near
    kept = (out[inside] == picture[inside]).all(axis=1).mean()
    assert kept > 0.7
    assert kept > (plain[inside] == picture[inside]).all(axis=1).mean() + 0.5


def test_the_parser_finds_nothing_before_a_free_face(engine, astronaut, face):
    crop = Animator(engine).prepare(astronaut, face).crop
    paste = PasteMasks("parse/osa_micro")(crop.apply(astronaut), crop.face(face))
    assert paste.hidden is None
    assert paste.cover is None
