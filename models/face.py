"""Faces: landmarks of one face (478 points). The tracker follows below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """One face in one picture.

    Attributes:
        points: (478, 3) float32 in pixels of that picture; z in the same unit, away from the camera.
        score: Presence score 0..1 of the mesh network.
    """

    points: Array
    score: float = 1.0
