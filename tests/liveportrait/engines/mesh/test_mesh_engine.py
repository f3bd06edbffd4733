"""The mesh engine as a whole: what is asked for is what the face tracker sees in the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from liveportrait.crop import Box, Crop
from liveportrait.engines.mesh import MeshEngine
from liveportrait.motion import euler_from_rotation
from liveportrait.options import AnimationOptions
from models.tracker import FaceTracker


def turn_between(before, after) -> np.ndarray:
    """Pitch, yaw, roll in degrees that lead from one motion to another in the picture."""
    change = before.rotation[0].T @ after.rotation[0]
    return euler_from_rotation(change[None])[0]


def test_no_motion_gives_the_source_to_the_bit(stage):
    assert np.array_equal(stage.engine.render(stage.portrait, stage.portrait.keypoints)[0], stage.portrait.crop)


@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
@pytest.mark.parametrize("angle", [-12.0, 12.0])
def test_head_turns_as_asked(stage, axis, angle):
    seen = turn_between(stage.portrait.motion, stage.motion(stage.draw(**{axis: angle})))
    wanted = np.array([angle if name == axis else 0.0 for name in ("pitch", "yaw", "roll")])
    gain = seen @ wanted / angle**2
    assert 0.65 < gain < 1.35
    assert np.abs(seen - wanted * gain).max() < 4


def test_turned_head_keeps_its_shape(stage):
    from liveportrait.engines.mesh.layout import Pose

    seen = stage.look(stage.draw(yaw=15)).points.astype(float)
    own = stage.portrait.features.layout.canonical
    pose = Pose.fit(own, seen)
    bones = [6, 168, 33, 133, 362, 263, 4]
    assert np.abs(pose.invert(seen)[bones, :2] - own[bones, :2]).max() < 0.05


def test_border_and_shoulders_stay(stage):
    drawn = stage.draw(pitch=8, yaw=-14, roll=6)
    source = stage.portrait.crop
    for edge in (np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]):
        assert np.abs(drawn[edge].astype(int) - source[edge]).mean() < 1
    shoulders = np.s_[int(0.95 * len(source)) :]
    assert np.abs(drawn[shoulders].astype(int) - source[shoulders]).mean() < 2


def test_background_behind_the_head_is_filled_not_smeared(stage):
    """Where the head has left, the plate shows: no hair or skin is dragged along."""
    drawn = stage.draw(translation=stage.portrait.motion.translation + np.float32([0.18, 0, 0]))
    person = stage.portrait.features.ground.person
    left = person[:, : person.shape[1] // 2] > 0.98
    half = np.s_[:, : left.shape[1]]
    uncovered = left & (np.abs(drawn[half].astype(int) - stage.portrait.crop[half]).max(2) > 25)
    plate = stage.portrait.features.ground.plate[half]
    assert uncovered.sum() > 200
    close = np.abs(drawn[half].astype(int) - plate).max(2) < 12
    assert (close & uncovered).sum() > 0.25 * uncovered.sum()


def test_far_moves_are_softened(stage):
    near = stage.keypoints(translation=stage.portrait.motion.translation + np.float32([0.02, 0, 0]))
    far = stage.keypoints(translation=stage.portrait.motion.translation + np.float32([3.0, 0, 0]))
    start = stage.portrait.keypoints
    assert np.allclose((near - start)[..., 0], 0.02, atol=2e-3)
    assert (far - start)[..., 0].max() < 0.45 * stage.portrait.motion.scale[0, 0]


def test_batch_equals_single_frames(stage):
    x = np.concatenate([stage.keypoints(yaw=5), stage.keypoints(pitch=-5)])
    both = stage.engine.render(stage.portrait, x)
    assert np.array_equal(both[1], stage.engine.render(stage.portrait, x[1:])[0])


def test_alpha_moves_with_the_head(stage):
    crop = stage.portrait.crop
    alpha = np.zeros(crop.shape[:2], np.uint8)
    alpha[:, : crop.shape[1] // 2] = 255
    portrait = stage.engine.encode(np.dstack([crop, alpha]), stage.face)
    still = stage.engine.render(portrait, portrait.keypoints)[0]
    assert np.array_equal(still[..., 3], alpha)
    turned = stage.engine.render(portrait, stage.keypoints(roll=10))[0]
    assert turned.shape == (*crop.shape[:2], 4)
    assert (turned[..., 3] != alpha).mean() > 0.01


def test_crop_is_pixel_for_pixel_where_size_allows():
    engine = MeshEngine(matte=False)
    fitted = engine.fit_crop(Crop.of_box(Box(300.3, 250.8, 600.4, 0.1), 512))
    assert fitted.size == 600
    assert np.allclose(fitted.matrix[:, :2], np.eye(2))
    assert np.allclose(fitted.matrix[:, 2], np.round(fitted.matrix[:, 2]))
    assert engine.fit_crop(Crop.of_box(Box(3000, 3000, 2500), 512)).size == engine.max_crop
    assert engine.fit_crop(Crop.of_box(Box(100, 100, 60), 512)).size == 320


def test_tilted_head_is_levelled():
    tilted = Crop.of_box(Box(300, 300, 400, np.radians(80)), 512)
    fitted = MeshEngine(matte=False).fit_crop(tilted)
    assert fitted.size == 400
    assert np.isclose(fitted.box.angle, np.radians(80))


def test_relative_change_of_nothing_is_nothing(stage):
    own = stage.portrait.motion
    change = stage.engine.fit_delta(stage.portrait, own.delta - own.delta, own, own)
    assert np.abs(change).max() < 1e-6


def test_own_expression_comes_back_under_absolute_motion(stage):
    delta = stage.engine.fit_absolute(stage.portrait, stage.portrait.motion)
    assert np.abs(delta - stage.portrait.motion.delta).max() < 1e-5


def test_absolute_motion_takes_no_features_of_the_driver(stage):
    """A driver with a longer chin and wider cheeks, but the same expression, changes the source little."""
    own = stage.portrait.motion
    shape = stage.portrait.canonical
    other = own.delta + shape * np.float32([0.06, 0, 0])
    other[:, :, 1] += 0.1 * np.clip(shape[:, 1], 0, None) ** 2
    delta = stage.engine.fit_absolute(stage.portrait, replace(own, delta=other))
    assert np.abs(delta - own.delta).mean() < 0.5 * np.abs(other - own.delta).mean()


def test_two_faces_of_one_engine_do_not_share_state(stage, astronaut):
    first = stage.draw(yaw=9)
    engine = stage.engine
    engine.encode(np.ascontiguousarray(stage.portrait.crop[:, ::-1]), stage.face)
    assert np.array_equal(first, stage.draw(yaw=9))


def test_regions_end_softly(stage):
    for name in ("eyes", "lip"):
        weight = stage.engine.regions[name][:, 0]
        assert weight.max() == 1
        assert ((weight > 0.05) & (weight < 0.95)).sum() > 20


def test_high_hair_gets_room_above(stage, astronaut):
    """A crop that cuts the hair grows upwards until the head fits, but never past the picture's own edge."""
    face = FaceTracker().detect(astronaut)[0]
    tight = Crop.from_face(face, AnimationOptions(crop_scale=1.75, crop_y=0.0))
    plain, grown = stage.engine.fit_crop(tight).box, stage.engine.fit_crop(tight, astronaut).box
    assert grown.size > 1.1 * plain.size
    assert abs((grown.y + grown.size / 2) - (plain.y + plain.size / 2)) < 2
    nothing_above = np.ascontiguousarray(astronaut[60:])
    lower = Crop(tight.matrix @ np.array([[1, 0, 0], [0, 1, 60], [0, 0, 1]]), tight.size)
    assert stage.engine.fit_crop(lower, nothing_above).box.size <= grown.size


@pytest.mark.parametrize("yaw", [0.5, 4.0])
def test_background_stands_still_from_the_first_pixel_of_motion(stage, yaw):
    """Only a rim beside the outline, where what lies behind the head is guessed, comes along with it at first."""
    person = stage.portrait.features.ground.person
    reach = np.ones((round(0.05 * len(person)) | 1,) * 2, np.uint8)
    away = cv2.dilate(person, reach) < 0.02
    change = np.abs(stage.draw(yaw=yaw).astype(int) - stage.portrait.crop)[away]
    assert away.mean() > 0.2
    assert change.mean() < 0.02


def test_eyes_and_mouth_are_not_drawn_over_what_covers_them(stage, monkeypatch):
    size = len(stage.portrait.crop)
    middle = round(float(stage.face.points[1, 0]))
    cover = np.zeros((size, size), np.float32)
    cover[:, :middle] = 1
    portrait = replace(stage.portrait, features=replace(stage.portrait.features, cover=cover))
    x = stage.engine.slider_delta(stage.portrait, {"blink": 1.0, "lip_open": 0.8})
    posed = stage.keypoints(delta=x)
    free, covered = (stage.engine.render(one, posed)[0] for one in (stage.portrait, portrait))
    monkeypatch.setattr("liveportrait.engines.mesh.eyes.draw_eye", lambda *_: None)
    monkeypatch.setattr("liveportrait.engines.mesh.mouth.draw_mouth", lambda *_: None)
    bare = stage.engine.render(stage.portrait, posed)[0]
    left, right = np.s_[:, : middle - 8], np.s_[:, middle + 8 :]
    assert np.array_equal(covered[left], bare[left])
    assert np.array_equal(covered[right], free[right])
    assert (free[left] != bare[left]).any()
    assert (free[right] != bare[right]).any()


def test_a_shut_eye_moves_neither_hair_nor_collar(stage):
    """The pose that the rest of the head follows is read from points that no expression moves."""
    offsets = stage.engine.retarget_eyes(stage.portrait, np.array([[0.0, 0.3]]))
    shut = stage.engine.render(stage.portrait, stage.keypoints(delta=offsets))[0].astype(int)
    away = np.abs(shut - stage.portrait.crop).max(2)
    reach = round(0.2 * stage.portrait.features.layout.pose.scale)
    for eye in ([33, 133], [362, 263]):
        x, y = np.round(stage.face.points[eye, :2].mean(0)).astype(int)
        away[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach] = 0
    assert (away > 8).sum() < 700  # 3166 where all points counted
