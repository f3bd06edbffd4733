"""Rules and thresholds shared by transfer and the official loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liveportrait.engines.base import Engine
from liveportrait.motion import Motion
from liveportrait.options import AnimationOptions
from models.covered import Half

LIP_OPEN = 0.03
"""Lip ratio of a source from which its lips are closed first (official threshold)."""
EYE_DROWSY, EYE_AWAKE = 0.18, 0.39
"""A source clip whose initial eye ratio is below the first is steadied at the second (official values)."""


@dataclass(frozen=True)
class TransferRules:
    """Which rules apply.

    Attributes:
        official: Reproduce the official release exactly, including its quirks.
        driving_image: The driver is a single image (official rules only; ours need no special case).
        expression_friendly: Official driving option; False is "pose-friendly".
        animal: Official animals mode: absolute motion from the first frame, scaled by hull volumes.
        neutral_lips: (1, K, 3) neutral expression that the official rules subtract from a driving image.
    """

    official: bool = False
    driving_image: bool = False
    expression_friendly: bool = True
    animal: bool = False
    neutral_lips: npt.NDArray[np.floating[Any]] | None = None


def rests_at_reference(engine: Engine, options: AnimationOptions) -> bool:
    """Whether the source is at rest when the driver is in its reference frame, rather than in the source's own pose."""
    return options.relative or engine.animals or options.driving_option == "expression-friendly"


def region_mask(engine: Engine, region: str, restricted: bool) -> npt.NDArray[np.float32]:
    """(K, 3) share 0..1 of every expression value that a region moves.

    Args:
        engine: Engine that defines the regions.
        region: all, exp, pose, lip or eyes, or several joined by commas.
        restricted: Absolute motion or source video, where values that carry pose stay with the source.
    """
    if region in ("all", "exp"):
        full = engine.regions["exp"]
        return np.asarray(engine.regions.get("official", full) if restricted else full, np.float32)
    mask = np.zeros((engine.keypoints, 3), np.float32)
    for part in region.split(","):
        if part != "pose":
            mask = np.maximum(mask, np.asarray(engine.regions[part], np.float32))
    return mask


def seen_mask(engine: Engine, covered: Half) -> npt.NDArray[np.float32]:
    """(K, 3) share 0..1 of every expression value that moves if something covers one half of the face.

    Args:
        engine: Engine that defines the regions.
        covered: "lower" leaves eyes and brows, if the engine has a region for brows, "upper" the mouth; "" all.
    """
    if covered == "upper":
        return np.asarray(engine.regions["lip"], np.float32)
    if covered == "lower":
        kept = 1 - np.asarray(engine.regions["lip"], np.float32)
        if "brow" in engine.regions:
            kept = np.minimum(kept, np.maximum(engine.regions["eyes"], engine.regions["brow"]))
        return np.asarray(kept, np.float32)
    return np.ones((engine.keypoints, 3), np.float32)


def moves(region: str, part: str) -> bool:
    """Whether a value of the option "region", such as "pose,lip", includes a part: pose, lip or eyes."""
    named = region.split(",")
    return part in named or "all" in named or (part != "pose" and "exp" in named)


def steady_eye_target(first: Motion) -> float | None:
    """Eye ratio at which a source clip is held, from its first frame; None if unknown."""
    ratio = float(first.eye_ratio[0].mean())
    if np.isnan(ratio):
        return None
    return EYE_AWAKE if ratio < EYE_DROWSY else ratio


def check_family(engine: Engine, motion: Motion) -> None:
    """Raise ValueError with a clear text if motion was read by an engine with other keypoints."""
    if motion.keypoints != engine.keypoints or (motion.engine and motion.engine != engine.family):
        raise ValueError(
            f"this motion has {motion.keypoints} keypoints of the family {motion.engine or 'unknown'!r}, but the "
            f"{engine.name} engine works with {engine.keypoints} of {engine.family!r}; make the template again from "
            "its driving clip with this engine, or choose the engine that made it."
        )
