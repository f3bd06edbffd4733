"""The watermark: a faint keyed pattern in the luma of the animated crop, detectable without the original.

It is written into the lattice of :mod:`app.provenance.lattice`, only inside the crop's own soft border; outside, the
image stays bit-identical. It is weaker where the image is smooth and would show it, and in large crops, which have more
cells than finding it takes. Each frame is marked by itself, and the change follows the image without jumps, so that
nothing flickers.

The key is public, so that anybody can look for the mark: it shows that an image was made by this program, but it does
not withstand deliberate removal or forgery.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.provenance.lattice import TURN, Floats, Pixels, cells_across, differences, phases_at
from app.provenance.mark import Level, Marking
from liveportrait.animator import Finish
from liveportrait.compose import FEATHER, crop_window, edge_ramp
from liveportrait.crop import Crop
from liveportrait.warp import scale_of

Window = tuple[int, int, int, int]

LOUDEST: Final = 10 ** (-44.5 / 10) * 255**2  # mean square of the change in the crop's window, in grey levels squared
STRONGEST: Final = 3.0  # factor of the change that the key asks for; over 1, as compression takes part of it away
SMOOTH: Final = 0.5  # factor in smooth areas of small crops
QUIET, BUSY = 1.0, 5.0  # texture in grey levels between cells up to which an area is smooth, and from which it is not
SMALL: Final = 256.0  # side of a crop in pixels up to which the mark has its full strength
WEAKEST: Final = 0.8  # factor in large crops
STRIP_PIXELS: Final = 1 << 16  # pixels that are marked at once; their copies stay in the processor's cache


@dataclass(frozen=True)
class Edges:
    """Places between which the values of running sums are interpolated; as many as there are edges of cells.

    Attributes:
        at: Index before each edge.
        part: Share of the way to the next index, 0 to 1.
    """

    at: npt.NDArray[np.intp]
    part: npt.NDArray[np.float64]

    @classmethod
    def of(cls, cells: range, cell: float, first: int, length: int) -> Edges:
        """The edges of cells of a size in pixels, in running sums over ``length`` pixels from pixel ``first`` on."""
        places = np.clip(np.arange(cells.start, cells.stop + 1) * cell - first, 0, length)
        at = np.minimum(places.astype(np.intp), length - 1)
        return cls(at, places - at)

    def between(self, sums: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float64]:
        """Sums within each cell along an axis of running sums."""
        part = self.part if axis else self.part[:, None]
        before, after = np.take(sums, self.at, axis), np.take(sums, self.at + 1, axis)
        return np.diff(before + (after - before) * part, axis=axis)


@dataclass(frozen=True)
class Grid:
    """The part of a lattice under a crop.

    Attributes:
        rows: Upper and lower edges of the rows of cells in the crop's window.
        columns: Left and right edges of the columns of cells.
        cell: Side of a cell in pixels.
        left: Number of its first column in the lattice.
        top: Number of its first row.
        corner: Position (x, y) of the window in the image.
        phases: (rows, cells // 2) the key, in radians.
        ramp: (h, w) 0..1, the soft border.
        shares: (rows, cells // 2) mean square in the window for a change of 1 in a pair and none in the others.
        scale: Strength for the size of the crop, WEAKEST to 1.
    """

    rows: Edges
    columns: Edges
    cell: float
    left: int
    top: int
    corner: tuple[int, int]
    phases: Floats
    ramp: Floats
    shares: Floats
    scale: float


def _spread(pixels: range, cells: range, cell: float) -> Floats:
    """(pixels, cells) weights of OpenCV's cubic interpolation between the centres of cells."""
    place = (np.asarray(pixels) + 0.5) / cell - 0.5
    far = np.abs(place[:, None] - np.asarray(cells)[None, :])
    inner, outer = (1.25 * far - 2.25) * far * far + 1, ((3.75 - 0.75 * far) * far - 6) * far + 3
    return np.asarray(np.where(far < 1, inner, np.where(far < 2, outer, 0)), np.float32)


@lru_cache(maxsize=8)
def _grid(matrix: bytes, size: int, window: Window, shape: tuple[int, int]) -> Grid | None:
    """The grid of a crop, None if no pair lies in it; for a photo it is the same in every frame."""
    crop = Crop(np.frombuffer(matrix, np.float64).reshape(2, 3), size)
    (height, width), (x0, y0, x1, y1) = shape, window
    side = size * scale_of(crop.inverse)
    cell = width / cells_across(side, width)
    columns = range(math.ceil(x0 / cell / 2) * 2, math.floor(min(x1, width) / cell + 1e-6) // 2 * 2)
    rows = range(math.ceil(y0 / cell), math.floor(min(y1, height) / cell + 1e-6))
    if not rows or not columns:
        return None
    ramp = edge_ramp(crop.matrix, size, window, FEATHER)
    spread_x = _spread(range(x0, x1), columns, cell)
    pairs_x = (spread_x[:, 0::2] - spread_x[:, 1::2]) / 2
    shares = np.square(_spread(range(y0, y1), rows, cell)).T @ np.square(ramp) @ np.square(pairs_x) / ramp.size
    return Grid(
        rows=Edges.of(rows, cell, y0, y1 - y0),
        columns=Edges.of(columns, cell, x0, x1 - x0),
        cell=cell,
        left=columns.start,
        top=rows.start,
        corner=(x0, y0),
        phases=phases_at(rows, range(columns.start // 2, columns.stop // 2)),
        ramp=ramp,
        shares=np.asarray(shares, np.float32),
        scale=max(WEAKEST, min(1.0, math.sqrt(SMALL / side))),
    )


@lru_cache(maxsize=1)
def _pushes() -> tuple[Floats, Floats]:
    """Table of the change of an angle by its distance from the key's phase, both in radians from 0 to pi.

    Of all changes with the same energy it is the one after which the mean cosine of the distance is largest:
    sin(distance - change) = change. At a distance of pi it is 0, so that it has no jump.
    """
    change = np.linspace(0, 1, 256)
    turned = np.arcsin(change)
    distance = np.concatenate([change + turned, (change + math.pi - turned)[-2::-1]])
    return distance.astype(np.float32), np.concatenate([change, change[-2::-1]]).astype(np.float32)


def _wanted(cells: Floats, grid: Grid) -> Floats:
    """(rows, pairs) change of the difference in each pair, in grey levels."""
    off = (differences(cells) * (2 * math.pi / TURN) - grid.phases + math.pi) % (2 * math.pi) - math.pi
    change = -np.copysign(np.interp(np.abs(off), *_pushes()), off) * (TURN / (2 * math.pi))
    around = cv2.blur(cv2.absdiff(cells, cv2.blur(cells, (3, 3))), (3, 3))
    texture = cv2.erode(around, np.ones((3, 3), np.uint8))  # a smooth area beside an edge stays smooth
    least = SMOOTH * grid.scale
    gain = np.clip((texture - QUIET) * ((1 - least) / (BUSY - QUIET)) + least, least, 1)
    even = gain.shape[1] // 2 * 2
    change *= np.minimum(gain[:, 0:even:2], gain[:, 1:even:2])
    energy = float((np.square(change) * grid.shares).sum())
    strength = min(STRONGEST, math.sqrt(LOUDEST / max(energy, 1e-9))) * grid.scale
    return np.asarray(change * strength, np.float32)


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
    matrix = np.ascontiguousarray(crop.matrix, np.float64).tobytes()
    grid = _grid(matrix, crop.size, window, (whole[0], whole[1]))
    if grid is None:
        return
    x0, y0, x1, y1 = window
    _add(picture[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]], grid)


def _means(target: Pixels, parts: list[slice], grid: Grid) -> Floats:
    """(rows, cells) mean luma of the grid's cells, from running sums over the window."""
    sums = [np.zeros((1, len(grid.columns.at) - 1))]
    for part in parts:
        running = cv2.integral(cv2.cvtColor(np.ascontiguousarray(target[part, :, :3]), cv2.COLOR_RGB2GRAY))
        sums.append(grid.columns.between(running[1:], axis=1) + sums[-1][-1])
    return np.asarray(grid.rows.between(np.concatenate(sums), axis=0) / grid.cell**2, np.float32)


def _add(target: Pixels, grid: Grid) -> None:
    """Add the mark to the pixels of a window in place; none in transparent pixels."""
    height, width = target.shape[:2]
    step = max(1, STRIP_PIXELS // width)
    parts = [slice(top, min(height, top + step)) for top in range(0, height, step)]
    change = _wanted(_means(target, parts, grid), grid) / 2
    pairs = np.stack([change, -change], axis=2).reshape(len(change), -1)
    cells = np.asarray(np.pad(pairs, 1), np.float32)  # ends softly within a cell
    part = max(4, int(step / grid.cell))
    for first in range(0, len(cells), part):
        _add_rows(target, cells, range(first, min(len(cells), first + part)), grid)


def _add_rows(target: Pixels, cells: Floats, chosen: range, grid: Grid) -> None:
    """Add some rows of cells, which begin one row and one column before the grid.

    Whole pixels are near enough for the edges of cells.
    """
    around = range(max(0, chosen.start - 2), min(len(cells), chosen.stop + 2))  # what cubic interpolation looks at
    edges = [round((grid.top - 1 + row) * grid.cell) for row in (around.start, chosen.start, chosen.stop, around.stop)]
    left, right = (round((grid.left - 1 + column) * grid.cell) for column in (0, cells.shape[1]))
    size = right - left, edges[3] - edges[0]
    enlarged = cv2.resize(cells[around.start : around.stop], size, interpolation=cv2.INTER_CUBIC)
    (height, width), (x0, y0) = target.shape[:2], grid.corner
    top, bottom = max(0, edges[1] - y0), min(height, edges[2] - y0)
    begin, end = max(0, left - x0), min(width, right - x0)
    if bottom <= top:
        return
    rows, columns = slice(top, bottom), slice(begin, end)
    shown = enlarged[top + y0 - edges[0] : bottom + y0 - edges[0], begin + x0 - left : end + x0 - left]
    share = grid.ramp[rows, columns]
    part = target[rows, columns]
    if target.shape[2] == 4:
        share = share * part[..., 3] * np.float32(1 / 255)
    # Brighter and darker pixels apart: saturated sums of bytes are far faster than sums of mixed types.
    brighter, darker = (cv2.merge([cv2.multiply(shown, share, scale=s, dtype=cv2.CV_8U)] * 3) for s in (1.0, -1.0))
    part[..., :3] = cv2.subtract(cv2.add(np.ascontiguousarray(part[..., :3]), brighter), darker)


def finishing(level: Level) -> Finish | None:
    """The final step for an animator's crops at a level of marking: adds the mark, or None if there is none."""
    return imprint if Marking(level).in_pixels else None


def imprint_square(square: Pixels) -> None:
    """The same for a bare crop as the whole image, (S, S, 3 or 4) uint8, changed in place."""
    imprint(square, Crop(np.eye(2, 3), square.shape[1]))
