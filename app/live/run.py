"""The three working threads of a running session: track (face and motion), render (the square) and paste (the picture).

Slots between them hold the newest item only, so delay never builds up and the slowest thread sets the rate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.errors import AppError, UsageError
from app.frames.follow import FaceFollower
from app.frames.timings import Timings
from app.live.frames import LiveFrame, Pixels, Tracked
from app.live.motion import LiveMotion
from app.live.slot import Slot
from app.media.camera import RateMeter
from app.provenance.label import labelled
from app.sources.sample import Sample
from liveportrait.driving import DrivingReader
from liveportrait.rules import rests_at_reference
from models.choices import LARGEST
from models.messages import msg

if TYPE_CHECKING:
    from app.live.parts import PartDrivers
    from app.live.portraits import PreparedPortrait
    from app.live.settings import Settings
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.tracker import FaceTracker

DRAWING, TRACKING = "Drawing", "Tracking"


@dataclass(frozen=True)
class Drawn:
    """Squares on their way into the picture.

    Attributes:
        prepared: Whose it is.
        tracked: The motion that it shows.
        settings: Options that it was drawn with.
        fresh: False if it was drawn again for an option or a slider.
        start: Seconds on the session's clock at which drawing began.
        squares: (S, S, 3 or 4) uint8 of each face; empty where the portrait shows no face at the moment.
        seconds: How long drawing took.
    """

    prepared: PreparedPortrait
    tracked: Tracked
    settings: Settings
    fresh: bool
    start: float
    squares: tuple[Pixels, ...]
    seconds: float


class Run:
    """Tracks, draws and pastes until it is told to stop.

    Args:
        engine: Reads and draws.
        tracker: Finds faces.
        settings: Options and sliders of the moment.
        shown: The portrait of the moment, or None.
        clock: Source of seconds.
        publish: Gets each finished frame, with the seconds that the slower of drawing and pasting took.
        warn: Told of faults, once for each kind.
        countdown: Told of the seconds left until a new neutral reference is taken.
        parts: Drivers of parts of the face at the moment, or None.
        neutral: Neutral frame of the clip that drives, or None while it is not known.
    """

    def __init__(
        self,
        engine: Engine,
        tracker: FaceTracker,
        settings: Callable[[], Settings],
        shown: Callable[[], PreparedPortrait | None],
        clock: Callable[[], float],
        *,
        publish: Callable[[LiveFrame, float], None],
        warn: Callable[[str], None],
        countdown: Callable[[int], None],
        parts: Callable[[], PartDrivers | None] = lambda: None,
        neutral: Callable[[], Motion | None] = lambda: None,
    ) -> None:
        self.captured: Slot[Sample] = Slot()
        self.tracked: Slot[Tracked] = Slot()
        self.drawn: Slot[Drawn] = Slot()
        self.timings = Timings()
        self.rate = RateMeter()
        self.lost = 0
        self.draw_error: AppError | None = None
        """Why the last frame could not be drawn, or None."""
        self._engine = engine
        self._tracker = tracker
        self._settings = settings
        self._shown = shown
        self._clock = clock
        self._publish = publish
        self._warn = warn
        self._parts = parts
        self._neutral = neutral
        self._joined: PartDrivers | None = None  # drivers of parts in the last frame
        self._last: Tracked | None = None  # the last frame, without them
        self._again: Tracked | None = None  # the last frame with something new
        self._said: set[str] = set()
        self._stop = threading.Event()
        self._dirty = True
        self._number = 0  # run of the driver whose frames count
        self._turn = threading.Lock()  # held while it changes, and while a frame is handed on
        self._reference: Motion | None = None
        self._count = 0
        self.motion = LiveMotion(engine, countdown)
        self._threads = [
            threading.Thread(target=work, name=f"live-{name}", daemon=True)
            for name, work in (("track", self._track), ("render", self._render), ("paste", self._paste))
        ]
        for thread in self._threads:
            thread.start()

    def drive(self, number: int, *, somebody: bool) -> None:
        """Only frames of this run of a driver count from now on; without anybody the portrait comes to rest."""
        with self._turn:  # a frame of the driver before must not come after this
            self._number = number
            self.captured.clear()
            if not somebody:
                self.tracked.put(Tracked())

    def redraw(self) -> None:
        """Draw again: an option, a slider or the portrait has changed."""
        self._dirty = True
        self.tracked.poke()

    def look(self) -> None:
        """A neutral frame or drivers of parts have come: a frame that stands still takes them too."""
        self.captured.poke()

    @property
    def dropped(self) -> int:
        """Frames that came and were never drawn."""
        return self.captured.dropped + self.tracked.dropped + self.drawn.dropped

    def mute(self) -> None:
        """Publish nothing more; for a run that is stuck and is left to itself."""
        self._publish = lambda *_: None

    def stop(self) -> None:
        """Ask all threads to end; a frame that is being drawn is still finished."""
        self._stop.set()
        self.captured.close()
        self.tracked.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for their end; True if all have ended."""
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _fault(self, what: str, error: Exception) -> None:
        """Remember an error, and tell of it once."""
        known = (
            error
            if isinstance(error, AppError)
            else AppError(msg("{what} failed: {name}: {error}.", what, type(error).__name__, error))
        )
        if what == DRAWING:
            self.draw_error = known
        if str(known) not in self._said and len(self._said) < 64:
            self._said.add(str(known))
            self._warn(str(known))

    # ---- track ----------------------------------------------------------------------------------------------------
    def _track(self) -> None:
        number, choice = 0, LARGEST
        reader = DrivingReader(self._engine)
        follow: FaceFollower | None = None
        while not self._stop.is_set():
            captured = self.captured.take(0.5)
            if captured is None:
                try:
                    self._renew()
                except Exception as error:  # noqa: BLE001
                    self._fault(TRACKING, error)
                continue
            if captured.run != self._number:
                continue
            try:
                wanted = self._settings().options.input.followed
                if captured.run != number or follow is None or wanted != choice:
                    number, choice = captured.run, wanted
                    reader.reset()
                    self.motion.reset()
                    self._reference = self._last = None
                    follow = FaceFollower(self._tracker, choice)
                start = self._clock()
                tracked = self._read(captured, reader, follow)
                self.timings.add("track", self._clock() - start)
            except UsageError as error:  # the face that was asked for does not exist
                self._fault(TRACKING, error)
                follow = FaceFollower(self._tracker, LARGEST)
                continue
            except Exception as error:  # noqa: BLE001 - runtimes of networks raise errors of their own
                self._fault(TRACKING, error)
                continue
            with self._turn:
                if captured.run == self._number:
                    self.tracked.put(tracked)

    def _read(self, captured: Sample, reader: DrivingReader, follow: FaceFollower) -> Tracked:
        settings = self._settings()
        options, raw, face = settings.options.animation, captured.motion, None
        if captured.rgb is not None:
            self._tracker.steady = not options.official
            face = follow(captured.rgb)
            raw = None if face is None else reader.read(captured.rgb, face)
        if captured.lone:
            if raw is None:
                raise AppError(
                    "The driving picture shows no face.", "Choose one with a face, large and from the front."
                )
            return self._with_parts(Tracked(captured, face, self.motion.lone(raw)))
        known = captured.reference or self._neutral()
        if known is not None and self._reference is not known:
            self._reference = known
            self.motion.fix(known)
        if raw is None:
            self.lost += 1
        shown = self.motion(
            raw, captured.time, jump=captured.jump, hold=options.smooth > 0 and not options.official,
            ease=options.ease_cuts, smooth=options.smooth > 0 and captured.motion is None,
            first=options.reference == "first", rest=self._rest(),
        )  # fmt: skip
        return self._with_parts(Tracked(captured, face, shown))

    def _with_parts(self, tracked: Tracked) -> Tracked:
        """The same with what drivers of parts show at that time."""
        parts, captured = self._parts(), tracked.captured
        self._last, self._joined = tracked, parts
        if parts is None or tracked.shown is None or captured is None:
            return tracked
        shown, own = parts.join(tracked.shown, captured.time, captured.place, self._rest())
        return replace(tracked, shown=shown, own=own)

    def _rest(self) -> Motion | None:
        """What lost motion eases to; None is the reference."""
        prepared, options = self._shown(), self._settings().options.animation
        if prepared is None or rests_at_reference(self._engine, options):
            return None
        return prepared.scene.faces[0].portrait.motion

    def _renew(self) -> None:
        """No frame has come: the last one takes a neutral frame or drivers of parts that have."""
        last, known = self._last, self._neutral()
        if last is None or not self._counts(last) or last.captured is None or last.shown is None:
            return
        fresh = known is not None and known is not self._reference and not last.captured.lone
        if fresh and known is not None:
            self._reference = known
            self.motion.fix(known, at_once=True)
            last = replace(last, shown=replace(last.shown, reference=self.motion.reference or last.shown.reference))
        if fresh or self._parts() is not self._joined:
            again = self._with_parts(last)
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
            fresh = tracked is not None and tracked.captured is not None
            self._dirty = False
            with self._turn:
                again, self._again = self._again, None
            if again is not None and self._counts(again) and (tracked is None or tracked.captured is again.captured):
                last = again  # also where it overtook the frame that it adds something to
            else:
                last = tracked or last
            prepared = self._shown()
            if prepared is None:
                continue
            try:
                self.drawn.put(self._draw(prepared, last, fresh))
            except Exception as error:  # noqa: BLE001 - runtimes of networks raise errors of their own
                self._fault(DRAWING, error)

    def _counts(self, tracked: Tracked) -> bool:
        """Whether a frame is of the driver of the moment, or of none."""
        return tracked.captured is None or tracked.captured.run == self._number

    def _draw(self, prepared: PreparedPortrait, tracked: Tracked, fresh: bool) -> Drawn:
        settings = self._settings()
        start = self._clock()
        if prepared.hidden:
            return Drawn(prepared, tracked, settings, fresh, start, (), 0.0)
        animator, scene = settings.animator(self._engine), prepared.scene
        shown = [tracked.own.get(path, tracked.shown) if path else tracked.shown for path in prepared.drivers]
        keypoints = animator.pose(scene, shown)
        if not all(np.isfinite(x_d).all() for x_d in keypoints):
            raise FloatingPointError("the motion of this frame is not a number; the last picture stays")
        squares = tuple(square[0] for square in animator.draw(scene, keypoints))
        seconds = self._clock() - start
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
                start = self._clock()
                frame = self._finished(drawn)
                self._publish(frame, max(drawn.seconds, self._clock() - start))
                self.draw_error = None
            except Exception as error:  # noqa: BLE001
                self._fault(DRAWING, error)

    def _finished(self, drawn: Drawn) -> LiveFrame:
        """The full picture with the squares."""
        prepared, tracked, fresh = drawn.prepared, drawn.tracked, drawn.fresh
        if not drawn.squares:
            return self._bare(prepared, tracked, fresh, drawn.start)
        start = self._clock()
        composed = drawn.settings.animator(self._engine).compose(prepared.scene, drawn.squares)
        picture = (labelled(composed) if drawn.settings.options.output.label == "corner" else composed).whole()
        done = self._clock()
        if fresh:
            self.timings.add("paste", done - start)
            self.rate.tick(done)
        captured = tracked.captured
        self._count += 1
        return LiveFrame(
            index=self._count - 1,
            time=captured.time if captured is not None and fresh else drawn.start,
            picture=picture,
            source=prepared.at_rest(drawn.settings.options.animation),
            driver=None if captured is None else captured.rgb,
            face=tracked.face,
            portrait=prepared.key,
            fresh=fresh,
            seen=tracked.face is not None or (captured is not None and captured.motion is not None),
            marks={"rendered": done},
        )

    def _bare(self, prepared: PreparedPortrait, tracked: Tracked, fresh: bool, start: float) -> LiveFrame:
        """A frame of a portrait that shows no face at the moment, as it is."""
        captured, picture = tracked.captured, prepared.scene.picture
        self._count += 1
        return LiveFrame(
            self._count - 1, captured.time if captured is not None and fresh else start, picture, picture,
            None if captured is None else captured.rgb, tracked.face, prepared.key, fresh=fresh, seen=False,
            marks={"rendered": self._clock()},
        )  # fmt: skip
