"""Faces seen from the side: the half that the camera did not see is completed before it comes to the front."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.far_side import FarSide, build_far_side
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.engines.mesh.layout import Layout, Pose, build_layout
from models.topology import OVAL

SIZE = 400
SKIN, WALL = 170, 10


def pose_at(yaw: float, pitch: float = 0.0) -> Pose:
    """Pose of a head in degrees, in crop pixels."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    d, t = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    nod = np.array([[1, 0, 0], [0, d, -t], [0, t, d]])
    return Pose(170.0, nod @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([200.0, 210.0, 0.0]))


def head(yaw: float) -> tuple[np.ndarray, Layout, np.ndarray]:
    """Points of the mean face at a yaw, its mesh, and (S, S) 0..1 where it is seen."""
    points = pose_at(yaw).apply(face_model().mean.astype(np.float64))
    seen = np.zeros((SIZE, SIZE), np.float32)
    for triangle in face_model().triangles:
        seen = np.maximum(seen, polygon_mask(SIZE, SIZE, points[triangle, :2]))
    return points, build_layout(points, SIZE, None), seen


def complete(yaw: float, paint=lambda image, points: image) -> tuple[FarSide, np.ndarray]:
    """A head of even skin before a dark wall, painted on, completed; and the far part (H, W) that is used."""
    points, layout, seen = head(yaw)
    image = np.repeat((WALL + (SKIN - WALL) * seen)[..., None], 3, 2)
    far = build_far_side(paint(image, points).astype(np.uint8), points, layout, seen)
    assert far is not None
    return far, far.image[..., 3] > 200


@pytest.mark.parametrize("yaw", [-4.0, 0.0, 4.0])
def test_faces_from_the_front_need_nothing(yaw):
    points, layout, seen = head(yaw)
    assert build_far_side(np.zeros((SIZE, SIZE, 3), np.uint8), points, layout, seen) is None


@pytest.mark.parametrize("yaw", [-38.0, 15.0, 38.0])
def test_no_background_is_inside_the_completed_face(yaw):
    far, used = complete(yaw)
    assert used.sum() > 500
    assert far.image[used][:, :3].min() > 0.9 * SKIN


def test_the_far_cheek_has_the_detail_of_the_near_one():
    def stripes(image, points):
        near = np.arange(SIZE)[None, :] > points[4, 0]  # beyond the nose
        rows = 12 * np.sin(np.arange(SIZE) * 1.2)[:, None]
        return image + (rows * near * (image[..., 0] > 100))[..., None]

    far, used = complete(38.0, stripes)
    plain, _ = complete(38.0)
    assert far.image[used][:, 0].std() > 3 + plain.image[used][:, 0].std()


def test_a_hat_over_the_near_temple_is_not_mirrored_onto_the_skin():
    def hat(image, points):
        temple = polygon_mask(SIZE, SIZE, points[[10, 338, 297, 332, 284, 251, 389, 301, 299], :2])
        return image + (25 - image) * temple[..., None]

    far, used = complete(38.0, hat)
    assert np.quantile(far.image[used][:, 0], 0.02) > 0.75 * SKIN


def test_the_mirrored_half_takes_the_light_of_its_place():
    def shade(image, points):
        """The near half lies in the shade."""
        dark = np.clip((np.arange(SIZE)[None, :] - points[4, 0]) / 60, 0, 1) * 0.5
        return image * (1 - dark)[..., None]

    far, used = complete(38.0, shade)
    assert np.median(far.image[used][:, 0]) > 0.85 * SKIN


def test_only_turns_to_the_front_show_it():
    far, _ = complete(30.0)
    assert far.share(pose_at(30.0)) == 0
    assert far.share(pose_at(45.0)) == 0
    assert far.share(pose_at(30.0, pitch=1.0)) < 0.02
    assert 0 < far.share(pose_at(27.0)) < 1
    assert far.share(pose_at(20.0)) == 1


def test_surroundings_are_pushed_outwards_only_at_the_hidden_side():
    far, _ = complete(38.0)
    length = np.linalg.norm(far.push[478 : 478 + len(OVAL)], axis=1)
    assert length.max() > 10
    assert (length < 0.01).sum() > 10
