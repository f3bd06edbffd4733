"""Choice of the neutral frame."""

from __future__ import annotations

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.motion import rotation_from_euler
from liveportrait.reference import lone_reference, neutral_frame, neutrality, reference_index


def _clip(n=30, neutral=12):
    """A talking, blinking, turning clip with one calm stretch."""
    turn = np.abs(np.arange(n) - neutral) * 1.5
    lips = np.where(np.abs(np.arange(n) - neutral) < 3, 0.0, 0.3)
    eyes = np.full((n, 2), 0.32)
    eyes[neutral - 1 : neutral + 2] = 0.31
    return still_motion(
        n, rotation=rotation_from_euler(0 * turn, turn, 0.3 * turn), lip_ratio=lips[:, None], eye_ratio=eyes
    )


def test_automatic_choice_is_the_calm_frame():
    assert abs(reference_index("auto", _clip()) - 12) <= 1


def test_open_mouth_and_turned_head_in_the_first_frame_are_avoided():
    motion = still_motion(
        10,
        rotation=rotation_from_euler(np.zeros(10), [20] + [0] * 9, np.zeros(10)),
        lip_ratio=[[0.3]] + [[0.0]] * 9,
    )
    assert reference_index("auto", motion) >= 1
    assert reference_index("first", motion) == 0


def test_blink_is_not_neutral():
    eyes = np.full((9, 2), 0.3)
    eyes[[0, 1, 4, 5]] = 0.02
    chosen = reference_index("auto", still_motion(9, eye_ratio=eyes))
    assert chosen not in {0, 1, 4, 5}


def test_clip_that_mostly_looks_down_is_measured_from_open_eyes():
    eyes = np.full((20, 2), 0.18)
    eyes[12:16] = 0.34
    assert reference_index("auto", still_motion(20, eye_ratio=eyes)) in range(12, 16)


def test_one_frame_is_not_trusted_in_the_middle_of_a_movement():
    lips = np.array([0.3, 0.3, 0.0, 0.3, 0.3, 0.02, 0.02, 0.02, 0.02])
    assert reference_index("auto", still_motion(9, lip_ratio=lips[:, None])) > 5


def test_frames_without_a_face_are_never_chosen():
    found = np.zeros(30, bool)
    found[20:] = True
    assert reference_index("auto", _clip(), found) in {20, 21}
    assert reference_index("first", _clip(), found) == 20
    with pytest.raises(ValueError, match="no face"):
        reference_index("3", _clip(), found)


def test_unknown_ratios_leave_the_choice_to_the_pose():
    motion = still_motion(
        5,
        rotation=rotation_from_euler(np.zeros(5), [30, 20, 2, 20, 30], np.zeros(5)),
        eye_ratio=np.full((5, 2), np.nan),
        lip_ratio=np.full((5, 1), np.nan),
    )
    assert reference_index("auto", motion) == 2


def test_usual_pose_is_no_turn_when_the_camera_stands_a_little_aside():
    cost = neutrality(rotation_from_euler(0, [5.0] * 9 + [0.0], 0), np.full((10, 2), 0.3), np.zeros((10, 1)))
    assert cost[0] == pytest.approx(0, abs=1e-6)
    far = neutrality(rotation_from_euler(0, [25.0] * 9 + [6.0], 0), np.full((10, 2), 0.3), np.zeros((10, 1)))
    assert np.argmin(far) == 9


def test_number_names_a_frame():
    assert reference_index("7", _clip()) == 7
    for bad, words in (("31", "0 to 29"), ("-1", "0 to 29"), ("middle", "auto, first")):
        with pytest.raises(ValueError, match=words):
            reference_index(bad, _clip())


def test_clip_without_a_face_is_an_error():
    with pytest.raises(ValueError, match="no frame with a face"):
        neutral_frame(np.tile(np.eye(3), (3, 1, 1)), np.zeros((3, 2)), np.zeros((3, 1)), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no frame with a face"):
        reference_index("first", _clip(), np.zeros(30, bool))


def test_lone_picture_is_measured_from_a_neutral_face_in_its_own_pose(engine):
    driving = still_motion(1, rotation=rotation_from_euler(0, 30, 0), delta=np.full((1, 21, 3), 0.1))
    reference = lone_reference(engine, driving)
    np.testing.assert_array_equal(reference.rotation, driving.rotation)
    assert np.abs(reference.delta).max() == 0
