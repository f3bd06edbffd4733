"""Measure the watermark: ``python tools/bench_watermark.py CLIP [CLIP ...] [--silent FOLDER]``.

Each clip is a result rendered with ``--mark metadata``; its first frames are marked in a crop, encoded and searched.
``--silent`` looks for the mark in all images of a folder, which contain none, and also with wrong keys.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.media.images import read_image  # noqa: E402
from app.media.reader import open_clip  # noqa: E402
from app.provenance import watermark  # noqa: E402
from liveportrait.compose import crop_window  # noqa: E402
from liveportrait.crop import Crop  # noqa: E402
from models.tracker import FaceTracker  # noqa: E402

FRAMES = 25


def coded(frames: list[np.ndarray], crf: int, scale: float) -> list[np.ndarray]:
    """Encode frames with H.264 at a quality and a size."""
    height, width = (int(side * scale) // 2 * 2 for side in frames[0].shape[:2])
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            out.mux(stream.encode(picture.reformat(width, height, "yuv420p", interpolation="AREA")))
        out.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


def measure(path: Path) -> dict[str, Any] | None:
    """Measurements of one clip; None if it shows no face."""
    with open_clip(path) as clip:
        frames = [frame.rgb for frame in islice(clip, FRAMES)]
    faces = FaceTracker().detect(frames[0])
    if not faces:
        return None
    crop = Crop.from_face(faces[0])
    window = crop_window(crop, frames[0].shape)
    assert window is not None
    marked = [frame.copy() for frame in frames]
    started = time.process_time()
    for frame in marked:
        watermark.imprint(frame, crop)
    milliseconds = (time.process_time() - started) / len(frames) * 1e3
    x0, y0, x1, y1 = window
    change = [a[y0:y1, x0:x1].astype(float) - b[y0:y1, x0:x1] for a, b in zip(frames[:3], marked[:3], strict=True)]
    found: dict[str, Any] = {
        "clip": path.name,
        "square": f"{x1 - x0}x{y1 - y0}",
        "ms": milliseconds,
        "dB": 10 * np.log10(255**2 / np.mean(np.square(change))),
    }
    variants = {"none": frames, "marked": marked, "crf 23": coded(marked, 23, 1), "crf 28": coded(marked, 28, 1)}
    variants |= {"crf 28 half": coded(marked, 28, 0.5), "one frame": marked[:1]}
    scores = {name: watermark.detect(some) for name, some in variants.items()}
    return found | {name: f"{score.deviations:.1f}{'' if score.found else ' -'}" for name, score in scores.items()}


def silent(folder: Path, keys: int) -> str:
    """False alarms in images without a mark, with our key and with wrong ones."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    right, own = watermark.KEY, watermark.signs
    table = []
    for number in range(keys + 1):
        key = right if number == 0 else b"wrong %d" % number
        bits = np.unpackbits(np.frombuffer(watermark.hashlib.shake_256(key).digest(watermark.TILE**2 // 8), np.uint8))
        table.append(bits.reshape(watermark.TILE, -1).astype(np.float32) * 2 - 1)
    alarms, highest = [0] * len(table), 0.0
    for path in paths:
        grey = cv2.cvtColor(read_image(path).rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for number, cells in enumerate(table):
            watermark.signs = lambda cells=cells: cells  # type: ignore[assignment]
            score = watermark.look(grey)
            alarms[number] += score.found
            highest = max(highest, score.deviations)
    watermark.signs = own
    return (
        f"{len(paths)} images: {alarms[0]} false alarms; with {keys} wrong keys {sum(alarms[1:])} in "
        f"{len(paths) * keys}; highest score {highest:.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--silent", type=Path)
    parser.add_argument("--keys", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [row for path in arguments.clips if (row := measure(path)) is not None]
    for number, row in enumerate(rows):
        if number == 0:
            print("| " + " | ".join(row) + " |\n" + "| --- " * len(row) + "|")
        print("| " + " | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    if arguments.silent:
        print(silent(arguments.silent, arguments.keys))


if __name__ == "__main__":
    main()
