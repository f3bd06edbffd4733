"""Triangles to per-pixel attributes: OpenCV 5's rasteriser where there is one, numpy otherwise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int32]

# OpenCV's rasteriser has a perspective camera only. It is placed far away, depths are compressed, and x, y are scaled
# by the inverse of the perspective, so that the image is orthographic to 1e-6 of its side.
_DISTANCE, _DEPTH = 100.0, 0.1
_DEEPEST = 50.0  # compressed depth that no head reaches; points beyond would lie behind the camera
HAS_OPENCV_RASTER = hasattr(cv2, "triangleRasterizeColor")


def rasterise(triangles: Int, vertices: Float, attributes: Float, canvas: Float) -> Float:
    """Interpolate vertex attributes over triangles; the nearest triangle wins.

    Args:
        triangles: (T, 3) vertex indices.
        vertices: (V, 3) pixel x, y and depth z (any pixel-sized unit, larger is farther).
        attributes: (V, 3) float32 values to interpolate, about 0..1.
        canvas: (H, W, 3) float32, drawn into: pixels that no triangle covers keep their value.

    Returns:
        canvas.
    """
    if HAS_OPENCV_RASTER:
        return _rasterise_opencv(triangles, vertices, attributes, canvas)
    return rasterise_numpy(triangles, vertices, attributes, canvas)


def _rasterise_opencv(triangles: Int, vertices: Float, attributes: Float, canvas: Float) -> Float:
    half = canvas.shape[0] / 2
    wide = canvas.shape[1] / canvas.shape[0]
    depth = np.clip(vertices[:, 2] * (-_DEPTH / half), -_DEEPEST, _DEEPEST)
    grow = (_DISTANCE - depth) / _DISTANCE
    v = np.empty((len(vertices), 3), np.float32)
    v[:, 0] = ((vertices[:, 0] + 0.5) / half - wide) * grow
    v[:, 1] = (1 - (vertices[:, 1] + 0.5) / half) * grow
    v[:, 2] = depth
    camera = np.eye(4)
    camera[2, 3] = -_DISTANCE
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    field = float(2 * np.arctan(1 / _DISTANCE))
    reach = 1 + float(np.abs(depth).max())
    drawn = cv2.triangleRasterizeColor(
        v, triangles, attributes, canvas, camera, field, _DISTANCE - reach, _DISTANCE + reach, settings
    )
    return np.asarray(drawn, np.float32)


def rasterise_numpy(triangles: Int, vertices: Float, attributes: Float, canvas: Float) -> Float:
    """Do the same as rasterise by scan lines in numpy: far triangles first, later ones overwrite."""
    height, width = canvas.shape[:2]
    order = np.argsort(-vertices[triangles, 2].mean(1), kind="stable")
    tri = triangles[order]
    p = vertices[tri][:, :, :2].astype(np.float64)
    a, b, c = p[:, 0], p[:, 1], p[:, 2]
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    keep = np.abs(area) > 1e-9
    tri, p, a, b, c, area = tri[keep], p[keep], a[keep], b[keep], c[keep], area[keep]
    top = np.ceil(p[:, :, 1].min(1) - 1e-3).clip(0, height).astype(np.int64)
    end = np.floor(p[:, :, 1].max(1) + 1e-3).clip(-1, height - 1).astype(np.int64) + 1
    rows = (end - top).clip(0)
    k = np.repeat(np.arange(len(tri)), rows)
    y = top[k] + np.arange(len(k)) - np.repeat(np.cumsum(rows) - rows, rows)
    low, high = np.full(len(k), np.inf), np.full(len(k), -np.inf)
    for q, r in ((a, b), (b, c), (c, a)):  # where the row crosses the three edges
        dy = r[k, 1] - q[k, 1]
        t = np.where(np.abs(dy) > 1e-12, (y - q[k, 1]) / np.where(dy == 0, 1, dy), -1)
        x = q[k, 0] + t * (r[k, 0] - q[k, 0])
        inside = (t >= -1e-3) & (t <= 1 + 1e-3)
        low, high = np.where(inside, np.minimum(low, x), low), np.where(inside, np.maximum(high, x), high)
    ok = np.isfinite(low) & np.isfinite(high)
    k, y, low, high = k[ok], y[ok], low[ok], high[ok]
    first = np.ceil(low - 1e-3).clip(0, width).astype(np.int64)
    count = (np.floor(high + 1e-3).clip(-1, width - 1).astype(np.int64) + 1 - first).clip(0)
    row = np.repeat(np.arange(len(k)), count)
    x = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    k, y = k[row], y[row]
    u = ((b[k, 1] - c[k, 1]) * (x - c[k, 0]) + (c[k, 0] - b[k, 0]) * (y - c[k, 1])) / area[k]
    v = ((c[k, 1] - a[k, 1]) * (x - c[k, 0]) + (a[k, 0] - c[k, 0]) * (y - c[k, 1])) / area[k]
    u, v = u[:, None].astype(np.float32), v[:, None].astype(np.float32)
    canvas[y, x] = attributes[tri[k, 0]] * u + attributes[tri[k, 1]] * v + attributes[tri[k, 2]] * (1 - u - v)
    return canvas
