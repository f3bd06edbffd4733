"""Random backgrounds without a face: gradients, noise, stripes, shapes, writing."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


def random_colour(rng: np.random.Generator) -> Colour:
    """An RGB colour; a third are greys, a third skin-like, so that colour alone does not indicate a face."""
    kind = rng.integers(3)
    if kind == 0:
        return (int(rng.integers(256)),) * 3
    if kind == 1:
        level = rng.uniform(40, 255)
        red, green, blue = (int(level * f) for f in (1.0, rng.uniform(0.6, 0.85), rng.uniform(0.4, 0.75)))
        return red, green, blue
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def generate_background(side: int, rng: np.random.Generator) -> Image:
    """A square image without a face.

    Args:
        side: Side in pixels.
        rng: Source of randomness.

    Returns:
        (side, side, 3) uint8.
    """
    image = _gradient(side, rng)
    if rng.random() < 0.6:
        image = _add_noise(image, rng)
    for painter, chance in ((_stripes, 0.25), (_shapes, 0.6), (_writing, 0.15)):
        if rng.random() < chance:
            painter(image, rng)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 4.0)).astype(np.uint8, copy=False)
    return image


def draw_shape(image: Image, rng: np.random.Generator, centre: tuple[float, float], size: float) -> None:
    """One filled or outlined shape: ellipse, polygon, thick line or arc.

    Args:
        image: (H, W, 3) uint8, changed in place.
        rng: Source of randomness.
        centre: x, y.
        size: Approximate size in pixels.
    """
    colour, kind = random_colour(rng), rng.integers(4)
    x, y = int(centre[0]), int(centre[1])
    half = max(size / 2, 1.0)
    thick = -1 if rng.random() < 0.7 else max(int(half * rng.uniform(0.05, 0.4)), 1)
    if kind == 0:
        axes = (max(int(half), 1), max(int(half * rng.uniform(0.3, 1.0)), 1))
        cv2.ellipse(image, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, thick, cv2.LINE_AA)
    elif kind == 1:
        count = int(rng.integers(3, 8))
        angles = np.sort(rng.uniform(0, 2 * math.pi, count))
        reach = half * rng.uniform(0.5, 1.2, count)
        corners = np.stack([x + np.cos(angles) * reach, y + np.sin(angles) * reach], axis=1).astype(np.int32)
        if thick < 0:
            cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)
        else:
            cv2.polylines(image, [corners], True, colour, thick, cv2.LINE_AA)
    elif kind == 2:
        angle = rng.uniform(0, math.pi)
        dx, dy = half * math.cos(angle), half * math.sin(angle)
        width = max(int(half * rng.uniform(0.1, 0.5)), 1)
        cv2.line(image, (int(x - dx), int(y - dy)), (int(x + dx), int(y + dy)), colour, width, cv2.LINE_AA)
    else:
        start = float(rng.uniform(0, 360))
        cv2.ellipse(
            image, (x, y), (max(int(half), 1), max(int(half * 0.7), 1)), start, 0, float(rng.uniform(60, 300)), colour,
            max(int(half * rng.uniform(0.05, 0.3)), 1), cv2.LINE_AA,
        )  # fmt: skip


def _gradient(side: int, rng: np.random.Generator) -> Image:
    corners = np.array([[random_colour(rng) for _ in range(2)] for _ in range(2)], dtype=np.float32)
    if rng.random() < 0.3:
        corners[:] = corners[0, 0]
    return cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _add_noise(image: Image, rng: np.random.Generator) -> Image:
    """Noise of several octaves, like foliage, cloth or clouds."""
    side = image.shape[0]
    total = image.astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        cells = int(2 ** rng.uniform(1, 6))
        noise = rng.standard_normal((cells, cells, 1 if rng.random() < 0.5 else 3)).astype(np.float32)
        mode = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        layer = cv2.resize(noise, (side, side), interpolation=mode).reshape(side, side, -1)
        total += layer * np.float32(rng.uniform(5, 50))
    return np.clip(total, 0, 255).astype(np.uint8)


def _stripes(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(4, side / 3)
    wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period))
    if rng.random() < 0.4:
        wave *= np.sin((y * math.cos(angle) - x * math.sin(angle)) * (2 * math.pi / period))
    if rng.random() < 0.5:
        wave = np.sign(wave)
    image[:] = np.clip(image + wave[..., None] * rng.uniform(10, 70), 0, 255).astype(np.uint8)


def _shapes(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 14))):
        x, y = rng.uniform(0, side, 2)
        draw_shape(image, rng, (x, y), side * float(np.exp(rng.uniform(math.log(0.03), math.log(0.7)))))


def _writing(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        text = "".join(chr(c) for c in rng.integers(48, 123, int(rng.integers(3, 14))))
        at = (int(rng.uniform(-0.2, 0.8) * side), int(rng.uniform(0, 1) * side))
        size, colour = float(rng.uniform(0.3, 2.5)), random_colour(rng)
        cv2.putText(image, text, at, int(rng.integers(8)), size, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
