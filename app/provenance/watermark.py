"""The watermark: a faint keyed pattern in the luma of the animated crop, detectable without the original.

The pattern is a lattice of signs over the whole image, so that it scales with it: images of any size are checked
against the same few lattices. Each crop uses the lattice in which it is about 90 cells wide, and only inside its own
soft border; outside, the image stays bit-identical.

The key is public, so that anybody can look for the mark: it shows that an image was made by this program, but it does
not withstand deliberate removal or forgery.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.provenance.mark import Level, Marking
from liveportrait.animator import Finish
from liveportrait.compose import FEATHER, crop_window, edge_ramp
from liveportrait.crop import Crop
from liveportrait.warp import scale_of

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Window = tuple[int, int, int, int]

KEY: Final = b"portrait-animate watermark 1"
TILE: Final = 128  # period of the signs in cells
ACROSS: Final = 90  # approximate number of cells along a side of the crop
LATTICES: Final = tuple(round(32 * 2 ** (k / 2)) for k in range(9))  # cells across the image, 32 to 512
SMALLEST: Final = 5.5  # pixels per cell; smaller ones don't survive scaling by half and strong compression
STRENGTH: Final = 1.08  # grey levels, root mean square in flat areas
TEXTURED: Final = 1.6  # factor in textured areas, which hide the pattern
QUIET, BUSY = 1.0, 9.0  # texture in grey levels at which the factor starts to apply and at which it applies fully
SEEN: Final = (28, 56, 84)  # cells along a side of the search windows
LEARNED: Final = 20_000  # approximate number of cells from which the prediction from neighbours is fitted
FALSE_ALARMS: Final = 5e-5  # probability per file below which the mark counts as found


@dataclass(frozen=True)
class Score:
    """Detection result for an image or clip.

    Attributes:
        deviations: Best agreement with the key anywhere, in standard deviations of wrong keys.
        false_alarms: Probability that an unmarked file agrees as much anywhere, 0 to 1.
    """

    deviations: float
    false_alarms: float

    @property
    def found(self) -> bool:
        """Whether the mark was found."""
        return self.false_alarms <= FALSE_ALARMS


@lru_cache(maxsize=1)
def signs() -> Floats:
    """(TILE, TILE) of -1 and 1, from the key."""
    data = hashlib.shake_256(KEY).digest(TILE * TILE // 8)
    return np.unpackbits(np.frombuffer(data, np.uint8)).reshape(TILE, TILE).astype(np.float32) * 2 - 1


def _high(cells: Floats, border: int = cv2.BORDER_REFLECT_101) -> Floats:
    """Cells minus the mean of their 3 x 3 neighbourhood."""
    return np.asarray(cells - cv2.blur(cells, (3, 3), borderType=border), np.float32)


def lattice(side: float, width: int) -> int:
    """Number of cells across the image for a crop with a side in image pixels."""
    wanted = width / max(side / ACROSS, SMALLEST)
    return min(LATTICES, key=lambda count: abs(math.log(count / wanted)))


def pattern(window: Window, width: int, count: int) -> Floats:
    """The pattern in a part of an image.

    Args:
        window: The part, (x0, y0, x1, y1).
        width: Width of the image.
        count: Cells across it.

    Returns:
        (h, w) float32 of mean 0 and root mean square 1.
    """
    x0, y0, x1, y1 = window
    cell = width / count
    left, top = math.floor(x0 / cell) - 3, math.floor(y0 / cell) - 3
    columns = np.arange(left, math.ceil(x1 / cell) + 3) % TILE
    rows = np.arange(top, math.ceil(y1 / cell) + 3) % TILE
    cells = _high(signs()[np.ix_(rows, columns)])
    # pixel x of the image is at (x + 0.5) / cell - 0.5 cells
    to_pixels = np.array([[1 / cell, 0, (x0 + 0.5) / cell - 0.5 - left], [0, 1 / cell, (y0 + 0.5) / cell - 0.5 - top]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(cells, to_pixels, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(out / max(float(out.std()), 1e-6), np.float32)


@lru_cache(maxsize=8)
def _share(matrix: bytes, size: int, window: Window, width: int) -> Floats:
    """The pattern of a crop with its soft border; for a photo it is the same in every frame."""
    crop = Crop(np.frombuffer(matrix, np.float64).reshape(2, 3), size)
    shown = pattern(window, width, lattice(size * scale_of(crop.inverse), width))
    out = np.asarray(shown * edge_ramp(crop.matrix, size, window, FEATHER), np.float32)
    out.setflags(write=False)
    return out


def imprint(
    picture: Pixels, crop: Crop, shape: tuple[int, ...] | None = None, corner: tuple[int, int] = (0, 0)
) -> None:
    """Add the mark to a finished image where an animated crop was pasted.

    Args:
        picture: (H, W, 3 or 4) uint8, changed in place: the whole image, or a part that contains the crop.
        crop: The crop.
        shape: Shape of the whole image if ``picture`` is a part of it.
        corner: Position of the upper left corner of ``picture`` in the whole image.
    """
    whole = picture.shape if shape is None else shape
    window = crop_window(crop, whole)
    if window is None:
        return
    x0, y0, x1, y1 = window
    matrix = np.ascontiguousarray(crop.matrix, np.float64).tobytes()
    shown = _share(matrix, crop.size, window, whole[1])
    _add(picture[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]], shown)


def finishing(level: Level) -> Finish | None:
    """The final step for an animator's crops at a level of marking: adds the mark, or None if there is none."""
    return imprint if Marking(level).in_pixels else None


def imprint_square(square: Pixels) -> None:
    """The same for a bare crop as the whole image, (S, S, 3 or 4) uint8, changed in place."""
    imprint(square, Crop(np.eye(2, 3), square.shape[1]))


def _add(target: Pixels, shown: Floats) -> None:
    """Add the pattern to pixels in place: stronger in texture, none in transparent pixels."""
    height, width = target.shape[:2]
    colour = target[..., :3]
    small = cv2.resize(colour, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    busy = cv2.blur(cv2.absdiff(grey, cv2.blur(grey, (5, 5))), (9, 9))
    gain = np.clip((busy - QUIET) * ((TEXTURED - 1) / (BUSY - QUIET)) + 1, 1, TEXTURED) * np.float32(STRENGTH)
    gain = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    if target.shape[2] == 4:
        gain = cv2.multiply(gain, target[..., 3].astype(np.float32), scale=1 / 255)
    change = cv2.multiply(shown, gain, dtype=cv2.CV_16S)
    colour[:] = cv2.add(np.ascontiguousarray(colour), cv2.merge([change] * 3), dtype=cv2.CV_8U)


# ---- detection ------------------------------------------------------------------------------------------------------


def detect(frames: Iterable[Pixels]) -> Score:
    """Look for the mark.

    Args:
        frames: (H, W, 3 or 4) uint8 of one size: an image, or some frames of a clip.
    """
    total, count = np.zeros(0, np.float32), 0
    for frame in frames:
        grey = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY).astype(np.float32)
        total, count = grey if count == 0 else total + grey, count + 1
    return look(total / np.float32(count)) if count else Score(0.0, 1.0)


def look(grey: Floats) -> Score:
    """Look for the mark in luma (H, W), in all lattices and positions.

    Under another key the signs are independent of the image. Their sum over a window, weighted by the image, then has
    an exactly known variance and, as a sum over thousands of cells, is normally distributed: this gives the false alarm
    rate without any sample images.
    """
    best, looks = 0.0, 0
    for count in LATTICES:
        found = _in_lattice(grey, count)
        best, looks = max(best, float(found.max(initial=0.0))), looks + found.size
    rate = looks * 0.5 * math.erfc(best / math.sqrt(2)) if looks else 1.0
    return Score(best, min(1.0, rate))


def _in_lattice(grey: Floats, count: int) -> npt.NDArray[Any]:
    """Agreement with the key in windows of one lattice, in standard deviations; empty if the cells are too small."""
    height, width = grey.shape
    cell = width / count
    rows = int(height / cell)
    if cell < 2 or min(rows, count) < SEEN[0] // 2:
        return np.zeros(0)
    cells = np.asarray(cv2.resize(grey[: round(rows * cell)], (count, rows), interpolation=cv2.INTER_AREA), np.float32)
    kernel = _surprise(cells)
    odd = cv2.filter2D(cells, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
    energy = np.maximum(cv2.blur(odd * odd, (9, 9)), 0)  # running sums may end just below 0
    spread = np.sqrt(energy) + np.float32(0.25)
    back = cv2.filter2D(np.clip(odd / spread, -2, 2), cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    weights = _high(np.asarray(back, np.float32), cv2.BORDER_CONSTANT)
    key = signs()[np.ix_(np.arange(rows) % TILE, np.arange(count) % TILE)]
    found = []
    for seen in SEEN:
        sums, squares = (
            cv2.boxFilter(values, cv2.CV_64F, (seen, seen), normalize=False, borderType=cv2.BORDER_CONSTANT)
            for values in (weights * key, weights * weights)
        )
        at = slice(None, None, seen // 4)
        found.append((sums[at, at] / np.sqrt(np.maximum(squares[at, at], 1.0))).ravel())
    return np.concatenate(found)


def _surprise(cells: Floats) -> Floats:
    """Kernel (5, 5) of prediction residuals from neighbouring cells, fitted by least squares to this image."""
    rows, columns = cells.shape
    step = max(1, round(math.sqrt(cells.size / LEARNED)))
    near = [
        cells[2 + y : rows - 2 + y : step, 2 + x : columns - 2 + x : step].ravel()
        for y in range(-2, 3)
        for x in range(-2, 3)
        if (x, y) != (0, 0)
    ]
    table = np.stack(near).astype(np.float64)
    own = cells[2:-2:step, 2:-2:step].ravel().astype(np.float64)
    table -= table.mean(axis=1, keepdims=True)
    gram = table @ table.T
    gram[np.diag_indices(24)] += 1e-3 * np.trace(gram) / 24 + 1e-6
    weights = np.linalg.solve(gram, table @ (own - own.mean()))
    return np.insert(-weights, 12, 1.0).reshape(5, 5).astype(np.float32)
