"""Reads WIDER FACE from a folder, with boxes or with boxes and five points (the RetinaFace labels and SCRFD's version).

The data set (Yang et al., 2016) is for research and not part of this project; only its reader is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from training.manifest import ManifestError

from detection.augment import AugmentConfig, augment
from detection.labels import Labels
from detection.portraits import read_picture

Image = npt.NDArray[np.uint8]
LEAST: Final = 3.0
"""Faces smaller than this in the original are ignored, as the data set's own tools do."""
HEIGHTS: Final = {"easy": 50.0, "medium": 30.0, "hard": 10.0}
"""Least face heights in pixels that approximate the official subsets, whose lists are MATLAB files."""


@dataclass(frozen=True)
class WiderEntry:
    """One image of the data set."""

    path: Path
    labels: Labels


def read_wider(labels: Path, images: Path) -> list[WiderEntry]:
    """Read a label file; its form is detected automatically.

    Args:
        labels: label.txt ("# name", then x y w h and five points with flags), labelv2.txt ("# name width height",
            then x0 y0 x1 y1 and the points), or wider_face_..._bbx_gt.txt (name, count, x y w h and attributes).
        images: Folder to which the names in it are relative.

    Raises:
        ManifestError: A file is missing or a line is damaged; the text names file and line.
    """
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{labels} can't be read ({error}).") from None
    if not images.is_dir():
        raise ManifestError(f"{images} is not a folder; it should hold the images that {labels} names.")
    marked = any(line.startswith("#") for line in lines[:50])
    entries: list[WiderEntry] = []
    name, corners, rows = "", False, list[list[float]]()

    def finish() -> None:
        if name:
            entries.append(WiderEntry(images / name, _labels(rows, corners)))

    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        if marked and line.startswith("#"):
            finish()
            corners = len(parts) >= 4 and all(p.isdigit() for p in parts[-2:])
            name, rows = (parts[1] if corners else line[1:].strip()), []
        elif not marked and parts[0].lower().endswith((".jpg", ".jpeg", ".png")):
            finish()
            name, rows = line.strip(), []
        elif marked or len(parts) > 1:
            try:
                row = [float(part) for part in parts]
            except ValueError:
                row = []
            if len(row) < 4 or not name:
                raise ManifestError(f"{labels}, line {number}: not a face.")
            rows.append(row)
    finish()
    if not entries:
        raise ManifestError(f"{labels} names no image.")
    return entries


def _labels(rows: Sequence[list[float]], corners: bool) -> Labels:
    if not rows:
        return Labels.none()
    boxes, points, ignore = [], [], []
    for row in rows:
        x, y, a, b = row[:4]
        box = (x, y, a, b) if corners else (x, y, x + a, y + b)
        boxes.append(box)
        five = np.full((5, 2), np.nan)
        if len(row) >= 19:
            given = np.array(row[4:19]).reshape(5, 3)
            if (given[:, :2] >= 0).all() and (given[:, 2] > -1).all():
                five = given[:, :2]
        points.append(five)
        # In the official file the eighth number marks faces that must be ignored.
        invalid = len(row) == 10 and row[7] == 1
        ignore.append(invalid or min(box[2] - box[0], box[3] - box[1]) < LEAST)
    return Labels(
        np.array(boxes, dtype=np.float32), np.array(points, dtype=np.float32), np.array(ignore, dtype=np.bool_)
    )  # fmt: skip


class WiderPick:
    """Training images of the data set: read, cropped and changed at random.

    Args:
        entries: See read_wider.
        config: Strength of the changes.
        keep: Number of decoded images kept in memory.
    """

    def __init__(self, entries: Sequence[WiderEntry], config: AugmentConfig | None = None, keep: int = 64) -> None:
        self._entries = [entry for entry in entries if len(entry.labels)]
        self._config = config or AugmentConfig()
        self._read = lru_cache(maxsize=keep)(read_picture)

    def __call__(self, side: int, rng: np.random.Generator) -> tuple[Image, Labels]:
        """A square image of that side and its faces."""
        entry = self._entries[int(rng.integers(len(self._entries)))]
        return augment(self._read(entry.path), entry.labels, side, rng, self._config)


def subset(labels: Labels, name: str) -> Labels:
    """Labels in which faces below the height of a subset (HEIGHTS) are ignored."""
    low = (labels.boxes[:, 3] - labels.boxes[:, 1]) < HEIGHTS[name]
    return Labels(labels.boxes, labels.points, labels.ignore | low)


def fitted(image: Image, labels: Labels, longest: int) -> tuple[Image, Labels]:
    """Image and labels resized so that the longer side has this length (640: the "VGA" protocol)."""
    import cv2

    height, width = image.shape[:2]
    scale = longest / max(height, width)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    resized = cv2.resize(image, size, interpolation=mode).astype(np.uint8, copy=False)
    factor = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    boxes = labels.boxes * np.tile(factor, 2)
    return resized, Labels(boxes, labels.points * factor, labels.ignore)
