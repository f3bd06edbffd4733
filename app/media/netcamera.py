"""Network cameras, read through FFmpeg with time limits; user names and passwords in the URL stay in this module."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np

from app.choices import StreamAddress
from app.media.camera import Camera, CameraError, CameraFacts, Clock, Mode, Pixels, RateMeter, Shot
from app.media.limits import CLIP_PIXELS
from models.messages import msg

OPENING: Final = 8.0  # seconds that the connection and the first frame may take
READING: Final = 5.0  # seconds that the next frame may take
OPTIONS: Final = {
    "fflags": "nobuffer",
    "flags": "low_delay",
    "rtsp_flags": "prefer_tcp",
    "analyzeduration": "1000000",  # microseconds
    # a server's playlist or redirect must not lead to local files
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto,srt,rtmp,rtmps,rtmpt,ffrtmphttp",
}


class StreamCamera(Camera):
    """A network camera. It is reopened when it falls silent, see ``lasting``.

    Args:
        address: Its URL.
        mirror: Swap left and right.
        clock: Source of seconds.
        opening: Seconds that the connection and the first frame may take.
        reading: Seconds that the next frame may take.
    """

    def __init__(
        self,
        address: StreamAddress,
        *,
        mirror: bool = True,
        clock: Clock = time.perf_counter,
        opening: float = OPENING,
        reading: float = READING,
    ) -> None:
        super().__init__(clock)
        self.name = str(address)
        self._address = address
        self._mirror = mirror
        self._limits = opening, reading
        self._container: Any = None
        self._pictures: Iterator[Any] | None = None
        self._first: Pixels | None = None
        self._reported = Mode(mjpg=False)
        self._size = (0, 0)
        self._count = 0

    def open(self) -> None:
        """See Camera.open; returns after the first frame has arrived."""
        import av

        self.close()
        self._count, self._meter = 0, RateMeter()
        try:
            self._container = av.open(self._address.url, options=OPTIONS, timeout=self._limits)
            stream = next(iter(self._container.streams.video), None)
            if stream is None:
                raise CameraError(msg("{name} sends no video.", self.name))
            stream.thread_type = "SLICE"  # frame threads would each delay one frame
            rate = float(stream.average_rate or 0)
            self._reported = Mode(stream.width or 0, stream.height or 0, rate, stream.name == "mjpeg")
            self._pictures = iter(self._container.decode(stream))
            self._first = self._next()
        except Exception as error:  # noqa: BLE001 - FFmpeg's errors may repeat the URL
            self.close()
            raise self._fault(error) from None

    def read(self) -> Shot | None:
        """See Camera.read."""
        if self._stop.is_set():
            return None
        if self._pictures is None:
            raise CameraError(msg("The camera {name} is not open.", self.name))
        picture, self._first = self._first, None
        try:
            picture = self._next() if picture is None else picture
        except Exception as error:  # noqa: BLE001 - FFmpeg's errors may repeat the URL
            raise self._fault(error) from None
        now = self.clock()
        self._meter.tick(now)
        self._count += 1
        return Shot(self._count - 1, now, picture, jump=self._count == 1)

    def _next(self) -> Pixels:
        assert self._pictures is not None
        frame = next(self._pictures, None)
        if frame is None:
            raise CameraError(msg("{name} stopped sending frames.", self.name))
        if frame.width * frame.height > CLIP_PIXELS:
            raise CameraError(
                msg("{name} sends frames of {width}x{height} pixels.", self.name, frame.width, frame.height),
                "Set a smaller size in the camera.",
            )
        rgb = frame.to_ndarray(format="rgb24")
        self._size = (frame.width, frame.height)
        return np.asarray(cv2.flip(rgb, 1) if self._mirror else rgb, np.uint8)

    def close(self) -> None:
        """See Camera.close."""
        container, self._container, self._pictures, self._first = self._container, None, None, None
        if container is not None:
            with contextlib.suppress(Exception):  # the connection is gone
                container.close()

    def _fault(self, error: Exception) -> CameraError:
        """The error as a sentence; never FFmpeg's own text, which repeats the URL with its password."""
        import av

        if isinstance(error, CameraError):
            return error
        if isinstance(error, av.error.ExitError | TimeoutError):
            seconds = self._limits[0] if self._container is None or not self._count else self._limits[1]
            return CameraError(
                msg("No frames received from {name} for {seconds:g} s.", self.name, seconds),
                "Check that the camera is on and in this network.",
            )
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            return CameraError(
                msg("{name} requires a user name and password, or other ones.", self.name),
                "Put them into the URL: rtsp://name:password@...",
            )
        if isinstance(error, av.error.ProtocolNotFoundError):
            scheme = self._address.url.partition(":")[0]
            return CameraError(msg("This installation's FFmpeg can't read {scheme} URLs.", scheme))
        reason = getattr(error, "strerror", None) or type(error).__name__
        if self._count:
            return CameraError(msg("{name} stopped sending frames: {reason}.", self.name, reason))
        return CameraError(
            msg("{name} can't be read: {reason}.", self.name, reason),
            "Check that the URL is right and the camera is on.",
        )

    @property
    def facts(self) -> CameraFacts:
        """See Camera.facts."""
        measured = Mode(*self._size, self._meter.rate, self._reported.mjpg)
        return CameraFacts(self.name, "FFmpeg", Mode(mjpg=False), self._reported, measured)
