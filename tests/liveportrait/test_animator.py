"""Animator: pictures in, pictures out, with engines whose answer is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from motion_stubs import IdentityEngine, ShiftEngine, round_face, still_motion

from liveportrait.animator import Animator, DrivingReader, FaceHold
from liveportrait.expression import Expression
from liveportrait.motion import Motion, euler_from_rotation, rotation_from_euler
from liveportrait.options import AnimationOptions
from liveportrait.transfer import transfer

OPTIONS = AnimationOptions(stitching=False, normalize_lip=False)
REST = still_motion(1)


def _shifts(values):
    return [None if v is None else still_motion(1, translation=[[v, 0, 0]]) for v in values]


def _turn(degrees):
    return still_motion(1, rotation=rotation_from_euler(0, degrees, 0))


@pytest.mark.parametrize("channels", [3, 4])
def test_identity_engine_returns_the_picture_to_the_bit(astronaut, astronaut_face, channels):
    image = astronaut if channels == 3 else np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    animator = Animator(IdentityEngine(), OPTIONS, batch=2)
    animator.set_source(image, astronaut_face)
    frames = list(animator.frames(_shifts([0.1, 0.0, -0.1]), REST))
    assert len(frames) == 3
    for frame in frames:
        np.testing.assert_array_equal(frame, image)
        assert frame is not image


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_as_many_frames_as_the_driver_has_whatever_the_batch(astronaut, astronaut_face, batch):
    engine = IdentityEngine()
    animator = Animator(engine, OPTIONS, batch=batch)
    animator.set_source(astronaut, astronaut_face)
    engine.drawn.clear()
    motions = _shifts([0.0, 0.1, None, 0.2, None, 0.3, 0.4])
    assert sum(1 for _ in animator.frames(motions, REST)) == 7
    assert max(len(x) for x in engine.drawn) == batch
    whole = np.concatenate(engine.drawn)
    assert len(whole) == 7
    if batch > 1:
        other = IdentityEngine()
        single = Animator(other, OPTIONS)
        single.set_source(astronaut, astronaut_face)
        other.drawn.clear()
        list(single.frames(motions, REST))
        np.testing.assert_allclose(whole, np.concatenate(other.drawn), atol=1e-6)


class _SoftEngine(ShiftEngine):
    """Draws softer and warmer than its input, like a network."""

    def render(self, portrait, x_d):
        drawn = super().render(portrait, x_d)
        soft = np.stack([cv2.GaussianBlur(one, (0, 0), 1.2) for one in drawn]).astype(np.int16)
        return np.clip(soft + np.array([6, 2, -4]), 0, 255).astype(np.uint8)


def test_softness_of_the_engine_does_not_blur_what_is_at_rest(astronaut, astronaut_face):
    animator = Animator(_SoftEngine(), OPTIONS)
    animator.set_source(astronaut, astronaut_face)
    np.testing.assert_array_equal(animator.frame(REST, REST), astronaut)
    moved = animator.frame(still_motion(1, translation=[[0.2, 0, 0]]), REST)
    assert np.abs(moved.astype(int) - astronaut).max() > 30
    plain = Animator(_SoftEngine(), OPTIONS, detail=False)
    plain.set_source(astronaut, astronaut_face)
    assert np.abs(plain.frame(REST, REST).astype(int) - astronaut).max() > 20


def test_motion_moves_the_face_and_nothing_else(astronaut, astronaut_face):
    animator = Animator(ShiftEngine(), OPTIONS)
    face = animator.set_source(astronaut, astronaut_face)[0]
    frame = animator.frame(still_motion(1, translation=[[0.25, 0, 0]]), REST)
    changed = np.argwhere((frame != astronaut).any(axis=2))
    assert len(changed) > 2000
    where = face.crop.points(changed[:, ::-1])
    assert where.min() > -1
    assert where.max() < 128


def test_frames_are_drawn_as_they_are_asked_for(astronaut, astronaut_face):
    """The driver is read lazily: a clip of any length needs one batch of memory."""
    animator = Animator(IdentityEngine(), OPTIONS, batch=2)
    animator.set_source(astronaut, astronaut_face)
    read = []

    def endless():
        while True:
            read.append(1)
            yield REST

    frames = animator.frames(endless(), REST)
    next(frames)
    assert len(read) == 2


def test_bare_crop_without_paste_back(astronaut, astronaut_face):
    animator = Animator(IdentityEngine(), replace(OPTIONS, paste_back=False))
    face = animator.set_source(astronaut, astronaut_face)[0]
    np.testing.assert_array_equal(animator.frame(REST, REST), face.portrait.crop)


def test_several_faces_move_together(astronaut, astronaut_face):
    wide = np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)
    second = round_face(1024 - 222, 122, 62)
    animator = Animator(ShiftEngine(), OPTIONS)
    assert len(animator.set_source(wide, [astronaut_face, second])) == 2
    frame = animator.frame(still_motion(1, translation=[[0.2, 0, 0]]), REST)
    for half in (np.s_[:, :512], np.s_[:, 512:]):
        assert np.abs(frame[half].astype(int) - wide[half]).max() > 30


def test_source_must_be_set_first():
    animator = Animator(IdentityEngine(), OPTIONS)
    with pytest.raises(ValueError, match="set a source"):
        animator.frame(REST, REST)
    with pytest.raises(ValueError, match="reference"):
        animator.frame(REST, None)


def test_absolute_motion_needs_no_reference(astronaut, astronaut_face):
    engine = IdentityEngine()
    animator = Animator(engine, replace(OPTIONS, relative=False))
    animator.set_source(astronaut, astronaut_face)
    animator.frame(_turn(20), None)
    wanted = transfer(engine, animator.faces[0].portrait, _turn(20), REST, replace(OPTIONS, relative=False))
    np.testing.assert_allclose(engine.drawn[-1], wanted)


def test_offsets_of_sliders_are_added_to_every_frame(astronaut, astronaut_face):
    engine = IdentityEngine()
    animator = Animator(engine, OPTIONS)
    animator.set_source(astronaut, astronaut_face)[0].offsets = np.full((1, 21, 3), 0.05, np.float32)
    animator.frame(REST, REST)
    np.testing.assert_allclose(engine.drawn[-1] - animator.faces[0].portrait.keypoints, 0.05, atol=1e-6)


def test_still_posed_by_sliders(astronaut, astronaut_face):
    animator = Animator(ShiftEngine(), OPTIONS)
    with pytest.raises(ValueError, match="set a source"):
        animator.still(Expression({}))
    animator.set_source(astronaut, astronaut_face)
    np.testing.assert_array_equal(animator.still(Expression({})), astronaut)
    moved = animator.still(Expression({"move_x": 0.19}))
    driven = animator.draw(still_motion(1, translation=[[0.19, 0, 0]]), REST)[0]
    np.testing.assert_array_equal(moved, driven)
    animator.faces[0].expression = Expression({"move_x": 0.19})
    np.testing.assert_array_equal(animator.frame(REST, REST), driven)


def test_source_clip_frame_for_frame(astronaut, astronaut_face):
    clip = [(np.roll(astronaut, 3 * i, axis=1), round_face(222 + 3 * i, 122, 62)) for i in range(4)]
    clip[2] = (clip[2][0], None)
    animator = Animator(IdentityEngine(), OPTIONS)
    frames = list(animator.source_frames(_shifts([0.1] * 9), REST, clip))
    assert len(frames) == 4
    for frame, (image, _) in zip(frames, clip, strict=True):
        np.testing.assert_array_equal(frame, image)


def test_eyes_of_a_source_clip_are_held_at_the_first_frame(astronaut, astronaut_face):
    engine = IdentityEngine()
    animator = Animator(engine, replace(OPTIONS, source_eye_normalize=True))
    list(animator.source_frames(_shifts([0.0] * 2), REST, [(astronaut, astronaut_face)] * 2))
    np.testing.assert_allclose(engine.eye_targets, np.full((2, 1, 2), 0.3), atol=1e-6)


# ---------------------------------------------------------------------- lost faces


def _yaw(motion: Motion) -> float:
    return float(euler_from_rotation(motion.rotation)[0, 1])


def _follow(hold, motions, dt=0.04):
    return [_yaw(hold(m, REST, dt)) for m in motions]


def test_lost_face_is_held_then_eased_to_rest_and_back():
    hold = FaceHold(hold=0.2, ease=0.5, regain=0.25)
    shown = _follow(hold, [_turn(20)] * 3 + [None] * 25 + [_turn(20)] * 10)
    assert shown[:3] == pytest.approx([20] * 3, abs=1e-3)
    held, eased, back = shown[3:8], shown[8:28], shown[28:]
    assert held == pytest.approx([20] * 5, abs=0.05)
    assert eased[-1] == pytest.approx(0, abs=0.05)
    assert all(a >= b - 1e-3 for a, b in itertools.pairwise(eased))
    assert all(a <= b + 1e-3 for a, b in itertools.pairwise(back))
    assert back[-1] == pytest.approx(20, abs=1e-3)
    assert max(abs(a - b) for a, b in itertools.pairwise(shown)) < 6  # no jump anywhere
    assert hold.lost_frames == 25


def test_short_gap_is_not_seen():
    hold = FaceHold()
    assert _follow(hold, [_turn(10), None, None, _turn(10)]) == pytest.approx([10] * 4, abs=1e-3)


def test_driver_who_is_not_there_at_the_start_is_eased_in():
    shown = _follow(FaceHold(), [None] * 3 + [_turn(20)] * 10)
    assert shown[:3] == pytest.approx([0, 0, 0], abs=1e-3)
    assert 0 < shown[3] < 8
    assert shown[-1] == pytest.approx(20, abs=1e-3)


def test_bridging_depends_on_time_not_on_frames():
    slow = _follow(FaceHold(), [_turn(20)] + [None] * 10, dt=0.05)
    fast = _follow(FaceHold(), [_turn(20)] + [None] * 20, dt=0.025)
    assert slow[-1] == pytest.approx(fast[-1], abs=0.05)


def test_face_that_is_lost_again_on_its_way_back_makes_no_jump():
    shown = _follow(FaceHold(), [_turn(20)] + [None] * 30 + [_turn(20)] * 2 + [None] * 30 + [_turn(20)] * 9)
    assert max(abs(a - b) for a, b in itertools.pairwise(shown)) < 6
    assert shown[-1] == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize("missing", [8, 10, 12, 14, 17, 25])
def test_way_back_has_no_jump_wherever_it_starts(missing):
    shown = _follow(FaceHold(), [_turn(20)] * 3 + [None] * missing + [_turn(20)] * 10)
    assert max(abs(a - b) for a, b in itertools.pairwise(shown)) < 7
    assert shown[-1] == pytest.approx(20, abs=1e-3)


def test_flickering_detection_does_not_make_the_head_jump():
    shown = _follow(FaceHold(), [_turn(20)] + [None] * 30 + [_turn(20), None] * 8 + [_turn(20)] * 8)
    assert max(abs(a - b) for a, b in itertools.pairwise(shown)) < 7
    assert shown[-1] == pytest.approx(20, abs=1e-3)


def test_no_frame_is_lost_when_the_face_is(astronaut, astronaut_face):
    animator = Animator(IdentityEngine(), OPTIONS, batch=4)
    animator.set_source(astronaut, astronaut_face)
    assert sum(1 for _ in animator.frames([REST] * 10 + [None] * 10 + [REST] * 10, REST, [0.04] * 30)) == 30
    assert animator.hold.lost_frames == 10


# ---------------------------------------------------------------------- driving reader


class _PositionEngine(IdentityEngine):
    """Reads where the face is in its square, and how large."""

    def read_motion(self, crop, face):
        points = 2 * (face.points[:, :2] + 0.5) / self.crop_size - 1
        size = np.ptp(points[:, 1])
        return still_motion(1, translation=[[*points.mean(axis=0), 0]], scale=[[size]])


def test_driving_square_stands_still_so_that_moves_are_seen(astronaut):
    reader = DrivingReader(_PositionEngine())
    first = reader.read(astronaut, round_face(200, 200, 60))
    second = reader.read(astronaut, round_face(215, 200, 60))
    side = 60 * 2 * 2.2
    shift = (second.translation - first.translation)[0, 0]
    assert shift == pytest.approx(2 * 15 / side, rel=0.15)
    assert second.scale == pytest.approx(first.scale, rel=1e-4)


def test_driver_who_walks_away_is_followed_in_the_same_units(astronaut):
    reader = DrivingReader(_PositionEngine())
    reads = [reader.read(astronaut, round_face(100 + 20 * i, 200, 60 + 3 * i)) for i in range(16)]
    x = np.array([m.translation[0, 0] for m in reads])
    size = np.array([m.scale[0, 0] for m in reads])
    np.testing.assert_allclose(np.diff(x), np.diff(x).mean(), rtol=0.02)  # no step where the square was moved
    np.testing.assert_allclose(size / size[0], 1 + 3 * np.arange(16) / 60, rtol=1e-3)
    reader.reset()
    again = reader.read(astronaut, round_face(400, 200, 105))
    np.testing.assert_allclose(again.translation, reads[0].translation, atol=1e-3)


def test_engine_that_reads_pixels_gets_the_square_without_alpha(astronaut, astronaut_face):
    seen = []

    class Looker(IdentityEngine):
        def read_motion(self, crop, face):
            seen.append((crop, face))
            return still_motion(1)

    image = np.dstack([astronaut, np.zeros(astronaut.shape[:2], np.uint8)])
    DrivingReader(Looker()).read(image, astronaut_face)
    crop, face = seen[0]
    assert crop.shape == (128, 128, 3)
    assert crop.std() > 20
    assert face.points[:, :2].min() > 0
    assert face.points[:, :2].max() < 128
