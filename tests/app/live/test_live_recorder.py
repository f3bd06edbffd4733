"""Recordings that meet a full disk, a long pause, another start, or a microphone that goes away."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live_stubs import WAIT, Clock, Context

from app.errors import MediaError
from app.live import rescue
from app.live.frames import LiveFrame
from app.live.recorder import LOOK, ROOM, STILL, RecorderSink, free_bytes
from app.live.sinks import SinkThread
from app.media.microphone import RATE, Microphone
from app.media.reader import open_clip
from app.media.writer import ClipWriter


def frame(value: int, time: float) -> LiveFrame:
    rgb = np.full((48, 64, 3), value, np.uint8)
    return LiveFrame(value, time, rgb, rgb)


class Stream:
    """sounddevice.InputStream whose sound the test speaks."""

    latency = 0.0

    def __init__(self, callback: Callable[..., None], **_: Any) -> None:
        self.callback = callback
        self.closed = 0
        self.refusal: Exception | None = None
        self.fault: Exception | None = None

    def start(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def close(self) -> None:
        self.closed += 1
        if self.fault is not None:
            raise self.fault

    def speak(self, seconds: float) -> None:
        tone = 0.5 * np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * 440 / RATE)
        self.callback(tone.reshape(-1, 1).astype(np.float32), len(tone), None, None)


class Film:
    """A recorder with a microphone, worked by hand."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock(100.0)
        self.streams: list[Stream] = []
        self.sink = RecorderSink(path, microphone=True, stream=self._made)
        self.sink.clock = self.clock
        self.sink.open()

    def _made(self, **how: Any) -> Stream:
        self.streams.append(Stream(**how))
        return self.streams[-1]

    def speak(self, seconds: int) -> None:
        """Sound for so many seconds; the sink is looked at as often as its thread does it."""
        for _ in range(seconds):
            self.clock.now += 1.0
            self.streams[-1].speak(1.0)
            self.sink.idle()


def loud_seconds(path: Path) -> float:
    """Seconds of a file in which there is sound."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        blocks = [b.to_ndarray()[0] for f in file.decode(audio=0) for b in resampler.resample(f)]
    samples = np.concatenate(blocks)
    tenths = samples[: len(samples) // 4800 * 4800].reshape(-1, 4800)
    return float((np.abs(tenths).max(axis=1) > 0.2).sum()) / 10


def test_sound_goes_on_while_no_frame_comes(tmp_path: Path) -> None:
    """A portrait that stands still, or a camera that is unplugged: only the last half minute was kept."""
    path = tmp_path / "out.mp4"
    film = Film(path)
    film.sink.write(frame(50, 100.0))
    assert film.sink.interval == STILL  # how often the thread of the sink looks
    film.speak(240)
    film.clock.now += 0.5
    film.sink.write(frame(90, film.clock.now))
    film.clock.now += 0.5
    sentence = film.sink.close()
    assert loud_seconds(path) == pytest.approx(240, abs=0.5)
    with open_clip(path) as reader:
        frames = [(float(f.time), int(f.rgb[24, 32, 0])) for f in reader]
    assert frames[-1] == (pytest.approx(240.5, abs=0.01), pytest.approx(90, abs=6))
    assert frames[-2] == (pytest.approx(240.0, abs=1.1), pytest.approx(50, abs=6))
    assert "microphone" not in sentence


def test_frames_that_come_in_time_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    clock = Clock(5.0)
    sink = RecorderSink(path)
    sink.clock = clock
    sink.open()
    sink.idle()  # before the first frame
    for number in range(4):
        clock.now = 5.0 + 0.9 * number
        sink.write(frame(10, clock.now))
        sink.idle()
    sink.close()
    with open_clip(path) as reader:
        assert [f.time for f in reader] == [Fraction(9 * n, 10) for n in range(4)]


@pytest.mark.parametrize("after", [0, 7])
def test_microphone_that_falls_silent_is_told(tmp_path: Path, after: int) -> None:
    film = Film(tmp_path / "out.mp4")
    film.sink.write(frame(50, 100.0))
    film.speak(after)
    film.streams[0].fault = RuntimeError("PortAudioError: the device is gone")
    film.clock.now += 20.0
    film.sink.write(frame(60, film.clock.now))
    assert film.sink.close().endswith(f"The microphone delivered no sound after {after}.0 s.")
    assert film.streams[0].closed == 1
    with open_clip(tmp_path / "out.mp4") as reader:
        assert len(list(reader)) >= 2


def test_microphone_that_does_not_start_is_given_back() -> None:
    made: list[Stream] = []

    def make(**how: Any) -> Stream:
        made.append(Stream(**how))
        made[-1].refusal = RuntimeError("in use")
        return made[-1]

    with pytest.raises(MediaError, match="in use"):
        Microphone(stream=make)
    assert made[0].closed == 1


def test_recording_ends_whole_before_the_disk_is_full(tmp_path: Path) -> None:
    path, free = tmp_path / "out.mp4", [10 * ROOM]
    context = Context(Clock(12.0))
    sink = RecorderSink(path, free=lambda folder: free[0] if folder == tmp_path else 0)
    runner = SinkThread(sink, context)
    for number in range(10):
        runner.frames.put(frame(10, 0.1 * number))
    free[0] = ROOM - 1
    runner.frames.put(frame(10, LOOK + 0.5))
    assert context.wait_for(lambda: runner.info().status == "failed", WAIT)
    runner.stop()
    assert runner.join(WAIT)
    assert len(context.said) == 1
    assert context.said[0].startswith(f"The disk is nearly full: the recording has ended. Recorded {path} (")
    with open_clip(path) as reader:
        assert max(float(f.time) for f in reader) == pytest.approx(LOOK + 0.5)
    assert free_bytes(tmp_path) > 0


def test_recording_that_can_not_be_written_is_not_called_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"
    film = Film(path)
    film.sink.write(frame(10, 100.0))

    def full(self: ClipWriter, *_: Any) -> None:
        self._discard()
        raise MediaError("The disk is full.")

    monkeypatch.setattr(ClipWriter, "write", full)
    with pytest.raises(MediaError, match="The disk is full"):
        film.sink.write(frame(20, 100.1))
    assert film.sink.close() == ""
    assert film.streams[0].closed == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_start_records_to_another_file(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out-2.mp4").write_bytes(b"somebody's")
    sink = RecorderSink(tmp_path / "out.mp4", overwrite=overwrite)
    for start in (0.0, 50.0):
        sink.clock = Clock(start + 1.0)
        sink.open()
        sink.write(frame(10, start))
        sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out-2.mp4", "out-3.mp4", "out.mp4"]
    assert (tmp_path / "out-2.mp4").read_bytes() == b"somebody's"
    assert sink.path == tmp_path / "out-3.mp4"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_recording_that_was_killed_is_found_and_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """All but the last second is there, with sound, exact times and a length; nothing is replaced or left behind."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "settings"))
    path = tmp_path / f"live{suffix}"
    film = Film(path)
    for number in range(30):
        film.clock.now = 100 + number / 5
        if number % 5 == 0:
            film.streams[-1].speak(1.0)
        film.sink.write(frame(20 + 5 * number, film.clock.now))
    progress = film.sink.progress
    assert progress is not None
    assert progress.seconds == pytest.approx(5.8)
    assert progress.level == pytest.approx(0.5, abs=0.01)
    assert rescue.cut_off() == []  # it is still running
    writer: Any = film.sink._writer
    scratch = writer.scratch.read_bytes()  # what a killed program leaves
    with monkeypatch.context() as patch:
        patch.setattr(rescue, "is_alive", lambda pid: False)
        found = rescue.cut_off()
        path.write_bytes(b"somebody's")
        assert [(one.target, one.scratch) for one in found] == [(path, writer.scratch)]
        copy = rescue.CutOff(found[0].note, tmp_path / f"copy{suffix}", path)
        copy.scratch.write_bytes(scratch)
        whole = rescue.complete(copy)
        assert rescue.cut_off() == []
    assert whole.name == f"live-2{suffix}"
    assert path.read_bytes() == b"somebody's"
    with open_clip(whole) as reader:
        assert reader.info.duration is not None
        assert reader.info.duration > 4
        frames = [(float(f.time), int(f.rgb[24, 32, 0])) for f in reader]
    assert len(frames) >= 22
    for number, (time, value) in enumerate(frames):
        assert time == pytest.approx(number / 5, abs=0.002)
        assert value == pytest.approx(20 + 5 * number, abs=6)
    assert loud_seconds(whole) > 3.5
    assert not copy.scratch.exists()
    writer.abort(keep=False)


def test_new_recording_of_the_same_name_keeps_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "settings"))
    with ClipWriter(tmp_path / "old.mp4", (64, 48), Fraction(25), hardware="none") as writer:
        for number in range(3):
            writer.write(np.full((48, 64, 3), 99, np.uint8), Fraction(number, 25))
        writer.finish()
    scratch = (tmp_path / "old.mp4").rename(tmp_path / ".me.1.partial.mp4")
    noted = rescue.note(scratch, tmp_path / "me.mp4")
    assert noted is not None
    noted.rename(noted.with_name("2147483646-x.json"))  # of a process that is no more
    sink = RecorderSink(tmp_path / "me.mp4")
    sink.clock = Clock(1.0)
    sink.open()
    sink.write(frame(10, 0.0))
    sentence = sink.close()
    assert "cut off before" in sentence
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == ["me.mp4", "me.partial.mp4"]
    assert list((tmp_path / "settings").rglob("*.json")) == []
