"""A driving channel in real time: the steps of ``liveportrait.channel`` for motion that has no future, as of a camera.

Motion is cleaned and held by the same rules. The neutral frame is searched while it plays, and the smoother looks back
only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from liveportrait.channel import MotionCleaner
from liveportrait.driving import FaceHold, Shown
from liveportrait.motion import Motion, blend
from liveportrait.options import AnimationOptions
from liveportrait.reference import neutral_frame
from liveportrait.smoothing import MotionFilter

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine

SEARCH: Final = 1.0  # seconds after the first face in which the neutral frame is searched
WINDOW: Final = 0.5  # length of the search in seconds after a countdown
GAP: Final = 1.0  # seconds without a frame after which nothing is smoothed across
POOL: Final = 90  # most frames compared
APPROACH: Final = 0.12  # time constant in seconds of the transition to a new reference
SETTLED: Final = 1.0  # seconds after which the transition ends


class NeutralWindow:
    """The time in which the neutral pose is captured, with the countdown to it.

    Args:
        countdown: Receives the whole seconds left, 0 when the window begins.

    Attributes:
        start: Seconds at which the window begins; -inf before one was asked for.
        end: Seconds at which it ends.
    """

    def __init__(self, countdown: Callable[[int], None] | None = None) -> None:
        self._say = countdown or (lambda _: None)
        self.reset()

    def reset(self) -> None:
        """Forget the window."""
        self.start = self.end = -math.inf
        self._count: int | None = None  # seconds last announced
        self._wish: float | None = None

    def ask(self, at: float) -> None:
        """Request another window, which begins at a time; callable from any thread."""
        self._wish = at

    def asked(self, time: float) -> bool:
        """Whether another window was requested since the last call; announces the seconds left at a time."""
        asked = self._wish is not None
        if self._wish is not None:
            self.start, self.end = self._wish, self._wish + WINDOW
            self._wish, self._count = None, -1
        if self._count is not None:
            left = max(0, math.ceil(self.start - time))
            if left != self._count:
                self._say(left)
            self._count = left or None
        return asked


class LiveChannel:
    """Converts motion as it is read to motion to show.

    Args:
        engine: Engine that reads it.
        countdown: Receives the whole seconds left of a countdown, 0 when the new reference is captured; called by the
            thread that passes the motion.
    """

    def __init__(self, engine: Engine, countdown: Callable[[int], None] | None = None) -> None:
        self._clean = MotionCleaner(engine.regions)
        self._filter = MotionFilter()
        self._hold: FaceHold[Motion] = FaceHold()
        self._window = NeutralWindow(countdown)
        self.reset()

    @property
    def lost(self) -> int:
        """Number of frames without a face so far."""
        return self._hold.lost_frames

    def reset(self) -> None:
        """Start over with another driver."""
        self._clean.reset()
        self._filter.reset()
        self._hold.reset()
        self._window.reset()
        self._time: float | None = None
        self._reference: Motion | None = None  # current
        self._target: Motion | None = None  # of the transition
        self._since = 0.0
        self._pool: list[Motion] = []
        self._searching = False

    def recentre(self, at: float) -> None:
        """Capture a new neutral reference in the half second after a time; callable from any thread."""
        self._window.ask(at)

    def start_from(self, reference: Motion) -> None:
        """Use a known neutral frame (N = 1) and search none, until one is asked for."""
        self._reference = self._target = reference

    def __call__(
        self, raw: Motion | None, time: float, options: AnimationOptions, *, jump: bool = False,
        rest: Motion | None = None,
    ) -> Shown | None:  # fmt: skip
        """Motion to show, and its reference; None before the first face.

        Args:
            raw: Motion read from a frame (N = 1), or None if no face is detected.
            time: Capture time of the frame in seconds.
            options: smooth, official, ease_cuts and reference are used; of the latter, "first" takes the first frame
                with a face as the neutral one and anything else the most neutral one of the first second.
            jump: Don't smooth or bridge from the previous frame to this one.
            rest: Motion to ease to when the face is lost; None is the reference.
        """
        dt = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if jump or dt > GAP:
            self._clean.reset()
            self._filter.reset()
        if jump:
            self._hold.reset()
        smooth = options.smooth > 0 and not options.official
        if raw is not None:
            raw = self._clean(raw, time, hold=smooth, ease=options.ease_cuts)
            raw = self._filter(raw, dt) if smooth else raw
        if self._window.asked(time):
            self._pool, self._searching = [], True
        if raw is not None:
            self._search(raw, time, options.reference == "first")
        self._approach(time, dt, jump)
        if self._reference is None:
            return None
        shown = self._hold(raw, self._reference if rest is None else rest, dt)
        return Shown(shown, self._reference, raw is not None)

    def _search(self, raw: Motion, time: float, first: bool) -> None:
        """Search the neutral frame during the search window."""
        if self._reference is None:
            self._reference = self._target = raw
            if not self._searching:
                self._searching, self._window.end = not first, time + SEARCH
        if not self._searching or time < self._window.start:
            return
        late = time > self._window.end
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
