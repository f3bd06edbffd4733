"""Engines that claim to be exact at rest are."""

from __future__ import annotations

import numpy as np

from liveportrait.animator import Animator, rest_square
from liveportrait.driving import Shown
from liveportrait.engines import load_engine
from liveportrait.options import AnimationOptions
from models.tracker import FaceTracker


def test_mesh_engine_at_rest_returns_its_crop_to_the_bit(astronaut):
    engine = load_engine("mesh")
    face = FaceTracker().track(astronaut)
    assert face is not None
    portrait = Animator(engine).scene(astronaut, [face]).faces[0].portrait
    assert engine.exact_at_rest
    for stitching in (True, False):
        np.testing.assert_array_equal(rest_square(engine, portrait, stitching), portrait.crop)


def test_whole_picture_at_rest_is_the_source_to_the_bit(astronaut):
    engine = load_engine("mesh")
    face = FaceTracker().track(astronaut)
    animator = Animator(engine, AnimationOptions(normalize_lip=False))
    assert face is not None
    scene = animator.scene(astronaut, [face])
    motion = scene.faces[0].portrait.motion
    np.testing.assert_array_equal(animator.frame(scene, Shown(motion, motion)), astronaut)
