"""The official main loop and editor, against numbers that the official release computed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from motion_stubs import PARITY

from liveportrait.engines.base import Portrait
from liveportrait.engines.liveportrait21 import neutral_delta
from liveportrait.expression import OFFICIAL_UNITS, Expression, liveportrait_delta, official_delta
from liveportrait.motion import Motion, keypoints, landmark_ratios, rotation_from_euler
from liveportrait.official import OFFICIAL_SLIDERS, official_edit, official_express
from liveportrait.options import AnimationOptions
from liveportrait.smoothing import SMOOTHING_UNIT
from liveportrait.transfer import TransferRules, transfer

LIMIT = 2e-5
with np.load(PARITY / "core_reference.npz") as _data:
    CASES = [tuple(map(str, row)) for row in _data["modes/cases"]]


def _motion(official, side, eyes, lips):
    get = {name: official[f"modes/in/{side}/{name}"] for name in ("R", "t", "scale", "exp")}
    return Motion(get["R"], get["t"], get["scale"], get["exp"], eyes, lips, "liveportrait21")


@pytest.fixture(scope="module")
def scene(official):
    """Source portraits and driving motion of the fixtures."""
    source = _motion(official, "source", *landmark_ratios(official["modes/in/source/lmk203"]))
    driving = _motion(official, "driving", official["modes/in/driving/c_eyes"], official["modes/in/driving/c_lip"])
    canonical = official["modes/in/source/kp"]
    crop = np.zeros((4, 4, 3), np.uint8)
    portraits = [
        Portrait(source[i], canonical[i], keypoints(canonical[i], source[i]), crop) for i in range(len(source))
    ]
    return portraits, driving


def _options(config):
    names = {
        "flag_relative_motion": ("relative", True), "animation_region": ("region", "all"),
        "driving_multiplier": ("multiplier", 1.0), "driving_smooth_observation_variance": ("smooth", 3e-7),
        "flag_stitching": ("stitching", True), "flag_eye_retargeting": ("eye_retargeting", False),
        "flag_lip_retargeting": ("lip_retargeting", False), "flag_normalize_lip": ("normalize_lip", True),
        "flag_source_video_eye_retargeting": ("source_eye_normalize", False),
    }  # fmt: skip
    values = {ours: config.get(theirs, default) for theirs, (ours, default) in names.items()}
    return AnimationOptions(**values | {"smooth": values["smooth"] / SMOOTHING_UNIT})


def test_source_keypoints_equal_the_official_ones(official, scene):
    x_s = np.concatenate([p.keypoints for p in scene[0]])
    np.testing.assert_allclose(x_s, official["modes/in/source/x_s"], atol=LIMIT)


@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_main_loop(official, scene, parity_engine, case):
    tag, source, driver, config = case
    portraits, driving = scene
    settings = json.loads(config)
    rules = TransferRules(
        official=True,
        driving_image=driver == "image",
        expression_friendly=settings["driving_option"] == "expression-friendly",
        neutral_lips=neutral_delta(),
    )
    motion = driving if driver == "video" else driving[0]
    chosen = portraits[0] if source == "image" else portraits
    x_d = transfer(parity_engine, chosen, motion, motion[0], _options(settings), rules=rules)
    np.testing.assert_allclose(x_d, official[f"modes/case/{tag}/x_d"], atol=LIMIT)


@pytest.mark.parametrize("stitching", [0, 1])
@pytest.mark.parametrize("multiplier", [1.0, 1.3])
def test_animals_mode(official, scene, parity_engine, stitching, multiplier):
    portraits, driving = scene
    options = AnimationOptions(relative=False, stitching=bool(stitching), multiplier=multiplier)
    rules = TransferRules(official=True, animal=True)
    x_d = transfer(parity_engine, portraits[0], driving, driving[0], options, rules=rules)
    np.testing.assert_allclose(x_d, official[f"modes/animal/stitch{stitching}_mult{multiplier}/x_d"], atol=LIMIT)


SLIDER_NAMES = {
    "smile": "smile", "wink": "wink", "eyebrow": "brow", "lip_variation_zero": "pout", "lip_variation_one": "purse",
    "lip_variation_two": "wide", "lip_variation_three": "lip_open", "mov_x": "shift_x", "mov_y": "shift_y",
}  # fmt: skip


def test_every_slider_of_the_official_editor(official):
    base = official["sliders/base"]
    checked = 0
    for key, wanted in official.items():
        _, _, case = key.partition("sliders/")
        name, _, value = case.partition("/")
        if name == "eyeball":
            values = dict(zip(("gaze_x", "gaze_y"), map(float, value.split("_")), strict=True))
        elif name in SLIDER_NAMES:
            values = {SLIDER_NAMES[name]: float(value)}
        else:
            continue
        np.testing.assert_allclose(base + official_delta(values), wanted, atol=1e-7, err_msg=case)
        checked += 1
    assert checked == 23


OUR_NAMES = {
    "mov_z": "zoom", "mov_x": "move_x", "mov_y": "move_y", "lip0": "pout", "lip1": "purse", "lip2": "wide",
    "lip3": "lip_open", "eyebrow": "brow", "eye_x": "gaze_x", "eye_y": "gaze_y", "wink": "wink_left",
}  # fmt: skip


@pytest.mark.parametrize("stitching", [0, 1])
@pytest.mark.parametrize("case", ["neutral", "pose", "move", "ratios", "all"])
def test_whole_slider_sets_of_the_official_editor(official, parity_engine, case, stitching):
    def source(name):
        return official[f"sliders/full/source/{name}"]

    eyes, lips = landmark_ratios(official["sliders/full/source_lmk203"][None])
    rotation = rotation_from_euler(source("pitch"), source("yaw"), source("roll"))
    motion = Motion(rotation, source("t"), source("scale"), source("exp"), eyes, lips, "liveportrait21")
    portrait = Portrait(motion, source("kp")[0], keypoints(source("kp")[0], motion), np.zeros((4, 4, 3), np.uint8))
    key = f"sliders/full/{case}/stitch{stitching}"
    given = dict(zip(map(str, official["sliders/full/arg_names"]), map(float, official[f"{key}/args"]), strict=True))
    renamed = {
        "mov_z": "zoom", "mov_y": "shift_y", "lip0": "pout", "lip1": "purse", "lip2": "wide", "lip3": "lip_open",
        "eyebrow": "brow", "eye_x": "gaze_x", "eye_y": "gaze_y",
    }  # fmt: skip
    sliders = {renamed.get(k, k): v for k, v in given.items() if k not in ("eye", "lip", "mov_x")}
    sliders["shift_x"] = -given["mov_x"]
    eye = given["eye"] if given["eye"] != float(official["sliders/full/source_eye_ratio"]) else None
    lip = given["lip"] if given["lip"] != float(official["sliders/full/source_lip_ratio"]) else None
    x_d = official_edit(parity_engine, portrait, sliders, eye_ratio=eye, lip_ratio=lip, stitching=bool(stitching))
    np.testing.assert_allclose(x_d, official[f"{key}/x_d"], atol=LIMIT)
    # the same through our sliders
    values = {OUR_NAMES.get(k, k): v for k, v in given.items() if k not in ("eye", "lip")}
    values = {k: v / OFFICIAL_UNITS[OFFICIAL_SLIDERS[k]] if k in OFFICIAL_SLIDERS else v for k, v in values.items()}
    ours = Expression(values, (given["eye"], given["eye"]), given["lip"])
    x_d = official_express(parity_engine, portrait, ours, bool(stitching))
    np.testing.assert_allclose(x_d, official[f"{key}/x_d"], atol=LIMIT)


def test_sliders_that_the_official_editor_does_not_have(parity_engine, scene, monkeypatch):
    """Are ours, on top; an engine with other keypoints follows our rules altogether."""
    portrait = scene[0][0]
    monkeypatch.setattr(parity_engine, "slider_delta", lambda p, sliders: liveportrait_delta(sliders, p.canonical))
    plain = official_express(parity_engine, portrait, Expression({}), False)
    right = official_express(parity_engine, portrait, Expression({"wink_right": 1.0}), False)
    left = official_express(parity_engine, portrait, Expression({"wink_left": 1.0}), False)
    assert np.abs(right - plain).max() > 0.01
    assert np.abs(right - left).max() > 0.01
    half = official_express(parity_engine, portrait, Expression({}, (0.1, None)), False)
    assert np.abs(half - plain).max() > 1e-4
