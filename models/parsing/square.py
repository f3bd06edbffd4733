"""The square crop around a face for parsers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.topology import EYE_LEFT, EYE_RIGHT, FACE_POINTS

MARGIN: Final = 2.1
"""Side of the crop relative to the longer side of the mesh's box."""
RAISED: Final = 0.04
"""Distance of the crop's middle above the face's, in sides: there is more head above than below."""


@dataclass(frozen=True)
class Square:
    """A square in an image.

    Attributes:
        x: Centre in pixels.
        y: Centre in pixels.
        side: Side in pixels.
        angle: Clockwise rotation of the face in radians.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def matrix(self, size: int) -> npt.NDArray[np.float64]:
        """(2, 3) image pixels to crop pixels at this size; pixel centres are integers in both."""
        scale = size / self.side
        c, s = scale * math.cos(self.angle), scale * math.sin(self.angle)
        half = (size - 1) / 2
        return np.array([[c, s, half - c * self.x - s * self.y], [-s, c, half + s * self.x - c * self.y]])


def face_square(points: npt.NDArray[np.floating]) -> Square:
    """Square around (478, 2 or 3) mesh points, upright along the line between the eyes."""
    across = points[EYE_RIGHT.outer, :2] - points[EYE_LEFT.outer, :2]
    angle = math.atan2(float(across[1]), float(across[0]))
    return square_around(points[:FACE_POINTS, :2].astype(np.float64), angle)


def square_around(points: npt.NDArray[np.float64], angle: float) -> Square:
    """The square around points (N, 2) of a face that is turned by an angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    upright = points @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    side = float((high - low).max()) * MARGIN
    centre = turn @ ((low + high) / 2 - [0, RAISED * side])
    return Square(float(centre[0]), float(centre[1]), side, angle)
