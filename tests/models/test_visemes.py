"""Sound to visemes: block by block, at any level, for any length."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from models.speech import FRAME, LOOK_AHEAD, RATE, VISEMES, Reference, SpeechReader, Visemes, read_speech, reference_of

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


def read(sound: np.ndarray, block: int, reference: Reference | None) -> Visemes:
    return Visemes.joined(read_speech((sound[i : i + block] for i in range(0, len(sound), block)), reference))


def said(visemes: Visemes, time: float) -> str:
    return VISEMES[int(visemes.share[int(time * RATE / FRAME)].argmax())]


@pytest.mark.parametrize("block", [37, 320, 4096])
def test_blocks_of_any_size_say_the_same(voice: np.ndarray, block: int) -> None:
    sound = voice[RATE * 3 : RATE * 4 + 100]
    reference = reference_of([voice])
    whole = read(sound, len(sound), reference)
    parts = read(sound, block, reference)
    assert len(whole) == len(parts) == -(-len(sound) // FRAME)
    np.testing.assert_allclose(parts.share, whole.share, atol=1e-4)
    np.testing.assert_allclose(parts.loudness, whole.loudness, atol=1e-5)


def test_the_sample_says_what_it_says(voice: np.ndarray) -> None:
    """Middles of some of its phones, from the script that it was made of."""
    visemes = read(voice, 4096, reference_of([voice]))
    heard = [said(visemes, time) for time in (1.0, 3.19, 3.63, 4.02, 4.13, 5.9)]
    assert heard == ["sil", "O", "aa", "PP", "aa", "sil"]


@pytest.mark.parametrize("gain", [0.03, 4.0])
def test_quiet_and_loud_recordings_are_alike(voice: np.ndarray, gain: float) -> None:
    plain = read(voice, 4096, reference_of([voice]))
    other = read(voice * np.float32(gain), 4096, reference_of([voice * np.float32(gain)]))
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
    assert reference_of([]).level <= -10
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


def test_dull_and_sharp_microphones_change_little(voice: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second network hears shapes relative to the recording's own timbre."""
    monkeypatch.setattr("models.speech.TRUST", 1.0)
    sharp = np.append(voice[:1], voice[1:] - np.float32(0.9) * voice[:-1])
    dull = np.convolve(voice, np.array([0.5, 0.3, 0.2], np.float32))[: len(voice)]
    plain, *others = (read(sound, 4096, reference_of([sound])) for sound in (voice, sharp, dull))
    speech = plain.loudness > -1
    for other in others:
        assert (plain.share[speech].argmax(1) == other.share[speech].argmax(1)).mean() > 0.8


def test_timbre_is_known_from_the_first_word(voice: np.ndarray) -> None:
    """It starts from that of many recordings and approaches this one's, however the sound is divided and padded."""
    whole, parts = reference_of([voice]), reference_of(np.array_split(voice, 50))
    padded = reference_of([np.pad(voice, (0, len(voice)))])
    np.testing.assert_allclose(parts.timbre, whole.timbre, atol=0.01)
    np.testing.assert_allclose(padded.timbre, whole.timbre, atol=3)
    assert np.abs(reference_of([]).timbre - whole.timbre).max() > 5
