"""Cues of a driving frame, besides its motion, for whether it may serve as the neutral reference."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.fit import mouth_width
from liveportrait.engines.mesh.layout import Pose
from liveportrait.motion import Array
from models.face import Face
from models.topology import FACE_POINTS

NAME: Final = "cues"
"""Name of the cues among the further arrays of a motion."""
GAZE_X, GAZE_Y, MOUTH_WIDTH, INSIDE, RIGID = 0, 1, 2, 3, slice(4, None)
"""Columns: gaze (mean of both eyes, half eye widths), mouth width (face widths), share of the face's points inside the
image, and the positions of points that no expression moves (face widths)."""
_RIGID: Final = (6, 195, 4, 2, 164, 33, 133, 362, 263, 234, 454, 127, 356, 172, 397, 10)
_MARGIN: Final = 2.0  # distance in pixels from the border within which points count as cut off


def frame_cues(face: Face, size: tuple[int, int], delta: Array | None = None) -> Array:
    """Cues of one frame (1, 36), float32.

    Args:
        face: Landmarks in pixels of the frame.
        size: (width, height) of the frame.
        delta: (478, 3) difference from the mean face, if already known (motion of the mesh engine).
    """
    points = face.points.astype(np.float64)
    mean = face_model().mean.astype(np.float64)
    shape = Pose.fit(mean, points).invert(points) if delta is None else mean + delta
    flat = points[:FACE_POINTS, :2]
    inside = ((flat >= _MARGIN) & (flat <= np.array(size) - 1 - _MARGIN)).all(axis=1).mean()
    gaze = face.gaze.mean(axis=0)
    row = [gaze[0], gaze[1], mouth_width(shape), inside, *shape[list(_RIGID), :2].ravel()]
    return np.asarray([row], np.float32)


def cue_cost(
    cues: npt.ArrayLike, usable: npt.NDArray[np.bool_], closed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How far every frame is from a resting, unobstructed face that looks into the camera.

    Args:
        cues: (N, 36), see frame_cues; NaN rows cost nothing.
        usable: (N,) frames with a face.
        closed: (N,) frames whose lips are about closed: they define the resting width of the mouth.

    Returns:
        (N,) cost in the units of ``liveportrait.reference.neutrality``.
    """
    c = np.asarray(cues, np.float64)
    known = usable & np.isfinite(c).all(axis=1)
    cost = np.zeros(len(c))
    if not known.any():
        return cost
    # a camera above or beside the screen shifts the habitual gaze; larger deviations count as looking away
    usual = np.clip(np.median(c[known][:, :2], axis=0), -_HABIT, _HABIT)
    cost += (((c[:, :2] - usual) / _GAZE) ** 2).sum(axis=1)
    resting = known & closed
    width = float(np.median(c[resting if resting.sum() >= _ENOUGH else known, MOUTH_WIDTH]))
    cost += ((c[:, MOUTH_WIDTH] / max(width, 1e-3) - 1) / _WIDTH) ** 2
    cost += (np.maximum(1 - c[:, INSIDE] - _CUT, 0) / _CUT) ** 2
    # landmarks under a hand or a microphone are guesses: points that no expression moves are not at their usual
    # positions
    bent = np.sqrt(((c[:, RIGID] - np.median(c[known][:, RIGID], axis=0)) ** 2).mean(axis=1))
    cost += (np.maximum(bent - np.median(bent[known]), 0) / _BENT) ** 2
    return np.asarray(np.where(known, cost, 0.0), np.float64)


_HABIT, _GAZE, _WIDTH, _CUT, _BENT = 0.1, 0.15, 0.12, 0.02, 0.006
"""Largest habitual gaze, and deviations that cost one unit: gaze, share of the mouth's width, of the points, bend."""
_ENOUGH: Final = 5  # frames
