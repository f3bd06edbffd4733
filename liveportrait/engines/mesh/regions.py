"""Regions of the mesh: soft weights, so that a region ends without an edge in the face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model, nearness
from models.topology import BROW_LEFT, BROW_RIGHT, EYES, JAW, LIPS, POINTS

Float = npt.NDArray[np.float32]


def _soft(indices: list[int], reach: float) -> Float:
    return nearness(face_model().mean, indices, reach)


def region_weights() -> dict[str, Float]:
    """Region name -> (478, 3) weights 0..1 (Engine.regions)."""
    irises = [eye.iris + i for eye in EYES for i in range(5)]
    eyes = _soft([i for eye in EYES for i in eye.ring], 0.07)
    eyes[irises] = 1
    lips = _soft(list(LIPS), 0.09)
    chin = [i for i in JAW if abs(face_model().mean[i, 0]) < 0.25]
    lips = np.maximum(lips, _soft(chin, 0.12))
    lips[irises] = 0
    brows = _soft([*BROW_LEFT, *BROW_RIGHT], 0.08)
    brows[irises] = 0
    everything = np.ones(POINTS, np.float32)
    spread = {"all": everything, "exp": everything, "official": everything, "eyes": eyes, "lip": lips, "brow": brows}
    weights = {name: np.repeat(weight[:, None], 3, 1) for name, weight in spread.items()}
    lids = np.zeros(POINTS, np.float32)
    lids[[i for eye in EYES for i in (*eye.ring, *eye.upper_rings[:7])]] = 1
    opening = _soft([13, 14], 0.11)  # lips and chin up and down; the corners keep their smile
    opening[irises] = 0
    weights["lids"] = np.repeat(lids[:, None], 3, 1)
    weights["lip_opening"] = np.outer(np.maximum(opening, _soft(chin, 0.12)), [0, 1, 0]).astype(np.float32)
    return weights
