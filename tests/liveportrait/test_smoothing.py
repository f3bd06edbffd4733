"""Clip smoother and live filter."""

from __future__ import annotations

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.motion import Motion, rotation_from_euler
from liveportrait.smoothing import LagSmoother, MotionFilter, OneEuro, smooth, smooth_motion, smooth_rows, smoother_lag


@pytest.mark.parametrize("case", ["exp", "R", "strong", "short"])
def test_smoother_equals_the_official_kalman_filter(official, case):
    values = official[f"maths/kalman/{case}/in"][:, 0]
    got = smooth(values, float(official[f"maths/kalman/{case}/observation_variance"][0]))
    np.testing.assert_allclose(got, official[f"maths/kalman/{case}/out"], atol=1e-7)


@pytest.mark.parametrize("variance", [3e-7, 2e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("count", [1, 2, 9, 200])
def test_values_that_come_one_by_one(variance, count):
    """As the smoother of the whole clip, a fixed number of values late."""
    values = np.random.default_rng(4).normal(0, 0.1, (count, 5))
    lag, smoother, got = smoother_lag(variance), LagSmoother(variance), []
    for number, value in enumerate(values):
        smoother.push(value)
        if number >= lag:
            got.append(smoother.pop())
    got += [smoother.pop() for _ in range(count - len(got))]
    np.testing.assert_allclose(got, smooth(values, variance), atol=2e-7)
    assert smoother_lag(3e-7) <= 6
    assert smoother_lag(1e-4) < 64


def test_smoothing_on_disk_equals_smoothing_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 7)).astype(np.float32)
    on_disk = np.memmap(tmp_path / "rows", np.float32, "w+", shape=values.shape)
    smooth_rows(values, on_disk, 3e-4)
    np.testing.assert_allclose(on_disk, smooth(values, 3e-4), atol=2e-6)


def test_smoothed_motion_has_proper_rotations_and_untouched_ratios():
    rng = np.random.default_rng(2)
    motion = still_motion(
        40,
        rotation=rotation_from_euler(*rng.normal(0, 8, (3, 40))),
        delta=rng.normal(0, 0.01, (40, 21, 3)),
        eye_ratio=rng.uniform(0, 0.4, (40, 2)),
    )
    smoothed = smooth_motion(motion, 1e-3)
    gram = smoothed.rotation @ smoothed.rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.tile(np.eye(3), (40, 1, 1)), atol=1e-5)
    assert np.diff(smoothed.delta, 2, axis=0).std() < 0.05 * np.diff(motion.delta, 2, axis=0).std()
    np.testing.assert_array_equal(smoothed.eye_ratio, motion.eye_ratio)
    raw = smooth_motion(motion, 1e-3, orthonormal=False).rotation
    assert np.abs(raw @ raw.transpose(0, 2, 1) - np.eye(3)).max() > 1e-3


def test_no_variance_means_no_smoothing():
    motion = still_motion(5)
    assert smooth_motion(motion, 0.0) is motion


def test_one_euro_calms_noise_and_follows_motion():
    rng = np.random.default_rng(3)
    calm = OneEuro()
    noise = rng.normal(0, 0.002, 200)
    still = np.array([calm(np.array([v]), 1 / 30)[0] for v in noise])
    assert still[50:].std() < 0.7 * noise[50:].std()
    moving = OneEuro()
    ramp = np.arange(60) / 30
    followed = np.array([moving(np.array([v]), 1 / 30)[0] for v in ramp])
    assert ramp[-1] - followed[-1] < 0.04


def test_one_euro_depends_on_time_not_on_the_number_of_frames():
    def settled(steps):
        euro = OneEuro(min_cutoff=1.0, beta=0.0)
        euro(np.zeros(1), 0.1)
        for dt in steps:
            value = euro(np.ones(1), dt)
        return float(value[0])

    even, uneven = settled([0.01] * 30), settled([0.02, 0.005, 0.005] * 10)
    assert even == pytest.approx(uneven, abs=0.01)
    assert settled([0.01] * 30) < settled([0.03] * 30)


def test_one_euro_starts_anew_with_another_shape_and_ignores_repeated_times():
    euro = OneEuro()
    euro(np.zeros(3), 0.1)
    np.testing.assert_array_equal(euro(np.ones(4), 0.1), np.ones(4))
    np.testing.assert_array_equal(euro(np.zeros(4), 0.0), np.ones(4))


def test_motion_filter_returns_rotations():
    rng = np.random.default_rng(4)
    calm = MotionFilter()
    for _ in range(5):
        out = calm(still_motion(1, rotation=rotation_from_euler(*rng.normal(0, 20, 3))), 1 / 30)
    np.testing.assert_allclose(out.rotation[0] @ out.rotation[0].T, np.eye(3), atol=1e-5)


def test_blinks_keep_their_depth_where_asked():
    """Values that are kept pass through; the others lose their jitter."""
    n = 30
    delta = np.zeros((n, 4, 3), np.float32)
    delta[15] = 1  # a blink of one frame
    motion = Motion(
        rotation=np.repeat(np.eye(3, dtype=np.float32)[None], n, 0),
        translation=np.zeros((n, 3), np.float32),
        scale=np.ones((n, 1), np.float32),
        delta=delta,
        eye_ratio=np.zeros((n, 2), np.float32),
        lip_ratio=np.zeros((n, 1), np.float32),
    )
    keep = np.zeros((4, 3), np.float32)
    keep[1] = 1
    smoothed = smooth_motion(motion, 1e-5, keep=keep).delta
    assert np.array_equal(smoothed[:, 1], delta[:, 1])
    assert 0 < smoothed[15, 0, 0] < 0.7
