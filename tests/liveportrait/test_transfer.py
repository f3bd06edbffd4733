"""Our own transfer rules (docs/differences.md); the official ones are in test_official.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import ALL, EYES, LIP, IdentityEngine, still_motion

from liveportrait.engines.base import Portrait
from liveportrait.engines.liveportrait21 import region_masks
from liveportrait.expression import Expression, official_delta
from liveportrait.motion import Motion, euler_from_rotation, keypoints, rotation_from_euler
from liveportrait.options import AnimationOptions
from liveportrait.transfer import combine, new_motion, steady_eye_target, transfer

PLAIN = AnimationOptions(stitching=False, normalize_lip=False)


def _portrait(**changes) -> Portrait:
    motion = still_motion(1, **changes)
    canonical = np.random.default_rng(0).normal(0, 0.3, (21, 3)).astype(np.float32)
    return Portrait(motion, canonical, keypoints(canonical, motion), np.zeros((8, 8, 3), np.uint8))


def _wild(n=6, seed=0) -> Motion:
    rng = np.random.default_rng(seed)
    return still_motion(
        n,
        rotation=rotation_from_euler(*rng.normal(0, 12, (3, n))),
        translation=rng.normal(0, 0.1, (n, 3)),
        scale=rng.uniform(0.9, 1.2, (n, 1)),
        delta=rng.normal(0, 0.02, (n, 21, 3)),
        eye_ratio=rng.uniform(0, 0.4, (n, 2)),
        lip_ratio=rng.uniform(0, 0.4, (n, 1)),
    )


@pytest.fixture
def portrait() -> Portrait:
    return _portrait(
        rotation=rotation_from_euler(4, -8, 3), translation=[[0.05, -0.1, 0]], scale=[[1.4]],
        delta=np.random.default_rng(9).normal(0, 0.02, (1, 21, 3)), eye_ratio=[[0.35, 0.3]], lip_ratio=[[0.1]],
    )  # fmt: skip


@pytest.mark.parametrize("region", ["all", "exp", "pose", "lip", "eyes"])
def test_reference_frame_gives_the_source_itself(engine, portrait, region):
    driving = _wild()
    x = transfer(engine, portrait, driving[2], driving[2], replace(PLAIN, region=region))
    np.testing.assert_allclose(x, portrait.keypoints, atol=1e-6)


def test_same_motion_in_chunks_or_at_once(engine, portrait):
    driving = _wild()
    whole = transfer(engine, portrait, driving, driving[0], PLAIN)
    pieces = [transfer(engine, portrait, driving[i], driving[0], PLAIN) for i in range(len(driving))]
    np.testing.assert_allclose(whole, np.concatenate(pieces), atol=1e-6)


@pytest.mark.parametrize("relative", [True, False])
def test_regions_move_only_their_own_values(engine, portrait, relative):
    driving = _wild()
    masks = {"exp": ALL, "lip": LIP, "eyes": EYES, "pose": ~ALL}
    if not relative:
        masks["exp"] = IdentityEngine.regions["official"]
    for region, mask in masks.items():
        moved = new_motion(engine, portrait, driving[1], driving[0], replace(PLAIN, region=region, relative=relative))
        changed = np.abs(moved.delta - portrait.motion.delta)[0] > 0
        assert (changed == mask).all(), region
        assert (np.abs(moved.rotation - portrait.motion.rotation).max() > 1e-3) == (region == "pose")
        assert (np.abs(moved.translation - portrait.motion.translation).max() > 1e-3) == (region == "pose")


def test_relative_pose_is_the_drivers_turn_on_top_of_the_sources(engine):
    portrait = _portrait(rotation=rotation_from_euler(0, 10, 0))
    driving = still_motion(2, rotation=rotation_from_euler(0, [5, 20], 0))
    moved = new_motion(engine, portrait, driving, driving[0], PLAIN)
    np.testing.assert_allclose(euler_from_rotation(moved.rotation)[:, 1], [10, 25], atol=1e-3)


def test_absolute_pose_is_the_drivers(engine, portrait):
    driving = still_motion(1, rotation=rotation_from_euler(3, 20, -5))
    moved = new_motion(engine, portrait, driving, driving, replace(PLAIN, relative=False))
    np.testing.assert_allclose(moved.rotation, driving.rotation, atol=1e-6)
    np.testing.assert_allclose(moved.scale, portrait.motion.scale)


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1.0), (0.5, np.sqrt(1.1)), (1.0, 1.1)])
def test_head_size_is_locked_unless_asked_for(engine, portrait, share, wanted):
    """A driver who leans toward the camera must not pump the head."""
    driving = still_motion(3, scale=[[1.0], [1.1], [1.05]])
    moved = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, scale_motion=share))
    assert moved.scale[1, 0] / portrait.motion.scale[0, 0] == pytest.approx(wanted, abs=1e-5)


def test_translation_is_measured_in_faces_where_the_family_says_so(portrait):
    class Scaled(IdentityEngine):
        scaled_translation = True

    driving = still_motion(2, translation=[[0, 0, 0], [0.2, 0, 0]], scale=[[0.7], [0.7]])
    moved = new_motion(Scaled(), portrait, driving, driving[0], PLAIN)
    assert moved.translation[1, 0] - portrait.motion.translation[0, 0] == pytest.approx(0.2 * 1.4 / 0.7)
    plain = new_motion(IdentityEngine(), portrait, driving, driving[0], PLAIN)
    assert plain.translation[1, 0] - portrait.motion.translation[0, 0] == pytest.approx(0.2)


def test_multiplier_scales_the_turn_without_stretching_the_head(engine, portrait):
    driving = still_motion(2, rotation=rotation_from_euler(0, [0, 20], 0))
    moved = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, multiplier=2.0))
    turn = moved.rotation[1] @ portrait.motion.rotation[0].T
    assert np.rad2deg(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(40, abs=0.05)
    assert np.linalg.det(moved.rotation[1]) == pytest.approx(1, abs=1e-5)
    none = transfer(engine, portrait, driving, driving[0], replace(PLAIN, multiplier=0.0))
    np.testing.assert_allclose(none, np.repeat(portrait.keypoints, 2, axis=0), atol=1e-6)


def test_gains_scale_their_region_only(engine, portrait):
    driving = _wild()
    plain = new_motion(engine, portrait, driving, driving[0], PLAIN).delta - portrait.motion.delta
    gained = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, eye_gain=2.0, lip_gain=0.5)).delta
    gained = gained - portrait.motion.delta
    np.testing.assert_allclose(gained[:, EYES], 2 * plain[:, EYES], atol=1e-6)
    np.testing.assert_allclose(gained[:, LIP], 0.5 * plain[:, LIP], atol=1e-6)
    rest = ~(EYES | LIP)
    np.testing.assert_allclose(gained[:, rest], plain[:, rest], atol=1e-6)


# ---------------------------------------------------------------------- retargeting


def _blink(n=30):
    """Eyes from 0.35 to 0 while the head turns and the lips move."""
    shut = np.linspace(0.35, 0.0, n)
    rng = np.random.default_rng(5)
    delta = rng.normal(0, 0.02, (1, 21, 3)) * np.linspace(0, 1, n)[:, None, None]
    return still_motion(
        n, rotation=rotation_from_euler(0, np.linspace(0, 15, n), 0), delta=delta,
        eye_ratio=np.stack([shut, shut], axis=1), lip_ratio=np.linspace(0, 0.3, n)[:, None],
    )  # fmt: skip


@pytest.mark.parametrize(("eyes", "lips"), [(True, False), (False, True), (True, True)])
def test_retargeting_keeps_all_other_motion(engine, portrait, eyes, lips):
    """The release throws the driving motion away; here it only replaces what it steers."""
    driving = _blink()
    options = replace(PLAIN, eye_retargeting=eyes, lip_retargeting=lips)
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    x = transfer(engine, portrait, driving, driving[0], options)
    steered = (EYES if eyes else ~ALL) | (LIP if lips else ~ALL)
    np.testing.assert_allclose(x[:, ~steered], plain[:, ~steered], atol=1e-6)
    assert np.abs(x[-1] - portrait.keypoints[0])[~steered].max() > 0.02
    assert len(engine.eye_targets) == int(eyes)
    assert len(engine.lip_targets) == int(lips)


def test_eye_retargeting_reaches_the_drivers_opening_on_each_side(engine, portrait):
    driving = still_motion(2, eye_ratio=[[0.3, 0.3], [0.0, 0.25]])
    transfer(engine, portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True))
    np.testing.assert_allclose(engine.eye_targets[0], [[0.3, 0.3], [0.0, 0.25]], atol=1e-6)


def test_eye_gain_and_multiplier_change_the_target(engine, portrait):
    driving = still_motion(2, eye_ratio=[[0.3, 0.3], [0.2, 0.2]])
    transfer(engine, portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True, eye_gain=2.0))
    np.testing.assert_allclose(engine.eye_targets[-1][1], [0.1, 0.1], atol=1e-6)
    transfer(engine, portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True, multiplier=0.0))
    np.testing.assert_allclose(engine.eye_targets[-1][1], [0.35, 0.3], atol=1e-6)


def test_frames_with_unknown_ratios_keep_the_drivers_own_motion(engine, portrait):
    driving = _blink(3)
    driving.eye_ratio[1] = np.nan
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    x = transfer(engine, portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True))
    np.testing.assert_allclose(x[1], plain[1], atol=1e-6)
    assert np.abs(x[2] - plain[2]).max() > 1e-3


def test_retargeting_without_ratios_changes_nothing(engine):
    unknown = _portrait(eye_ratio=[[np.nan, np.nan]], lip_ratio=[[np.nan]])
    driving = _blink(4)
    both = replace(PLAIN, eye_retargeting=True, lip_retargeting=True, normalize_lip=True)
    np.testing.assert_array_equal(
        transfer(engine, unknown, driving, driving[0], both), transfer(engine, unknown, driving, driving[0], PLAIN)
    )


def test_engine_may_name_the_values_that_open_lids(portrait):
    lids = np.zeros((21, 3), bool)
    lids[[11, 15], 1] = True

    class Precise(IdentityEngine):
        regions = {**IdentityEngine.regions, "lids": lids}  # noqa: RUF012

    driving = _blink(2)
    plain = transfer(Precise(), portrait, driving, driving[0], PLAIN)
    x = transfer(Precise(), portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True))
    np.testing.assert_allclose(x[:, ~lids], plain[:, ~lids], atol=1e-6)


def test_retargeting_of_the_learned_keypoints_keeps_gaze_and_smile():
    masks = region_masks()
    assert (masks["lids"] <= masks["eyes"]).all()
    assert not masks["lids"][:, 0].any()
    assert (masks["lip_opening"] <= masks["lip"]).all()
    wink = np.abs(official_delta({"wink": 39.0})[0]) * masks["eyes"]
    assert masks["lids"][wink > 0].all()
    assert not masks["lids"][np.abs(official_delta({"gaze_x": 30.0})[0]) > 0].any()
    lip = np.abs(official_delta({"lip_open": 120.0})[0])
    assert masks["lip_opening"][lip > 0].all()
    assert not masks["lip_opening"][np.abs(official_delta({"pout": 0.09})[0]) > 0].any()


def test_offsets_turn_with_the_head_where_expression_is_fixed_to_it():
    class Head(IdentityEngine):
        delta_space = "head"

    portrait = _portrait(eye_ratio=[[0.3, 0.3]])
    driving = still_motion(2, rotation=rotation_from_euler(0, 0, [0, 90]), eye_ratio=[[0.3, 0.3], [0.0, 0.3]])
    engine = Head()
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    x = transfer(engine, portrait, driving, driving[0], replace(PLAIN, eye_retargeting=True))
    np.testing.assert_allclose((x - plain)[1, 11], [-0.3, 0, 0], atol=1e-6)


# ---------------------------------------------------------------------- normalisation and clips


def test_open_lips_of_the_source_are_closed_first(engine, portrait):
    driving = _wild()
    x = transfer(engine, portrait, driving, driving[0], replace(PLAIN, normalize_lip=True))
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    np.testing.assert_allclose(engine.lip_targets, np.zeros((1, 1, 1)))
    np.testing.assert_allclose((x - plain)[:, 19, 1], -0.1, atol=1e-6)


@pytest.mark.parametrize("region", ["eyes", "pose"])
def test_lips_stay_where_only_other_regions_are_driven(engine, portrait, region):
    driving = _wild()
    transfer(engine, portrait, driving, driving[0], replace(PLAIN, normalize_lip=True, region=region))
    assert engine.lip_targets == []


def test_lips_below_the_threshold_are_left_alone(engine):
    driving = _wild()
    transfer(engine, _portrait(lip_ratio=[[0.029]]), driving, driving[0], replace(PLAIN, normalize_lip=True))
    assert engine.lip_targets == []
    transfer(engine, _portrait(lip_ratio=[[0.031]]), driving, driving[0], replace(PLAIN, normalize_lip=True))
    assert len(engine.lip_targets) == 1


def test_source_clip_takes_every_frame_from_its_own_portrait(engine):
    portraits = [_portrait(translation=[[0.1 * i, 0, 0]]) for i in range(3)]
    driving = _wild(3)
    x = transfer(engine, portraits, driving, driving[0], replace(PLAIN, region="lip"))
    for i, one in enumerate(portraits):
        np.testing.assert_allclose(x[i, 0], one.keypoints[0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="3 frames"):
        transfer(engine, portraits, _wild(4), driving[0], PLAIN)


def test_source_clip_keeps_values_that_carry_pose(engine):
    portraits = [_portrait()] * 2
    driving = _wild(2)
    x = transfer(engine, portraits, driving, driving[0], replace(PLAIN, region="exp"))
    np.testing.assert_allclose(x[:, [0, 7, 10]], np.repeat(portraits[0].keypoints[:, [0, 7, 10]], 2, 0), atol=1e-6)


def test_eyes_of_a_source_clip_are_held_at_those_of_its_first_frame(engine):
    assert steady_eye_target(still_motion(1, eye_ratio=[[0.3, 0.2]])) == pytest.approx(0.25)
    assert steady_eye_target(still_motion(1, eye_ratio=[[0.1, 0.1]])) == pytest.approx(0.39)
    assert steady_eye_target(still_motion(1, eye_ratio=[[np.nan, 0.1]])) is None
    driving = _wild(2)
    options = replace(PLAIN, source_eye_normalize=True)
    transfer(engine, [_portrait()] * 2, driving, driving[0], options, eye_target=0.25)
    np.testing.assert_allclose(engine.eye_targets, np.full((2, 1, 2), 0.25))
    transfer(engine, _portrait(), driving, driving[0], options)  # a picture has no other frames to hold
    assert len(engine.eye_targets) == 2


def test_offsets_are_added_to_the_expression(engine, portrait):
    offsets = np.zeros((1, 21, 3), np.float32)
    offsets[0, 4, 1] = 0.1
    driving = _wild(2)
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    x = transfer(engine, portrait, driving, driving[0], PLAIN, offsets=offsets)
    np.testing.assert_allclose((x - plain)[:, 4, 1], 0.14, atol=1e-6)


def test_sliders_come_on_top_of_the_driver(portrait):
    class Smiling(IdentityEngine):
        def slider_delta(self, portrait, sliders):
            assert dict(sliders) == {"smile": 0.5}
            delta = np.zeros((1, 21, 3), np.float32)
            delta[0, 20, 1] = -0.1
            return delta

    driving = _wild(3)
    engine = Smiling()
    plain = transfer(engine, portrait, driving, driving[0], PLAIN)
    x = transfer(engine, portrait, driving, driving[0], PLAIN, expression=Expression({"smile": 0.5, "move_x": 0.1}))
    np.testing.assert_allclose((x - plain)[:, 20], np.tile([0.1, -0.14, 0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose((x - plain)[:, 0], np.tile([0.1, 0, 0], (3, 1)), atol=1e-6)


def test_motion_of_another_family_is_refused_in_words(engine, portrait):
    other = replace(still_motion(1, k=478), engine="mesh478")
    with pytest.raises(ValueError, match=r"478 keypoints of the family 'mesh478'.*identity engine works with 21"):
        transfer(engine, portrait, other, other, PLAIN)


# ---------------------------------------------------------------------- several drivers


def test_every_part_comes_from_its_own_driver():
    drivers = {name: _wild(4, seed) for seed, name in enumerate(("pose", "exp", "lip", "eyes"))}
    both = combine(drivers, IdentityEngine.regions)
    np.testing.assert_array_equal(both.rotation, drivers["pose"].rotation)
    np.testing.assert_array_equal(both.translation, drivers["pose"].translation)
    np.testing.assert_array_equal(both.delta[:, LIP], drivers["lip"].delta[:, LIP])
    np.testing.assert_array_equal(both.delta[:, EYES], drivers["eyes"].delta[:, EYES])
    np.testing.assert_array_equal(both.delta[:, ~(LIP | EYES)], drivers["exp"].delta[:, ~(LIP | EYES)])
    np.testing.assert_array_equal(both.eye_ratio, drivers["eyes"].eye_ratio)
    np.testing.assert_array_equal(both.lip_ratio, drivers["lip"].lip_ratio)


def test_order_of_the_drivers_does_not_matter():
    a, b = _wild(4, 1), _wild(4, 2)
    one = combine({"lip": a, "pose": b, "all": b}, IdentityEngine.regions)
    two = combine({"all": b, "pose": b, "lip": a}, IdentityEngine.regions)
    np.testing.assert_array_equal(one.delta, two.delta)


def test_single_frames_are_held_and_the_rest_fills_gaps():
    a, rest = _wild(4, 1), still_motion(1)
    both = combine({"lip": a}, IdentityEngine.regions, rest)
    assert len(both) == 4
    assert np.abs(both.delta[:, ~LIP]).max() == 0
    with pytest.raises(ValueError, match="region pose"):
        combine({"lip": a}, IdentityEngine.regions)
    with pytest.raises(ValueError, match="3, 4"):
        combine({"lip": a, "all": _wild(3)}, IdentityEngine.regions)
    with pytest.raises(ValueError, match="nose"):
        combine({"nose": a}, IdentityEngine.regions, rest)


def test_disjoint_drivers_add_up(engine, portrait):
    """The change of the combined driver is the sum of the changes of its parts."""
    a, b = _wild(4, 1), _wild(4, 2)
    both = combine({"lip": a, "pose": b}, engine.regions, still_motion(1))
    reference = combine({"lip": a[0], "pose": b[0]}, engine.regions, still_motion(1))
    joint = new_motion(engine, portrait, both, reference, PLAIN)
    lips = new_motion(engine, portrait, a, a[0], replace(PLAIN, region="lip"))
    pose = new_motion(engine, portrait, b, b[0], replace(PLAIN, region="pose"))
    np.testing.assert_allclose(joint.delta, lips.delta + pose.delta - portrait.motion.delta, atol=1e-6)
    np.testing.assert_allclose(joint.rotation, pose.rotation, atol=1e-6)


def test_extra_arrays_follow_their_region():
    a = replace(_wild(2, 1), extra={"gaze": np.ones((2, 4), np.float32), "other": np.ones((2, 1), np.float32)})
    b = replace(_wild(2, 2), extra={"gaze": np.zeros((2, 4), np.float32), "other": np.zeros((2, 1), np.float32)})
    both = combine({"eyes": a, "all": b}, IdentityEngine.regions, extra_regions={"gaze": "eyes"})
    assert both.extra["gaze"].min() == 1
    assert both.extra["other"].max() == 0


@pytest.mark.parametrize("retargeting", [False, True])
def test_fixed_openings_win_over_the_driver(engine, portrait, retargeting):
    driving = _wild()
    options = replace(PLAIN, eye_retargeting=retargeting, lip_retargeting=retargeting)
    held = Expression({}, (0.1, None), 0.2)
    asked = {}
    engine.retarget_eyes = lambda p, ratios: asked.setdefault("eyes", ratios)[:, :1, None] * np.zeros((1, 21, 3))
    engine.retarget_lips = lambda p, ratios: asked.setdefault("lips", ratios)[:, :1, None] * np.zeros((1, 21, 3))
    transfer(engine, portrait, driving, driving[0], options, expression=held)
    np.testing.assert_allclose(asked["eyes"][:, 0], 0.1)
    np.testing.assert_allclose(asked["lips"][:, 0], 0.2)
    assert len(set(asked["eyes"][:, 1].tolist())) == len(driving)  # the other eye follows the driver


def test_mouth_of_the_driver_takes_the_place_of_the_sources(portrait):
    """Absolute mouth motion under relative motion: the driver's own values on the lips, all else as before."""
    engine, driving = IdentityEngine(), _wild()
    relative = new_motion(engine, portrait, driving, driving[0], PLAIN)
    absolute = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, mouth="absolute"))
    np.testing.assert_allclose(absolute.delta[:, LIP], driving.delta[:, LIP], atol=1e-6)
    np.testing.assert_allclose(absolute.delta[:, ~LIP], relative.delta[:, ~LIP], atol=1e-7)
    np.testing.assert_array_equal(absolute.rotation, relative.rotation)
    auto = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, mouth="auto"))
    np.testing.assert_array_equal(auto.delta, relative.delta)


@pytest.mark.parametrize("change", [{"lip_gain": 2.0}, {"multiplier": 2.0}])
def test_a_gain_takes_no_more_off_the_source_than_it_has(portrait, change):
    engine, driving = IdentityEngine(), _wild()
    once = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, mouth="absolute"))
    twice = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, mouth="absolute", **change))
    rest = driving.delta[0][LIP]
    np.testing.assert_allclose(twice.delta[:, LIP] - rest, 2 * (once.delta[:, LIP] - rest), atol=1e-5)
    none = dict.fromkeys(change, 0.0)
    still = new_motion(engine, portrait, driving, driving[0], replace(PLAIN, mouth="absolute", **none))
    np.testing.assert_allclose(still.delta[:, LIP], np.repeat(portrait.motion.delta[:, LIP], 6, 0), atol=1e-7)
