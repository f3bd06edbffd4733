"""Speech as motion: lips, head, lids and brows of a speaker, as an expression track for every engine.

Lips follow visemes (``models.speech``) by targets and dominances, after Cohen and Massaro (1993): each viseme has a
target lip ratio and width, and its dominance weighs it against its neighbours. Lips meet on p, b and m and touch the
teeth on f and v, whatever the neighbours' targets. All randomness comes from one seed: the same sound gives the same
track.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.expression import Expression
from liveportrait.expression_track import Channel, ExpressionTrack, limits
from models.speech import FRAME, RATE, VISEMES, Visemes

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

FRAMES_PER_SECOND: Final = RATE // FRAME

OPENING: Final[dict[str, float]] = {
    "sil": -0.45, "PP": -1.3, "FF": -0.8, "TH": -0.05, "DD": -0.15, "kk": 0.3, "CH": 0.25, "SS": 0.3, "RR": -0.55,
    "aa": 1.5, "E": 1.1, "I": 0.7, "O": -0.1, "U": -0.85,
}  # fmt: skip
"""Target lip ratio of a viseme, in a speaker's own standard deviations; fitted on speakers (docs/quality.md)."""
WIDTH: Final[dict[str, float]] = {
    "sil": 0.0, "PP": -0.4, "FF": 0.3, "TH": 0.1, "DD": 0.4, "kk": 0.2, "CH": -0.5, "SS": 0.8, "RR": -0.8,
    "aa": 0.3, "E": 0.5, "I": 0.3, "O": -0.7, "U": -1.8,
}  # fmt: skip
"""Target width, in the same units; below 0 the lips are rounded."""
DOMINANCE: Final = {"CH": 1.5, "RR": 1.5, "O": 1.5, "U": 1.5}
"""Weight of rounded visemes in the width against the others, 1: lips round early and stay round."""
USUAL, SPREAD = 0.14, 0.19
"""Lip ratio (Expression.lip_ratio) of a target of 0, and its increase per unit: varies as much as a real speaker's."""
WIDEST: Final = 0.42
QUIET: Final = 0.8
"""Share of the lip ratio that remains in barely audible speech; real speakers hardly open less for it."""
CLOSURE: Final = 0.25
"""Least probability of p, b or m in the middle of a closure."""
TOUCH: Final = 0.3
"""Least probability of f or v in the middle of a contact of lip and teeth."""
TOUCHING: Final = 0.03
"""Lip ratio on f and v: the lower lip at the teeth."""
ROUNDED: Final = 0.65
"""Slider "pout" per unit of narrowing: more than a real mouth narrows, for the lips of a photo hardly come forward."""
MOST_ROUNDED: Final = 0.75
"""Most of it: beyond, the lips of a photo are pressed into a button."""
VOWEL_GAP: Final = (0.05, 0.4, 0.2)
"""Lip ratio that stays open in a vowel; probability of vowels from which it starts, and further until it is reached."""
ALSO_W: Final = 0.75
"""Weight of u among these vowels: it stands for w as well, in which the lips nearly meet."""
SMILE_OFF: Final = (0.3, 0.6)
"""Sliders "smile" and "wide" that a full smile of the source loses while it talks: about two thirds of the smile."""
PAUSE: Final = 0.2
"""Seconds of silence after which the mouth rests."""
READY: Final = (0.12, 0.16)
"""Seconds before and after speech in which the lips are apart already, and still: speakers breathe and listen."""


@dataclass(frozen=True)
class SpeechCurves:
    """Movement of the mouth, at the middles of T frames of 20 ms.

    Attributes:
        opening: (T,) as Expression.lip_ratio.
        width: (T,) about -1.5 (rounded) to 1 (spread).
        touch: (T,) 0..1, the lower lip at the upper teeth.
        stress: (T,) 0..1, loudness relative to the loudest syllables.
        talking: (T,) 0..1.
    """

    opening: Floats
    width: Floats
    touch: Floats
    stress: Floats
    talking: Floats


def smooth(values: Floats, frames: float) -> Floats:
    """Gaussian smoothing along the first axis; the ends hold."""
    reach = max(1, round(3 * frames))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(frames, 1e-6)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    if values.ndim == 1:
        return np.convolve(padded, kernel, "valid")
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], 1)


def speech_curves(visemes: Visemes, gain: float = 1.0) -> SpeechCurves:
    """Movement of the mouth for a sequence of visemes.

    Args:
        visemes: T frames.
        gain: How far the mouth opens; 1 is normal.
    """
    count = len(visemes)
    if not count:
        nothing = np.zeros(0)
        return SpeechCurves(nothing, nothing, nothing, nothing, nothing)
    share = visemes.share.astype(np.float64)
    index = {name: VISEMES.index(name) for name in VISEMES}
    spoken = 1 - share[:, 0]
    stress = smooth(np.clip(1 + visemes.loudness.astype(np.float64) / 1.5, 0, 1), 2.5) * smooth(spoken, 2)
    asked = smooth(share, 1.5)
    opening = smooth(asked @ np.array([OPENING[name] for name in VISEMES]), 1.0)
    weighed = asked * np.array([DOMINANCE.get(name, 1.0) for name in VISEMES])
    width = smooth(weighed @ np.array([WIDTH[name] for name in VISEMES]) / weighed.sum(1), 2.5)
    ratio = np.clip(USUAL + SPREAD * opening, 0, WIDEST) * (QUIET + (1 - QUIET) * np.clip(1.3 * stress, 0, 1))
    talking = smooth(_pauses(spoken), 4)
    ratio = np.clip(gain * ratio, 0, WIDEST) * np.clip(1.2 * talking, 0, 1)
    touch = _held(share[:, index["FF"]], TOUCH, (0.06, 0.05, 0.07))
    ratio = ratio + touch * (np.minimum(ratio, TOUCHING) - ratio)
    ratio *= 1 - _held(share[:, index["PP"]], CLOSURE, (0.05, 0.04, 0.06))
    gap, start, further = VOWEL_GAP
    vowels = smooth(share[:, index["aa"] : index["U"]].sum(1) + ALSO_W * share[:, index["U"]], 0.7)
    ratio = np.maximum(ratio, gap * min(gain, 1.0) * np.clip((vowels - start) / further, 0, 1))
    return SpeechCurves(ratio, width * talking, touch, np.clip(stress, 0, 1), talking)


def _pauses(spoken: Floats) -> Floats:
    """(T,) 1 during speech and READY around it, 0 in longer silences of PAUSE seconds or more."""
    out = (spoken > 0.5).astype(np.float64)
    edges = np.flatnonzero(np.diff(np.concatenate([[1.0], out, [1.0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        at_end = start == 0 or end == len(out)
        if not at_end and (end - start) / FRAMES_PER_SECOND < PAUSE:
            out[start:end] = 1
    early, late = (round(seconds * FRAMES_PER_SECOND) for seconds in READY)
    around = np.concatenate([np.zeros(late), out, np.zeros(early)])
    return np.lib.stride_tricks.sliding_window_view(around, early + late + 1).max(1)


def _held(share: Floats, least: float, course: tuple[float, float, float]) -> Floats:
    """(T,) 0..1: movements that are completed wherever a viseme is likely enough.

    Args:
        share: (T,) its probability.
        least: Probability in the middle from which the movement is made.
        course: Seconds in which it begins, holds and ends.
    """
    out = np.zeros(len(share))
    padded = np.concatenate([[0.0], share, [0.0]])
    peaks = np.flatnonzero((share >= least) & (share >= padded[:-2]) & (share > padded[2:]))
    fall, hold, rise = (seconds * FRAMES_PER_SECOND for seconds in course)
    for peak in peaks:
        # as long as the viseme is likely, and at least as long as the lips need
        first = last = int(peak)
        while first > 0 and share[first - 1] >= 0.6 * least:
            first -= 1
        while last < len(share) - 1 and share[last + 1] >= 0.6 * least:
            last += 1
        begin, end = min(first, peak - hold / 2), max(last, peak + hold / 2)
        low, high = max(0, int(begin - fall)), min(len(share), int(end + rise) + 2)
        at = np.arange(low, high)
        away = np.where(at < begin, (begin - at) / fall, np.where(at > end, (at - end) / rise, 0.0))
        rest = np.clip(1 - away, 0, 1)
        out[low:high] = np.maximum(out[low:high], rest * rest * (3 - 2 * rest))
    return out


# ---- life ----------------------------------------------------------------------------------------------------------
def wander(random: Random, count: int, rate: float, size: float, seconds: float) -> Floats:
    """(count,) slow drift that loops seamlessly: the last value continues into the first.

    Args:
        random: Source of randomness.
        count: Number of values.
        rate: Values per second.
        size: Standard deviation.
        seconds: Correlation time.
    """
    if count < 4:
        return np.zeros(count)
    frequency = np.fft.rfftfreq(count, 1 / rate)
    strength = 1 / (1 + (2 * np.pi * frequency * seconds) ** 2) / (1 + (frequency / 0.7) ** 4)
    strength[0] = 0
    phases = random.normal(size=(len(frequency), 2)) @ np.array([1, 1j])
    out = np.fft.irfft(phases * np.sqrt(strength), count)
    return np.asarray(size * out / max(float(out.std()), 1e-9))


BLINK: Final = (0.08, 0.05, 0.16)
"""Seconds in which lids close, stay shut and open."""


def blinks(random: Random, count: int, rate: float, loop: bool, moments: Floats | None = None) -> Floats:
    """(count,) 0 open to 1 shut.

    Args:
        random: Source of randomness.
        count: Number of values.
        rate: Values per second.
        loop: No blink extends past the end.
        moments: Seconds at which a blink is likely, such as ends of phrases.
    """
    out, length, time = np.zeros(count), count / rate, float(random.uniform(0.6, 2.0))
    at = np.arange(count) / rate
    close, hold, reopen = BLINK
    room = sum(BLINK) if loop else 0.0
    while time < length - room:
        if moments is not None and len(moments):
            near = moments[int(np.abs(moments - time).argmin())]
            time = float(near) if abs(near - time) < 0.7 and near < length - room else time
        since = at - time
        lid = np.interp(since, [0, close, close + hold, close + hold + reopen], [0, 1, 1, 0], left=0, right=0)
        out = np.maximum(out, lid * lid * (3 - 2 * lid))
        time += 0.6 + float(random.gamma(2.2, 1.5))
    return out


def gaze_darts(random: Random, count: int, rate: float, size: float) -> tuple[Floats, Floats]:
    """(count,) gaze to the right and up: quick moves between fixations, returning to the middle repeatedly."""
    x, y = np.zeros(count), np.zeros(count)
    place = int(random.uniform(0.5, 2) * rate)
    while place < count - int(0.6 * rate):
        stay = min(int(random.uniform(0.3, 1.2) * rate), count - int(0.3 * rate) - place)
        x[place : place + stay], y[place : place + stay] = random.normal(0, size), random.normal(0, 0.5 * size)
        place += stay + int(random.gamma(2.0, 1.2) * rate)
    return smooth(x, 0.02 * rate), smooth(y, 0.02 * rate)


@dataclass(frozen=True)
class _Life:
    """Curves of head, lids, gaze and brows, (n,) each, at a rate."""

    channels: dict[str, Floats]
    rate: float

    def track(self, duration: float, *, loop: bool = False) -> ExpressionTrack:
        """The curves as a track; in a loop, the last value goes on to the first one."""
        some = next(iter(self.channels.values()))
        times = np.asarray((np.arange(len(some)) + 0.5) / self.rate, np.float64)
        kept = {name: np.clip(values, *limits(name)) for name, values in self.channels.items()}
        if loop:
            times = np.array([0.0, *times, duration])
            ends = {name: (values[0] + values[-1]) / 2 for name, values in kept.items()}
            kept = {name: np.array([ends[name], *values, ends[name]]) for name, values in kept.items()}
        return ExpressionTrack({name: Channel(times, values, "linear") for name, values in kept.items()}, duration)


def idle_track(duration: float, amount: float = 0.5, seed: int = 0, *, loop: bool = False) -> ExpressionTrack:
    """A person at rest: the head drifts, the eyes blink and look around.

    Args:
        duration: Seconds.
        amount: 0 only blinks, 1 lively.
        seed: The same seed gives the same track.
        loop: The end blends into the beginning.
    """
    random = np.random.default_rng(seed)
    rate = float(FRAMES_PER_SECOND)
    count = max(4, round(duration * rate))
    step = duration / count
    scale = 2 * amount
    breath = 0.35 * scale * np.sin(2 * np.pi * max(1, round(duration / 4)) * np.arange(count) / count)
    x, y = gaze_darts(random, count, rate, 0.16 * scale)
    channels = {
        "pitch": wander(random, count, rate, 0.9 * scale, 1.0) + breath,
        "yaw": wander(random, count, rate, 2.0 * scale, 1.5),
        "roll": wander(random, count, rate, 0.8 * scale, 1.5),
        "gaze_x": np.clip(x, -0.5, 0.5),
        "gaze_y": np.clip(y, -0.4, 0.4),
        "blink": blinks(random, count, rate, loop),
        "brow": np.clip(wander(random, count, rate, 0.05 * scale, 1.0), -0.2, 0.3),
        "smile": np.clip(wander(random, count, rate, 0.04 * scale, 2.0), -0.1, 0.2),
    }
    return _Life(channels, 1 / step).track(duration, loop=loop)


def speaking_track(
    visemes: Visemes, gain: float = 1.0, idle: float = 0.5, seed: int = 0, smile: float = 0.0
) -> ExpressionTrack:
    """A person who speaks.

    Args:
        visemes: The speech.
        gain: How far the mouth opens, 0..2.
        idle: Movement of head, lids, gaze and brows, 0 (the mouth only) to 1.
        seed: Seed of all randomness; callers derive it from the sound.
        smile: How much the source itself smiles, 0..1: half of it is removed while the mouth is busy.
    """
    curves, rate = speech_curves(visemes, gain), float(FRAMES_PER_SECOND)
    count = len(visemes)
    if count < 2:
        still = Channel(np.zeros(1, np.float64), np.zeros(1, np.float64))
        return ExpressionTrack({"lips": still}, max(count, 1) / rate)
    channels = _mouth(curves, gain, smile)
    if idle > 0:
        channels |= _while_talking(np.random.default_rng(seed), curves, count, rate, 2 * idle)
    return _Life(channels, rate).track(count / rate)


def _mouth(curves: SpeechCurves, gain: float, smile: float) -> dict[str, Floats]:
    """Channels of the mouth; see :func:`speaking_track`."""
    busy = smile * smooth(curves.talking, 10)
    spread, rounded = np.maximum(curves.width, 0), np.maximum(-curves.width, 0)
    channels = {
        "lips": curves.opening,
        "wide": np.clip(0.5 * gain * spread - 0.3 * gain * rounded - SMILE_OFF[1] * busy, -1.0, 0.7),
        "pout": np.clip(ROUNDED * gain * rounded, 0, MOST_ROUNDED),
        "purse": np.clip(-0.35 * curves.touch, -0.35, 0),
    }
    if smile > 0:
        channels["smile"] = -SMILE_OFF[0] * busy
    return channels


def _while_talking(random: Random, curves: SpeechCurves, count: int, rate: float, scale: float) -> dict[str, Floats]:
    """Head, lids, gaze and brows of a speaker: nods with stressed syllables, blinks at the ends of phrases."""
    phrase = smooth(curves.stress, 0.25 * rate)
    nod = -4.5 * scale * (phrase - smooth(phrase, 1.2 * rate))
    busy = 0.6 + 0.4 * smooth(curves.talking, 0.4 * rate)
    ends = np.flatnonzero(np.diff((curves.talking > 0.5).astype(int)) == -1) / rate
    x, y = gaze_darts(random, count, rate, 0.1 * scale)
    loud = np.quantile(phrase, 0.75) if count else 0.0
    return {
        "pitch": np.clip(nod + busy * wander(random, count, rate, 0.8 * scale, 1.0), -8, 8),
        "yaw": np.clip(busy * wander(random, count, rate, 2.2 * scale, 1.5), -12, 12),
        "roll": np.clip(busy * wander(random, count, rate, 1.1 * scale, 1.5), -7, 7),
        "gaze_x": np.clip(x, -0.5, 0.5),
        "gaze_y": np.clip(y, -0.4, 0.4),
        "blink": blinks(random, count, rate, False, ends),
        "brow": smooth(np.clip(1.6 * scale * (phrase - loud), 0, 0.35), 0.06 * rate),
    }


# ---- while somebody speaks -----------------------------------------------------------------------------------------
REMEMBERED: Final = 100
"""Frames that the newest expression is computed from."""
LATER: Final = 3
"""Frames after a moment that its expression waits for, so that closures begin in time."""
ROUND: Final = 60.0
"""Seconds after which the life of a live speaker repeats."""


def spoken_now(recent: Visemes, gain: float = 1.0, smile: float = 0.0) -> Expression:
    """Expression of the mouth of somebody who is speaking, at the frame LATER frames before the last.

    Args:
        recent: The last frames, REMEMBERED at most.
        gain: How far the mouth opens, 1 as usual.
        smile: How much the source itself smiles, 0..1.
    """
    if not len(recent):
        return Expression({}, lip_ratio=0.0)
    channels = _mouth(speech_curves(recent, gain), gain, smile)
    at = max(0, len(recent) - 1 - LATER)
    values = {name: float(np.clip(curve[at], *limits(name))) for name, curve in channels.items()}
    lips = values.pop("lips")
    return Expression(values, lip_ratio=lips)
