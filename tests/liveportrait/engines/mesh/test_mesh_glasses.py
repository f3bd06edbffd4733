"""Glasses are found, and stay stiff while the face behind them moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveportrait.engines.mesh import MeshEngine, glasses
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.layout import Pose
from models.topology import BROW_LEFT, BROW_RIGHT, EYES


def with_glasses(stage) -> tuple[np.ndarray, np.ndarray]:
    """The astronaut's crop with horn-rimmed glasses drawn on it, and a mask of their pixels."""
    crop = stage.portrait.crop.copy()
    points = stage.face.points
    centres = [points[[eye.outer, eye.inner], :2].mean(0) + np.array([0, 2]) for eye in EYES]
    radius = 0.39 * float(np.linalg.norm(centres[0] - centres[1]))
    mask = np.zeros(crop.shape[:2], np.uint8)
    for centre in centres:
        cv2.ellipse(mask, (centre, (2 * radius, 1.4 * radius), 0), 255, 3, cv2.LINE_AA)
    (ax, ay), (bx, by) = (np.round(c).astype(int) for c in centres)
    r = round(radius)
    cv2.line(mask, (ax + r, ay - 3), (bx - r, by - 3), 255, 3, cv2.LINE_AA)
    cv2.line(mask, (ax - r, ay - 3), (ax - 2 * r, ay - 5), 255, 3, cv2.LINE_AA)
    cv2.line(mask, (bx + r, by - 3), (bx + 2 * r, by - 5), 255, 3, cv2.LINE_AA)
    share = mask[..., None] / 255
    return np.uint8(crop * (1 - share) + np.array([45, 30, 25]) * share), mask


@pytest.fixture(scope="module")
def worn(stage):
    crop, mask = with_glasses(stage)
    engine = MeshEngine()
    return engine, engine.encode(crop, stage.face), mask


def moved(engine, portrait, stage, **sliders: float) -> np.ndarray:
    return engine.render(portrait, stage.keypoints(delta=engine.slider_delta(portrait, sliders)))[0]


def test_glasses_are_seen_and_a_bare_face_has_none(stage):
    pose = stage.portrait.features.layout.pose
    assert glasses.wears_glasses(with_glasses(stage)[0], pose) > glasses.SURE
    assert glasses.wears_glasses(stage.portrait.crop, pose) < -2
    assert stage.portrait.features.stiff is None


@pytest.mark.parametrize("size", [160, 320, 960])
def test_the_size_of_the_picture_does_not_matter(stage, size):
    crop, _ = with_glasses(stage)
    zoom = size / crop.shape[0]
    resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    pose = Pose.fit(face_model().mean.astype(np.float64), stage.face.points.astype(np.float64) * zoom)
    assert glasses.wears_glasses(resized, pose) > glasses.SURE
    assert glasses.wears_glasses(cv2.resize(stage.portrait.crop, (size, size)), pose) < 0


@pytest.mark.parametrize("sliders", [{"brow": 1.0}, {"brow": -1.0, "frown": 1.0}, {"smile": 1.0}])
def test_a_rim_keeps_its_shape_under_any_expression(worn, stage, sliders):
    engine, portrait, mask = worn
    rim = mask > 200
    own = portrait.crop[rim].astype(int)
    stiff = np.abs(moved(engine, portrait, stage, **sliders)[rim] - own).mean()
    features = portrait.features
    try:
        portrait.features = type(features)(**{**features.__dict__, "stiff": None})
        soft = np.abs(moved(engine, portrait, stage, **sliders)[rim] - own).mean()
    finally:
        portrait.features = features
    assert stiff < 0.35 * soft


def test_eyes_behind_glasses_still_blink_and_the_mouth_still_opens(worn, stage):
    _, portrait, _ = worn
    zone = portrait.features.stiff[:, 0]
    for eye in EYES:
        assert zone[list(eye.ring)].max() == 0
        assert zone[eye.iris : eye.iris + 5].max() == 0
    assert zone[[13, 14, 152]].max() == 0
    assert zone[list(BROW_LEFT + BROW_RIGHT)].mean() < 0.7


def test_the_head_turns_with_its_glasses(worn, stage):
    """Turns are not held back: with and without stiffness the same picture."""
    engine, portrait, _ = worn
    x = stage.keypoints(yaw=12.0)
    turned = engine.render(portrait, x)[0].astype(int)
    features = portrait.features
    try:
        portrait.features = type(features)(**{**features.__dict__, "stiff": None})
        soft = engine.render(portrait, x)[0].astype(int)
    finally:
        portrait.features = features
    assert np.abs(turned - soft).max() <= 8
    assert np.abs(turned - portrait.crop).mean() > 2
