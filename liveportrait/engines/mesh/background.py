"""Background plate: what is seen where the head has moved away."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.geometry import polygon_mask
from models.topology import OVAL

Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Known = npt.NDArray[np.bool_]
Behind = Callable[[Image, Known], tuple[Image, Known]]


ELSEWHERE = 0.4
"""Doubt about the background where another frame of a clip shows it."""
ISLAND = 0.06
"""Side of the smallest square, as a share of the crop's, that counts as background by itself."""


def person_mask(matte: Picture, points: npt.NDArray[np.floating]) -> Picture:
    """Matte (S, S) 0..1 with the face itself certain, and a rim around it as far as the matte leaves it open."""
    size = matte.shape[0]
    rim = polygon_mask(size, size, _grown(points, 1.06), 0.012 * size)
    near = max(3, round(0.008 * size) | 1)
    rim *= np.clip(cv2.blur(cv2.dilate(matte, np.ones((near, near), np.uint8)), (near, near)) * 8 - 0.5, 0, 1)
    face = np.maximum(rim, polygon_mask(size, size, _grown(points, 1.0), 0.006 * size))
    return np.maximum(np.clip((matte - 0.06) / 0.88, 0, 1), face).astype(np.float32)


def _grown(points: npt.NDArray[np.floating], factor: float) -> npt.NDArray[np.floating]:
    """(36, 2) outline of the face, larger by a factor."""
    oval = points[list(OVAL), :2]
    centre = oval.mean(0)
    return np.asarray(centre + (oval - centre) * factor)


JAW = tuple(OVAL[9:28])
"""The part of the outline below the ears: skin, whose edge the matte knows well; above it hair frays."""


def background_plate(
    image: Image,
    person: Picture,
    points: npt.NDArray[np.floating] | None = None,
    others: Picture | None = None,
    behind: Behind | None = None,
) -> tuple[Image, Picture]:
    """Crop (S, S, 3) with the person (S, S) 0..1 replaced by what surrounds it, and (S, S) 0..1 how doubtful that is.

    Doubt is 0 where the photo itself shows the background, ELSEWHERE where another frame does, 1 where it is guessed;
    only pixels without doubt lie below ELSEWHERE. Colours flow in from the known pixels by a pyramid; grain is mirrored
    across the outline.

    Args:
        image: The crop.
        person: Whose head is animated.
        points: (478, 2 or 3) mesh of the face: beside the jaw the background is kept right up to the outline.
        others: (S, S) 0..1, other people: they are part of the background, up to the person's outline.
        behind: Completes the background from other frames, see liveportrait.engines.base.Surroundings.
    """
    size = image.shape[0]
    known = _known(person, points)
    own, shown = image, known
    if behind is not None:
        image, known = behind(image, known if others is None else known & (others < 0.02))
    if others is not None:
        theirs = cv2.erode(others, np.ones((3, 3), np.uint8)) > 0.98
        shown, known = shown | theirs, known | theirs
    if not known.any():
        return own.copy(), np.ones((size, size), np.float32)
    pixels = image.astype(np.float32)
    filled = push_pull(pixels, known.astype(np.float32))
    low = cv2.GaussianBlur(filled, (0, 0), 0.012 * size)
    solid = cv2.erode(known.astype(np.float32), np.ones((5, 5), np.uint8))
    grain = (pixels - low) * solid[..., None]
    noise = 2 * float(np.median(np.abs(grain[known]))) + 2
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.nonzero(known)
    nearest = np.zeros((labels.max() + 1, 2), np.int64)
    nearest[labels[ys, xs]] = np.stack([ys, xs], 1)
    yy, xx = np.mgrid[:size, :size]
    my = np.clip(2 * nearest[labels, 0] - yy, 0, size - 1)
    mx = np.clip(2 * nearest[labels, 1] - xx, 0, size - 1)
    filled += np.where(known[..., None], 0, np.clip(grain[my, mx], -1.5 * noise, 1.5 * noise) * 0.8)
    plate = np.clip(filled + 0.5, 0, 255).astype(np.uint8)
    if others is not None:
        plate = np.asarray(cv2.blendLinear(own, plate, others, 1 - others), np.uint8)
    doubt = cv2.GaussianBlur((~known).astype(np.float32), (0, 0), 0.004 * size)
    return plate, np.asarray(cv2.max(doubt, np.float32(ELSEWHERE) * ~shown), np.float32)


def _known(person: Picture, points: npt.NDArray[np.floating] | None) -> Known:
    """(S, S) pixels that show nothing of the person."""
    size = person.shape[0]
    reach = np.ones((max(3, round(0.033 * size) | 1),) * 2, np.uint8)
    known = cv2.dilate(person, reach) < 0.02
    if points is not None:
        near = np.zeros((size, size), np.uint8)
        line = np.round(points[list(JAW), :2]).astype(np.int32)
        cv2.polylines(near, [line], False, 1, thickness=max(3, round(0.12 * size)))
        tight = np.ones((max(3, round(0.006 * size) | 1),) * 2, np.uint8)
        rest = person * (1 - polygon_mask(size, size, _grown(points, 1.1)))  # hair, clothes
        known |= (near > 0) & (cv2.dilate(person, tight) < 0.02) & (cv2.dilate(rest, reach) < 0.02)
    # A gap in the matte of a person's hair or collar is no background.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(known.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= (ISLAND * size) ** 2
    large[0] = False
    return np.asarray(large[parts])


def push_pull(image: Picture, known: Picture) -> Picture:
    """Fill pixels (H, W, C) that are not known (H, W) 0..1 from a pyramid of those that are."""
    height, width = image.shape[:2]
    weight = known[..., None]
    if min(height, width) <= 4:
        mean = (image * weight).sum((0, 1)) / max(float(known.sum()), 1e-6)
        return np.asarray(image * weight + mean * (1 - weight), np.float32)
    num, den = cv2.pyrDown(image * weight), cv2.pyrDown(known)
    num = num.reshape(*den.shape, -1)  # OpenCV drops a single channel
    small = np.where(den[..., None] > 1e-4, num / np.maximum(den, 1e-4)[..., None], 0).astype(np.float32)
    coarse = cv2.pyrUp(push_pull(small, np.clip(3 * den, 0, 1)), dstsize=(width, height))
    return np.asarray(image * weight + coarse.reshape(image.shape) * (1 - weight), np.float32)
