"""Checks motion from files: finite numbers, plausible poses, increasing times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Motion

MAX_FRAMES: Final = 2_000_000
"""18 hours at 30 frames/s."""
MAX_KEYPOINTS: Final = 10_000
MAX_RATE: Final = 10_000
MIN_RATE: Final = Fraction(1, 100_000)
MAX_SECONDS: Final = 10**9
FINEST: Final = 10**9
"""Limit of the denominator of time stamps, in units per second."""
ORTHONORMAL: Final = 0.05
"""Largest difference of an entry of R @ R^T from the unit matrix; float16 networks stay below 0.005."""
RANGES: Final = {
    "rotation": (-1.1, 1.1),
    "translation": (-100.0, 100.0),
    "scale": (0.01, 100.0),
    "delta": (-10.0, 10.0),
    "eye_ratio": (0.0, 10.0),
    "lip_ratio": (0.0, 10.0),
}
"""Allowed range of each array, in crop units; real clips stay far within. Ratios may also be NaN: unknown."""
EXTRA: Final = (-1e6, 1e6)
_ROWS: Final = 4096


def check_motion(motion: Motion) -> None:
    """Check that all numbers are finite and plausible for a head. Memory does not grow with the number of frames.

    Raises:
        ValueError: They are not; the text is the rest of a sentence.
    """
    for name, (low, high) in RANGES.items():
        _check_range(getattr(motion, name), name, low, high, unknown=name.endswith("ratio"))
    for name, values in motion.extra.items():
        _check_range(values, f"extra.{name}", *EXTRA)
    for start, rotation in _pieces(motion.rotation):
        _check_rotation(rotation.astype(np.float64), start)


def _pieces(values: npt.NDArray[np.float32]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    for start in range(0, len(values), _ROWS):
        yield start, np.asarray(values[start : start + _ROWS])


def _check_range(
    values: npt.NDArray[np.float32], name: str, low: float, high: float, *, unknown: bool = False
) -> None:  # fmt: skip
    for start, piece in _pieces(values):
        fine = (piece >= low) & (piece <= high)
        if unknown:
            fine |= np.isnan(piece)
        if not fine.all():
            at = tuple(int(i) for i in np.argwhere(~fine)[0])
            frame = start + at[0]
            value = float(piece[at])
            if not np.isfinite(value):
                raise ValueError(f"{name} of frame {frame} is {value:g}, which is not finite")
            raise ValueError(f"{name} of frame {frame} is {value:g}; it must be within {low:g} to {high:g}")


def _check_rotation(rotation: npt.NDArray[np.float64], start: int) -> None:
    off = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2))
    wrong = (off > ORTHONORMAL) | (np.linalg.det(rotation) < 0)
    if wrong.any():
        raise ValueError(f"rotation of frame {start + int(np.argmax(wrong))} is not a rotation matrix")


def check_times(times: Iterable[Fraction]) -> None:
    """Check that time stamps increase and are within sensible bounds.

    Raises:
        ValueError: They don't.
    """
    before: Fraction | None = None
    for index, time in enumerate(times):
        if abs(time) > MAX_SECONDS:
            raise ValueError(f"the time of frame {index} is {float(time):g} s, which is out of bounds")
        if before is not None and time <= before:
            raise ValueError(
                f"the time of frame {index}, {float(time):g} s, is not later than that of the frame before it"
            )
        before = time


def check_rate(rate: Fraction) -> Fraction:
    """A frame rate, if it is valid.

    Raises:
        ValueError: It is not.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        word = "not positive" if rate <= 0 else f"not within {float(MIN_RATE):g} to {MAX_RATE}"
        shown = str(rate) if len(str(rate)) < 30 else "of many digits"
        raise ValueError(f"its frame rate {shown} is {word}")
    return rate


def fine_time(time: Fraction) -> Fraction:
    """A time stamp rounded to a unit of at least a nanosecond, as stored in files."""
    return time if time.denominator <= FINEST else time.limit_denominator(FINEST)
