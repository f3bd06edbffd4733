"""The microphone's sound under a clip: in step with the clock, gaps filled, cut at both ends; with a made-up stream."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from app.errors import MediaError, MissingError
from app.media.microphone import KEPT, RATE, Microphone, MicrophoneSound
from app.media.writer import ClipWriter


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


class Stream:
    """sounddevice.InputStream whose sound the test speaks."""

    latency = 0.0

    def __init__(self, callback: Callable[..., None], **how: Any) -> None:
        self.how, self.callback, self.closed = how, callback, False

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def speak(self, samples: np.ndarray) -> None:
        self.callback(samples.reshape(-1, 1).astype(np.float32), len(samples), None, None)


def opened(clock: Clock) -> tuple[Microphone, Stream]:
    made: list[Stream] = []

    def make(**how: Any) -> Stream:
        made.append(Stream(**how))
        return made[-1]

    return Microphone(clock=clock, stream=make), made[0]


def pulse(seconds: float, at: float) -> np.ndarray:
    """A tone of 50 ms in silence."""
    out = np.zeros(round(seconds * RATE), np.float32)
    start = round(at * RATE)
    out[start : start + RATE // 20] = 0.5 * np.sin(np.arange(RATE // 20) * 2 * np.pi * 1000 / RATE)
    return out


def loud_from(path: Path) -> tuple[float, float]:
    """Seconds at which the sound of a file begins to be loud, and its length."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", RATE)
        blocks, begun = [], None
        for frame in file.decode(stream):
            begun = float(frame.pts * frame.time_base) if begun is None else begun
            blocks += [b.to_ndarray()[0] for b in resampler.resample(frame)]
    samples = np.concatenate(blocks)
    assert begun is not None
    return begun + float(np.flatnonzero(np.abs(samples) > 0.1)[0]) / RATE, begun + len(samples) / RATE


def record(path: Path, script: Callable[[Clock, Stream], None], zero: float) -> Path:
    """A clip of two seconds with the sound that the script speaks."""
    clock = Clock()
    microphone, stream = opened(clock)
    script(clock, stream)
    sound: Any = MicrophoneSound(microphone, zero)
    with ClipWriter(path, (32, 32), Fraction(25), Fraction(1, 90000), sound) as writer:
        for i in range(50):
            writer.write(np.zeros((32, 32, 3), np.uint8), Fraction(i, 25))
        writer.finish(Fraction(2))
    microphone.close()
    assert stream.closed
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_sound_is_where_it_was_heard(tmp_path: Path, suffix: str) -> None:
    def script(clock: Clock, stream: Stream) -> None:
        for k in range(25):  # blocks of 100 ms from second 50.0 on; the tone at 51.0
            clock.now = 50.1 + 0.1 * k
            stream.speak(pulse(2.5, 1.0)[k * RATE // 10 : (k + 1) * RATE // 10])

    begin, length = loud_from(record(tmp_path / f"out{suffix}", script, zero=50.4))
    assert begin == pytest.approx(0.6, abs=0.01)
    assert length == pytest.approx(2.0, abs=0.05)


def test_late_start_and_gaps_become_silence(tmp_path: Path) -> None:
    def script(clock: Clock, stream: Stream) -> None:
        clock.now = 50.5
        stream.speak(np.zeros(RATE // 10))  # 50.4 to 50.5; the clip begins at 50.0
        clock.now = 51.5
        stream.speak(pulse(0.3, 0.1))  # 51.2 to 51.5, tone at 51.3

    begin, _ = loud_from(record(tmp_path / "out.mp4", script, zero=50.0))
    assert begin == pytest.approx(1.3, abs=0.01)


def test_jitter_of_the_clock_is_no_gap(tmp_path: Path) -> None:
    """Blocks that arrive a little early or late are joined without holes."""

    def script(clock: Clock, stream: Stream) -> None:
        t = np.arange(2 * RATE) / RATE
        tone = 0.5 * np.sin(2 * np.pi * 440 * t)
        for k in range(20):
            clock.now = 50.1 + 0.1 * k + 0.02 * (-1) ** k
            stream.speak(tone[k * RATE // 10 : (k + 1) * RATE // 10])

    path = record(tmp_path / "out.mkv", script, zero=50.0)
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        samples = np.concatenate(
            [b.to_ndarray()[0] for f in file.decode(audio=0) for b in resampler.resample(f)]
        )  # fmt: skip
    middle = samples[RATE // 2 : 3 * RATE // 2]
    level = np.sqrt((middle.reshape(-1, 480) ** 2).mean(axis=1))
    assert level.min() > 0.3


def test_only_the_newest_sound_waits() -> None:
    clock = Clock()
    microphone, stream = opened(clock)
    seconds = KEPT // RATE
    for k in range(seconds + 40):
        clock.now = 51.0 + k
        stream.speak(np.zeros(RATE))
    chunks = microphone.take()
    assert len(chunks) == seconds
    assert chunks[-1][0] == pytest.approx(89.0 + seconds)
    assert microphone.take() == []


def test_missing_package_and_missing_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingError, match="sounddevice"):
        Microphone()

    def refuse(**_: Any) -> Any:
        raise RuntimeError("no default input device")

    with pytest.raises(MediaError, match="no default input device"):
        Microphone(stream=refuse)
