"""The lattice that carries the watermark: where its cells lie, what they hold and which phases the key gives them.

Cells are squares that lie in rows over the whole image; two neighbours in a row are a pair. A pair holds the difference
of the mean luma of its cells, seen as an angle: a full turn is ``TURN`` grey levels. The key gives each pair a phase,
and the mark moves its angle towards that phase. Brightness shifts leave the differences as they are, scaling the image
scales the lattice with it, and the image's own content does not disturb the mark, because only the place within a turn
counts (quantisation index modulation: Chen and Wornell, 2001).
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

KEY: Final = b"portrait-animate watermark 2"
TILE: Final = 128  # period of the phases in pairs and in rows
TURN: Final = 18.0  # grey levels between the cells of a pair that make a full turn
LATTICES: Final = tuple(round(24 * 2 ** (k / 4)) for k in range(21))  # cells across the image, 24 to 768
ACROSS: Final = 48  # approximate number of cells along a side of a large crop
SMALLEST: Final = 8.0  # approximate pixels per cell; smaller ones do not survive half the size and strong compression


@lru_cache(maxsize=1)
def phases() -> Floats:
    """(TILE, TILE) radians from 0 to 2 pi, from the key."""
    data = np.frombuffer(hashlib.shake_256(KEY).digest(TILE * TILE), np.uint8)
    return np.asarray(data.reshape(TILE, TILE) * (2 * math.pi / 256), np.float32)


def phases_at(rows: range, pairs: range) -> Floats:
    """The phases of some rows and pairs of a lattice, (rows, pairs) in radians."""
    return np.asarray(phases()[np.ix_(np.asarray(rows) % TILE, np.asarray(pairs) % TILE)], np.float32)


def cells_across(side: float, width: int) -> int:
    """The lattice for a crop.

    Args:
        side: Side of the crop, in pixels of the image.
        width: Width of the image in pixels.

    Returns:
        Number of cells across the image, one of ``LATTICES``.
    """
    wanted = width / max(side / ACROSS, SMALLEST)
    return min(LATTICES, key=lambda count: abs(math.log(count / wanted)))


def luma(image: Pixels) -> Floats:
    """Luma of an image (H, W, 3 or 4) in grey levels, (H, W)."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY), np.float32)


def cell_means(grey: Floats, count: int) -> Floats | None:
    """Mean luma of the cells of a lattice over a whole image.

    Args:
        grey: (H, W) luma.
        count: Cells across the image.

    Returns:
        (rows, count); None if the cells are too small or too few to carry a mark.
    """
    height, width = grey.shape
    cell = width / count
    rows = int(height / cell)
    if cell < 2 or rows < 12:
        return None
    return np.asarray(cv2.resize(grey[: round(rows * cell)], (count, rows), interpolation=cv2.INTER_AREA), np.float32)


def differences(cells: Floats) -> Floats:
    """(rows, cells // 2) differences within the pairs of (rows, cells) means."""
    even = cells.shape[1] // 2 * 2
    return np.asarray(cells[:, 0:even:2] - cells[:, 1:even:2], np.float32)
