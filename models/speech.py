"""Speech at run time: sound to visemes, the shapes of the lips, by a small network of our own.

Sound is read in blocks of any length, so that an hour needs no more memory than a second. See
``assets/models/speech/viseme.md`` for the network and ``tools/train_speech.py`` for its training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.sessions import create_session
from models.weights import model_path

if TYPE_CHECKING:
    import onnxruntime

Sound = npt.NDArray[np.float32]
Values = npt.NDArray[np.float32]

VISEMES: Final = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "RR", "aa", "E", "I", "O", "U")
"""Classes: silence, p b m, f v, th, t d n l, k g h, sh ch, s z, r, and the vowels of car, bed, see, law, you."""
RATE: Final = 16000
"""Samples per second of one channel."""
FRAME: Final = 320
"""Samples of one frame: 50 frames a second."""
BANDS: Final = 40
_HOP, _WINDOW, _FFT = 160, 400, 512  # samples: two spectra make one frame
_LOW, _HIGH = 60.0, 7600.0  # Hz
CONTEXT: Final = (-16, -11, -7, -4, -2, -1, 0, 1, 2, 3, 5)
"""Frames in the network's input, counted from the frame that it classifies."""
BACK, AHEAD = -min(CONTEXT), max(CONTEXT)
LOOK_AHEAD: Final = AHEAD * FRAME / RATE + (_WINDOW - _HOP) / 2 / RATE
"""Seconds of sound after a moment that are needed for its viseme."""
LEVEL_QUANTILE: Final = 0.95
_FLOOR = 1e-10
_FAINT = -10.0  # level below which a whole sound counts as silence, natural logarithm of power
_HEARD = -4.0  # lowest assumed level of speech from a microphone
_SPREAD = 4.0  # natural logarithms of power per unit of input
_LEAST, _MOST = -4.0, 3.0
_BINS = np.linspace(np.log(_FLOOR), 12.0, 1025)  # of the histogram of levels
_FADE = 0.5 ** (1 / (8 * RATE / FRAME))  # decay of a microphone's level: half in 8 seconds


@dataclass(frozen=True)
class Visemes:
    """Speech in T frames of 20 ms.

    Attributes:
        share: (T, 14) probabilities of VISEMES.
        loudness: (T,) level of the frame relative to the loud parts of the sound, in units of four natural logarithms
            of power: 0 is loud speech, -2 barely audible.
    """

    share: Values
    loudness: Values

    def __len__(self) -> int:
        return len(self.share)

    def last(self, count: int) -> Visemes:
        """The last frames, at most so many."""
        return Visemes(self.share[-count:], self.loudness[-count:])

    @staticmethod
    def joined(parts: Iterable[Visemes]) -> Visemes:
        """Frames of several pieces in sequence."""
        pieces = list(parts)
        if not pieces:
            return Visemes(np.zeros((0, len(VISEMES)), np.float32), np.zeros(0, np.float32))
        return Visemes(np.concatenate([p.share for p in pieces]), np.concatenate([p.loudness for p in pieces]))


def _mel_weights() -> Values:
    """(257, BANDS) triangles, evenly spaced on the mel scale of Stevens, Volkmann and Newman (1937)."""
    frequencies = np.linspace(0, RATE / 2, _FFT // 2 + 1)
    low, high = (2595 * float(np.log10(1 + limit / 700)) for limit in (_LOW, _HIGH))
    mel = np.linspace(low, high, BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None), np.float32)


_MEL = _mel_weights()
_HANN = np.hanning(_WINDOW).astype(np.float32)


class Spectra:
    """Logarithmic mel spectra of sound in blocks; frame k is that of the samples around (k + 1/2) * FRAME."""

    def __init__(self) -> None:
        self._rest: Sound | None = None  # (channels, n) samples whose frames are not complete
        self._samples = 0
        self._frames = 0

    def feed(self, samples: Sound) -> Values:
        """(n, 2 * BANDS) spectra of the frames completed so far, natural logarithm of power.

        Args:
            samples: (N,) samples of one channel, or (channels, N) of several, whose powers are averaged: the average
                of the samples themselves would be silence for channels of opposite phase.
        """
        block = np.atleast_2d(samples).astype(np.float32, copy=False)
        self._samples += block.shape[1]
        before = np.zeros((len(block), _WINDOW // 2), np.float32) if self._rest is None else self._rest
        known = np.concatenate([before, block], 1)
        frames = max(0, (known.shape[1] - _WINDOW + _HOP) // FRAME)
        self._rest = known
        if not frames:
            return np.zeros((0, 2 * BANDS), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(known, _WINDOW, 1)[:, ::_HOP][:, : 2 * frames]
        power = np.mean([np.abs(np.fft.rfft(own * _HANN, _FFT)).astype(np.float32) ** 2 for own in windows], axis=0)
        self._rest = known[:, frames * FRAME :].copy()
        self._frames += frames
        return np.asarray(np.log(power @ _MEL + _FLOOR), np.float32).reshape(frames, 2 * BANDS)

    def finish(self) -> Values:
        """Spectra of the last frames, as if silence followed; one for every frame of sound, including a partial one."""
        missing = -(-self._samples // FRAME) - self._frames
        if missing <= 0 or self._rest is None:
            return np.zeros((0, 2 * BANDS), np.float32)
        need = (2 * missing - 1) * _HOP + _WINDOW - self._rest.shape[1]
        return self.feed(np.zeros((len(self._rest), max(need, 0)), np.float32))[:missing]


class LevelMeter:
    """Level of the loud parts of a sound, from a histogram: constant memory for any length."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_BINS) - 1, np.int64)

    def add(self, spectra: Values) -> None:
        """Count frames (n, 2 * BANDS) of logarithmic power; each spectrum counts separately."""
        levels = np.clip(spectra.reshape(-1, BANDS).mean(1), _BINS[0], _BINS[-1] - 1e-6)
        self._counts += np.histogram(levels, _BINS)[0]

    @property
    def level(self) -> float:
        """Level below which LEVEL_QUANTILE of the spectra lie."""
        total = self._counts.sum()
        if not total:
            return _FAINT
        place = int(np.searchsorted(np.cumsum(self._counts), LEVEL_QUANTILE * total))
        return max(float(_BINS[min(place, len(self._counts) - 1) + 1]), _FAINT)


def level_of(blocks: Iterable[Sound]) -> float:
    """Level of the loud parts of a whole sound (blocks as in ``Spectra.feed``), for :class:`SpeechReader`."""
    spectra, meter = Spectra(), LevelMeter()
    for block in blocks:
        meter.add(spectra.feed(block))
    meter.add(spectra.finish())
    return meter.level


def normalised(spectra: Values, level: float | Values) -> Values:
    """Input of the network, -4..3: logarithmic power relative to the level."""
    height = np.asarray(level, np.float32).reshape(-1, 1)
    return np.asarray(np.clip((spectra - height) / _SPREAD, _LEAST, _MOST), np.float32)


class SpeechReader:
    """Reads visemes from sound that comes in blocks.

    Args:
        level: Level of the loud parts of the sound (:func:`level_of`); None uses the loudest so far, as needed for a
            microphone.
    """

    def __init__(self, level: float | None = None) -> None:
        self._level = level
        self._spectra = Spectra()
        self._loudest = _HEARD
        self._inputs: Values | None = None
        self._loudness: Values = np.zeros(0, np.float32)

    def feed(self, samples: Sound) -> Visemes:
        """Visemes of the frames that can be classified now.

        Args:
            samples: (N,) or (channels, N), the next samples at 16 kHz, -1..1.
        """
        return self._read(self._spectra.feed(samples))

    def finish(self) -> Visemes:
        """Visemes of the remaining frames: in total one for every 20 ms of sound, including a partial frame."""
        rest = self._read(self._spectra.finish())
        if self._inputs is None:
            return rest
        return Visemes.joined([rest, self._tell(np.repeat(self._inputs[-1:], AHEAD, 0))])

    def _read(self, spectra: Values) -> Visemes:
        if not len(spectra):
            return Visemes.joined([])
        levels = spectra.reshape(len(spectra), 2, BANDS).mean(2).max(1)
        heights = self._heights(levels)
        self._loudness = np.concatenate([self._loudness, (levels - heights) / _SPREAD])
        inputs = normalised(spectra, heights)
        if self._inputs is None:
            self._inputs = np.repeat(inputs[:1], BACK, 0)
        return self._tell(inputs)

    def _heights(self, levels: Values) -> Values:
        """(n,) reference level of each frame."""
        if self._level is not None:
            return np.full(len(levels), self._level, np.float32)
        heights = np.empty(len(levels), np.float32)
        for i, level in enumerate(levels):
            self._loudest = max(float(level), _HEARD + (self._loudest - _HEARD) * _FADE)
            heights[i] = self._loudest
        return heights

    def _tell(self, inputs: Values) -> Visemes:
        """Visemes of the frames whose context is complete with these inputs."""
        assert self._inputs is not None
        known = np.concatenate([self._inputs, inputs])
        count = len(known) - BACK - AHEAD
        if count <= 0:
            self._inputs = known
            return Visemes.joined([])
        seen = np.arange(count)[:, None] + BACK + np.array(CONTEXT)
        share = _network().share(known[seen].reshape(count, -1))
        self._inputs = known[count:]
        loudness, self._loudness = self._loudness[:count], self._loudness[count:]
        return Visemes(share, loudness.astype(np.float32))


def read_speech(blocks: Iterable[Sound], level: float | None = None) -> Iterator[Visemes]:
    """Visemes of a sound, piece by piece.

    Args:
        blocks: (N,) or (channels, N) samples at 16 kHz, -1..1.
        level: See :class:`SpeechReader`.
    """
    reader = SpeechReader(level)
    for block in blocks:
        yield reader.feed(block)
    yield reader.finish()


def visemes_of(sound: Sound) -> Visemes:
    """Visemes of a whole sound in memory.

    Args:
        sound: (N,) or (channels, N) float32 samples at 16 kHz, -1..1.
    """
    return Visemes.joined(read_speech([sound], level_of([sound])))


class _Network:
    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return create_session(model_path("speech/viseme"), 1)

    def share(self, inputs: Values) -> Values:
        """(n, 14) probabilities for inputs (n, 11 * 2 * BANDS)."""
        scores = self._session.run(None, {"spectra": inputs})[0]
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


_NETWORK = _Network()


def _network() -> _Network:
    return _NETWORK
