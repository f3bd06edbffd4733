"""Lids, gaze and lips: what the picture shows after a request, and the rules of fitting a driver to a source."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh import fit, flesh
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.geometry import eye_opening, lip_gap
from liveportrait.expression import POSE_SLIDERS, SLIDERS
from models.topology import EYE_LEFT, EYE_RIGHT, EYES, LIP_LOWER_INNER, LIP_UPPER_INNER


@pytest.fixture
def mean() -> np.ndarray:
    return face_model().mean.astype(np.float64)


def offsets(stage, change) -> np.ndarray:
    """Picture with crop-unit offsets added to the source's keypoints."""
    return stage.engine.render(stage.portrait, stage.portrait.keypoints + change)[0]


def test_eyes_close_in_the_picture(stage):
    before = stage.look(stage.portrait.crop).eye_ratios
    shut = stage.engine.retarget_eyes(stage.portrait, np.zeros((1, 2), np.float32))
    assert (stage.look(offsets(stage, shut)).eye_ratios < 0.4 * before).all()


@pytest.mark.parametrize("side", [0, 1])
def test_one_eye_winks_and_the_other_stays(stage, side):
    before = stage.look(stage.portrait.crop).eye_ratios
    ratios = stage.portrait.motion.eye_ratio.copy()
    ratios[0, side] = 0
    after = stage.look(offsets(stage, stage.engine.retarget_eyes(stage.portrait, ratios))).eye_ratios
    assert after[side] < 0.6 * before[side]
    assert after[1 - side] > 0.7 * before[1 - side]


def test_unknown_eye_ratio_leaves_the_eye_alone(stage):
    change = stage.engine.retarget_eyes(stage.portrait, np.full((1, 2), np.nan, np.float32))
    assert not change.any()


@pytest.mark.parametrize("wanted", [0.25, 0.6])
def test_lips_open_to_the_ratio_asked(stage, wanted):
    change = stage.engine.retarget_lips(stage.portrait, np.array([[wanted]], np.float32))
    seen = float(stage.look(offsets(stage, change)).lip_ratio)
    assert abs(seen - wanted) < 0.25 * wanted + 0.05


def test_lips_close(stage):
    before = float(stage.look(stage.portrait.crop).lip_ratio)
    change = stage.engine.retarget_lips(stage.portrait, np.zeros((1, 1), np.float32))
    assert float(stage.look(offsets(stage, change)).lip_ratio) < max(0.35 * before, 0.02)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_both_irises_follow_the_gaze(stage, direction):
    change = stage.engine.slider_delta(stage.portrait, {"gaze_x": direction})
    before = stage.look(stage.portrait.crop).gaze
    after = stage.look(stage.draw(delta=change)).gaze
    assert ((after - before)[:, 0] * direction > 0.08).all()


def test_lids_follow_the_gaze_up_and_down(stage):
    """Without that a lowered gaze stares."""
    source = face_model().mean + stage.portrait.motion.delta[0]
    for look, least, most in ((-1.0, 0.6, 0.8), (1.0, 1.02, 1.2)):
        change = stage.engine.slider_delta(stage.portrait, {"gaze_y": look})[0]
        for eye in EYES:
            assert least < eye_opening(source + change, eye) / eye_opening(source, eye) < most
    one = stage.engine.slider_delta(stage.portrait, {"gaze_left_y": -1.0})[0]
    assert eye_opening(source + one, EYE_RIGHT) == pytest.approx(eye_opening(source, EYE_RIGHT))
    assert eye_opening(source + one, EYE_LEFT) < 0.8 * eye_opening(source, EYE_LEFT)


def looking(mean: np.ndarray, *looks: float) -> np.ndarray:
    """A canonical shape whose left and right iris lie so many eye widths to the right."""
    out = mean.copy()
    for eye, look in zip(EYES, looks, strict=True):
        out[eye.iris : eye.iris + 5, 0] += look * np.linalg.norm(mean[eye.outer, :2] - mean[eye.inner, :2])
    return out


def moves(shape: np.ndarray, mean: np.ndarray) -> list[float]:
    """Way of the left and right iris to the right, in eye widths."""
    return [
        float((shape[eye.iris, 0] - mean[eye.iris, 0]) / np.linalg.norm(mean[eye.outer, :2] - mean[eye.inner, :2]))
        for eye in EYES
    ]


def test_both_eyes_look_the_same_way(mean):
    """Landmarks of one eye lag behind: the result squints half as much as they do; and no iris leaves its eye."""
    left, right = moves(fit.fit_expression(mean, looking(mean, 0.16, 0.08), mean), mean)
    assert left > right > 0.09
    assert left - right < 0.75 * 0.08 * fit.GAZE_GAIN[0]
    far = moves(fit.fit_expression(mean, looking(mean, 0.6, 0.6), mean), mean)
    assert max(far) <= 1.01 * fit.GAZE_REACH[0]
    shut = looking(mean, 0.16, 0.16)
    for eye in EYES:
        shut[list(eye.upper[1:-1]), :2] = shut[list(eye.lower[1:-1]), :2]
    assert moves(fit.fit_expression(mean, shut, mean), mean) == [0.0, 0.0]  # what is seen of a shut eye is a guess


def laughing(mean: np.ndarray, amount: float = 1.0) -> np.ndarray:
    """A canonical shape with a broad smile that shows teeth."""
    bases = face_model().bases
    return mean + amount * (0.04 * bases["open"] + 0.05 * bases["wide"] + 0.03 * bases["smile"])


def closed(mean: np.ndarray) -> np.ndarray:
    """A canonical shape with its mouth at rest."""
    bases = face_model().bases
    out = mean + sum(amount * bases[name] for name, amount in fit.RESTING.items())
    fit.set_lip_gap(out, np.zeros(9))
    return out


def test_closed_lips_are_left_to_relative_motion(mean):
    assert fit.mouth_openness(closed(mean)) == 0
    assert fit.mouth_openness(laughing(mean)) == 1
    assert np.array_equal(fit.resting_mouth(closed(mean)), closed(mean))


def test_a_laughing_photo_closes_its_mouth_with_the_driver(mean):
    source, rest = laughing(mean), closed(mean)
    out = fit.fit_expression(source, rest, rest, replaced=1)
    assert lip_gap(out) < 0.002
    assert fit.mouth_width(out) < 0.9 * fit.mouth_width(source)
    for eye in EYES:  # only the mouth gives way
        assert eye_opening(out, eye) == pytest.approx(eye_opening(source, eye), rel=0.02)
    assert np.array_equal(fit.fit_expression(source, rest, rest), source)


@pytest.mark.parametrize("times", [1.0, 3.0, -2.0])
def test_multiplied_motion_stays_human(mean, times):
    rest = closed(mean)
    far = rest + times * (laughing(mean, 3.0) - rest)
    for eye in EYES:
        far[list(eye.upper[1:-1]), 1] -= 0.05 * times
    far = looking(far, 0.3 * times, 0.3 * times)
    out = fit.within_limits(far, rest)
    assert (out[list(LIP_LOWER_INNER[1:-1]), 1] - out[list(LIP_UPPER_INNER[1:-1]), 1]).min() >= -1e-9
    assert lip_gap(out) <= fit.WIDEST_MOUTH + 0.05
    for eye, move in zip(EYES, moves(out, rest), strict=True):
        gaps = out[list(eye.lower[1:-1]), 1] - out[list(eye.upper[1:-1]), 1]
        own = rest[list(eye.lower[1:-1]), 1] - rest[list(eye.upper[1:-1]), 1]
        assert -1e-9 <= gaps.mean() <= fit.WIDEST_EYES * own.mean() + 1e-9
        assert abs(move) <= fit.GAZE_REACH[0] + 1e-6
    assert np.array_equal(fit.within_limits(rest, rest), rest)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0])
def test_no_opening_that_is_asked_for_makes_monster_eyes(stage, ratio):
    change = stage.engine.retarget_eyes(stage.portrait, np.full((1, 2), ratio, np.float32))[0]
    own = face_model().mean + stage.portrait.motion.delta[0]
    back = change @ stage.portrait.motion.rotation[0].T / stage.portrait.motion.scale[0, 0]
    for eye in EYES:
        assert eye_opening(own + back, eye) <= 1.01 * fit.WIDEST_EYES * eye_opening(own, eye)


def test_opening_the_lips_leaves_eyes_and_brows(stage):
    source = face_model().mean + stage.portrait.motion.delta[0]
    change = stage.engine.slider_delta(stage.portrait, {"lip_open": 1.0})[0]
    asked = stage.engine.retarget_lips(stage.portrait, np.array([[1.0]], np.float32))[0]
    for eye in EYES:
        assert eye_opening(source + change, eye) == pytest.approx(eye_opening(source, eye), rel=1e-3)
        assert np.abs(asked[list(eye.ring)]).max() < 1e-6


def test_a_smile_smiles_on_a_mouth_at_rest(mean, stage):
    """Corners go up and apart, and the eyes narrow."""
    source = face_model().mean + stage.portrait.motion.delta[0]
    out = source + stage.engine.slider_delta(stage.portrait, {"smile": 1.0})[0]
    corners = [61, 291]
    assert (out - source)[corners, 1].mean() < -0.04
    assert fit.mouth_width(out) > 1.1 * fit.mouth_width(source)
    for eye in EYES:
        assert 0.8 < eye_opening(out, eye) / eye_opening(source, eye) < 0.97


def test_two_smiles_do_not_add_up(mean):
    """The driver's laugh on a laughing photo is one laugh, on a photo with closed lips the same."""
    source, rest = laughing(mean), closed(mean)
    out = fit.fit_expression(source, laughing(mean), rest, replaced=1)
    assert lip_gap(out) == pytest.approx(lip_gap(source), rel=0.25)
    assert fit.mouth_width(out) == pytest.approx(fit.mouth_width(source), rel=0.06)
    added = fit.fit_expression(source, laughing(mean), rest)
    assert lip_gap(added) > 1.6 * lip_gap(source)


def test_a_driver_who_laughs_in_the_neutral_frame_laughs_on(mean):
    driver = laughing(mean)
    out = fit.fit_expression(driver, driver, driver, replaced=1)
    assert np.abs(out - driver).max() < 1e-9
    kept = fit.fit_expression(laughing(mean, 1.4), driver, driver, replaced=1)
    assert lip_gap(kept) == pytest.approx(lip_gap(driver), rel=0.3)


def test_driver_at_rest_leaves_the_source(mean):
    source = mean * [1.05, 0.97, 1]
    assert np.allclose(fit.fit_expression(source, mean.copy(), mean.copy()), source, atol=1e-9)


def test_blink_transfers_by_share_of_opening(mean):
    driver = mean.copy()
    for eye in EYES:
        fit.set_opening(driver, mean, eye, 0.0)
    source = mean.copy()
    for eye in EYES:  # a source with eyes half as open
        fit.set_opening(source, mean, eye, 0.5)
    shut = fit.fit_expression(source, driver, mean.copy())
    for eye in EYES:
        assert eye_opening(shut, eye) < 0.12 * eye_opening(source, eye)


def test_lids_of_both_sides_mirror(mean):
    left, right = mean.copy(), mean.copy()
    fit.set_opening(left, mean, EYE_LEFT, 0.3)
    fit.set_opening(right, mean, EYE_RIGHT, 0.3)
    assert np.isclose(np.abs(left - mean).sum(), np.abs(right - mean).sum(), rtol=0.1)


def test_wide_eyes_are_limited(mean):
    driver = mean.copy()
    for eye in EYES:
        fit.set_opening(driver, mean, eye, 2.5)
    for eye in EYES:
        assert fit.driver_opening(eye, driver, mean, 0.2) <= fit.WIDEST


def test_lips_never_cross(mean):
    driver = mean.copy()
    driver[list(LIP_LOWER_INNER[1:-1]), 1] -= 0.1
    fitted = fit.fit_expression(mean, driver, mean.copy())
    gap = fitted[list(LIP_LOWER_INNER[1:-1]), 1] - fitted[list(LIP_UPPER_INNER[1:-1]), 1]
    assert gap.min() > -1e-9


def test_mouth_motion_scales_with_the_mouth(mean):
    driver = mean.copy()
    driver[list(LIP_LOWER_INNER[1:-1]), 1] += 0.05
    small = mean.copy()
    lips = face_model().mouth_weight > 0.9
    small[lips, 0] *= 0.8
    wide_gap = lip_gap(fit.fit_expression(mean, driver, mean.copy())) - lip_gap(mean)
    small_gap = lip_gap(fit.fit_expression(small, driver, mean.copy())) - lip_gap(small)
    assert small_gap < 0.95 * wide_gap


def test_unknown_slider_is_named(stage):
    with pytest.raises(ValueError, match="no slider named wiggle"):
        stage.engine.slider_delta(stage.portrait, {"wiggle": 1.0})


def test_every_declared_slider_is_known_and_moves_something(stage):
    for name, slider in SLIDERS.items():
        if name in POSE_SLIDERS:
            continue
        for end in (slider.minimum, slider.maximum):
            change = stage.engine.slider_delta(stage.portrait, {name: end})
            assert change.shape == (1, 478, 3)
            assert np.isfinite(change).all()
            assert np.abs(change).max() > 1e-3 or end == slider.default, name


def test_mirrored_sliders_give_mirrored_offsets(stage):
    """A wink of one side is the mirror image of a wink of the other."""
    a = np.abs(stage.engine.slider_delta(stage.portrait, {"wink_left": 1.0})).sum()
    b = np.abs(stage.engine.slider_delta(stage.portrait, {"wink_right": 1.0})).sum()
    assert np.isclose(a, b, rtol=0.35)


@pytest.mark.parametrize(("slider", "sign"), [("lip_open", 1), ("wide", 0)])
def test_mouth_sliders_show(stage, slider, sign):
    before, after = (
        stage.look(stage.portrait.crop),
        stage.look(stage.draw(delta=stage.engine.slider_delta(stage.portrait, {slider: 1.0}))),
    )
    if sign:
        assert float(after.lip_ratio) > float(before.lip_ratio) + 0.1
    else:
        width = lambda f: np.linalg.norm(f.points[61, :2] - f.points[291, :2])  # noqa: E731
        assert width(after) > 1.05 * width(before)


def test_a_closed_smile_is_not_smiled_twice(mean):
    """A photo that smiles with closed lips keeps its smile at rest, and smiles as broadly as another under a laugh."""
    bases, rest = face_model().bases, closed(mean)
    smile = sum(full * bases[name] for name, full in fit.FULL_SMILE.items())
    broad = fit.fit_expression(rest + smile, rest + smile, rest)
    usual = fit.fit_expression(rest, rest + smile, rest)
    added = fit.mouth_width(rest + 2 * smile) - fit.mouth_width(usual)
    assert fit.mouth_width(broad) - fit.mouth_width(usual) < 0.4 * added
    assert np.array_equal(fit.fit_expression(rest + smile, rest, rest), rest + smile)


def full_lips(mean: np.ndarray) -> np.ndarray:
    """A face whose lips are twice as thick."""
    out = closed(mean)
    flesh.fill_lips(out, out.copy(), 1.0)
    return out


def test_thin_lips_stay_lips_and_the_chin_stays_below_them(mean):
    """A driver with full lips opens his mouth wide: what he loses in thickness is more than a thin lip has."""
    source, rest = closed(mean), full_lips(mean)
    driver = rest + 0.3 * face_model().bases["open"]
    flesh.fill_lips(driver, rest, -0.4)
    out = fit.fit_expression(source, driver, rest)
    for now, before in zip(*map(flesh.thickness, (out, source)), strict=True):
        assert now[4] > 0.45 * before[4]
    assert out[152, 1] - out[17, 1] > 0.7 * (source[152, 1] - source[17, 1])
    assert lip_gap(out) == pytest.approx(lip_gap(driver), rel=0.25)  # it opens as far all the same


def test_a_raised_lip_does_not_lie_on_the_nose(mean):
    source = closed(mean)
    up = source + 0.2 * face_model().bases["smile"] + 0.2 * face_model().bases["open"]
    up[13, 1] = up[2, 1]
    shape = up.copy()
    flesh.keep_flesh(shape, source)
    assert shape[13, 1] - shape[2, 1] == pytest.approx(flesh.LEAST_NOSE * (source[13, 1] - source[2, 1]), abs=1e-6)
    same = source.copy()
    flesh.keep_flesh(same, source, (1.0, 1.0))
    assert np.array_equal(same, source)


def test_a_pout_makes_the_lips_narrow_and_full(stage):
    source = face_model().mean + stage.portrait.motion.delta[0]
    out = source + stage.engine.slider_delta(stage.portrait, {"pout": 1.0})[0]
    assert fit.mouth_width(out) < 0.92 * fit.mouth_width(source)
    assert all(b[4] > 1.2 * a[4] for a, b in zip(flesh.thickness(source), flesh.thickness(out), strict=True))


@pytest.mark.parametrize(("sliders", "left", "right"), [
    ({"blink": -0.5, "wink_left": 0.5}, 1.0, 1.35), ({"blink": 0.5, "wink_left": 0.5}, 0.0, 0.5),
    ({"blink": 0.8, "wink_left": 0.8}, 0.0, 0.2),
])  # fmt: skip
def test_a_wink_adds_to_a_blink(stage, sliders, left, right):
    """Trackers give each lid: what they share is a blink, the rest a wink, and an eye may be wide."""
    own = face_model().mean + stage.portrait.motion.delta[0]
    shape = own + stage.engine.slider_delta(stage.portrait, sliders)[0]
    shares = [eye_opening(shape, eye) / eye_opening(own, eye) for eye in EYES]
    assert shares == pytest.approx([left, right], abs=0.08)
