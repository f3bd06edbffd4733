"""Contact sheets of the worst results by each figure, for visual inspection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from app.media.images import read_image, write_image
from measuring.clips import frame_at
from measuring.heads import Head, Image
from models.topology import FACE_POINTS, LIPS_OUTER
from models.tracker import FaceTracker

CELL = 200
HIGH_IS_BAD = ("slab", "wedge", "lid_left", "lid_right", "swim_px")


@dataclass(frozen=True)
class Shown:
    """One row of a sheet.

    Attributes:
        label: Text above it.
        pictures: Photo, driver and result.
    """

    label: str
    pictures: Sequence[Image]


def worst(
    rows: Mapping[str, Mapping[str, float | None]], name: str, count: int, aim: float = 1.0
) -> list[tuple[str, float]]:
    """Worst pairs by a figure: the highest, or those furthest from a ratio of 1."""
    known = [(pair, float(value)) for pair, row in rows.items() if (value := row.get(name)) is not None]
    bad: Callable[[float], float] = (lambda v: v) if name in HIGH_IS_BAD else (lambda v: abs(v - aim))
    return sorted(known, key=lambda entry: -bad(entry[1]))[:count]


@lru_cache(maxsize=1)
def _tracker() -> FaceTracker:
    return FaceTracker()


def view(picture: Image, zoom: bool) -> Image:
    """A square crop of a face, or of its mouth."""
    faces = _tracker().detect(picture, 1)
    if not faces:
        return np.asarray(cv2.resize(picture, (CELL, CELL)), np.uint8)
    head = Head(faces[0])
    points = head.points[list(LIPS_OUTER)] if zoom else head.points[:FACE_POINTS]
    centre, half = points.mean(0), (0.34 if zoom else 0.75) * head.width
    scale = CELL / (2 * half)
    matrix = np.array([[scale, 0, CELL / 2 - scale * centre[0]], [0, scale, CELL / 2 - scale * centre[1]]])
    return np.asarray(
        cv2.warpAffine(picture, matrix, (CELL, CELL), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def row(label: str, photo: Path, driving: Path, output: Path, frame: int, zoom: bool) -> Shown:
    """The photo, the driver and the result at one frame."""
    pictures = read_image(photo).rgb, frame_at(driving, frame), frame_at(output, frame)
    return Shown(label, [view(picture, zoom) for picture in pictures])


def save(path: Path, rows: Sequence[Shown], across: int = 2) -> None:
    """Write a sheet with rows side by side, two by default."""
    strips = []
    for one in rows:
        strip = np.hstack(list(one.pictures))
        cv2.rectangle(strip, (0, 0), (strip.shape[1], 16), (0, 0, 0), -1)
        cv2.putText(strip, one.label, (2, 12), 0, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        strips.append(strip)
    while len(strips) % across:
        strips.append(np.zeros_like(strips[0]))
    lines = [np.hstack(strips[i : i + across]) for i in range(0, len(strips), across)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.vstack(lines), overwrite=True)
