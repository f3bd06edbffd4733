"""The virtual camera: sizes and fits, drivers that are missing or refuse."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from app.errors import MissingError
from app.media.cameras import IN_USE, CameraDevice
from app.media.virtual_camera import DRIVERS, VirtualCamera, VirtualCameraError, fit_picture, how_to


def white(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), 255, np.uint8)


class TestFit:
    def test_contain_adds_bars(self) -> None:
        out = fit_picture(white(100, 200), (320, 240), "contain")
        assert out.shape == (240, 320, 3)
        columns = np.flatnonzero(out.max(axis=(0, 2)))
        assert (columns[0], columns[-1]) == (100, 219)
        assert out[:, 100:220].min() == 255

    def test_cover_cuts_the_middle_out(self) -> None:
        picture = white(200, 100)
        picture[:, :60] = picture[:, 140:] = 0
        out = fit_picture(picture, (100, 100), "cover")
        assert out.shape == (100, 100, 3)
        assert out[:, 12:88].min() == 255
        assert out[:, :9].max() == 0

    def test_stretch_distorts(self) -> None:
        assert fit_picture(white(100, 50), (64, 64), "stretch").min() == 255

    @pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
    def test_same_size_is_left_alone(self, fit: Any) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        np.testing.assert_array_equal(fit_picture(picture, (60, 40), fit), picture)

    @pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
    @pytest.mark.parametrize("size", [(2, 2), (1920, 1080), (33, 701)])
    def test_any_size(self, fit: Any, size: tuple[int, int]) -> None:
        assert fit_picture(white(1000, 3), size, fit).shape == (size[1], size[0], 3)

    def test_clear_parts_become_black(self) -> None:
        picture = white(20, 20, 4)
        picture[:10, :, 3] = 0
        out = fit_picture(picture, (20, 20), "contain")
        assert out[:10].max() == 0
        assert out[10:].min() == 255


class Device:
    """pyvirtualcam.Camera that keeps what it is sent."""

    def __init__(self, width: int, height: int, fps: float, device: str | None = None) -> None:
        self.asked = (width, height, fps, device)
        self.device = device or "/dev/video9"
        self.fault: Exception | None = None

    def send(self, rgb: np.ndarray) -> None:
        if self.fault:
            raise self.fault

    def close(self) -> None:
        pass


def test_odd_sizes_are_made_even() -> None:
    camera = VirtualCamera((641, 481), 25.0, "", Device)
    assert camera.size == (640, 480)
    assert camera.device == "/dev/video9"


def test_send_that_fails() -> None:
    devices: list[Device] = []

    def make(*args: Any, **how: Any) -> Device:
        devices.append(Device(*args, **how))
        return devices[-1]

    camera = VirtualCamera((64, 64), factory=make)
    camera.send(white(64, 64))
    devices[0].fault = RuntimeError("device closed.")
    with pytest.raises(VirtualCameraError, match="stopped: device closed"):
        camera.send(white(64, 64))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]. Did you run 'modprobe'?",
         MissingError),
        ("'obs' backend: OBS Virtual Camera device not found! Did you install OBS?", MissingError),
        ("'obs' backend: virtual camera output could not be started", MissingError),
        ("Device /dev/video9 is busy", VirtualCameraError),
    ],
)  # fmt: skip
def test_driver_missing_or_busy(text: str, kind: type[Exception]) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(text)

    with pytest.raises(kind) as caught:
        VirtualCamera((64, 64), factory=refuse)
    assert "Did you" not in str(caught.value)
    if kind is MissingError:
        assert how_to() in str(caught.value)


def test_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingError, match="pip install"):
        VirtualCamera((64, 64))


def test_every_system_has_its_own_how_to() -> None:
    assert len({how_to(name) for name in DRIVERS}) == 3
    assert "v4l2loopback" in how_to("linux")
    assert "OBS" in how_to("win32")
    assert "OBS" in how_to("darwin")
    assert "no virtual camera" in how_to("plan9")


def test_camera_that_drives_the_picture_is_not_fed() -> None:
    closed: list[bool] = []

    class Device:
        device = "/dev/video7"

        def close(self) -> None:
            closed.append(True)

    IN_USE.read("/dev/video7", "Loopback")
    try:
        with pytest.raises(VirtualCameraError, match="/dev/video7 is the driver"):
            VirtualCamera((64, 64), factory=lambda *_, **__: Device())
        assert closed == [True]
    finally:
        IN_USE.release("/dev/video7", "Loopback")
    camera = VirtualCamera((64, 64), factory=lambda *_, **__: Device())
    shown = CameraDevice("Loopback", "l", 7, path="/dev/video7")
    assert IN_USE.feeds(shown)
    camera.close()
    assert not IN_USE.feeds(shown)
