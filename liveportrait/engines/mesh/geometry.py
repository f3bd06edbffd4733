"""Geometry of faces in numpy: fits, curves, masks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from models.topology import LIP_LOWER_INNER, LIP_UPPER_INNER, EyeIndices

Float = npt.NDArray[np.floating]
_UPPER, _LOWER = np.array(LIP_UPPER_INNER[1:-1]), np.array(LIP_LOWER_INNER[1:-1])


def similarity(a: Float, b: Float, weights: Float) -> tuple[float, Float, Float]:
    """Weighted least-squares similarity ``b = s * a @ R.T + t`` (Umeyama 1991).

    Args:
        a: (N, 3) points.
        b: (N, 3) their images.
        weights: (N,) non-negative.

    Returns:
        s, R (3, 3), t (3,).
    """
    w = (weights / weights.sum())[:, None]
    mean_a, mean_b = (w * a).sum(0), (w * b).sum(0)
    p, q = a - mean_a, b - mean_b
    u, d, vt = np.linalg.svd((q * w).T @ p)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (w * p * p).sum())
    return scale, rotation, mean_b - scale * rotation @ mean_a


def eye_opening(points: Float, eye: EyeIndices) -> float:
    """Mean lid gap over corner distance, in the image plane."""
    upper, lower = points[list(eye.upper[1:-1]), :2], points[list(eye.lower[1:-1]), :2]
    width = np.linalg.norm(points[eye.outer, :2] - points[eye.inner, :2])
    return float(np.linalg.norm(upper - lower, axis=1).mean() / max(float(width), 1e-6))


def lip_gap(points: Float) -> float:
    """Mean gap of the inner lips in the image plane, in units of the points."""
    return float(np.linalg.norm(points[_UPPER, :2] - points[_LOWER, :2], axis=1).mean())


def _catmull_rom(p0: Float, p1: Float, p2: Float, p3: Float, t: Float) -> Float:
    t = t[None, :, None]
    return 0.5 * (
        (2 * p1)[:, None]
        + (p2 - p0)[:, None] * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3)[:, None] * t**2
        + (-p0 + 3 * p1 - 3 * p2 + p3)[:, None] * t**3
    )


def closed_curve(points: Float, steps: int = 4) -> Float:
    """Smooth closed curve (N * steps, 2) through points (N, 2)."""
    t = np.linspace(0, 1, steps, endpoint=False)
    return _catmull_rom(np.roll(points, 1, 0), points, np.roll(points, -1, 0), np.roll(points, -2, 0), t).reshape(-1, 2)


def open_curve(points: Float, steps: int = 4) -> Float:
    """Smooth open curve ((N - 1) * (steps + 1), 2) through points (N, 2)."""
    q = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    return _catmull_rom(q[:-3], q[1:-2], q[2:-1], q[3:], np.linspace(0, 1, steps + 1)).reshape(-1, 2)


def polygon_mask(height: int, width: int, points: Float, blur: float = 0.0) -> npt.NDArray[np.float32]:
    """Anti-aliased filled polygon (height, width) float32 0..1, with optional Gaussian blur (sigma in pixels)."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    out = mask.astype(np.float32) * np.float32(1 / 255)
    return cv2.GaussianBlur(out, (0, 0), blur) if blur > 0 else out


def line_mask(height: int, width: int, points: Float, thickness: int, blur: float) -> npt.NDArray[np.float32]:
    """Blurred open line (height, width) float32 0..1."""
    mask = np.zeros((height, width), np.uint8)
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, max(1, thickness), cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask.astype(np.float32) * np.float32(1 / 255), (0, 0), blur)
