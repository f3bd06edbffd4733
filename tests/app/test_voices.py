"""Faces that no picture drives: voices, expression tracks, life alone."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import AppError, MediaError, UsageError
from app.events import CancelToken, EventStream
from app.frames.voices import Manner, open_track
from app.media.audio import AudioSource
from app.media.microphone import RATE, Microphone
from app.media.reader import open_clip
from app.media.sound import Voice, sound_of, sound_only
from app.options import RenderOptions
from app.render import Job, RenderReport, plan, render
from app.render.speech_template import make_speech, speech_driver
from app.render.unseen import UnseenDrivers
from app.sources.microphone import MicrophoneSource
from app.sources.voice import TrackFrames
from models.speech import VISEMES


def spoken(seconds: float, rate: int = 16000) -> np.ndarray:
    """(N,) syllables of an open vowel, each a quarter of a second, with as much silence between."""
    t = np.arange(int(seconds * rate)) / rate
    voiced = sum(np.sin(2 * np.pi * 120 * k * t) / (1 + abs(120 * k - 750) / 150) for k in range(1, 30))
    return np.asarray(0.1 * voiced * (t % 0.5 > 0.25), np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """A WAV file of (N,) or (N, channels) samples."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
    return path


def animate(here: Path, driving: Path, source: str = "photo.jpg", **values: object) -> RenderReport:
    options = RenderOptions.from_values({"output": str(here / "out.mp4"), "overwrite": True, **values})
    return render(Job(here / "in" / source, driving, options))


def lower_half(path: Path) -> list[np.ndarray]:
    with open_clip(path) as clip:
        return [frame.rgb[112:].astype(int) for frame in clip]


def test_a_sound_file_speaks_with_a_photo(here: Path) -> None:
    voice = write_sound(here / "speech.wav", spoken(0.8))
    report = animate(here, voice, idle=0)
    frames = lower_half(report.output)
    assert (report.frames, report.status, len(frames)) == (20, "done", 20)
    assert AudioSource(report.output).present
    rest, open_mouth = frames[1], frames[10]  # 0.04 s: silence; 0.4 s: in the middle of a syllable
    assert np.abs(open_mouth - rest).mean() > 10 * np.abs(frames[2] - rest).mean()


def test_a_cut_off_voice_is_rendered_as_far_as_it_goes(here: Path) -> None:
    whole = write_sound(here / "whole.wav", spoken(1.0)).read_bytes()
    (here / "cut.wav").write_bytes(whole[: 44 + 2 * 1920])
    report = animate(here, here / "cut.wav", mark="metadata")
    assert (report.frames, report.status) == (3, "partial")
    told = "The sound of cut.wav is truncated after 0.1 of 1.0 s. What could be decoded was rendered (3 frames)."
    assert report.message.replace(str(here) + "/", "") == told
    assert not any("truncated" in note for note in report.notes)
    once = report.output.read_bytes()
    assert animate(here, here / "cut.wav", mark="metadata").output.read_bytes() == once  # the same on every run


def test_the_driver_moves_all_but_the_lips(here: Path) -> None:
    """As with the same voice alone, the lips open, and the head turns as with the driver alone."""
    voice = write_sound(here / "speech.wav", spoken(0.6))
    report = animate(here, here / "in" / "slow.mp4", lips_from=str(voice), idle="0.5")
    assert report.frames == 6
    assert any("idle has no effect" in note for note in report.notes)
    with_voice = lower_half(report.output)
    without = lower_half(animate(here, here / "in" / "slow.mp4").output)
    assert np.abs(with_voice[4] - without[4]).max() > 60
    spoken_alone = RenderOptions.from_values({"voice": str(voice), "end": "0.5"})
    unseen = UnseenDrivers(Job(here / "in" / "photo.jpg", Path(), spoken_alone))  # without a driver it moves all
    assert unseen.main is not None
    assert (unseen.main.sound, unseen.main.length, unseen.parts) == (unseen.sound, Fraction(1, 2), {})
    with pytest.raises(UsageError, match="both drive the lips"):
        animate(here, here / "in" / "slow.mp4", lips_from=str(voice), voice=str(voice))
    with pytest.raises(MediaError, match=r"slow\.mp4 contains no sound"):
        animate(here, here / "in" / "slow.mp4", voice=str(here / "in" / "slow.mp4"))


def test_a_portrait_that_lives_runs_back_into_its_beginning(here: Path) -> None:
    report = animate(here, Path(), idle=1, duration="0.4", output=str(here / "a-%02d.png"))
    assert report.frames == 10
    with open_clip(here / "a-%02d.png") as clip:
        frames = [frame.rgb.astype(int) for frame in clip]
    steps = np.array([np.abs(b - a).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)])
    assert 0 < steps[-1] <= 1.1 * max(steps[0], steps[-2])


def test_keyframes_move_the_face_and_a_wrong_one_is_named(here: Path) -> None:
    keys = [{"time": 0, "sliders": {"yaw": 0}}, {"time": 0.2, "sliders": {"yaw": 12, "smile": 1}}]
    (here / "track.json").write_text(json.dumps({"keys": keys}))
    frames = lower_half(animate(here, here / "track.json").output)
    assert len(frames) == 5
    assert np.abs(frames[-1] - frames[0]).mean() > 2
    (here / "bad.json").write_text(json.dumps({"keys": [{"time": 0, "sliders": {"smirk": 1}}]}))
    with pytest.raises(AppError, match=r"bad\.json.*no slider named 'smirk'"):
        open_track(here / "bad.json")


def test_a_voice_is_kept_as_a_template_for_every_engine(here: Path) -> None:
    voice = write_sound(here / "speech.wav", spoken(0.6))
    options = RenderOptions.from_values({"idle": 0.4})
    made = speech_driver(voice, options)
    assert made is not None
    report = make_speech(made, options, EventStream(), CancelToken())
    assert report.output == Path("speech.speech")
    kept = open_track(report.output)
    assert kept is not None
    told, _, _ = made.played(idle=0.4, gain=1, smile=0, loop=False, check=lambda: None)
    again, length, _ = kept.played(idle=None, gain=1, smile=0, loop=False, check=lambda: None)
    assert float(length) == pytest.approx(0.6)
    assert [again.at(t) for t in (0.1, 0.4, 0.55)] == [told.at(t) for t in (0.1, 0.4, 0.55)]
    assert speech_driver(here / "in" / "clip.mp4", options) is None  # makes a motion template
    silent = plan(Job(here / "in" / "photo.jpg", report.output, RenderOptions()))
    assert "speech.speech is a speech template, which has no sound; the result is silent." in silent.notes


def test_a_voice_plays_in_real_time_as_it_is_rendered(here: Path) -> None:
    voice = open_track(write_sound(here / "speech.wav", spoken(0.6)))
    assert voice is not None
    opened = voice.opened()
    source = TrackFrames(opened)
    track, length, _ = voice.played(idle=None, gain=1, smile=0.5, loop=True, check=lambda: None)
    times = [time for time, _ in source.frames(Fraction(1, 10))]
    assert (source.duration, [float(time) for time in times]) == (length, [0.12, 0.16, *np.arange(5, 15) / 25])
    assert [opened.at(time, Manner(smile=0.5)) for time in times] == [track.at(float(time)) for time in times]


def test_the_microphone_drives_a_moment_later() -> None:
    """Sound that arrives in blocks of 20 ms, each read at once; the clock is that of the microphone."""
    streams: list[dict[str, Any]] = []

    class Stream:
        latency = 0.0

        def __init__(self, **how: Any) -> None:
            streams.append(how)

        def start(self) -> None: ...

        def close(self) -> None: ...

    now = 100.0
    source = MicrophoneSource(lambda: now, microphone=lambda clock: Microphone("", clock, Stream))
    source.open()
    sound, samples = spoken(2.0, RATE), []
    for number in range(50):
        now += 0.04
        block = sound[number * RATE // 25 : (number + 1) * RATE // 25]
        streams[0]["callback"](block[:, None], len(block), None, None)
        if number >= 10:  # the first frames wait for what follows them
            samples.append((now, source.read()))
    source.close()
    assert all(sample is not None and sample.play is not None for _, sample in samples)
    delays = np.array([time - sample.time for time, sample in samples])
    assert 0.1 < delays.min() <= delays.max() < 0.25
    lips = {
        round(sample.time - 100, 2): sample.play.at(Fraction(0), Manner(idle=0.0)).lip_ratio for _, sample in samples
    }
    loud = [ratio for time, ratio in lips.items() if time % 0.5 > 0.33]
    assert np.mean(loud) > 5 * np.mean([ratio for time, ratio in lips.items() if 0.05 < time % 0.5 < 0.2]) + 0.02


def test_any_channels_and_rates_are_heard(tmp_path: Path) -> None:
    """The mean of channels out of phase is silence; what is said is the same."""
    once = spoken(1.0)
    plain = Voice(sound_of(write_sound(tmp_path / "a.wav", once)))
    turned = Voice(sound_of(write_sound(tmp_path / "b.wav", np.stack([once, -once], 1))))
    one_sided = Voice(sound_of(write_sound(tmp_path / "c.wav", np.stack([once, 0 * once], 1))))
    low = Voice(sound_of(write_sound(tmp_path / "d.wav", spoken(1.0, 8000), 8000)))
    speech = 1 - plain.visemes.share[:, VISEMES.index("sil")]
    assert speech.max() > 0.9
    assert speech.min() < 0.1
    for other in (turned, one_sided, low):
        assert other.duration == plain.duration == 1
        heard = 1 - other.visemes.share[:, VISEMES.index("sil")]
        assert np.corrcoef(heard, speech)[0, 1] > 0.9


def test_sounds_without_samples_are_told(tmp_path: Path, media: Path) -> None:
    with pytest.raises(MediaError, match="contains 0 seconds of sound"):
        Voice(sound_of(write_sound(tmp_path / "none.wav", np.zeros(0))))
    assert not any(sound_only(media / name) for name in ("photo.jpg", "clip.mp4", "shots", "text.mp4", "missing.wav"))
