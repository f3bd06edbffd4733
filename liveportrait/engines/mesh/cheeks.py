"""Cheeks and chin in a smile: cheeks rise and bulge outwards, which landmarks hardly show; the chin stays higher.

Between a neutral frame that is warped by its landmarks to a smile of the same person, and the real frame of that smile,
optical flow finds skin moved beside the nose and above the corners of the mouth. On three clips a Gaussian bump per
cheek explains nine tenths of that motion; its centre, radii and size are the constants here. Landmarks also lower the
chin further than it goes, which face trackers then take for a nod.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.ramps import smoothstep
from models.topology import FACE_POINTS, MOUTH_CORNERS

Float = npt.NDArray[np.float64]

CENTRE, RADII = (0.29, 0.225), (0.144, 0.128)  # of a cheek's bump, face widths from the middle of the mean face
CHIN = 0.012  # height by which the chin stays above its landmarks in a full smile, face widths
CHIN_FROM, CHIN_TO, CHIN_WIDTH = 0.42, 0.62, 0.4  # heights over which this begins, and its half width, face widths
OUTWARD, UPWARD = 0.014, 0.027  # motion in the middle of the bump in a full smile, face widths
ONE_SIDED = 0.5  # share of the difference between both halves that cheeks follow
UNDONE = 0.6  # share of the photo's own smile by which its cheeks sink when the smile goes
MOST = 1.6  # full smiles beyond which cheeks move no further
FULL_SMILE = {"wide": 0.067, "smile": 0.038}  # a full smile relative to a mouth at rest, face widths of these features


def corner_smiles(shape: Float, source: Float) -> list[float]:
    """Smile of the left and right half of a canonical shape (478, 3) relative to another one, in full smiles.

    It is read from the corners of the mouth: how far they moved outwards and upwards.
    """
    moves = [shape[corner] - source[corner] for corner in MOUTH_CORNERS]
    return [
        float(0.5 * (2 * outward * move[0] / FULL_SMILE["wide"] - move[1] / FULL_SMILE["smile"]))
        for move, outward in zip(moves, (-1, 1), strict=True)
    ]


def raise_cheeks(shape: Float, source: Float, own: float) -> None:
    """Move cheeks and chin of a canonical shape (478, 3), in place, by as much as it smiles more than its source.

    Args:
        shape: The shape.
        source: (478, 3) canonical shape of the photo; a shape equal to it does not change.
        own: Smile of the photo itself, in full smiles: cheeks can sink only by that.
    """
    sides = corner_smiles(shape, source)
    mean = sum(sides) / len(sides)
    for side, field in zip(sides, _bumps(), strict=True):
        amount = mean + ONE_SIDED * (side - mean)
        shape += float(np.clip(amount, -UNDONE * np.clip(own, 0, 1), MOST)) * field


@lru_cache(maxsize=1)
def _bumps() -> tuple[Float, Float]:
    """(478, 3) motion of all points by the left and the right half of a full smile; lids and irises stay."""
    mean = face_model().mean.astype(np.float64)
    free = 1 - face_model().eye_weight.max(0).astype(np.float64)
    free[FACE_POINTS:] = 0
    chin = smoothstep(CHIN_FROM, CHIN_TO, mean[:, 1]) * np.exp(-((mean[:, 0] / CHIN_WIDTH) ** 4))
    out = []
    for side in (-1, 1):
        across = (mean[:, 0] - side * CENTRE[0]) / RADII[0]
        down = (mean[:, 1] - CENTRE[1]) / RADII[1]
        bump = (free * np.exp(-(across**2) - down**2))[:, None] * [side * OUTWARD, -UPWARD, 0.0]
        out.append(bump + (free * chin)[:, None] * [0.0, -CHIN / 2, 0.0])
    return out[0], out[1]
