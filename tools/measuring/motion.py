"""How well a result's motion matches the driver's; all figures are relative to the first frame with both heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liveportrait.motion import euler_from_rotation
from measuring.eyes import slope
from measuring.heads import Float, Head

COLUMNS = {
    "corr_lip": 2, "gain_lip": 2, "corr_eyes": 2, "gain_eyes": 2, "corr_head": 2, "gain_head": 2, "rot_err_p95": 1,
}  # fmt: skip
FLOORS = {"lip": 0.015, "eyes": 0.02, "head": 1.0}
"""Minimum standard deviation of the driver's lip and eye ratios, and head angles in degrees, to count as motion."""


def compare(driver: Sequence[Head | None], result: Sequence[Head | None]) -> dict[str, float | None]:
    """Correlations over time, slopes relative to the driver, and the error of the head's rotation in degrees.

    Args:
        driver: Heads in N frames, None if none is found.
        result: The same for the result.
    """
    both = [(a, b) for a, b in zip(driver, result, strict=True) if a is not None and b is not None]
    if len(both) < 5:
        return dict.fromkeys(COLUMNS)
    first = both[0]
    turns = [np.array([pair[k].pose.rotation @ first[k].pose.rotation.T for pair in both]) for k in (0, 1)]
    angles = [np.asarray(euler_from_rotation(turn.astype(np.float32)), np.float64) for turn in turns]
    lips = [np.array([pair[k].face.lip_ratio for pair in both]) for k in (0, 1)]
    eyes = [np.array([pair[k].face.eye_ratios for pair in both], np.float64) for k in (0, 1)]
    signals = {
        "lip": [(lips[0], lips[1])],
        "eyes": [(eyes[0][:, i], eyes[1][:, i]) for i in (0, 1)],
        "head": [(angles[0][:, i], angles[1][:, i]) for i in range(3)],
    }
    out: dict[str, float | None] = {}
    for name, tracks in signals.items():
        moving = [(a, b) for a, b in tracks if a.std() >= FLOORS[name]]
        out[f"corr_{name}"] = _mean([correlation(a, b) for a, b in moving])
        out[f"gain_{name}"] = _mean([slope(a, b, FLOORS[name]) for a, b in moving], [float(a.var()) for a, _ in moving])
    apart = np.einsum("nij,nij->n", turns[0], turns[1])  # trace of one rotation times the inverse of the other
    out["rot_err_p95"] = float(np.degrees(np.quantile(np.arccos(np.clip((apart - 1) / 2, -1, 1)), 0.95)))
    return out


def correlation(a: Float, b: Float) -> float:
    """Pearson correlation of (N,) signals, the first of which varies; 0 if the second one doesn't."""
    return 0.0 if b.std() < 1e-6 else float(np.corrcoef(a, b)[0, 1])


def _mean(values: Sequence[float | None], weights: Sequence[float] | None = None) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.average(known, weights=weights)) if known else None
