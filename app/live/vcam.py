"""The sink that offers finished frames to other programs as a camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.live.sinks import Sink
from app.media.virtual_camera import Factory, Fit, VirtualCamera, fit_picture

if TYPE_CHECKING:
    from app.live.frames import LiveFrame, Pixels
    from app.live_options import LiveOptions


@dataclass(frozen=True)
class VirtualCameraSettings:
    """Settings of the virtual camera for other programs.

    Attributes:
        size: (width, height); None uses the frame's size.
        rate: Frames per second.
        fit: How the frame fits into the size.
        device: Name of a device, empty for the first one.
    """

    size: tuple[int, int] | None = (1280, 720)
    rate: float = 30.0
    fit: Fit = "contain"
    device: str = ""

    @classmethod
    def of(cls, live: LiveOptions) -> VirtualCameraSettings:
        """Settings requested by live options."""
        from app.option_parsers import parse_size

        return cls(parse_size(live.vcam_size), live.vcam_rate, live.vcam_fit)


class VirtualCameraSink(Sink):
    """Feeds the virtual camera at its own rate; the last frame is repeated while no new one arrives.

    Args:
        settings: Size, rate, fit and device.
        factory: Creates the camera; pyvirtualcam.Camera by default.
    """

    name = "virtual camera"
    retry = 3.0

    def __init__(self, settings: VirtualCameraSettings | None = None, factory: Factory | None = None) -> None:
        super().__init__()
        self._wanted = settings or VirtualCameraSettings()
        self._used = self._wanted
        self._factory = factory
        self._camera: VirtualCamera | None = None
        self._picture: Pixels | None = None  # as last sent
        self._sent = 0.0
        self.interval = 1 / self._wanted.rate

    def configure(self, settings: VirtualCameraSettings) -> None:
        """Change size, rate, fit or device; callable from any thread. The camera is reopened if necessary."""
        self._wanted = settings

    def set_live(self, old: LiveOptions, new: LiveOptions) -> None:
        """See Sink.set_live: settings changed by ``configure`` are kept if their options did not change."""
        wanted = VirtualCameraSettings.of(new)
        if wanted != VirtualCameraSettings.of(old):
            self.configure(replace(wanted, device=self._wanted.device))

    def open(self) -> None:
        """See Sink.open."""
        self._used = self._wanted
        self.interval = 1 / self._used.rate
        self._sent = -1.0
        if self._used.size is not None:
            self._camera = self._opened(self._used.size)
        elif self._picture is not None:
            self._camera = self._opened((self._picture.shape[1], self._picture.shape[0]))

    def _opened(self, size: tuple[int, int]) -> VirtualCamera:
        return VirtualCamera(size, self._used.rate, self._used.device, self._factory)

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""
        height, width = frame.picture.shape[:2]
        self._follow((width, height))
        assert self._camera is not None
        self._picture = fit_picture(frame.opaque, self._camera.size, self._used.fit)
        if self.clock() - self._sent > 0.7 * (self.interval or 0.0):  # the driver is faster than the camera's rate
            self._send()

    def idle(self) -> None:
        """See Sink.idle: repeat the last frame, so that other programs do not see the camera freeze or end."""
        self._follow(None)
        if self._picture is not None and self._camera is not None:
            if (self._picture.shape[1], self._picture.shape[0]) != self._camera.size:
                self._picture = fit_picture(self._picture, self._camera.size, self._used.fit)
            self._send()

    def close(self) -> str:
        """See Sink.close."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
        return ""

    def _send(self) -> None:
        assert self._camera is not None
        assert self._picture is not None
        self._sent = self.clock()
        self._camera.send(self._picture)

    def _follow(self, picture: tuple[int, int] | None) -> None:
        """Reopen the camera if the settings or the frame require it."""
        wanted = self._wanted
        if wanted == self._used and self._camera is not None and (wanted.size is not None or picture is None):
            return
        size = wanted.size or picture or (self._camera.size if self._camera is not None else None)
        if size is None:
            self._used = wanted
            return
        same = self._camera is not None and self._camera.size == (size[0] - size[0] % 2, size[1] - size[1] % 2)
        if same and (wanted.rate, wanted.device) == (self._used.rate, self._used.device):
            self._used = wanted
            return
        self.close()
        self._used = wanted
        self.interval = 1 / wanted.rate
        self._camera = self._opened(size)
