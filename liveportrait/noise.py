"""Removes noise of the driver's video from the motion: trembling values are held, all others pass without delay.

Camera noise of one grey level moves the landmarks by a few tenths of a pixel, differently in every frame. While all
values of the pose and of each face region stay as close to their mean as noise takes them, the output stands still;
when they go further, or all slightly to the same side, the new values are output in the same frame. In between, the
step grows evenly, so that nothing snaps. A driver who moves anywhere is not steadied at all: noise is invisible in
motion, and small motion that accompanies it must not be lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Motion, orthonormalize

Values = npt.NDArray[np.float64]

FAMILIAR: Final = {
    "rotation": 1.5e-3, "translation": 6e-4, "scale": 6e-4, "delta": 3.5e-4, "eye_ratio": 1.5e-3, "lip_ratio": 8e-4,
}  # fmt: skip
"""Initial noise (standard deviation) before a driver is known. Measured on stills of six clips with camera noise of one
and two grey levels: delta 1.3 to 3.8e-4, rotation matrices 0.8 to 2.2e-3, the others accordingly."""
MOST: Final = 4 / 3
"""Largest noise estimate relative to FAMILIAR, however much the values tremble: small motion is not noise."""
HELD: Final = 3.0
"""Distance from the mean, in standard deviations over all values of a region, up to which they are held."""
FREE: Final = 4.5
"""Distance from which they pass unchanged."""
CALMING: Final = 0.95
"""Decay per frame of a driver's measure of motion: two seconds after the last motion, everything is held again."""
PLAY: Final = 1.0
"""Largest distance of the output from the mean, in standard deviations, while it is held."""
DRIFT: Final = 0.25
"""Weight of a new frame in the mean distance; a shift of half a standard deviation shows in it after six frames."""
SLOWEST: Final = 0.04
"""Least weight of a new frame in the mean at which values are held."""
MEMORY: Final = 1 / 24
"""Weight of a new frame in the estimate of the noise."""
SPAN: Final = 30
"""Frames in each of the three windows; the calmest moment of these determines the noise."""
CALMEST: Final = 1.2
"""Factor from the minimum over 90 frames of white noise to their standard deviation."""
REGIONS: Final = ("lids", "lip", "brow", "eyes")
"""Regions of the expression that are judged separately, if the engine has them; a value belongs to the first match."""


def _ramp(value: Values) -> Values:
    """0 up to HELD, 1 from FREE on."""
    return np.asarray(np.clip((value - HELD) / (FREE - HELD), 0.0, 1.0), np.float64)


class _Noise:
    """Running estimate of the noise of each value.

    Third differences contain little of motion and most of white noise. Their mean square is lowest while the driver
    holds still; the minimum over the last seconds is used, so that moving does not look like noise.

    Args:
        familiar: (N,) initial standard deviations.
    """

    def __init__(self, familiar: Values) -> None:
        self._most = MOST * familiar
        self._square = familiar**2
        self._calmest = deque([self._square] * 3, 3)
        self._past: deque[Values] = deque(maxlen=4)
        self._age = 0

    def __call__(self, values: Values) -> Values:
        """(N,) standard deviations after the next frame."""
        self._past.append(values)
        if len(self._past) == 4:
            a, b, c, d = self._past
            third = d - 3 * c + 3 * b - a
            self._square = self._square + MEMORY * (third * third / 20 - self._square)
            self._age += 1
            if self._age % SPAN:
                self._calmest[-1] = np.minimum(self._calmest[-1], self._square)
            else:
                self._calmest.append(self._square)
        known = CALMEST * np.sqrt(np.minimum.reduce(list(self._calmest)))
        return np.asarray(np.minimum(known, self._most), np.float64)


class Steady:
    """Holds groups of values while they only tremble.

    Args:
        groups: (N,) number of the group of each value, from 0.
        familiar: (N,) initial noise of each value, as a standard deviation.
        leaders: Number of leading groups that release all others when they move.
    """

    def __init__(self, groups: npt.NDArray[np.intp], familiar: Values, leaders: int) -> None:
        self._groups = groups
        self._leaders = leaders
        self._lively = 0.0
        self._counts = np.bincount(groups)
        self._noise = _Noise(familiar)
        self._mean: Values | None = None
        self._shown = self._away = np.zeros(len(groups))
        self._age = np.zeros(len(self._counts))  # frames in each mean

    def _size(self, values: Values) -> Values:
        """Root mean square of each group."""
        return np.asarray(np.sqrt(np.bincount(self._groups, values * values) / self._counts), np.float64)

    def __call__(self, values: Values) -> Values:
        """The next frame's (N,) values, steadied without delay."""
        noise = self._noise(values) + 1e-9
        if self._mean is None:
            self._mean = self._shown = values
            return values
        far = (values - self._mean) / noise
        self._away = self._away + DRIFT * (far - self._away)
        drift = self._size(self._away) * np.sqrt((2 - DRIFT) / DRIFT)  # 1 for white noise, like the distance itself
        free = _ramp(np.maximum(self._size(far), drift))
        self._lively = max(float(free[: self._leaders].max()), CALMING * self._lively)
        free = np.maximum(free, self._lively)
        self._age = self._age * (1 - free) + 1
        weight = np.maximum(np.maximum(SLOWEST, 1 / (self._age + 1)), free)[self._groups]
        self._mean = self._mean + weight * (values - self._mean)
        self._away = self._away * (1 - weight)
        off = np.maximum(self._size((self._shown - self._mean) / noise), 1e-9)
        kept = np.minimum(1.0, PLAY * (1 - free) / off)[self._groups]
        self._shown = self._mean + kept * (self._shown - self._mean)
        return self._shown


class NoiseHold:
    """Steadies a Motion frame by frame (N = 1 per call), without delay; for clips and real time.

    Args:
        regions: The engine's (Engine.regions).
    """

    def __init__(self, regions: Mapping[str, npt.NDArray[Any]]) -> None:
        self._regions = regions
        self.reset()

    def reset(self) -> None:
        """Forget the driver and its noise."""
        self._steady: dict[bool, Steady] = {}

    def __call__(self, motion: Motion) -> Motion:
        """The next frame, steadied. Ratios pass unchanged if one is unknown; extra arrays always do."""
        if not all(np.isfinite(getattr(motion, name)).all() for name in ("rotation", "translation", "scale", "delta")):
            self.reset()
            return motion
        known = bool(np.isfinite(motion.eye_ratio).all() and np.isfinite(motion.lip_ratio).all())
        names = [*FAMILIAR] if known else [name for name in FAMILIAR if not name.endswith("ratio")]
        parts = [np.asarray(getattr(motion, name)[0], np.float64).ravel() for name in names]
        if known not in self._steady:
            familiar = np.concatenate(
                [np.full(part.size, FAMILIAR[name]) for name, part in zip(names, parts, strict=True)]
            )
            groups = self._groups(motion.keypoints, known)
            self._steady[known] = Steady(groups, familiar, int(groups.max()) + 1 - (2 if known else 0))
        flat = self._steady[known](np.concatenate(parts)).astype(np.float32)
        cuts = np.cumsum([part.size for part in parts])[:-1]
        values: dict[str, Any] = {
            name: part.reshape(getattr(motion, name).shape)
            for name, part in zip(names, np.split(flat, cuts), strict=True)
        }
        values["rotation"] = orthonormalize(values["rotation"])
        return replace(motion, **values)

    def _groups(self, keypoints: int, ratios: bool) -> npt.NDArray[np.intp]:
        """Group of each value, in the order of FAMILIAR: the pose, the regions, the rest of the face, the ratios."""
        owner = np.full(3 * keypoints, len(REGIONS) + 1)
        for number, name in reversed(list(enumerate(REGIONS, 1))):
            if name in self._regions:
                owner[np.asarray(self._regions[name], np.float32).ravel() > 0.5] = number
        last = len(REGIONS) + 2
        groups = np.concatenate([np.zeros(13, np.intp), owner, [last, last, last + 1] if ratios else []])
        return np.unique(groups, return_inverse=True)[1].astype(np.intp)
