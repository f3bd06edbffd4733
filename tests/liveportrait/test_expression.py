"""Slider declarations, expressions as values, LivePortrait's offsets, posing a source by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait.expression import (
    OFFICIAL_UNITS,
    POSE_SLIDERS,
    SLIDERS,
    Expression,
    express,
    liveportrait_delta,
    official_delta,
    posed,
)
from liveportrait.motion import euler_from_rotation, rotation_from_euler

FACE_SLIDERS = [name for name in SLIDERS if name not in POSE_SLIDERS]
PAIRS = {1: 2, 3: 7, 11: 15, 13: 16}


def test_every_slider_is_declared_completely():
    for name, slider in SLIDERS.items():
        assert slider.name == name
        assert slider.minimum <= slider.default <= slider.maximum
        assert slider.title
        assert slider.help.endswith(".")
        assert slider.group in {"Head", "Eyes", "Brows", "Mouth"}
    assert len({s.title for s in SLIDERS.values()}) == len(SLIDERS)


@pytest.mark.parametrize("name", FACE_SLIDERS)
def test_every_face_slider_moves_the_21_keypoints_and_rests_at_zero(name):
    assert np.abs(liveportrait_delta({name: SLIDERS[name].maximum})).max() > 1e-3
    assert np.abs(liveportrait_delta({name: 0.0})).max() == 0


def test_full_travel_is_that_of_the_official_editor():
    for ours, official in (("smile", 1.3), ("purse", -20.0), ("lip_open", 120.0), ("gaze_x", 30.0), ("gaze_y", -63.0)):
        unit = OFFICIAL_UNITS[ours]
        np.testing.assert_allclose(liveportrait_delta({ours: official / unit}), official_delta({ours: official}))
    np.testing.assert_allclose(liveportrait_delta({"wink_left": 1}), official_delta({"wink": 39}))
    np.testing.assert_allclose(liveportrait_delta({"frown": 1}), official_delta({"brow": -30}))


def test_one_eye_of_the_gaze_plus_the_other_are_both():
    for axis in "xy":
        for value in (-0.7, 0.4):
            both = liveportrait_delta({f"gaze_{axis}": value})
            parts = liveportrait_delta({f"gaze_left_{axis}": value, f"gaze_right_{axis}": value})
            np.testing.assert_allclose(both, parts, atol=1e-9)


@pytest.mark.parametrize("name", ["wink_left", "gaze_left_x", "gaze_left_y", "gaze_x", "gaze_y", "blink"])
@pytest.mark.parametrize("value", [0.2, 0.9])
def test_swapped_sides_give_the_mirrored_offsets(name, value):
    expression = Expression({name: value})
    delta = liveportrait_delta(expression.values)
    mirrored = liveportrait_delta(expression.mirrored().values)
    swap = np.arange(21)
    for a, b in PAIRS.items():
        swap[[a, b]] = b, a
    wanted = delta[:, swap] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored, wanted, atol=1e-9)


def test_winks_of_both_sides_move_different_eyes():
    left, right = liveportrait_delta({"wink_left": 1}), liveportrait_delta({"wink_right": 1})
    assert np.abs(left[0, [11, 13]]).max() > 0
    assert np.abs(left[0, [15, 16]]).max() == 0
    assert np.abs(right[0, [15, 16]]).max() > 0
    assert np.abs(right[0, [11, 13]]).max() == 0


def test_canonical_keypoints_tell_the_sides():
    canonical = np.zeros((21, 3), np.float32)
    canonical[[11, 13], 0], canonical[[15, 16], 0] = -0.2, 0.2
    sliders = {"wink_left": 0.8, "gaze_right_x": 0.3}
    np.testing.assert_array_equal(liveportrait_delta(sliders, canonical), liveportrait_delta(sliders))
    swapped = {"wink_right": 0.8, "gaze_left_x": 0.3}
    np.testing.assert_array_equal(liveportrait_delta(sliders, -canonical), liveportrait_delta(swapped))


def test_unknown_names_and_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"no slider named 'nose'.*smile"):
        Expression({"nose": 1})
    with pytest.raises(ValueError, match=r"within -0.3 to 1.3"):
        Expression({"smile": 2})
    with pytest.raises(ValueError, match="within"):
        Expression({"smile": float("nan")})
    with pytest.raises(ValueError, match="no slider named 'nose'"):
        liveportrait_delta({"nose": 1})
    with pytest.raises(ValueError, match="no slider 'nose'"):
        official_delta({"nose": 1})


def test_sum_is_commutative_and_stays_in_range():
    a, b = Expression({"smile": 1.0, "zoom": 1.1}), Expression({"smile": 0.9, "yaw": 10, "zoom": 1.15})
    assert (a + b).values == (b + a).values
    assert (a + b).values == {"smile": 1.3, "yaw": 10, "zoom": 1.2}
    back = a + Expression({"smile": -0.3}) + Expression({"smile": -0.3})
    assert back.values["smile"] == pytest.approx(0.4)


def test_strength():
    half = Expression({"smile": 1.0, "zoom": 1.1}).scaled(0.5)
    assert half.values == {"smile": 0.5, "zoom": pytest.approx(1.05)}
    assert Expression({"smile": 1.0}).scaled(9).values["smile"] == 1.3


def test_preset_comes_back_from_plain_values():
    before = Expression({"smile": 0.5, "yaw": -3.0}, eye_ratio=(0.2, 0.3), lip_ratio=0.1)
    after = Expression.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before
    assert before.to_dict()["schema_version"] == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"schema_version": 2, "sliders": {}}, "newer version"),
        ({"schema_version": 1, "sliders": {"smile": "much"}}, "smile|could not|much"),
        ({"schema_version": 1, "slider": {}}, "unknown entries.*slider"),
        ({"schema_version": 1, "sliders": {}, "eye_ratio": 3}, "must be"),
        ({"schema_version": 1, "sliders": {"smile": None}}, "must be"),
    ],
)
def test_broken_presets_are_refused(data, words):
    with pytest.raises(ValueError, match=words):
        Expression.from_dict(data)


def test_head_sliders_turn_shift_and_size_the_head():
    motion = still_motion(1, rotation=rotation_from_euler(2, 3, 4), scale=[[1.5]])
    moved = posed(motion, Expression({"yaw": 10, "roll": -4, "move_x": 0.1, "move_y": 0.05, "zoom": 1.2}))
    np.testing.assert_allclose(euler_from_rotation(moved.rotation)[0], [2, 13, 0], atol=1e-3)
    np.testing.assert_allclose(moved.translation[0], [0.1, -0.05, 0], atol=1e-7)
    assert moved.scale[0, 0] == pytest.approx(1.8)
    np.testing.assert_array_equal(posed(motion, Expression({})).rotation, motion.rotation)


def test_resting_sliders_return_the_source(engine, astronaut_face):
    portrait = engine.encode(np.zeros((8, 8, 3), np.uint8), astronaut_face)
    np.testing.assert_allclose(express(engine, portrait, Expression({})), portrait.keypoints, atol=1e-7)


def test_openings_go_to_the_engine(engine, astronaut_face):
    portrait = engine.encode(np.zeros((8, 8, 3), np.uint8), astronaut_face)
    x = express(engine, portrait, Expression({}, eye_ratio=(0.0, 0.3), lip_ratio=0.2))
    assert x[0, 11, 1] - portrait.keypoints[0, 11, 1] == pytest.approx(0.3)
    assert x[0, 15, 1] - portrait.keypoints[0, 15, 1] == pytest.approx(0.0, abs=1e-6)
    assert x[0, 19, 1] - portrait.keypoints[0, 19, 1] == pytest.approx(0.2)
