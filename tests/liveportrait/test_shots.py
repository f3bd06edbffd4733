"""Clips that were cut together: each shot is measured from its own neutral frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.cues import NAME as CUES
from liveportrait.motion import Motion, angle_between, rotation_from_euler
from liveportrait.shots import SHORTEST, Shots, moved, neutral_frames, shot_starts

CUT = 40


def nodding(frames: int, yaw: float = 0.0, lips: float = 0.0, start: int = 0) -> Motion:
    t = (start + np.arange(frames)) / 25
    still = still_motion(frames)
    turn = rotation_from_euler(6 * np.sin(2 * t), np.full(frames, yaw), np.zeros(frames))
    return replace(
        still,
        rotation=turn,
        delta=(0.002 * np.sin(5 * t)[:, None, None] + np.zeros((frames, 21, 3))).astype(np.float32),
        eye_ratio=np.full_like(still.eye_ratio, 0.35),
        lip_ratio=np.full_like(still.lip_ratio, lips)
        + np.float32(0.02) * np.sin(9 * t)[:, None].astype(np.float32) ** 2,
        extra={k: v for k, v in still.extra.items() if k != CUES},
    )


def cut_together(yaw: float, lips: float = 0.0, second: int = 60) -> Motion:
    """A frontal shot, then the same person from the side and farther away."""
    other = nodding(second, yaw, lips, start=CUT)
    other.translation[:, 0] += 0.2
    other.delta[:] += 0.02
    return Motion.concatenate([nodding(CUT), other])


def shots_of(motion: Motion) -> Shots:
    starts = shot_starts([motion[np.arange(0, 30)], motion[np.arange(30, len(motion))]])
    neutral = [None if i is None else motion[i] for i in neutral_frames(motion, starts)]
    assert neutral[0] is not None
    return Shots(starts, neutral, neutral[0])


def test_one_take_is_one_shot_and_stays_as_it_is() -> None:
    motion = nodding(100)
    shots = shots_of(motion)
    assert shots.starts == [0]
    np.testing.assert_allclose(shots.levelled(motion, 0).rotation, motion.rotation, atol=1e-5)
    np.testing.assert_allclose(shots.levelled(motion, 0).delta, motion.delta, atol=1e-6)


def test_a_shot_from_the_side_is_measured_from_its_own_neutral_frame() -> None:
    motion = cut_together(yaw=14)
    shots = shots_of(motion)
    assert shots.starts == [0, CUT]
    level = shots.levelled(motion, 0)
    reference = shots.reference.rotation[0]
    before = angle_between(motion.rotation[CUT + 5], reference)
    after = angle_between(level.rotation[CUT + 5], reference)
    assert before > 12
    assert after < 7  # what is left is the nod
    np.testing.assert_array_equal(level.rotation[:CUT], shots.levelled(motion[np.arange(CUT)], 0).rotation)


def test_pieces_of_a_clip_give_what_the_whole_gives() -> None:
    motion = cut_together(yaw=14)
    shots = shots_of(motion)
    whole = shots.levelled(motion, 0)
    parts = [shots.levelled(motion[np.arange(a, b)], a) for a, b in ((0, 33), (33, 41), (41, 100))]
    np.testing.assert_array_equal(Motion.concatenate(parts).rotation, whole.rotation)
    np.testing.assert_array_equal(Motion.concatenate(parts).delta, whole.delta)


@pytest.mark.parametrize(("lips", "second"), [(0.4, 60), (0.0, SHORTEST - 1)], ids=["laughs all the time", "short"])
def test_a_shot_without_a_neutral_frame_is_measured_from_the_clips(lips: float, second: int) -> None:
    motion = cut_together(yaw=0, lips=lips, second=second)
    starts = shot_starts([motion])
    assert starts == [0, CUT]
    assert neutral_frames(motion, starts)[1] is None


@pytest.mark.parametrize("camera_turns", [False, True])
def test_the_way_from_the_neutral_frame_is_kept(camera_turns: bool) -> None:
    """In the order in which either engine puts rotations together."""
    own, reference, frame = (
        replace(still_motion(1), rotation=rotation_from_euler(*angles))
        for angles in ((3, 20, 4), (-5, 2, 1), (9, 31, -8))
    )
    out = moved(frame, own, reference, camera_turns)

    def way(motion: Motion, start: Motion) -> np.ndarray:
        back = start.rotation[0].T
        return back @ motion.rotation[0] if camera_turns else motion.rotation[0] @ back

    np.testing.assert_allclose(way(out, reference), way(frame, own), atol=1e-6)
