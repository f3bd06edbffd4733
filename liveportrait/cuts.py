"""Hard cuts in the driving motion, eased: after a cut the motion starts from the pose before it and runs over.

A cut is told by the motion alone, so that clips, templates and cameras are treated alike. A frame is a cut if the head
and the greater part of the face are far from where they were and from where they were going, measured against the few
frames before: a blink or a word moves few points, and a fast turn has gathered speed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array, Motion, rotation_from_vector, rotation_vector

Values = npt.NDArray[np.float64]

SURPRISE: Final = 0.18
"""Distance of a cut times how often it is that of the largest of the frames before. A distance of 0.1 is a turn by 11
degrees or a shift by a tenth of a face. Measured: none of the 1,078 frames of six clips counts as a cut; 147 of 150
splices of two of them do, and 3 in 5 of those within one clip, where many are smaller than a quick move."""
TIMES: Final = 2.0
"""Least times that a cut is further than the largest change of the frames before."""
FARTHER: Final = 0.02
"""Least distance of a cut."""
BEFORE: Final = 5
"""Frames that a frame is compared with."""
GAP: Final = 0.5
"""Seconds without a face after which there is nothing to run over from: the portrait has begun to rest."""


class CutFinder:
    """Tells, frame by frame, which ones follow a hard cut."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the frames before."""
        self._frames: deque[tuple[Values, Values]] = deque(maxlen=2)
        self._changes: deque[float] = deque(maxlen=BEFORE)

    def __call__(self, motion: Motion) -> bool:
        """Whether this frame (N = 1) follows a cut."""
        scale = motion.scale[0].astype(np.float64)
        turn = rotation_vector(motion.rotation[0]) / 2  # half a radian is about half a face that the nose moves by
        pose = np.concatenate([turn, motion.translation[0, :2] / scale, np.log(scale) / 2])
        now = pose, motion.delta[0].astype(np.float64)
        change = self._change(now)
        largest = max(self._changes, default=0.0)
        cut = (
            len(self._changes) == BEFORE
            and change > max(FARTHER, TIMES * largest)
            and change * change > SURPRISE * largest
        )
        if cut:
            self.reset()
        elif len(self._frames) == 2:
            self._changes.append(change)
        self._frames.append(now)
        return cut

    def _change(self, now: tuple[Values, Values]) -> float:
        """How far a frame is from the one before and from where that was going, whichever is less."""
        if len(self._frames) < 2:
            return 0.0
        (pose0, face0), (pose1, face1) = self._frames
        pose, face = now
        return min(_distance(pose - pose1, face - face1), _distance(pose - 2 * pose1 + pose0, face - 2 * face1 + face0))


def _distance(pose: Values, face: Values) -> float:
    return float(np.hypot(np.linalg.norm(pose), 2 * np.median(np.linalg.norm(face, axis=-1))))


class CutEaser:
    """Lets motion run over cuts: what lies between the poses on both sides is added and fades away.

    Nothing is late: the new motion is there from the first frame on, under an offset that shrinks.
    """

    def __init__(self) -> None:
        self._find = CutFinder()
        self.reset()

    def reset(self) -> None:
        """Forget the frames before, as after a seek."""
        self._find.reset()
        self._shown: Motion | None = None
        self._from: Motion | None = None  # what was shown before the cut
        self._to: Motion | None = None  # the first motion after it
        self._since = self._time = -math.inf  # of the cut, of the last frame

    def __call__(self, motion: Motion, time: float, seconds: float) -> Motion:
        """Motion to show.

        Args:
            motion: The next frame with a face (N = 1).
            time: When it is shown, in seconds; times rise.
            seconds: How long a cut is eased; 0 passes all motion as it is.
        """
        if not 0 <= time - self._time <= GAP:
            self.reset()
        self._time = time
        if self._find(motion) and self._shown is not None:
            self._from, self._to, self._since = self._shown, motion, time
        part = 1.0 if seconds <= 0 else min((time - self._since) / seconds, 1.0)
        if self._from is None or self._to is None or part >= 1:
            self._from = self._to = None
            self._shown = motion
        else:
            self._shown = _shifted(motion, self._to, self._from, 1 - part * part * (3 - 2 * part))
        return self._shown


def _shifted(motion: Motion, first: Motion, second: Motion, weight: float) -> Motion:
    """Motion (N = 1) moved by a part of the way from one motion to another, 0 to 1."""

    def moved(value: Array, a: Array, b: Array) -> Array:
        way = np.where(np.isfinite(b - a), b - a, 0)
        return np.asarray(value + weight * way, np.float32)

    turn = rotation_vector(np.asarray(second.rotation, np.float64) @ np.swapaxes(first.rotation, -1, -2))
    return replace(
        motion,
        translation=moved(motion.translation, first.translation, second.translation),
        delta=moved(motion.delta, first.delta, second.delta),
        eye_ratio=moved(motion.eye_ratio, first.eye_ratio, second.eye_ratio),
        lip_ratio=moved(motion.lip_ratio, first.lip_ratio, second.lip_ratio),
        rotation=np.asarray(rotation_from_vector(weight * turn) @ motion.rotation, np.float32),
        scale=np.asarray(motion.scale * (second.scale / first.scale) ** weight, np.float32),
        extra={
            name: moved(value, first.extra[name], second.extra[name])
            for name, value in motion.extra.items()
            if name in first.extra and name in second.extra
        },
    )
