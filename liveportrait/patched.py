"""Images that share most of their pixels: a base image, and the rectangles that differ from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Patch:
    """A rectangle of an image.

    Attributes:
        x: Left column in the image.
        y: Top row.
        pixels: (h, w, C) uint8.
    """

    x: int
    y: int
    pixels: Pixels

    @property
    def window(self) -> Window:
        """(x0, y0, x1, y1)."""
        height, width = self.pixels.shape[:2]
        return self.x, self.y, self.x + width, self.y + height


@dataclass(frozen=True)
class Patched:
    """An image as a base that many frames share, and the differences of this frame.

    Attributes:
        base: (H, W, C) uint8; never changed.
        patches: Rectangles drawn over it, inside it and without overlap.
    """

    base: Pixels
    patches: tuple[Patch, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C)."""
        return self.base.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the patches; the base is shared and not counted."""
        return sum(patch.pixels.nbytes for patch in self.patches)

    def whole(self) -> Pixels:
        """The whole image: the base itself if there are no patches."""
        return self.region((0, 0, self.base.shape[1], self.base.shape[0])) if self.patches else self.base

    def region(self, window: Window) -> Pixels:
        """A copy of the part (x0, y0, x1, y1) of the image."""
        x0, y0, x1, y1 = window
        out: Pixels = self.base[y0:y1, x0:x1].copy()
        for patch in self.patches:
            a, b, c, d = patch.window
            left, top, right, bottom = max(a, x0), max(b, y0), min(c, x1), min(d, y1)
            if left < right and top < bottom:
                part = patch.pixels[top - b : bottom - b, left - a : right - a]
                out[top - y0 : bottom - y0, left - x0 : right - x0] = part
        return out

    def outline(self) -> Outline:
        """Summary that later frames are compared with."""
        return Outline(self.base, tuple(patch.window for patch in self.patches))

    def changes(self, before: Outline | None) -> list[Window] | None:
        """Rectangles outside which this image equals the previous one; None if all of it may differ."""
        if before is None or before.base is not self.base:
            return None
        return list(dict.fromkeys((*before.windows, *(patch.window for patch in self.patches))))


@dataclass(frozen=True)
class Outline:
    """A patched image without the pixels of its patches: its base, and the patches' positions."""

    base: Pixels
    windows: tuple[Window, ...]


def cut(picture: Pixels, windows: Iterable[Window]) -> tuple[Patch, ...]:
    """Copies of some parts of an image."""
    return tuple(Patch(x0, y0, picture[y0:y1, x0:x1].copy()) for x0, y0, x1, y1 in windows)


def split(picture: Pixels) -> tuple[Pixels, Pixels | None]:
    """RGB and alpha of (H, W, 3 or 4)."""
    if picture.shape[2] == 3:
        return picture, None
    return np.ascontiguousarray(picture[..., :3]), np.ascontiguousarray(picture[..., 3])


def separate(windows: Sequence[Window]) -> list[Window]:
    """Disjoint rectangles that cover some windows: overlapping windows are replaced by their bounding box."""
    apart: list[Window] = []
    for window in windows:
        current = window
        while True:
            hit = next((one for one in apart if _overlap(one, current)), None)
            if hit is None:
                break
            apart.remove(hit)
            low, high = np.minimum(hit[:2], current[:2]), np.maximum(hit[2:], current[2:])
            current = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        apart.append(current)
    return apart


def _overlap(a: Window, b: Window) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def inside(window: Window, other: Window) -> bool:
    """Whether a window lies inside another one."""
    return other[0] <= window[0] and other[1] <= window[1] and window[2] <= other[2] and window[3] <= other[3]
