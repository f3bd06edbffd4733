"""Size limits for images and clips, checked from the header before anything is decoded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from app.errors import MediaError
from models.messages import msg

PHOTO_PIXELS: Final = 120_000_000
"""Pixels of a photo; enough for 100-megapixel cameras."""
CLIP_PIXELS: Final = 35_651_584
"""Pixels of a frame of a clip: the most that H.264, HEVC, AV1 and VP9 allow, at level 6.2 (8192x4352)."""
CLIP_SIDE: Final = 16_384
"""Pixels of a side of an output clip; H.264 encoders accept no more."""
LONGEST_SIDE: Final = 32_766
"""Pixels of a side of any image; OpenCV counts the pixels of a row in 16 bits."""


class TooLargeError(MediaError):
    """An image or clip has more pixels than the limit."""


def check_photo(path: Path, width: int, height: int) -> None:
    """Check the size of a photo.

    Args:
        path: Named in the error.
        width: Pixels, from the header.
        height: Pixels, from the header.

    Raises:
        TooLargeError: It is too large.
    """
    if width * height > PHOTO_PIXELS:
        found, most = width * height / 1e6, PHOTO_PIXELS / 1e6
        raise TooLargeError(
            msg(
                "{path} is {width}x{height} ({found:.1f} million pixels); the limit for a photo is "
                "{most:.1f} million pixels.",
                path, width, height, found, most
            ),
            "Scale it down first."
        )  # fmt: skip
    _check_sides(path, width, height)


def check_frame(path: Path, width: int, height: int) -> None:
    """Check the frame size of a clip or an animated image, see ``check_photo``.

    Raises:
        TooLargeError: It is too large.
    """
    if width * height > CLIP_PIXELS:
        found, most = width * height / 1e6, CLIP_PIXELS / 1e6
        raise TooLargeError(
            msg(
                "{path} is {width}x{height} ({found:.1f} million pixels); the limit for a frame of a clip is "
                "{most:.1f} million pixels.",
                path, width, height, found, most
            ),
            "Scale it down first."
        )  # fmt: skip
    _check_sides(path, width, height)


def fitting_clip(width: int, height: int) -> tuple[int, int]:
    """Clip size (width, height) for frames of this size: unchanged, or scaled down to the limit, with even sides."""
    scale = min(math.sqrt(CLIP_PIXELS / (width * height)), CLIP_SIDE / max(width, height))
    if scale >= 1:
        return width, height
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def _check_sides(path: Path, width: int, height: int) -> None:
    if max(width, height) > LONGEST_SIDE:
        raise TooLargeError(
            msg(
                "{path} is {width}x{height} pixels; the limit for a side is {longest_side} pixels.",
                path, width, height, LONGEST_SIDE
            ),
            "Scale it down or cut it first."
        )  # fmt: skip
