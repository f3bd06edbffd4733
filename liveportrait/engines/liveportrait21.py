"""Shared by all engines with LivePortrait's 21 learned keypoints: regions, the neutral mouth, the scale of ratios.

The neutral mouth is data of the official LivePortrait release (MIT licence, Copyright (c) 2024 Kuaishou Visual
Generation and Interaction Center).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array

FAMILY: Final = "liveportrait21"
KEYPOINTS: Final = 21
LIP_POINTS: Final = (6, 12, 14, 17, 19, 20)
EYE_POINTS: Final = (11, 13, 15, 16, 18)
EYE_PAIRS: Final = ((11, 13), (15, 16))
"""Eye points of one side each; the canonical keypoints determine the side of the image."""
LID_VALUES: Final = ((11, 1), (13, 1), (15, 1), (16, 1))
"""Vertical values that shut the eyes, without the sideways gaze."""
LIP_OPENING_VALUES: Final = ((14, 1), (17, 1), (19, 1), (19, 2), (20, 1), (20, 2))
"""Values in which open lips differ from the neutral mouth, without corners and pout."""
FULL_POINTS: Final = (1, 2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
PARTIAL_AXES: Final = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))
EYE_GAIN: Final = 1.15
EYE_FLOOR: Final = 0.03

_NEUTRAL_MOUTH: Final = (
    (-9.4524e-5, 2.4222e-4, -4.00974e-5),
    (2.08596e-4, 4.68054e-4, 1.27464e-5),
    (-1.24602e-4, 3.24972e-4, 4.425e-6),
    (1.19652e-4, -4.56624e-4, 5.40852e-5),
    (-2.65254e-4, -7.4598e-5, -1.5528e-5),
    (-3.34884e-5, -1.83036e-4, -3.49404e-6),
    (-4.75428e-7, -4.52466e-7, 1.59498e-6),
    (-5.41296e-4, 2.6328e-3, 7.2486e-6),
    (-1.1694e-5, 5.00502e-6, 9.9888e-6),
    (8.0286e-7, 5.19132e-6, -4.09344e-4),
    (1.66878e-4, -1.9815e-5, -8.8548e-5),
    (-1.51536e-5, 8.2506e-5, 5.94012e-6),
    (-2.61054e-7, 2.7591e-6, 2.21028e-6),
    (-6.6282e-5, -6.8286e-5, -3.45318e-6),
    (-8.3262e-4, -1.79592e-3, -2.59176e-6),
    (6.9714e-6, 3.65514e-5, -1.8978e-6),
    (-4.80876e-6, 7.1148e-6, -1.03236e-5),
    (-6.3684e-4, -1.1661e-3, 5.62314e-5),
    (2.8329e-4, -1.45656e-5, 1.09746e-5),
    (-4.16022e-6, -1.50906e-2, -2.5494e-3),
    (2.22474e-4, 5.62788e-3, 2.72646e-3),
)  # fmt: skip


def region_masks() -> dict[str, npt.NDArray[np.bool_]]:
    """Delta values of each region, (21, 3) each.

    "official" are the values that source videos and absolute motion may change; it leaves out those that carry pose
    (spec motion.md section 3, EXP_FULL). "lids" and "lip_opening" are those that retargeting replaces: the values that
    the official editor's wink and lip sliders and its neutral mouth move most.
    """

    def mask(points: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        values = np.zeros((KEYPOINTS, 3), bool)
        values[list(points)] = True
        return values

    def values(pairs: tuple[tuple[int, int], ...]) -> npt.NDArray[np.bool_]:
        chosen = np.zeros((KEYPOINTS, 3), bool)
        for point, axis in pairs:
            chosen[point, axis] = True
        return chosen

    official = mask(FULL_POINTS)
    for point, axis in PARTIAL_AXES:
        official[point, axis] = True
    everything = np.ones((KEYPOINTS, 3), bool)
    return {
        "all": everything,
        "exp": everything.copy(),
        "lip": mask(LIP_POINTS),
        "eyes": mask(EYE_POINTS),
        "official": official,
        "lids": values(LID_VALUES),
        "lip_opening": values(LIP_OPENING_VALUES),
    }


def neutral_delta() -> Array:
    """(1, 21, 3) expression of a face at rest with closed lips, the reference for a single driving image."""
    return np.array(_NEUTRAL_MOUTH, np.float32).reshape(1, KEYPOINTS, 3)


def network_eye_ratios(ratios: npt.ArrayLike) -> Array:
    """Convert eye ratios of the face mesh to the scale of the retargeting networks.

    They were trained on ratios of 203 landmarks, whose shut eyes are about 0.03 lower.

    Args:
        ratios: (..., 2) lid gap over eye width.

    Returns:
        1.15 * max(0, ratio - 0.03), same shape.
    """
    return (EYE_GAIN * np.maximum(0.0, np.asarray(ratios, np.float32) - EYE_FLOOR)).astype(np.float32)
