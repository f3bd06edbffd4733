"""Hard cuts of the driver: found in the motion alone, and eased without delay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.cuts import GAP, CutEaser, CutFinder
from liveportrait.motion import Motion, angle_between, rotation_from_euler

RATE = 25
CUT = 30
EASE = 0.4


def wave(frames: int, size: float = 1.0, start: int = 0) -> Motion:
    """A driver who nods, sways, blinks and speaks."""
    t = (start + np.arange(frames)) / RATE
    still = still_motion(frames)
    delta = np.zeros((frames, 21, 3), np.float32)
    delta[:, 14:18, 1] = 0.03 * size * np.sin(9 * t)[:, None]  # some points speak, fast
    delta[:, 11:13, 1] = 0.05 * size * (np.arange(frames) % 20 == 12)[:, None]  # and blink within one frame
    return replace(
        still,
        rotation=rotation_from_euler(*(6 * size * np.sin(2 * t + k) for k in range(3))),
        translation=np.stack([0.05 * size * np.sin(1.5 * t), 0.02 * size * np.cos(t), 0 * t], 1).astype(np.float32),
        delta=delta,
    )


def spliced(turn: float = 25.0, shift: float = 0.2, scale: float = 1.0) -> Motion:
    """The same driver, and after a cut in another place, pose and expression."""
    motion = wave(80)
    motion.rotation[CUT:] = motion.rotation[CUT:] @ rotation_from_euler(0, turn, 0)[0]
    motion.translation[CUT:, 0] += shift
    motion.scale[CUT:] *= scale
    motion.delta[CUT:] += 0.02
    return motion


def eased(motion: Motion, seconds: float = EASE, rate: float = RATE) -> Motion:
    ease = CutEaser()
    return Motion.concatenate([ease(motion[i], i / rate, seconds) for i in range(len(motion))])


def cuts(motion: Motion) -> list[int]:
    find = CutFinder()
    return [i for i in range(len(motion)) if find(motion[i])]


@pytest.mark.parametrize("size", [0.0, 0.2, 1.0, 3.0])
def test_motion_is_no_cut(size: float) -> None:
    """Neither are blinks, words and a start out of rest."""
    assert cuts(wave(200, size)) == []
    assert cuts(Motion.concatenate([wave(1, size)[np.zeros(20, int)], wave(100, size)])) == []


@pytest.mark.parametrize("how", [{}, {"turn": 0, "scale": 1.4}, {"turn": 0, "shift": 0.3}, {"shift": 0, "turn": 40}])
def test_a_cut_is_found_in_its_first_frame(how: dict[str, float]) -> None:
    assert cuts(spliced(**how)) == [CUT]


def test_motion_starts_from_the_pose_before_the_cut_and_arrives() -> None:
    motion = spliced()
    shown = eased(motion)
    for name in ("translation", "delta", "scale"):
        value, given = getattr(shown, name), getattr(motion, name)
        np.testing.assert_allclose(value[CUT], value[CUT - 1], atol=1e-6)
        np.testing.assert_array_equal(value[:CUT], given[:CUT])
        np.testing.assert_array_equal(value[CUT + int(EASE * RATE) :], given[CUT + int(EASE * RATE) :])
    assert angle_between(shown.rotation[CUT], shown.rotation[CUT - 1]) < 0.05
    turns = [angle_between(a, b) for a, b in zip(shown.rotation, shown.rotation[1:], strict=False)]
    assert max(turns) < 6 < angle_between(motion.rotation[CUT], motion.rotation[CUT - 1])
    gram = shown.rotation @ shown.rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.tile(np.eye(3), (80, 1, 1)), atol=1e-5)


def test_motion_after_the_cut_is_not_late() -> None:
    """A blink while the cut is eased has its depth in its own frame."""
    motion = spliced()
    motion.delta[CUT + 6, 11:13, 1] += 0.05
    shown = eased(motion)
    dip = shown.delta[CUT + 6, 11, 1] - (shown.delta[CUT + 5, 11, 1] + shown.delta[CUT + 7, 11, 1]) / 2
    assert dip == pytest.approx(0.05, abs=0.005)


def test_time_counts_and_not_frames() -> None:
    motion = spliced()
    shown = eased(motion, rate=2 * RATE)
    left = np.abs(shown.translation - motion.translation)[:, 0]
    assert left[CUT + int(EASE * RATE)] > 0.05
    assert left[CUT + int(2 * EASE * RATE) :].max() == 0


def test_a_cut_while_another_one_is_eased() -> None:
    motion = spliced()
    motion.translation[CUT + 7 :, 1] -= 0.4
    shown = eased(motion)
    assert cuts(motion) == [CUT, CUT + 7]
    assert np.abs(np.diff(shown.translation, axis=0)).max() < 0.1
    np.testing.assert_array_equal(shown.translation[-1], motion.translation[-1])


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_is_no_easing(seconds: float) -> None:
    motion = spliced()
    np.testing.assert_array_equal(eased(motion, seconds).translation, motion.translation)


def test_nothing_runs_over_a_gap_or_a_step_back() -> None:
    motion, ease = spliced(), CutEaser()
    for i in range(CUT):
        ease(motion[i], i / RATE, EASE)
    for time in (CUT / RATE + 2 * GAP, 0.0):
        np.testing.assert_array_equal(ease(motion[CUT], time, EASE).translation, motion[CUT].translation)


def test_ratios_that_are_not_known_do_no_harm() -> None:
    motion = spliced()
    motion.eye_ratio[CUT - 1] = np.nan
    shown = eased(motion)
    assert np.isfinite(shown.eye_ratio[CUT:]).all()
