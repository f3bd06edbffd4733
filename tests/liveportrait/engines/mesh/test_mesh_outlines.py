"""Outlines where one part of the head hides another have no stair steps."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh.outlines import smooth_outlines

SIZE = 120


@pytest.mark.parametrize("slope", [0.12, 0.4, 1.0, 4.0])
def test_stairs_become_a_straight_edge_and_all_else_stays(slope):
    """Against the same edge drawn with the share of every pixel that it covers."""
    yy, xx = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    across = (xx - 60) - (yy - 60) * slope
    distance = across / np.hypot(1, slope)
    truth = 40 + 160 * np.clip(distance + 0.5, 0, 1)
    stairs = np.repeat(np.where(across > 0, 200, 40)[..., None], 3, 2).astype(np.uint8)
    jump = np.where(across > 0, 30, 0).astype(np.float32)
    smooth = stairs.copy()
    smooth_outlines(smooth, xx + jump, yy, SIZE)
    inside = np.s_[10:-10, 10:-10]
    before, after = (np.sqrt(((one[..., 0] - truth)[inside] ** 2).mean()) for one in (stairs, smooth))
    assert after < 0.8 * before
    assert np.array_equal(smooth[np.abs(distance) > 8], stairs[np.abs(distance) > 8])


def test_a_field_without_jumps_changes_nothing():
    yy, xx = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    image = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    drawn = image.copy()
    smooth_outlines(drawn, xx * 1.5, yy, SIZE)
    assert np.array_equal(drawn, image)
