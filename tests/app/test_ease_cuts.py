"""--ease-cuts on a spliced clip, rendered and live."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.media.reader import open_clip
from app.media.writer import ClipWriter
from app.options import RenderOptions
from app.render import Job, render
from liveportrait.channel import smooth_track
from liveportrait.driving import DrivingReader
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.live_channel import LiveChannel
from liveportrait.motion import Motion, angle_between
from liveportrait.options import AnimationOptions
from liveportrait.track import MotionTrack
from models.tracker import FaceTracker

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
RATE = 25
CUT, LENGTH = 12, 24
FIRST, SECOND = 24, 50  # frames of the sample from which its head is turned to one side, and to the other
EASE = 0.32


@pytest.fixture(scope="module")
def splice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with open_clip(SAMPLE / "driving.mp4", film=True) as clip:
        frames = [frame.rgb for frame in clip if frame.time < 3]
    path = tmp_path_factory.mktemp("splice") / "splice.mp4"
    height, width = frames[0].shape[:2]
    with ClipWriter(path, (width, height), Fraction(RATE), None, audio=None, hardware="none") as writer:
        for index, picture in enumerate([*frames[FIRST : FIRST + CUT], *frames[SECOND : SECOND + LENGTH - CUT]]):
            writer.write(picture, Fraction(index, RATE))
        writer.finish()
    return path


def read(path: Path) -> Motion:
    """The motion of the face in a clip."""
    tracker, reader, motions = FaceTracker(), DrivingReader(MeshEngine()), []
    with open_clip(path, film=True) as clip:
        for frame in clip:
            face = tracker.track(frame.rgb)
            assert face is not None
            motions.append(reader.read(frame.rgb, face))
    return Motion.concatenate(motions)


@pytest.fixture(scope="module")
def driver(splice: Path) -> Motion:
    return read(splice)


def turns(motion: Motion) -> np.ndarray:
    """Degrees that the head turns from each frame to the next."""
    return np.array([angle_between(a, b) for a, b in zip(motion.rotation, motion.rotation[1:], strict=False)])


def rendered(splice: Path, folder: Path, ease: float) -> Motion:
    output = folder / f"{ease}.mp4"
    values = {"output": str(output), "audio": "none", "ease_cuts": ease}
    report = render(Job(SAMPLE / "portrait.jpg", splice, RenderOptions.from_values(values)))
    assert report.frames == LENGTH
    return read(output)


def test_a_rendered_head_runs_over_the_cut(splice: Path, tmp_path: Path) -> None:
    leaping, eased = rendered(splice, tmp_path, 0), rendered(splice, tmp_path, EASE)
    assert turns(leaping)[CUT - 1] > 9, "the splice is one"
    assert turns(eased)[CUT - 1] < 2
    assert turns(eased).max() < 7
    for index in (0, CUT - 3, LENGTH - 1):
        assert angle_between(eased.rotation[index], leaping.rotation[index]) < 1


@pytest.mark.parametrize("smooth", [0.0, 2e-6])
def test_tracks_are_eased_with_and_without_smoothing(driver: Motion, tmp_path: Path, smooth: float) -> None:
    track = MotionTrack()
    for i in range(LENGTH):
        track.append(Fraction(i, RATE), driver[i])
    whole = smooth_track(track, smooth, MeshEngine().regions, EASE)
    shown = Motion.concatenate([whole.motion(i) for i in range(LENGTH)])
    whole.close()
    assert turns(driver)[CUT - 1] > 12
    assert turns(shown).max() < 5
    if not smooth:
        np.testing.assert_array_equal(shown.delta[:CUT], driver.delta[:CUT])


def test_a_live_head_runs_over_the_cut(driver: Motion) -> None:
    def play(ease: float, jump: int = 0) -> np.ndarray:
        course, shown = LiveChannel(MeshEngine()), []
        options = AnimationOptions(smooth=0, ease_cuts=ease, reference="first")
        for i in range(LENGTH):
            step = course(driver[i], i / RATE, options, jump=i == jump)
            assert step.motion is not None
            shown.append(step.motion)
        return turns(Motion.concatenate(shown))

    assert play(0)[CUT - 1] > 12
    assert play(EASE)[CUT - 1] < 0.5
    assert play(EASE).max() < 5
    assert play(EASE, jump=CUT)[CUT - 1] > 12, "who seeks sees the frame that was sought"
