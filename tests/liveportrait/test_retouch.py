"""Lips of a clip held open, shut or silent."""

from __future__ import annotations

import numpy as np
import pytest
from motion_stubs import LIP, IdentityEngine, still_motion

from liveportrait.engines.base import Portrait
from liveportrait.motion import keypoints
from liveportrait.retouch import AHEAD, VARIANCE, lip_offset, shifted, silent_keypoints, smoothed
from liveportrait.smoothing import smooth


class RestEngine(IdentityEngine):
    """Its face at rest has delta 0.02 everywhere."""

    def neutral_of(self, driving):
        return still_motion(len(driving), delta=np.full((len(driving), 21, 3), 0.02))


def portrait(**changes) -> Portrait:
    motion = still_motion(1, delta=np.random.default_rng(2).normal(0, 0.02, (1, 21, 3)), **changes)
    canonical = np.random.default_rng(0).normal(0, 0.3, (21, 3)).astype(np.float32)
    return Portrait(motion, canonical, keypoints(canonical, motion), np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("count", [1, 5, 80])
def test_streamed_offsets_equal_those_of_the_whole_clip(count):
    offsets = np.random.default_rng(count).normal(0, 0.02, (count, 1, 21, 3)).astype(np.float32)
    streamed = list(smoothed(enumerate(offsets)))
    assert [item for item, _ in streamed] == list(range(count))
    whole = smooth(offsets[:, 0], VARIANCE)
    np.testing.assert_allclose(np.concatenate([row for _, row in streamed]), whole, atol=1e-6)
    if count > 1:
        assert np.abs(whole - offsets[:, 0]).max() > 1e-3


def test_only_a_few_frames_wait():
    taken: list[int] = []

    def endless():
        for i in range(10**6):
            taken.append(i)
            yield i, np.zeros((1, 21, 3), np.float32)

    for index, (item, _) in enumerate(smoothed(endless())):
        assert item == index
        assert len(taken) <= index + AHEAD + 1
        if index == 40:
            return


def test_frames_without_a_face_keep_their_place():
    row = np.full((1, 21, 3), 0.01, np.float32)
    frames = [(i, None if i in (0, 3, 4) else row) for i in range(7)]
    out = list(smoothed(frames))
    assert [item for item, _ in out] == list(range(7))
    assert [offset is None for _, offset in out] == [i in (0, 3, 4) for i in range(7)]
    for _, offset in out:
        if offset is not None:
            np.testing.assert_allclose(offset, row, atol=1e-7)


def test_lips_are_brought_to_an_opening():
    engine, source = IdentityEngine(), portrait(lip_ratio=[[0.3]])
    x = shifted(engine, source, lip_offset(engine, source, 0.1))
    change = x - source.keypoints
    assert change[0, 19, 1] == pytest.approx(-0.2, abs=1e-6)
    assert np.count_nonzero(np.abs(change) > 1e-6) == 1


def test_unknown_lips_stay():
    engine, source = IdentityEngine(), portrait(lip_ratio=[[np.nan]])
    np.testing.assert_array_equal(lip_offset(engine, source, 0.0), np.zeros((1, 21, 3)))
    assert engine.lip_targets == []


def test_silent_lips_leave_the_head_alone():
    source = portrait()
    x = silent_keypoints(RestEngine(), source)
    moved = np.abs(x - source.keypoints)[0] > 1e-6
    assert not moved[~LIP].any()
    assert moved[LIP].all()


def test_silent_lips_by_the_official_rule_leave_only_the_eyes_alone():
    source = portrait()
    x = silent_keypoints(RestEngine(), source, official=True)
    moved = (np.abs(x - source.keypoints)[0] > 1e-6).all(axis=1)
    assert set(np.flatnonzero(~moved)) == {11, 13, 15, 16, 18}


def test_an_engine_without_a_rest_keeps_the_source():
    source = portrait()
    np.testing.assert_array_equal(silent_keypoints(IdentityEngine(), source), source.keypoints)
