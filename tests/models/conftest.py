"""Fixtures for perception: one tracker and the reference face of the test photo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.face import Face
from models.tracker import FaceTracker

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))  # training lies beside the scripts that run it


@pytest.fixture(scope="package")
def finder() -> FaceTracker:
    """For detect() only, which keeps no state."""
    return FaceTracker()


@pytest.fixture
def tracker() -> FaceTracker:
    return FaceTracker()


@pytest.fixture(scope="package")
def face(finder: FaceTracker, astronaut: np.ndarray) -> Face:
    """The astronaut's face in the upright photo."""
    (found,) = finder.detect(astronaut)
    return found


@pytest.fixture(scope="package")
def pose(astronaut: np.ndarray, face: Face) -> Callable[..., tuple[np.ndarray, Face]]:
    """Function that draws the photo anew and says where its face must be then."""

    def draw(matrix: np.ndarray, size: tuple[int, int], grey: int = 128) -> tuple[np.ndarray, Face]:
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        source = astronaut if scale > 0.9 else cv2.GaussianBlur(astronaut, (0, 0), max(0.5 / scale - 0.3, 0.1))
        picture = cv2.warpAffine(source, matrix, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(grey,) * 3)
        return picture, face.transformed(matrix)

    return draw
