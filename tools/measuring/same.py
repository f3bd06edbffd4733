"""Self-reenactment: a clip drives one of its own frames and is the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from measuring.clips import Track, frames, read, save_frame
from measuring.mouth import alike
from measuring.program import Program

COLUMNS = {
    "source": 0,
    "mouth_ssim": 3,
    "mouth_ssim_p05": 3,
    "mouth_l1": 2,
    "mouth_detail": 2,
    "lip_err": 3,
    "frames": 0,
}
FRONTAL = 8.0
"""Largest difference in yaw from the clip's usual one, in degrees, for a frame to serve as the photo."""


def source_frame(track: Track, kind: str) -> int:
    """Frame to use as the photo: the first one with a head, or the one whose mouth is widest open."""
    yaws = np.array([np.nan if head is None else head.yaw for head in track.heads])
    if kind == "first":
        return int(np.argmax(np.isfinite(yaws)))
    usable = np.abs(yaws - np.nanmedian(yaws)) < FRONTAL
    return int(np.nanargmax(np.where(usable, track.lips, np.nan)))


def measure(program: Program, clip: Path, kind: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """Animate a frame of a clip by the clip, and compare the mouths.

    Args:
        program: The program to measure.
        clip: The clip.
        kind: "first" or "open" (source_frame).
        folder: Where the photo and the result are written.
        options: Further options for `animate`.
    """
    truth = read(clip)
    index = source_frame(truth, kind)
    photo = save_frame(clip, index, folder / f"{clip.stem}-{kind}.png")
    output = folder / f"{clip.stem}-{kind}.mp4"
    program(photo, clip, "-o", output, "--reference", str(index), *options)
    rows = []
    lips = read(output).lips
    for i, (picture, ours, head) in enumerate(zip(frames(clip), frames(output), truth.heads, strict=False)):
        if head is not None and i != index:
            height, width = picture.shape[:2]
            one = alike(picture, ours[:height, :width], head)
            rows.append((one.ssim, one.l1, one.detail, abs(lips[i] - truth.lips[i])))
    table = np.array(rows)
    means = np.nanmean(table, axis=0)
    return {
        "source": index, "mouth_ssim": float(means[0]), "mouth_ssim_p05": float(np.quantile(table[:, 0], 0.05)),
        "mouth_l1": float(means[1]), "mouth_detail": float(np.median(table[:, 2])), "lip_err": float(means[3]),
        "frames": len(rows),
    }  # fmt: skip
