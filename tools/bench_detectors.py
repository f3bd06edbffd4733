"""Compare recall, false boxes and cost of a detector file with the embedded detectors on data it was not trained on.

    python tools/bench_detectors.py detector.onnx --prepared WORK --shared DATA

Portraits: the test split of the manifest, unchanged and modified (small, upside-down, rotated, dark, blurred, covered).
The ground truth is their landmarks, transformed likewise. Photos and clips: DATA with the folders sources, drivings and
source_videos; the ground truth is the output of the embedded tracker, which follows a face from frame to frame, so
improvements can't show there.

A box matches a face by the app's own criterion: centre within half its size, size within a factor of two.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from detection.augment import change_colours, occlude, similarity, warp
from detection.backgrounds import generate_background
from detection.compose import Portraits
from detection.labels import Labels
from detection.portraits import load_prepared, read_picture
from training.manifest import Manifest

from models.detection.runtime import OnnxDetector
from models.detectors import BlazeFace, Detection, Window
from models.search import BORDERS
from models.tracker import FaceTracker

Image = npt.NDArray[np.uint8]
Picture = tuple[Image, npt.NDArray[np.float32]]
Finder = Callable[[Image], list[npt.NDArray[np.float32]]]
MANIFEST = Path(__file__).parent / "detection" / "portraits.json"
EVERY = 15
"""Step between examined frames."""


def boxes_of(found: Sequence[Detection]) -> list[npt.NDArray[np.float32]]:
    return [detection.box for detection in found]


def finders(path: Path) -> dict[str, Finder]:
    """Name -> detector to compare. "Whole picture" is the first stage of the search, before tiles and rotations."""
    full, short, own = BlazeFace("full"), BlazeFace("short"), OnnxDetector(path)
    trackers = {"embedded": FaceTracker(), "own": FaceTracker(detector=str(path))}

    def embedded(rgb: Image) -> list[npt.NDArray[np.float32]]:
        windows = [Window.whole(*rgb.shape[:2], border) for border in BORDERS]
        return [box for window in windows for net in (full, short) for box in boxes_of(net(rgb, window))]

    return {
        "embedded, whole image": embedded,
        "own, whole image": lambda rgb: boxes_of(own(rgb)),
        "embedded, full search": lambda rgb: [face.box for face in trackers["embedded"].detect(rgb)],
        "own, full search": lambda rgb: [face.box for face in trackers["own"].detect(rgb)],
    }


def portrait_sets(portraits: Portraits) -> Iterator[tuple[str, list[Picture]]]:
    """Sets of images, each with the boxes of its faces."""
    yield "portraits as they are", [_turned(portraits, i, 320, 320, 0.0, i) for i in range(len(portraits))]
    for name, width in (("small: 24 to 40 px in 640", (24, 40)), ("tiny: 12 to 20 px in 640", (12, 20))):
        yield name, [_small(portraits, i, width) for i in range(len(portraits))]
    yield "upside-down", [_turned(portraits, i, 320, 320, math.pi, i) for i in range(len(portraits))]
    yield (
        "turned by 40 to 140 degrees",
        [
            _turned(portraits, i, 320, 320, math.radians(40 + 100 * (i / len(portraits))) * (-1) ** i, i)
            for i in range(len(portraits))
        ],
    )
    yield "dark", [_changed(portraits, i, lambda im, rng: (im * 0.12).astype(np.uint8)) for i in range(len(portraits))]
    yield "colour, blur, noise", [_changed(portraits, i, change_colours) for i in range(len(portraits))]
    yield "partly covered", [_covered(portraits, i) for i in range(len(portraits))]


def _turned(portraits: Portraits, index: int, side: int, size: int, angle: float, seed: int) -> Picture:
    fill = tuple(int(v) for v in np.random.default_rng(seed).integers(0, 256, 3))
    matrix = similarity((160.0, 160.0), side, size, angle)
    moved = portraits.outlines[index] @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([moved.min(axis=0), moved.max(axis=0)]).astype(np.float32)
    return warp(portraits.images[index], matrix, size, fill), box[None] - 0.5


def _small(portraits: Portraits, index: int, sizes: tuple[int, int]) -> Picture:
    rng = np.random.default_rng((3, index))
    canvas = generate_background(640, rng)
    own = float(np.ptp(portraits.outlines[index], axis=0).max())
    scale = float(rng.uniform(*sizes)) / own
    size = round(320 * scale)
    picture, box = _turned(portraits, index, 320, size, 0.0, index)
    x, y = (int(v) for v in rng.integers(0, 640 - size, 2))
    canvas[y : y + size, x : x + size] = picture
    return canvas, box + np.array([x, y, x, y], np.float32)


def _changed(portraits: Portraits, index: int, change: Callable[[Image, np.random.Generator], Image]) -> Picture:
    image, box = _turned(portraits, index, 320, 320, 0.0, index)
    return change(image, np.random.default_rng((4, index))), box


def _covered(portraits: Portraits, index: int) -> Picture:
    image, box = _turned(portraits, index, 320, 320, 0.0, index)
    labels = Labels(box, np.zeros((1, 5, 2), np.float32), np.zeros(1, np.bool_))
    occlude(image, labels, np.random.default_rng((5, index)), 1.0)
    return image, box


def shared_sets(folder: Path) -> Iterator[tuple[str, list[Picture]]]:
    """Photos and clips; ground truth from the embedded tracker."""
    tracker = FaceTracker()
    photos: list[Picture] = []
    for path in sorted([*folder.glob("sources/*"), *folder.glob("drivings/*.jpg")]):
        if path.suffix.lower() in (".jpg", ".png", ".jpeg"):
            image = read_picture(path)
            faces = tracker.detect(image)
            if faces:
                photos.append((image, np.stack([face.box for face in faces])))
    yield "photos, paintings, statue", photos
    yield "the same upside-down", [_upside_down(*picture) for picture in photos]
    frames: list[Picture] = []
    for path in sorted([*folder.glob("drivings/*.mp4"), *folder.glob("source_videos/*.mp4")]):
        tracker.reset()
        for number, image in enumerate(_frames(path)):
            face = tracker.track(image)
            if face is not None and number % EVERY == 0:
                frames.append((image, face.box[None]))
    yield "frames of clips", frames
    yield "the same upside-down", [_upside_down(*picture) for picture in frames]


def _upside_down(image: Image, boxes: npt.NDArray[np.float32]) -> Picture:
    corner = np.tile(np.array(image.shape[1::-1], np.float32) - 1, 2)
    return np.ascontiguousarray(image[::-1, ::-1]), corner - boxes[:, [2, 3, 0, 1]]


def _frames(path: Path) -> Iterator[Image]:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            shrink = 1280 / max(image.shape[:2])
            if shrink < 1:
                image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            yield image.astype(np.uint8, copy=False)


def is_near(box: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> bool:
    size, own = float((truth[2:] - truth[:2]).max()), float((box[2:] - box[:2]).max())
    away = np.linalg.norm((box[:2] + box[2:] - truth[:2] - truth[2:]) / 2)
    return bool(away < 0.5 * size and 0.5 * size < own < 2.0 * size)


def measure(find: Finder, pictures: Sequence[Picture]) -> tuple[float, float, float]:
    """Recall, wrong boxes per image, CPU milliseconds per image."""
    find(pictures[0][0])
    hits = faces = wrong = 0
    began = time.process_time()
    found = [find(image) for image, _ in pictures]
    cost = (time.process_time() - began) / len(pictures) * 1000
    for boxes, (_, truth) in zip(found, pictures, strict=True):
        faces += len(truth)
        hits += sum(any(is_near(box, true) for box in boxes) for true in truth)
        wrong += sum(not any(is_near(box, true) for true in truth) for box in boxes)
    return hits / max(faces, 1), wrong / len(pictures), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--prepared", type=Path, help="folder that tools/train_detector.py prepare has written")
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument("--shared", type=Path, help="folder with sources, drivings, source_videos")
    args = parser.parse_args()
    sets: list[tuple[str, list[Picture]]] = []
    if args.prepared:
        manifest = Manifest.read(args.manifest)
        sets += portrait_sets(load_prepared(args.prepared, manifest).split(manifest, "test"))
    if args.shared:
        sets += shared_sets(args.shared)
    rng = np.random.default_rng(11)
    sets.append(
        ("no face: generated", [(generate_background(480, rng), np.zeros((0, 4), np.float32)) for _ in range(60)])
    )
    named = finders(args.detector)
    print("| material | images | " + " | ".join(named) + " |")
    print("| --- |" + " --- |" * (len(named) + 1))
    for name, pictures in sets:
        cells = []
        for find in named.values():
            recall, wrong, cost = measure(find, pictures)
            head = f"{recall:.1%}, " if len(pictures[0][1]) else ""
            cells.append(f"{head}{wrong:.2f} wrong, {cost:.1f} ms")
        print(f"| {name} | {len(pictures)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
