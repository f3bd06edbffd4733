"""Photos of the astronaut, and clips of her in poses set by hand, for tests that compare ways to the same frame."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from app.events import CancelToken, EventStream
from app.media.images import write_image
from app.options import RenderOptions
from app.render import Job, render

POSES = {"rest": "", "open": "lip_open=0.9,yaw=8,smile=0.5", "nod": "pitch=9,lip_open=0.3"}


def write_films(folder: Path, astronaut: np.ndarray, clips: Mapping[str, Sequence[str]]) -> Path:
    """Write one.png, pair.png (two faces), a picture of each of POSES, and clips (folders of pictures) made of them."""
    head = cv2.resize(astronaut[0:270, 90:360], (224, 224), interpolation=cv2.INTER_AREA)
    write_image(folder / "one.png", head)
    write_image(folder / "pair.png", np.concatenate([head, head[:, ::-1]], axis=1))
    for name, sliders in POSES.items():
        options = RenderOptions.from_values({"output": str(folder / f"{name}.png"), "sliders": sliders})
        render(Job(folder / "one.png", Path(), options), EventStream(), CancelToken())
    for clip, poses in clips.items():
        (folder / clip).mkdir()
        for number, name in enumerate(poses):
            (folder / clip / f"{number}.png").write_bytes((folder / f"{name}.png").read_bytes())
    return folder


def write_vowel(path: Path, seconds: float, start: float) -> Path:
    """Write a WAV file of silence, and from a time on an open vowel."""
    time = np.arange(round(16000 * seconds)) / 16000
    sound = sum(np.sin(2 * np.pi * 120 * k * time) / (1 + abs(120 * k - 750) / 150) for k in range(1, 30))
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes((3000 * sound * (time > start)).astype("<i2").tobytes())
    return path
