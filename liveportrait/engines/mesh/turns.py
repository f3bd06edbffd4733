"""How far a photographed head may turn before it shows what the photo never saw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array, euler_from_rotation, rotation_from_euler

FRONTAL = 30.0  # degrees of yaw that a face seen from the front may turn to either side
LOST = 0.55  # a face turned by one degree may turn back by so much less: the far half was seen the less
LEAST = 5.0  # degrees that are always left
KNEE = 0.6  # share of the limit up to which turns are followed as they are

SIDE_VIEW = 22.0
"""Degrees of yaw from which on a photo counts as taken from the side."""


def limit_turn(rotation: Array, source: Array) -> Array:
    """Rotations whose yaw is bent softly to what the source has to show.

    Args:
        rotation: (N, 3, 3) wanted, stored form (liveportrait.motion).
        source: (1 or N, 3, 3) of the source.

    Returns:
        (N, 3, 3); frames within the knee are returned as they are.
    """
    own = euler_from_rotation(source)[:, 1].astype(np.float64)
    angles = euler_from_rotation(rotation).astype(np.float64)
    turn = angles[:, 1] - own
    side = np.where(turn < 0, -1.0, 1.0)
    most = np.maximum(FRONTAL + LOST * own * side, LEAST)
    over = np.abs(turn) - KNEE * most
    beyond: npt.NDArray[np.bool_] = over > 0
    if not beyond.any():
        return rotation
    soft = (1 - KNEE) * most
    bent = own + side * (KNEE * most + soft * np.tanh(np.maximum(over, 0) / soft))
    out = np.array(rotation, np.float32)
    out[beyond] = rotation_from_euler(angles[beyond, 0], bent[beyond], angles[beyond, 2])
    return out
