"""Faces seen from the side borrow the half that the camera saw."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.layout import Pose, build_layout
from liveportrait.engines.mesh.mirror import build_mirror
from models.topology import EYE_LEFT, EYE_RIGHT

SIZE = 400


def turned_points(yaw: float) -> np.ndarray:
    """(478, 3) mean face at a yaw in degrees, in crop pixels."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return Pose(170.0, rotation, np.array([200.0, 210.0, 0.0])).apply(face_model().mean.astype(np.float64))


def fill(yaw: float):
    points = turned_points(yaw)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, : SIZE // 2] = 180
    image[:, SIZE // 2 :] = 90
    return build_mirror(image, points, build_layout(points, SIZE, None)), points


@pytest.mark.parametrize("yaw", [-8.0, 0.0, 8.0])
def test_faces_from_the_front_borrow_nothing(yaw):
    assert fill(yaw)[0] is None


@pytest.mark.parametrize("yaw", [-42.0, 42.0])
def test_the_far_cheek_borrows_from_the_near_one(yaw):
    mirror, points = fill(yaw)
    assert mirror is not None
    far, near = (234, 454) if mirror.own[234] < mirror.own[454] else (454, 234)
    assert mirror.own[far] < 0.7 < mirror.own[near]
    assert np.allclose(mirror.source[far], points[near, :2])
    # The far cheek is the one that lies deeper in the picture.
    assert points[far, 2] > points[near, 2]


def test_irises_borrow_from_the_other_eye():
    mirror, points = fill(42.0)
    assert mirror is not None
    assert np.allclose(mirror.source[EYE_LEFT.iris], points[list(EYE_RIGHT.ring), :2].mean(0))


def test_texture_is_pushed_outwards_only_at_the_hidden_side():
    mirror, points = fill(42.0)
    assert mirror is not None
    oval = slice(len(points), len(points) + 36)
    length = np.linalg.norm(mirror.push[oval], axis=1)
    assert length.max() > 2
    assert (length < 0.01).sum() > 10
