"""A head turns no further than its photo has something to show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liveportrait.engines.mesh.turns import FRONTAL, KNEE, limit_turn
from liveportrait.expression import Expression, express
from liveportrait.motion import euler_from_rotation, rotation_from_euler
from liveportrait.options import AnimationOptions
from liveportrait.transfer import transfer


def yaws(rotation: np.ndarray) -> np.ndarray:
    return euler_from_rotation(rotation)[:, 1]


def turned(source: float, *to: float) -> np.ndarray:
    """Yaw in degrees that is left of turns from a source at a yaw to others, with pitch and roll on top."""
    wanted = rotation_from_euler([4.0] * len(to), to, [-6.0] * len(to))
    limited = limit_turn(wanted, rotation_from_euler(0, source, 0))
    np.testing.assert_allclose(euler_from_rotation(limited)[:, [0, 2]], [[4.0, -6.0]] * len(to), atol=1e-3)
    return yaws(limited)


def test_small_turns_are_not_touched():
    wanted = rotation_from_euler(np.zeros(5), np.linspace(-KNEE * FRONTAL, KNEE * FRONTAL, 5), np.zeros(5))
    assert limit_turn(wanted, rotation_from_euler(0, 0, 0)) is wanted


def test_large_turns_are_bent_softly():
    seen = turned(0.0, *np.arange(-60.0, 61.0, 2.0))
    steps = np.diff(seen)
    assert (steps > 0).all()
    assert np.abs(np.diff(steps)).max() < 0.35  # no edge in the motion
    assert np.abs(seen).max() <= FRONTAL


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_face_from_the_side_turns_little_to_the_front_and_freely_away(side):
    front, away = turned(35.0 * side, 0.0, 65.0 * side)
    assert 24 < front * side < 31
    assert away * side > 60


def test_driver_and_slider_are_limited_and_the_switch_frees_the_driver(stage):
    own = stage.portrait.motion
    far = replace(own, rotation=own.rotation @ rotation_from_euler(0, 45, 0))

    def aside(x: np.ndarray) -> float:
        """How far the tip of the nose lies beside the middle of the cheeks."""
        return float((x[0, 4] - x[0, [234, 454]].mean(0))[0] - (x_s[0, 4] - x_s[0, [234, 454]].mean(0))[0])

    x_s = stage.portrait.keypoints
    free, limited = (
        abs(aside(transfer(stage.engine, stage.portrait, far, own, AnimationOptions(turn_limit=limit))))
        for limit in (False, True)
    )
    assert 0.4 * free < limited < 0.85 * free
    slid = [abs(aside(express(stage.engine, stage.portrait, Expression({"yaw": yaw})))) for yaw in (10.0, 25.0)]
    assert slid[0] < slid[1] < 2.4 * slid[0]
