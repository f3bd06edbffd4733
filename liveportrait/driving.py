"""Driving motion: read from images in a steady frame of reference, and bridged where the face is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import numpy as np

from liveportrait.crop import Box, Crop, face_box
from liveportrait.cues import NAME as CUES
from liveportrait.cues import frame_cues
from liveportrait.engines.base import Engine, Image
from liveportrait.expression import Expression
from liveportrait.motion import Array, Motion, blend
from models.face import Face, checked
from models.topology import POINTS

T = TypeVar("T")
HOLD: Final = 0.5  # seconds for which the last motion is held after the driving face is lost
EASE: Final = 0.7  # seconds over which it then eases to neutral


@dataclass(frozen=True)
class Shown:
    """Motion of one driver, or of a mix of drivers, at one time.

    Attributes:
        motion: The motion to show (N = 1); None if there is no driver with a face and only the expression moves it.
        reference: The neutral frame (N = 1) that it is measured from; None without motion.
        seen: Whether the main driver shows a face.
        index: Number of its frame on screen.
        still: Whether the driver is a single image.
        smoothed: Expression and rotation smoothed along a source clip in official mode, or None.
        expression: Sliders and eye and lip ratios at that time, added to the motion, or None.
        lip_offset: (1, K, 3) offset that holds the lips of a clip in place of any motion, or None.
    """

    motion: Motion | None
    reference: Motion | None
    seen: bool = True
    index: int = 0
    still: bool = False
    smoothed: tuple[Array, Array] | None = None
    expression: Expression | None = None
    lip_offset: Array | None = None


class FaceHold(Generic[T]):
    """Bridges frames without a face: the last motion is held, then eased to neutral; a new face is eased in.

    Args:
        hold: Seconds for which the last motion is held.
        ease: Seconds of the transition to neutral.
        regain: Seconds of the transition back once the face is found again.
        mix: Blends two held values, usually motion (N = 1): first, second, share of the second.
    """

    def __init__(
        self,
        hold: float = HOLD,
        ease: float = EASE,
        regain: float = 0.25,
        mix: Callable[[Any, Any, float], Any] = blend,
    ) -> None:
        self.hold = hold
        self.ease = ease
        self.regain = regain
        self._mix = mix
        self.lost_frames = 0
        self.reset()

    def reset(self) -> None:
        """Start again, as after a jump in the driving clip."""
        self._last: T | None = None  # shown at the last frame with a face
        self._shown: T | None = None  # shown at the last frame without one
        self._gone = False
        self._missing = 0.0
        self._back = 1.0  # progress of the transition back
        self._left = 0.0  # remaining share of it when the face was lost again
        self._span = self.regain  # seconds of the transition back

    @staticmethod
    def _ramp(t: float) -> float:
        t = min(max(t, 0.0), 1.0)
        return t * t * (3 - 2 * t)

    def __call__(self, motion: T | None, neutral: T, dt: float) -> T:
        """Motion to show.

        Args:
            motion: The motion that was read (N = 1), or None.
            neutral: Motion at rest: the reference for relative motion.
            dt: Seconds since the last frame.

        Returns:
            N = 1.
        """
        if motion is None:
            self.lost_frames += 1
            if not self._gone:
                self._gone, self._missing, self._left = True, 0.0, 1.0 - self._back
            self._missing += dt
            if self._last is None:
                self._shown, self._span = neutral, self.regain
                return neutral
            weight = self._ramp((self._missing - self.hold) / self.ease if self.ease > 0 else 1.0)
            self._shown = self._mix(self._last, neutral, weight)
            self._span = self.regain * max(weight, self._left)  # the larger the distance, the longer the transition
            return self._shown
        if self._gone:
            self._gone, self._back = False, 0.0
        if self._back < 1 and self._shown is not None:
            self._back = min(self._back + dt / self._span, 1.0) if self._span > 0 else 1.0
            motion = self._mix(self._shown, motion, self._ramp(self._back))
        self._last = motion
        return motion


class DrivingReader:
    """Reads driving motion in one steady coordinate frame.

    The crop is level and fixed, so that turns and shifts of the head are measured. It is only moved when a driver
    leaves it or comes much closer; the motion is then converted back to the units of the first crop.

    Args:
        engine: Reads the motion.
        scale: Side of the crop over the size of the face (official 2.2).
        shift_y: Shift of the crop downward, in sides (official -0.1).
    """

    def __init__(self, engine: Engine, scale: float = 2.2, shift_y: float = -0.1) -> None:
        self.engine = engine
        self.scale = scale
        self.shift_y = shift_y
        self._first: Box | None = None
        self._box: Box | None = None

    def reset(self) -> None:
        """Choose a new crop at the next face."""
        self._first = self._box = None

    def _square(self, face: Face) -> Box:
        box = face_box(face, self.scale, 0.0, self.shift_y)
        new = Box(box.x, box.y, box.size)
        old = self._box
        if old is not None:
            away = max(abs(new.x - old.x), abs(new.y - old.y)) / old.size
            if away < 0.25 and 0.7 < new.size / old.size < 1.3:
                return old
        return new

    def read(self, image: Image, face: Face) -> Motion:
        """Motion of one driving frame.

        Args:
            image: (H, W, 3 or 4) uint8 driving frame.
            face: Landmarks in its pixels.

        Returns:
            N = 1, in crop units of the first crop.
        """
        self._box = self._square(face)
        self._first = self._first or self._box
        crop = Crop.of_box(self._box, self.engine.crop_size)
        if self.engine.reads_pixels:
            square = crop.apply(checked(image))
        else:
            square = np.zeros((crop.size, crop.size, 3), np.uint8)
        motion = self.engine.read_motion(square, crop.face(face))
        delta = motion.delta[0] if motion.keypoints == POINTS else None
        cues = frame_cues(face, (image.shape[1], image.shape[0]), delta)
        motion = replace(motion, extra=motion.extra | {CUES: cues})
        if self._box is self._first:
            return motion
        k = self._box.size / self._first.size
        shift = 2 * np.array([self._box.x - self._first.x, self._box.y - self._first.y, 0]) / self._first.size
        return replace(
            motion,
            translation=np.asarray(motion.translation * k + shift, np.float32),
            scale=np.asarray(motion.scale * k, np.float32),
        )
