"""Outlines where one part of the head hides another: pixels are blended along them, so that no stair steps show.

The mesh is drawn without anti-aliasing. Averaging along the outline turns steps into ramps and leaves it sharp across,
which blurring does not.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

JUMP: Final = (0.012, 4.5, 6.0)
"""Range of a jump between every other pixel's source position that counts as an outline, as shares of the side."""
ALONG: Final = np.arange(-4, 5, dtype=np.float32)
"""Number of samples averaged along the outline, one pixel apart."""
ACROSS: Final = np.where(ALONG % 2 == 0, 0.25, -0.25).astype(np.float32)
"""Reach of the samples to either side in pixels: makes the edge as soft as an anti-aliased one."""
WEIGHTS: Final = np.exp(-((ALONG / 2.6) ** 2)) / np.exp(-((ALONG / 2.6) ** 2)).sum()
SMOOTH: Final = 1.25
"""Pixels of the quarter-size grid over which the direction of an outline is averaged."""
MOST: Final = 30_000
"""Number of pixels sampled at a time: OpenCV accepts no taller maps."""


def smooth_outlines(image: Image, x: Map, y: Map, size: int) -> None:
    """Soften, in place, the stair steps where the texture coordinates jump.

    Args:
        image: (H, W, 3), a crop or a part of it.
        x: (H, W) texture coordinates in pixels.
        y: (H, W).
        size: Side of the crop in pixels.
    """
    jump = _jumps(x, y, size)
    rows, columns = np.nonzero(cv2.dilate(jump, np.ones((2, 2), np.uint8), anchor=(0, 0)))
    if not len(rows):
        return
    along_x, along_y = (np.tile(part, 4)[:, None] for part in _directions(jump, rows, columns))
    ys = np.minimum(np.concatenate([2 * rows + d for d in (0, 0, 1, 1)]), len(image) - 1)
    xs = np.minimum(np.concatenate([2 * columns + d for d in (0, 1, 0, 1)]), image.shape[1] - 1)
    from_x = (xs[:, None] + along_x * ALONG - along_y * ACROSS).astype(np.float32)
    from_y = (ys[:, None] + along_y * ALONG + along_x * ACROSS).astype(np.float32)
    out = np.empty((len(xs), 3), np.uint8)
    for start in range(0, len(xs), MOST):
        part = np.s_[start : start + MOST]
        seen = cv2.remap(image, from_x[part], from_y[part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out[part] = np.rint(np.einsum("nkc,k->nc", seen, WEIGHTS))
    image[ys, xs] = out


def _jumps(x: Map, y: Map, size: int) -> Image:
    """(H / 2, W / 2) 1 where the coordinates jump between a pixel and the second next."""
    coarse = [np.ascontiguousarray(channel[::2, ::2]) for channel in (x, y)]
    share, least, most = JUMP
    far = float(np.clip(share * size, least, most))
    jump = np.zeros(coarse[0].shape, np.uint8)
    for channel in coarse:
        jump[:, :-1] |= np.abs(channel[:, 1:] - channel[:, :-1]) > far
        jump[:-1] |= np.abs(channel[1:] - channel[:-1]) > far
    return jump


def _directions(jump: Image, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> tuple[Map, Map]:
    """Unit vectors along the outline at pixels of the half-size grid, computed at half that size."""
    height, width = jump.shape
    small = cv2.resize(jump.astype(np.float32), (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), SMOOTH / 2)
    gx, gy = (cv2.Sobel(soft, cv2.CV_32F, 1 - d, d, ksize=3) for d in (0, 1))
    rows, columns = rows // 2, columns // 2
    xx, yy, xy = (cv2.GaussianBlur(p, (0, 0), SMOOTH)[rows, columns] for p in (gx * gx, gy * gy, gx * gy))
    across = 0.5 * np.arctan2(2 * xy, xx - yy)
    return -np.sin(across), np.cos(across)
