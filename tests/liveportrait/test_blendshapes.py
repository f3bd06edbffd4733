"""Blend shapes of face trackers as sliders: complete, within bounds, on the right side, measured from rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liveportrait.blendshapes import ARKIT, PRESETS, UNUSED, FaceReading, shape_name
from liveportrait.expression import SLIDERS

LIDS = {"shut_left", "shut_right"}


def sliders(*names: str, head: tuple[float, float, float] = (0.0, 0.0, 0.0), **weights: float) -> dict[str, float]:
    shapes = dict.fromkeys(names, 1.0) | weights
    return dict(FaceReading(shapes, head).expression().values)


def test_each_of_the_52_shapes_maps_or_says_why_not():
    assert len(ARKIT) == 52
    for name, effect in ARKIT.items():
        assert bool(effect) != (name in UNUSED), name
        assert set(effect) <= LIDS | set(SLIDERS), name
        if effect:
            assert sliders(name), name
    assert all(set(effect) <= LIDS | set(SLIDERS) for effect in PRESETS.values())
    assert set(UNUSED) <= set(ARKIT)


@pytest.mark.parametrize("table", [ARKIT, PRESETS])
def test_no_weights_leave_the_range_of_a_slider(table):
    random = np.random.default_rng(1)
    for _ in range(300):
        weights = dict(zip(table, random.uniform(-1, 1, len(table)).round(), strict=True))
        FaceReading(weights, tuple(random.uniform(-900, 900, 3)), (1.0, -1.0)).expression()  # raises where one does


def test_left_is_the_persons_own_left_and_a_mirror_swaps_it():
    seen = FaceReading({"eyeBlinkLeft": 1.0}, (0.0, 10.0, 0.0)).expression()
    assert seen.values["wink_right"] == 1.0
    assert seen.values["yaw"] > 9
    mirror = seen.mirrored()
    assert mirror.values["wink_left"] == 1.0
    assert mirror.values["yaw"] < -9
    assert sliders("eyeLookOutLeft", "eyeLookInRight") == {"gaze_x": 1.0}


def test_lids_add_up_without_a_jump_between_a_blink_and_a_wink():
    assert sliders("eyeBlinkLeft", "eyeBlinkRight") == {"blink": 1.0}
    assert sliders(eyeBlinkLeft=1.0, eyeBlinkRight=0.75) == {"blink": 0.75, "wink_right": 0.25}
    assert sliders("eyeWideLeft") == {"blink": -0.5, "wink_left": 0.5}  # the other eye stays as it is
    assert sliders("eyeBlinkLeft", "eyeWideRight") == {"wink_right": 1.0}


def test_lips_stay_together_over_a_jaw_that_opens():
    assert sliders("jawOpen")["lip_open"] == 1.0
    assert "lip_open" not in sliders(jawOpen=0.4, mouthClose=0.4)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("eyeBlink_L", "eyeBlinkLeft"), ("EyeBlinkLeft", "eyeBlinkLeft"), ("MouthSmile_R", "mouthSmileRight"),
        ("Blink_L", "blinkLeft"), ("BLINK", "blink"), ("aa", "a"), ("A", "a"), ("LookUp", "lookUp"), ("Joy", "joy"),
        ("happy", "joy"), ("hairBounce", ""), ("", ""), ("_l", ""),
    ],
)  # fmt: skip
def test_names_of_senders(text, name):
    assert shape_name(text) == name


def test_presets_count_only_where_there_are_no_shapes_of_arkit():
    assert sliders("joy") == {"smile": 1.0}
    assert "smile" not in sliders(joy=1.0, jawOpen=0.0)


def test_a_face_at_rest_is_where_everything_is_measured_from():
    rest = FaceReading({"jawOpen": 0.2, "browInnerUp": 0.4}, (-20.0, 170.0, 0.0), (0.3, 0.0))
    assert not rest.since(rest).expression().values
    moved = FaceReading({"jawOpen": 1.0, "browInnerUp": 0.2}, (-20.0, -175.0, 0.0), (0.0, 0.0)).since(rest)
    assert moved.shapes == pytest.approx({"jawOpen": 1.0, "browInnerUp": -0.2})
    assert moved.head == pytest.approx((0.0, 15.0, 0.0))
    assert moved.gaze == pytest.approx((-0.3, 0.0))
    head_only = FaceReading({"jawOpen": 0.2}, (-20.0, 170.0, 0.0)).since(rest, head_only=True)
    assert (head_only.shapes, head_only.head) == ({"jawOpen": 0.2}, (0.0, 0.0, 0.0))


def test_docs_show_the_table_as_it_is():
    """docs/tracking.md is what tools/make_docs.py writes."""
    from tools.make_docs import tracking_page

    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
    assert page == tracking_page(page)
