"""Stillness: of a face whose driver does not move, and of the background around a moving face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.media.images import read_image, write_image
from measuring.clips import frame_at, frames
from measuring.heads import Float, Head
from measuring.pairs import photo_head
from measuring.pictures import Still
from measuring.program import Program
from models.matte import PersonMatte
from models.topology import FACE_POINTS
from models.tracker import FaceTracker

COLUMNS = {
    "wander_px": 2, "wander_worst_px": 2, "step_px": 3, "driver_px": 2, "swim_l1_small": 2, "swim_l1": 2,
    "swim_px_small": 2, "swim_px": 2,
}  # fmt: skip
FRAMES = 60
SMALL = (0.3, 3.0)
"""Range of small head motion in pixels, in which a background that moves along with the head is noticeable."""


def still_driver(clip: Path, index: int, noise: float, folder: Path, seed: int) -> Path:
    """A still driver: one frame repeated with different noise, as numbered images."""
    picture = frame_at(clip, index).astype(np.float32)
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FRAMES):
        noisy = picture + generator.normal(0, noise, picture.shape)
        write_image(folder / f"{number:05d}.png", np.clip(noisy + 0.5, 0, 255).astype(np.uint8), overwrite=True)
    return folder


def wander(points: Float) -> tuple[float, float, float]:
    """Movement of points (N, 478, 2) that should be at rest.

    Returns:
        Range in pixels, mean over all points and of the worst one; mean movement from one frame to the next.
    """
    face = points[:, :FACE_POINTS]
    span = np.linalg.norm(face.max(0) - face.min(0), axis=1)
    return float(span.mean()), float(span.max()), float(np.linalg.norm(np.diff(face, axis=0), axis=2).mean())


def tracked(clip: Path) -> Float:
    """(N, 478, 2) points of a clip, without frames that show no face."""
    tracker = FaceTracker()
    return np.array([face.points[:, :2] for face in map(tracker.track, frames(clip)) if face is not None])


def measure_rest(program: Program, photo: Path, driver: Path, folder: Path) -> dict[str, Any]:
    """Movement of a photo with a still driver; written losslessly."""
    output = folder / f"{photo.stem}--{driver.name}"
    output.mkdir(parents=True, exist_ok=True)
    program(photo, driver, "-o", output / "%05d.png")
    mean, worst, step = wander(tracked(output))
    return {"wander_px": mean, "wander_worst_px": worst, "step_px": step, "driver_px": wander(tracked(driver))[0]}


def measure_background(program: Program, photo: Path, driving: Path, folder: Path) -> dict[str, Any]:
    """Movement of the background inside the crop with a moving driver; written losslessly."""
    output = folder / f"{photo.stem}--{driving.stem}"
    output.mkdir(parents=True, exist_ok=True)
    program(photo, driving, "-o", output / "%05d.png")
    return background(photo, photo_head(photo), output)


def background(photo: Path, head: Head, output: Path) -> dict[str, Any]:
    """L1 in grey levels and shift in pixels of the background, over all frames and over those with little motion."""
    picture = read_image(photo).rgb
    still = Still(picture, head, PersonMatte()(picture))
    tracker, rows = FaceTracker(), []
    for frame in frames(output):
        face = tracker.track(frame)
        moved = np.nan if face is None else float(
            np.linalg.norm(face.points[:FACE_POINTS, :2] - head.points[:FACE_POINTS], axis=1).mean()
        )  # fmt: skip
        rows.append((moved, still.change(frame), still.shift(frame)))
    table = np.array(rows, np.float64)
    small = (table[:, 0] >= SMALL[0]) & (table[:, 0] <= SMALL[1])
    return {
        "swim_l1_small": _mean(table[small, 1]), "swim_l1": _mean(table[:, 1]),
        "swim_px_small": _mean(table[small, 2]), "swim_px": _mean(table[:, 2]),
    }  # fmt: skip


def _mean(values: Float) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
