"""Convex hull volume."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from liveportrait.hull import convex_hull_volume
from liveportrait.official import hull_multiplier


def test_volume_of_solids_that_are_known():
    cube = np.array(list(itertools.product((0, 1), repeat=3)), float)
    assert convex_hull_volume(cube) == pytest.approx(1)
    lattice = np.array(list(itertools.product(range(4), repeat=3)), float)
    assert convex_hull_volume(lattice) == pytest.approx(27)
    octahedron = np.concatenate([np.eye(3), -np.eye(3), np.zeros((1, 3))])
    assert convex_hull_volume(octahedron) == pytest.approx(4 / 3)


def test_flat_points_have_no_volume():
    flat = np.array([[x, y, 0] for x in range(3) for y in range(3)], float)
    assert convex_hull_volume(flat) == 0


def test_volume_does_not_depend_on_order_or_place():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(60, 3))
    volume = convex_hull_volume(points)
    assert convex_hull_volume(rng.permutation(points) + 9) == pytest.approx(volume)
    assert convex_hull_volume(points * 2) == pytest.approx(8 * volume)


def test_multiplier_equals_the_official_one(official):
    got = hull_multiplier(
        official["maths/motion_multiplier/kp_source"], official["maths/motion_multiplier/kp_driving0"]
    )
    assert got == pytest.approx(float(official["maths/motion_multiplier/out"][0]), abs=1e-6)
