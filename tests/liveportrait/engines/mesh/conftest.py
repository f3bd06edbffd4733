"""The astronaut as the mesh engine sees her."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from liveportrait.crop import Crop
from liveportrait.engines.base import Portrait
from liveportrait.engines.mesh import MeshEngine
from liveportrait.motion import Motion, keypoints, rotation_from_euler
from models.face import Face
from models.tracker import FaceTracker


@dataclass
class Stage:
    """An encoded photo, and means to move it and to look at the result."""

    engine: MeshEngine
    portrait: Portrait
    face: Face
    crop: Crop

    def keypoints(self, pitch: float = 0, yaw: float = 0, roll: float = 0, delta: np.ndarray | float = 0, **other):
        """Keypoints of the source turned by degrees in the picture, with a change of expression."""
        own = self.portrait.motion
        turn = rotation_from_euler(np.array([pitch]), np.array([yaw]), np.array([roll]))
        moved: Motion = replace(own, rotation=own.rotation @ turn, delta=own.delta + delta, **other)
        return self.engine.stitch(self.portrait, keypoints(self.portrait.canonical, moved, "head"))

    def draw(self, **change) -> np.ndarray:
        """Rendered crop."""
        return self.engine.render(self.portrait, self.keypoints(**change))[0]

    def look(self, image: np.ndarray) -> Face:
        """Landmarks in a rendered crop."""
        tracker = FaceTracker()
        tracker.track(image)
        face = tracker.track(image)
        assert face is not None
        return face

    def motion(self, image: np.ndarray) -> Motion:
        """Motion read back from a rendered crop."""
        return self.engine.read_motion(image, self.look(image))


@pytest.fixture(scope="session")
def stage(astronaut: np.ndarray) -> Stage:
    engine = MeshEngine()
    face = FaceTracker().detect(astronaut)[0]
    crop = engine.fit_crop(Crop.from_face(face))
    square = crop.apply(astronaut)
    own = crop.face(face)
    return Stage(engine, engine.encode(square, own), own, crop)
