"""Choice of the neutral frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.cues import NAME, frame_cues
from liveportrait.engines.mesh.data import face_model
from liveportrait.motion import Motion, rotation_from_euler
from liveportrait.reference import lone_reference, neutral_frame, neutrality, reference_index
from models.face import Face
from models.topology import EYES


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
    cost = neutrality(still_motion(10, rotation=rotation_from_euler(0, [5.0] * 9 + [0.0], 0)))
    assert cost[0] == pytest.approx(0, abs=1e-6)
    far = neutrality(still_motion(10, rotation=rotation_from_euler(0, [25.0] * 9 + [6.0], 0)))
    assert np.argmin(far) == 9


def test_number_names_a_frame():
    assert reference_index("7", _clip()) == 7
    for bad, words in (("31", "0 to 29"), ("-1", "0 to 29"), ("middle", "auto, first")):
        with pytest.raises(ValueError, match=words):
            reference_index(bad, _clip())


def test_clip_without_a_face_is_an_error():
    with pytest.raises(ValueError, match="no frame with a face"):
        neutral_frame(still_motion(3), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no frame with a face"):
        reference_index("first", _clip(), np.zeros(30, bool))


def test_lone_picture_is_measured_from_a_neutral_face_in_its_own_pose(engine):
    driving = still_motion(1, rotation=rotation_from_euler(0, 30, 0), delta=np.full((1, 21, 3), 0.1))
    reference = lone_reference(engine, driving)
    np.testing.assert_array_equal(reference.rotation, driving.rotation)
    assert np.abs(reference.delta).max() == 0


def _face(gaze: float = 0.0, wide: float = 0.0, bent: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """Cues of the mean face in a picture of 400 pixels: looking aside, with a wider mouth, misread, or moved right."""
    shape = face_model().mean.astype(np.float64) + wide * face_model().bases["wide"]
    for eye in EYES:
        half = np.linalg.norm(shape[eye.outer, :2] - shape[eye.inner, :2]) / 2
        shape[eye.iris : eye.iris + 5, 0] += gaze * half
    shape += bent * np.random.default_rng(1).normal(size=shape.shape)
    points = shape * 150 + [200 + shift, 200, 0]
    return frame_cues(Face(points.astype(np.float32)), (400, 400))


def _with_cues(*rows: np.ndarray, **changes) -> Motion:
    return replace(still_motion(len(rows), **changes), extra={NAME: np.concatenate(rows)})


@pytest.mark.parametrize(
    "fault", [{"gaze": 0.4}, {"gaze": -0.4}, {"wide": 0.1}, {"wide": -0.1}, {"bent": 0.03}, {"shift": 170}]
)
def test_faces_that_look_aside_purse_smile_or_are_hidden_are_not_neutral(fault):
    """The others have their lips a little open and are turned a little, and are taken all the same."""
    odd, plain = _face(**fault), _face()
    motion = _with_cues(
        plain, plain, plain, odd, odd, odd, plain, plain, plain, plain,
        rotation=rotation_from_euler(0, [3.0] * 3 + [0.0] * 3 + [3.0] * 4, 0),
        lip_ratio=[[0.04]] * 3 + [[0.0]] * 3 + [[0.04]] * 4,
    )  # fmt: skip
    assert reference_index("auto", motion) not in {3, 4, 5}


def test_a_camera_above_the_screen_shifts_no_gaze():
    motion = _with_cues(*[_face(gaze=0.08)] * 9, _face())
    assert neutrality(motion)[:9].max() < 0.05


def test_narrowed_eyes_are_further_from_neutral_than_wide_ones():
    eyes = np.full((12, 2), 0.3)
    eyes[0], eyes[1] = 0.3 * 0.8, 0.3 * 1.2
    cost = neutrality(still_motion(12, eye_ratio=eyes))
    assert cost[0] > 1.5 * cost[1] > 0
