"""Training images composed of cut-out portraits and face-free backgrounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from detection.augment import change_colours, clipped, occlude, random_angle, warp
from detection.backgrounds import generate_background
from detection.labels import MIRRORED, Labels

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
COUNTS: Final = (0.08, 0.5, 0.16, 0.08, 0.08, 0.05, 0.05)
"""Probability of 0, 1, 2... faces in an image."""


@dataclass(frozen=True)
class Portraits:
    """Images of one face each.

    Attributes:
        images: (N, S, S, 3) uint8.
        mattes: (N, S, S) uint8, 255 where the person is.
        outlines: (N, P, 2) points whose extent is the face's box, in corner-based pixels.
        points: (N, 5, 2) landmarks, likewise.
        valid: (N, 4) x0, y0, x1, y1 of the part that is original.
    """

    images: Image
    mattes: Image
    outlines: Array
    points: Array
    valid: Array

    def __len__(self) -> int:
        return len(self.images)

    def take(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Portraits:
        """Some of them."""
        return Portraits(
            self.images[which], self.mattes[which], self.outlines[which], self.points[which], self.valid[which]
        )  # fmt: skip

    def boxes(self) -> Array:
        """(N, 4) boxes of the faces."""
        return np.concatenate([self.outlines.min(axis=1), self.outlines.max(axis=1)], axis=1)


@dataclass(frozen=True)
class ComposeConfig:
    """Properties of the images.

    Attributes:
        smallest: Smallest face in pixels.
        largest: Largest face relative to the side of the image.
        tilt: Standard deviation of small rotations in degrees.
        any_turn: Share of faces rotated by any angle.
        occlude: Share of faces that are partly covered.
        stretch: Largest logarithm of an unequal scaling, which slightly resembles a turned head.
    """

    smallest: float = 9.0
    largest: float = 1.0
    tilt: float = 15.0
    any_turn: float = 0.3
    occlude: float = 0.25
    stretch: float = 0.25


def compose(
    portraits: Portraits, side: int, rng: np.random.Generator, config: ComposeConfig | None = None
) -> tuple[Image, Labels]:
    """One image with its labels.

    Args:
        portraits: Source of the faces.
        side: Side of the square image.
        rng: Source of randomness.
        config: Properties of the image.

    Returns:
        (side, side, 3) uint8 and its faces.
    """
    config = config or ComposeConfig()
    image = _background(portraits, side, rng)
    count = int(rng.choice(len(COUNTS), p=COUNTS))
    labels: list[Labels] = []
    hidden: list[bool] = []
    largest = config.largest * side / math.sqrt(max(count, 1))
    sizes = np.sort(np.exp(rng.uniform(math.log(config.smallest), math.log(largest), count)))[::-1]
    for size in sizes:
        new = _place(portraits, int(rng.integers(len(portraits))), float(size), side, rng, config)
        if new is None:
            continue
        matrix, label = new
        if any(_covers(label.boxes[0], old.boxes[0]) for old in labels):
            continue
        painted = _paste(image, portraits, matrix, rng)
        hidden = [was or _share(painted, old.boxes[0]) > 0.4 for was, old in zip(hidden, labels, strict=True)]
        labels.append(label)
        hidden.append(False)
    joined = Labels.join(labels)
    found = clipped(Labels(joined.boxes, joined.points, joined.ignore | np.array(hidden, dtype=np.bool_)), side)
    occlude(image, found, rng, config.occlude)
    if rng.random() < 0.85:
        image = change_colours(image, rng)
    return image, found


@dataclass(frozen=True)
class _Placed:
    index: int
    matrix: npt.NDArray[np.float64]


def _place(
    portraits: Portraits, index: int, size: float, side: int, rng: np.random.Generator, config: ComposeConfig
) -> tuple[_Placed, Labels] | None:
    """Position of a portrait; None if too little of its face would be in the image."""
    outline = portraits.outlines[index].astype(np.float64)
    low, high = outline.min(axis=0), outline.max(axis=0)
    scale = size / float((high - low).max())
    angle = random_angle(rng, config.tilt, config.any_turn)
    skew = np.exp(rng.uniform(-config.stretch, config.stretch) * np.array([0.5, -0.5]))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.diag(skew * scale)
    mirror = rng.random() < 0.5
    if mirror:
        linear = linear @ np.diag([-1.0, 1.0])
    # Mostly inside; a face at the edge may be cut by up to a third.
    reach = size * 0.5
    inset = reach * rng.uniform(0.35, 1.0)
    room = max(side - 2 * inset, 1.0)
    centre = side / 2 + rng.uniform(-0.5, 0.5, 2) * room
    shift = centre - linear @ ((low + high) / 2)
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    moved = outline @ linear.T + shift
    inside = ((moved >= 0) & (moved <= side)).all(axis=1).mean()
    if inside < 0.6:
        return None
    box = np.concatenate([moved.min(axis=0), moved.max(axis=0)])
    points = portraits.points[index] @ linear.T + shift
    if mirror:
        points = points[list(MIRRORED)]
    label = Labels(box[None].astype(np.float32), points[None].astype(np.float32), np.zeros(1, np.bool_))
    return _Placed(index, matrix), label


def _covers(a: Array, b: Array) -> bool:
    """Whether two boxes share more than a fifth of the smaller one."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return bool(shared > 0.2 * min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()))


def _share(mask: npt.NDArray[np.bool_], box: Array) -> float:
    """Share of a box that a mask covers."""
    x0, y0, x1, y1 = np.clip(box, 0, mask.shape[0]).astype(int)
    part = mask[y0:y1, x0:x1]
    return float(part.mean()) if part.size else 0.0


def _paste(image: Image, portraits: Portraits, placed: _Placed, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Paste a portrait into the image: as a cut-out person, with its own background, or as a soft oval.

    Returns:
        (side, side) the pixels that were painted over.
    """
    index, side = placed.index, image.shape[0]
    source = portraits.images[index]
    height, width = source.shape[:2]
    x0, y0, x1, y1 = portraits.valid[index].astype(int)
    kind = rng.choice(3, p=(0.5, 0.35, 0.15))
    alpha: Image = np.zeros((height, width), np.uint8)
    if kind == 0:
        alpha[y0:y1, x0:x1] = portraits.mattes[index, y0:y1, x0:x1]
    elif kind == 1:
        alpha[y0:y1, x0:x1] = 255
    else:
        outline = portraits.outlines[index]
        centre, half = outline.mean(axis=0), np.ptp(outline, axis=0) * rng.uniform(0.55, 0.9)
        axes = (int(half[0]), int(half[1]))
        cv2.ellipse(alpha, (int(centre[0]), int(centre[1])), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        alpha[:y0], alpha[y1:], alpha[:, :x0], alpha[:, x1:] = 0, 0, 0, 0
    layer = np.concatenate([source, alpha[..., None]], axis=2)
    if rng.random() < 0.5:
        gain = np.exp(rng.uniform(-0.4, 0.3)) * rng.uniform(0.9, 1.1, 3)
        layer[..., :3] = np.clip(layer[..., :3] * gain, 0, 255).astype(np.uint8)
    moved = warp(layer, placed.matrix, side)
    if kind != 1 or rng.random() < 0.3:
        soft = moved[..., 3:].astype(np.float32) / 255
        image[:] = (image + (moved[..., :3].astype(np.float32) - image) * soft).astype(np.uint8)
    else:
        solid = moved[..., 3] > 127
        image[solid] = moved[solid, :3]
    return np.asarray(moved[..., 3] > 127)


def _background(portraits: Portraits, side: int, rng: np.random.Generator) -> Image:
    """Generated, or a face-free part of a portrait (clothes, hair, walls), or both side by side."""
    image = generate_background(side, rng)
    for _ in range(int(rng.choice(4, p=(0.45, 0.25, 0.15, 0.15)))):
        patch = _face_free(portraits, rng)
        if patch is None:
            continue
        scale = side * float(rng.uniform(0.3, 1.4)) / max(patch.shape[:2])
        angle = rng.uniform(-math.pi, math.pi) if rng.random() < 0.5 else 0.0
        linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        middle = np.array(patch.shape[1::-1]) / 2
        shift = rng.uniform(0, side, 2) - linear @ middle
        matrix = np.concatenate([linear, shift[:, None]], axis=1)
        layer = np.concatenate([patch, np.full((*patch.shape[:2], 1), 255, np.uint8)], axis=2)
        moved = warp(layer, matrix, side)
        solid = moved[..., 3] > 127
        image[solid] = moved[solid, :3]
    return image


def _face_free(portraits: Portraits, rng: np.random.Generator) -> Image | None:
    """A rectangle of a portrait beside, above or below its face."""
    index = int(rng.integers(len(portraits)))
    image, outline = portraits.images[index], portraits.outlines[index]
    x0, y0, x1, y1 = portraits.valid[index].astype(int)
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = 0.06 * float((high - low).max())
    left, top, right, bottom = (int(v) for v in (*(low - margin), *(high + margin)))
    rooms = [(x0, y0, x1, top), (x0, bottom, x1, y1), (x0, y0, left, y1), (right, y0, x1, y1)]
    a, b, c, d = rooms[int(rng.integers(4))]
    if c - a < 24 or d - b < 24:
        return None
    return np.ascontiguousarray(image[b:d, a:c])
