"""Other people in the crop of an animated face: which pixels are theirs, and whether they are in front.

A crop around one face also shows part of anybody next to it. Those pixels must not move with the face. Each pixel is
assigned to the nearest head; where that is not clear, the edges in the image decide (watershed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.compose import Mask
from liveportrait.crop import Crop
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.engines.mesh.layout import HULL_CENTRE, HULL_RADII, Pose
from liveportrait.occlusion import EDGE, fill
from liveportrait.ramps import smoothstep
from liveportrait.warp import Image
from models.face import Face
from models.topology import OVAL

SIDE: Final = 256
"""Side of the reduced image that is divided among the people."""
CLEAR: Final = 0.72
"""A pixel is assigned to a head without the watershed if its distance is less than this share of the other's."""
CORE: Final = 0.7
"""Scale of a face's outline inside which pixels certainly belong to it."""
REACH: Final = 1.5
"""Heads count if their hull, scaled by this factor, reaches into the crop."""
HEAD: Final = 1.3, 1.1
"""Distances, in radii of the head's hull, over which a head in front fades out: bodies lie behind the animated head."""
HIDING: Final = 0.85, 1.15
"""Distances, in radii of the animated head's hull, up to which it certainly hides a head behind it, and from which it
certainly doesn't."""
LARGER: Final = 1.3
"""Ratio of sizes from which the larger of two heads next to each other is the nearer one."""
LEAST: Final = 0.004
"""Smallest share of the crop that counts as another person."""

Float = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Pixels of a crop that belong to people other than the animated one.

    Attributes:
        square: (S, S, 3 or 4) uint8 crop, with the hidden part of the face filled in.
        others: (S, S) 0..1, pixels nearer to another person, including the background around that person.
        front: (S, S) 0..1, heads in front of the face; no part of the face may be drawn there.
    """

    square: Image
    others: Mask
    front: Mask

    def emptied(self, points: npt.NDArray[np.floating]) -> Image:
        """The crop without the other people, for an engine that moves everything in it.

        Args:
            points: (478, 2 or 3) mesh of the animated face in its pixels.
        """
        return fill(self.square, self.others > 0.3, points)


@dataclass(frozen=True)
class _Head:
    """Hull of a head in the image plane: an ellipse, with the outline of the face."""

    centre: Float
    spread: Float
    oval: Float
    size: float
    chin: float

    @classmethod
    def of(cls, points: npt.NDArray[np.floating]) -> _Head:
        pose = Pose.fit(face_model().mean.astype(np.float64), points.astype(np.float64))
        axes = pose.scale * pose.rotation[:2] * HULL_RADII
        centre = pose.apply(HULL_CENTRE[None])[0, :2]
        oval = points[list(OVAL), :2].astype(np.float64)
        return cls(centre, axes @ axes.T, oval, pose.scale, float(oval[:, 1].max()))

    def distance(self, side: int, scale: float) -> Map:
        """(side, side) distance from the head's centre in radii; scale is crop pixels per pixel of the map."""
        y, x = np.mgrid[:side, :side].astype(np.float32)
        dx = (x + np.float32(0.5)) * np.float32(scale) - np.float32(self.centre[0] + 0.5)
        dy = (y + np.float32(0.5)) * np.float32(scale) - np.float32(self.centre[1] + 0.5)
        m = np.linalg.inv(self.spread).astype(np.float32)
        return np.sqrt(m[0, 0] * dx * dx + 2 * m[0, 1] * dx * dy + m[1, 1] * dy * dy)

    def face(self, side: int, scale: float, shrink: float = 1.0) -> npt.NDArray[np.bool_]:
        """(side, side) inside of the face's outline, scaled by a factor."""
        middle = self.oval.mean(axis=0)
        return polygon_mask(side, side, (middle + shrink * (self.oval - middle) + 0.5) / scale - 0.5) > 0.5

    def reaches(self, size: int) -> bool:
        """Whether the head lies at least partly in a crop of this side."""
        half = REACH * np.sqrt(np.diag(self.spread))
        return bool(((self.centre + half > 0) & (self.centre - half < size)).all())


def find_neighbours(square: Image, crop: Crop, face: Face, others: Sequence[Face]) -> Neighbours | None:
    """Divide a crop among the people in it.

    Args:
        square: (S, S, 3 or 4) uint8 crop.
        crop: Its position.
        face: The animated face, in pixels of the image.
        others: All other faces of the image, in its pixels.

    Returns:
        None if nobody else is in the crop.
    """
    size = square.shape[0]
    heads = [head for head in (_Head.of(crop.points(other.points)) for other in others) if head.reaches(size)]
    if not heads:
        return None
    points = crop.points(face.points)
    own = _Head.of(points)
    rgb = np.ascontiguousarray(square[..., :3])
    side = min(size, SIDE)
    scale = size / side
    owner = _owners(rgb, [own, *heads], side, scale)
    behind = [
        number
        for number, head in enumerate(heads, 1)
        if _overlaps(own, head, side, scale) and not _is_in_front(own, head, owner, number, scale)
    ]
    if behind:
        owner = _owners(rgb, [own, *heads], side, scale, behind)
    theirs = (owner > 0).astype(np.float32)
    if theirs.mean() < LEAST:
        return None
    front = np.zeros_like(theirs)
    for number, head in enumerate(heads, 1):
        if _is_in_front(own, head, owner, number, scale):
            near = smoothstep(*HEAD, head.distance(side, scale))
            front = np.maximum(front, (owner == number) * near)
    others_mask = _placed(theirs, size)
    front_mask = np.asarray(np.minimum(_enlarged(front.astype(np.float32), size), others_mask), np.float32)
    hidden = (others_mask > 0.3) & own.face(size, 1.0)
    covered = hidden & (front_mask > 0.3)
    if covered.mean() > LEAST / 4:
        square = fill(square, covered, points)
        others_mask = np.where(covered, np.float32(0), others_mask)
    return Neighbours(square, others_mask, front_mask)


def _owners(
    rgb: Image, heads: Sequence[_Head], side: int, scale: float, behind: Sequence[int] = ()
) -> npt.NDArray[np.int32]:
    """(side, side) number of the head that each pixel belongs to; 0 is the animated one, which hides ``behind``."""
    distance = np.stack([head.distance(side, scale) for head in heads])
    faces = np.stack([head.face(side, scale) for head in heads])
    order = np.sort(distance, axis=0)
    clear = order[0] < CLEAR * order[1]
    nearest = distance.argmin(axis=0)
    cores = np.stack([head.face(side, scale, CORE) for head in heads])
    # Landmarks of the hidden half of a face are guesses: where outlines overlap, the image decides.
    # Guessed landmarks of a head behind another extend under the hair in front: the nearer head keeps those pixels.
    sure = (cores.sum(axis=0) == 1) & (faces.sum(axis=0) == 1) & (cores.argmax(axis=0) == nearest)
    marks = np.where(sure, cores.argmax(axis=0) + 1, np.where(clear & (faces.sum(axis=0) == 0), nearest + 1, 0))
    if behind:
        inside, outside = HIDING
        marks = np.where((distance[0] < outside) & np.isin(marks - 1, behind), 0, marks)
        marks = np.where((distance[0] < inside) & (marks == 0), 1, marks)
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    owner = cv2.watershed(small, marks.astype(np.int32)).astype(np.int32)
    lines = (owner < 1).astype(np.uint8)
    if lines.any():
        _, labels = cv2.distanceTransformWithLabels(lines, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        table = np.zeros(int(labels.max()) + 1, np.int32)
        table[labels[lines == 0]] = owner[lines == 0]
        owner = np.where(lines > 0, table[labels], owner)
    return np.asarray(owner - 1, np.int32)


def _overlaps(own: _Head, other: _Head, side: int, scale: float) -> bool:
    """Whether the outlines of two faces overlap."""
    one, two = own.face(side, scale), other.face(side, scale)
    return bool((one & two).sum() > 0.01 * min(one.sum(), max(two.sum(), 1)))


def _is_in_front(own: _Head, other: _Head, owner: npt.NDArray[np.int32], number: int, scale: float) -> bool:
    """Whether another head is in front of the animated one; if in doubt, yes: its pixels then stay intact."""
    side = owner.shape[0]
    if _overlaps(own, other, side, scale):
        both = own.face(side, scale) & other.face(side, scale)
        return bool((owner[both] == number).sum() > (owner[both] == 0).sum())
    if other.centre[1] > own.chin:
        return True
    if own.centre[1] > other.chin:
        return False
    return own.size < LARGER * other.size


def _enlarged(share: Map, size: int) -> Mask:
    return np.asarray(cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _placed(share: Map, size: int) -> Mask:
    """A coarse share at the size of the crop, its edge softened by a few pixels; certain pixels are exactly 0 or 1."""
    width = max(EDGE * size / 2, 0.8)
    return smoothstep(0.2, 0.8, np.asarray(cv2.GaussianBlur(_enlarged(share, size), (0, 0), width), np.float32))
