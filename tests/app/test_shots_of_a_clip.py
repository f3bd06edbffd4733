"""Clips that were cut together, between the passes of a render."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from liveportrait.channel import find_shots, smooth_track
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.motion import Motion, angle_between, rotation_from_euler
from liveportrait.track import MotionTrack

CUT, LENGTH, LOST = 20, 44, 30


def filmed(yaw: float, frames: int, shift: float) -> Motion:
    """A face at rest that nods a little, from one camera."""
    t = np.arange(frames) / 25
    return Motion(
        rotation=rotation_from_euler(3 * np.sin(3 * t), np.full(frames, yaw), np.zeros(frames)),
        translation=np.tile(np.float32([shift, 0, 0]), (frames, 1)),
        scale=np.full((frames, 1), 0.8, np.float32),
        delta=np.full((frames, 478, 3), 0.1 * shift, np.float32),
        eye_ratio=np.full((frames, 2), 0.3, np.float32),
        lip_ratio=np.zeros((frames, 1), np.float32),
        engine=MeshEngine.family,
    )


def track_of(path: Path) -> MotionTrack:
    """Two shots; the face is lost for one frame in the second."""
    motion = Motion.concatenate([filmed(0, CUT, 0), filmed(15, LENGTH - CUT, 0.25)])
    track = MotionTrack(Fraction(LENGTH, 25))
    for i in range(LENGTH):
        track.append(Fraction(i, 25), None if i == LOST else motion[i])
    return track


def test_every_shot_is_measured_from_its_own_neutral_frame(tmp_path: Path) -> None:
    track = track_of(tmp_path / "motion")
    reference = track.motion(5)
    shots = find_shots(track, reference, MeshEngine())
    assert shots is not None
    assert shots.starts == [0, CUT]
    live = [shots.levelled(track.motion(i), track.row(i)) for i in range(LENGTH)]  # frame by frame
    level = smooth_track(track, 0.0, {}, shots=shots)
    for index in (0, CUT - 1, CUT, LOST + 1, LENGTH - 1):
        np.testing.assert_array_equal(live[index].rotation, level.motion(index).rotation)
        np.testing.assert_array_equal(live[index].delta, level.motion(index).delta)
    for index in (CUT, LOST + 1, LENGTH - 1):
        frame = level.motion(index)
        assert angle_between(frame.rotation[0], reference.rotation[0]) < 7
        np.testing.assert_allclose(frame.translation, reference.translation, atol=1e-6)
        np.testing.assert_allclose(frame.delta, reference.delta, atol=1e-6)
    assert not level.seen(LOST)
    level.close()


def test_a_single_shot_needs_no_shots(tmp_path: Path) -> None:
    track = MotionTrack(Fraction(1))
    motion = filmed(0, 25, 0)
    for i in range(25):
        track.append(Fraction(i, 25), motion[i])
    assert find_shots(track, track.motion(0), MeshEngine()) is None
    assert smooth_track(track, 0.0, {}) is track
    track.close()
