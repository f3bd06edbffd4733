"""Heads read from finished images: landmarks, size, pose, gaze, lids."""

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
"""Eye ratio, as a fraction of a person's usual one, below which an eye counts as closed."""


@dataclass(frozen=True)
class Head:
    """One face in one image.

    Attributes:
        face: Its landmarks in pixels.
    """

    face: Face

    @cached_property
    def pose(self) -> Pose:
        """Pose relative to the mean face; its scale is the width of the face in pixels, regardless of rotation."""
        return Pose.fit(face_model().mean.astype(np.float64), self.face.points.astype(np.float64))

    @property
    def width(self) -> float:
        """Width of the face in pixels."""
        return self.pose.scale

    @property
    def yaw(self) -> float:
        """Yaw relative to the camera in degrees, positive if the right side in the image is nearer."""
        return float(np.degrees(np.arcsin(np.clip(-self.pose.rotation[2, 0], -1, 1))))

    @property
    def points(self) -> Float:
        """(478, 2) pixels."""
        return self.face.points[:, :2]
