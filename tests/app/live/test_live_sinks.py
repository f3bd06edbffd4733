"""Virtual camera and recorder as sinks, with devices that the test owns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stubs import WAIT, Box, Clock, Context, picture

from app.errors import MissingError, UsageError
from app.live.frames import LiveFrame
from app.live.recorder import RecorderSink
from app.live.sinks import NullSink, PreviewSink, SinkThread
from app.live.vcam import VirtualCameraSettings, VirtualCameraSink
from app.live_options import LiveOptions, check_live
from app.media.reader import open_clip


def frame(value: int, time: float = 0.0, size: tuple[int, int] = (64, 48), fresh: bool = True) -> LiveFrame:
    rgb = np.full((size[1], size[0], 3), value, np.uint8)
    return LiveFrame(value, time, rgb, rgb, fresh=fresh)


class Devices:
    """Virtual cameras that keep what they are sent; one is made for each opening."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, int, float]] = []
        self.sent: list[np.ndarray] = []
        self.closed = 0
        self.refusal: Exception | None = None
        self.fault: Exception | None = None
        self.came = threading.Condition()
        self.pace: Callable[[], None] = lambda: None

    def __call__(self, width: int, height: int, fps: float, device: str | None = None) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.opened.append((width, height, fps))
        return self

    def send(self, rgb: np.ndarray) -> None:
        if self.fault is not None:
            raise self.fault
        self.pace()
        with self.came:
            self.sent.append(rgb)
            self.came.notify_all()

    def close(self) -> None:
        self.closed += 1

    def wait(self, good: Callable[[], bool]) -> bool:
        with self.came:
            return self.came.wait_for(good, WAIT)


class Running:
    """A sink in its thread."""

    def __init__(self, sink: Any, clock: Any = None) -> None:
        self.context = Context(clock or Clock())
        self.said = self.context.said
        self.runner = SinkThread(sink, self.context)

    def wait(self, status: str) -> bool:
        return self.context.wait_for(lambda: self.runner.info().status == status, WAIT)

    def put(self, each: LiveFrame) -> None:
        self.runner.frames.put(each)

    def end(self) -> None:
        self.runner.stop()
        assert self.runner.join(WAIT)


# ---- virtual camera -------------------------------------------------------------------------------------------------


def test_virtual_camera_shows_and_repeats_the_last_frame() -> None:
    devices = Devices()
    sink = VirtualCameraSink(VirtualCameraSettings((128, 128), 100.0), devices)
    running = Running(sink)
    running.put(frame(90))
    assert devices.wait(lambda: len(devices.sent) >= 5)  # nothing new came: the last one is repeated
    assert devices.opened == [(128, 128, 100.0)]
    assert all(rgb.shape == (128, 128, 3) and rgb[64, 64, 0] == 90 and rgb[2, 64, 0] == 0 for rgb in devices.sent)
    running.end()
    assert devices.closed == 1
    assert sink.meter.shown == 1


def test_virtual_camera_of_the_pictures_size_follows_it() -> None:
    devices = Devices()
    sink = VirtualCameraSink(VirtualCameraSettings(None), devices)
    running = Running(sink)
    running.put(frame(1, size=(64, 48)))
    assert devices.wait(lambda: bool(devices.sent))
    running.put(frame(2, size=(65, 33)))
    assert devices.wait(lambda: devices.sent[-1].shape == (32, 64, 3))
    assert [each[:2] for each in devices.opened] == [(64, 48), (64, 32)]
    running.end()
    assert devices.closed == 2


def test_virtual_camera_survives_twenty_changes() -> None:
    devices = Devices()
    gate = threading.Semaphore(0)
    devices.pace = lambda: gate.acquire(timeout=0.01)  # type: ignore[assignment]
    sink = VirtualCameraSink(VirtualCameraSettings((64, 64), 200.0), devices)
    running = Running(sink)
    for i in range(20):
        size = (64 + 2 * i, 64)
        sink.configure(VirtualCameraSettings(size, 200.0, ("contain", "cover", "stretch")[i % 3]))
        running.put(frame(i + 1))
        assert devices.wait(lambda size=size: devices.sent and devices.sent[-1].shape[1] == size[0])
    assert running.runner.info().status == "running"
    assert devices.sent[-1].shape == (64, 102, 3)
    running.end()
    assert devices.closed == len(devices.opened)
    assert running.said == []


def test_fit_changes_without_opening_anew() -> None:
    devices = Devices()
    sink = VirtualCameraSink(VirtualCameraSettings((64, 64), 200.0, "contain"), devices)
    running = Running(sink)
    running.put(frame(90))
    assert devices.wait(lambda: bool(devices.sent))
    sink.configure(VirtualCameraSettings((64, 64), 200.0, "cover"))
    running.put(frame(91))
    assert devices.wait(lambda: devices.sent[-1].min() == 91)
    assert len(devices.opened) == 1
    running.end()


def test_slow_pacing_blocks_nobody() -> None:
    """A device that sleeps until its next frame is due holds up its own thread only."""
    devices, gate = Devices(), threading.Semaphore(0)
    devices.pace = lambda: gate.acquire(timeout=WAIT)  # type: ignore[assignment]
    slow = Running(VirtualCameraSink(VirtualCameraSettings((64, 64), 30.0), devices))
    seen: list[int] = []
    quick = Running(PreviewSink(lambda f: seen.append(f.index)))
    for i in range(1, 30):
        slow.put(frame(i))
        quick.put(frame(i))
    quick.end()
    assert seen[-1] == 29
    devices.pace = lambda: None
    gate.release()
    slow.end()
    assert slow.runner.info().dropped >= 26


def test_missing_driver_is_not_tried_again() -> None:
    devices = Devices()
    devices.refusal = RuntimeError("No v4l2 loopback device found")
    running = Running(VirtualCameraSink(VirtualCameraSettings((64, 64)), devices))
    assert running.wait("failed")
    assert "modprobe" in running.runner.info().message or "OBS" in running.runner.info().message
    running.end()
    assert len(running.said) == 1


def test_device_that_dies_is_opened_again() -> None:
    devices = Devices()
    sink = VirtualCameraSink(VirtualCameraSettings((64, 64), 200.0), devices)
    sink.retry = 0.01
    running = Running(sink)
    running.put(frame(5))
    assert devices.wait(lambda: bool(devices.sent))
    devices.fault = RuntimeError("device is gone")
    running.put(frame(6))
    assert running.wait("failed")
    devices.fault = None
    assert running.wait("running")
    running.put(frame(7))
    assert devices.wait(lambda: devices.sent[-1][32, 32, 0] == 7)
    running.end()
    assert [text for text in running.said if "device is gone" in text]


def test_virtual_camera_that_runs_follows_the_options(make_session: Any) -> None:
    """Size, rate and fit can be changed in the window while the camera is on."""
    devices = Devices()
    live = LiveOptions(vcam_size="64x64", vcam_rate=120.0)
    session = make_session(live=live)
    session.add_sink(VirtualCameraSink(VirtualCameraSettings.of(live), devices))
    session.start()
    assert devices.wait(lambda: bool(devices.sent))
    session.set_live(replace(live, vcam_size="128x96", vcam_rate=100.0))
    assert devices.wait(lambda: devices.sent[-1].shape == (96, 128, 3))
    session.set_live(replace(live, vcam_size="128x96", vcam_rate=100.0, hold_rate=20.0))
    assert session.settle(WAIT)
    assert devices.opened == [(64, 64, 120.0), (128, 96, 100.0)]
    assert [s.status for s in session.sinks] == ["running"]


def test_virtual_camera_stays_alive_while_the_face_is_lost(make_session: Any) -> None:
    devices, box = Devices(), Box()
    session = make_session()
    seen, lost = threading.Event(), threading.Event()
    session.add_sink(PreviewSink(lambda f: (seen if f.seen else lost).set() if f.driver is not None else None))
    session.add_sink(VirtualCameraSink(VirtualCameraSettings((64, 64), 120.0), devices))
    session.set_driver(box.source())
    session.start()
    for value, mark in ((50, seen), (0, lost)):  # a face, then black
        box.items.put(picture(value))
        assert mark.wait(WAIT)
    before = len(devices.sent)
    assert devices.wait(lambda: len(devices.sent) > before + 10)
    assert len(devices.opened) == 1


def test_settings_of_options() -> None:
    live = check_live({"vcam_size": "640x360", "vcam_rate": "25", "vcam_fit": "cover"})
    assert VirtualCameraSettings.of(live) == VirtualCameraSettings((640, 360), 25.0, "cover")
    assert VirtualCameraSettings.of(LiveOptions(vcam_size="")).size is None


# ---- recorder -------------------------------------------------------------------------------------------------------


def times_of(path: Path) -> list[Fraction]:
    with open_clip(path) as reader:
        return [f.time for f in reader]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_keeps_its_time(tmp_path: Path, suffix: str) -> None:
    clock = Clock(7.0)
    path = tmp_path / f"out{suffix}"
    stamps = [7.0, 7.0333, 7.0667, 7.5, 7.51, 9.25]
    running = Running(RecorderSink(path), clock)
    for i, stamp in enumerate(stamps):
        running.put(frame(10 * i, stamp))
    clock.now = 10.0
    running.end()
    exact = [Fraction(round((s - 7) * 90000), 90000) for s in stamps]
    if suffix == ".mp4":
        assert times_of(path) == exact
    else:  # Matroska counts milliseconds
        assert [float(t) for t in times_of(path)] == pytest.approx([float(t) for t in exact], abs=0.001)
    with open_clip(path) as reader:
        assert float(reader.info.duration or 0) == pytest.approx(3.0, abs=0.002)
        assert (reader.info.width, reader.info.height) == (64, 48)
    assert running.said == [f"Recorded {path} (6 frames, 3.0 s)."]


def test_frames_drawn_again_and_other_sizes(tmp_path: Path) -> None:
    """A slider's redraw may bear a later time than the driving frame after it; another portrait has another size."""
    path = tmp_path / "out.mp4"
    running = Running(RecorderSink(path), Clock(2.0))
    running.put(frame(10, 1.0))
    running.put(frame(20, 1.05, fresh=False))
    running.put(frame(30, 1.04))
    running.put(frame(40, 1.1, size=(48, 96)))
    running.end()
    times = times_of(path)
    assert times == sorted(times)
    assert times[2] - times[1] == Fraction(1, 1000)
    with open_clip(path) as reader:
        last = list(reader)[-1].rgb
    assert last.shape == (48, 64, 3)
    assert abs(int(last[24, 32, 0]) - 40) < 6
    assert last[24, 2, 0] < 6


def test_slow_encoder_drops_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    gate, begun = threading.Event(), threading.Event()

    class Slow(RecorderSink):
        def write(self, frame: LiveFrame) -> None:
            begun.set()
            gate.wait(WAIT)
            super().write(frame)

    running = Running(Slow(path), Clock(1.5))
    running.put(frame(0, 0.0))
    assert begun.wait(WAIT)
    for i in range(1, 30):
        running.put(frame(i, i / 30))
    gate.set()
    running.end()
    times = times_of(path)
    assert len(times) == 17
    assert float(times[-1]) == pytest.approx(29 / 30, abs=1e-4)
    assert "13 left out" in running.said[-1]


def test_nothing_recorded_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    running = Running(RecorderSink(path))
    running.end()
    assert "was not written" in running.said[-1]
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="video file"):
        RecorderSink(tmp_path / "out.txt")
    (tmp_path / "there.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match="already exists"):
        RecorderSink(tmp_path / "there.mp4")
    with pytest.raises(UsageError, match="webm can't hold h264"):
        RecorderSink(tmp_path / "out.webm", codec="h264")


def test_recording_replaces_no_input(tmp_path: Path) -> None:
    """The clip that drives, or the portrait, named as the recording by mistake."""
    clip = tmp_path / "talk.mp4"
    clip.write_bytes(b"precious")
    with pytest.raises(UsageError, match="is an input"):
        RecorderSink(clip, overwrite=True, inputs=["0", tmp_path / "photo.jpg", clip])
    assert clip.read_bytes() == b"precious"


def test_microphone_that_is_missing_fails_alone(tmp_path: Path) -> None:
    def refuse(**_: Any) -> Any:
        raise MissingError("no microphone")

    running = Running(RecorderSink(tmp_path / "out.mp4", microphone=True, stream=refuse))
    assert running.wait("failed")
    assert "microphone" in running.runner.info().message
    running.end()


def test_recording_of_a_session(make_session: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    clock = Clock()
    session = make_session(clock=clock)
    done = threading.Condition()
    count = [0]

    def came(each: LiveFrame) -> None:
        with done:
            count[0] += each.fresh
            done.notify_all()

    session.add_sink(PreviewSink(came))
    session.add_sink(NullSink())
    box = Box()
    session.set_driver(box.source())
    session.start()
    recorder = RecorderSink(path)
    for i in range(12):
        if i == 4:  # in mid-run
            session.add_sink(recorder)
            session.settle(WAIT)
        clock.now += 0.04
        box.items.put(picture(10 * i + 10))
        with done:
            assert done.wait_for(lambda i=i: count[0] == i + 1, WAIT)
    clock.now += 0.04
    session.remove_sink("recorder")
    session.settle(WAIT)
    times = times_of(path)
    assert [float(t - times[-7]) for t in times[-7:]] == pytest.approx([0.04 * i for i in range(7)], abs=1e-4)
    assert [s.name for s in session.sinks] == ["preview", "none"]
