"""The 478-point face mesh network: dense landmarks and a presence score in a region of interest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import numpy.typing as npt

from models.detectors import Detection, lift_shadows
from models.sessions import create_session
from models.topology import EYE_LEFT, EYE_RIGHT, FACE_POINTS
from models.weights import model_path

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SIZE: Final = 192
MARGIN: Final = 1.5
"""Side of the region relative to the size of the face in it, as in the network's training."""


BRIGHT: Final = 0.45
"""A region whose bright parts (95th percentile) are below this is brightened to it."""


PLAY: Final = 0.005
"""Largest distance of a region from another one for the same face at rest, as a share of its side; twice as much for
the side itself and for the angle (radians). Measured with noise of two grey levels: up to 0.001, 0.003 and 0.0025 with
a fixed region, and several times that if each region is taken from the previous reading."""


@dataclass(frozen=True)
class Roi:
    """Square region of interest around a face.

    Attributes:
        x: Centre in pixels.
        y: Centre in pixels.
        side: Side in pixels.
        angle: Clockwise roll of the face in radians.
    """

    x: float
    y: float
    side: float
    angle: float

    def turned(self, angle: float, scale: float = 1.0) -> Roi:
        """The region rotated further by an angle in radians, and scaled."""
        return Roi(self.x, self.y, self.side * scale, self.angle + angle)

    def halfway(self, other: Roi) -> Roi:
        """The region between this and another one."""
        turn = math.remainder(other.angle - self.angle, math.tau) / 2
        return Roi((self.x + other.x) / 2, (self.y + other.y) / 2, (self.side + other.side) / 2, self.angle + turn)

    def near(self, other: Roi, share: float = 1.0) -> bool:
        """Whether another region is within the noise limit (PLAY), or within a share of it."""
        shift = math.hypot(other.x - self.x, other.y - self.y) / other.side
        growth = abs(other.side - self.side) / other.side
        turn = abs(math.remainder(other.angle - self.angle, math.tau))
        return max(shift, growth / 2, turn / 2) < share * PLAY

    @staticmethod
    def of_detection(detection: Detection) -> Roi:
        """Region around a detector's box, upright along the line between the eyes."""
        across = detection.points[1] - detection.points[0]
        centre = (detection.box[:2] + detection.box[2:]) / 2
        angle = math.atan2(float(across[1]), float(across[0]))
        return Roi(float(centre[0]), float(centre[1]), detection.size * MARGIN, angle)

    @staticmethod
    def of_points(points: Array) -> Roi:
        """Region around (478, 2 or 3) landmarks, upright along the line between the outer eye corners."""
        across = points[EYE_RIGHT.outer, :2] - points[EYE_LEFT.outer, :2]
        angle = math.atan2(float(across[1]), float(across[0]))
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]], dtype=np.float32)
        upright = points[:FACE_POINTS, :2] @ turn
        low, high = upright.min(axis=0), upright.max(axis=0)
        centre = turn @ ((low + high) / 2)
        return Roi(float(centre[0]), float(centre[1]), float((high - low).max()) * MARGIN, angle)


class FaceMesh:
    """Landmarks of the face in a region; the session is opened on first use.

    Args:
        threads: Threads of the session.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def release(self) -> None:
        """Free the network's memory; the next use opens it again."""
        self.__dict__.pop("_session", None)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return create_session(model_path("landmarks/mesh478"), self._threads)

    def __call__(self, rgb: Image, roi: Roi) -> tuple[Array, float]:
        """Read the landmarks.

        Args:
            rgb: (H, W, 3) uint8.
            roi: Where the face is.

        Returns:
            (478, 3) float32 in image pixels (z in the same unit, away from the camera) and the presence score 0..1.
        """
        scale = roi.side / SIZE
        cos, sin = math.cos(roi.angle) * scale, math.sin(roi.angle) * scale
        half = (SIZE - 1) / 2
        back = np.array([[cos, -sin, roi.x - (cos - sin) * half], [sin, cos, roi.y - (sin + cos) * half]])
        image = lift_shadows(_warp(rgb, back, scale), BRIGHT)
        raw, score = self._session.run(None, {"image": image[None]})
        # The network's coordinates start at the corner of the crop, where pixel centres lie at halves.
        flat = (raw[:, :2] - SIZE / 2) @ np.array([[cos, sin], [-sin, cos]]) + (roi.x, roi.y)
        return np.concatenate([flat, raw[:, 2:] * scale], axis=1).astype(np.float32), float(score[0])


def _warp(rgb: Image, back: npt.NDArray[np.float64], scale: float) -> Image:
    """Cut the region; a large one is first reduced by area means so that fine texture doesn't alias."""
    shrink = int(scale / 2)
    if shrink >= 2:
        height, width = rgb.shape[:2]
        corners = back @ np.array([[0, SIZE - 1, 0, SIZE - 1], [0, 0, SIZE - 1, SIZE - 1], [1, 1, 1, 1]])
        x0, y0 = (max(int(v) - 2 * shrink, 0) for v in np.floor(corners.min(axis=1)))
        x1, y1 = (int(v) + 2 * shrink for v in np.ceil(corners.max(axis=1)))
        part = rgb[y0 : min(y1, height), x0 : min(x1, width)]
        if part.size:
            size = (max(part.shape[1] // shrink, 1), max(part.shape[0] // shrink, 1))
            small = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA).astype(
                np.uint8, copy=False
            )
            factor = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
            back = back.copy()
            back[:, 2] -= (x0, y0)
            back = back * factor[:, None]
            back[:, 2] += (factor - 1) / 2
            rgb = small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(rgb, back, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE))
