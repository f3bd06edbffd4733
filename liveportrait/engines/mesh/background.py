"""Background plate: fills the area that the moved head uncovers."""

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
"""Side of the smallest known square, as a share of the crop's side, that counts as background by itself."""


SURE = 0.92
"""The matte is trusted if its mean inside the face is at least this."""
TONED = np.array([255, 215, 190], np.float32)
"""Colour of skin in daylight: monochrome prints are tinted with it before the matte network sees them."""
HEAD = np.array([0.85, 1.15])
"""Semi-axes, in face widths, of the ellipse around the head in which a doubtful area is taken for hair."""
VEIL = 0.012
"""Inner radius, as a share of the crop's side, from which an area is doubtful as a whole: hair's edges are narrower."""


def find_person(image: Image, points: npt.NDArray[np.floating], matte: Callable[[Image], Picture]) -> Picture | None:
    """Matte (S, S) 0..1 of a crop (S, S, 3); None if no person is found.

    The network is trained on photos. Where it is unsure about the face itself, as in blue or yellow prints, it gets the
    crop again, in grey levels tinted with the colour of skin.

    Args:
        image: The crop.
        points: (478, 2 or 3) mesh of the face in crop pixels.
        matte: See models.matte.PersonMatte.
    """
    size = image.shape[0]
    inner = polygon_mask(size, size, _grown(points, 0.85)) > 0.5
    found = matte(image)
    if not inner.any() or found[inner].mean() > SURE:
        return found
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    low, high = np.percentile(grey[inner], [2, 98])
    level = np.clip((grey - low) / max(high - low, 1) * 0.8 + 0.12, 0, 1)
    again = matte(np.asarray(level[..., None] * TONED, np.uint8))
    return again if again[inner].mean() > SURE else None


def person_mask(matte: Picture, points: npt.NDArray[np.floating]) -> Picture:
    """Matte (S, S) 0..1 with the face itself certain, and a rim around the face unless the matte excludes it."""
    size = matte.shape[0]
    rim = polygon_mask(size, size, _grown(points, 1.06), 0.012 * size)
    near = max(3, round(0.008 * size) | 1)
    rim *= np.clip(cv2.blur(cv2.dilate(matte, np.ones((near, near), np.uint8)), (near, near)) * 8 - 0.5, 0, 1)
    face = np.maximum(rim, polygon_mask(size, size, _grown(points, 1.0), 0.006 * size))
    matte = _unveiled(matte, points)
    return np.maximum(np.clip((matte - 0.06) / 0.88, 0, 1), face).astype(np.float32)


def _unveiled(matte: Picture, points: npt.NDArray[np.floating]) -> Picture:
    """The matte without areas that are half transparent as a whole: solid hair at the head, no person elsewhere."""
    size = matte.shape[0]
    radius = max(2, round(VEIL * size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    doubtful = cv2.morphologyEx(((matte > 0.2) & (matte < 0.85)).astype(np.uint8), cv2.MORPH_OPEN, disc)
    if not doubtful.any():
        return matte
    middle = np.round(points[list(OVAL), :2].mean(0)).astype(int)
    half = np.maximum(np.round(HEAD * np.linalg.norm(points[454, :2] - points[234, :2])), 1).astype(int)
    head = cv2.ellipse(np.zeros((size, size), np.uint8), middle.tolist(), half.tolist(), 0, 0, 360, 1, -1) > 0
    decided = np.clip((matte - np.where(head, 0.1, 0.6)) / 0.25, 0, 1)
    return np.where(cv2.dilate(doubtful, disc) > 0, decided, matte).astype(np.float32)


def _grown(points: npt.NDArray[np.floating], factor: float) -> npt.NDArray[np.floating]:
    """(36, 2) outline of the face, larger by a factor."""
    oval = points[list(OVAL), :2]
    centre = oval.mean(0)
    return np.asarray(centre + (oval - centre) * factor)


JAW = tuple(OVAL[9:28])
"""The outline below the ears is skin, where the matte is accurate; above, hair makes the edge uncertain."""


def background_plate(
    image: Image,
    person: Picture,
    points: npt.NDArray[np.floating] | None = None,
    others: Picture | None = None,
    behind: Behind | None = None,
) -> tuple[Image, Picture]:
    """Crop (S, S, 3) with the person (S, S) 0..1 replaced by the surroundings, and doubt (S, S) 0..1 about each pixel.

    Doubt is 0 where the photo itself shows the background, ELSEWHERE where another frame does, 1 where it is guessed;
    only pixels without doubt lie below ELSEWHERE. Colours are filled in from the known pixels by a pyramid; grain is
    mirrored across the outline.

    Args:
        image: The crop.
        person: Matte of the person whose head is animated.
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
    solid = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8))
    grain = np.where(solid[..., None] > 0, pixels - low, 0)
    noise = 2 * float(np.median(np.abs(grain[::2, ::2][known[::2, ::2]]))) + 2
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.nonzero(known)
    nearest = np.zeros((labels.max() + 1, 2), np.int32)
    nearest[labels[ys, xs]] = np.stack([ys, xs], 1)
    ys, xs = np.nonzero(~known)
    across = np.clip(2 * nearest[labels[ys, xs]] - np.stack([ys, xs], 1), 0, size - 1)
    filled[ys, xs] += np.clip(grain[across[:, 0], across[:, 1]], -1.5 * noise, 1.5 * noise) * 0.8
    plate = np.clip(filled + 0.5, 0, 255).astype(np.uint8)
    if others is not None:
        plate = np.asarray(cv2.blendLinear(own, plate, others, 1 - others), np.uint8)
    doubt = cv2.GaussianBlur((~known).astype(np.float32), (0, 0), 0.004 * size)
    return plate, np.asarray(cv2.max(doubt, np.float32(ELSEWHERE) * ~shown), np.float32)


def _known(person: Picture, points: npt.NDArray[np.floating] | None) -> Known:
    """(S, S) pixels that show no part of the person."""
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
    """Fill unknown pixels of an image (H, W, C) by a pyramid from the known ones (H, W) 0..1."""
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
