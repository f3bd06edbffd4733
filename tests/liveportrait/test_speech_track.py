"""Speech and idling as expression tracks."""

from __future__ import annotations

import io

import numpy as np
import pytest

from liveportrait.expression import SLIDERS
from liveportrait.expression_track import ExpressionTrack
from liveportrait.speech import (
    FRAMES_PER_SECOND,
    TOUCHING,
    blinks,
    idle_track,
    speaking_track,
    speech_curves,
    wander,
)
from models.speech import VISEMES, Visemes

STEP = 1 / FRAMES_PER_SECOND


def spoken(*phones: tuple[str, float], loud: float = 0.0) -> Visemes:
    """Visemes as a sure network would tell them: (name, seconds) one after the other."""
    rows = []
    for name, seconds in phones:
        row = np.full(len(VISEMES), 0.2 / (len(VISEMES) - 1))
        row[VISEMES.index(name)] = 0.8
        rows += [row] * round(seconds / STEP)
    share = np.array(rows, np.float32)
    level = np.where(share[:, 0] > 0.5, -3.0, loud).astype(np.float32)
    return Visemes(share, level)


def at(values: np.ndarray, seconds: float) -> float:
    return float(values[int(seconds / STEP)])


@pytest.mark.parametrize("around", ["aa", "E", "O", "I"])
def test_lips_meet_on_p_b_and_m_and_open_on_vowels(around: str) -> None:
    curves = speech_curves(spoken((around, 0.2), ("PP", 0.06), (around, 0.2), ("PP", 0.06), (around, 0.2)))
    assert at(curves.opening, 0.23) < 0.01
    assert at(curves.opening, 0.49) < 0.01
    assert at(curves.opening, 0.36) > 0.06
    shut = curves.opening < 0.02
    assert 2 <= shut[: int(0.36 / STEP)].sum() <= 8  # long enough to be seen at 25 frames a second, no longer


def test_an_open_vowel_opens_wider_than_a_rounded_one_and_u_is_narrow() -> None:
    heights = {name: speech_curves(spoken((name, 0.4))).opening.max() for name in ("aa", "E", "I", "U")}
    assert heights["aa"] > heights["E"] > heights["I"] > heights["U"] > 0.02
    assert speech_curves(spoken(("U", 0.4))).width.min() < -0.8 < 0.4 < speech_curves(spoken(("SS", 0.4))).width.max()
    assert speaking_track(spoken(("U", 0.4))).at(0.2).values["pout"] > 0.5


def test_the_lower_lip_touches_the_teeth_on_f_and_v() -> None:
    curves = speech_curves(spoken(("aa", 0.2), ("FF", 0.08), ("aa", 0.2)))
    assert 0 < at(curves.opening, 0.24) <= TOUCHING + 0.005
    assert at(curves.touch, 0.24) > 0.9


def test_pauses_rest_and_short_stops_do_not() -> None:
    paused = speech_curves(spoken(("aa", 0.3), ("sil", 0.6), ("aa", 0.3)))
    assert at(paused.opening, 0.6) < 0.005
    stopped = speech_curves(spoken(("aa", 0.3), ("sil", 0.1), ("aa", 0.3)))
    assert at(stopped.opening, 0.35) > 0.03


def test_silence_keeps_the_lips_still() -> None:
    curves = speech_curves(spoken(("sil", 2.0)))
    assert curves.opening.std() < 0.005
    assert curves.opening.max() < 0.005


def test_loud_speech_opens_wider_than_quiet() -> None:
    loud, quiet = (speech_curves(spoken(("aa", 0.5), loud=level)).opening.max() for level in (0.0, -1.2))
    assert quiet < 0.9 * loud


def test_the_same_sound_gives_the_same_bytes_and_all_values_lie_in_their_ranges() -> None:
    said = spoken(("sil", 0.3), ("PP", 0.08), ("aa", 0.2), ("U", 0.2), ("FF", 0.1), ("E", 0.3), ("sil", 1.0))
    files = []
    for _ in range(2):
        out = io.BytesIO()
        speaking_track(said, gain=2.0, idle=1.0, seed=7, smile=1.0).save(out)
        files.append(out.getvalue())
    assert files[0] == files[1]
    track = ExpressionTrack.load(io.BytesIO(files[0]))
    assert track.duration == pytest.approx(len(said) * STEP)
    for name, channel in track.channels.items():
        if name in SLIDERS:
            assert SLIDERS[name].minimum <= channel.values.min() <= channel.values.max() <= SLIDERS[name].maximum
    other = speaking_track(said, idle=1.0, seed=8)
    assert not np.array_equal(other.channels["yaw"].values, track.channels["yaw"].values)
    np.testing.assert_array_equal(other.channels["lips"].times, track.channels["lips"].times)


def test_without_idling_only_the_mouth_moves() -> None:
    assert set(speaking_track(spoken(("aa", 0.5)), idle=0).channels) == {"lips", "wide", "pout", "purse"}


@pytest.mark.parametrize("visemes", [Visemes.joined([]), spoken(("aa", 0.02))], ids=["nothing", "one frame"])
def test_next_to_no_sound_gives_a_mouth_at_rest(visemes: Visemes) -> None:
    assert speaking_track(visemes).at(0).lip_ratio == 0


def test_an_idle_loop_has_no_seam() -> None:
    """First and last frame differ no more than neighbours do."""
    track = idle_track(10, 1.0, seed=3, loop=True)
    for name in ("yaw", "pitch", "roll", "blink", "gaze_x"):
        values = track.channels[name].values
        assert abs(values[0] - values[-1]) <= np.abs(np.diff(values)).max() + 1e-9


def test_idling_is_alive_and_not_drunk() -> None:
    track = idle_track(20, 0.5, seed=5)
    yaw = track.channels["yaw"].values
    assert 0.5 < yaw.std() < 3
    assert np.abs(np.diff(yaw)).max() * FRAMES_PER_SECOND < 15  # degrees a second
    shut = track.channels["blink"].values > 0.9
    assert 3 <= (np.diff(shut.astype(int)) == 1).sum() <= 14
    still = idle_track(20, 0.0, seed=5)
    assert still.channels["yaw"].values.std() == 0
    assert still.channels["blink"].values.max() == pytest.approx(1)


def test_drift_has_the_size_that_was_asked_for() -> None:
    random = np.random.default_rng(1)
    assert wander(random, 3000, 50, 2.0, 1.5).std() == pytest.approx(2.0)
    assert len(wander(random, 2, 50, 2.0, 1.5)) == 2
    assert blinks(random, 100, 50, True).max() <= 1
