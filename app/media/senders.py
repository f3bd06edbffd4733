"""Send frames to other programs through NDI, Spout (Windows) and Syphon (macOS), each with an optional package.

None of the three has been tried with real programs: the tests use stand-ins with the packages' interfaces.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.errors import AppError, MissingError
from app.stream_targets import Protocol
from models.installation import install_hint
from models.messages import msg

Pixels = npt.NDArray[np.uint8]

PACKAGES: Final = {"ndi": "cyndilib", "spout": "SpoutGL", "syphon": "syphon"}
"""Protocol -> module; the extras are named after the protocols."""
TITLES: Final = {"ndi": "NDI", "spout": "Spout", "syphon": "Syphon"}


class SenderError(AppError):
    """A sender can't be opened, or does not accept a frame."""


class Sender(ABC):
    """Sends frames under a name.

    Args:
        name: Name shown by other programs.
        rate: Announced frames per second.
    """

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = Fraction(rate).limit_denominator(1001)
        self._size = (0, 0)

    def send(self, picture: Pixels) -> None:
        """Send a frame (H, W, 3 or 4) uint8; without alpha it is opaque.

        Raises:
            SenderError: It is not accepted.
        """
        height, width = picture.shape[:2]
        if picture.shape[2] == 3:
            picture = np.dstack([picture, np.full((height, width), 255, np.uint8)])
        if self._size != (width, height):
            self._resize(width, height)
            self._size = width, height
        self._send(np.ascontiguousarray(picture))

    @abstractmethod
    def _resize(self, width: int, height: int) -> None:
        """Prepare for frames of a size."""

    @abstractmethod
    def _send(self, rgba: Pixels) -> None:
        """Send a frame (H, W, 4)."""

    @abstractmethod
    def close(self) -> None:
        """Release the name."""


class NdiSender(Sender):
    """Sends by NDI, through the package cyndilib."""

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(name, rate)
        self._sender: Any = None
        self._frame: Any = None
        self._kept: Pixels | None = None  # NDI reads a frame until it gets the next one

    def _resize(self, width: int, height: int) -> None:
        from cyndilib.sender import Sender as Source
        from cyndilib.video_frame import VideoSendFrame
        from cyndilib.wrapper.ndi_structs import FourCC

        self.close()
        self._frame = VideoSendFrame()
        self._frame.set_resolution(width, height)
        self._frame.set_frame_rate(self.rate)
        self._frame.set_fourcc(FourCC.RGBA)
        self._sender = Source(self.name)
        self._sender.set_video_frame(self._frame)
        self._sender.open()

    def _send(self, rgba: Pixels) -> None:
        self._sender.write_video_async(rgba.data.cast("B"))
        self._kept = rgba

    def close(self) -> None:
        """See Sender.close."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
        self._kept = None


class SpoutSender(Sender):
    """Sends by Spout, through the package SpoutGL."""

    GL_RGBA: Final = 0x1908

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(name, rate)
        from SpoutGL import SpoutSender as Source

        self._sender: Any = Source()
        self._sender.setSenderName(name)

    def _resize(self, width: int, height: int) -> None:
        """Do nothing: Spout accepts frames of any size."""

    def _send(self, rgba: Pixels) -> None:
        height, width = rgba.shape[:2]
        if not self._sender.sendImage(rgba, width, height, self.GL_RGBA, False, 0):
            raise SenderError("Spout does not accept frames.", "Check that the graphics card can share images.")
        self._sender.setFrameSync(self.name)

    def close(self) -> None:
        """See Sender.close."""
        self._sender.releaseSender()


class SyphonSender(Sender):
    """Sends by Syphon, through the package syphon-python."""

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(name, rate)
        import syphon

        self._server: Any = syphon.SyphonMetalServer(name)
        self._texture: Any = None

    def _resize(self, width: int, height: int) -> None:
        from syphon.utils.raw import create_mtl_texture

        self._texture = create_mtl_texture(self._server.device, width, height)

    def _send(self, rgba: Pixels) -> None:
        from syphon.utils.numpy import copy_image_to_mtl_texture

        copy_image_to_mtl_texture(rgba, self._texture)
        self._server.publish_frame_texture(self._texture)

    def close(self) -> None:
        """See Sender.close."""
        self._server.stop()
        self._texture = None


KINDS: Final[dict[str, Callable[[str, float], Sender]]] = {
    "ndi": NdiSender, "spout": SpoutSender, "syphon": SyphonSender,
}  # fmt: skip


def package_missing(protocol: Protocol) -> MissingError | None:
    """The error for a protocol's missing package, or None."""
    if protocol not in PACKAGES:
        return None
    try:
        importlib.import_module(PACKAGES[protocol])
    except Exception as error:  # noqa: BLE001 - libraries of other systems fail in various ways
        what = msg("{title} needs the package {package}.", TITLES[protocol], PACKAGES[protocol])
        return (
            MissingError(what, install_hint(protocol)) if isinstance(error, ImportError) else MissingError(str(error))
        )
    return None


def open_sender(protocol: Protocol, name: str, rate: float) -> Sender:
    """A sender.

    Raises:
        MissingError: Its package is not installed, or is for another operating system.
        SenderError: It can't be opened.
    """
    missing = package_missing(protocol)
    if missing is not None:
        raise missing
    return KINDS[protocol](name, rate)
