"""The driver's side of a session: its capture thread, its frames' arrival, and what is said when they stay away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from app.environment import fault
from app.errors import AppError
from app.live.capture import Capture
from app.media.camera import RateMeter
from models.messages import msg

if TYPE_CHECKING:
    from app.events import EventStream
    from app.live.run import Run
    from app.live.states import State
    from app.media.camera import CameraFacts
    from app.sources.sample import DriverSource, Sample
    from liveportrait.engines.base import Engine

SILENCE: Final = 3.0  # seconds without a picture after which a camera counts as away
SOON: Final = 0.1  # seconds in which the next frame of a driver is awaited
OPENING: Final = 10.0  # seconds without an answer after which an opening is said to hang
STUCK: Final = 20.0  # seconds without an answer after which a camera is left to itself and opened anew
STUCK_AT_ONCE: Final = 3  # of those, at most
JOIN: Final = 1.0  # seconds that a driver may take to end before it is left to itself
PARTING: Final = 5.0  # seconds that is waited for those at the very end


class Desk:
    """Lets one driver at a time drive.

    Args:
        clock: Source of seconds.
        events: Gets messages.
        state: State of the session.
        move: Moves the session to another state; False if there is no way.
        changed: Called when something about the driver has changed.

    Attributes:
        source: The driver that was chosen last, or None.
        error: Why it gives no picture at the moment, or None.
        captured: Frames that it gave since ``renew``.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        events: EventStream,
        *,
        state: Callable[[], State],
        move: Callable[[State], bool],
        changed: Callable[[], None],
    ) -> None:
        self.source: DriverSource | None = None
        self.error: AppError | None = None
        self.captured = 0
        self._clock = clock
        self._events = events
        self._state = state
        self._move = move
        self._changed = changed
        self._capture: Capture | None = None
        self._make: Callable[[], Capture] | None = None  # the same again
        self._number = 0
        self._arrival = 0.0
        self._arrivals = RateMeter()
        self._orphans: list[Capture] = []
        self._hinted = ""

    # ---- control thread -------------------------------------------------------------------------------------------
    def renew(self) -> None:
        """Begin the figures anew."""
        self.error, self.captured = None, 0

    def begin(self, run: Run, engine: Engine) -> None:
        """Let the chosen driver drive, in place of the one before; without one the portrait comes to rest."""
        self.end()
        self.error, self._hinted = None, ""
        source = self.source
        self._number += 1
        run.drive(self._number, somebody=source is not None)
        if source is None:
            self._move("running")
            return
        self._move("starting")
        self._arrival, self._arrivals = self._clock(), RateMeter()
        number = self._number

        def make() -> Capture:
            return Capture(
                source, number, run.captured, self._clock, engine,
                arrived=self._arrived, trouble=lambda error, again: self._trouble(number, error, again),
            )  # fmt: skip

        self._make = make
        try:
            self._capture = make()
        except Exception as error:  # noqa: BLE001 - a driver of an odd camera must not end the session
            self._trouble(number, fault(error), False)
        self._changed()

    def ask_to_end(self) -> None:
        """Take no further frames; returns at once."""
        self._number += 1
        if self._capture is not None:
            self._capture.stop()

    def end(self) -> None:
        """End the capture thread; one that is stuck in the driver of a camera is left to itself."""
        capture, self._capture, self._make = self._capture, None, None
        if capture is None:
            return
        capture.stop()
        if not capture.join(JOIN):
            self._orphans = [o for o in self._orphans if not o.join(0)]
            self._orphans.append(capture)

    def join(self, timeout: float | None) -> None:
        """Wait, not for long, for threads that were left to themselves."""
        end = time.monotonic() + (PARTING if timeout is None else min(PARTING, timeout))
        for orphan in self._orphans:
            orphan.join(max(0.0, end - time.monotonic()))

    def watch(self) -> None:
        """Look, now and then, at a camera that may have fallen silent, and at its hints."""
        capture, state = self._capture, self._state()
        if capture is None or state not in ("running", "starting", "waiting"):
            return
        if capture.driver.lasting:
            self._watch_camera(capture, state)
        if self._state() == "waiting":
            return
        try:
            hint = capture.driver.hint()
        except Exception:  # noqa: BLE001 - it is only a hint
            return
        if hint and hint != self._hinted:
            self._hinted = hint
            self._events.warn(hint)

    def _watch_camera(self, capture: Capture, state: State) -> None:
        now, title, since = self._clock(), capture.source.title, capture.since
        hangs = 0.0 if since is None else now - since
        if state == "running" and now - self._arrival > SILENCE:
            error = AppError(
                msg("{title} has given no picture for {silence:g} s.", title, SILENCE), "The last one stays."
            )
            self._trouble(capture.number, error, False)
        elif state == "starting" and hangs > OPENING:
            error = AppError(
                msg("{title} has not opened within {opening:g} s.", title, OPENING),
                "Another program may be using it: close that.",
            )
            self._trouble(capture.number, error, False)
        elif state == "waiting" and hangs > STUCK and self._make is not None:
            self._orphans = [o for o in self._orphans if not o.join(0)]
            if len(self._orphans) < STUCK_AT_ONCE:
                make = self._make
                self.end()
                self._capture, self._make = make(), make

    # ---- any thread -----------------------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether somebody drives."""
        return self._capture is not None

    @property
    def busy(self) -> bool:
        """Whether a frame has just arrived, so that another one is likely to come soon."""
        return self._capture is not None and self._clock() - self._arrival < SOON

    @property
    def rate(self) -> float:
        """Frames a second that arrive; 0 until it is known."""
        return self._arrivals.rate

    @property
    def facts(self) -> CameraFacts | None:
        """Modes of the camera, or None."""
        capture = self._capture
        return None if capture is None else capture.driver.facts

    # ---- capture thread -------------------------------------------------------------------------------------------
    def _arrived(self, captured: Sample) -> None:
        if captured.run != self._number:
            return
        self._arrival = captured.time
        self._arrivals.tick(captured.time)
        self.captured += 1
        if self._state() != "running":
            back = self._state() == "waiting"
            self.error = None
            if self._move("running") and back:
                self._events.info(msg("The camera is back."))
            self._changed()

    def _trouble(self, number: int, error: AppError, again: bool) -> None:
        """The driver gives no picture."""
        if number != self._number:
            return
        known, self.error = self.error, error
        self._move("waiting")
        if known is None or str(known) != str(error):
            self._events.warn(msg("{error} It is tried again.", error) if again else str(error))
        self._changed()
