"""Faces: landmarks of one face, and the choice among several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.choices import FaceChoice
from models.covered import Half
from models.detectors import Image, iou
from models.messages import msg
from models.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    EYES,
    FACE_POINTS,
    JAW,
    LIPS_OUTER,
    MOUTH_CORNERS,
)

Array = npt.NDArray[np.float32]

LID_PAIRS: Final = ((159, 145), (386, 374))
"""Middle of the upper and lower lid, left and right eye."""
INNER_LIP_PAIR: Final = (13, 14)
CROP_POINTS: Final = (*BROW_LEFT, *BROW_RIGHT, *JAW, *EYE_LEFT.ring, *EYE_RIGHT.ring, *LIPS_OUTER)
"""The area of LivePortrait's 203 points: brows to chin and ear to ear, without the forehead."""
ALIKE: Final = 0.95
"""Share of the largest face's size from which another face counts as equally large: readings of the same face in
images of different sizes differ by 1-2 %."""


@dataclass(frozen=True)
class Face:
    """One face in one image.

    Attributes:
        points: (478, 3) float32 in pixels of that image; z in the same unit, away from the camera.
        score: Presence score 0..1 of the mesh network.
        covered: Half that a mask or goggles hide: "upper", "lower" or ""; the points there are a guess.
        placed: The landmarks were placed by hand, possibly on something that is not human.
    """

    points: Array
    score: float = 1.0
    covered: Half = ""
    placed: bool = False

    @property
    def box(self) -> Array:
        """(4,) x0, y0, x1, y1 around the 468 face points."""
        flat = self.points[:FACE_POINTS, :2]
        return np.concatenate([flat.min(axis=0), flat.max(axis=0)])

    @property
    def centre(self) -> Array:
        """(2,) centre of the box."""
        box = self.box
        return ((box[:2] + box[2:]) / 2).astype(np.float32, copy=False)

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        box = self.box
        return float(max(box[2] - box[0], box[3] - box[1]))

    @property
    def roll(self) -> float:
        """Clockwise in-plane rotation in radians; 0 is upright."""
        across = self.points[EYE_RIGHT.outer, :2] - self.points[EYE_LEFT.outer, :2]
        return math.atan2(float(across[1]), float(across[0]))

    @property
    def eye_centers(self) -> Array:
        """(2, 2) left and right eye: mean of both corners and both lids, so that gaze doesn't move it."""
        ids = [(eye.outer, upper, eye.inner, lower) for eye, (upper, lower) in zip(EYES, LID_PAIRS, strict=True)]
        return self.points[np.array(ids), :2].mean(axis=1)

    @property
    def lip_center(self) -> Array:
        """(2,) middle between the mouth corners."""
        return self.points[list(MOUTH_CORNERS), :2].mean(axis=0)

    @property
    def eye_ratios(self) -> Array:
        """(2,) lid gap over eye width, left and right; about 0.3 open, under 0.08 shut."""
        gaps = [
            self._distance(u, d) / (self._distance(eye.outer, eye.inner) + 1e-6)
            for eye, (u, d) in zip(EYES, LID_PAIRS, strict=True)
        ]
        return np.array(gaps, dtype=np.float32)

    @property
    def lip_ratio(self) -> float:
        """Inner lip gap over mouth width; 0 shut."""
        return self._distance(*INNER_LIP_PAIR) / (self._distance(*MOUTH_CORNERS) + 1e-6)

    @property
    def gaze(self) -> Array:
        """(2, 2) iris position inside the left and right eye: x from -1 (left corner) to 1, y in the same unit."""
        rows = []
        for eye, (left, right) in zip(
            EYES, ((EYE_LEFT.outer, EYE_LEFT.inner), (EYE_RIGHT.inner, EYE_RIGHT.outer)), strict=True
        ):
            start, end = self.points[left, :2], self.points[right, :2]
            half = float(np.linalg.norm(end - start)) / 2 + 1e-6
            along = (end - start) / (2 * half)
            offset = self.points[eye.iris, :2] - (start + end) / 2
            rows.append((float(offset @ along) / half, float(offset @ np.array([-along[1], along[0]])) / half))
        return np.array(rows, dtype=np.float32)

    def crop_points(self) -> Array:
        """(P, 2) points whose extent sets the crop (CROP_POINTS)."""
        return self.points[list(CROP_POINTS), :2]

    def transformed(self, matrix: npt.NDArray[np.floating]) -> Face:
        """The face after an affine map of the image.

        Args:
            matrix: (2, 3) similarity from image pixels to new pixels; z is scaled likewise.
        """
        flat = self.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = self.points[:, 2:] * math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
        return replace(self, points=np.concatenate([flat, depth], axis=1).astype(np.float32))

    def _distance(self, a: int, b: int) -> float:
        return float(np.linalg.norm(self.points[a, :2] - self.points[b, :2]))


def select_face(faces: Sequence[Face], choice: FaceChoice | str, size: tuple[int, int]) -> Face:
    """Choose one of several faces.

    Args:
        faces: Faces of one image, as returned by FaceTracker.detect (largest first).
        choice: "largest" (among equally large ones, the one nearest to the middle, so that a preview of another size
            gives the same one), "left" (leftmost), "right", "centre" (nearest to the middle), a number counted from 1
            in order of size, or "x,y": the face at that pixel, else the nearest one.
        size: (width, height) of the image.

    Raises:
        ValueError: No faces, a number too high, a point outside the image, or a text of another form.
    """
    choice = FaceChoice.parse(choice) if isinstance(choice, str) else choice
    if not faces:
        raise ValueError(msg("There is no face to choose from."))
    count = f"the image has {len(faces)} face{'s' if len(faces) > 1 else ''}"
    if choice.point is not None:
        return _face_at(faces, choice, size, count)
    if choice.number:
        if choice.number > len(faces):
            raise ValueError(
                msg("Face {choice} does not exist; {count}, counted from 1 in order of size.", choice, count)
            )
        return faces[choice.number - 1]
    if choice.word in ("left", "right"):
        return (min if choice.word == "left" else max)(faces, key=lambda face: float(face.centre[0]))
    most = max(face.size for face in faces) if choice.word == "largest" else 0.0
    alike = [face for face in faces if face.size >= ALIKE * most]
    return _nearest(alike, (size[0] - 1) / 2, (size[1] - 1) / 2)


def _face_at(faces: Sequence[Face], choice: FaceChoice, size: tuple[int, int], count: str) -> Face:
    x, y = choice.point or (-1.0, -1.0)
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        raise ValueError(
            msg(
                "Point {choice} is outside the image of {size}x{size2} pixels; {count}.",
                choice, size[0], size[1], count
            )
        )  # fmt: skip
    inside = [f for f in faces if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]]
    return _nearest(inside or faces, x, y)


def _nearest(faces: Sequence[Face], x: float, y: float) -> Face:
    return min(faces, key=lambda face: math.hypot(face.centre[0] - x, face.centre[1] - y))


def checked(rgb: Image) -> Image:
    """An image in a layout that OpenCV can read.

    Args:
        rgb: (H, W, 3) uint8 RGB; (H, W, 4) RGBA, whose alpha is dropped; or (H, W) or (H, W, 1) grey. Any strides.

    Returns:
        (H, W, 3) uint8, contiguous.

    Raises:
        ValueError: Another shape or type.
    """
    channels = 1 if rgb.ndim == 2 else rgb.shape[2] if rgb.ndim == 3 else 0
    if rgb.dtype != np.uint8 or channels not in (1, 3, 4) or not rgb.size:
        raise ValueError(
            msg(
                "An image must be uint8, (height, width, 3 or 4) in RGB or RGBA or (height, width) in grey, "
                "not {shape} {dtype}.",
                rgb.shape, rgb.dtype
            )
        )  # fmt: skip
    if channels == 1:
        return np.repeat(rgb.reshape(*rgb.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(rgb[..., :3])


def overlap(face: Face, box: Array) -> float:
    """Intersection over union of a face's box and another box, 0..1."""
    return float(iou(face.box, box[None])[0])
