"""Keeps the lips of a clip open, shut or still, and everything else unchanged (spec motion.md sections 10.2, 10.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from liveportrait.engines.base import Engine, Portrait
from liveportrait.motion import Array, keypoints
from liveportrait.smoothing import smooth

T = TypeVar("T")
VARIANCE: Final = 3e-6
"""Observation variance of the smoother of lip offsets (official value)."""
AHEAD: Final = 10
"""Extra frames on both sides for a smoothed offset; those further away weigh less than 1e-6."""


@dataclass(frozen=True)
class Lips:
    """How to hold the lips of a clip.

    Attributes:
        ratio: Lip ratio to hold (0 is closed), smoothed along the clip; None holds them at rest.
    """

    ratio: float | None


def lip_offset(engine: Engine, portrait: Portrait, ratio: float) -> Array:
    """(1, K, 3) offset in crop units that brings the lips to a ratio; zeros if their ratio is unknown."""
    if np.isnan(portrait.motion.lip_ratio).any():
        return np.zeros((1, engine.keypoints, 3), np.float32)
    return engine.retarget_lips(portrait, np.array([[ratio]], np.float32))


def shifted(engine: Engine, portrait: Portrait, offset: Array, stitching: bool = True) -> Array:
    """(1, K, 3) keypoints of the source with an offset added, stitched if requested."""
    x_d = (portrait.keypoints + offset).astype(np.float32)
    return engine.stitch(portrait, x_d) if stitching else x_d


def silent_keypoints(engine: Engine, portrait: Portrait, stitching: bool = True, official: bool = False) -> Array:
    """Keypoints of the source with its lips at rest.

    Args:
        engine: Engine of the portrait.
        portrait: The source.
        stitching: Keep shoulders and border in place.
        official: Reset everything but the eyes, as the official release does, which moves the head slightly; otherwise
            only the lips are reset.

    Returns:
        (1, K, 3) crop units; the source's own if the engine has no face at rest.
    """
    own = portrait.motion
    neutral = engine.neutral_of(own)
    if neutral is None:
        return portrait.keypoints
    region = np.asarray(engine.regions["lip"], np.float32)
    if official:
        region = 1 - np.asarray(engine.regions["eyes"], np.float32)
    moved = replace(own, delta=np.asarray(own.delta + region * (neutral.delta - own.delta), np.float32))
    x_d = keypoints(portrait.canonical, moved, engine.delta_space)
    return engine.stitch(portrait, x_d) if stitching else x_d


def smoothed(frames: Iterable[tuple[T, Array | None]], variance: float = VARIANCE) -> Iterator[tuple[T, Array | None]]:
    """Offsets smoothed along a clip, a few frames late, so that memory does not grow with it.

    Args:
        frames: (item, offset (1, K, 3)) of each frame, None where there is none.
        variance: Observation variance of the smoother.

    Yields:
        The same items with smoothed offsets.
    """
    past: deque[Array] = deque(maxlen=AHEAD)
    waiting: deque[tuple[T, Array | None]] = deque()

    def first() -> tuple[T, Array | None]:
        item, offset = waiting.popleft()
        if offset is None:
            return item, None
        known = [*past, offset, *(later for _, later in waiting if later is not None)]
        row = smooth(np.concatenate(known), variance)[len(past)][None]
        past.append(offset)
        return item, row

    for frame in frames:
        waiting.append(frame)
        if len(waiting) > AHEAD:
            yield first()
    while waiting:
        yield first()
