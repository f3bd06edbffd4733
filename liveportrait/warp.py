"""Image warps by 2x3 affine matrices: sharp when enlarging, without aliasing when shrinking, alpha without fringes."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Border = Literal["replicate", "black"]
BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}


def invert(matrix: npt.ArrayLike) -> Matrix:
    """Inverse of a 2x3 affine matrix."""
    m = np.asarray(matrix, np.float64)
    inverse = np.linalg.inv(m[:, :2])
    return np.concatenate([inverse, -inverse @ m[:, 2:]], axis=1)


def transform(matrix: npt.ArrayLike, points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Map (N, 2) or (N, 3) points; z, where present, is scaled like the plane."""
    m = np.asarray(matrix, np.float64)
    p = np.asarray(points, np.float64)
    out = p.copy()
    out[..., :2] = p[..., :2] @ m[:, :2].T + m[:, 2]
    if p.shape[-1] > 2:
        out[..., 2:] *= scale_of(m)
    return out.astype(np.float32)


def scale_of(matrix: npt.ArrayLike) -> float:
    """Destination pixels per source pixel."""
    m = np.asarray(matrix, np.float64)
    return float(np.sqrt(abs(np.linalg.det(m[:, :2]))))


def shifted(
    matrix: npt.ArrayLike, source: tuple[float, float] = (0, 0), target: tuple[float, float] = (0, 0)
) -> Matrix:
    """The same map between windows whose upper left corners are at these points of source and target."""
    m = np.array(matrix, np.float64)
    m[:, 2] += m[:, :2] @ np.asarray(source, np.float64) - np.asarray(target, np.float64)
    return m


def _plain(image: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int], flags: int, border: int) -> npt.NDArray[Any]:
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=border)


def _window(matrix: Matrix, size: tuple[int, int], shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int]:
    """Part of the source, (x0, y0, x1, y1), that a warp to this size can read; at least one pixel."""
    w, h = size
    corners = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [-0.5, h - 0.5], [w - 0.5, h - 0.5]])
    inside = transform(invert(matrix), corners)
    low = np.floor(inside.min(axis=0)).astype(int) - margin
    high = np.ceil(inside.max(axis=0)).astype(int) + margin + 1
    x0, y0 = int(np.clip(low[0], 0, shape[1] - 1)), int(np.clip(low[1], 0, shape[0] - 1))
    return x0, y0, int(np.clip(high[0], x0 + 1, shape[1])), int(np.clip(high[1], y0 + 1, shape[0]))


def _warp_colour(image: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int], border: int) -> npt.NDArray[Any]:
    scale = scale_of(matrix)
    x0, y0, x1, y1 = _window(matrix, size, image.shape, margin=int(np.ceil(3 + 3 / min(1.0, scale))))
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    matrix = shifted(matrix, source=(x0, y0))
    if scale < 0.99:  # average whole pixels first, then turn and shift at about the same size
        h, w = part.shape[:2]
        small = (max(1, round(w * scale)), max(1, round(h * scale)))
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA).reshape(small[1], small[0], *part.shape[2:])
        kx, ky = small[0] / w, small[1] / h
        grow = np.array([[1 / kx, 0, 0.5 / kx - 0.5], [0, 1 / ky, 0.5 / ky - 0.5]])
        matrix = np.concatenate([matrix[:, :2] @ grow[:, :2], matrix[:, :2] @ grow[:, 2:] + matrix[:, 2:]], axis=1)
    return _plain(part, matrix, size, cv2.INTER_CUBIC, border)


def warp(image: npt.NDArray[Any], matrix: npt.ArrayLike, size: tuple[int, int], border: Border = "replicate") -> Image:
    """Warp an image: cubic where it is enlarged, area average where it is reduced.

    Args:
        image: (H, W), (H, W, 3) or (H, W, 4) uint8; a fourth channel is alpha, colours are weighted with it.
        matrix: 2x3, source pixels to target pixels (centres are integers).
        size: (width, height) of the result.
        border: What lies outside the source: its edge pixels, or black (transparent with alpha).

    Returns:
        (height, width[, C]) uint8.
    """
    m = np.asarray(matrix, np.float64)
    mode = BORDERS[border]
    if image.ndim == 3 and image.shape[2] == 4:
        return _warp_alpha(image, m, size)
    return _warp_colour(image, m, size, mode)


def _warp_alpha(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """Warp colours weighted by their alpha, so that hidden pixels leave no fringe; transparent outside the image."""
    alpha = _warp_colour(image[..., 3], matrix, size, cv2.BORDER_CONSTANT)
    if image[..., 3].min() == 255:
        colour = _warp_colour(image[..., :3], matrix, size, cv2.BORDER_REPLICATE)
        return np.dstack([colour, alpha])
    x0, y0, x1, y1 = _window(matrix, size, image.shape, margin=int(np.ceil(3 + 3 / min(1.0, scale_of(matrix)))))
    part = image[y0:y1, x0:x1].astype(np.float32)
    part[..., :3] *= part[..., 3:] / 255.0
    moved = _warp_colour(part, shifted(matrix, source=(x0, y0)), size, cv2.BORDER_CONSTANT)
    weight = np.maximum(moved[..., 3:], 1.0) / 255.0
    colour = np.clip(np.rint(moved[..., :3] / weight), 0, 255).astype(np.uint8)
    hidden = _warp_colour(image[..., :3], matrix, size, cv2.BORDER_REPLICATE)
    colour = np.where(alpha[..., None] == 0, hidden, colour)
    return np.dstack([colour, alpha])


def warp_official(image: npt.NDArray[Any], matrix: npt.ArrayLike, size: tuple[int, int]) -> npt.NDArray[Any]:
    """The official release's warp: bilinear without prefilter, black outside."""
    return _plain(image, np.asarray(matrix, np.float64), size, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
