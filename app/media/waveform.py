"""The loudness of a sound over time, for drawing it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from app.media.sound import SoundReader

if TYPE_CHECKING:
    from app.media.audio import AudioSource

RATE: Final = 8000
BIN: Final = 80
"""Samples whose loudest one is kept, 10 ms: an hour takes 1.4 MB."""
FAINT: Final = 0.01
"""A sound whose loudest sample is below this share of full scale is drawn as the silence that it is."""

Peaks = npt.NDArray[np.float32]


def waveform(sound: AudioSource, columns: int, check: Callable[[], None] = lambda: None) -> Peaks:
    """The loudest sample of each of many equal parts of a sound.

    Args:
        sound: The sound.
        columns: Number of parts, at least 1.
        check: Called between blocks; it raises to stop the work.

    Returns:
        (columns,) 0..1, 1 the loudest of all; zeros for a sound without samples.

    Raises:
        MediaError: It can't be read.
    """
    bins: list[Peaks] = []
    rest = np.zeros(0, np.float32)
    with closing(SoundReader(sound, RATE)) as reader:
        for block in reader:
            check()
            samples = np.concatenate([rest, np.abs(block).max(0)])
            whole = len(samples) // BIN
            bins.append(samples[: whole * BIN].reshape(whole, BIN).max(1))
            rest = samples[whole * BIN :]
    if len(rest):
        bins.append(rest.max(keepdims=True))
    loud = np.concatenate(bins) if bins else np.zeros(0, np.float32)
    if not len(loud):
        return np.zeros(columns, np.float32)
    edges = np.linspace(0, len(loud), columns + 1)
    first = np.minimum(edges[:-1].astype(int), len(loud) - 1)
    found = [loud[a : max(a + 1, int(np.ceil(b)))].max() for a, b in zip(first, edges[1:], strict=True)]
    return np.asarray(found, np.float32) / max(float(loud.max()), FAINT)
