"""Eyes: how far they follow the driver's gaze, and whether both lids close, even in a turned head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from measuring.heads import SHUT, Float, Head

GAZE_FLOOR = 0.06
"""Minimum standard deviation of the driver's gaze, in half eye widths, that counts as eye motion."""
READ_SHUT = 0.06
"""Eye ratio that the tracker reports for a closed eye."""
NARROW = 0.14
"""Usual eye ratio of narrow eyes above that; a remaining gap weighs no more in narrower eyes."""
TURNS = ((0.0, 10.0), (10.0, 20.0), (20.0, 90.0))
"""Width of the yaw bins in degrees, by the result's head, for closed lids."""


@dataclass(frozen=True)
class Eyes:
    """Signals of one frame.

    Attributes:
        gaze: (2,) mean of both eyes, x to the right and y down, in half eye widths.
        opening: (2,) lid gap over eye width, left and right in the image.
        yaw: Yaw of the head relative to the camera in degrees.
    """

    gaze: Float
    opening: Float
    yaw: float

    @classmethod
    def of(cls, head: Head | None) -> Eyes:
        """Signals of a head; NaN without a head."""
        if head is None:
            return cls(np.full(2, np.nan), np.full(2, np.nan), float("nan"))
        return cls(head.face.gaze.mean(0), head.face.eye_ratios, head.yaw)


def slope(a: Float, b: Float, floor: float) -> float | None:
    """Least-squares slope of b over a, both (N,) with NaN where unknown; None if a hardly moves."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 5 or a[known].std() < floor:
        return None
    a, b = a[known] - a[known].mean(), b[known] - b[known].mean()
    return float((a * b).sum() / (a * a).sum())


def gaze_gain(driver: Sequence[Eyes], result: Sequence[Eyes]) -> tuple[float | None, float | None]:
    """Gaze amplitude relative to the driver's, horizontal and vertical; frames with closed eyes are ignored."""
    a, b = (np.array([eyes.gaze for eyes in track], np.float64) for track in (driver, result))
    open_ = np.ones(len(a), bool)
    for track in (driver, result):
        openings = np.array([eyes.opening for eyes in track], np.float64)
        with np.errstate(invalid="ignore"):
            open_ &= (openings > 0.6 * _usual(openings)).all(1)
    a[~open_] = np.nan
    return slope(a[:, 0], b[:, 0], GAZE_FLOOR), slope(a[:, 1], b[:, 1], GAZE_FLOOR)


def lids(driver: Sequence[Eyes], result: Sequence[Eyes]) -> dict[str, tuple[float, int]]:
    """How far eyes stay open while the driver's are closed: 0 is closed, 1 as open as usual.

    Returns:
        "left 0-10", "right 10-20", ...: side of the image and yaw in degrees of the result's head -> mean fraction of
        the usual eye ratio over frames in which that eye of the driver is closed, and their number. Bins without such
        frames are left out.
    """
    a, b = (np.array([eyes.opening for eyes in track], np.float64) for track in (driver, result))
    yaw = np.abs([eyes.yaw for eyes in result])
    left = {}
    with np.errstate(invalid="ignore"):
        shut = a < SHUT * _usual(a)
        rest = np.maximum(b - READ_SHUT, 0) / np.maximum(_usual(b) - READ_SHUT, NARROW)
        for side, name in enumerate(("left", "right")):
            for low, high in TURNS:
                chosen = shut[:, side] & (yaw >= low) & (yaw < high) & np.isfinite(rest[:, side])
                if chosen.any():
                    key = f"{name} {low:.0f}-{high:.0f}" if high < 90 else f"{name} {low:.0f}+"
                    left[key] = float(rest[chosen, side].mean()), int(chosen.sum())
    return left


def _usual(openings: Float) -> Float:
    """(2,) resting ratio of each eye: the upper third of the values in (N, 2)."""
    known = openings[np.isfinite(openings).all(1)]
    return np.quantile(known, 0.67, axis=0) if len(known) else np.full(2, np.nan)
