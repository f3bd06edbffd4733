"""Sound to visemes: block by block, at any level, for any length."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from models.speech import FRAME, LOOK_AHEAD, RATE, VISEMES, SpeechReader, Visemes, level_of, read_speech

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample" / "driving.mp4"


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """The sample's own: "hello, I am alive"."""
    parts = []
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    return np.concatenate(parts)


def read(sound: np.ndarray, block: int, level: float | None) -> Visemes:
    return Visemes.joined(read_speech((sound[i : i + block] for i in range(0, len(sound), block)), level))


def said(visemes: Visemes, time: float) -> str:
    return VISEMES[int(visemes.share[int(time * RATE / FRAME)].argmax())]


@pytest.mark.parametrize("block", [37, 320, 4096])
def test_blocks_of_any_size_say_the_same(voice: np.ndarray, block: int) -> None:
    sound = voice[RATE * 3 : RATE * 4 + 100]
    level = level_of([voice])
    whole = read(sound, len(sound), level)
    parts = read(sound, block, level)
    assert len(whole) == len(parts) == -(-len(sound) // FRAME)
    np.testing.assert_allclose(parts.share, whole.share, atol=1e-4)
    np.testing.assert_allclose(parts.loudness, whole.loudness, atol=1e-5)


def test_the_sample_says_what_it_says(voice: np.ndarray) -> None:
    """Middles of some of its phones, from the script that it was made of."""
    visemes = read(voice, 4096, level_of([voice]))
    heard = [said(visemes, time) for time in (1.0, 3.19, 3.63, 4.02, 4.13, 5.9)]
    assert heard == ["sil", "O", "aa", "PP", "aa", "sil"]


@pytest.mark.parametrize("gain", [0.03, 4.0])
def test_quiet_and_loud_recordings_are_alike(voice: np.ndarray, gain: float) -> None:
    plain = read(voice, 4096, level_of([voice]))
    other = read(voice * np.float32(gain), 4096, level_of([voice * np.float32(gain)]))
    speech = plain.loudness > -1
    assert (plain.share[speech].argmax(1) == other.share[speech].argmax(1)).mean() > 0.9


def test_silence_says_nothing() -> None:
    """However a microphone follows the level, digital silence and faint hiss are not speech."""
    hiss = np.random.default_rng(1).normal(0, 1e-4, RATE).astype(np.float32)
    for sound in (np.zeros(RATE, np.float32), hiss):
        visemes = read(sound, 1000, None)
        assert visemes.share[:, 0].min() > 0.5
        assert np.isfinite(visemes.share).all()


def test_no_sound_and_a_moment_of_it() -> None:
    assert len(read(np.zeros(0, np.float32), 100, None)) == 0
    assert level_of([]) <= -10
    assert len(read(np.zeros(1, np.float32), 100, None)) == 1
    assert len(read(np.zeros(FRAME + 1, np.float32), 100, None)) == 2


def test_what_is_told_lags_no_further_than_it_says(voice: np.ndarray) -> None:
    reader, told = SpeechReader(), 0
    for start in range(0, RATE, 480):
        told += len(reader.feed(voice[start : start + 480]))
        heard = (start + 480) / RATE
        assert heard - told * FRAME / RATE <= LOOK_AHEAD + 2 * FRAME / RATE


def test_a_microphone_follows_the_level(voice: np.ndarray) -> None:
    """Without knowing what comes: the loudest so far."""
    visemes = read(voice * np.float32(0.1), 480, None)
    assert [said(visemes, time) for time in (3.63, 4.02, 5.9)] == ["aa", "PP", "sil"]
