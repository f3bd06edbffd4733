"""Noise in the pictures of a still driver does not shake the portrait; the official rules read as ever."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from app.frames.motion_cache import motion_key
from app.frames.scene import SceneMaker
from app.media.images import read_image
from app.media.reader import open_clip
from app.options import RenderOptions
from liveportrait.animator import Animator
from liveportrait.channel import choose_reference, smooth_track
from liveportrait.driving import DrivingReader
from liveportrait.engines.base import Portrait
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.live_channel import LiveChannel
from liveportrait.motion import Motion
from liveportrait.options import AnimationOptions
from liveportrait.smoothing import SMOOTHING_UNIT
from liveportrait.track import MotionTrack
from liveportrait.transfer import transfer
from models.tracker import FaceTracker

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
FRAMES = 60


@pytest.fixture(scope="module")
def engine() -> MeshEngine:
    return MeshEngine()


@pytest.fixture(scope="module")
def pictures() -> list[npt.NDArray[np.uint8]]:
    """A frame of the shipped clip, over and over, with noise of one grey level."""
    rng = np.random.default_rng(1)
    with open_clip(SAMPLE / "driving.mp4", film=True) as clip:
        still = next(iter(clip)).rgb
    return [np.clip(np.rint(still + rng.normal(0, 1, still.shape)), 0, 255).astype(np.uint8) for _ in range(FRAMES)]


def read(engine: MeshEngine, pictures: list[npt.NDArray[np.uint8]], *, steady: bool) -> Motion:
    tracker, reader, motions = FaceTracker(), DrivingReader(engine), []
    tracker.steady = steady
    for picture in pictures:
        face = tracker.track(picture)
        assert face is not None
        motions.append(reader.read(picture, face))
    return Motion.concatenate(motions)


@pytest.fixture(scope="module")
def steady(engine: MeshEngine, pictures: list[npt.NDArray[np.uint8]]) -> Motion:
    return read(engine, pictures, steady=True)


@pytest.fixture(scope="module")
def shaken(engine: MeshEngine, pictures: list[npt.NDArray[np.uint8]]) -> Motion:
    return read(engine, pictures, steady=False)


@pytest.fixture(scope="module")
def raw_wander(pictures: list[npt.NDArray[np.uint8]]) -> float:
    """How far the points of a region that stands still move with the noise, in face sizes: root mean square."""
    tracker = FaceTracker()
    face = tracker.track(pictures[0])
    assert face is not None
    assert tracker._roi is not None
    points = np.stack([tracker._mesh(picture, tracker._roi)[0][:, :2] for picture in pictures])
    return float(np.sqrt((points.std(axis=0) ** 2).sum(axis=1).mean()) / face.size)


@pytest.fixture(scope="module")
def portrait(engine: MeshEngine) -> Portrait:
    photo = read_image(SAMPLE / "portrait.jpg").rgb
    return Animator(engine).scene(photo, FaceTracker().detect(photo)[:1]).faces[0].portrait


def wander(engine: MeshEngine, portrait: Portrait, motion: Motion, reference: Motion) -> float:
    """The same of the points of the result."""
    points = transfer(engine, portrait, motion, reference, AnimationOptions())[..., :2]
    face = portrait.keypoints[0, :468, :2]
    return float(np.sqrt((points.std(axis=0) ** 2).sum(axis=1).mean()) / np.ptp(face, axis=0).max())


def offline(engine: MeshEngine, motion: Motion, folder: Path, smooth: float) -> tuple[Motion, Motion]:
    """Motion and reference as a render has them."""
    track = MotionTrack()
    for i in range(len(motion)):
        track.append(Fraction(i, 25), motion[i])
    reference, _, _ = choose_reference(track, engine, AnimationOptions(), lone=False)
    smoothed = smooth_track(track, smooth * SMOOTHING_UNIT, engine.regions)
    shown = Motion.concatenate([smoothed.motion(i) for i in range(len(motion))])
    smoothed.close()
    return shown, reference


def live(engine: MeshEngine, motion: Motion, *, on: bool) -> tuple[Motion, Motion]:
    """The same as a live session has them."""
    steps, course = [], LiveChannel(engine)
    for i in range(len(motion)):
        steps.append(course(motion[i], i / 25, AnimationOptions(smooth=3 * on, reference="first")))
    shown = [step for step in steps if step is not None]
    return Motion.concatenate([step.motion for step in shown]), shown[0].reference


def test_the_region_that_is_read_stands_still(steady: Motion, shaken: Motion) -> None:
    assert steady.delta.std(axis=0).mean() < 0.9 * shaken.delta.std(axis=0).mean()
    assert steady.rotation.std(axis=0).max() < 0.9 * shaken.rotation.std(axis=0).max()


def test_a_rendered_portrait_stands_still(
    engine: MeshEngine, portrait: Portrait, steady: Motion, shaken: Motion, raw_wander: float, tmp_path: Path
) -> None:
    assert wander(engine, portrait, *offline(engine, steady, tmp_path, smooth=2)) < 0.3 * raw_wander
    assert wander(engine, portrait, *offline(engine, shaken, tmp_path, smooth=0)) > raw_wander, (
        "and this is the measure"
    )


def test_a_live_portrait_stands_still(
    engine: MeshEngine, portrait: Portrait, steady: Motion, raw_wander: float
) -> None:
    assert wander(engine, portrait, *live(engine, steady, on=True)) < 0.3 * raw_wander


def test_no_smoothing_is_no_steadying(engine: MeshEngine, shaken: Motion, tmp_path: Path) -> None:
    for shown in (offline(engine, shaken, tmp_path, smooth=0)[0], live(engine, shaken, on=False)[0]):
        np.testing.assert_array_equal(shown.delta, shaken.delta)
        np.testing.assert_array_equal(shown.rotation, shaken.rotation)


def test_rendered_and_live_motion_are_held_alike(
    engine: MeshEngine, steady: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One filter: what a live session holds still, a render does."""
    rendered, shown = offline(engine, steady, tmp_path, smooth=1e-6)[0], []
    monkeypatch.setattr("liveportrait.live_channel.MotionFilter.__call__", lambda _, motion, __: motion)
    course = LiveChannel(engine)
    for i in range(len(steady)):
        step = course(steady[i], i / 25, AnimationOptions())
        assert step.motion is not None
        shown.append(step.motion)
    np.testing.assert_allclose(Motion.concatenate(shown).delta, rendered.delta, atol=1e-6)


def test_official_rules_read_the_driver_as_the_release_does(engine: MeshEngine) -> None:
    tracker, options = FaceTracker(), RenderOptions()
    official = replace(options, animation=replace(options.animation, official=True))
    SceneMaker(engine, tracker, official, "x")
    assert not tracker.steady
    SceneMaker(engine, tracker, options, "x")
    assert tracker.steady
    assert motion_key("x", engine, official) != motion_key("x", engine, options)
