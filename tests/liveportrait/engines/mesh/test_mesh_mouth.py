"""Colours and outlines of an opened mouth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from liveportrait.engines.mesh import MeshEngine, eyes, mouth
from liveportrait.engines.mesh import engine as mesh_engine
from models.topology import LIP_LOWER_INNER, LIP_UPPER_INNER


def lab(colour: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.uint8([[colour]]), cv2.COLOR_RGB2LAB)[0, 0].astype(float)


@pytest.fixture(scope="module")
def opened(stage):
    """Keypoints of a mouth as wide open as it gets."""
    return stage.keypoints(delta=stage.engine.slider_delta(stage.portrait, {"lip_open": 1.0}))


def test_a_black_and_white_photo_stays_so(stage, opened):
    grey = cv2.cvtColor(cv2.cvtColor(stage.portrait.crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    engine = MeshEngine()
    portrait = engine.encode(grey, stage.face)
    portrait.features = replace(portrait.features, mouth=replace(portrait.features.mouth, own=None, own_mask=None))
    drawn = engine.render(portrait, opened)[0].astype(int)
    assert (np.abs(drawn - grey).max(2) > 30).sum() > 1000
    assert np.ptp(drawn, axis=2).max() <= 3


@pytest.mark.parametrize("light", [(1.0, 0.85, 0.45), (0.75, 0.9, 1.0)])
def test_teeth_of_a_shut_mouth_have_the_tint_of_the_white_of_the_eyes(stage, light):
    points = stage.face.points.astype(np.float64)
    layout = stage.portrait.features.layout
    canonical = layout.canonical.copy()
    canonical[list(LIP_LOWER_INNER)] = canonical[list(LIP_UPPER_INNER)]
    shut = replace(layout, canonical=canonical)

    def tooth(crop: np.ndarray) -> np.ndarray:
        white = eyes.white_of(eyes.prepare_eyes(crop, points))
        return lab(mouth.prepare_mouth(crop, points, shut, white).tooth)

    crop = stage.portrait.crop
    tinted = (crop * np.array(light)).astype(np.uint8)
    way = lab(np.array(light) * 200)[2] - 128
    assert 0.75 < (tooth(tinted) - tooth(crop))[2] / way < 1.1


def test_the_lower_lip_over_the_chin_has_no_steps(stage, opened, monkeypatch):
    smooth = stage.engine.render(stage.portrait, opened)[0].astype(float)
    monkeypatch.setattr(mesh_engine, "SMOOTH_GAP", np.inf)
    stepped = stage.engine.render(stage.portrait, opened)[0].astype(float)
    changed = np.abs(smooth - stepped).max(2) > 0
    assert 50 < changed.sum() < 0.01 * changed.size
    edges = [np.abs(np.diff(image, axis=0)).sum(2)[changed[1:]].mean() for image in (smooth, stepped)]
    assert edges[0] < 0.87 * edges[1]


def test_the_photo_s_own_teeth_end_in_gums_not_in_stripes(stage, monkeypatch):
    x = stage.keypoints(delta=stage.engine.slider_delta(stage.portrait, {"wide": 0.8, "lip_open": 0.3}))
    lips = (x[0, :, :2] + 1) * stage.portrait.crop.shape[0] / 2 - 0.5
    middle = lips[[82, 13, 312]].round().astype(int)
    rows = slice(middle[:, 1].max() + 3, middle[:, 1].max() + 6)
    columns = slice(middle[0, 0], middle[2, 0])

    def stripes() -> float:
        return float(stage.engine.render(stage.portrait, x)[0][rows, columns].astype(float).mean(0).std(0).mean())

    gums = stripes()
    monkeypatch.setattr(mouth, "GUM", 1e9)
    assert gums < 0.7 * stripes()


def test_teeth_lie_in_the_dark_while_lips_are_hardly_parted(stage):
    layer = replace(stage.portrait.features.mouth, own=None, own_mask=None, gap=0.0)
    layout = stage.portrait.features.layout

    def brightest(gap: float) -> float:
        """Of the mouth's middle, with lips ``gap`` face widths apart in a black picture."""
        vertices = layout.rest.copy()
        apart = gap * layout.pose.scale * np.sin(np.linspace(0, np.pi, 11)) ** 0.5
        vertices[list(LIP_LOWER_INNER), 1] = vertices[list(LIP_UPPER_INNER), 1] + apart
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(layer, black, vertices, layout, layout.pose)
        return float(black[:, round(vertices[13, 0])].mean(1).max())

    assert brightest(0.018) < 0.38 * brightest(0.045)
