"""Heads as they are read from finished pictures: landmarks, size, pose, gaze, lids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.layout import Pose
from models.face import Face

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.floating]
SHUT = 0.3
"""Opening, as a share of a person's usual one, below which an eye counts as shut."""


@dataclass(frozen=True)
class Head:
    """One face in one picture.

    Attributes:
        face: Its landmarks in pixels.
    """

    face: Face

    @cached_property
    def pose(self) -> Pose:
        """Pose against the mean face; its scale is the width of the face in pixels, however it is turned."""
        return Pose.fit(face_model().mean.astype(np.float64), self.face.points.astype(np.float64))

    @property
    def width(self) -> float:
        """Width of the face in pixels."""
        return self.pose.scale

    @property
    def yaw(self) -> float:
        """Degrees of turn against the camera, positive where the right side of the picture is nearer."""
        return float(np.degrees(np.arcsin(np.clip(-self.pose.rotation[2, 0], -1, 1))))

    @property
    def points(self) -> Float:
        """(478, 2) pixels."""
        return self.face.points[:, :2]
