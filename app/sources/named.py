"""Find the driver named by the user: a file, a local or network camera, or a face tracker."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from app.addresses import local_path
from app.choices import TrackingAddress, driver_address
from app.errors import UsageError
from app.sources.camera import camera_source, stream_source
from app.sources.player import file_source
from app.sources.sensors.source import tracking_source

if TYPE_CHECKING:
    from app.media.camera import Mode
    from app.sources.playback import Playback
    from app.sources.sample import DriverSource


def source_from_text(
    text: str,
    mode: Mode | None = None,
    *,
    mirror: bool = True,
    turn: int = 0,
    reference: str = "auto",
) -> DriverSource:
    """The driver named by the user: a file, a camera by index, name or URL, or the address of a face tracker.

    Args:
        text: What the user typed.
        mode: Size and rate to request from a camera; the rate also plays a file.
        mirror: Swap left and right of a camera.
        turn: Degrees by which the images of a camera are turned clockwise: 0, 90, 180 or 270.
        reference: Neutral frame of a template.

    Raises:
        MediaError: There is no such file or camera.
        UsageError: It is a URL of nothing that can drive.
    """
    if (driver := address_source(text, mirror=mirror, turn=turn)) is not None:
        return driver
    path = local_path(text)
    if text and (path.exists() or path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".jpg", ".png")):
        rate = Fraction(mode.rate).limit_denominator(1001) if mode is not None and mode.rate else None
        return file_source(path, rate=rate, reference=reference)
    return camera_source(text, mode, mirror=mirror, turn=turn)


def address_source(
    text: str, *, mirror: bool = True, turn: int = 0, playback: Playback | None = None
) -> DriverSource | None:
    """The driver at a URL: a face tracker or a network camera; None if it is neither.

    Args:
        text: What the user typed.
        mirror: Swap left and right.
        turn: Degrees by which the images of a camera are turned clockwise: 0, 90, 180 or 270.
        playback: Tells whether a pause is on; None has none.

    Raises:
        UsageError: It is meant as one, but is none.
    """
    try:
        address = driver_address(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if isinstance(address, TrackingAddress):
        return tracking_source(address, mirror=mirror, playback=playback)
    return None if address is None else stream_source(address, mirror=mirror, turn=turn, playback=playback)
