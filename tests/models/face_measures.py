"""Measures that several perception tests use."""

from __future__ import annotations

import numpy as np

from models.face import Face


def eye_distance(face: Face) -> float:
    return float(np.linalg.norm(face.eye_centers[1] - face.eye_centers[0]))


def error(found: Face, expected: Face) -> float:
    """Mean landmark distance in eye distances."""
    gap = np.linalg.norm(found.points[:, :2] - expected.points[:, :2], axis=1).mean()
    return float(gap) / eye_distance(expected)


def placed(face: Face, height: float, x: float, y: float, mirror: bool = False) -> np.ndarray:
    """(2, 3) matrix that brings the face to a height in pixels with its centre at (x, y)."""
    scale = height / float(face.box[3] - face.box[1])
    across = -scale if mirror else scale
    return np.array([[across, 0, x - across * face.centre[0]], [0, scale, y - scale * face.centre[1]]])


def moved(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """The matrix with its result moved by (x, y) pixels."""
    result = np.array(matrix, dtype=np.float64)
    result[:, 2] += (x, y)
    return result
