"""How far a photographed head may turn before it would show parts that are not in the photo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array, euler_from_rotation, rotation_from_euler

Degrees = npt.NDArray[np.float64]

FRONTAL = 30.0  # degrees of yaw that a face seen from the front may turn to either side
LOST = 0.55  # reduction of the turn back per degree that the face is turned: less of the far half is visible
LEAST = 5.0  # degrees that are always allowed
NOD = 28.0  # degrees of pitch that a head may nod either way
KNEE = 0.6  # share of the limit up to which turns are unchanged

SIDE_VIEW = 22.0
"""Degrees of yaw from which a photo counts as taken from the side."""


def limit_turn(rotation: Array, source: Array) -> Array:
    """Limit yaw and pitch of rotations softly to what the source can show.

    Args:
        rotation: (N, 3, 3) wanted, stored form (liveportrait.motion).
        source: (1 or N, 3, 3) of the source.

    Returns:
        (N, 3, 3); frames within the knee are returned as they are.
    """
    own = euler_from_rotation(source).astype(np.float64)
    angles = euler_from_rotation(rotation).astype(np.float64)
    turn = angles - own
    side = np.where(turn[:, 1] < 0, -1.0, 1.0)
    pitch, nods = _bent(turn[:, 0], np.full(len(angles), NOD))
    yaw, turns = _bent(turn[:, 1], np.maximum(FRONTAL + LOST * own[:, 1] * side, LEAST))
    beyond = nods | turns
    if not beyond.any():
        return rotation
    bent = own + np.stack([pitch, yaw, turn[:, 2]], axis=1)
    out = np.array(rotation, np.float32)
    out[beyond] = rotation_from_euler(*bent[beyond].T)
    return out


def _bent(turn: Degrees, most: Degrees) -> tuple[Degrees, npt.NDArray[np.bool_]]:
    """Turns (N,) that approach their limits (N,) softly, and which of them (N,) were changed."""
    over = np.abs(turn) - KNEE * most
    soft = (1 - KNEE) * most
    near = np.sign(turn) * (KNEE * most + soft * np.tanh(np.maximum(over, 0) / soft))
    return np.where(over > 0, near, turn), over > 0
