"""Measure the watermark: ``python tools/bench_watermark.py --portraits FOLDER | --clips CLIP ... | --silent FOLDER``.

``--portraits`` animates photos of faces by a smooth movement of the head and mouth, scaled so that the animated
square has each of the ``--squares``, marks, encodes and searches them; ``--clips`` does it with results rendered with
``--mark metadata``. Both say how many are found after H.264, by the size of the square. ``--silent`` looks for the mark
in all images of a folder, which contain none, and also with wrong keys.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
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
from app.provenance import lattice, watermark  # noqa: E402
from app.provenance.inspect import find_watermark  # noqa: E402
from app.provenance.search import detect  # noqa: E402
from liveportrait.compose import crop_window  # noqa: E402
from liveportrait.crop import Crop  # noqa: E402
from liveportrait.warp import scale_of  # noqa: E402
from models.tracker import FaceTracker  # noqa: E402

FRAMES, RATE = 25, 25
WAYS = {"crf 23": (23, 1.0), "crf 28": (28, 1.0), "crf 28, half": (28, 0.5), "crf 33, half": (33, 0.5)}
BOUNDS = (0, 180, 230, 300, 400, 10_000)  # pixels; rendered clips are counted by squares from one to the next


@dataclass(frozen=True)
class Row:
    """Measurements of one clip.

    Attributes:
        side: Side of the animated square in pixels.
        noise: PSNR of the marked square against the unmarked one, in dB.
        milliseconds: Processor time of marking, a frame.
        scores: Highest agreement, in standard deviations, by the way of encoding.
        found: Whether it was found, by the way of encoding.
    """

    side: float
    noise: float
    milliseconds: float
    scores: dict[str, float]
    found: dict[str, bool]


def encode(path: Path, frames: list[np.ndarray], crf: int, scale: float) -> None:
    """Write frames as H.264 at a quality and a size."""
    height, width = (int(side * scale) // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"crf": str(crf), "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            out.mux(stream.encode(picture.reformat(width, height, "yuv420p", interpolation="AREA")))
        out.mux(stream.encode(None))


def moved(photo: np.ndarray, crop: Crop, seed: int) -> list[np.ndarray]:
    """Frames in which the head in the crop turns, nods and speaks; at its border nothing moves."""
    chosen = np.random.default_rng(seed)
    side = crop.size * scale_of(crop.inverse)
    centre = crop.inverse @ np.array([crop.size / 2, crop.size / 2, 1])
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    u, v = (x - centre[0]) / side, (y - centre[1]) / side
    head = np.exp(-(((u / 0.22) ** 2 + ((v - 0.02) / 0.27) ** 2) ** 2))
    mouth = np.exp(-((u / 0.1) ** 2 + ((v - 0.16) / 0.06) ** 2)) * np.sign(v - 0.16)
    start, far, turn = chosen.uniform(0, 2 * np.pi, 4), chosen.uniform(0.01, 0.035, 2), chosen.uniform(0.02, 0.1)
    out = []
    for number in range(FRAMES):
        now = number / RATE
        angle, opening = turn * np.sin(2.5 * now + start[2]), 0.01 * (1 + np.sin(9 * now + start[3]))
        across = head * (far[0] * np.sin(3 * now + start[0]) + angle * v)
        down = head * (far[1] * np.sin(4 * now + start[1]) - angle * u) - mouth * opening
        places = [np.asarray(one, np.float32) for one in (x + side * across, y + side * down)]
        out.append(cv2.remap(photo, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return out


def measure(frames: list[np.ndarray], crop: Crop) -> Row:
    """Mark frames in a crop, encode and search them."""
    marked = [frame.copy() for frame in frames]
    watermark.imprint(marked[0].copy(), crop)  # what is kept for the following frames is made here
    started = time.process_time()
    for frame in marked:
        watermark.imprint(frame, crop)
    milliseconds = (time.process_time() - started) / len(frames) * 1e3
    window = crop_window(crop, frames[0].shape)
    assert window is not None
    x0, y0, x1, y1 = window
    change = [marked[i][y0:y1, x0:x1].astype(float) - frames[i][y0:y1, x0:x1] for i in (0, len(frames) // 2)]
    scores = {"one frame": detect(marked[:1])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        for name, (crf, scale) in WAYS.items():
            encode(path, marked, crf, scale)
            score = find_watermark(path)
            assert score is not None
            scores[name] = score
    return Row(
        crop.size * scale_of(crop.inverse), float(10 * np.log10(255**2 / np.mean(np.square(change)))), milliseconds,
        {name: score.deviations for name, score in scores.items()}, {name: s.found for name, s in scores.items()},
    )  # fmt: skip


def from_portrait(photo: np.ndarray, crop: Crop, side: int, seed: int) -> Row:
    """Measurements of a photo scaled to a square of ``side`` pixels."""
    scale = side / (crop.size * scale_of(crop.inverse))
    height, width = (round(length * scale / 2) * 2 for length in photo.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.ascontiguousarray(cv2.resize(photo, (width, height), interpolation=interpolation))
    to_small = np.diag([width / photo.shape[1], height / photo.shape[0]]) @ crop.inverse
    placed = Crop(cv2.invertAffineTransform(to_small), crop.size)
    return measure(moved(small, placed, seed), placed)


def from_clip(path: Path, tracker: FaceTracker) -> Row | None:
    """Measurements of a rendered clip; None if it shows no face."""
    with open_clip(path) as clip:
        frames = [frame.rgb for frame in islice(clip, FRAMES)]
    faces = tracker.detect(frames[0])
    return measure(frames, Crop.from_face(faces[0])) if faces else None


def print_table(groups: dict[str, list[Row]]) -> None:
    """One line for each group of rows."""
    names = ["one frame", *WAYS]
    print("| square | clips | " + " | ".join(f"{name}: found (least, median)" for name in names) + " | dB | ms |")
    print("| --- " * (len(names) + 4) + "|")
    for title, rows in groups.items():
        cells = []
        for name in names:
            scores = [row.scores[name] for row in rows]
            share = np.mean([row.found[name] for row in rows])
            cells.append(f"{share:.1%} ({min(scores):.1f}, {np.median(scores):.1f})")
        noise, spent = [row.noise for row in rows], np.median([row.milliseconds for row in rows])
        shown = f"{min(noise):.1f} to {max(noise):.1f} | {spent:.1f}"
        print(f"| {title} | {len(rows)} | " + " | ".join(cells) + f" | {shown} |", flush=True)


def silent(folder: Path, keys: int) -> str:
    """False alarms in images without a mark, with our key and with wrong ones."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    alarms, highest = [0] * (keys + 1), 0.0
    own = lattice.KEY
    for number in range(keys + 1):
        lattice.KEY = own if number == 0 else b"wrong %d" % number  # type: ignore[misc]
        lattice.phases.cache_clear()
        for path in paths:
            score = detect([read_image(path).rgb])
            alarms[number] += score.found
            highest = max(highest, score.deviations)
    lattice.KEY = own  # type: ignore[misc]
    lattice.phases.cache_clear()
    return (
        f"{len(paths)} images: {alarms[0]} false alarms; with {keys} wrong keys {sum(alarms[1:])} in "
        f"{len(paths) * keys}; highest score {highest:.1f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path)
    parser.add_argument("--count", type=int, default=100, help="portraits, chosen by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--squares", default="128,160,200,256,370,512", help="sides in pixels")
    parser.add_argument("--clips", nargs="*", type=Path, default=[])
    parser.add_argument("--silent", type=Path)
    parser.add_argument("--keys", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    tracker = FaceTracker()
    if arguments.portraits:
        paths = sorted(arguments.portraits.glob("*.jpg"))
        chosen = random.Random(arguments.seed).sample(paths, arguments.count)  # noqa: S311 - not a secret
        photos = [read_image(path).rgb for path in chosen]
        crops = [(rgb, Crop.from_face(faces[0])) for rgb in photos if (faces := tracker.detect(rgb))]
        for side in map(int, arguments.squares.split(",")):
            rows = [from_portrait(photo, crop, side, number) for number, (photo, crop) in enumerate(crops)]
            print_table({str(side): rows})
    groups: dict[str, list[Row]] = defaultdict(list)
    for path in arguments.clips:
        if (row := from_clip(path, tracker)) is not None:
            place = next(i for i, bound in enumerate(BOUNDS) if row.side < bound)
            groups[f"{BOUNDS[place - 1]} to {BOUNDS[place]}"].append(row)
    if groups:
        print_table(groups)
    if arguments.silent:
        print(silent(arguments.silent, arguments.keys))


if __name__ == "__main__":
    main()
