"""Learn how a smile shades a face (assets/mesh/smile.npz): the nasolabial fold, the cheek above it, the lower lids.

    python tools/make_smile.py --portraits FOLDER [--out assets/mesh/smile.npz]

Portraits are warped to the mean face; the log brightness at every position is fitted to how much each person smiles.
Faces seen from the side are left out, each one is also used mirrored, and the result contains no image.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.media.images import read_image
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.fit import smile_amount
from liveportrait.engines.mesh.layout import Pose, mesh_triangles
from liveportrait.engines.mesh.raster import rasterise
from liveportrait.engines.mesh.smile import MAP_SIZE, STEPS, map_places
from liveportrait.ramps import smoothstep
from models.face import Face
from models.topology import EYES, LIPS, POINTS
from models.tracker import FaceTracker

Float = npt.NDArray[np.float32]

TURNED = 0.3  # sine of the yaw above which a portrait is left out
NOSE = (168, 193, 417, 198, 420, 129, 358, 98, 327, 97, 326, 2)  # bridge, sides, wings and base
BRIGHTEST = 16  # steps of the map; brighter values are mouth corners that moved
BROAD = 14.0  # map pixels; broader shading counts as lighting, not as a fold
SEEN = 0.9  # share of the portraits in which a position must be visible


def brightness(image: npt.NDArray[np.uint8], face: Face) -> Float:
    """(MAP_SIZE, MAP_SIZE) log brightness of a portrait on the mean face, NaN outside it."""
    points = face.points.astype(np.float32).copy()
    for eye in EYES:
        points[eye.iris : eye.iris + 5] = points[list(eye.ring)].mean(0)
    places = np.zeros((POINTS, 3), np.float32)
    places[:, :2] = points[:, :2]
    canvas = np.full((MAP_SIZE, MAP_SIZE, 3), -1, np.float32)
    field = rasterise(mesh_triangles(), map_places(), places, canvas)
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
    seen = cv2.remap(grey, field[..., 0].copy(), field[..., 1].copy(), cv2.INTER_LINEAR).astype(np.float32)
    return np.where(field[..., 0] >= 0, np.log(seen + 12), np.nan)


def kept() -> Float:
    """Weight of each position of the map: skin below the eyes; without eyes, nostrils and lips, which move instead."""
    places = map_places()
    width = MAP_SIZE / 1.2
    mask = np.ones((MAP_SIZE, MAP_SIZE), np.float32)
    for points in (*(eye.ring for eye in EYES), LIPS, NOSE):
        hull = cv2.convexHull(places[list(points), :2].astype(np.float32))
        cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 0.0)
    mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3))), (0, 0), 0.012 * width)
    rows = np.arange(MAP_SIZE, dtype=np.float32)
    top = float(places[[EYES[0].upper[4], EYES[1].upper[4]], 1].mean())
    return np.asarray(mask * smoothstep(top, top + 0.07 * width, rows)[:, None], np.float32)


def learn(folder: Path) -> npt.NDArray[np.int8]:
    """Change of log brightness for a full smile, in 1 / STEPS."""
    tracker, rows, amounts = FaceTracker(), [], []
    mean = face_model().mean.astype(np.float64)
    for path in sorted(folder.glob("*.jpg")):
        image = read_image(path).rgb
        faces = tracker.detect(image)
        if not faces:
            continue
        pose = Pose.fit(mean, faces[0].points.astype(np.float64))
        if abs(pose.rotation[2, 0]) > TURNED:
            continue
        row = brightness(image, faces[0])
        amount = smile_amount(pose.invert(faces[0].points.astype(np.float64)))
        rows += [row, row[:, ::-1]]
        amounts += [amount, amount]
    print(f"{len(rows) // 2} portraits of {folder}")
    values = np.array(rows)
    known = np.isfinite(values).mean(0) > SEEN
    values = np.nan_to_num(values - np.nanmean(values[:, known], axis=1)[:, None, None])
    smile = np.array(amounts) - np.mean(amounts)
    slope = (smile @ values.reshape(len(values), -1) / (smile @ smile)).reshape(MAP_SIZE, MAP_SIZE)
    slope[~known] = 0
    fine = (slope - cv2.GaussianBlur(slope, (0, 0), BROAD)) * kept() * cv2.GaussianBlur(known * 1.0, (0, 0), 4.0)
    return np.clip(np.round(fine * STEPS), -127, BRIGHTEST).astype(np.int8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("assets/mesh/smile.npz"))
    args = parser.parse_args()
    np.savez_compressed(args.out, shading=learn(args.portraits))


if __name__ == "__main__":
    main()
