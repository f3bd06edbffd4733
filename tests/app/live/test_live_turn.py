"""Cameras that stand on their side: pictures are turned, then mirrored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from app.media.camera import Camera, CameraFacts, Mode, Shot
from app.media.cameras import CameraDevice
from app.sources.camera import CameraSource, camera_source

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class OnePicture(Camera):
    """Gives one picture."""

    def open(self) -> None:
        """Nothing to do."""

    def read(self) -> Shot | None:
        """The picture."""
        return Shot(0, 0.0, PICTURE)

    def close(self) -> None:
        """Nothing to do."""

    @property
    def facts(self) -> CameraFacts:
        """Nothing known."""
        return CameraFacts("one", "test", Mode(), Mode(), Mode())


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_pictures_are_turned_clockwise_and_then_mirrored(turn: int, mirror: bool) -> None:
    captured = CameraSource(OnePicture(), turn, mirror=mirror).read()
    assert captured is not None
    assert captured.rgb is not None
    wanted = {0: PICTURE, 90: PICTURE[::-1].swapaxes(0, 1), 180: PICTURE[::-1, ::-1], 270: PICTURE.swapaxes(0, 1)[::-1]}
    expected = wanted[turn][:, ::-1] if mirror else wanted[turn]
    assert np.array_equal(captured.rgb, expected)
    assert captured.rgb.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_camera_by_name_is_turned_and_mirrored_once(monkeypatch: pytest.MonkeyPatch, turn: int, mirror: bool) -> None:
    class Capture:
        def __init__(self, *_: object) -> None:
            pass

        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, np.ndarray]:
            return True, np.ascontiguousarray(PICTURE[..., ::-1])

        def get(self, _prop: int) -> float:
            return 0.0

        def set(self, _prop: int, _value: float) -> bool:
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    source = camera_source("cam", turn=turn, mirror=mirror, devices=lambda: [CameraDevice("Cam", "key", 0)])
    driver = source.make(lambda: 0.0, None)  # type: ignore[arg-type]
    driver.open()
    captured = driver.read()
    driver.close()
    assert captured is not None
    assert captured.rgb is not None
    expected = np.rot90(PICTURE, -turn // 90)
    assert np.array_equal(captured.rgb, expected[:, ::-1] if mirror else expected)
