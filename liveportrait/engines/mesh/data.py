"""Constants of the mesh engine: mean face, stability weights, bases, triangles (assets/mesh/face.npz).

Canonical units: face width (points 234 to 454 of the mean face) = 1; x right, y down, z away from the camera; the
origin is the pivot of the head, behind the nose at the depth of the ears.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from models.topology import EYES, FACE_POINTS, LIPS

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int32]
BASES = ("open", "wide", "brow", "smile", "frown")


@dataclass(frozen=True)
class FaceModel:
    """Statistics of the human face.

    Attributes:
        mean: (478, 3) mean face, canonical units.
        stability: (478,) weight of each point in pose fits, 0 for the irises.
        mirror: (468,) index of each point's mirror image.
        triangles: (852, 3) face triangles; eyes and mouth are holes.
        bases: name -> (478, 3) movement of all points per face width of that feature.
        mouth_weight: (478,) 1 on the lips, falling off around them.
        eye_weight: (2, 478) 1 on the lids of each eye, falling off around them.
    """

    mean: Float
    stability: Float
    mirror: Int
    triangles: Int
    bases: dict[str, Float]
    mouth_weight: Float
    eye_weight: Float


def nearness(mean: Float, indices: list[int], reach: float) -> Float:
    """(N,) 1 at the points with these indices, falling off around them: exp(-(distance / reach)^2), in face widths."""
    distance = np.linalg.norm(mean[:, None, :2] - mean[None, indices, :2], axis=2).min(1)
    return np.exp(-((distance / reach) ** 2)).astype(np.float32)


@lru_cache(maxsize=1)
def face_model() -> FaceModel:
    """The shipped face model."""
    with (files("assets") / "mesh" / "face.npz").open("rb") as stream, np.load(stream) as data:
        mean, bases = data["mean"], data["bases"]
        stability = np.zeros(len(mean), np.float32)
        stability[:FACE_POINTS] = data["stability"]
        full = np.zeros((len(bases), *mean.shape), np.float32)
        full[:, :FACE_POINTS] = bases
        return FaceModel(
            mean=mean,
            stability=stability,
            mirror=data["mirror"],
            triangles=data["triangles"],
            bases=dict(zip(BASES, full, strict=True)),
            mouth_weight=nearness(mean, list(LIPS), 0.12),
            eye_weight=np.stack([nearness(mean, list(eye.ring), 0.06) for eye in EYES]),
        )
