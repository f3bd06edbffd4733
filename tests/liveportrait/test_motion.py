"""Motion arrays, rotations, the keypoint formula, interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.motion import (
    Motion,
    blend,
    euler_from_rotation,
    headpose_degrees,
    interpolate,
    keypoints,
    landmark_ratios,
    orthonormalize,
    rotation_from_euler,
    rotation_from_vector,
    rotation_vector,
    slerp,
)


def test_headpose_bins_equal_the_official_degrees(official):
    got = headpose_degrees(official["maths/headpose/logits"])
    np.testing.assert_allclose(got[:, 0], official["maths/headpose/deg"], atol=2e-5)
    assert abs(float(headpose_degrees(np.zeros((1, 66)))[0, 0])) < 1e-6
    assert headpose_degrees(np.array([[12.5]]))[0, 0] == 12.5


def test_rotations_equal_the_official_ones_and_come_back_as_angles(official):
    angles = official["maths/rotation/pitch_yaw_roll_deg"]
    rotation = rotation_from_euler(*angles.T)
    np.testing.assert_allclose(rotation, official["maths/rotation/R"], atol=1e-6)
    np.testing.assert_allclose(euler_from_rotation(rotation), angles, atol=2e-4)


def test_keypoints_equal_the_official_transform(official):
    g = {k.rsplit("/", 1)[1]: v for k, v in official.items() if k.startswith("maths/transform_keypoint/in/")}
    motion = still_motion(
        3,
        rotation=rotation_from_euler(g["pitch"], g["yaw"], g["roll"]),
        translation=g["t"],
        scale=g["scale"],
        delta=g["exp"],
    )
    np.testing.assert_allclose(keypoints(g["kp"], motion), official["maths/transform_keypoint/out"], atol=2e-6)


def test_keypoints_from_raw_head_bins_equal_the_official_transform(official):
    g = {k.rsplit("/", 1)[1]: v for k, v in official.items() if k.startswith("maths/transform_keypoint_raw/in/")}
    angles = [headpose_degrees(g[name]) for name in ("pitch", "yaw", "roll")]
    motion = still_motion(
        2,
        rotation=rotation_from_euler(*angles),
        translation=g["t"],
        scale=g["scale"],
        delta=g["exp"].reshape(2, 21, 3),
    )
    x = keypoints(g["kp"].reshape(2, 21, 3), motion)
    np.testing.assert_allclose(x, official["maths/transform_keypoint_raw/out"], atol=2e-6)


def test_expression_turns_with_the_head_in_head_space_only():
    canonical = np.zeros((5, 3), np.float32)
    delta = np.zeros((1, 5, 3), np.float32)
    delta[..., 1] = 1
    motion = still_motion(1, k=5, rotation=rotation_from_euler(0, 0, 90), delta=delta)
    np.testing.assert_allclose(keypoints(canonical, motion, "camera")[0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(keypoints(canonical, motion, "head")[0, 0], [-1, 0, 0], atol=1e-6)


def test_ratios_equal_the_official_ones_in_any_scale(official):
    points = official["maths/ratios/lmk203"]
    eyes, lips = landmark_ratios(points)
    np.testing.assert_allclose(eyes, official["maths/ratios/eye_close"], atol=1e-6)
    np.testing.assert_allclose(lips, official["maths/ratios/lip_close"], atol=1e-6)
    np.testing.assert_allclose(landmark_ratios(points * 3 + 7)[0], eyes, atol=1e-5)


def test_rotation_vectors_are_exact_for_tiny_and_large_turns():
    vectors = np.array([[0, 0, 0], [1e-9, 0, 0], [0.3, -0.2, 0.1], [0, 3.0, 0], [1.7, 1.7, -1.2]])
    np.testing.assert_allclose(rotation_vector(rotation_from_vector(vectors)), vectors, atol=2e-6)


def test_slerp_goes_half_way_and_beyond():
    first, second = rotation_from_euler(0, 0, 10), rotation_from_euler(0, 0, 50)
    np.testing.assert_allclose(slerp(first, second, 0.5), rotation_from_euler(0, 0, 30), atol=1e-6)
    np.testing.assert_allclose(slerp(first, second, 1.5), rotation_from_euler(0, 0, 70), atol=1e-6)


def test_orthonormalize_returns_a_proper_rotation():
    rng = np.random.default_rng(1)
    noisy = rotation_from_euler(20, -30, 10) + rng.normal(0, 0.05, (1, 3, 3))
    fixed = orthonormalize(noisy)
    np.testing.assert_allclose(fixed @ fixed.transpose(0, 2, 1), np.eye(3)[None], atol=1e-6)
    assert np.linalg.det(fixed[0]) == pytest.approx(1, abs=1e-6)
    assert np.abs(fixed - noisy).max() < 0.15


def test_interpolation_hits_frames_and_keeps_rotations_proper():
    motion = still_motion(
        3,
        rotation=rotation_from_euler([0, 0, 0], [0, 40, 0], [0, 0, 0]),
        scale=[[1], [2], [1]],
        translation=[[0, 0, 0], [1, 0, 0], [2, 0, 0]],
    )
    at = interpolate(motion, [1, 0.5, 9])
    np.testing.assert_allclose(euler_from_rotation(at.rotation)[:, 1], [40, 20, 0], atol=1e-3)
    np.testing.assert_allclose(at.scale[:, 0], [2, np.sqrt(2), 1], atol=1e-6)
    np.testing.assert_allclose(at.translation[:, 0], [1, 0.5, 2], atol=1e-6)


def test_blend_keeps_the_ratio_that_only_one_side_knows():
    known, unknown = still_motion(1, eye_ratio=[[0.2, 0.4]]), still_motion(1, eye_ratio=[[np.nan, np.nan]])
    np.testing.assert_allclose(blend(known, unknown, 0.5).eye_ratio, [[0.2, 0.4]])
    np.testing.assert_allclose(blend(unknown, known, 0.2).eye_ratio, [[0.2, 0.4]])


def test_indexing_keeps_the_time_axis_and_concatenate_restores():
    motion = still_motion(4, translation=np.arange(12).reshape(4, 3))
    assert len(motion[-1]) == 1
    assert motion[-1].translation[0, 0] == 9
    assert len(motion[1:3]) == 2
    back = Motion.concatenate([motion[i] for i in range(4)])
    np.testing.assert_array_equal(back.translation, motion.translation)
