#!/usr/bin/env python3
"""Train the mesh engine's glasses detector, and measure its accuracy.

    tools/train_glasses.py --folder PORTRAITS                       # scores only
    tools/train_glasses.py --folder PORTRAITS --output assets/mesh/glasses.npz

PORTRAITS holds one .jpg per person; tools/glasses/portraits.txt lists those who wear glasses (checked by eye). Names
that end in 7 or 8 are held out for the score. The same folder gives the same file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.glasses import edge_histograms, eye_strip
from liveportrait.engines.mesh.layout import Pose
from models.tracker import FaceTracker

LABELS = Path(__file__).resolve().parent / "glasses" / "portraits.txt"
SHIFTS = ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))  # pixels of a strip
DECAY, RATE, MOMENTUM, STEPS = 1e-3, 1.0, 0.9, 400


def variants(strip: np.ndarray) -> np.ndarray:
    """(10, 1760) features of a strip, shifted and mirrored; the first is the strip itself."""
    rows = []
    for dx, dy in SHIFTS:
        moved = np.roll(strip, (dy, dx), (0, 1))
        rows += [edge_histograms(moved), edge_histograms(np.ascontiguousarray(moved[:, ::-1]))]
    return np.stack(rows)


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of a logistic regression with weight decay, by gradient descent from zero."""
    centre = x.mean(0)
    x = x - centre
    weights, offset = np.zeros(x.shape[1]), float(np.log(y.mean() / (1 - y.mean())))
    speed, drift = np.zeros_like(weights), 0.0
    for _ in range(STEPS):
        miss = 1 / (1 + np.exp(-(x @ weights + offset))) - y
        speed = MOMENTUM * speed - RATE * (x.T @ miss / len(y) + DECAY * weights)
        drift = MOMENTUM * drift - RATE * float(miss.mean())
        weights, offset = weights + speed, offset + drift
    return weights, offset - float(centre @ weights)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="portraits, NAME.jpg")
    parser.add_argument("--output", type=Path, help="file to write (.npz)")
    arguments = parser.parse_args()
    worn = set(LABELS.read_text().split())
    tracker, mean = FaceTracker(), face_model().mean.astype(np.float64)
    features, labels, kept = [], [], []
    for path in sorted(arguments.folder.glob("*.jpg")):
        image = iio.imread(path)
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image[..., :3]
        faces = tracker.detect(image)
        if faces:
            features.append(variants(eye_strip(image, Pose.fit(mean, faces[0].points.astype(np.float64)))))
            labels.append(path.stem in worn)
            kept.append(path.stem[-1] in "78")
    x, y, test = np.stack(features).astype(np.float64), np.array(labels, float), np.array(kept)
    weights, offset = fit(x[~test].reshape(-1, x.shape[2]), np.repeat(y[~test], x.shape[1]))
    weights = weights.astype(np.float16).astype(np.float64)
    score = x[:, :2].mean(1) @ weights + offset
    for name, part in (("trained on", ~test), ("kept back", test)):
        hit, real = score[part] > 0, y[part] > 0
        print(f"{name}: {part.sum()} portraits, {int(real.sum())} with glasses; "
              f"found {int((hit & real).sum())}, of the others wrongly {int((hit & ~real).sum())}")  # fmt: skip
    if arguments.output is not None:
        np.savez(arguments.output, weights=weights.astype(np.float16), offset=np.float32(offset))
    return 0


if __name__ == "__main__":
    sys.exit(main())
