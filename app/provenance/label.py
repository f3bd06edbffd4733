"""The visible label: the letters AI in a corner, for users who must or want to inform viewers."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.patched import Patch, Patched, Window

Pixels = npt.NDArray[np.uint8]

SHARE: Final = 0.05  # height of the label as a share of the image's shorter side
LEAST: Final = 14  # minimum height in pixels
LARGER: Final = 8  # supersampling factor, for smooth edges
COVER: Final = 0.7  # opacity of the dark box


@lru_cache(maxsize=8)
def _drawn(height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Grey levels and opacity (0 to 1) of a label with the given height, each (h, w, 1) float32."""
    high, wide = height * LARGER, height * LARGER * 3 // 2
    box, letters = np.zeros((high, wide), np.uint8), np.zeros((high, wide), np.uint8)
    radius = high // 5
    cv2.rectangle(box, (radius, 0), (wide - radius, high), 255, -1)
    cv2.rectangle(box, (0, radius), (wide, high - radius), 255, -1)
    for x in (radius, wide - radius - 1):
        for y in (radius, high - radius - 1):
            cv2.circle(box, (x, y), radius, 255, -1)
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, high // 9)
    scale = 0.58 * high / cv2.getTextSize("AI", font, 1, 1)[0][1]
    (width, tall), _ = cv2.getTextSize("AI", font, scale, thick)
    cv2.putText(letters, "AI", ((wide - width) // 2, (high + tall) // 2), font, scale, 255, thick, cv2.LINE_AA)
    size = wide // LARGER, height
    white, dark = (
        np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
        for one in (letters, box)
    )
    opacity = np.maximum(white, dark * np.float32(COVER))
    colour = np.float32(255) * white / np.maximum(opacity, np.float32(1e-6))
    return colour[..., None], opacity[..., None]


def place(shape: tuple[int, ...]) -> Window | None:
    """Position of the label in an image (H, W, C), lower right; None if there is no room for it."""
    short = min(shape[:2])
    height = max(LEAST, round(short * SHARE))
    width = height * LARGER * 3 // 2 // LARGER
    x1, y1 = shape[1] - height // 2, shape[0] - height // 2
    return (x1 - width, y1 - height, x1, y1) if min(x1 - width, y1 - height) >= 0 else None


def labelled(picture: Patched) -> Patched:
    """The image with the label; the original arrays are not modified."""
    window = place(picture.shape)
    if window is None:
        return picture
    x0, y0, x1, y1 = window
    part = picture.region(window)
    colour, opacity = _drawn(y1 - y0)
    part[..., :3] = np.rint(part[..., :3] * (1 - opacity) + colour * opacity)
    if part.shape[2] == 4:
        part[..., 3] = np.maximum(part[..., 3], np.rint(opacity[..., 0] * 255))
    if any(a < x1 and x0 < c and b < y1 and y0 < d for a, b, c, d in (one.window for one in picture.patches)):
        whole = picture.whole().copy()
        whole[y0:y1, x0:x1] = part
        return Patched(whole)
    return Patched(picture.base, (*picture.patches, Patch(x0, y0, part)))
