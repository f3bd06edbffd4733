"""Sound of the preview, heard at the time of the images, with a device of the test's own."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.media.audio import AudioSource
from app.media.sound import sound_of
from app.media.speaker import RATE, Played, Speaker

BLOCK = 480
DELAY = 0.03
LENGTH = 2.0


class Device:
    """sounddevice.OutputStream whose blocks the test asks for, and the time."""

    active = True

    def __init__(self) -> None:
        self.now = 100.0
        self.made: dict[str, Any] = {}

    def __call__(self, **how: Any) -> Device:
        self.made = how
        return self

    def start(self) -> None: ...

    def close(self) -> None:
        self.active = False

    def block(self) -> np.ndarray:
        """(BLOCK,) of the left channel; nothing before the device is open."""
        out = np.zeros((BLOCK, 2), np.float32)
        if self.made:
            self.made["callback"](out, BLOCK, SimpleNamespace(currentTime=5.0, outputBufferDacTime=5.0 + DELAY), None)
        return out[:, 0]


@pytest.fixture
def sound(tmp_path: Path) -> AudioSource:
    """Two seconds whose samples say their own time: from 0.1 to 0.9."""
    ramp = 32767 * np.linspace(0.1, 0.9, int(RATE * LENGTH), endpoint=False)
    with wave.open(str(tmp_path / "ramp.wav"), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(ramp.astype("<i2").tobytes())
    return sound_of(tmp_path / "ramp.wav")


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def speaker(device: Device) -> Iterator[Speaker]:
    speaker = Speaker(lambda: device.now, device)
    yield speaker
    speaker.close()
    assert not device.active or not device.made


def heard_at(block: np.ndarray) -> float | None:
    """Time in the sound of the last sample of a block; None for silence, and where it begins or ends."""
    within = np.diff(block) >= 0
    return None if block.min() < 0.05 or within.sum() < len(within) - 1 else float(block[-1] - 0.1) / 0.8 * LENGTH


def run(
    speaker: Speaker, device: Device, seconds: float, place: Callable[[float], float], speed: float = 1.0
) -> list[float]:
    """Let time pass with an image every 40 ms; how far the sound is behind them, block by block.

    Args:
        place: Time of the image in the sound, from the seconds that passed.
        speed: Speed of the device's clock.
    """
    late, step = [], BLOCK / RATE / speed
    for number in range(round(seconds / step)):
        passed = number * step
        if number % 4 == 0:
            speaker.show(Fraction(place(passed)))
            speaker.wait(0.2, 10)
        found = heard_at(device.block())
        if found is not None:
            off = (place(passed) + DELAY + BLOCK / RATE - found) % LENGTH
            late.append(min(off, off - LENGTH, key=abs))
        device.now += step
    return late


def test_sound_follows_the_images_round_and_round(speaker: Speaker, device: Device, sound: AudioSource) -> None:
    speaker.play(Played(sound, Fraction(2)))
    late = run(speaker, device, 5.0, lambda passed: passed % LENGTH)
    assert len(late) > 480  # silent for a moment at the beginning only
    assert np.abs(late).max() < 0.011
    late = run(speaker, device, 12.0, lambda passed: (5 + passed) % LENGTH, speed=1.02)  # the device runs ahead
    assert np.abs(late).max() < 0.075
    assert len(late) > 1150


def test_sound_is_silent_in_pauses_and_while_the_user_seeks(
    speaker: Speaker, device: Device, sound: AudioSource
) -> None:
    speaker.play(Played(sound, Fraction(2), loop=False))
    assert run(speaker, device, 0.4, lambda passed: passed)
    speaker.hush()
    device.block()
    assert not device.block().any()
    assert run(speaker, device, 0.4, lambda passed: 1 + passed)
    assert not run(speaker, device, 0.5, lambda passed: 1.9 - 8 * passed % 1.7)  # dragged to and fro
    late = run(speaker, device, 0.6, lambda passed: 0.5 + passed)
    assert 0 < len(late) < 45
    assert np.abs(late).max() < 0.011
    device.now += 2  # no image comes
    device.block()
    assert not device.block().any()
    assert run(speaker, device, 1.0, lambda passed: 1.5 + passed)  # past the end: it doesn't start over
    assert not device.block().any()


def test_without_a_device_it_is_silent(sound: AudioSource) -> None:
    def none(**_: Any) -> Any:
        raise OSError("no device.")

    now = [0.0]
    speaker = Speaker(lambda: now[0], none)
    speaker.play(Played(sound, Fraction(2)))
    for number in range(5):
        now[0] = number / 25
        speaker.show(Fraction(number, 25))
        speaker.wait(0.1, 0.05)
    assert speaker.problem == "The preview is silent: no device."
    speaker.close()
