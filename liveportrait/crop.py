"""Square face crops: landmarks to frame, frame to affine map (spec motion.md section 5, perception.md section 5).

The two-point frame runs from the eyes to the mouth; the box around the landmarks in that frame gives size and centre.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liveportrait.options import AnimationOptions
from liveportrait.warp import Border, Image, Matrix, invert, scale_of, transform, warp, warp_official
from models import topology
from models.face import Face

Points = npt.NDArray[np.float32]

EYE_AND_LIP_POINTS = {
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: ((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: ((36, 39), (42, 45), (48, 54)),
    5: ((0,), (1,), (3, 4)),
    9: ((2, 3), (0, 1), (5, 6)),
    478: ((33, 159, 133, 145), (263, 386, 362, 374), (61, 291)),
}
"""Landmark count -> points whose means are the left eye, the right eye and the mouth."""

EXTENT = tuple(
    sorted(
        {
            *topology.BROW_LEFT, *topology.BROW_RIGHT, *topology.JAW, *topology.LIPS,
            *topology.EYE_LEFT.ring, *topology.EYE_RIGHT.ring,
        }
    )
)  # fmt: skip
"""Mesh points that span the same area as the official 203 points: without forehead, or the crop would be a fifth too
large."""


@dataclass(frozen=True)
class Box:
    """A square around a face, rotated with it.

    Attributes:
        x: Centre in source pixels.
        y: Centre in source pixels.
        size: Side in source pixels.
        angle: Radians, clockwise in the image.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0


def landmark_points(face: Face | npt.ArrayLike) -> Points:
    """(N, 2) landmark pixels of a face or of an array of any supported layout (203, 106, 101, 68, 9, 5 or 478)."""
    points = np.asarray(face.points if isinstance(face, Face) else face, np.float32)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"landmarks must have the shape (points, 2), not {points.shape}.")
    return points[:, :2]


def two_points(face: Face | npt.ArrayLike, use_lip: bool = True) -> Points:
    """Upper and lower end of the face's own y axis.

    Args:
        face: Face or landmarks in pixels.
        use_lip: Eye centre to mouth centre; otherwise from the left eye at a right angle to the line of the eyes.

    Returns:
        (2, 2) pixels.

    Raises:
        ValueError: If no layout with that many landmarks is known.
    """
    points = landmark_points(face)
    count = len(points)
    layout = EYE_AND_LIP_POINTS.get(count, EYE_AND_LIP_POINTS[101] if count > 101 else None)
    if layout is None:
        raise ValueError(f"{count} landmarks per face are not a known layout; use 478, 203, 106, 101, 68, 9 or 5.")
    left, right, lip = (points[list(i)].mean(axis=0) for i in layout)
    if use_lip:
        return np.stack([(left + right) / 2, lip])
    across = right - left
    return np.stack([left, left + np.array([-across[1], across[0]], np.float32)])


def face_box(
    face: Face | npt.ArrayLike, scale: float = 2.3, shift_x: float = 0.0, shift_y: float = -0.125, use_lip: bool = True
) -> Box:
    """Rotated square around a face (spec motion.md section 5.3).

    Args:
        face: Face or landmarks in pixels.
        scale: Side over the larger side of the landmarks' box.
        shift_x: Shift along the face's x axis, in sides.
        shift_y: Shift along the face's y axis, in sides.
        use_lip: See ``two_points``.

    Returns:
        The box in pixels.
    """
    first, second = two_points(face, use_lip)
    points = landmark_points(face)
    if len(points) == topology.POINTS:
        points = points[list(EXTENT)]
    down = second - first  # single precision up to the angle: the fixtures of the official release need its rounding
    length = np.linalg.norm(down)
    down = np.array([0, 1], np.float32) if length <= 1e-3 else down / length
    right = np.array([down[1], -down[0]])
    angle = float(np.arccos(np.clip(right[0], -1.0, 1.0)))
    middle = points.mean(axis=0)
    local = (points - middle) @ np.stack([right, down], axis=1)
    low, high = local.min(axis=0), local.max(axis=0)
    size = float((high - low).max()) * scale
    centre = middle + right * ((low + high)[0] / 2 + shift_x * size) + down * ((low + high)[1] / 2 + shift_y * size)
    return Box(float(centre[0]), float(centre[1]), size, -angle if right[1] < 0 else angle)


@dataclass(frozen=True, eq=False)
class Crop:
    """A square crop of an image.

    Attributes:
        matrix: (2, 3) float64, source pixels to crop pixels (pixel centres are integers in both).
        size: Side of the crop in pixels.
    """

    matrix: Matrix
    size: int

    @classmethod
    def of_box(cls, box: Box, size: int = 512) -> Crop:
        """Crop of a box (spec motion.md section 5.4: the box centre lands on size / 2).

        Raises:
            ValueError: If the box has no extent or is not finite.
        """
        if not (np.isfinite([box.x, box.y, box.size, box.angle]).all() and box.size > 1e-3):
            raise ValueError("the crop box is empty or not finite; the given face or box can't be used.")
        s = size / box.size
        c, n = s * np.cos(box.angle), s * np.sin(box.angle)
        half = size / 2
        matrix = np.array([[c, n, half - (c * box.x + n * box.y)], [-n, c, half - (-n * box.x + c * box.y)]])
        return cls(matrix, size)

    @classmethod
    def from_face(
        cls, face: Face | npt.ArrayLike, options: AnimationOptions | None = None, size: int = 512, use_lip: bool = True
    ) -> Crop:
        """Crop around a face.

        Args:
            face: Face or landmarks in source pixels.
            options: crop_scale, crop_x, crop_y and crop_rotate are used; None takes the defaults.
            size: Side of the crop in pixels.
            use_lip: See ``two_points``.
        """
        o = options or AnimationOptions()
        box = face_box(face, o.crop_scale, o.crop_x, o.crop_y, use_lip)
        return cls.of_box(box if o.crop_rotate else Box(box.x, box.y, box.size), size)

    @classmethod
    def from_box(cls, x: float, y: float, side: float, angle: float = 0.0, size: int = 512) -> Crop:
        """Crop of a square given by hand.

        Args:
            x: Centre in source pixels.
            y: Centre in source pixels.
            side: Side in source pixels.
            angle: Degrees, clockwise in the image.
            size: Side of the crop in pixels.
        """
        return cls.of_box(Box(x, y, side, float(np.deg2rad(angle))), size)

    @property
    def scale(self) -> float:
        """Crop pixels per source pixel."""
        return scale_of(self.matrix)

    @property
    def inverse(self) -> Matrix:
        """(2, 3) float64, crop pixels to source pixels."""
        return invert(self.matrix)

    @property
    def box(self) -> Box:
        """The square in source pixels."""
        x, y = transform(self.inverse, [[self.size / 2, self.size / 2]])[0]
        return Box(float(x), float(y), self.size / self.scale, float(np.arctan2(self.matrix[0, 1], self.matrix[0, 0])))

    @property
    def corners(self) -> Points:
        """(4, 2) corners in source pixels, clockwise from the upper left one."""
        s = self.size - 0.5
        return transform(self.inverse, [[-0.5, -0.5], [s, -0.5], [s, s], [-0.5, s]])

    def apply(self, image: npt.NDArray[Any], border: Border = "replicate", official: bool = False) -> Image:
        """Cut the crop out of an image.

        Args:
            image: (H, W, 3 or 4) uint8.
            border: What lies outside the image.
            official: Bilinear without prefilter and black outside, as in the official release.

        Returns:
            (size, size, 3 or 4) uint8.
        """
        size = (self.size, self.size)
        return warp_official(image, self.matrix, size) if official else warp(image, self.matrix, size, border)

    def points(self, points: npt.ArrayLike) -> Points:
        """Source pixels (N, 2 or 3) to crop pixels; z is scaled like the plane."""
        return transform(self.matrix, points)

    def to_source(self, points: npt.ArrayLike) -> Points:
        """Crop pixels (N, 2 or 3) to source pixels."""
        return transform(self.inverse, points)

    def face(self, face: Face) -> Face:
        """The face in crop pixels."""
        return replace(face, points=self.points(face.points))

    def resized(self, size: int) -> Crop:
        """The same square at another resolution."""
        k = size / self.size
        return Crop(self.matrix * k, size)
