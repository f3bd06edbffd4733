"""Cameras: found by name, opened in a requested mode and read with time stamps; a clip can stand in for a camera.

Index numbers differ between back ends and change when something is unplugged, so a camera is remembered by its name and
its index is looked up each time it is opened. The requested mode, the mode that the driver reports and the one that is
measured may all differ; :class:`CameraFacts` keeps them apart.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.errors import MediaError
from app.media.cameras import IN_USE, CameraDevice, list_cameras
from models.messages import msg

Pixels = npt.NDArray[np.uint8]
Clock = Callable[[], float]

WARM_UP: Final = 5.0  # seconds that a camera may take to deliver its first frame
DARK: Final = 1.0  # seconds of that during which black frames are skipped
BLACK: Final = 8  # a frame whose brightest value is at most this counts as black
MJPG: Final = int.from_bytes(b"MJPG", "little")
FAILURES: Final = 5  # consecutive failed reads after which the camera counts as unplugged
FASTEST: Final = 1000.0  # frames per second; some drivers report a clock's tick rate instead
SLOW: Final = 0.7  # share of the reported rate below which the user gets a hint
BACKENDS: Final[dict[str, tuple[str, ...]]] = {
    "win32": ("DSHOW", "MSMF"),
    "darwin": ("AVFOUNDATION",),
    "linux": ("V4L2", "GSTREAMER"),
}


class CameraError(MediaError):
    """A camera can't be opened or delivers no frames."""


@dataclass(frozen=True)
class Mode:
    """Capture mode of a camera.

    Attributes:
        width: Pixels, 0 for the camera's own choice.
        height: Pixels, 0 for the camera's own choice.
        rate: Frames per second, 0 for the camera's own choice.
        mjpg: Request compressed frames: most cameras reach their large sizes and 30 frames/s only with MJPG.
    """

    width: int = 0
    height: int = 0
    rate: float = 0.0
    mjpg: bool = True

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}" if self.width else "any size"
        rate = f" at {self.rate:g} frames/s" if self.rate else ""
        return f"{size}{rate}"


@dataclass(frozen=True)
class CameraFacts:
    """Facts about an opened camera.

    Attributes:
        name: Its name.
        backend: Name of the capture API that reads it.
        asked: Requested mode.
        reported: Mode that the driver reports.
        measured: Mode of the frames that arrive; its rate is 0 until it is known.
    """

    name: str
    backend: str
    asked: Mode
    reported: Mode
    measured: Mode


@dataclass(frozen=True)
class Shot:
    """One frame of a camera.

    Attributes:
        index: Frame number since the camera was opened, from 0; for a clip, the number of its frame.
        time: Arrival time in seconds on the clock.
        rgb: (H, W, 3) uint8.
        jump: True at the first frame and where a clip starts over.
    """

    index: int
    time: float
    rgb: Pixels
    jump: bool = False


class RateMeter:
    """Rate of events over the last few seconds.

    Args:
        window: Length of the averaging window in seconds.
    """

    def __init__(self, window: float = 2.0) -> None:
        self._window = window
        self._times: deque[float] = deque(maxlen=1024)

    def tick(self, now: float) -> None:
        """Count an event."""
        self._times.append(now)
        while self._times[-1] - self._times[0] > self._window:
            self._times.popleft()

    @property
    def rate(self) -> float:
        """Events per second; 0 until there were two."""
        times = list(self._times)
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        return (len(times) - 1) / span if span > 0 else 0.0


class Camera(ABC):
    """A source of frames in real time. Opened, read and closed in one thread; ``cancel`` may be called from any.

    Attributes:
        name: Display name.
        lasting: True if the end of the frames is a fault that may pass, such as an unplugged camera.
    """

    name: str = ""
    lasting: bool = True

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self._stop = threading.Event()
        self._meter = RateMeter()

    @abstractmethod
    def open(self) -> None:
        """Open it, or open it again.

        Raises:
            AppError: It can't be opened; the sentence says why and what to do.
        """

    @abstractmethod
    def read(self) -> Shot | None:
        """Wait for the next frame; None after ``cancel``.

        Raises:
            AppError: No more frames arrive.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device; harmless when called again."""

    @property
    @abstractmethod
    def facts(self) -> CameraFacts:
        """The requested, reported and measured modes."""

    def cancel(self) -> None:
        """Make a waiting ``read`` or ``open`` return soon; callable from any thread."""
        self._stop.set()

    def hint(self) -> str:
        """A sentence about something that the user could improve, or empty; unchanged while the condition lasts."""
        return ""


Capture = Any  # cv2.VideoCapture, or an object with the same isOpened, read, get, set and release
CaptureFactory = Callable[[int, str, Sequence[int]], Capture]


def open_capture(index: int, backend: str, settings: Sequence[int]) -> Capture:
    """A cv2 capture.

    Args:
        index: Index of the camera.
        backend: Name of cv2's back end, such as "V4L2".
        settings: Pairs of property and value, applied before the stream starts.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # failures are reported in our own words
    return cv2.VideoCapture(index, getattr(cv2, f"CAP_{backend}"), list(settings))


def overloaded() -> bool:
    """Whether more programs want to compute than there are processor cores: frames are late then for that reason."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.2 * (os.cpu_count() or 1)


def _reported(capture: Capture, prop: int) -> float:
    """A number that a driver reports; 0 if it reports none, or one that makes no sense."""
    try:
        value = float(capture.get(prop))
    except cv2.error:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


class DeviceCamera(Camera):
    """A camera of this computer.

    Args:
        device: The camera; its index is looked up by name each time it is opened.
        mode: Mode to request.
        mirror: Swap left and right, as in a mirror.
        backends: cv2 back ends to try in order; None for those of this system.
        capture: Opens a capture.
        devices: Lists the cameras.
        clock: Source of seconds.
    """

    def __init__(
        self,
        device: CameraDevice,
        mode: Mode | None = None,
        *,
        mirror: bool = True,
        backends: Sequence[str] | None = None,
        capture: CaptureFactory = open_capture,
        devices: Callable[[], list[CameraDevice]] = list_cameras,
        clock: Clock = time.perf_counter,
    ) -> None:
        super().__init__(clock)
        self.name = device.name
        self._device = device
        self._asked = mode or Mode()
        self._mirror = mirror
        platform = "linux" if sys.platform.startswith("linux") else sys.platform
        self._backends = tuple(BACKENDS.get(platform, ("ANY",)) if backends is None else backends)
        self._make = capture
        self._devices = devices
        self._capture: Capture | None = None
        self._noted: tuple[str, ...] = ()
        self._first: Pixels | None = None
        self._backend = ""
        self._reported = Mode()
        self._size = (0, 0)
        self._count = 0
        self._dark = False
        self._slow = ""

    # ---- opening --------------------------------------------------------------------------------------------------
    def open(self) -> None:
        """See Camera.open: every back end is tried in turn."""
        self.close()
        device = self._find()
        if IN_USE.feeds(device):
            raise CameraError(msg("{name} is this program's own virtual camera.", self.name), "Choose another camera.")
        reasons = []
        for backend in self._backends:
            index = device.index_for(backend)
            if index is None:
                continue
            try:
                self._start(index, backend)
            except CameraError as error:
                reasons.append(f"{backend}: {error.message}")
                self.close()
                continue
            self._noted = (device.path, device.name)
            IN_USE.read(*self._noted)
            return
        if self._stop.is_set():
            raise CameraError(msg("Opening the camera {name} was cancelled.", self.name))
        raise self._blame(device, reasons)

    def _find(self) -> CameraDevice:
        """The camera with its current index."""
        present = self._devices()
        for device in present:
            if device.key == self._device.key:
                return device
        if not self._device.listed:
            return self._device
        there = f"There are: {', '.join(d.name for d in present)}." if present else "No camera is connected."
        raise CameraError(msg("The camera {name} is not connected.", self.name), there)

    def _start(self, index: int, backend: str) -> None:
        settings: list[int] = []
        if self._asked.mjpg:
            settings += [cv2.CAP_PROP_FOURCC, MJPG]
        if self._asked.width and self._asked.height:
            settings += [cv2.CAP_PROP_FRAME_WIDTH, self._asked.width, cv2.CAP_PROP_FRAME_HEIGHT, self._asked.height]
        if self._asked.rate:
            settings += [cv2.CAP_PROP_FPS, round(self._asked.rate)]
        try:
            capture = self._capture = self._make(index, backend, settings)
            if not capture.isOpened() and settings:
                # some drivers refuse a mode as a whole: open without settings, then set them one by one
                capture.release()
                capture = self._capture = self._make(index, backend, [])
                for prop, value in zip(settings[::2], settings[1::2], strict=True):
                    capture.set(prop, value)
            if not capture.isOpened():
                raise CameraError("it can't be opened.")
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        except (cv2.error, OSError) as error:
            raise CameraError(msg("it can't be opened ({error}).", error)) from None
        self._backend = backend
        self._first = self._warm_up(capture)
        height, width = self._first.shape[:2]
        self._size = (width, height)
        rate = _reported(capture, cv2.CAP_PROP_FPS)
        self._reported = Mode(
            int(_reported(capture, cv2.CAP_PROP_FRAME_WIDTH)),
            int(_reported(capture, cv2.CAP_PROP_FRAME_HEIGHT)),
            rate if rate <= FASTEST else 0.0,
            int(_reported(capture, cv2.CAP_PROP_FOURCC)) == MJPG,
        )
        self._count = 0
        self._meter = RateMeter()

    def _warm_up(self, capture: Capture) -> Pixels:
        """The first frame that is not black; a black one if no other arrives."""
        start = self.clock()
        black: Pixels | None = None
        while not self._stop.is_set():
            picture = self._grab(capture)
            if picture is not None and int(picture.max()) > BLACK:
                self._dark = False
                return picture
            black = black if picture is None else picture
            waited = self.clock() - start
            if black is not None and waited > DARK:
                self._dark = True
                return black
            if waited > WARM_UP:
                break
            if picture is None:
                self._stop.wait(0.02)
        raise CameraError(msg("no frame arrived within {warm_up:g} s.", WARM_UP))

    def _blame(self, device: CameraDevice, reasons: list[str]) -> CameraError:
        """Explain why none of the back ends worked, as far as that is known."""
        node = Path(device.path) if device.path else None
        if node is not None and not node.exists():
            return CameraError(msg("The camera {name} is not connected.", self.name), "Plug it in again.")
        if node is not None and not os.access(node, os.R_OK | os.W_OK):
            return CameraError(
                msg("Access to the camera {name} is denied: {node} belongs to another group.", self.name, node),
                "Add yourself to the group video (sudo usermod -aG video $USER) and log in again.",
            )
        hint = {
            "darwin": "Allow it under System Settings, Privacy & Security, Camera, and close programs that use it.",
            "win32": "Allow it under Settings, Privacy & security, Camera, and close programs that use it.",
        }.get(sys.platform, "Another program may be using it: close that, then try again.")
        detail = f" ({'; '.join(reason.rstrip('.') for reason in reasons)})" if reasons else ""
        return CameraError(msg("No frames received from camera {name}{detail}.", self.name, detail), hint)

    # ---- reading --------------------------------------------------------------------------------------------------
    @staticmethod
    def _grab(capture: Capture) -> Pixels | None:
        try:
            good, picture = capture.read()
        except cv2.error:
            return None
        if not good or picture is None or picture.size == 0:
            return None
        if picture.dtype == np.uint16:  # depth and infrared cameras
            picture = (picture >> 8).astype(np.uint8)
        if picture.ndim == 2 or picture.shape[2] == 1:
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
        return np.asarray(picture[..., :3], np.uint8)

    def read(self) -> Shot | None:
        """See Camera.read."""
        if self._capture is None:
            raise CameraError(msg("The camera {name} is not open.", self.name))
        picture, self._first = self._first, None
        failed = 0
        while picture is None:
            if self._stop.is_set():
                return None
            picture = self._grab(self._capture)
            if picture is None:
                failed += 1
                if failed >= FAILURES:
                    raise CameraError(
                        msg("Camera {name} stopped delivering frames.", self.name), "Check that it is still plugged in."
                    )
                self._stop.wait(0.02)
        now = self.clock()
        self._meter.tick(now)
        if self._dark and int(picture.max()) > BLACK:
            self._dark = False
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        if self._mirror:
            rgb = cv2.flip(rgb, 1)
        self._size = (rgb.shape[1], rgb.shape[0])
        self._count += 1
        return Shot(self._count - 1, now, np.asarray(rgb, np.uint8), jump=self._count == 1)

    def close(self) -> None:
        """See Camera.close."""
        capture, self._capture, self._first = self._capture, None, None
        IN_USE.release(*self._noted)
        self._noted = ()
        if capture is not None:
            with contextlib.suppress(cv2.error):
                capture.release()

    @property
    def facts(self) -> CameraFacts:
        """See Camera.facts."""
        measured = Mode(*self._size, self._meter.rate, self._reported.mjpg)
        return CameraFacts(self.name, self._backend, self._asked, self._reported, measured)

    def hint(self) -> str:
        """See Camera.hint."""
        facts = self.facts
        if self._dark:
            return msg(
                "The image of camera {name} is black: open its shutter, or close other programs that use it.", self.name
            )
        promised = facts.reported.rate or facts.asked.rate
        slow = self._count > 45 and promised > 0 and facts.measured.rate < SLOW * promised and not overloaded()
        if slow and not self._slow:
            self._slow = (
                f"The camera {self.name} gives {facts.measured.rate:.0f} of {promised:.0f} frames/s: cameras slow down "
                "in dim light. Add light, switch off its automatic exposure, or choose a smaller size."
            )
        return self._slow if slow else ""


def snapshot(device: CameraDevice, mode: Mode | None = None) -> Pixels:
    """One frame of a camera, for a thumbnail: (H, W, 3) uint8. The camera is opened and closed again.

    Raises:
        AppError: It delivers no frame.
    """
    camera = DeviceCamera(device, mode or Mode(640, 480))
    try:
        camera.open()
        shot = camera.read()
        if shot is None:
            raise CameraError(msg("No frames received from camera {camera}.", camera.name))
        return shot.rgb
    finally:
        camera.close()
