"""Random changes to a training image and its labels.

Every function draws from the given generator, so the same generator state gives the same image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from detection.backgrounds import draw_shape, random_colour
from detection.labels import Labels

Image = npt.NDArray[np.uint8]
SMALLEST: Final = 6.0
"""Faces below this size in pixels of the network's input are ignored."""


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of the changes.

    Attributes:
        scales: Least and largest side of the crop relative to the image's shorter side; the wide range is what SCRFD
            calls sample redistribution (Guo et al., 2021, section 3.2).
        tilt: Standard deviation of small rotations in degrees.
        any_turn: Share of images rotated by any angle, including upside-down.
        flip: Share mirrored.
        occlude: Share of faces that are partly drawn over.
        colour: Share of images whose light, colour, sharpness or noise changes.
    """

    scales: tuple[float, float] = (0.3, 2.0)
    tilt: float = 10.0
    any_turn: float = 0.2
    flip: float = 0.5
    occlude: float = 0.25
    colour: float = 0.8


def random_angle(rng: np.random.Generator, tilt: float, any_turn: float) -> float:
    """An angle in radians: mostly a small tilt, sometimes any."""
    if rng.random() < any_turn:
        return float(rng.uniform(-math.pi, math.pi))
    return math.radians(float(rng.normal(0.0, tilt)))


def similarity(
    centre: tuple[float, float], side: float, size: int, angle: float = 0.0, mirror: bool = False
) -> npt.NDArray[np.float64]:
    """(2, 3) map of a rotated crop of an image to size x size pixels, both in corner-based coordinates.

    Args:
        centre: Centre of the crop.
        side: Side of the crop.
        size: Side of the result.
        angle: Clockwise rotation of the content, in radians.
        mirror: Exchange left and right of the result.
    """
    scale = size / side
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    if mirror:
        linear[0] *= -1
    shift = size / 2 - linear @ np.array(centre)
    return np.concatenate([linear, shift[:, None]], axis=1)


def warp(image: Image, matrix: npt.NDArray[np.floating], size: int, fill: tuple[int, int, int] = (0, 0, 0)) -> Image:
    """Resample by a map of corner-based pixels; when shrinking, area means are taken first to avoid aliasing.

    Args:
        image: (H, W, C) or (H, W) uint8.
        matrix: (2, 3) from its pixels to those of the result.
        size: Side of the result.
        fill: Colour outside the image.
    """
    step = int(1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))) + 1e-12))
    matrix = matrix.copy()
    if step >= 2:
        height, width = image.shape[:2]
        target = (max(width // step, 1), max(height // step, 1))
        image = cv2.resize(image, target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        matrix[:, :2] *= (width / target[0], height / target[1])
    # From corner-based coordinates to OpenCV's, whose pixel centres are integers.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    ).astype(np.uint8, copy=False)


def crop_square(
    image: Image, labels: Labels, size: int, rng: np.random.Generator, config: AugmentConfig
) -> tuple[Image, Labels]:
    """A random square of the image, turned, perhaps mirrored, at the size of the network's input.

    Faces stay if their centre is inside; those that become too small are ignored.
    """
    height, width = image.shape[:2]
    low, high = config.scales
    side = min(height, width) * float(np.exp(rng.uniform(math.log(low), math.log(high))))
    if len(labels) and rng.random() < 0.7:  # near a face, else most crops of a large image are empty
        box = labels.boxes[rng.integers(len(labels))]
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.4, 0.4, 2) * side
    else:
        centre = rng.uniform(0, 1, 2) * (width, height)
    matrix = similarity(
        (float(centre[0]), float(centre[1])), side, size, random_angle(rng, config.tilt, config.any_turn),
        rng.random() < config.flip,
    )  # fmt: skip
    return warp(image, matrix, size, random_colour(rng)), clipped(labels.mapped(matrix), size)


def clipped(labels: Labels, size: int) -> Labels:
    """Labels of a crop: faces whose centre lies in it, boxes cut at its edges, tiny ones ignored."""
    centres = (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2
    inside = np.asarray(((centres >= 0) & (centres <= size)).all(axis=1), dtype=np.bool_)
    labels = labels.take(inside)
    boxes = np.clip(labels.boxes, 0, size).astype(np.float32)
    small = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) < SMALLEST
    return Labels(boxes, labels.points, labels.ignore | small)


def occlude(image: Image, labels: Labels, rng: np.random.Generator, chance: float) -> None:
    """Draw shapes over parts of some faces: at the edge of the box, so that the middle mostly stays in sight."""
    for box in labels.boxes:
        if rng.random() >= chance:
            continue
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        angle = rng.uniform(0, 2 * math.pi)
        at = centre + half * (math.cos(angle), math.sin(angle)) * rng.uniform(0.5, 1.1)
        draw_shape(image, rng, (float(at[0]), float(at[1])), float(half.sum() * rng.uniform(0.4, 1.0)))


def change_colours(image: Image, rng: np.random.Generator) -> Image:
    """Light, contrast, colour, sharpness, noise and compression, each with some chance.

    Args:
        image: (H, W, 3) uint8.
        rng: Source of randomness.
    """
    if rng.random() < 0.25:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8, copy=False)
    elif rng.random() < 0.5:
        image = _saturate(image, rng)
    image = _curve(image, rng)
    if rng.random() < 0.3:
        image = _blur(image, rng)
    if rng.random() < 0.3:
        spread = rng.uniform(2, 25)
        noise = rng.standard_normal((*image.shape[:2], 1 if rng.random() < 0.3 else 3), dtype=np.float32)
        image = np.clip(image + noise * np.float32(spread), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))]
        read = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        image = np.asarray(read, dtype=np.uint8)
    return np.ascontiguousarray(image)


def _saturate(image: Image, rng: np.random.Generator) -> Image:
    """Mix with grey and shift the balance of the channels."""
    grey = image.mean(axis=2, keepdims=True, dtype=np.float32)
    mixed = grey + (image - grey) * np.float32(rng.uniform(0.2, 1.7))
    return np.clip(mixed * rng.uniform(0.8, 1.2, 3).astype(np.float32), 0, 255).astype(np.uint8)


def _curve(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, contrast and brightness; one in eight becomes as dark as a badly lit room."""
    x = np.arange(256, dtype=np.float64) / 255
    y = x ** float(np.exp(rng.uniform(-0.6, 0.6)))
    y = (y - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.125:
        y *= rng.uniform(0.08, 0.4)
    return np.asarray(np.clip(y * 255, 0, 255).astype(np.uint8)[image])


def _blur(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, moved, or enlarged from a small image."""
    kind, side = rng.integers(3), image.shape[0]
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, side / 100))).astype(np.uint8, copy=False)
    if kind == 1:
        length = int(rng.integers(3, max(side // 20, 4)))
        kernel = np.zeros((length, length), np.float32)
        dx, dy = length / 2 * np.array([math.cos(a := rng.uniform(0, math.pi)), math.sin(a)])
        middle = (length - 1) / 2
        ends = [(round(middle - s * dx), round(middle - s * dy)) for s in (1, -1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1)
        return cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1.0)).astype(np.uint8, copy=False)
    small = max(int(side / rng.uniform(1.5, 4)), 8)
    reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def augment(
    image: Image, labels: Labels, size: int, rng: np.random.Generator, config: AugmentConfig
) -> tuple[Image, Labels]:
    """Crop, turn, mirror, occlude and change the colours of a labelled image.

    Args:
        image: (H, W, 3) uint8.
        labels: Its faces.
        size: Side of the network's input.
        rng: Source of randomness.
        config: How strongly.

    Returns:
        (size, size, 3) uint8 and the faces in it.
    """
    image, labels = crop_square(image, labels, size, rng, config)
    occlude(image, labels, rng, config.occlude)
    if rng.random() < config.colour:
        image = change_colours(image, rng)
    return image, labels
