"""Smoothing of motion over time: a Rauch-Tung-Striebel smoother for clips, the One-Euro filter for live use.

The smoother is a Kalman filter for a random walk whose matrices are all multiples of the identity (spec motion.md
section 4), so every value is its own scalar filter and all of them share one series of gains.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array, Motion, orthonormalize

PROCESS_VARIANCE = 1e-5


def smoother_gains(
    count: int, observation_variance: float, process_variance: float = PROCESS_VARIANCE
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gains of the forward and of the backward pass.

    Args:
        count: Number of frames T.
        observation_variance: r, larger is smoother.
        process_variance: q, larger follows faster.

    Returns:
        (T,) Kalman gains and (T,) smoother gains.
    """
    forward, backward = np.empty(count), np.empty(count)
    variance = 1.0
    for i in range(count):
        forward[i] = variance / (variance + observation_variance)
        variance *= 1 - forward[i]
        backward[i] = variance / (variance + process_variance)
        variance += process_variance
    return forward, backward


def smooth_rows(
    source: npt.NDArray[Any],
    target: npt.NDArray[Any],
    observation_variance: float,
    process_variance: float = PROCESS_VARIANCE,
) -> None:
    """Smooth along the first axis, one row in memory at a time; both arrays may be memory maps.

    Args:
        source: (T, ...) values.
        target: (T, ...) result; may be the same array as source.
        observation_variance: See ``smoother_gains``.
        process_variance: See ``smoother_gains``.
    """
    count = len(source)
    if count == 0:
        return
    forward, backward = smoother_gains(count, observation_variance, process_variance)
    state = np.asarray(source[0], np.float64)
    for i in range(count):
        state = state + forward[i] * (np.asarray(source[i], np.float64) - state)
        target[i] = state
    for i in range(count - 2, -1, -1):
        filtered = np.asarray(target[i], np.float64)
        state = filtered + backward[i] * (state - filtered)
        target[i] = state


def smooth(values: npt.ArrayLike, observation_variance: float, process_variance: float = PROCESS_VARIANCE) -> Array:
    """Smoothed copy of (T, ...) values, computed in double precision; float32."""
    source = np.asarray(values)
    out = np.empty(source.shape, np.float64)
    smooth_rows(source, out, observation_variance, process_variance)
    return out.astype(np.float32)


REMOTE = 1e-7
"""Weight below which a later value no longer affects a smoothed one."""
FARTHEST = 128
"""Limit of the number of later values that a smoothed one waits for."""


def smoother_lag(observation_variance: float, process_variance: float = PROCESS_VARIANCE) -> int:
    """Number of later values that a smoothed value needs, until the next one would weigh less than REMOTE."""
    if observation_variance <= 0:
        return 0
    q, r = process_variance, observation_variance
    variance = (q + np.sqrt(q * q + 4 * q * r)) / 2  # steady state before an observation
    decay = r / (variance + r)
    return int(min(np.ceil(np.log(REMOTE) / np.log(decay)), FARTHEST))


class LagSmoother:
    """Smooths a clip's values as they arrive: each is returned once enough later ones are known.

    Args:
        observation_variance: See ``smoother_gains``.
        process_variance: See ``smoother_gains``.
    """

    def __init__(self, observation_variance: float, process_variance: float = PROCESS_VARIANCE) -> None:
        self._r, self._q = observation_variance, process_variance
        self._state: npt.NDArray[np.float64] | None = None
        self._variance = 1.0
        self._waiting: deque[tuple[npt.NDArray[np.float64], float]] = deque()

    def push(self, value: npt.ArrayLike) -> None:
        """Add the next value, of the same shape as the previous ones."""
        given = np.asarray(value, np.float64)
        gain = self._variance / (self._variance + self._r)
        before = given if self._state is None else self._state
        self._state = before + gain * (given - before)
        variance = self._variance * (1 - gain)
        self._waiting.append((self._state, variance / (variance + self._q)))
        self._variance = variance + self._q

    def pop(self) -> Array:
        """The oldest value not returned yet, smoothed with all values added since; float32."""
        state = self._waiting[-1][0]
        for filtered, back in list(self._waiting)[-2::-1]:
            state = filtered + back * (state - filtered)
        self._waiting.popleft()
        return state.astype(np.float32)


SMOOTHING_UNIT = 1e-6
"""Observation variance per unit of the option "smooth"."""


def smooth_motion(
    motion: Motion, observation_variance: float, orthonormal: bool = True, keep: npt.NDArray[Any] | None = None
) -> Motion:
    """Smooth pose and expression of a clip; ratios stay as they are.

    Args:
        motion: T frames.
        observation_variance: See ``smoother_gains``; 0 returns the motion itself.
        orthonormal: Make smoothed matrices rotations again (the official release does not).
        keep: (K, 3) share of the expression that is not smoothed, usually the lids: a blink lasts three frames.

    Returns:
        T frames.
    """
    if observation_variance <= 0 or len(motion) < 2:
        return motion
    rotation = smooth(motion.rotation, observation_variance)
    return replace(
        motion,
        rotation=orthonormalize(rotation) if orthonormal else rotation,
        translation=smooth(motion.translation, observation_variance),
        scale=smooth(motion.scale, observation_variance),
        delta=_smooth_all_but(keep, motion.delta, observation_variance),
    )


def _smooth_all_but(keep: npt.NDArray[Any] | None, delta: Array, observation_variance: float) -> Array:
    smoothed = smooth(delta, observation_variance)
    if keep is None:
        return smoothed
    share = np.asarray(keep, np.float32)
    return np.asarray(share * delta + (1 - share) * smoothed, np.float32)


class OneEuro:
    """One-Euro filter (Casiez, Roussel, Vogel 2012): steady at rest, quick in motion.

    Args:
        min_cutoff: Cut-off at rest in Hz; smaller is steadier.
        beta: Growth of the cut-off with speed (Hz per unit/s); larger lags less.
        derivative_cutoff: Cut-off of the speed estimate in Hz.
    """

    def __init__(self, min_cutoff: float = 3.0, beta: float = 20.0, derivative_cutoff: float = 1.0) -> None:
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.derivative_cutoff = derivative_cutoff
        self._value: npt.NDArray[np.float64] | None = None
        self._speed: npt.NDArray[np.float64] | None = None

    def reset(self) -> None:
        """Forget previous values, for a new face or a cut."""
        self._value = self._speed = None

    @staticmethod
    def _weight(cutoff: npt.NDArray[np.float64] | float, dt: float) -> Any:
        tau = 2 * np.pi * dt * np.asarray(cutoff)
        return tau / (1 + tau)

    def __call__(self, value: npt.ArrayLike, dt: float) -> Array:
        """Filter the next value.

        Args:
            value: Array of any shape; a change of shape resets the filter.
            dt: Seconds since the last value, so clips of variable rate are filtered alike; not positive: no change.

        Returns:
            float32, same shape.
        """
        x = np.asarray(value, np.float64)
        if self._value is None or self._speed is None or self._value.shape != x.shape:
            self._value, self._speed = x.copy(), np.zeros_like(x)
        elif dt > 0:
            speed = (x - self._value) / dt
            self._speed = self._speed + self._weight(self.derivative_cutoff, dt) * (speed - self._speed)
            cutoff = self.min_cutoff + self.beta * np.abs(self._speed)
            self._value = self._value + self._weight(cutoff, dt) * (x - self._value)
        return self._value.astype(np.float32)


class MotionFilter:
    """One-Euro filter of a live Motion (N = 1 per call); ratios pass unfiltered.

    Args:
        min_cutoff: See ``OneEuro``; motion values are in crop units, radians or expression units.
        beta: See ``OneEuro``.
    """

    def __init__(self, min_cutoff: float = 3.0, beta: float = 20.0) -> None:
        self._filters = {name: OneEuro(min_cutoff, beta) for name in ("rotation", "translation", "scale", "delta")}

    def reset(self) -> None:
        """Forget previous values."""
        for each in self._filters.values():
            each.reset()

    def __call__(self, motion: Motion, dt: float) -> Motion:
        """Filter the next frame; dt in seconds."""
        values: dict[str, Any] = {name: f(getattr(motion, name), dt) for name, f in self._filters.items()}
        values["rotation"] = orthonormalize(values["rotation"])
        return replace(motion, **values)
