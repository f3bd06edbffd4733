"""Derive the mesh engine's data (assets/mesh/face.npz) from face tracks.

    python tools/make_mesh_data.py --portraits FOLDER --clips FOLDER [FOLDER ...] [--out assets/mesh/face.npz]

Portraits (one frontal person each) give the mean face; clips give the stability of each point (how little it moves
relative to the head) and the expression bases: the response of every point to a few measured features. The triangles
are the topology of the mesh model and are copied from the existing file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from liveportrait.engines.mesh.geometry import eye_opening, lip_gap, similarity
from models.topology import EYE_LEFT, EYE_RIGHT, EYES, FACE_POINTS, MOUTH_CORNERS
from models.tracker import FaceTracker

# Axis of the neck joint in face widths from the centre of the mean face: behind the nose, at the depth of the ears.
PIVOT = np.array([0.0, -0.13, 0.43])
LONG_SIDE = 720
FEATURES = ("open", "wide", "brow", "smile", "frown")


def clip_frames(path: Path, limit: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) of a clip, scaled down to at most LONG_SIDE pixels."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= limit:
                return
            rgb = frame.to_ndarray(format="rgb24")
            scale = LONG_SIDE / max(rgb.shape[:2])
            yield cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb


def read_portraits(folder: Path) -> np.ndarray:
    """(n, 478, 3) points of every portrait in which a face is found."""
    tracker, found = FaceTracker(), []
    for path in sorted(folder.glob("*.jpg")):
        rgb = cv2.cvtColor(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        tracker.reset()
        if tracker.track(rgb) is not None and (face := tracker.track(rgb)) is not None:
            found.append(face.points)
    return np.array(found, np.float64)


def read_clips(folders: list[Path], limit: int) -> list[np.ndarray]:
    """Per clip the (n, 478, 3) points of its frames with a face."""
    tracks = []
    for path in sorted(p for folder in folders for p in folder.glob("*.mp4")):
        tracker = FaceTracker()
        faces = [face for rgb in clip_frames(path, limit) if (face := tracker.track(rgb)) is not None]
        tracks.append(np.array([face.points for face in faces], np.float64))
    return tracks


def canonical(points: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (478, 3) with the head pose removed, and the removed rotation (3, 3)."""
    scale, rotation, shift = similarity(mean, points[: len(mean)], weights)
    return (points - shift) @ rotation / scale, rotation


def symmetrise(mean: np.ndarray, mirror: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of a face (468, 3) and its mirror image."""
    flipped = (mean * [-1, 1, 1])[mirror]
    scale, rotation, shift = similarity(flipped, mean, weights)
    return (mean + scale * flipped @ rotation.T + shift) / 2


def frontal(mean: np.ndarray) -> np.ndarray:
    """Mean face rotated to x right, y down (forehead to chin), with face width 1 and its centre at the origin."""
    x = mean[454] - mean[234]
    x /= np.linalg.norm(x)
    y = mean[152] - mean[10]
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    mean = (mean - mean.mean(0)) @ np.stack([x, y, np.cross(x, y)]).T
    return mean / np.linalg.norm(mean[454] - mean[234])


def mean_and_stability(
    portraits: np.ndarray, clips: list[np.ndarray], mean: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean face (468, 3) over people and stability weights (468,) over time, both symmetric."""
    weights = np.ones(FACE_POINTS)
    for _ in range(6):
        people = np.array([canonical(p, mean, weights)[0][:FACE_POINTS] for p in portraits])
        spread = []
        for track in clips:
            still = np.array([canonical(p, mean, weights)[0][:FACE_POINTS] for p in track[::3]])
            spread.append(still.var(0).sum(1))
        variance = np.mean(spread, 0)
        weights = 1 / (variance + np.quantile(variance, 0.1))
        weights = (weights + weights[mirror]) / 2
        mean = frontal(symmetrise(people.mean(0), mirror, weights))
    # The average person looks straight into the camera, so remove the average tilt.
    tilt = np.mean([canonical(p, mean, weights)[1] for p in portraits], 0)
    u, _, vt = np.linalg.svd(tilt)
    angle = np.arctan2((u @ vt)[2, 1], (u @ vt)[2, 2])
    c, s = np.cos(angle), np.sin(angle)
    return mean @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T, weights


def features(shape: np.ndarray) -> np.ndarray:
    """Measured expression features of a canonical shape (478, 3), in face widths: see FEATURES."""
    corners = np.array(MOUTH_CORNERS)
    eye_line = shape[[EYE_LEFT.outer, EYE_LEFT.inner, EYE_RIGHT.outer, EYE_RIGHT.inner], 1].mean()
    return np.array([
        lip_gap(shape),
        np.linalg.norm(shape[corners[0], :2] - shape[corners[1], :2]),
        eye_line - shape[[105, 334, 66, 296], 1].mean(),
        shape[[0, 17], 1].mean() - shape[corners, 1].mean(),
        shape[[107, 336], 0] @ [-1, 1],
    ])  # fmt: skip


def expression_bases(clips: list[np.ndarray], mean: np.ndarray, weights: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(5, 468, 3) response of every point to one unit (face width) of each feature; ridge regression, symmetric."""
    xs, ys = [], []
    for track in clips:
        shapes = np.array([canonical(p, mean, weights)[0] for p in track[::3]])
        rest = np.median(shapes, 0)
        xs.extend(features(s) - features(rest) for s in shapes)
        ys.extend((s - rest)[:FACE_POINTS].ravel() for s in shapes)
    x, y = np.array(xs), np.array(ys)
    bases = np.linalg.solve(x.T @ x + np.diag(x.std(0) ** 2) * len(x) * 0.02, x.T @ y).reshape(-1, FACE_POINTS, 3)
    residual = y - x @ bases.reshape(len(FEATURES), -1)
    print(f"spread of the features {x.std(0).round(4)}, explained {1 - (residual**2).sum() / (y**2).sum():.2f}")
    return (bases + bases[:, mirror] * [-1, 1, 1]) / 2


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=600, help="frames per clip")
    parser.add_argument("--out", type=Path, default=Path("assets/mesh/face.npz"))
    args = parser.parse_args()
    old = np.load(args.out)
    portraits, clips = read_portraits(args.portraits), read_clips(args.clips, args.limit)
    mean, weights = mean_and_stability(portraits, clips, old["mean"].astype(np.float64), old["mirror"])
    bases = expression_bases(clips, mean, weights, old["mirror"])
    iris = np.mean([canonical(p, mean, weights)[0][FACE_POINTS:] for p in portraits], 0)
    openings = [np.mean([eye_opening(p, eye) for eye in EYES]) for p in portraits]
    print(f"{len(portraits)} portraits, {sum(map(len, clips))} frames, eye opening {np.median(openings):.3f}")
    np.savez_compressed(
        args.out,
        mean=(np.concatenate([mean, iris]) - PIVOT).astype(np.float32),
        stability=(weights / weights.max()).astype(np.float32),
        mirror=old["mirror"].astype(np.int32),
        triangles=old["triangles"].astype(np.int32),
        bases=bases.astype(np.float32),
    )


if __name__ == "__main__":
    main()
