"""Noise of the driver's picture: held while a driver is still, out of the way as soon as he moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import EYES, LIP, still_motion

from liveportrait.motion import Motion
from liveportrait.noise import FAMILIAR, FREE, NoiseHold, Steady

REGIONS = {"eyes": EYES, "lip": LIP}
NOISE = FAMILIAR["delta"]


def trembling(frames: int, seed: int = 0, noise: float = 1.0) -> Motion:
    """A still driver with as much noise as is expected, times a factor."""
    rng, still = np.random.default_rng(seed), still_motion(frames)
    values = {name: getattr(still, name) for name in FAMILIAR}
    return replace(
        still,
        **{name: v + noise * rng.normal(0, FAMILIAR[name], v.shape).astype(np.float32) for name, v in values.items()},
    )


def steadied(motion: Motion) -> Motion:
    hold = NoiseHold(REGIONS)
    return Motion.concatenate([hold(motion[i]) for i in range(len(motion))])


def wander(motion: Motion) -> float:
    return float(motion.delta.std(axis=0).mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_still_driver_is_held_from_the_first_frame_on(seed: int, noise: float) -> None:
    motion = trembling(75, seed, noise)
    shown = steadied(motion)
    assert wander(shown) < 0.15 * wander(motion)
    assert shown.rotation.std(axis=0).max() < 0.3 * motion.rotation.std(axis=0).max()
    np.testing.assert_allclose(shown.rotation[-1] @ shown.rotation[-1].T, np.eye(3), atol=1e-5)


def test_held_values_are_those_of_the_driver() -> None:
    """What is held lies at the mean, as near as the noise of one frame, and the offset doesn't grow."""
    shown = steadied(trembling(400))
    assert np.sqrt(np.mean(shown.delta[-1] ** 2)) < 1.2 * NOISE


@pytest.mark.parametrize("after", [1, 40])
def test_a_step_passes_in_the_same_frame(after: int) -> None:
    motion = trembling(80)
    motion.delta[after:, 6:8, 1] += 0.02
    shown = steadied(motion)
    np.testing.assert_allclose(shown.delta[after], motion.delta[after], atol=1e-7)
    motion = trembling(80)
    motion.translation[after:, 0] += 0.02
    np.testing.assert_allclose(steadied(motion).translation[after], motion.translation[after], atol=1e-7)


def test_a_driver_who_moves_anywhere_is_not_steadied_anywhere() -> None:
    """A brow that moves by less than the noise counts while the lips speak."""
    motion = trembling(60, noise=0.2)
    motion.delta[:, LIP] += 0.02 * np.sin(np.arange(60) / 3)[:, None].astype(np.float32)
    motion.delta[:, 1, 1] += NOISE * np.sin(np.arange(60) / 5).astype(np.float32)
    shown = steadied(motion)
    assert np.abs(shown.delta - motion.delta)[6:, 1, 1].max() < 0.25 * NOISE
    assert np.corrcoef(shown.delta[:, 1, 1], motion.delta[:, 1, 1])[0, 1] > 0.99
    assert wander(steadied(trembling(60, noise=0.2))) < 0.1 * NOISE, "without the lips it is held"


@pytest.mark.parametrize("speed", [0.02, 0.1, 0.5, 2.0])
def test_slow_motion_is_followed_without_leaps(speed: float) -> None:
    """At any speed (in standard deviations of the noise a frame) what is shown stays near, and moves evenly."""
    motion = trembling(300, noise=0.02)
    motion.delta[...] += (speed * NOISE * np.arange(300)).astype(np.float32)[:, None, None]
    shown = steadied(motion)
    off = np.sqrt(np.mean((shown.delta - motion.delta) ** 2, axis=(1, 2)))
    steps = np.abs(np.diff(shown.delta, axis=0)).max(axis=(1, 2))
    assert off.max() < FREE * NOISE
    assert steps.max() < (FREE + speed) * NOISE
    assert np.sqrt(np.mean((shown.delta[-1] - motion.delta[-1]) ** 2)) < 1.5 * NOISE


def test_little_change_of_what_comes_is_little_change_of_what_is_shown() -> None:
    """No threshold makes a picture snap: a step is shown in proportion, whatever its size."""
    last = []
    for size in np.linspace(0, 8, 60):
        steady = Steady(np.zeros(30, np.intp), np.full(30, NOISE), 1)
        for _ in range(20):
            steady(np.zeros(30))
        last.append(float(steady(np.full(30, size * NOISE))[0]) / NOISE)
    assert last[0] == 0
    assert last[-1] == pytest.approx(8)
    assert np.diff(last).max() < 5 * 8 / 59


def test_much_trembling_is_motion() -> None:
    """Values that jump by more than any noise are shown as they are."""
    motion = trembling(60, noise=12)
    np.testing.assert_allclose(steadied(motion).delta[10:], motion.delta[10:], atol=1e-6)


def test_numbers_that_are_none_do_no_harm_later() -> None:
    motion, hold = trembling(12), NoiseHold(REGIONS)
    broken = replace(motion[3], delta=np.full_like(motion.delta[3:4], np.nan))
    unknown = replace(motion[4], eye_ratio=np.full((1, 2), np.nan, np.float32))
    for one in (motion[0], broken, motion[1], unknown, motion[2]):
        shown = hold(one)
        assert np.isfinite(shown.delta).all() == (one is not broken)
    assert np.isnan(hold(unknown).eye_ratio).all()
    assert np.isfinite(hold(motion[5]).eye_ratio).all()
