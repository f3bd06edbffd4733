"""Motion in real time: smoothed, bridged while the face is lost, relative to a neutral reference found on the fly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from liveportrait.channel import EASE, HOLD
from liveportrait.cuts import CutEaser
from liveportrait.driving import FaceHold, Shown
from liveportrait.motion import Motion, blend
from liveportrait.noise import NoiseHold
from liveportrait.reference import lone_reference, neutral_frame
from liveportrait.smoothing import MotionFilter

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

SEARCH: Final = 1.0  # seconds after the first face in which the neutral frame is searched
WINDOW: Final = 0.5  # length of the search in seconds after a countdown
GAP: Final = 1.0  # seconds without a frame after which nothing is smoothed across
POOL: Final = 90  # most frames compared
APPROACH: Final = 0.12  # time constant in seconds of the transition to a new reference
SETTLED: Final = 1.0  # seconds after which the transition ends


class LiveMotion:
    """Converts raw motion to motion to show.

    Args:
        engine: Engine that reads it.
        countdown: Receives the whole seconds left of a countdown, 0 when the new reference is captured; called in the
            tracking thread.
    """

    def __init__(self, engine: Engine, countdown: Callable[[int], None] | None = None) -> None:
        self._engine = engine
        self._say = countdown or (lambda _: None)
        self._noise = NoiseHold(engine.regions)
        self._cuts = CutEaser()
        self._filter = MotionFilter()
        self._hold: FaceHold[Motion] = FaceHold(HOLD, EASE)
        self.reset()

    @property
    def lost(self) -> int:
        """Number of frames without a face so far."""
        return self._hold.lost_frames

    def reset(self) -> None:
        """Start over with another driver."""
        self._noise.reset()
        self._cuts.reset()
        self._filter.reset()
        self._hold.reset()
        self._time: float | None = None
        self._reference: Motion | None = None  # current
        self._target: Motion | None = None  # of the transition
        self._since = 0.0
        self._pool: list[Motion] = []
        self._searching = False
        self._from = self._until = -math.inf  # time range of the frames in the pool
        self._count: int | None = None  # seconds last announced
        self._wish: float | None = None
        self._asked = False

    @property
    def reference(self) -> Motion | None:
        """The current reference of motion."""
        return self._reference

    def recentre(self, at: float) -> None:
        """Capture a new neutral reference in the half second after a time; callable from any thread."""
        self._wish, self._asked = at, True

    def fix(self, reference: Motion, *, at_once: bool = False) -> None:
        """Use this frame (N = 1) as the reference and stop searching, unless a new reference was requested.

        Args:
            reference: The frame.
            at_once: Switch immediately; otherwise ease from the current reference.
        """
        if self._asked:
            return
        self._target, self._since = reference, 0.0 if self._time is None else self._time
        self._reference = reference if at_once or self._reference is None else self._reference
        self._searching, self._pool = False, []

    def lone(self, motion: Motion) -> Shown:
        """Motion of a still, relative to its own neutral expression."""
        return Shown(motion, lone_reference(self._engine, motion), still=True)

    def __call__(
        self, raw: Motion | None, time: float, *, jump: bool = False, hold: bool = True, ease: float = 0.0,
        smooth: bool = True, first: bool = False, rest: Motion | None = None,
    ) -> Shown | None:  # fmt: skip
        """Motion to show, and its reference; None before the first face.

        Args:
            raw: Motion read from a frame (N = 1), or None if no face is detected.
            time: Capture time of the frame in seconds.
            jump: Don't smooth or bridge from the previous frame to this one.
            hold: Suppress image noise (liveportrait.noise).
            ease: Seconds over which motion is blended across a cut of the driving clip; 0 jumps.
            smooth: Smooth the motion with the One-Euro filter.
            first: Use the first frame with a face as the reference instead of the most neutral one of the first second.
            rest: Motion to ease to when the face is lost; None is the reference.
        """
        dt = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if jump or dt > GAP:
            self._noise.reset()
            self._cuts.reset()
            self._filter.reset()
        if jump:
            self._hold.reset()
        if raw is not None and hold:
            raw = self._noise(raw)
        if raw is not None and ease > 0:
            raw = self._cuts(raw, time, ease)
        if raw is not None and smooth:
            raw = self._filter(raw, dt)
        self._announce(time)
        if raw is not None:
            self._search(raw, time, first)
        self._approach(time, dt, jump)
        if self._reference is None:
            return None
        shown = self._hold(raw, self._reference if rest is None else rest, dt)
        return Shown(shown, self._reference, raw is not None)

    def _announce(self, time: float) -> None:
        if self._wish is not None:
            self._from, self._until = self._wish, self._wish + WINDOW
            self._pool, self._searching, self._count, self._wish = [], True, -1, None
        if self._count is not None:
            left = max(0, math.ceil(self._from - time))
            if left != self._count:
                self._say(left)
            self._count = left or None

    def _search(self, raw: Motion, time: float, first: bool) -> None:
        """Search the neutral frame during the search window."""
        if self._reference is None:
            self._reference = self._target = raw
            if not self._searching:
                self._searching, self._until = not first, time + SEARCH
        if not self._searching or time < self._from:
            return
        late = time > self._until
        if not (late and self._pool) and len(self._pool) < POOL:
            self._pool.append(raw)
            known = Motion.concatenate(self._pool)
            best = self._pool[neutral_frame(known)]
            if best is not self._target:
                self._target, self._since = best, time
        if late:
            self._searching, self._pool = False, []

    def _approach(self, time: float, dt: float, jump: bool) -> None:
        if self._target is None or self._reference is None or self._reference is self._target:
            return
        if jump or time - self._since > SETTLED:
            self._reference = self._target
        else:
            self._reference = blend(self._reference, self._target, np.float32(1 - math.exp(-dt / APPROACH)))
