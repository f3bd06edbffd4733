"""A camera as a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from app.choices import StreamAddress
from app.media.camera import Camera, CameraFacts, DeviceCamera, Mode
from app.media.cameras import CameraDevice, find_camera, list_cameras
from app.media.netcamera import StreamCamera
from app.sources.sample import Clock, DriverSource, Pixels, Sample, Source

if TYPE_CHECKING:
    from app.sources.playback import Playback
    from liveportrait.engines.base import Engine


class CameraSource(Source):
    """Frames of a camera; during a pause the last one is held while the camera keeps running.

    Args:
        camera: Delivers the frames.
        turn: Degrees by which frames are rotated clockwise: 0, 90, 180 or 270.
        mirror: Swap left and right of the rotated frames.
        playback: Controls pausing.
    """

    def __init__(
        self, camera: Camera, turn: int = 0, *, mirror: bool = False, playback: Playback | None = None
    ) -> None:
        self.camera = camera
        self._playback = playback
        self._last: Pixels | None = None  # the last frame shown
        self._turn = turn // 90
        self._mirror = mirror
        self.lasting = camera.lasting

    def open(self) -> None:
        """See Source.open."""
        self.camera.open()

    def read(self) -> Sample | None:
        """See Source.read."""
        shot = self.camera.read()
        if shot is None:
            return None
        if self._playback is not None and self._playback.paused and self._last is not None:
            return Sample(shot.index, shot.time, self._last)
        rgb = shot.rgb
        if self._turn or self._mirror:
            rgb = np.rot90(rgb, -self._turn)
            rgb = np.ascontiguousarray(rgb[:, ::-1] if self._mirror else rgb)
        self._last = rgb
        return Sample(shot.index, shot.time, rgb, jump=shot.jump)

    def close(self) -> None:
        """See Source.close."""
        self.camera.close()

    def cancel(self) -> None:
        """See Source.cancel."""
        self.camera.cancel()

    @property
    def facts(self) -> CameraFacts | None:
        """See Source.facts."""
        return self.camera.facts

    def hint(self) -> str:
        """See Source.hint."""
        return self.camera.hint()


def camera_source(
    device: CameraDevice | str | int = "",
    mode: Mode | None = None,
    *,
    mirror: bool = True,
    turn: int = 0,
    playback: Playback | None = None,
    devices: Callable[[], list[CameraDevice]] = list_cameras,
) -> DriverSource:
    """A camera as a driver.

    Args:
        device: From ``list_cameras``, or its name, a part of it, or its index; empty is the first one.
        mode: Size, rate and compression to request.
        mirror: Swap left and right.
        turn: Degrees by which frames are rotated clockwise: 0, 90, 180 or 270.
        playback: Controls pausing; None never pauses.
        devices: Lists the cameras.

    Raises:
        MediaError: There is no such camera.
    """
    found = device if isinstance(device, CameraDevice) else find_camera(str(device), devices())

    def make(clock: Clock, _: Engine) -> Source:
        plain = mirror and not turn  # a rotated frame is mirrored after the rotation
        camera = DeviceCamera(found, mode, mirror=plain, devices=devices, clock=clock)
        return CameraSource(camera, turn, mirror=mirror and not plain, playback=playback)

    return DriverSource("camera", found.name, make)


def stream_source(
    address: StreamAddress, *, mirror: bool = True, turn: int = 0, playback: Playback | None = None
) -> DriverSource:
    """A camera of the network as driver; nothing is connected before it is made.

    Args:
        address: Where it is.
        mirror: Swap left and right.
        turn: Degrees by which the pictures are turned clockwise: 0, 90, 180 or 270.
        playback: Says whether a pause is on; None has none.
    """

    def make(clock: Clock, _: Engine) -> Source:
        plain = mirror and not turn  # a turned picture is mirrored after the turn
        camera = StreamCamera(address, mirror=plain, clock=clock)
        return CameraSource(camera, turn, mirror=mirror and not plain, playback=playback)

    return DriverSource("camera", str(address), make)
