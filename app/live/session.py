"""The live session: states, commands, driver, portraits, sinks; see the package text for how it is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from app.events import Event, EventStream
from app.live.clips import ClipShow
from app.live.desk import Desk
from app.live.drivers import DriverSource
from app.live.frames import LiveFrame, Pixels
from app.live.neutral import NeutralFinder
from app.live.parts import PartLoader
from app.live.portraits import PortraitInfo, Shelf
from app.live.quality import Quality
from app.live.rack import SinkRack
from app.live.run import Run
from app.live.settings import Settings
from app.live.slot import live_clock
from app.live.states import ACTIVE, State, may_move
from app.live.stats import LiveStats, SinkInfo
from app.live.trackers import KeptTracker, Trackers
from app.live_options import LiveOptions
from app.options import RenderOptions
from app.render.inputs import load_job_engine

if TYPE_CHECKING:
    from app.live.player import Playback
    from app.live.sinks import Sink
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression
    from models.face import FaceTracker

FRAME: Final = 120.0  # seconds that a frame may take; a stop waits for it
TICK: Final = 0.25  # seconds between two looks at the camera
Engines = Callable[[RenderOptions, Callable[[str], None], Callable[[str], None]], "Engine"]


class LiveSession:
    """Animates portraits in real time.

    All methods return at once and may be called from any thread in any state and any order; the work is done by threads
    of the session. What happens is told through ``events`` (messages for people) and ``on_change`` (something to look
    at has changed). Use it in a ``with`` statement, or call ``close``.

    Args:
        options: Input, animation and program options (engine, device).
        live: Live options.
        engine: Engine to use instead of the one that the options name.
        events: Gets messages; from the session's threads.
        on_change: Called from the session's threads with "state", "portraits", "sinks", "camera", "quality", "engine"
            or "countdown" when that has changed.
        clock: Source of seconds.
        load: Loads the engine that options name.
        trackers: Makes a face tracker; one follows the driver, one looks at portraits.
    """

    def __init__(
        self,
        options: RenderOptions | None = None,
        live: LiveOptions | None = None,
        *,
        engine: Engine | None = None,
        events: EventStream | None = None,
        on_change: Callable[[str], None] | None = None,
        clock: Callable[[], float] | None = None,
        load: Engines = load_job_engine,
        trackers: Callable[[], FaceTracker] | None = None,
    ) -> None:
        self.events = events or EventStream()
        self.clock = clock or live_clock
        self.countdown = 0
        self.error: AppError | None = None
        """Why the last start failed, or None."""
        self._on_change = on_change or (lambda _: None)
        self._settings = Settings(options or RenderOptions(), live or LiveOptions())
        self._engine, self._load = engine, load
        self._state: State = "idle"
        self._changed = threading.Condition()
        self._shelf = Shelf(self._portraits_changed)
        self._trackers = Trackers(
            lambda: self._settings.options.input.detector,
            lambda sentence: self.events.emit(Event("message", message=sentence, level="error")),
            trackers,
        )
        self._tracker = KeptTracker(self._trackers, exact=True)
        self._run: Run | None = None
        self._rack = SinkRack(self.clock, self.events, lambda: self._notify("sinks"))
        self._quality = Quality()
        self._final: LiveStats | None = None
        self._desk = Desk(
            self.clock, self.events,
            state=lambda: self._state, move=self._move, changed=lambda: self._notify("camera"),
        )  # fmt: skip
        self._clips = ClipShow(
            self._shelf, KeptTracker(self._trackers), lambda: self._engine, lambda: self._settings, self.clock,
            running=lambda: self._run is not None and not self._closing.is_set(), shown=self._clip_shown,
            warn=self._warned,
        )  # fmt: skip
        self._parts = PartLoader(self._look, lambda error: self._warned(str(error)), self._trackers.spare)
        self._neutral = NeutralFinder(
            self._look, lambda error: self._warned(str(error)), self._warned, self._trackers.spare
        )
        self._commands: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._work = threading.Event()
        self._closing = threading.Event()
        self._renew_quality()  # before anything is prepared at another size
        self._threads = [
            threading.Thread(target=self._control, name="live-control", daemon=True),
            threading.Thread(target=self._prepare, name="live-portraits", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- state ----------------------------------------------------------------------------------------------------
    @property
    def state(self) -> State:
        """idle, starting, running, waiting (no picture from the driver), stopping or closed."""
        return self._state

    def start(self) -> None:
        """Begin to animate; nothing happens if it does already."""
        self._commands.put(self._do_start)

    def stop(self) -> None:
        """End capture, tracking and sinks; portraits stay ready."""
        self._commands.put(self._do_stop)

    def close(self, timeout: float | None = 30.0) -> None:
        """Stop for good and wait until all threads have ended."""
        if not self._closing.is_set():
            self._closing.set()
            self._commands.put(self._do_stop)
            self._commands.put(None)
            self._work.set()
        for thread in self._threads:
            thread.join(timeout)
        self._clips.close(timeout)
        self._desk.join(timeout)

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds; it is looked at whenever something changes.

        Returns:
            Whether it holds.
        """
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until all commands given so far have been carried out; True if they have."""
        done = threading.Event()
        self._commands.put(done.set)
        return done.wait(timeout)

    def _notify(self, what: str) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change(what)

    def _move(self, new: State) -> bool:
        with self._changed:
            if not may_move(self._state, new):
                return False
            self._state = new
        self._notify("state")
        return True

    # ---- settings -------------------------------------------------------------------------------------------------
    @property
    def options(self) -> RenderOptions:
        """Options in use."""
        return self._settings.options

    @property
    def live(self) -> LiveOptions:
        """Live options in use."""
        return self._settings.live

    @property
    def expression(self) -> Expression | None:
        """Sliders in use."""
        return self._settings.expression

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is loaded."""
        return self._engine

    def set_options(self, options: RenderOptions) -> None:
        """Change options; the next frame follows them.

        A new crop or face is prepared in the background, and another engine is loaded first.
        """
        old = self._settings.options
        self._settings = replace(self._settings, options=options)
        if (old.program.engine, old.program.device, old.program.threads) != (
            options.program.engine, options.program.device, options.program.threads,
        ):  # fmt: skip
            self._commands.put(lambda: self._do_reload(old))
        elif old.program.max_crop != options.program.max_crop:
            self._commands.put(self._renew_quality)
        if old.input.detector != options.input.detector:
            self._commands.put(self._do_restart)
        self._commands.put(self._do_parts)
        self._commands.put(self._do_neutral)
        self._refresh()

    def set_live(self, live: LiveOptions) -> None:
        """Change live options; camera and sinks keep those that they were made with."""
        self._settings = replace(self._settings, live=live)
        self._commands.put(self._renew_quality)
        self._refresh()

    def set_expression(self, expression: Expression | None) -> None:
        """Move sliders; the next frame follows them."""
        self._settings = replace(self._settings, expression=expression)
        self._redraw()

    def _redraw(self) -> None:
        run = self._run
        if run is not None:
            run.redraw()

    def _look(self) -> None:
        """Something that frames are made with has come; also those that stand still take it."""
        run = self._run
        if run is not None:
            run.look()

    def _refresh(self) -> None:
        self._work.set()
        self._redraw()

    # ---- portraits ------------------------------------------------------------------------------------------------
    def add_portrait(
        self,
        key: str,
        picture: str | Path | Pixels,
        *,
        title: str = "",
        face: str = "",
        crop: str = "",
        driver_for: str = "",
    ) -> None:
        """Put a portrait on the shelf; it is prepared in the background. The first one is shown.

        Args:
            key: What it is called in this session; one of the same key is replaced.
            picture: File, or (H, W, 3 or 4) uint8.
            title: Name for people; that of the file by default.
            face: Which face, instead of the option "face".
            crop: Square to animate, instead of the option "crop".
            driver_for: Faces with drivers of their own, instead of the option "driver_for".
        """
        picture = Path(picture) if isinstance(picture, str) else picture
        self._shelf.add(key, picture, title=title, face=face, crop=crop, driver_for=driver_for)
        self._commands.put(self._ensure_engine)
        self._commands.put(self._do_parts)
        self._work.set()

    def remove_portrait(self, key: str) -> None:
        """Take a portrait off the shelf."""
        self._shelf.remove(key)
        self._work.set()

    def select_portrait(self, key: str) -> None:
        """Show a portrait; a ready one with the next frame.

        Raises:
            KeyError: There is none of this key.
        """
        self._shelf.select(key)
        self._commands.put(self._do_parts)
        self._refresh()

    @property
    def portraits(self) -> list[PortraitInfo]:
        """All portraits with their status."""
        return self._shelf.infos()

    @property
    def selected(self) -> str:
        """Key of the chosen portrait, or empty."""
        return self._shelf.selected

    def portrait(self, key: str) -> PortraitInfo:
        """One portrait. Raises KeyError."""
        return self._shelf.info(key)

    @property
    def clip(self) -> Playback | None:
        """Knobs of the chosen portrait while it is a clip that plays, or None."""
        return self._clips.playback

    def _clip_shown(self) -> None:
        """Another frame of the portrait: the next frame of the driver takes it, if one comes soon."""
        if not self._desk.busy:
            self._redraw()

    def _portraits_changed(self) -> None:
        self._redraw()
        self._clips.look()
        self._notify("portraits")

    def _prepare(self) -> None:
        """Thread: prepares portraits."""
        tracker = KeptTracker(self._trackers)
        while not self._closing.is_set():
            self._work.wait()
            self._work.clear()
            while (engine := self._engine) is not None and not self._closing.is_set():
                settings = self._settings
                if not self._shelf.work(engine, tracker.get(), settings.options, settings.live.picture_size):
                    break
                self._quality.settle(self.clock())

    # ---- driver ---------------------------------------------------------------------------------------------------
    @property
    def driver_error(self) -> AppError | None:
        """Why the driver gives no picture at the moment, or None."""
        return self._desk.error

    @property
    def draw_error(self) -> AppError | None:
        """Why the last frame could not be drawn, or None."""
        run = self._run
        return None if run is None else run.draw_error

    @property
    def driver(self) -> DriverSource | None:
        """Who drives, or None."""
        return self._desk.source

    def set_driver(self, source: DriverSource | None) -> None:
        """Choose who drives; None leaves it to the sliders. A running session goes on with the new one."""
        self._desk.source = source
        self._commands.put(self._do_drive)

    def recentre(self, countdown: float = 3.0) -> None:
        """Take a new neutral reference after a countdown in seconds: the most neutral look of the next half second."""
        run = self._run
        if run is not None:
            run.motion.recentre(self.clock() + max(0.0, countdown))

    def _warned(self, sentence: str) -> None:
        """A working thread tells of a fault."""
        self.events.warn(sentence)
        self._notify("state")

    def _counted(self, left: int) -> None:
        self.countdown = left
        if left == 0:
            self.events.info("The neutral pose is taken now.")
        self._notify("countdown")

    # ---- sinks ----------------------------------------------------------------------------------------------------
    def add_sink(self, sink: Sink) -> None:
        """Hand frames to a sink, now or from the next start on. One of the same name is replaced."""
        self._commands.put(lambda: self._rack.add(sink))
        self._commands.put(self._redraw)

    def remove_sink(self, name: str) -> None:
        """Finish a sink; a recording is completed."""
        self._commands.put(lambda: self._rack.remove(name))

    @property
    def sinks(self) -> tuple[SinkInfo, ...]:
        """All sinks with their status."""
        return self._rack.infos()

    def _publish(self, frame: LiveFrame, busy: float) -> None:
        self._rack.publish(frame)
        if frame.fresh:
            self._govern(busy)

    # ---- quality --------------------------------------------------------------------------------------------------
    def _govern(self, busy: float) -> None:
        """After each frame, in the render thread."""
        run, given = self._run, self._desk.rate
        if run is None or not self._desk.running:
            return
        target = self._settings.live.hold_rate
        wanted, prepared = min(given, target) if given else target, self._shelf.shown
        side = prepared.face.crop.size if prepared is not None else 0
        sentence = self._quality.watch(self.clock(), busy, wanted, run.rate.rate, side)
        if sentence:
            self.events.info(sentence)
            self._work.set()
            self._notify("quality")

    def _renew_quality(self) -> None:
        if self._engine is not None and self._quality.renew(self._engine, self._settings, self.clock()):
            self._work.set()

    # ---- figures --------------------------------------------------------------------------------------------------
    def stats(self) -> LiveStats:
        """Figures of the moment; after a stop those of the last run."""
        run = self._run
        if run is None:
            return self._final or LiveStats(self._state, sinks=self.sinks)
        first, dropped = self._rack.first()
        prepared = self._shelf.shown
        figures = LiveStats(
            state=self._state,
            captured=self._desk.captured,
            dropped=dropped + run.captured.dropped + run.tracked.dropped + run.drawn.dropped,
            lost=run.lost,
            crop=prepared.face.crop.size if prepared is not None else 0,
            engine=self._engine.name if self._engine is not None else "",
            camera=self._desk.facts,
            sinks=self.sinks,
            stages=run.timings.report(),
        )
        return figures if first is None else figures.shown_by(first.meter)

    # ---- the control thread ---------------------------------------------------------------------------------------
    def _control(self) -> None:
        """Thread: carries out commands one after the other, and watches the camera in between."""
        while True:
            try:
                command = self._commands.get(timeout=TICK)
            except queue.Empty:
                self._desk.watch()
                continue
            if command is None:
                break
            try:
                command()
            except AppError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - a lost session is worse than a sentence about a fault
                self._failed(AppError(f"This is a fault of the program ({type(error).__name__}: {error})."))
        self._parts.cancel()
        self._neutral.cancel()
        self._move("closed")

    def _failed(self, error: AppError) -> None:
        self.error = error
        self.events.emit(Event("message", message=str(error), level="error"))
        if self._state == "starting":
            self._do_stop()
        self._notify("state")

    def _ensure_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._load(self._settings.options, self.events.info, self.events.warn)
            self._renew_quality()
            self._notify("engine")
        self._work.set()
        return self._engine

    def _do_reload(self, old: RenderOptions) -> None:
        if self._engine is None:
            return
        was = self._state in ACTIVE
        try:
            engine = self._load(self._settings.options, self.events.info, self.events.warn)
        except AppError:
            kept = self._settings.options
            self._settings = replace(self._settings, options=replace(kept, program=old.program))
            self._notify("engine")
            raise
        if was:
            self._do_stop()
        self._engine = engine
        self._renew_quality()
        self._work.set()
        self._notify("engine")
        if was:
            self._do_start()

    def _do_start(self) -> None:
        if self._closing.is_set() or self._state != "idle" or not self._move("starting"):
            return
        self.error = self._final = None
        engine = self._ensure_engine()
        tracker = self._tracker.get()
        self._rack.start()
        self.countdown = 0
        self._desk.renew()
        self._renew_quality()
        self._run = Run(
            engine, tracker, lambda: self._settings, lambda: self._shelf.shown, self.clock,
            publish=self._publish, warn=self._warned, countdown=self._counted, parts=lambda: self._parts.current,
            neutral=lambda: self._neutral.current,
        )  # fmt: skip
        self._do_parts()
        self._do_drive()
        self._clips.look()

    def _do_restart(self) -> None:
        """Go on with another face detector."""
        if self._state in ACTIVE and self._tracker.outdated:
            self._do_stop()
            self._do_start()

    def _do_parts(self) -> None:
        if self._run is not None and self._engine is not None:
            options = self._settings.options
            self._parts.want(self._engine, options, self._shelf.own_drivers(options))

    def _do_neutral(self) -> None:
        """Look for the neutral frame of a clip that drives."""
        source = self._desk.source
        if self._run is not None and self._engine is not None:
            self._neutral.want(self._engine, None if source is None else source.clip, self._settings.options)

    def _do_drive(self) -> None:
        """Let the chosen driver drive, in place of the one before."""
        if self._run is None or self._engine is None:
            return
        self._quality.settle(self.clock())
        self._neutral.cancel()
        self._desk.begin(self._run, self._engine)
        self._do_neutral()

    def _do_stop(self) -> None:
        if not self._move("stopping"):
            return
        self._desk.ask_to_end()
        self._neutral.cancel()
        run = self._run
        if run is not None:
            run.stop()
            run.join(FRAME)
        self._rack.finish()
        if run is not None:
            self._final = replace(self.stats(), state="idle")
        self._desk.end()
        self._run = None
        self._clips.look()
        self._rack.clear()
        self._move("idle")
