"""The virtual camera: offers finished frames to meeting programs as a camera, through pyvirtualcam (extra ``vcam``)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from app.errors import AppError, MissingError
from app.media.cameras import IN_USE
from app.media.images import flatten
from models.installation import install_hint
from models.messages import msg

Pixels = npt.NDArray[np.uint8]
Fit = Literal["contain", "cover", "stretch"]
Factory = Callable[..., Any]
DRIVERS: Final[dict[str, str]] = {
    "linux": "Install v4l2loopback (package v4l2loopback-dkms), then: sudo modprobe v4l2loopback exclusive_caps=1 "
    'card_label="Portrait".',
    "win32": "Install OBS Studio 26 or newer (it brings a virtual camera), start its virtual camera once and close it "
    "again; or install UnityCapture.",
    "darwin": "Install OBS Studio 30 or newer, start its virtual camera once, allow its system extension, quit OBS.",
}


class VirtualCameraError(AppError):
    """The virtual camera can't be opened or does not accept a frame."""


def how_to(platform: str = sys.platform) -> str:
    """What to install on an operating system to get a virtual camera."""
    return DRIVERS.get("linux" if platform.startswith("linux") else platform, "This system has no virtual camera.")


def package_missing() -> bool:
    """Whether the package pyvirtualcam is not installed."""
    return importlib.util.find_spec("pyvirtualcam") is None


def fit_picture(picture: Pixels, size: tuple[int, int], fit: Fit) -> Pixels:
    """Resize a frame.

    Args:
        picture: (H, W, 3 or 4) uint8; transparent parts become black.
        size: (width, height) of the result.
        fit: contain adds black bars, cover crops the edges, stretch distorts.

    Returns:
        (height, width, 3) uint8, contiguous.
    """
    rgb = picture[..., :3]
    if picture.shape[2] == 4:
        rgb = flatten(np.ascontiguousarray(rgb), picture[..., 3], (0, 0, 0))
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(rgb)
    if fit == "stretch":
        return _resized(rgb, size)
    scale_x, scale_y = size[0] / width, size[1] / height
    if fit == "cover":
        scale = max(scale_x, scale_y)
        cut = (min(width, max(1, round(size[0] / scale))), min(height, max(1, round(size[1] / scale))))
        x, y = (width - cut[0]) // 2, (height - cut[1]) // 2
        return _resized(np.ascontiguousarray(rgb[y : y + cut[1], x : x + cut[0]]), size)
    scale = min(scale_x, scale_y)
    inner = (min(size[0], max(1, round(width * scale))), min(size[1], max(1, round(height * scale))))
    out = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out[y : y + inner[1], x : x + inner[0]] = _resized(rgb, inner)
    return out


def _resized(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    smaller = size[0] < rgb.shape[1] or size[1] < rgb.shape[0]
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


class VirtualCamera:
    """An open virtual camera.

    Args:
        size: (width, height); odd sides are made even, as the drivers require.
        rate: Frames per second announced to other programs.
        device: Name of a device; empty for the first one.
        factory: Makes the camera; pyvirtualcam.Camera by default.

    Attributes:
        size: Size in use.
        device: Name under which other programs list it.

    Raises:
        MissingError: pyvirtualcam or the driver of the system is missing; the hint says what to install.
        VirtualCameraError: The driver refuses it, for example because another program uses it.
    """

    def __init__(
        self, size: tuple[int, int], rate: float = 30.0, device: str = "", factory: Factory | None = None
    ) -> None:
        self.size = (max(2, size[0] - size[0] % 2), max(2, size[1] - size[1] % 2))
        make = factory or _pyvirtualcam()
        try:
            self._camera = make(self.size[0], self.size[1], rate, device=device or None)
        except (RuntimeError, OSError, ValueError) as error:
            raise _refused(error) from error
        self.device = str(getattr(self._camera, "device", "") or "virtual camera")
        if IN_USE.reads(self.device):
            self._camera.close()
            raise VirtualCameraError(
                msg("The virtual camera can't be used: {device} is the driver.", self.device),
                "Choose another camera as the driver.",
            )
        IN_USE.feed(self.device)

    def send(self, rgb: Pixels) -> None:
        """Output a frame (H, W, 3) uint8 of the size in use.

        Raises:
            VirtualCameraError: The driver no longer accepts frames.
        """
        try:
            self._camera.send(rgb)
        except (RuntimeError, OSError, ValueError) as error:
            raise VirtualCameraError(msg("The virtual camera stopped: {error}.", _plain(error)), "") from error

    def close(self) -> None:
        """Release the device."""
        IN_USE.release(self.device)
        self._camera.close()


def _pyvirtualcam() -> Factory:
    try:
        import pyvirtualcam
    except ImportError as error:
        raise MissingError(
            "The virtual camera needs the package pyvirtualcam.",
            msg("{install_hint}. {how_to}", install_hint("vcam"), how_to()),
        ) from error
    make: Factory = pyvirtualcam.Camera
    return make


def _refused(error: Exception) -> AppError:
    text = _plain(error)
    absent = ("no v4l2", "not found", msg("not installed"), "does not exist", "not available", "could not be started")
    if any(words in text.lower() for words in absent):
        return MissingError(msg("There is no virtual camera on this computer ({text}).", text), how_to())
    return VirtualCameraError(
        msg("The virtual camera can't be opened: {text}.", text),
        "Close other programs that write to it, then try again.",
    )


def _plain(error: Exception) -> str:
    """The first sentence of a driver's message."""
    text = " ".join(str(error).split()).split(" Did you ")[0].split(" See also")[0]
    return text.rstrip(". ") or type(error).__name__
