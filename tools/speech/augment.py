"""Augmentation of speech: rooms, microphones and other sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter, resample_poly

from models.speech import FRAME, RATE
from tools.speech.voices import Sound, Spoken

Random = np.random.Generator


def labels(phones: Sequence[tuple[float, float, list[int]]], frames: int) -> npt.NDArray[np.int8]:
    """(frames,) viseme in the middle of each frame."""
    out = np.zeros(frames, np.int8)
    seconds = FRAME / RATE
    for start, end, visemes in phones:
        steps = np.linspace(start, end, len(visemes) + 1)
        for viseme, a, b in zip(visemes, steps[:-1], steps[1:], strict=True):
            first, last = (int(np.ceil(t / seconds - 0.5)) for t in (a, b))
            out[max(first, 0) : max(last, 0)] = viseme
    return out


def noise(random: Random, count: int, others: Sequence[Sound]) -> Sound:
    """White or coloured noise, hum, babble of other voices, or music."""
    white = random.standard_normal(count).astype(np.float32)
    time = np.arange(count) / RATE
    kind = random.integers(6)
    if kind == 0:
        return white
    if kind == 1:
        return np.asarray(lfilter([1], [1, -0.97], white), np.float32)
    if kind == 2:
        base = random.choice([50, 60, 100, 120])
        waves = [np.sin(2 * np.pi * base * (i + 1) * time + random.random() * 6) / (i + 1) for i in range(5)]
        return np.asarray(np.sum(waves, 0) + 0.05 * white, np.float32)
    if kind == 3 and others:
        voices = [
            np.resize(np.roll(others[random.integers(len(others))], random.integers(count)), count) for _ in range(4)
        ]
        return np.asarray(np.sum(voices, 0), np.float32)
    return music(random, count)


def music(random: Random, count: int) -> Sound:
    """Chords of decaying harmonics over a noise rhythm."""
    out = np.zeros(count, np.float32)
    place, beat = 0, int(RATE * random.uniform(0.15, 0.6))
    while place < count:
        length = min(beat * int(random.integers(1, 4)), count - place)
        time = np.arange(length) / RATE
        base = 80 * 2 ** (random.integers(0, 36) / 12)
        for interval in (1, 2 ** (random.choice([3, 4]) / 12), 2 ** (7 / 12)):
            for harmonic in range(1, int(random.integers(3, 9))):
                fade = np.exp(-time * random.uniform(1, 5)) / harmonic
                out[place : place + length] += (np.sin(2 * np.pi * base * interval * harmonic * time) * fade).astype(
                    np.float32
                )
        drum = random.standard_normal(min(length, RATE // 10)) * np.exp(
            -np.arange(min(length, RATE // 10)) / (RATE * 0.02)
        )
        out[place : place + len(drum)] += (random.uniform(0, 4) * drum).astype(np.float32)
        place += length
    return out


def varied(random: Random, spoken: Spoken, hard: bool, others: Sequence[Sound]) -> Spoken:
    """The same sentence faster or slower, in a room, through a microphone, with noise; stronger if ``hard``."""
    sound, phones = spoken.sound, list(spoken.phones)
    if hard:
        percent = round(100 * random.uniform(0.84, 1.22))
        sound = np.asarray(resample_poly(sound, 100, percent), np.float32)
        phones = [(a * 100 / percent, b * 100 / percent, visemes) for a, b, visemes in phones]
    before, after = random.uniform(0.1, 0.8), random.uniform(0.1, 0.6)
    sound = np.pad(sound, (int(before * RATE), int(after * RATE)))
    phones = [(a + before, b + before, visemes) for a, b, visemes in phones]
    count, level = len(sound), float(sound.std()) + 1e-5
    if random.random() < 0.5:  # a room
        length = int(random.uniform(0.08, 0.5) * RATE)
        echo = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        echo *= random.uniform(0.15, 0.9) / np.sqrt((echo**2).sum())
        echo[0] += 1
        sound = np.asarray(fftconvolve(sound, echo)[:count], np.float32)
    if random.random() < 0.7:  # a microphone, or a telephone
        spectrum, frequency = np.fft.rfft(sound), np.fft.rfftfreq(count, 1 / RATE) + 1
        gain = random.uniform(-4, 4) * np.log2(frequency / 1000) * 0.7
        for _ in range(3):
            gain = gain + random.uniform(-7, 7) * np.exp(-((np.log2(frequency / random.uniform(150, 6500)) / 0.6) ** 2))
        if random.random() < 0.15:
            gain = gain - 40 * (frequency > random.uniform(3300, 4200))
        sound = np.asarray(np.fft.irfft(spectrum * 10 ** (gain / 20), count), np.float32)
    if random.random() < (0.75 if hard else 0.4):
        other = noise(random, count, others)
        loud = level / (float(other.std()) + 1e-6) * 10 ** (-random.uniform(0 if hard else 15, 35) / 20)
        sound = sound + other * np.float32(loud)
    sound = sound + random.standard_normal(count) * level * 10 ** (-random.uniform(35, 70) / 20)
    return Spoken(np.asarray(sound, np.float32), phones)
