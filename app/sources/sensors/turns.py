"""Convert senders' head rotations to the sliders pitch, yaw and roll."""

from __future__ import annotations

import math

import numpy as np

from liveportrait.motion import euler_from_rotation

Quaternion = tuple[float, float, float, float]
"""x, y, z, w."""


def head_degrees(q: Quaternion) -> tuple[float, float, float]:
    """Pitch, yaw and roll in degrees of a head facing the camera, from its rotation in Unity's axes.

    Unity's axes of an avatar are the negated axes of the image (x to its own right, y up, z forward), which leaves
    rotations unchanged.

    Args:
        q: Unit quaternion.
    """
    x, y, z, w = q
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    pitch, yaw, roll = euler_from_rotation(rotation.T[None])[0]
    return float(pitch), float(yaw), float(roll)


def unit(x: float, y: float, z: float, w: float) -> Quaternion | None:
    """A unit quaternion, or None if the numbers are not valid."""
    length = math.sqrt(x * x + y * y + z * z + w * w) if all(abs(v) < 1e6 for v in (x, y, z, w)) else 0.0
    return (x / length, y / length, z / length, w / length) if length > 1e-6 else None


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation b followed by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def unity_turn(x: float, y: float, z: float) -> Quaternion:
    """Unity's Quaternion.Euler: degrees about z first, then x, then y."""
    half = [math.radians(angle) / 2 for angle in (x, y, z)]
    about = [
        (math.sin(half[0]), 0.0, 0.0, math.cos(half[0])),
        (0.0, math.sin(half[1]), 0.0, math.cos(half[1])),
        (0.0, 0.0, math.sin(half[2]), math.cos(half[2])),
    ]
    return product(about[1], product(about[0], about[2]))
