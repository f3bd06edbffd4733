"""Keeps proportions around an opened mouth: the thickness of the lips, the distances to nose and chin.

Landmark differences of one person don't fit another: a driver with full lips would fold thin ones away, and the
driver's wide-open lips would cover a shorter chin. Here ratios are transferred instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.ramps import smoothstep
from models.topology import LIP_LOWER_INNER, LIP_UPPER_INNER

Float = npt.NDArray[np.float64]

UPPER_OUTER: Final = (185, 40, 39, 37, 0, 267, 269, 270, 409)
LOWER_OUTER: Final = (146, 91, 181, 84, 17, 314, 405, 321, 375)
NOSE_BASE: Final = 2
CHIN: Final = 152
THINNEST, FULLEST = 0.5, 1.35  # limits of the thickness of the lips, relative to rest
LEAST_NOSE = 0.5  # share of the distance from the nose to the mouth that remains when the upper lip rises
LEAST_CHIN = 0.72  # share of the distance from the lower lip to the chin that remains when the mouth opens
_MIDDLE = slice(2, 7)  # columns where the lips are thick enough to measure


@dataclass(frozen=True)
class _Fields:
    """Response 0..1 of all points (478, ...) to moves of lips and jaw.

    Attributes:
        upper: (478, 9) to a move of the nine outer points of the upper lip.
        lower: (478, 9) the same of the lower lip.
        raised: (478,) to a move of the whole upper lip.
        lowered: (478,) to a move of the whole lower lip.
        jaw: (478,) to a move of the chin.
    """

    upper: Float
    lower: Float
    raised: Float
    lowered: Float
    jaw: Float


@lru_cache(maxsize=1)
def _fields() -> _Fields:
    mean = face_model().mean.astype(np.float64)
    x, y = mean[:, 0], mean[:, 1]
    upper_in, lower_in = np.array(LIP_UPPER_INNER[1:-1]), np.array(LIP_LOWER_INNER[1:-1])
    left, right = mean[61, 0], mean[291, 0]
    beside = smoothstep(0.09, 0.0, np.maximum(np.maximum(left - x, x - right), 0.0))

    def vertical(inner: npt.NDArray[np.int_], outer: tuple[int, ...], end: float) -> tuple[Float, Float, Float]:
        """Response to a move of the outer edge, of the whole lip, and (478, 9) of every column."""
        columns = np.r_[left, x[list(outer)], right]
        line_in = np.interp(x, columns, np.r_[y[78], y[inner], y[308]])
        line_out = np.interp(x, columns, np.r_[y[61], y[list(outer)], y[291]])
        thick = np.where(np.abs(line_out - line_in) > 0.004, line_out - line_in, np.sign(end - line_in) * 0.004)
        within = np.clip((y - line_in) / thick, 0, 1)
        beyond = np.clip((end - y) / (end - line_out), 0, 1)
        edge = np.where(within < 1, within, beyond) * beside
        whole = np.where((y - line_in) / thick < -0.05, 0, np.where(within < 1, 1, beyond)) * beside
        edge[inner], edge[list(outer)], whole[inner], whole[list(outer)] = 0, 1, 1, 1
        share = np.stack([np.interp(x, columns, unit) for unit in np.eye(11)[1:-1]], 1)
        return edge, whole, edge[:, None] * share

    _, raised, upper = vertical(upper_in, UPPER_OUTER, float(y[NOSE_BASE]))
    _, lowered, lower = vertical(lower_in, LOWER_OUTER, float(y[CHIN]))
    # Irises, nose and eyes lie beyond the ends; corners of the mouth follow each lip by half.
    low = smoothstep(float(y[17]), float(y[CHIN]), y)
    jaw = low * np.exp(-((x / 0.42) ** 4))
    for field in (raised, lowered, jaw):
        field[468:] = 0
    upper[468:] = lower[468:] = 0
    return _Fields(upper, lower, raised, lowered, jaw)


def thickness(shape: Float) -> tuple[Float, Float]:
    """(9,) thickness of the upper and of the lower lip of a shape (478, 3), in its units."""
    upper = shape[list(LIP_UPPER_INNER[1:-1]), 1] - shape[list(UPPER_OUTER), 1]
    lower = shape[list(LOWER_OUTER), 1] - shape[list(LIP_LOWER_INNER[1:-1]), 1]
    return np.asarray(upper), np.asarray(lower)


def thickness_ratios(shape: Float, rest: Float) -> tuple[float, float]:
    """Thickness of the upper and of the lower lip relative to rest, within the limits of real lips."""
    ratios = [
        float(now[_MIDDLE].mean()) / max(float(before[_MIDDLE].mean()), 1e-4)
        for now, before in zip(thickness(shape), thickness(rest), strict=True)
    ]
    return tuple(float(np.clip(ratio, THINNEST, FULLEST)) for ratio in ratios)  # type: ignore[return-value]


def keep_flesh(shape: Float, rest: Float, ratios: tuple[float, float] | None = None) -> None:
    """Bring lips, upper lip and chin of a canonical shape (478, 3) to human proportions, in place.

    The gap between the lips stays as it is. A shape equal to rest does not change.

    Args:
        shape: The shape.
        rest: The same face with its mouth at rest.
        ratios: Thickness of the lips relative to rest (see thickness_ratios); None: only corrects lips that are too
            thin.
    """
    fields = _fields()
    own = rest[13, 1] - rest[NOSE_BASE, 1]
    pushed = max(0.0, LEAST_NOSE * own - (shape[13, 1] - shape[NOSE_BASE, 1]))
    if pushed > 0:  # both lips move down together
        shape[:, 1] += pushed * np.maximum(fields.raised, fields.lowered)
    for sign, field, now, before, ratio in zip(
        (-1, 1), (fields.upper, fields.lower), thickness(shape), thickness(rest), ratios or (None, None), strict=True
    ):
        usual = max(float(before[_MIDDLE].mean()), 1e-4)
        missing = (THINNEST if ratio is None else ratio) * usual - float(now[_MIDDLE].mean())
        if missing > 0 or (ratio is not None and missing < 0):
            shape[:, 1] += sign * missing / usual * (field @ before)
    missing_chin = LEAST_CHIN * (rest[CHIN, 1] - rest[17, 1]) - (shape[CHIN, 1] - shape[17, 1])
    if missing_chin > 0:
        shape[:, 1] += missing_chin * fields.jaw


def fill_lips(shape: Float, rest: Float, amount: float) -> None:
    """Make the lips of a canonical shape (478, 3) fuller, in place, by a share of their thickness in rest (478, 3)."""
    fields = _fields()
    upper, lower = thickness(rest)
    shape[:, 1] += amount * (fields.lower @ lower - fields.upper @ upper)
