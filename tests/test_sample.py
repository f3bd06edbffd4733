"""The shipped sample, and the script that makes its driving clip."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from app.media.images import read_image
from models.tracker import FaceTracker

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "assets" / "sample"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """tools/make_sample.py."""
    spec = importlib.util.spec_from_file_location("make_sample", ROOT / "tools" / "make_sample.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module
    spec.loader.exec_module(module)
    return module


def test_portrait_has_one_large_upright_face() -> None:
    photo = read_image(SAMPLE / "portrait.jpg").rgb
    assert max(photo.shape) <= 1024
    (face,) = FaceTracker().detect(photo)
    assert face.size > 0.2 * photo.shape[1]
    assert abs(np.rad2deg(face.roll)) < 8


def test_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 3_000_000
    assert (SAMPLE / "driving.mp4").stat().st_size < 1_500_000


def test_clip_is_what_the_script_makes(script: ModuleType) -> None:
    with av.open(str(SAMPLE / "driving.mp4")) as clip:
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.width, video.height) == (512, 512)
        assert video.average_rate == script.RATE
        assert video.frames == round(script.SECONDS * script.RATE)
        assert audio.rate == script.SAMPLE_RATE
        assert float(clip.duration) / 1e6 == pytest.approx(script.SECONDS, abs=0.05)


def test_clip_moves_like_the_track(script: ModuleType) -> None:
    """What the tracker reads off the clip agrees with the track: lips, lids and the side of the head turns."""
    tracker, lips, lids, turns, times = FaceTracker(), [], [], [], []
    with av.open(str(SAMPLE / "driving.mp4")) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index % 2:
                continue
            face = tracker.track(frame.to_ndarray(format="rgb24"))
            assert face is not None, f"no face at frame {index}"
            times.append(float(index / script.RATE))
            lips.append(face.lip_ratio)
            lids.append(face.eye_ratios[0])
            nose, left, right = face.points[1, 0], face.points[234, 0], face.points[454, 0]
            turns.append((nose - left) / (right - left))
    at = np.array(times)
    played = [script.read_track().at(time) for time in at]
    assert np.corrcoef(lips, [now.lip_ratio for now in played])[0, 1] > 0.9
    assert np.corrcoef(lids, [-now.values["wink_left"] for now in played])[0, 1] > 0.8
    assert np.corrcoef(turns, [-now.values["yaw"] for now in played])[0, 1] > 0.9


def test_track_starts_and_ends_at_rest(script: ModuleType) -> None:
    """So that the clip can loop, and its first frame is a neutral reference."""
    track = script.read_track()
    assert track.duration == script.SECONDS
    for time in (0.0, script.SECONDS):
        assert not any(track.at(time).values.values())
        assert track.at(time).lip_ratio == 0


def test_voice_sounds_while_the_lips_move(script: ModuleType) -> None:
    sound = script.voice()
    assert sound.dtype == np.float32
    assert len(sound) == round(script.SECONDS * script.SAMPLE_RATE)
    assert 0.3 < np.abs(sound).max() <= 1
    frames = sound[: len(sound) // 1920 * 1920].reshape(-1, 1920)
    loud = np.sqrt((frames**2).mean(1))
    at = (np.arange(len(loud)) + 0.5) * 1920 / script.SAMPLE_RATE
    quiet = (at < script.SPEECH_START - 0.1) | (at > script.SPEECH_START + 2.4)
    assert loud[quiet].max() < 0.01 * loud.max()
    talking = (at > script.SPEECH_START) & (at < script.SPEECH_START + 2.07)
    lips = [script.read_track().at(time).lip_ratio for time in at[talking]]
    assert np.corrcoef(loud[talking], lips)[0, 1] > 0.6


def test_vowels_have_their_formants(script: ModuleType) -> None:
    """The strongest band of the first two formants lies where the phoneme table says."""
    sound, start = script.voice().astype(np.float64), script.SPEECH_START
    for name, length in script.SPEECH:
        if name == "a" and length > 0.2:
            middle = int((start + length / 2) * script.SAMPLE_RATE)
            piece = sound[middle - 2400 : middle + 2400] * np.hanning(4800)
            power = np.abs(np.fft.rfft(piece)) ** 2
            hertz = np.fft.rfftfreq(4800, 1 / script.SAMPLE_RATE)
            formants = power[(hertz > 700) & (hertz < 1500)].sum()
            above = power[(hertz > 1700) & (hertz < 2500)].sum()
            assert formants > 10 * above
        start += length


def test_script_needs_a_face(script: ModuleType, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 120, 60)).save(tmp_path / "wall.png")
    with pytest.raises(ValueError, match=r"wall\.png has no face"):
        script.Actor(tmp_path / "wall.png", script.read_track())
