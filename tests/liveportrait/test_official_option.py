"""The option "official", animals mode and the driving option: any piece of a clip gives what the whole clip gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_stubs import IdentityEngine, ParityEngine, still_motion

from liveportrait.engines.base import Portrait
from liveportrait.expression import Expression
from liveportrait.motion import Motion, keypoints, rotation_from_euler
from liveportrait.official import official_transfer
from liveportrait.options import AnimationOptions
from liveportrait.transfer import TransferRules, rests_at_reference, steady_eye_target, transfer

OFFICIAL = AnimationOptions(official=True, smooth=0.0)


class AnimalEngine(ParityEngine):
    """Networks of the fixtures, sources without landmarks."""

    animals = True


class SliderEngine(IdentityEngine):
    """One slider that moves one value."""

    def slider_delta(self, portrait, sliders):
        delta = np.zeros((1, 21, 3), np.float32)
        delta[0, 20, 1] = 0.01 * sliders.get("smile", 0.0)
        return delta


def wild(n: int, seed: int) -> Motion:
    rng = np.random.default_rng(seed)
    return still_motion(
        n,
        rotation=rotation_from_euler(*rng.normal(0, 10, (3, n))),
        translation=rng.normal(0, 0.1, (n, 3)),
        scale=rng.uniform(1.1, 1.5, (n, 1)),
        delta=rng.normal(0, 0.02, (n, 21, 3)),
        eye_ratio=rng.uniform(0.1, 0.4, (n, 2)),
        lip_ratio=rng.uniform(0.05, 0.4, (n, 1)),
    )


def portraits(n: int, seed: int = 3) -> list[Portrait]:
    motion = wild(n, seed)
    canonical = np.random.default_rng(1).normal(0, 0.3, (21, 3)).astype(np.float32)
    blank = np.zeros((8, 8, 3), np.uint8)
    return [Portrait(motion[i], canonical, keypoints(canonical, motion[i]), blank) for i in range(n)]


CASES = [
    {},
    {"region": "exp"},
    {"region": "pose"},
    {"region": "lip", "relative": False},
    {"region": "eyes"},
    {"relative": False},
    {"stitching": False, "multiplier": 1.4},
    {"eye_retargeting": True, "lip_retargeting": True},
    {"eye_retargeting": True, "relative": False, "normalize_lip": True},
    {"normalize_lip": True, "source_eye_normalize": True},
]


@pytest.mark.parametrize("changes", CASES, ids=str)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("friendly", ["pose-friendly", "expression-friendly"])
def test_pieces_give_what_the_whole_clip_gives(changes, clip, friendly):
    engine, driving = ParityEngine(), wild(5, 0)
    options = replace(OFFICIAL, driving_option=friendly, **changes)
    source = portraits(5) if clip else portraits(1)[0]
    rules = TransferRules(official=True, expression_friendly=friendly == "expression-friendly")
    whole = official_transfer(engine, source, driving, options, rules)
    eyes = steady_eye_target(source[0].motion) if clip else None
    pieces = [
        transfer(
            engine, source[i : i + 1] if clip else source, driving[i], driving[0], options, eye_target=eyes
        )
        for i in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-6)
    at_once = transfer(engine, source, driving, driving[0], options, eye_target=eyes)
    np.testing.assert_allclose(at_once, whole, atol=2e-6)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("stitching", [False, True])
def test_animals_follow_the_official_rules(official, stitching):
    """Whatever --relative says: absolute motion from the reference, scaled by hull volumes."""
    engine, driving, source = AnimalEngine(), wild(4, 5), portraits(1)[0]
    for relative in (False, True):
        options = AnimationOptions(official=official, stitching=stitching, relative=relative)
        whole = official_transfer(engine, source, driving, options, TransferRules(official=True, animal=True))
        pieces = [transfer(engine, source, driving[i], driving[0], options) for i in range(4)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-6)


def test_animals_know_regions_in_our_rules():
    engine, driving, source = AnimalEngine(), wild(3, 5), portraits(1)[0]
    options = AnimationOptions(stitching=False, region="lip")
    x = transfer(engine, source, driving[1], driving[0], options)
    moved = np.abs(x - source.keypoints).max(axis=(0, 2)) > 1e-6
    assert set(np.flatnonzero(moved)) == {6, 12, 14, 17, 19, 20}


def test_expression_friendly_absolute_motion_rests_at_the_reference():
    engine, driving, source = IdentityEngine(), wild(4, 7), portraits(1)[0]
    options = AnimationOptions(relative=False, driving_option="expression-friendly", stitching=False)
    np.testing.assert_allclose(transfer(engine, source, driving[2], driving[2], options), source.keypoints, atol=1e-6)
    copied = transfer(engine, source, driving[1], driving[2], replace(options, driving_option="pose-friendly"))
    added = transfer(engine, source, driving[1], driving[2], options)
    assert np.abs(copied - added).max() > 0.01
    assert rests_at_reference(engine, options)
    assert not rests_at_reference(engine, replace(options, driving_option="pose-friendly"))
    assert rests_at_reference(AnimalEngine(), replace(options, driving_option="pose-friendly"))


def test_driving_option_leaves_relative_motion_alone():
    engine, driving, source = IdentityEngine(), wild(4, 7), portraits(1)[0]
    pair = [
        transfer(engine, source, driving, driving[1], AnimationOptions(driving_option=option))
        for option in ("pose-friendly", "expression-friendly")
    ]
    np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("official", [True, False])
def test_sliders_lie_on_top_under_all_rules(relative, official):
    engine, driving, source = SliderEngine(), wild(3, 7), portraits(1)[0]
    options = AnimationOptions(official=official, relative=relative, stitching=False)
    plain = transfer(engine, source, driving, driving[0], options)
    smiling = transfer(engine, source, driving, driving[0], options, expression=Expression({"smile": 1.0}))
    moved = np.abs(smiling - plain).max(axis=2) > 1e-5
    assert moved[:, 20].all()
    assert moved.sum() == 3


@pytest.mark.parametrize("official", [True, False])
def test_openings_are_held_under_all_rules(official):
    engine, driving, source = IdentityEngine(), wild(3, 7), portraits(1)[0]
    options = AnimationOptions(official=official, stitching=False)
    held = Expression({}, eye_ratio=(0.1, None), lip_ratio=0.2)
    transfer(engine, source, driving, driving[0], options, expression=held)
    own = source.motion.eye_ratio[0, 1]
    for target in engine.eye_targets:
        np.testing.assert_allclose(target[:, 0], 0.1)
    if official:
        assert all(np.allclose(target[:, 1], own) for target in engine.eye_targets)
    assert all(np.allclose(target, 0.2) for target in engine.lip_targets)
    assert engine.eye_targets
    assert engine.lip_targets
