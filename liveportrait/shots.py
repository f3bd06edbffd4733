"""Shots of a driving clip, each relative to a neutral frame of its own.

An edited clip shows its person from several sides, or several people. With one neutral frame for the whole clip, the
portrait would be turned by the angle between two cameras for the length of a shot. So the motion of every shot is
shifted by the difference between its own neutral frame and that of the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from liveportrait.cuts import CutFinder
from liveportrait.motion import Array, Motion
from liveportrait.reference import neutral_frame, neutrality

SHORTEST: Final = 20
"""Number of frames with a face from which a shot gets its own neutral frame."""
NEUTRAL: Final = 4.0
"""Largest cost (liveportrait.reference.neutrality) of the neutral frame of a shot. A shot that only laughs or only
looks aside contains no frame at rest; it uses the clip's neutral frame."""


def shot_starts(parts: Iterable[Motion]) -> list[int]:
    """Frames at which shots begin, including the first one.

    Args:
        parts: Motion of the clip in pieces, frames with a face only.
    """
    find = CutFinder()
    starts, number = [0], 0
    for part in parts:
        for i in range(len(part)):
            if find(part[i]) and number:
                starts.append(number)
            number += 1
    return starts


def neutral_frames(pose: Motion, starts: Sequence[int]) -> list[int | None]:
    """Neutral frame of every shot; None for shots that use the clip's.

    Args:
        pose: N frames with a face; rotation, ratios and cues are read.
        starts: From :func:`shot_starts`.
    """
    ends = [*starts[1:], len(pose)]
    return [_neutral_frame(pose, start, end) for start, end in zip(starts, ends, strict=True)]


def _neutral_frame(pose: Motion, start: int, end: int) -> int | None:
    if end - start < SHORTEST:
        return None
    shot = pose[np.arange(start, end)]
    index = neutral_frame(shot)
    return start + index if neutrality(shot)[index] <= NEUTRAL else None


@dataclass(frozen=True)
class Shots:
    """Shots of one clip and their neutral frames.

    Attributes:
        starts: Frames at which shots begin, counted without those that have no face.
        neutral: Neutral frame (N = 1) of each shot; None: the clip's.
        reference: Neutral frame of the clip (N = 1).
        camera_turns: See Engine.camera_turns: the order in which rotations are combined.
    """

    starts: Sequence[int]
    neutral: Sequence[Motion | None]
    reference: Motion
    camera_turns: bool = False

    def levelled(self, part: Motion, first: int) -> Motion:
        """Motion of each shot as if it were relative to the clip's neutral frame.

        Args:
            part: Consecutive frames of the clip.
            first: Number of the first of them, counted like the starts.
        """
        shots = np.searchsorted(self.starts, np.arange(first, first + len(part)), side="right") - 1
        pieces = []
        for shot in np.unique(shots):
            frames = part[np.flatnonzero(shots == shot)]
            own = self.neutral[shot]
            pieces.append(frames if own is None else moved(frames, own, self.reference, self.camera_turns))
        return Motion.concatenate(pieces)


def moved(motion: Motion, own: Motion, reference: Motion, camera_turns: bool = False) -> Motion:
    """Motion whose difference from ``reference`` is the one that it had from ``own``.

    Args:
        motion: N frames.
        own: Their neutral frame (N = 1).
        reference: The frame that they are relative to afterwards (N = 1).
        camera_turns: See Engine.camera_turns.
    """

    def shifted(value: Array, a: Array, b: Array) -> Array:
        way = b - a
        return np.asarray(value + np.where(np.isfinite(way), way, 0), np.float32)

    back = own.rotation.transpose(0, 2, 1)
    rotation = (
        reference.rotation @ back @ motion.rotation if camera_turns else motion.rotation @ back @ reference.rotation
    )
    grown = reference.scale / own.scale
    return replace(
        motion,
        rotation=np.asarray(rotation, np.float32),
        translation=shifted(motion.translation, own.translation, reference.translation),
        scale=np.asarray(motion.scale * grown, np.float32),
        delta=shifted(motion.delta, own.delta, reference.delta),
        eye_ratio=shifted(motion.eye_ratio, own.eye_ratio, reference.eye_ratio),
        lip_ratio=shifted(motion.lip_ratio, own.lip_ratio, reference.lip_ratio),
    )
