"""The three working threads of a running session: track (face and motion), render (the crop) and paste (the frame).

Mailboxes between them hold only the newest item, so delay never builds up and the slowest thread sets the rate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import AppError
from app.frames.timings import Timings
from app.live.frames import LiveFrame, Pixels, Tracked
from app.live.mailbox import Mailbox
from app.media.camera import RateMeter
from app.provenance.label import labelled
from app.sources.sample import Sample
from models.messages import msg

if TYPE_CHECKING:
    from app.live.context import SessionContext
    from app.live.portraits import PortraitStore, PreparedPortrait
    from app.live.settings import Settings
    from app.live.tracking import Tracking
    from liveportrait.engines.base import Engine

DRAWING, TRACKING = "Drawing", "Tracking"


@dataclass(frozen=True)
class Drawn:
    """Rendered crops to be pasted into the frame.

    Attributes:
        prepared: The portrait.
        tracked: The motion that it shows.
        settings: Settings that it was rendered with.
        fresh: False if it was rendered again for an option or a slider.
        start: Start of rendering in seconds on the session's clock.
        squares: (S, S, 3 or 4) uint8 of each face; empty if the portrait currently shows no face.
        seconds: Duration of rendering.
    """

    prepared: PreparedPortrait
    tracked: Tracked
    settings: Settings
    fresh: bool
    start: float
    squares: tuple[Pixels, ...]
    seconds: float


class Pipeline:
    """Tracks, renders and pastes until stopped.

    Args:
        context: Shared by the parts of the session.
        engine: Renders.
        tracking: Reads motion from the driver's frames; belongs to the tracking thread.
        portraits: Provides the portrait on screen.
        publish: Receives each finished frame, with the seconds taken by the slower of rendering and pasting.
    """

    def __init__(
        self,
        context: SessionContext,
        engine: Engine,
        tracking: Tracking,
        portraits: PortraitStore,
        publish: Callable[[LiveFrame, float], None],
    ) -> None:
        self.captured: Mailbox[Sample] = Mailbox()
        self.tracked: Mailbox[Tracked] = Mailbox()
        self.drawn: Mailbox[Drawn] = Mailbox()
        self.timings = Timings()
        self.rate = RateMeter()
        self.draw_error: AppError | None = None
        """Why the last frame could not be rendered, or None."""
        self.engine = engine
        self.clock = context.clock
        self.tracking = tracking
        self._context = context
        self._portraits = portraits
        self._publish = publish
        self._again: Tracked | None = None  # the last frame with an update
        self._reported: set[str] = set()
        self._stop = threading.Event()
        self._dirty = True
        self._number = 0  # number of the driver whose frames are accepted
        self._turn = threading.Lock()  # held while it changes, and while a frame is passed on
        self._count = 0
        self._threads = [
            threading.Thread(target=work, name=f"live-{name}", daemon=True)
            for name, work in (("track", self._track), ("render", self._render), ("paste", self._paste))
        ]
        for thread in self._threads:
            thread.start()

    def drive(self, number: int, *, driven: bool) -> None:
        """Accept only frames of the driver with this number; without one the portrait returns to neutral."""
        with self._turn:  # no frame of the previous driver may follow
            self._number = number
            self.captured.clear()
            if not driven:
                self.tracked.put(Tracked())

    def redraw(self) -> None:
        """Render again after an option, a slider or the portrait has changed."""
        self._dirty = True
        self.tracked.wake()

    def renew(self) -> None:
        """A neutral frame or drivers of parts are ready: a frame that stands still takes them too."""
        self.captured.wake()

    @property
    def dropped(self) -> int:
        """Number of frames that arrived and were never rendered."""
        return self.captured.dropped + self.tracked.dropped + self.drawn.dropped

    def mute(self) -> None:
        """Publish nothing more; for a stuck pipeline that is abandoned."""
        self._publish = lambda *_: None

    def stop(self) -> None:
        """Ask all threads to end; a frame being rendered is still finished."""
        self._stop.set()
        self.captured.close()
        self.tracked.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for them to end; returns whether all have."""
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _fault(self, what: str, error: Exception) -> None:
        """Store an error, and report it once."""
        known = (
            error
            if isinstance(error, AppError)
            else AppError(msg("{what} failed: {name}: {error}.", what, type(error).__name__, error))
        )
        if what == DRAWING:
            self.draw_error = known
        if str(known) not in self._reported and len(self._reported) < 64:
            self._reported.add(str(known))
            self._context.warn(known)

    def _counts(self, tracked: Tracked) -> bool:
        """Whether a frame is from the current driver, or from none."""
        return tracked.sample is None or tracked.sample.run == self._number

    # ---- track ----------------------------------------------------------------------------------------------------
    def _track(self) -> None:
        while not self._stop.is_set():
            sample = self.captured.take(0.5)
            try:
                if sample is None:
                    self._renew()
                elif sample.run == self._number:
                    start = self.clock()
                    tracked = self.tracking(sample)
                    self.timings.add("track", self.clock() - start)
                    with self._turn:
                        if self._counts(tracked):
                            self.tracked.put(tracked)
            except Exception as error:  # noqa: BLE001 - inference runtimes raise their own errors
                self._fault(TRACKING, error)

    def _renew(self) -> None:
        """Apply a new neutral frame or part drivers to the last frame while no new one arrives."""
        last = self.tracking.last
        again = self.tracking.renewed() if last is not None and self._counts(last) else None
        if again is not None:
            with self._turn:
                self._again = again
            self.redraw()

    # ---- render ---------------------------------------------------------------------------------------------------
    def _render(self) -> None:
        try:
            self._render_all()
        finally:
            self.drawn.close()

    def _render_all(self) -> None:
        last = Tracked()
        while not self._stop.is_set():
            tracked = self.tracked.take(0.5)
            if tracked is not None and not self._counts(tracked):
                tracked = None
            if tracked is None and not self._dirty:
                continue
            fresh = tracked is not None and tracked.sample is not None
            self._dirty = False
            with self._turn:
                again, self._again = self._again, None
            if again is not None and self._counts(again) and (tracked is None or tracked.sample is again.sample):
                last = again  # even if it overtook the frame that it updates
            else:
                last = tracked or last
            prepared = self._portraits.shown
            if prepared is None:
                continue
            try:
                self.drawn.put(self._draw(prepared, last, fresh))
            except Exception as error:  # noqa: BLE001 - inference runtimes raise their own errors
                self._fault(DRAWING, error)

    def _draw(self, prepared: PreparedPortrait, tracked: Tracked, fresh: bool) -> Drawn:
        settings = self._context.settings
        start = self.clock()
        if prepared.hidden:
            return Drawn(prepared, tracked, settings, fresh, start, (), 0.0)
        animator, scene = settings.animator(self.engine), prepared.scene
        shown = [tracked.own.get(path, tracked.shown) if path else tracked.shown for path in prepared.drivers]
        keypoints = animator.pose(scene, shown)
        if not all(np.isfinite(x_d).all() for x_d in keypoints):
            raise FloatingPointError("the motion of this frame is not a number; the last frame is kept")
        squares = tuple(square[0] for square in animator.draw(scene, keypoints))
        seconds = self.clock() - start
        if fresh:
            self.timings.add("render", seconds)
        return Drawn(prepared, tracked, settings, fresh, start, squares, seconds)

    # ---- paste ----------------------------------------------------------------------------------------------------
    def _paste(self) -> None:
        while True:
            drawn = self.drawn.take(0.5)
            if drawn is None:
                if self.drawn.closed:
                    return
                continue
            try:
                start = self.clock()
                frame = self._finished(drawn)
                self._publish(frame, max(drawn.seconds, self.clock() - start))
                self.draw_error = None
            except Exception as error:  # noqa: BLE001
                self._fault(DRAWING, error)

    def _finished(self, drawn: Drawn) -> LiveFrame:
        """The full frame with the crops pasted; a portrait that currently shows no face stays unchanged."""
        prepared, tracked, sample = drawn.prepared, drawn.tracked, drawn.tracked.sample
        start, options = self.clock(), drawn.settings.options
        picture = source = prepared.scene.picture
        if drawn.squares:
            composed = drawn.settings.animator(self.engine).compose(prepared.scene, drawn.squares)
            picture = (labelled(composed) if options.output.label == "corner" else composed).whole()
            source = prepared.at_rest(options.animation)
        done = self.clock()
        if drawn.fresh and drawn.squares:
            self.timings.add("paste", done - start)
            self.rate.tick(done)
        self._count += 1
        return LiveFrame(
            index=self._count - 1,
            time=sample.time if sample is not None and drawn.fresh else drawn.start,
            picture=picture,
            source=source,
            driver=None if sample is None else sample.rgb,
            face=tracked.face,
            portrait=prepared.key,
            fresh=drawn.fresh,
            seen=tracked.shown is not None and tracked.shown.seen and bool(drawn.squares),
            expression=None if tracked.shown is None else tracked.shown.expression,
            place=None if sample is None else sample.place,
            marks={"rendered": done},
            fill=options.output.fill_colour,
        )
