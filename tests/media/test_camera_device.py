"""Cameras behind fake captures: opening, warm-up, back ends, loss, modes, hints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from app.media.camera import BLACK, FAILURES, MJPG, WARM_UP, CameraError, DeviceCamera, Mode, RateMeter
from app.media.cameras import CameraDevice

CAM = CameraDevice("Cam", "key", 2)


def grey(value: int, width: int = 8, height: int = 6) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


class FakeCapture:
    """cv2.VideoCapture that plays a script: a picture, or None for a read that fails."""

    def __init__(self, script: Iterable[Any], opens: bool = True, modes: dict[int, float] | None = None) -> None:
        self._script: Iterator[Any] = iter(script)
        self._opens = opens
        self.modes = modes or {}
        self.set_calls: list[tuple[int, float]] = []
        self.released = 0

    def isOpened(self) -> bool:
        return self._opens

    def read(self) -> tuple[bool, Any]:
        picture = next(self._script, None)
        return picture is not None, picture

    def get(self, prop: int) -> float:
        return self.modes.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        self.set_calls.append((prop, value))
        return True

    def release(self) -> None:
        self.released += 1


class Factory:
    """Makes captures in order, and notes how each was asked for."""

    def __init__(self, *captures: FakeCapture) -> None:
        self.captures = list(captures)
        self.calls: list[tuple[int, str, list[int]]] = []

    def __call__(self, index: int, backend: str, settings: Any) -> FakeCapture:
        self.calls.append((index, backend, list(settings)))
        return self.captures[len(self.calls) - 1]


class Ticks:
    """A clock that goes on by itself, a step with each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def camera(*captures: FakeCapture, step: float = 0.01, **how: Any) -> tuple[DeviceCamera, Factory]:
    factory = Factory(*captures)
    how = {"backends": ["V4L2"], "devices": lambda: [CAM], "clock": Ticks(step), "mirror": False} | how
    return DeviceCamera(CAM, how.pop("mode", None), capture=factory, **how), factory


def test_first_reads_without_a_picture_are_waited_out() -> None:
    cam, _ = camera(FakeCapture([None] * 10 + [grey(90), grey(91)]))
    cam.open()
    first, second = cam.read(), cam.read()
    assert first is not None
    assert second is not None
    assert (first.rgb[0, 0, 0], second.rgb[0, 0, 0]) == (90, 91)
    assert (first.index, first.jump, second.index, second.jump) == (0, True, 1, False)
    assert second.time > first.time


def test_black_pictures_at_first_are_left_out() -> None:
    cam, _ = camera(FakeCapture([grey(0)] * 5 + [grey(50)]))
    cam.open()
    shot = cam.read()
    assert shot is not None
    assert shot.rgb.max() == 50
    assert cam.hint() == ""


def test_lasting_black_is_shown_and_said() -> None:
    cam, _ = camera(FakeCapture([grey(BLACK)] * 500 + [grey(60)] * 2), step=0.2)
    cam.open()
    assert cam.read() is not None
    assert "black" in cam.hint()
    while (shot := cam.read()) is not None and shot.rgb.max() <= BLACK:
        assert "black" in cam.hint()
    assert cam.hint() == ""


def test_never_a_picture_ends_in_time() -> None:
    clock = Ticks(0.5)
    cam, _ = camera(FakeCapture([]), clock=clock)
    with pytest.raises(CameraError, match="No frames received"):
        cam.open()
    assert clock.now < WARM_UP + 2


def test_back_ends_are_tried_in_order_with_their_own_numbers() -> None:
    device = CameraDevice("Cam", "key", 0, numbers={"DSHOW": 3, "MSMF": 1})
    broken, good = FakeCapture([], opens=False), FakeCapture([grey(70)])
    cam, factory = camera(broken, good, backends=["DSHOW", "FFMPEG", "MSMF"], devices=lambda: [device])
    cam = DeviceCamera(
        device, Mode(mjpg=False), capture=factory, backends=["DSHOW", "FFMPEG", "MSMF"], devices=lambda: [device]
    )
    cam.open()
    assert [(i, b) for i, b, _ in factory.calls] == [(3, "DSHOW"), (1, "MSMF")]
    assert cam.facts.backend == "MSMF"
    assert broken.released == 1


def test_mode_is_asked_for_at_the_opening_compression_first() -> None:
    cam, factory = camera(FakeCapture([grey(70)]), mode=Mode(1280, 720, 60))
    cam.open()
    settings = factory.calls[0][2]
    assert settings == [
        cv2.CAP_PROP_FOURCC, MJPG, cv2.CAP_PROP_FRAME_WIDTH, 1280, cv2.CAP_PROP_FRAME_HEIGHT, 720,
        cv2.CAP_PROP_FPS, 60,
    ]  # fmt: skip
    assert cv2.VideoWriter.fourcc(*"MJPG") == MJPG  # noqa: TID251
    plain, factory = camera(FakeCapture([grey(70)]), mode=Mode(mjpg=False))
    plain.open()
    assert factory.calls[0][2] == []


def test_driver_that_refuses_a_mode_is_opened_plainly() -> None:
    refusing, plain = FakeCapture([], opens=False), FakeCapture([grey(70)])
    cam, factory = camera(refusing, plain, mode=Mode(640, 480, mjpg=False))
    cam.open()
    assert factory.calls[1][2] == []
    assert (cv2.CAP_PROP_FRAME_WIDTH, 640) in plain.set_calls
    assert refusing.released == 1


def test_asked_reported_and_measured_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = {cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 30.0}
    cam, _ = camera(FakeCapture([grey(70)] * 100, modes=modes), step=0.1, mode=Mode(1920, 1080, 60))
    cam.open()
    for _ in range(50):
        cam.read()
    facts = cam.facts
    assert (facts.asked.width, facts.asked.rate, facts.asked.mjpg) == (1920, 60, True)
    assert (facts.reported.width, facts.reported.rate, facts.reported.mjpg) == (1280, 30.0, False)
    assert (facts.measured.width, facts.measured.height) == (8, 6)
    assert facts.measured.rate == pytest.approx(10)
    monkeypatch.setattr("app.media.camera.overloaded", lambda: True)
    assert cam.hint() == ""  # the computer is busy, and no light helps
    monkeypatch.setattr("app.media.camera.overloaded", lambda: False)
    hint = cam.hint()
    assert "10 of 30 frames/s" in hint
    assert "light" in hint
    cam.read()
    assert cam.hint() == hint


def test_full_speed_needs_no_hint() -> None:
    cam, _ = camera(FakeCapture([grey(70)] * 100, modes={cv2.CAP_PROP_FPS: 30.0}), step=1 / 30)
    cam.open()
    for _ in range(60):
        cam.read()
    assert cam.hint() == ""


def test_colours_mirror_and_odd_formats() -> None:
    picture = grey(10)
    picture[:, 0] = (255, 0, 0)  # blue, at the left
    cam, _ = camera(FakeCapture([picture]))
    cam.open()
    assert cam.read().rgb[0, 0].tolist() == [0, 0, 255]  # type: ignore[union-attr]
    cam, _ = camera(FakeCapture([picture]), mirror=True)
    cam.open()
    shot = cam.read()
    assert shot is not None
    assert shot.rgb[0, -1].tolist() == [0, 0, 255]
    assert shot.rgb[0, 0].tolist() == [10, 10, 10]
    for odd in (np.full((6, 8), 33, np.uint8), np.full((6, 8, 4), 33, np.uint8)):
        cam, _ = camera(FakeCapture([odd]))
        cam.open()
        shot = cam.read()
        assert shot is not None
        assert shot.rgb.shape == (6, 8, 3)


def test_unplugged_in_mid_run_and_plugged_in_elsewhere() -> None:
    first, second = FakeCapture([grey(70), None, grey(71)] + [None] * FAILURES), FakeCapture([grey(80)])
    present = [CAM]
    cam, factory = camera(first, second, devices=lambda: present)
    cam.open()
    assert [cam.read().rgb[0, 0, 0] for _ in range(2)] == [70, 71]  # type: ignore[union-attr]
    with pytest.raises(CameraError, match="stopped delivering frames"):
        cam.read()
    present[:] = []
    with pytest.raises(CameraError, match=r"not connected\. No camera is connected"):
        cam.open()
    present[:] = [CameraDevice("Other", "other", 2), CameraDevice("Cam", "key", 5)]
    cam.open()
    assert cam.read().rgb[0, 0, 0] == 80  # type: ignore[union-attr]
    assert [call[0] for call in factory.calls] == [2, 5]
    cam.close()
    cam.close()
    assert (first.released, second.released) == (1, 1)
    with pytest.raises(CameraError, match="not open"):
        cam.read()


def test_cancel_ends_a_read_and_an_opening() -> None:
    cam, _ = camera(FakeCapture([grey(70)]))
    cam.open()
    cam.read()
    cam.cancel()
    assert cam.read() is None
    cam, _ = camera(FakeCapture([]))
    cam.cancel()
    with pytest.raises(CameraError, match="cancelled"):
        cam.open()


def test_reasons_are_told_apart(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "video0"
    there = CameraDevice("Cam", "key", 0, path=str(node))

    def message() -> str:
        cam, _ = camera(FakeCapture([], opens=False), devices=lambda: [there], mode=Mode(mjpg=False))
        with pytest.raises(CameraError) as caught:
            cam.open()
        return str(caught.value)

    assert "not connected" in message()
    node.touch()
    assert "Another program may be using it" in message() or "Settings" in message()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "is denied" in message()


def test_fault_inside_opencv_is_an_error_of_the_camera() -> None:
    class Raising(FakeCapture):
        def read(self) -> tuple[bool, Any]:
            raise cv2.error("boom")

    cam, _ = camera(Raising([]), step=1.0)
    with pytest.raises(CameraError):
        cam.open()


def test_rate_meter_forgets() -> None:
    meter = RateMeter(2.0)
    assert meter.rate == 0
    for i in range(30):
        meter.tick(i / 10)
    assert meter.rate == pytest.approx(10)
    for i in range(90):
        meter.tick(3 + i / 30)
    assert meter.rate == pytest.approx(30)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 10_000_000.0, 0.0])
def test_rates_that_make_no_sense_are_not_reported(rate: float) -> None:
    """Some drivers give the ticks of their clock, minus one, or no number: no hint is built on that."""
    modes = {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_FRAME_WIDTH: float("nan"), cv2.CAP_PROP_FOURCC: -1.0}
    cam, _ = camera(FakeCapture([grey(70)] * 100, modes=modes), step=0.1)
    cam.open()
    for _ in range(60):
        cam.read()
    facts = cam.facts
    assert (facts.reported.rate, facts.reported.width, facts.reported.mjpg) == (0.0, 0, False)
    assert facts.measured.rate == pytest.approx(10)
    assert cam.hint() == ""


def test_driver_that_refuses_to_be_asked_is_left_for_the_next_back_end() -> None:
    class Refusing(FakeCapture):
        def set(self, prop: int, value: float) -> bool:
            raise cv2.error("not supported")

    class Silent(FakeCapture):
        def get(self, prop: int) -> float:
            raise cv2.error("not supported")

    refusing, silent = Refusing([grey(70)]), Silent([grey(80)])
    cam, _ = camera(refusing, silent, backends=["V4L2", "GSTREAMER"])
    cam.open()
    assert refusing.released == 1
    assert cam.read().rgb[0, 0, 0] == 80  # type: ignore[union-attr]
    assert cam.facts.reported.rate == 0


@pytest.mark.parametrize("odd", [np.full((6, 8, 1), 33, np.uint8), np.full((6, 8), 33 << 8, np.uint16)])
def test_pictures_of_one_channel_and_of_infrared_cameras(odd: np.ndarray) -> None:
    cam, _ = camera(FakeCapture([odd, odd]))
    cam.open()
    for _ in range(2):
        shot = cam.read()
        assert shot is not None
        assert shot.rgb.shape == (6, 8, 3)
        assert shot.rgb.max() == shot.rgb.min() == 33
