"""Shading that comes with a smile."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from liveportrait.engines.mesh import fit, smile
from liveportrait.engines.mesh.cheeks import corner_smiles, raise_cheeks
from liveportrait.engines.mesh.data import face_model


def smiling(shape: np.ndarray, amount: float) -> np.ndarray:
    bases = face_model().bases
    return shape + amount * (0.067 * bases["wide"] + 0.038 * bases["smile"])


def test_a_smile_darkens_the_fold_beside_the_nose(stage):
    layout = stage.portrait.features.layout
    shading = replace(stage.portrait.features.smile, own=0.0)
    crop = stage.portrait.crop
    shaded = shading.shaded(crop, smiling(layout.canonical, 1.0), layout.canonical).astype(float)
    points = layout.rest[:, :2]
    for corner, wing in ((61, 129), (291, 358)):
        x, y = np.round(points[wing] + 0.6 * (points[corner] - points[wing])).astype(int)
        reach = round(0.06 * layout.pose.scale)
        patch = np.s_[y - reach : y + reach, x - reach : x + reach]
        assert 0.75 < (shaded[patch] / np.maximum(crop[patch], 1)).mean() < 0.97
    outside = np.ones(crop.shape[:2], bool)
    low, high = points[:468].min(0).astype(int), points[:468].max(0).astype(int) + 1
    outside[low[1] : high[1], low[0] : high[0]] = False
    assert np.array_equal(shaded[outside], crop[outside])


def test_nothing_is_shaded_at_rest_and_little_on_a_photo_that_smiles(stage):
    layout, crop = stage.portrait.features.layout, stage.portrait.crop
    at_rest, broad = (replace(stage.portrait.features.smile, own=own) for own in (0.0, 1.1))
    assert at_rest.shaded(crop, layout.canonical, layout.canonical) is crop
    assert at_rest.shaded(crop, smiling(layout.canonical, -1.0), layout.canonical) is crop

    def change(shading) -> float:
        shaded = shading.shaded(crop, smiling(layout.canonical, 1.0), layout.canonical)
        return float(np.abs(shaded.astype(int) - crop).mean())

    assert change(broad) < 0.3 * change(at_rest)
    drooping = layout.canonical + 0.05 * face_model().bases["open"]
    assert broad.shaded(crop, smiling(drooping, -1.0), layout.canonical) is not crop  # its own folds give way a little


def test_folds_of_a_black_and_white_photo_are_grey(stage):
    layout = stage.portrait.features.layout
    grey = np.repeat(stage.portrait.crop[..., 1:2], 3, 2)
    shaded = replace(smile.build_shading(grey, layout), own=0.0).shaded(
        grey, smiling(layout.canonical, 1.0), layout.canonical
    )
    assert not np.array_equal(shaded, grey)
    assert np.ptp(shaded, axis=2).max() == 0


CHEEKS = (205, 425)  # beside the nose and above the corners of the mouth


def test_folds_are_shallow_on_smooth_skin_and_redder_than_it(stage):
    """On children and fair faces deep grey folds would look like bruises."""
    layout = stage.portrait.features.layout
    skin = np.array([228, 190, 165], np.uint8)
    smooth = np.zeros_like(stage.portrait.crop) + skin
    creased = smooth.copy()
    for start, end in ((129, 61), (358, 291)):
        points = [tuple(np.round(layout.rest[i, :2]).astype(int).tolist()) for i in (start, end)]
        cv2.line(creased, *points, (120, 80, 60), max(2, round(0.03 * layout.pose.scale)), cv2.LINE_AA)

    def darker(crop: np.ndarray) -> np.ndarray:
        shading = replace(smile.build_shading(crop, layout), own=0.0)
        shaded = shading.shaded(crop, smiling(layout.canonical, 1.0), layout.canonical)
        plain = np.all(crop == skin, axis=2)
        return np.log(skin / np.quantile(shaded[plain].astype(float), 0.01, 0))

    shallow, deep = darker(smooth), darker(creased)
    assert 0.4 < shallow[1] / deep[1] < 0.8
    assert shallow[0] < 0.8 * shallow[1] < shallow[2]


def test_a_smile_raises_the_cheeks_further_than_landmarks_show():
    """On people the skin above the corners of the mouth moves up and outwards by 0.02 face widths more."""
    model = face_model()
    rest = model.mean + sum(amount * model.bases[name] for name, amount in fit.RESTING.items())
    driver = smiling(rest, 1.0)
    out = fit.fit_expression(rest, driver, rest)
    for cheek, outward in zip(CHEEKS, (-1, 1), strict=True):
        more = out[cheek] - driver[cheek]
        assert -0.035 < more[1] < -0.012
        assert outward * more[0] > 0.004
    assert -0.02 < out[152, 1] - driver[152, 1] < -0.005


def test_cheeks_rise_on_the_side_that_smiles_and_sink_only_by_the_smile_of_the_photo():
    mean = face_model().mean.astype(np.float64)
    lopsided = mean.copy()
    lopsided[61, :2] += (-0.03, -0.04)
    left, right = corner_smiles(lopsided, mean)
    assert left > 0.8 > abs(right)
    shape = lopsided.copy()
    raise_cheeks(shape, mean, own=0.0)
    assert shape[205, 1] < lopsided[205, 1] - 0.01
    assert shape[205, 1] - lopsided[205, 1] < 2 * (shape[425, 1] - lopsided[425, 1])
    assert np.abs(shape - lopsided)[[145, 159, 374, 386, *range(468, 478)]].max() < 1e-4  # lids and irises
    for own, sinks in ((0.0, False), (1.0, True)):
        drooping = mean + 0.1 * face_model().bases["open"]
        shape = smiling(drooping, -1.0)
        before = shape.copy()
        raise_cheeks(shape, mean, own)
        assert (shape[CHEEKS[0], 1] > before[CHEEKS[0], 1]) == sinks
