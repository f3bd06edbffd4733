"""Speech at run time: sound to visemes, the shapes of the lips, by two small networks of our own.

Sound is read in blocks of any length, so that an hour needs no more memory than a second. One network was trained on
synthetic speech in many languages and hears through noise; the other one knows the timbre of many real speakers of
English. Their opinions are averaged. See ``assets/models/speech/`` for both, ``tools/train_speech.py`` and
``tools/train_timbre.py`` for their training.
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
CEPSTRA: Final = 13
"""Coefficients of the shape of a spectrum."""
_AUDIBLE = -8.0  # level above which a spectrum counts for the timbre, relative to the loud parts
_TIMBRE = np.array([-13, 19, 8, 18, -4, 1, -1, -5, 0, -1, 1, 0, 0], np.float32)  # mean of 957 synthetic recordings
_ASSUMED, _KEPT = 50, 1000  # spectra that _TIMBRE counts for, and that a microphone's timbre remembers
_REACH = 10  # spectra before and after the one that the second network classifies: 3 for slopes, 7 for smoothing
_SMOOTH = np.exp(-0.5 * (np.arange(-7, 8, dtype=np.float32) / 3) ** 2)  # opinions are averaged over some 70 ms
_SMOOTH *= 3 / _SMOOTH.sum()  # and count three times: the spectra of a moment are partly independent
TRUST: Final = 0.45
"""Share of the second network in the result: more is better in clean sound, less in noise."""
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


def _cepstral_weights() -> Values:
    """(BANDS, CEPSTRA) logarithmic mel spectrum to cosine transform of 25 bands, 130 to 6800 Hz, as PocketSphinx has.

    Source: ``fe_interface.c`` of PocketSphinx 5, with ``feat.params`` of its English model; each of its bands averages
    ours around its middle.
    """
    low, high, first, last = (2595 * np.log10(1 + limit / 700) for limit in (_LOW, _HIGH, 130, 6800))
    ours, theirs = np.linspace(low, high, BANDS + 2)[1:-1], np.linspace(first, last, 27)[1:-1]
    near = np.clip(1 - np.abs(ours[:, None] - theirs) / ((last - first) / 26), 0, None)
    order = np.arange(CEPSTRA)
    cosine = np.cos(np.pi * order * (np.arange(25)[:, None] + 0.5) / 25) * np.sqrt(np.where(order == 0, 1, 2) / 25)
    lifter = 1 + 11 * np.sin(np.pi * order / 22)
    return np.asarray(near / near.sum(0) @ (cosine * lifter), np.float32)


_MEL = _mel_weights()
CEPSTRAL: Final = _cepstral_weights()
"""(BANDS, CEPSTRA) from a logarithmic mel spectrum to its shape."""
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


@dataclass(frozen=True)
class Reference:
    """What a recording's spectra are compared with.

    Attributes:
        level: Level of the loud parts: mean natural logarithm of power.
        timbre: (CEPSTRA,) mean shape of the audible spectra, relative to the level.
    """

    level: float
    timbre: Values


class ReferenceMeter:
    """Reference of a sound, from histograms: constant memory for any length."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_BINS) - 1, np.int64)
        self._sums = np.zeros((len(_BINS) - 1, CEPSTRA))

    def add(self, spectra: Values) -> None:
        """Count frames (n, 2 * BANDS) of logarithmic power; each spectrum counts separately."""
        rows = spectra.reshape(-1, BANDS)
        levels = np.clip(rows.mean(1), _BINS[0], _BINS[-1] - 1e-6)
        places = np.clip(np.searchsorted(_BINS, levels, "right") - 1, 0, len(self._counts) - 1)
        self._counts += np.bincount(places, minlength=len(self._counts))
        np.add.at(self._sums, places, rows @ CEPSTRAL)

    @property
    def reference(self) -> Reference:
        """Level below which LEVEL_QUANTILE of the spectra lie, and the mean of those above _AUDIBLE."""
        total = self._counts.sum()
        if not total:
            return Reference(_FAINT, _TIMBRE)
        place = int(np.searchsorted(np.cumsum(self._counts), LEVEL_QUANTILE * total))
        level = max(float(_BINS[min(place, len(self._counts) - 1) + 1]), _FAINT)
        heard = _BINS[1:] > level + _AUDIBLE
        count = int(self._counts[heard].sum())
        total_shape = self._sums[heard].sum(0) - count * level * CEPSTRAL.sum(0)
        return Reference(level, np.asarray((total_shape + _ASSUMED * _TIMBRE) / (count + _ASSUMED), np.float32))


def reference_of(blocks: Iterable[Sound]) -> Reference:
    """Reference of a whole sound (blocks as in ``Spectra.feed``), for :class:`SpeechReader`."""
    spectra, meter = Spectra(), ReferenceMeter()
    for block in blocks:
        meter.add(spectra.feed(block))
    meter.add(spectra.finish())
    return meter.reference


def normalised(spectra: Values, level: float | Values) -> Values:
    """Input of the network, -4..3: logarithmic power relative to the level."""
    height = np.asarray(level, np.float32).reshape(-1, 1)
    return np.asarray(np.clip((spectra - height) / _SPREAD, _LEAST, _MOST), np.float32)


class SpeechReader:
    """Reads visemes from sound that comes in blocks.

    Args:
        reference: That of the sound (:func:`reference_of`); None uses the loudest and the mean so far, as needed for a
            microphone.
    """

    def __init__(self, reference: Reference | None = None) -> None:
        self._reference = reference
        self._spectra = Spectra()
        self._loudest = _HEARD
        self._timbre, self._heard = _TIMBRE, _ASSUMED
        self._inputs: Values | None = None  # (n, 2 * BANDS + 2 * CEPSTRA)
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
        inputs = np.concatenate([inputs, self._shapes(inputs, levels - heights)], 1)
        if self._inputs is None:
            self._inputs = np.repeat(inputs[:1], BACK, 0)
        return self._tell(inputs)

    def _heights(self, levels: Values) -> Values:
        """(n,) reference level of each frame."""
        if self._reference is not None:
            return np.full(len(levels), self._reference.level, np.float32)
        heights = np.empty(len(levels), np.float32)
        for i, level in enumerate(levels):
            self._loudest = max(float(level), _HEARD + (self._loudest - _HEARD) * _FADE)
            heights[i] = self._loudest
        return heights

    def _shapes(self, inputs: Values, levels: Values) -> Values:
        """(n, 2 * CEPSTRA) shapes of the spectra relative to the timbre of the recording."""
        rows = np.float32(_SPREAD) * inputs.reshape(-1, BANDS)
        shapes = np.asarray(rows @ CEPSTRAL, np.float32).reshape(len(inputs), 2, CEPSTRA)
        if self._reference is not None:
            return np.asarray(shapes - self._reference.timbre, np.float32).reshape(len(inputs), -1)
        out = np.empty_like(shapes)
        for i, level in enumerate(levels):
            if level > _AUDIBLE:
                self._heard = min(self._heard + 2, _KEPT)
                self._timbre = self._timbre + (shapes[i].mean(0) - self._timbre) * np.float32(2 / self._heard)
            out[i] = shapes[i] - self._timbre
        return np.asarray(out, np.float32).reshape(len(inputs), -1)

    def _tell(self, inputs: Values) -> Visemes:
        """Visemes of the frames whose context is complete with these inputs."""
        assert self._inputs is not None
        known = np.concatenate([self._inputs, inputs])
        count = len(known) - BACK - AHEAD
        if count <= 0:
            self._inputs = known
            return Visemes.joined([])
        seen = np.arange(count)[:, None] + BACK + np.array(CONTEXT)
        share = (1 - TRUST) * _VISEMES.share(known[:, : 2 * BANDS][seen].reshape(count, -1))
        share += TRUST * _of_shapes(known[:, 2 * BANDS :].reshape(-1, CEPSTRA), count)
        self._inputs = known[count:]
        loudness, self._loudness = self._loudness[:count], self._loudness[count:]
        return Visemes(share, loudness.astype(np.float32))


def slopes(shapes: Values) -> Values:
    """(n - 6, 3 * CEPSTRA) shapes with their first and second differences, as PocketSphinx takes them.

    Args:
        shapes: (n, CEPSTRA) of consecutive spectra; three at each end only serve the differences.
    """
    count = len(shapes) - 6

    def at(offset: int) -> Values:
        return shapes[3 + offset : 3 + offset + count]

    return np.concatenate([at(0), at(2) - at(-2), at(3) - at(-1) - at(1) + at(-3)], 1)


def _of_shapes(shapes: Values, count: int) -> Values:
    """(count, 14) opinion of the second network; frames are padded by BACK and AHEAD.

    Each frame is told from the spectra around its middle, which is that of its second spectrum.
    """
    first = 2 * BACK + 1 - _REACH
    scores = _TIMBRES.scores(slopes(shapes[first : first + 2 * count - 1 + 2 * _REACH]))
    windows = np.lib.stride_tricks.sliding_window_view(scores, len(_SMOOTH), 0)[::2]
    return _probabilities(windows @ _SMOOTH)


def read_speech(blocks: Iterable[Sound], reference: Reference | None = None) -> Iterator[Visemes]:
    """Visemes of a sound, piece by piece.

    Args:
        blocks: (N,) or (channels, N) samples at 16 kHz, -1..1.
        reference: See :class:`SpeechReader`.
    """
    reader = SpeechReader(reference)
    for block in blocks:
        yield reader.feed(block)
    yield reader.finish()


def visemes_of(sound: Sound) -> Visemes:
    """Visemes of a whole sound in memory.

    Args:
        sound: (N,) or (channels, N) float32 samples at 16 kHz, -1..1.
    """
    return Visemes.joined(read_speech([sound], reference_of([sound])))


def _probabilities(scores: Values) -> Values:
    """(n, classes) softmax."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


class _Network:
    """A shipped network, loaded when it is first used."""

    def __init__(self, name: str, takes: str) -> None:
        self._name, self._takes = name, takes

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return create_session(model_path(self._name), 1)

    def scores(self, inputs: Values) -> Values:
        """(n, 14) scores for inputs (n, m)."""
        return np.asarray(self._session.run(None, {self._takes: inputs})[0], np.float32)

    def share(self, inputs: Values) -> Values:
        """(n, 14) probabilities for inputs (n, m)."""
        return _probabilities(self.scores(inputs))


_VISEMES = _Network("speech/viseme", "spectra")
_TIMBRES = _Network("speech/timbre", "shapes")
