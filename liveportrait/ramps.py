"""Smooth step function for masks and motions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def smoothstep(low: float, high: float, value: npt.NDArray[Any] | float) -> npt.NDArray[Any]:
    """Cubic ramp: 0 at low and beyond, 1 at high and beyond; high may be the smaller one.

    Args:
        low: Where the ramp is 0.
        high: Where it is 1.
        value: Numbers of any shape.

    Returns:
        The ramp in value's shape: float32 for a float32 array, else float64.
    """
    number = np.asarray(value)
    kind = np.float32 if number.dtype == np.float32 else np.float64
    if number.ndim == 0:  # in plain numbers, which is ten times as fast
        at = min(max((float(number) - low) / (high - low), 0.0), 1.0)
        return np.asarray(at * at * (3 - 2 * at), kind)
    t = (number - kind(low)) / kind(high - low)
    np.minimum(np.maximum(t, 0, out=t), 1, out=t)
    return np.asarray(t * t * (3 - 2 * t), kind)
