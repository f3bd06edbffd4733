"""Augmentation of labelled faces: rotated, scaled, shifted, mirrored (sides change names), and changed in colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.parsing.classes import IGNORED, Labels
from parsing.labels import mirrored

Image = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Augmentation:
    """Strength of the changes.

    Attributes:
        turn: Largest rotation in degrees.
        scale: Smallest and largest relative size of the face.
        shift: Largest shift as a share of the side.
        flip: Probability of mirroring.
        colour: Probability of changing colour, lightness and contrast.
        soften: Probability of blur, noise or compression.
    """

    turn: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    shift: float = 0.08
    flip: float = 0.5
    colour: float = 0.8
    soften: float = 0.5

    def matrix(self, square: Matrix, size: int, rng: np.random.Generator) -> Matrix:
        """The map of a crop, rotated, scaled and shifted at random.

        Args:
            square: (2, 3) image pixels to crop pixels.
            size: Side of the crop.
            rng: Source of randomness.
        """
        angle = np.radians(rng.uniform(-self.turn, self.turn)) * rng.choice([0.3, 1.0])
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        middle = np.full(2, (size - 1) / 2)
        turn = np.array([[c, -s], [s, c]])
        offset = middle + rng.uniform(-self.shift, self.shift, 2) * size - turn @ middle
        return np.column_stack([turn @ square[:, :2], turn @ square[:, 2] + offset])

    def finish(self, rgb: Image, labels: Labels, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Mirror and change colour and sharpness; see the attributes."""
        if rng.random() < self.flip:
            rgb, labels = np.ascontiguousarray(rgb[:, ::-1]), mirrored(labels)
        if rng.random() < self.colour:
            rgb = recolour(rgb, rng)
        if rng.random() < self.soften:
            rgb = soften(rgb, rng)
        return rgb, labels


def recolour(rgb: Image, rng: np.random.Generator) -> Image:
    """Change lightness, contrast, gamma, saturation and tint; occasionally to grey or sepia."""
    x = rgb.astype(np.float32) / 255
    x = x ** np.float32(np.exp(rng.normal(0, 0.3)))
    grey = x.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.1 else float(rng.uniform(0.4, 1.4))
    x = grey + (x - grey) * np.float32(saturation)
    x = (x - 0.5) * np.float32(rng.uniform(0.7, 1.25)) + np.float32(0.5 + rng.uniform(-0.12, 0.12))
    x = x * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    return np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)


def soften(rgb: Image, rng: np.random.Generator) -> Image:
    """Apply one or two of blur, loss of resolution, noise and JPEG compression."""
    size = rgb.shape[0]
    for kind in rng.choice(4, rng.integers(1, 3), replace=False):
        if kind == 0:
            rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.8)) * size / 192), np.uint8)
        elif kind == 1:
            small = max(int(size / rng.uniform(1.2, 3)), 8)
            shrunk = cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA)
            rgb = np.asarray(cv2.resize(shrunk, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        elif kind == 2:
            noise = rng.normal(0, rng.uniform(2, 14), rgb.shape).astype(np.float32)
            rgb = np.clip(rgb.astype(np.float32) + noise, 0, 255).astype(np.uint8)
        else:
            _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
            rgb = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return rgb


def cut(rgb: Image, labels: Labels, matrix: Matrix, size: int, outside: int | None = None) -> tuple[Image, Labels]:
    """Cut a square crop out of a labelled image.

    Args:
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8.
        matrix: (2, 3) image pixels to crop pixels.
        size: Side of the crop.
        outside: Label of the area outside the image; None repeats the border.

    Returns:
        (size, size, 3) and (size, size); the image's border is repeated.
    """
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < 0.6:  # against aliasing
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.45 / float(shrink)), np.uint8)
    picture = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = IGNORED if outside is None else outside
    parts = cv2.warpAffine(labels, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=border, borderValue=value)
    return np.asarray(picture, np.uint8), np.asarray(parts, np.uint8)
