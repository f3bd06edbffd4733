"""Geometry of faces in numpy: fits, curves, masks."""

from __future__ import annotations

import math
from functools import lru_cache

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


@lru_cache(maxsize=8)
def _lids(eye: EyeIndices) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Points of the upper and the lower lid between the corners of an eye."""
    return np.array(eye.upper[1:-1]), np.array(eye.lower[1:-1])


def _mean_gap(points: Float, upper: npt.NDArray[np.intp], lower: npt.NDArray[np.intp]) -> float:
    """Mean distance in the image plane between points and their opposites."""
    apart = points[upper, :2] - points[lower, :2]
    return float(np.hypot(apart[:, 0], apart[:, 1]).sum()) / len(upper)


def eye_opening(points: Float, eye: EyeIndices) -> float:
    """Mean lid gap over corner distance, in the image plane."""
    across = points[eye.outer] - points[eye.inner]
    return _mean_gap(points, *_lids(eye)) / max(math.hypot(across[0], across[1]), 1e-6)


def lip_gap(points: Float) -> float:
    """Mean gap of the inner lips in the image plane, in units of the points."""
    return _mean_gap(points, _UPPER, _LOWER)


@lru_cache(maxsize=16)
def _catmull_rom(steps: int, endpoint: bool) -> Float:
    """(steps, 4) weights of four points in a row, for places between the middle two."""
    t = np.linspace(0, 1, steps, endpoint=endpoint)[:, None]
    return 0.5 * np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])


@lru_cache(maxsize=16)
def _rows_of_four(count: int) -> npt.NDArray[np.intp]:
    """(count, 4) each point of a closed line with the one before it and the two after it."""
    return (np.arange(count)[:, None] + np.arange(-1, 3)) % count


def closed_curve(points: Float, steps: int = 4) -> Float:
    """Smooth closed curve (N * steps, 2) through points (N, 2)."""
    return np.asarray(_catmull_rom(steps, False) @ points[_rows_of_four(len(points))]).reshape(-1, 2)


def open_curve(points: Float, steps: int = 4) -> Float:
    """Smooth open curve ((N - 1) * (steps + 1), 2) through points (N, 2)."""
    q = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    rows = _rows_of_four(len(q))[1:-2]
    return np.asarray(_catmull_rom(steps + 1, True) @ q[rows]).reshape(-1, 2)


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
