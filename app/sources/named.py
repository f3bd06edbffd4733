"""Find the driver named by the user: a file or a camera."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from app.addresses import local_path
from app.sources.camera import camera_source
from app.sources.player import file_source

if TYPE_CHECKING:
    from app.media.camera import Mode
    from app.sources.sample import DriverSource


def source_from_text(
    text: str, mode: Mode | None = None, *, mirror: bool = True, turn: int = 0, reference: str = "auto"
) -> DriverSource:
    """The driver named by the user: a file, or a camera by index or name.

    Raises:
        MediaError: There is no such file or camera.
        UsageError: It is a URL that is not a file on this machine.
    """
    path = local_path(text)
    if text and (path.exists() or path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".jpg", ".png")):
        rate = Fraction(mode.rate).limit_denominator(1001) if mode is not None and mode.rate else None
        return file_source(path, rate=rate, reference=reference)
    return camera_source(text, mode, mirror=mirror, turn=turn)
