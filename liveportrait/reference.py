"""The neutral reference: the driving frame that relative motion is measured from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from liveportrait.cues import NAME as CUES
from liveportrait.cues import cue_cost
from liveportrait.motion import Motion, euler_from_rotation
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

_ANGLE, _LIP, _EYE, _NARROW_EYE = 8.0, 0.06, 0.25, 0.18
"""Deviations that cost one unit: degrees of head turn, lip ratio, share of the clip's usual eye ratio above and below
it (with narrowed eyes as the reference, normal ones would be stretched wide)."""


_OPEN = 0.32
"""Largest eye ratio taken for rest: eyes that are wider open now and then are widened."""


def _usual_opening(eyes: npt.NDArray[np.float64]) -> float:
    """Eye ratio of a person at rest: the usual one, corrected for clips that mostly look down or squint."""
    known = eyes[np.isfinite(eyes)]
    if not len(known):
        return 0.3
    return max(
        float(np.median(known[known >= 0.5 * np.median(known)])), min(0.8 * float(np.quantile(known, 0.9)), _OPEN), 1e-3
    )


def neutrality(motion: Motion, found: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
    """Distance of every frame from a frontal head with closed lips, a resting mouth and open eyes that look ahead.

    Frames in which the face is partly covered or cut off get a high cost too.

    Args:
        motion: N frames; rotation, ratios (NaN where unknown) and cues (liveportrait.cues, if present) are read.
        found: (N,) bool, frames with a face; None is all.

    Returns:
        (N,) cost, 0 for a perfectly neutral frame, infinite without a face.
    """
    angles = euler_from_rotation(motion.rotation).astype(np.float64)
    usable = np.ones(len(angles), bool) if found is None else np.array(found, bool)
    usable &= np.isfinite(angles).all(axis=1)
    if not usable.any():
        return np.full(len(angles), np.inf)
    # a camera above or beside the screen shifts the habitual pose; a deviation of more than 6 degrees counts as a turn
    usual = np.clip(np.median(angles[usable], axis=0), -6.0, 6.0)
    cost = (((angles - usual) / _ANGLE) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        eyes = np.asarray(motion.eye_ratio, np.float64).reshape(len(angles), -1).mean(axis=1)
        lips = np.asarray(motion.lip_ratio, np.float64).reshape(len(angles), -1).mean(axis=1)
        open_eye = _usual_opening(eyes[usable])
        wider = eyes / open_eye - 1
        cost += np.nan_to_num((wider / np.where(wider < 0, _NARROW_EYE, _EYE)) ** 2)
        cost += np.nan_to_num((np.maximum(lips, 0) / _LIP) ** 2)
    if CUES in motion.extra:
        cost += cue_cost(motion.extra[CUES], usable, np.nan_to_num(lips) < _LIP)
    cost[~usable] = np.inf
    return cost


def neutral_frame(motion: Motion, found: npt.ArrayLike | None = None) -> int:
    """Index of the most neutral frame; arguments as in ``neutrality``.

    A frame is judged together with its neighbours, so that a single misread frame within a movement isn't chosen.

    Raises:
        ValueError: No frame has a face.
    """
    cost = neutrality(motion, found)
    if not np.isfinite(cost).any():
        raise ValueError(msg("the driving clip has no frame with a face to measure motion from."))
    ceiling = 2 * cost[np.isfinite(cost)].max() + 1
    filled = np.pad(np.where(np.isfinite(cost), cost, ceiling), 1, mode="edge")
    joint = cost + 0.5 * np.maximum(filled[:-2], filled[2:])
    return int(np.argmin(joint))


def reference_index(choice: str, motion: Motion, found: npt.ArrayLike | None = None) -> int:
    """Frame that the option ``reference`` refers to.

    Args:
        choice: "auto", "first" or a frame number counted from 0.
        motion: Driving clip; rotation, ratios and cues are read.
        found: (N,) bool, frames with a face; None is all.

    Returns:
        Index. "first" is the first frame with a face.

    Raises:
        ValueError: The choice isn't one of these, or refers to a frame that doesn't exist or has no face.
    """
    usable = np.ones(len(motion), bool) if found is None else np.asarray(found, bool)
    if choice == "auto":
        return neutral_frame(motion, usable)
    if choice == "first":
        if not usable.any():
            raise ValueError(msg("the driving clip has no frame with a face to measure motion from."))
        return int(np.argmax(usable))
    try:
        index = int(choice)
    except ValueError:
        raise ValueError(msg("reference must be auto, first or a frame number, not {choice!r}.", choice)) from None
    if not 0 <= index < len(motion):
        raise ValueError(
            msg(
                "reference frame {index} doesn't exist: the driving clip has frames 0 to {count}.",
                index, len(motion) - 1
            )
        )  # fmt: skip
    if not usable[index]:
        raise ValueError(msg("reference frame {index} has no face; choose another one or auto.", index))
    return index


def lone_reference(engine: Engine, driving: Motion) -> Motion:
    """Reference for a single driving image: the same pose with the engine's neutral expression.

    So in relative mode, only the expression of a single image is transferred; its pose needs absolute mode.
    """
    neutral = engine.neutral_of(driving)
    if neutral is None:
        neutral = replace(driving, delta=np.zeros_like(driving.delta))
    return replace(neutral, rotation=driving.rotation, translation=driving.translation, scale=driving.scale)
