"""Animator: pictures in, pictures out, with engines whose answer is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from motion_stubs import IdentityEngine, ShiftEngine, round_face, still_motion

from liveportrait.animator import Animator, Scene
from liveportrait.driving import DrivingReader, FaceHold, Shown
from liveportrait.expression import Expression
from liveportrait.motion import Motion, euler_from_rotation, rotation_from_euler
from liveportrait.options import AnimationOptions

OPTIONS = AnimationOptions(stitching=False, normalize_lip=False)
REST = still_motion(1)


def _turn(degrees):
    return still_motion(1, rotation=rotation_from_euler(0, degrees, 0))


def _moved(value):
    return Shown(still_motion(1, translation=[[value, 0, 0]]), REST)


AT_REST = Shown(REST, REST)


@pytest.mark.parametrize("channels", [3, 4])
def test_identity_engine_returns_the_picture_to_the_bit(astronaut, astronaut_face, channels):
    image = astronaut if channels == 3 else np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    animator = Animator(IdentityEngine(), OPTIONS)
    scene = animator.scene(image, [astronaut_face])
    for value in (0.1, 0.0, -0.1):
        frame = animator.frame(scene, _moved(value))
        np.testing.assert_array_equal(frame, image)
        assert frame is not image


def test_frames_of_one_scene_are_drawn_together(astronaut, astronaut_face):
    engine = IdentityEngine()
    engine.batch = 2
    animator = Animator(engine, OPTIONS)
    scene = animator.scene(astronaut, [astronaut_face])
    posed = [animator.pose(scene, [_moved(value)])[0] for value in (0, 0.1, 0.2)]
    engine.drawn.clear()
    (squares,) = animator.draw(scene, [np.concatenate(posed)])
    assert len(squares) == 3
    assert [len(x_d) for x_d in engine.drawn] == [2, 1]


class _SoftEngine(ShiftEngine):
    """Draws softer and warmer than its input, like a network."""

    def render(self, portrait, x_d):
        drawn = super().render(portrait, x_d)
        soft = np.stack([cv2.GaussianBlur(one, (0, 0), 1.2) for one in drawn]).astype(np.int16)
        return np.clip(soft + np.array([6, 2, -4]), 0, 255).astype(np.uint8)


def test_softness_of_the_engine_does_not_blur_what_is_at_rest(astronaut, astronaut_face):
    animator = Animator(_SoftEngine(), OPTIONS)
    scene = animator.scene(astronaut, [astronaut_face])
    np.testing.assert_array_equal(animator.frame(scene, AT_REST), astronaut)
    assert np.abs(animator.frame(scene, _moved(0.2)).astype(int) - astronaut).max() > 30
    plain = Animator(_SoftEngine(), OPTIONS, detail=False)
    scene = plain.scene(astronaut, [astronaut_face])
    assert np.abs(plain.frame(scene, AT_REST).astype(int) - astronaut).max() > 20


def test_motion_moves_the_face_and_nothing_else(astronaut, astronaut_face):
    animator = Animator(ShiftEngine(), OPTIONS)
    scene = animator.scene(astronaut, [astronaut_face])
    changed = np.argwhere((animator.frame(scene, _moved(0.25)) != astronaut).any(axis=2))
    assert len(changed) > 2000
    where = scene.faces[0].crop.points(changed[:, ::-1])
    assert where.min() > -1
    assert where.max() < 128


def test_bare_crop_without_paste_back(astronaut, astronaut_face):
    animator = Animator(IdentityEngine(), replace(OPTIONS, paste_back=False))
    scene = animator.scene(astronaut, [astronaut_face])
    square = scene.faces[0].portrait.crop
    np.testing.assert_array_equal(animator.frame(scene, AT_REST), square)
    assert animator.compose(scene, [square], 64).shape == (64, 64, 3)
    assert not animator.compose(Scene(astronaut), [], 64).whole().any()  # black where no face is


def test_several_faces_move_together_or_each_by_itself(astronaut, astronaut_face):
    wide = np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)
    animator = Animator(ShiftEngine(), OPTIONS)
    scene = animator.scene(wide, [astronaut_face, round_face(1024 - 222, 122, 62)])
    frame = animator.frame(scene, _moved(0.2))
    for half in (np.s_[:, :512], np.s_[:, 512:]):
        assert np.abs(frame[half].astype(int) - wide[half]).max() > 30
    squares = [one[0] for one in animator.draw(scene, animator.pose(scene, [None, _moved(0.2)]))]
    own = animator.compose(scene, squares).whole()
    np.testing.assert_array_equal(own[:, :512], wide[:, :512])
    np.testing.assert_array_equal(own[:, 512:], frame[:, 512:])


def test_still_posed_by_sliders(astronaut, astronaut_face):
    engine = ShiftEngine()
    rest, moved = Animator(engine, OPTIONS, Expression({})), Animator(engine, OPTIONS, Expression({"move_x": 0.19}))
    scene = rest.scene(astronaut, [astronaut_face])
    np.testing.assert_array_equal(rest.frame(scene), astronaut)
    driven = rest.frame(scene, _moved(0.19))
    np.testing.assert_array_equal(moved.frame(scene), driven)
    np.testing.assert_array_equal(moved.frame(scene, AT_REST), driven)


def test_eyes_of_a_source_clip_are_held_at_their_target(astronaut, astronaut_face):
    engine = IdentityEngine()
    animator = Animator(engine, replace(OPTIONS, source_eye_normalize=True))
    face = animator.prepare(astronaut, astronaut_face, clip=True)
    face.eye_target = 0.3
    animator.pose(Scene(astronaut, (face,)), [AT_REST])
    np.testing.assert_allclose(engine.eye_targets, np.full((1, 1, 2), 0.3), atol=1e-6)


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
