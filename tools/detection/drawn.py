"""Drawn faces: ellipses with two eyes, a nose and a mouth, only to test that a detector learns at all."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from detection.labels import Labels

Image = npt.NDArray[np.uint8]
FACE = ((-0.38, -0.25), (0.38, -0.25), (0.0, 0.1), (-0.28, 0.48), (0.28, 0.48))
"""Points in units of half the face's height; its width is 0.8 of that."""


def draw_faces(
    side: int, rng: np.random.Generator, most: int = 3, any_turn: float = 0.0
) -> tuple[Image, Labels]:  # fmt: skip
    """An image with up to `most` drawn faces on a plain, noisy background with some bars.

    Args:
        side: Side of the square image.
        rng: Source of randomness.
        most: Largest number of faces.
        any_turn: Share of faces turned by any angle; the others lean by up to 20 degrees.

    Returns:
        (side, side, 3) uint8 and its faces.
    """
    image = np.full((side, side, 3), rng.uniform(30, 220, 3), dtype=np.float32)
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.integers(0, side, 2)
        width, height = (int(v) for v in rng.uniform(0.05, 0.3, 2) * side)
        cv2.rectangle(image, (int(x), int(y)), (int(x) + width, int(y) + height), rng.uniform(0, 255, 3).tolist(), -1)
    boxes: list[npt.NDArray[np.float64]] = []
    points: list[npt.NDArray[np.float64]] = []
    for _ in range(int(rng.integers(0, most + 1))):
        half = side * rng.uniform(0.08, 0.25)
        centre = rng.uniform(half, side - half, 2)
        if any(np.abs(centre - (b[:2] + b[2:]) / 2).max() < half + (b[3] - b[1]) / 2 for b in boxes):
            continue
        angle = rng.uniform(-math.pi, math.pi) if rng.random() < any_turn else rng.uniform(-0.35, 0.35)
        box, five = _face(image, centre, half, angle, rng)
        boxes.append(box)
        points.append(five)
    image += rng.normal(0, 8, image.shape)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    if not boxes:
        return picture, Labels.none()
    return picture, Labels(
        np.stack(boxes).astype(np.float32), np.stack(points).astype(np.float32), np.zeros(len(boxes), np.bool_)
    )  # fmt: skip


def _face(
    image: npt.NDArray[np.float32], centre: npt.NDArray[np.float64], half: float, angle: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    wide = 0.8 * half
    skin = rng.uniform(120, 250) * np.array([1.0, rng.uniform(0.7, 0.9), rng.uniform(0.5, 0.8)])
    where = (int(centre[0]), int(centre[1]))
    degrees = math.degrees(angle)
    cv2.ellipse(image, where, (int(wide), int(half)), degrees, 0, 360, skin.tolist(), -1, cv2.LINE_AA)
    five = np.array(FACE) * half @ turn.T + centre
    dark = (skin * rng.uniform(0.0, 0.35)).tolist()
    for x, y in five[:2]:
        cv2.circle(image, (int(x), int(y)), max(int(half * 0.12), 1), dark, -1, cv2.LINE_AA)
    cv2.circle(image, (int(five[2, 0]), int(five[2, 1])), max(int(half * 0.09), 1), (skin * 0.6).tolist(), -1)
    ends = [(int(x), int(y)) for x, y in five[3:]]
    cv2.line(image, ends[0], ends[1], dark, max(int(half * 0.1), 1), cv2.LINE_AA)
    reach = np.sqrt(np.square(turn * (wide, half)).sum(axis=1))
    return np.concatenate([centre - reach, centre + reach]), five
