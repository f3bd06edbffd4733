"""Paste-back: puts the animated crop into the full image, at a cost that depends on the face and not on the image.

    out = source + mask * (up(rendered) - up(source_crop) + moved * (up(source_crop) - source))

``up`` maps crop pixels back to source pixels. Where nothing moved, the source is kept bit for bit at its full
resolution; where something moved (moved = 1), this is the ordinary blend with the rendered crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.crop import Crop
from liveportrait.ramps import smoothstep
from liveportrait.warp import Image, Matrix, shifted, transform, warp, warp_official

Mask = npt.NDArray[np.float32]
Window = tuple[int, int, int, int]

FEATHER = 0.06
"""Width of the soft border as a share of the crop's side."""
WHOLE_PIXELS = 1 << 21
"""Windows with more pixels are processed in strips of rows, which bounds the memory for large photos."""
STRIP_PIXELS = 1 << 18
"""Pixels of such a strip; a strip's copies fit into the processor's cache."""
LARGE_WINDOW = 1 << 22
"""Pixels of a window from which memory counts more than time: its mask is kept in 256 levels, and the source crop is
enlarged again for each frame."""
_GRID = 128
_CALM, _MOVING = 0.15, 0.45
"""Displacement in crop pixels below which all source detail is kept, and above which none."""


def edge_ramp(matrix: Matrix, size: int, window: Window, feather: float = FEATHER) -> Mask:
    """Soft border of a crop, computed at image resolution.

    Args:
        matrix: (2, 3) image to crop pixels.
        size: Side of the crop.
        window: Part of the image, (x0, y0, x1, y1).
        feather: Width of the ramp as a share of the side.

    Returns:
        (y1 - y0, x1 - x0) float32, 1 inside, 0 at and beyond the border.
    """
    x0, y0, x1, y1 = window
    x = np.arange(x0, x1, dtype=np.float32)[None, :]
    width = max(feather * size, 1.0)
    m = matrix.astype(np.float32)
    mask = np.ones((y1 - y0, x1 - x0), np.float32)
    for top, bottom in strips(window):
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        for a, b, c in m:
            along = a * x + b * y + (c + np.float32(0.5))
            mask[top - y0 : bottom - y0] *= smoothstep(0.0, width, np.minimum(along, size - along))
    return mask


def strips(window: Window) -> Iterator[tuple[int, int]]:
    """(first row, row after the last) of the strips in which a window is processed; small windows are one strip."""
    x0, y0, x1, y1 = window
    whole = (x1 - x0) * (y1 - y0) <= WHOLE_PIXELS
    rows = max(1, y1 - y0 if whole else STRIP_PIXELS // max(1, x1 - x0))
    for top in range(y0, y1, rows):
        yield top, min(y1, top + rows)


def crop_window(crop: Crop, shape: tuple[int, ...]) -> Window | None:
    """Rectangle of the image that a crop touches, (x0, y0, x1, y1), or None if it lies outside."""
    corners = crop.corners
    x0, y0 = np.floor(corners.min(axis=0)).astype(int)
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 1
    x0, y0, x1, y1 = max(int(x0), 0), max(int(y0), 0), min(int(x1), shape[1]), min(int(y1), shape[0])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _as_share(mask: Mask | Image) -> Mask:
    """A mask, or a part of one, as contiguous numbers from 0 to 1."""
    if mask.dtype == np.uint8:
        return np.asarray(mask, np.float32) / np.float32(255)
    return np.ascontiguousarray(mask, np.float32)


def _full_part(mask: Mask | Image) -> Window:
    """A rectangle of a mask in which it is full, around its middle; empty if the middle isn't, or if there are gaps."""
    full = np.asarray(mask == (255 if mask.dtype == np.uint8 else 1))
    middle = full.shape[0] // 2, full.shape[1] // 2
    columns, rows = np.flatnonzero(full[middle[0]]), np.flatnonzero(full[:, middle[1]])
    if not len(rows) or not len(columns):
        return 0, 0, 0, 0
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return (x0, y0, x1, y1) if full[y0:y1, x0:x1].all() else (0, 0, 0, 0)


def _premultiplied(image: Image) -> npt.NDArray[np.float32]:
    out = image.astype(np.float32)
    if image.shape[2] == 4:
        share = cv2.extractChannel(out, 3) / np.float32(255)
        cv2.multiply(out, cv2.merge([share, share, share, np.ones_like(share)]), dst=out)
    return out


def _straight(values: npt.NDArray[np.float32]) -> Image:
    """Premultiplied float RGBA to uint8."""
    alpha = cv2.extractChannel(values, 3)
    share = np.float32(255) / np.maximum(np.asarray(alpha, np.float32), np.float32(0.5))
    straight = cv2.multiply(values, cv2.merge([share, share, share, np.ones_like(share)]))
    return np.clip(np.rint(straight), 0, 255).astype(np.uint8)


def _over(up: Image, current: Image, mask: Mask) -> Image:
    """Two images (h, w, 4), the first one with a share (h, w) of 0..1, mixed as premultiplied colours are."""
    own = mask * cv2.extractChannel(up, 3)
    total = own + (1 - mask) * cv2.extractChannel(current, 3)
    share = np.where(total > 0, own / np.maximum(total, np.float32(1e-3)), mask)
    colours = cv2.blendLinear(
        cv2.cvtColor(up, cv2.COLOR_RGBA2RGB), cv2.cvtColor(current, cv2.COLOR_RGBA2RGB), share, 1 - share
    )
    return np.dstack([colours, np.rint(total).astype(np.uint8)])


def _largest(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Largest channel of every pixel, (H, W); much faster than numpy over a short last axis."""
    channels = cv2.split(image)
    out = channels[0]
    for channel in channels[1:]:
        out = cv2.max(out, channel)
    return np.asarray(out)


def _whole_shift(matrix: Matrix) -> tuple[int, int] | None:
    """(x, y) added to source pixels to get crop pixels, if the map is a shift by whole pixels."""
    shift = np.round(matrix[:, 2])
    whole = np.abs(matrix[:, :2] - np.eye(2)).max() < 1e-9 and np.abs(matrix[:, 2] - shift).max() < 1e-6
    return (int(shift[0]), int(shift[1])) if whole else None


class Compositor:
    """Pastes animated crops into one image.

    Args:
        source: (H, W, 3 or 4) uint8 image. It is neither copied nor changed.
        crop: Position of the crop.
        source_crop: The crop as the engine got it; computed from the source if None.
        mask: (S, S) float32 0..1 in crop pixels, where the rendered crop is used; None is everywhere but a soft border.
        feather: Width of the soft border as a share of the side.
        detail: Keep the source's own pixels where nothing moves. False blends the rendered crop as it is.

    Attributes:
        window: Rectangle of the image that can change, (x0, y0, x1, y1), or None.
    """

    def __init__(
        self,
        source: Image,
        crop: Crop,
        source_crop: Image | None = None,
        *,
        mask: Mask | None = None,
        feather: float = FEATHER,
        detail: bool = True,
    ) -> None:
        self.source = source
        self.crop = crop
        self.detail = detail
        self.window = crop_window(crop, source.shape)
        if self.window is None:
            return
        self._offset = _whole_shift(crop.matrix)
        if self._offset is not None:  # crop and image have the same pixels: no extra detail to keep
            detail = self.detail = False
            x, y = self._offset
            left, top, right, bottom = self.window
            self.window = (max(left, -x), max(top, -y), min(right, crop.size - x), min(bottom, crop.size - y))
        left, top, right, bottom = self.window
        self._large = (right - left) * (bottom - top) > LARGE_WINDOW
        self._mask = self._make_mask(mask, feather)
        self._inner = _full_part(self._mask)
        if detail:
            self._source_crop = crop.apply(source) if source_crop is None else source_crop
            self._up_source = None if self._large else self._up(self._source_crop, self.window)
            self._gradient = self._texture(self._source_crop)

    def _make_mask(self, mask: Mask | None, feather: float) -> Mask | Image:
        """The mask of the window; a large one in 256 levels, which takes a quarter of the memory."""
        assert self.window is not None
        x0, y0, x1, y1 = self.window
        out: npt.NDArray[Any] = np.empty((y1 - y0, x1 - x0), np.uint8 if self._large else np.float32)
        share = None
        if mask is not None:
            levels = np.clip(np.rint(mask * 255), 0, 255).astype(np.uint8)
            share = warp(levels, shifted(self.crop.inverse, target=(x0, y0)), (x1 - x0, y1 - y0))
        for top, bottom in strips(self.window):
            rows = slice(top - y0, bottom - y0)
            part = edge_ramp(self.crop.matrix, self.crop.size, (x0, top, x1, bottom), feather)
            if share is not None:
                part *= share[rows] / np.float32(255)
            out[rows] = np.rint(part * 255) if self._large else part
        return out

    @property
    def mask(self) -> Mask:
        """Share of the rendered crop (0..1) in the window, (h, w) float32."""
        return _as_share(self._mask)

    def _up(self, square: Image, window: Window) -> Image:
        if self._offset is not None:
            x, y = self._offset
            return np.ascontiguousarray(square[window[1] + y : window[3] + y, window[0] + x : window[2] + x])
        x0, y0, x1, y1 = window
        out = np.empty((y1 - y0, x1 - x0, *square.shape[2:]), np.uint8)
        for top, bottom in strips(window):
            part = warp(square, shifted(self.crop.inverse, target=(x0, top)), (x1 - x0, bottom - top))
            out[top - y0 : bottom - y0] = part
        return out

    @staticmethod
    def _texture(square: Image) -> npt.NDArray[np.float32]:
        """Mean absolute gradient in grey levels per crop pixel, on the coarse grid."""
        grey = _largest(square[..., :3])
        dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        means = cv2.resize(cv2.magnitude(dx, dy), (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        return np.asarray(means, np.float32)

    def _moved(self, rendered: Image) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """How misplaced (0..1) source detail is, and where anything changed at all; both on the coarse grid."""
        channels = min(rendered.shape[2], self._source_crop.shape[2])
        difference = cv2.absdiff(rendered[..., :channels], self._source_crop[..., :channels])
        cells = cv2.resize(difference.astype(np.float32), (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        small = np.asarray(_largest(cells), np.float32)
        shift = cv2.GaussianBlur(small, (5, 5), 0) / (self._gradient + 2.0)
        moved = cv2.GaussianBlur(cv2.dilate(smoothstep(_CALM, _MOVING, shift), np.ones((3, 3))), (5, 5), 0)
        return np.asarray(moved, np.float32), np.asarray(small > 0)

    def _changed(self, touched: npt.NDArray[np.bool_]) -> Window | None:
        """Part of the window under changed cells of the coarse grid."""
        rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
        if self.window is None or len(rows) == 0:
            return None
        cell = self.crop.size / _GRID
        x0, x1 = (columns[0] - 1) * cell - 0.5, (columns[-1] + 2) * cell - 0.5
        y0, y1 = (rows[0] - 1) * cell - 0.5, (rows[-1] + 2) * cell - 0.5
        corners = transform(self.crop.inverse, [[x0, y0], [x1, y0], [x0, y1], [x1, y1]])
        low = np.floor(corners.min(axis=0)).astype(int) - 2
        high = np.ceil(corners.max(axis=0)).astype(int) + 3
        a, b = max(int(low[0]), self.window[0]), max(int(low[1]), self.window[1])
        c, d = min(int(high[0]), self.window[2]), min(int(high[1]), self.window[3])
        return (a, b, c, d) if c > a and d > b else None

    def paste(self, rendered: Image, out: Image | None = None, corner: tuple[int, int] = (0, 0)) -> Image:
        """Full image with the rendered crop in it.

        Args:
            rendered: (S, S, 3 or 4) uint8 from the engine.
            out: Image to paste into, changed in place: the source, or the source with other faces already pasted; or a
                part of such an image that contains the window. None makes a copy of the source.
            corner: Position of the upper left corner of ``out`` in the source.

        Returns:
            (H, W, C) uint8, C as in the source. Pixels where the mask is 0 keep the source's values to the bit.
        """
        result = self.source.copy() if out is None else out
        if self.window is None:
            return result
        window: Window | None = self.window
        moved = None
        if rendered.shape[2] > self.source.shape[2]:
            rendered = rendered[..., : self.source.shape[2]]
        if rendered.shape[2] < self.source.shape[2]:  # the engine draws no alpha: keep the source's
            rendered = np.dstack([rendered, self._alpha()])
        elif self.detail:
            moved, touched = self._moved(rendered)
            window = self._changed(touched)
        if window is not None:
            x0, _, x1, _ = window
            for top, bottom in strips(window):
                target = result[top - corner[1] : bottom - corner[1], x0 - corner[0] : x1 - corner[0]]
                part = x0, top, x1, bottom
                if moved is None and target.shape[2] == 3:
                    self._mix(target, rendered, part)
                else:
                    target[:] = self._blend(target, rendered, part, moved)
        return result

    def _mix(self, target: Image, rendered: Image, window: Window) -> None:
        """Put the rendered crop into a window of an image, in place; mixed only where the mask isn't full."""
        assert self.window is not None
        x, y = (first - corner for first, corner in zip(window[:2], self.window[:2], strict=True))
        height, width = target.shape[:2]
        mask = self._mask[y : y + height, x : x + width]
        left, right = (min(max(side - x, 0), width) for side in self._inner[::2])
        top, bottom = (min(max(side - y, 0), height) for side in self._inner[1::2])
        up = self._up(rendered, window)
        for part in (
            np.s_[:top, :], np.s_[bottom:, :], np.s_[top:bottom, :left], np.s_[top:bottom, right:],
        ):  # fmt: skip
            share = _as_share(mask[part])
            if share.size:
                target[part] = cv2.blendLinear(up[part], target[part], share, 1 - share)
        target[top:bottom, left:right] = up[top:bottom, left:right]

    def _alpha(self) -> Image:
        square = self._source_crop if self.detail else self.crop.apply(self.source)
        return square[..., 3:]

    def _blend(
        self, part: Image, rendered: Image, window: Window, moved: npt.NDArray[np.float32] | None = None
    ) -> Image:
        """A window of an image, given as ``part``, with the rendered crop blended in."""
        assert self.window is not None
        a, b, c, d = window
        x0, y0 = self.window[:2]
        current = np.ascontiguousarray(part)
        mask = _as_share(self._mask[b - y0 : d - y0, a - x0 : c - x0])
        up = self._up(rendered, window)
        alpha = current.shape[2] == 4
        if moved is None:
            return _over(up, current, mask)
        if self._up_source is None:
            base = self._up(self._source_crop, window)
        else:
            base = self._up_source[b - y0 : d - y0, a - x0 : c - x0]
        source = self.source[b:d, a:c]
        grid = transform_grid(self.crop, (a, b))
        weight = cv2.warpAffine(moved, grid, (c - a, d - b), borderMode=cv2.BORDER_REPLICATE)
        layers = [_premultiplied(one) for one in (base, source, up)] if alpha else [base, source, up]
        change = cv2.subtract(layers[0], layers[1], dtype=cv2.CV_32F)
        change = cv2.multiply(change, cv2.merge([weight] * change.shape[2]), dst=change)
        change = cv2.add(change, cv2.subtract(layers[2], layers[0], dtype=cv2.CV_32F), dst=change)
        if float(mask.min()) < 1:
            change = cv2.multiply(change, cv2.merge([mask] * change.shape[2]), dst=change)
        if not alpha:
            return np.asarray(cv2.add(current, change, dtype=cv2.CV_8U), np.uint8)
        still = _largest(cv2.absdiff(change, np.zeros_like(change))) < 1e-3
        out = _straight(np.asarray(cv2.add(_premultiplied(current), change), np.float32))
        cv2.copyTo(current, still.astype(np.uint8), out)
        return out


def transform_grid(crop: Crop, corner: tuple[int, int]) -> Matrix:
    """Coarse grid cells to pixels of a window whose upper left corner is ``corner``."""
    cell = crop.size / _GRID
    m = crop.inverse.copy()
    m[:, 2] += m[:, :2] @ np.full(2, 0.5 * cell - 0.5)
    m[:, :2] *= cell
    return shifted(m, target=corner)


def official_mask(size: int = 512, border: int = 16) -> Image:
    """(size, size) uint8 mask with the values of the official mask image: a linear ramp, round at the corners."""
    steps = np.arange(size)
    inset = np.maximum(border - np.minimum(steps, size - steps), 0).astype(np.float64)
    return np.floor(255 * np.clip(1 - np.hypot(inset[:, None], inset) / border, 0, 1)).astype(np.uint8)


def paste_back_official(
    frame: Image, rendered: Image, crop: Crop, out: Image | None = None, corner: tuple[int, int] = (0, 0)
) -> Image:
    """Paste-back of the official release: bilinear, with its mask and truncation to uint8 (spec motion.md section 6).

    Args:
        frame: (H, W, 3) uint8.
        rendered: (S, S, 3) uint8.
        crop: Position of the crop.
        out: The part of the frame around the crop's window that is pasted into, changed in place; None makes a copy of
            the whole frame.
        corner: Position of the upper left corner of ``out`` in the frame.

    Returns:
        (H, W, 3) uint8, or ``out``.
    """
    result = frame.copy() if out is None else out
    mask = official_mask(crop.size)
    window = crop_window(crop, frame.shape)
    if window is None:
        return result
    x0, _, x1, _ = window
    for top, bottom in strips(window):
        to_window, size = shifted(crop.inverse, target=(x0, top)), (x1 - x0, bottom - top)
        weight = (warp_official(mask, to_window, size).astype(np.float32) / np.float32(255))[..., None]
        target = result[top - corner[1] : bottom - corner[1], x0 - corner[0] : x1 - corner[0]]
        mixed = weight * warp_official(rendered, to_window, size) + (1 - weight) * target
        target[:] = np.clip(mixed, 0, 255).astype(np.uint8)
    return result
