"""Where every pixel of a moved crop comes from: the mesh, rasterised only where it moves and no finer than needed.

The shift between source and drawn position is linear inside every triangle, so a coarse grid is enough and the pixels
between are interpolated. Where one part of the head hides another, the shift jumps: there, all pixels are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.raster import rasterise

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int32]
Window = tuple[int, int, int, int]

STILL: Final = 1 / 64
"""Shift in pixels below which a pixel stays: half the step in which OpenCV samples."""
FINEST, COARSEST = 2, 4
"""Limits of the step between the pixels of the coarse grid."""
PER_FACE: Final = 70
"""Least number of coarse pixels across a face: triangles around eyes and lips are about two of them wide."""
JUMP: Final = 2.0
"""Difference in pixels between the shifts of neighbouring coarse pixels from which all pixels there are drawn."""
STRIP: Final = 48
"""Rows of a long jump that are drawn together, so that a slanted one takes few pixels beside it."""
MARGIN: Final = 10
"""Pixels around a jump that are drawn one by one as well, so that outlines can be smoothed there."""
BAND_PIXELS: Final = 1 << 15
"""Pixels of a band: a dozen images of this size fit into the cache of a core."""


@dataclass(frozen=True)
class Piece:
    """Source positions of the pixels of a part of a crop.

    Attributes:
        window: The part, (x0, y0, x1, y1).
        x: (h, w) source x in pixels of the crop.
        y: (h, w) source y.
    """

    window: Window
    x: Float
    y: Float

    @property
    def part(self) -> tuple[slice, slice]:
        """The window as an index of images."""
        return index_of(self.window)

    def shift(self) -> Float:
        """(h, w) larger one of the horizontal and vertical distance between source and drawn position, in pixels."""
        x0, y0, x1, y1 = self.window
        across = self.x - np.arange(x0, x1, dtype=np.float32)
        down = self.y - np.arange(y0, y1, dtype=np.float32)[:, None]
        return np.asarray(cv2.max(np.abs(across, out=across), np.abs(down, out=down)), np.float32)

    def columns(self, first: int, end: int) -> Piece:
        """Some of its columns, counted from the window's left side."""
        x0, y0, _, y1 = self.window
        return Piece((x0 + first, y0, x0 + end, y1), self.x[:, first:end], self.y[:, first:end])


@dataclass(frozen=True)
class Field:
    """Source positions of all pixels of a crop (S, S), worked out part by part when they are used.

    Attributes:
        size: Side of the crop in pixels.
        window: Pixels that may move, (x0, y0, x1, y1); all others stay in place.
        jumps: Parts of the crop in which the field jumps, each (x0, y0, x1, y1).
        step: Distance of the coarse grid's pixels.
        grid: Shift of these between source and drawn position in x and in y, (H, H) each.
        exact: Windows in which the shift was drawn for every pixel, and that (h, w, 3).
    """

    size: int
    window: Window
    jumps: tuple[Window, ...]
    step: int
    grid: tuple[Float, Float]
    exact: tuple[tuple[Window, Float], ...]

    def at(self, window: Window) -> Piece:
        """The field in a part of the crop, (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = window
        step, cells = self.step, len(self.grid[0])
        left, top = max(x0 // step - 1, 0), max(y0 // step - 1, 0)
        around = np.s_[top : min(-(-y1 // step) + 1, cells), left : min(-(-x1 // step) + 1, cells)]
        inside = np.s_[y0 - step * top : y1 - step * top, x0 - step * left : x1 - step * left]
        x, y = (_enlarged(one[around], step)[inside] for one in self.grid)
        for place, shift in self.exact:
            if (shared := common(window, place)) is not None:
                to, of = shared
                x[to], y[to] = shift[of][..., 0], shift[of][..., 1]
        x += np.arange(x0, x1, dtype=np.float32)
        y += np.arange(y0, y1, dtype=np.float32)[:, None]
        return Piece(window, x, y)

    def bands(self) -> Iterator[Piece]:
        """The pixels that may move from top to bottom, in parts that fit into a processor's cache."""
        x0, y0, x1, y1 = self.window
        rows = max(1, BAND_PIXELS // (x1 - x0))
        for top in range(y0, y1, rows):
            yield self.at((x0, top, x1, min(top + rows, y1)))


def index_of(window: Window) -> tuple[slice, slice]:
    """A window (x0, y0, x1, y1) as an index of images."""
    return slice(window[1], window[3]), slice(window[0], window[2])


def common(a: Window, b: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """What two windows share, as an index of the one and of the other; None if they are apart."""
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    if x1 <= x0 or y1 <= y0:
        return None
    return np.s_[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]], np.s_[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]


def find_field(triangles: Int, vertices: Float, texture: Float, size: int, face: float) -> Field:
    """The field of a posed mesh.

    Args:
        triangles: (T, 3) vertex indices.
        vertices: (V, 3) drawn position in pixels and depth.
        texture: (V, 2) source position in pixels.
        size: Side of the crop in pixels.
        face: Width of the face in pixels.
    """
    mesh = _Mesh(triangles, vertices, texture)
    step = int(np.clip(face / PER_FACE, FINEST, COARSEST))
    cells = -(-size // step)
    drawn = mesh.coarse(cells, step)
    grid = _channel(drawn, 0), _channel(drawn, 1)
    moving = _bounds((cv2.max(np.abs(grid[0]), np.abs(grid[1])) > STILL).view(np.uint8))
    mask = _jumps(grid)
    jumps = _groups(mask)
    strips = [strip for group in jumps for strip in _strips(mask, group, STRIP // step)]
    fine = [_in_pixels(one, step, size) for one in strips]
    return Field(
        size,
        _in_pixels(moving or (0, 0, 1, 1), step, size),
        tuple(_in_pixels(one, step, size) for one in jumps),
        step,
        grid,
        tuple((one, mesh.fine(one)) for one in fine),
    )


class _Mesh:
    """The triangles of a posed mesh that move, ready to be drawn as a whole and in parts."""

    def __init__(self, triangles: Int, vertices: Float, texture: Float) -> None:
        self._vertices = vertices
        self._shift = np.zeros((len(vertices), 3), np.float32)
        np.subtract(texture, vertices[:, :2], out=self._shift[:, :2])
        still = np.maximum(np.abs(self._shift[:, 0]), np.abs(self._shift[:, 1])) < STILL
        self._triangles = triangles[~_at_all_corners(still, triangles.T)]

    def coarse(self, cells: int, step: int) -> Float:
        """(cells, cells, 3) horizontal and vertical shift, and 0, of every pixel of a grid with this step."""
        vertices = self._vertices / np.float32(step)
        vertices[:, :2] += np.float32(0.5 / step - 0.5)  # the centre of a coarse pixel is the middle of its pixels
        return rasterise(self._triangles, vertices, self._shift, np.zeros((cells, cells, 3), np.float32))

    @cached_property
    def _corners(self) -> npt.NDArray[np.intp]:
        return np.ascontiguousarray(self._triangles.T, np.intp)

    def fine(self, window: Window) -> Float:
        """(h, w, 3) the same of every pixel of a window, from the triangles that touch it."""
        x0, y0, x1, y1 = window
        x, y = self._vertices[:, 0], self._vertices[:, 1]
        beside = (x < x0 - 1) | (x > x1) * np.uint8(2) | (y < y0 - 1) * np.uint8(4) | (y > y1) * np.uint8(8)
        near = self._corners[:, ~_at_all_corners(beside, self._corners)]
        used = np.zeros(len(x), np.bool_)
        used[near] = True
        place = np.cumsum(used, dtype=np.int32) - np.int32(1)
        vertices = self._vertices[used] - np.array([x0, y0, 0], np.float32)
        empty = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
        return rasterise(np.ascontiguousarray(place[near].T), vertices, self._shift[used], empty)


def _at_all_corners(flags: npt.NDArray[Any], corners: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(T,) whether the corners (3, T) of a triangle share a flag, of flags (V,) as bits of an integer."""
    return np.asarray((flags[corners[0]] & flags[corners[1]] & flags[corners[2]]) != 0)


def _channel(image: Float, number: int) -> Float:
    return np.asarray(cv2.extractChannel(image, number), np.float32)


def _enlarged(values: Float, step: int) -> Float:
    """Values of a coarse grid (H, W) for all pixels (step * H, step * W)."""
    size = (step * values.shape[1], step * values.shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _bounds(mask: npt.NDArray[np.uint8]) -> Window | None:
    x, y, width, height = cv2.boundingRect(mask)
    return (x, y, x + width, y + height) if width else None


def _jumps(grid: tuple[Float, Float]) -> npt.NDArray[np.uint8]:
    """(H, W) 1 where a shift jumps from a coarse pixel to the next."""
    jump = np.zeros(grid[0].shape, np.uint8)
    for shift in grid:
        jump[:, :-1] |= np.abs(shift[:, 1:] - shift[:, :-1]) > JUMP
        jump[:-1] |= np.abs(shift[1:] - shift[:-1]) > JUMP
    return jump


def _groups(mask: npt.NDArray[np.uint8]) -> list[Window]:
    """Bounds of the connected groups of a mask's set pixels."""
    around = _bounds(mask)
    if around is None:
        return []
    part = cv2.dilate(mask[index_of(around)], np.ones((5, 5), np.uint8))
    stats = cv2.connectedComponentsWithStats(part)[2][1:]
    x, y = around[:2]
    return [(x + a, y + b, x + a + w, y + b + h) for a, b, w, h in stats[:, :4].tolist()]


def _strips(mask: npt.NDArray[np.uint8], group: Window, rows: int) -> Iterator[Window]:
    """Bounds of a group's set pixels in strips of so many rows."""
    x0, y0, x1, y1 = group
    for top in range(y0, y1, rows):
        found = _bounds(mask[top : min(top + rows, y1), x0:x1])
        if found is not None:
            yield x0 + found[0], top + found[1], x0 + found[2], top + found[3]


def _in_pixels(cells: Window, step: int, size: int) -> Window:
    """A window of the coarse grid in pixels of a crop with this side, with a margin."""
    x0, y0, x1, y1 = cells
    return (
        max(step * x0 - MARGIN, 0),
        max(step * y0 - MARGIN, 0),
        min(step * (x1 + 1) + MARGIN, size),
        min(step * (y1 + 1) + MARGIN, size),
    )
