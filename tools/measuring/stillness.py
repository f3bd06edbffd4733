"""What should stand still: a face whose driver does, and the background around a face that moves."""

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
"""Pixels of head motion, as the driver's first ones, in which a background that hangs on the head swims."""


def still_driver(clip: Path, index: int, noise: float, folder: Path, seed: int) -> Path:
    """A driver who does nothing: one frame again and again, each time with other noise, as numbered pictures."""
    picture = frame_at(clip, index).astype(np.float32)
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FRAMES):
        noisy = picture + generator.normal(0, noise, picture.shape)
        write_image(folder / f"{number:05d}.png", np.clip(noisy + 0.5, 0, 255).astype(np.uint8), overwrite=True)
    return folder


def wander(points: Float) -> tuple[float, float, float]:
    """How far points (N, 478, 2) go while they should rest.

    Returns:
        Pixels from the lowest to the highest place, mean over all points and of the worst one; mean move from one
        frame to the next.
    """
    face = points[:, :FACE_POINTS]
    span = np.linalg.norm(face.max(0) - face.min(0), axis=1)
    return float(span.mean()), float(span.max()), float(np.linalg.norm(np.diff(face, axis=0), axis=2).mean())


def tracked(clip: Path) -> Float:
    """(N, 478, 2) points of a clip, without the frames that show no face."""
    tracker = FaceTracker()
    return np.array([face.points[:, :2] for face in map(tracker.track, frames(clip)) if face is not None])


def measure_rest(program: Program, photo: Path, driver: Path, folder: Path) -> dict[str, Any]:
    """Wander of a photo under a driver who does nothing; written without loss."""
    output = folder / f"{photo.stem}--{driver.name}"
    output.mkdir(parents=True, exist_ok=True)
    program(photo, driver, "-o", output / "%05d.png")
    mean, worst, step = wander(tracked(output))
    return {"wander_px": mean, "wander_worst_px": worst, "step_px": step, "driver_px": wander(tracked(driver))[0]}


def measure_background(program: Program, photo: Path, driving: Path, folder: Path) -> dict[str, Any]:
    """Swimming of the background inside the square under a driver who moves; written without loss."""
    output = folder / f"{photo.stem}--{driving.stem}"
    output.mkdir(parents=True, exist_ok=True)
    program(photo, driving, "-o", output / "%05d.png")
    return background(photo, photo_head(photo), output)


def background(photo: Path, head: Head, output: Path) -> dict[str, Any]:
    """L1 in grey levels and shift in pixels of the background, over all frames and over those with small motion."""
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
