"""Eyes: what both do together, how far irises go, and what the rebuilt eyeball and lid are made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveportrait.engines.mesh import eyes, fit
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.geometry import eye_opening
from liveportrait.motion import rotation_from_euler
from models.topology import EYE_LEFT, EYE_RIGHT, EYES


@pytest.fixture
def mean() -> np.ndarray:
    return face_model().mean.astype(np.float64)


def with_lids(mean: np.ndarray, left: float, right: float) -> np.ndarray:
    """A canonical shape whose eyes are so far open, as factors."""
    out = mean.copy()
    for eye, opening in zip(EYES, (left, right), strict=True):
        fit.set_opening(out, mean, eye, opening)
    return out


def openings(mean: np.ndarray, driver: np.ndarray, yaw: float = 0) -> np.ndarray:
    """Opening of both eyes of the mean face under a driver whose head is turned, over their own."""
    side = fit.side_shown(rotation_from_euler(0, yaw, 0)[0].astype(np.float64))
    out = fit.fit_expression(mean, driver, mean, side=side)
    return np.array([eye_opening(out, eye) / eye_opening(mean, eye) for eye in EYES])


def test_lids_that_landmarks_see_apart_a_little_come_nearer(mean, monkeypatch):
    """Some of it is a narrowed eye, some of it an error."""
    left, right = openings(mean, with_lids(mean, 0.8, 0.65))
    monkeypatch.setattr(fit, "APART", 1.0)
    each = openings(mean, with_lids(mean, 0.8, 0.65))
    assert 0 < left - right < 0.8 * (each[0] - each[1])
    assert 0.4 < right < left < 0.75


@pytest.mark.parametrize("seen", [0.95, 0.85, 0.6, 0.3])
def test_lids_close_further_than_landmarks_say(mean, seen):
    """Eyes drawn 0.8 open are reported as 0.9 open; wide and shut eyes are reported as they are."""
    driver = with_lids(mean, seen, seen)
    read = eye_opening(driver, EYE_LEFT) / eye_opening(mean, EYE_LEFT)
    assert openings(mean, driver)[0] < read - 0.5 * read * (1 - read)
    assert openings(mean, with_lids(mean, 1.1, 1.1))[0] > 1.05


def test_a_wink_stays_a_wink(mean):
    left, right = openings(mean, with_lids(mean, 0.1, 1.0))
    assert left < 0.15
    assert right > 0.95


@pytest.mark.parametrize("yaw", [-30, 30])
def test_the_far_eye_of_a_turned_driver_does_what_the_near_one_does(mean, yaw):
    """Its landmarks are drawn half shut there; nobody winks."""
    near = 0 if fit.side_shown(rotation_from_euler(0, yaw, 0)[0].astype(np.float64)) > 0 else 1
    for opening in (0.0, 1.0):
        seen = [0.4, 0.4]
        seen[near] = opening
        both = openings(mean, with_lids(mean, *seen), yaw)
        assert both[near] == pytest.approx(both[1 - near], abs=0.02)
        assert abs(both[near] - opening) < 0.12


def test_the_side_that_is_shown_is_the_one_nearer_the_camera(mean):
    for yaw in (-25, 25):
        rotation = rotation_from_euler(0, yaw, 0)[0].astype(np.float64)
        depth = [(mean @ rotation)[eye.outer, 2] for eye in EYES]
        assert (fit.side_shown(rotation) > 0) == (depth[0] < depth[1])
    assert abs(fit.side_shown(np.eye(3))) < 0.02


@pytest.mark.parametrize("way", [-1, 1])
def test_an_iris_stays_in_an_eye_that_looks_aside_already(mean, way):
    """Turned heads that look into the camera: another way to the same side would leave the white alone."""
    source, driver = mean.copy(), mean.copy()
    for eye in EYES:
        width = np.linalg.norm(mean[eye.outer, :2] - mean[eye.inner, :2])
        source[eye.iris : eye.iris + 5, 0] += way * 0.25 * width
        driver[eye.iris : eye.iris + 5, 0] += way * 0.3 * width
    out = fit.fit_expression(source, driver, mean)
    for eye in EYES:
        assert way * fit.gaze_offset(out, eye)[0] < fit.GAZE_ROOM + 0.03
        assert way * (fit.gaze_offset(out, eye) - fit.gaze_offset(source, eye))[0] > 0.03


def test_a_slightly_narrowed_eye_is_no_brighter_than_the_warped_photo(stage, monkeypatch):
    """A rebuilt white next to the lids made it look as open as before; lashes make it darker."""
    source = face_model().mean.astype(np.float64) + stage.portrait.motion.delta[0]
    shape = source.copy()
    for eye in EYES:
        fit.set_opening(shape, source, eye, 0.9)
    delta = (shape - source).astype(np.float32)[None]
    drawn = stage.draw(delta=delta).astype(float)
    monkeypatch.setattr(eyes, "draw_eye", lambda *_: None)
    carried = stage.draw(delta=delta).astype(float)
    points = ((stage.keypoints(delta=delta)[0, :, :2] + 1) * len(drawn) / 2 - 0.5).round().astype(int)
    for eye in EYES:
        inside = cv2.fillPoly(np.zeros(drawn.shape[:2], np.uint8), [points[list(eye.ring)]], 1) > 0
        assert (drawn - carried)[inside].mean() < -2


def test_lashes_keep_their_thickness_on_a_moving_lid(mean):
    """The skin next to the lid moves with it; if it lagged behind, a narrowed eye had a broad dark band for a lid."""
    for opening in (0.75, 1.25):
        shape = with_lids(mean, opening, opening)
        for eye in EYES:
            lid, ring = np.array(eye.upper[3:6]), np.array(eye.upper_rings[2:5])
            moved = (shape - mean)[lid, 1].mean()
            assert (shape - mean)[ring, 1].mean() == pytest.approx(moved, rel=0.2)


@pytest.mark.parametrize("opening", [0.8, 1.25])
def test_an_eye_that_looks_aside_keeps_its_dark_lashes(stage, opening):
    """The rebuilt eyeball used to reach the lid, so that a widened eye had a white ring and no lashes."""
    source = face_model().mean.astype(np.float64) + stage.portrait.motion.delta[0]
    dark = stage.portrait.crop.copy()
    points = stage.face.points.astype(np.float64)
    for eye in EYES:
        width = np.linalg.norm(points[eye.outer, :2] - points[eye.inner, :2])
        line = points[list(eye.upper), :2] + [0, 0.02 * width]
        cv2.polylines(dark, [line.round().astype(np.int32)], False, (20, 15, 15), max(2, round(0.08 * width)))
    shape = source.copy()
    for eye in EYES:
        fit.set_opening(shape, source, eye, opening)
        shape[eye.iris : eye.iris + 5, 0] += 0.04
    keypoints = stage.keypoints(delta=(shape - source).astype(np.float32)[None])
    portrait = stage.engine.encode(dark, stage.face)
    drawn = stage.engine.render(portrait, keypoints)[0].astype(float)
    new = (keypoints[0, :, :2] + 1) * len(drawn) / 2 - 0.5
    for eye in EYES:
        x, y = new[list(eye.upper[3:6])].mean(0).round().astype(int)
        assert drawn[y : y + 2, x].mean() < 90


def test_eyes_without_an_iris_have_no_gaze(stage):
    """Statues and sleepers: what was taken for an iris moved across the lid as a dark blot."""
    stone = stage.portrait.crop.copy()
    points = stage.face.points.astype(np.float64)
    for eye in EYES:
        cv2.fillPoly(stone, [points[list(eye.ring), :2].round().astype(np.int32)], (190, 170, 150))
    portrait = stage.engine.encode(stone, stage.face)
    assert all(layer.blank for layer in portrait.features.eyes)
    assert not any(layer.blank for layer in stage.portrait.features.eyes)
    aside = np.zeros((1, 478, 3), np.float32)
    for eye in EYES:
        aside[0, eye.iris : eye.iris + 5, 0] = 0.05
    ahead, looking = (stage.engine.render(portrait, stage.keypoints(delta=d)) for d in (0 * aside, aside))
    np.testing.assert_array_equal(ahead, looking)


def test_the_rim_of_a_bright_iris_is_not_taken_for_white(stage):
    """A large blue iris left a blue ring where it had been."""
    blue = stage.portrait.crop.copy()
    points = stage.face.points.astype(np.float64)
    for eye in EYES:
        middle = points[eye.iris, :2]
        width = np.linalg.norm(points[eye.outer, :2] - points[eye.inner, :2])
        cv2.fillPoly(blue, [points[list(eye.ring), :2].round().astype(np.int32)], (225, 220, 215))
        cv2.circle(blue, tuple(middle.round().astype(int).tolist()), round(0.33 * width), (110, 180, 250), -1)
        cv2.circle(blue, tuple(middle.round().astype(int).tolist()), round(0.18 * width), (30, 60, 90), -1)
    for layer in eyes.prepare_eyes(blue, points):
        inside = layer.ball[layer.size * 2 // 5 : layer.size * 3 // 5, layer.size // 3 : layer.size * 2 // 3]
        assert (inside[..., 2] - inside[..., 0]).max() < 80


def test_the_eyeball_is_the_photo_where_its_white_is_seen(stage):
    for layer in eyes.prepare_eyes(stage.portrait.crop, stage.face.points.astype(np.float64)):
        patch = eyes.eye_patch(stage.portrait.crop, layer.corners.mean(0), layer.zoom, layer.size)
        seen = layer.own > 0.99
        assert seen.sum() > 8
        assert np.abs(layer.ball[seen] - patch[seen]).max() < 1.5


def test_no_white_is_much_darker_than_the_skin(stage):
    dark = stage.portrait.crop.copy()
    points = stage.face.points.astype(np.float64)
    for eye in (EYE_LEFT, EYE_RIGHT):  # narrow eyes in small photos: lashes and shade is all that is seen
        cv2.fillPoly(dark, [points[list(eye.ring), :2].astype(np.int32)], (130, 105, 100))
    for layer in eyes.prepare_eyes(dark, points):
        skin = np.median(dark[points[list(layer.eye.lower_rings[9:]), 1].astype(int),
                              points[list(layer.eye.lower_rings[9:]), 0].astype(int)], 0)  # fmt: skip
        middle = layer.ball[layer.size // 2, layer.size // 2]
        assert middle.sum() > 0.55 * skin.sum()


def test_a_shut_lid_has_the_grain_of_the_skin_below(stage):
    """Cracks of a painting and pores of a photo end nowhere."""
    rng = np.random.default_rng(1)
    rough = np.clip(stage.portrait.crop + rng.normal(0, 12, stage.portrait.crop.shape), 0, 255).astype(np.uint8)

    def grain(layer: eyes.EyeLayer) -> float:
        low, high = int(0.3 * layer.size), int(0.7 * layer.size)
        part = layer.lid[low : layer.size // 2, low:high]
        return float((part - cv2.GaussianBlur(part, (0, 0), 2)).std())

    points = stage.face.points.astype(np.float64)
    for plain, made in zip(
        eyes.prepare_eyes(stage.portrait.crop, points), eyes.prepare_eyes(rough, points), strict=True
    ):
        assert grain(made) > grain(plain) + 3
