"""The inner side of a live session: its parts, its states, and the commands that its control thread carries out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.errors import AppError
from app.events import Event, EventStream
from app.live.clips import ClipShow
from app.live.control import Control, guarded
from app.live.desk import Desk
from app.live.engines import KeptEngine, Load
from app.live.frames import LiveFrame
from app.live.neutral import NeutralFinder
from app.live.parts import PartLoader
from app.live.portraits import Shelf
from app.live.quality import Quality
from app.live.rack import SinkRack
from app.live.run import Run
from app.live.settings import Settings
from app.live.states import ACTIVE, State, may_move
from app.live.stats import LiveStats
from app.live.trackers import KeptTracker, Trackers
from models.messages import msg

if TYPE_CHECKING:
    from app.live_options import LiveOptions
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from models.tracker import FaceTracker

FRAME: Final = 120.0  # seconds that a frame may take; a stop waits for it


class Machine:
    """Holds the parts of a session together; ``LiveSession`` is what people use.

    Args:
        options: Input, animation and program options (engine, device).
        live: Live options.
        engine: Engine to use instead of the one that the options name, or None.
        events: Gets messages.
        on_change: Told what has changed.
        clock: Source of seconds.
        load: Loads the engine that options name.
        trackers: Makes a face tracker, or None.
    """

    def __init__(
        self,
        options: RenderOptions,
        live: LiveOptions,
        engine: Engine | None,
        events: EventStream,
        on_change: Callable[[str], None],
        clock: Callable[[], float],
        load: Load,
        trackers: Callable[[], FaceTracker] | None,
    ) -> None:
        self.events = events
        self.clock = clock
        self.countdown = 0
        self.error: AppError | None = None
        """Why the last start failed, or None."""
        self._on_change = guarded(on_change)
        self._told = EventStream(guarded(self.events.emit))  # what the session's threads say
        self._settings = Settings(options, live)
        self._setting = threading.Lock()
        self._kept = KeptEngine(load, self._told.info, self._told.warn, engine, self._settings.options.program)
        self._state: State = "idle"
        self._changed = threading.Condition()
        self._shelf = Shelf(self._portraits_changed)
        self._trackers = Trackers(lambda: self._settings.options.input.finder, self._complain, trackers)
        self._tracker = KeptTracker(self._trackers, exact=True)
        self._run: Run | None = None
        self._rack = SinkRack(self.clock, self._told, lambda: self._notify("sinks"))
        self._quality = Quality()
        self._final: LiveStats | None = None
        self._past = (0, 0)  # frames dropped and lost before the engine or detector was changed
        self._wanted = False  # whether somebody asked for it to run
        self._desk = Desk(
            self.clock, self._told,
            state=lambda: self._state, move=self._move, changed=lambda: self._notify("camera"),
        )  # fmt: skip
        self._clips = ClipShow(
            self._shelf, KeptTracker(self._trackers), lambda: self._kept.current, lambda: self._settings, self.clock,
            running=lambda: self._run is not None and not self._closing.is_set(), shown=self._clip_shown,
            warn=self._warned,
        )  # fmt: skip
        self._parts = PartLoader(self._look, lambda error: self._warned(str(error)), self._trackers.spare)
        self._neutral = NeutralFinder(
            self._look, lambda error: self._warned(str(error)), self._warned, self._trackers.spare
        )
        self._control = Control(self._desk.watch, self._failed, self._end)
        self._work = threading.Event()
        self._closing = threading.Event()
        self._renew_quality()  # before anything is prepared at another size
        self._threads = [
            self._control.thread,
            threading.Thread(target=self._prepare, name="live-portraits", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ---- states ---------------------------------------------------------------------------------------------------
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
    def _change(self, **changes: Any) -> Settings:
        """Change settings; returns those before."""
        with self._setting:
            old, self._settings = self._settings, replace(self._settings, **changes)
            return old

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
            while (engine := self._kept.current) is not None and not self._closing.is_set():
                settings = self._settings
                if not self._shelf.work(engine, tracker.get, settings.options, settings.live.picture_size):
                    break
                self._quality.settle(self.clock())

    # ---- what the threads tell --------------------------------------------------------------------------------------
    def _warned(self, sentence: str) -> None:
        """A working thread tells of a fault."""
        self._told.warn(sentence)
        self._notify("state")

    def _complain(self, sentence: str) -> None:
        self._told.emit(Event("message", message=sentence, level="error"))

    def _counted(self, left: int) -> None:
        self.countdown = left
        if left == 0:
            self._told.info(msg("The neutral pose is taken now."))
        self._notify("countdown")

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
            self._told.info(sentence)
            self._work.set()
            self._notify("quality")

    def _renew_quality(self) -> None:
        if self._kept.current is not None and self._quality.renew(self._kept.current, self._settings, self.clock()):
            self._work.set()

    # ---- figures --------------------------------------------------------------------------------------------------
    def stats(self) -> LiveStats:
        """Figures of the moment; after a stop those of the last run."""
        run = self._run
        if run is None:
            return self._final or LiveStats(self._state, sinks=self._rack.infos())
        first, dropped = self._rack.first()
        prepared = self._shelf.shown
        figures = LiveStats(
            state=self._state,
            captured=self._desk.captured,
            dropped=dropped + run.dropped + self._past[0],
            lost=run.lost + self._past[1],
            crop=prepared.face.crop.size if prepared is not None else 0,
            engine=self._kept.current.name if self._kept.current is not None else "",
            camera=self._desk.facts,
            sinks=self._rack.infos(),
            stages=run.timings.report(),
        )
        return figures if first is None else figures.shown_by(first.meter)

    # ---- commands, in the control thread ---------------------------------------------------------------------------
    def _failed(self, error: AppError) -> None:
        self.error = error
        self._complain(str(error))
        if self._state == "starting":
            self._do_stop(wanted=self._wanted)
        self._notify("state")

    def _end(self) -> None:
        self._parts.cancel()
        self._neutral.cancel()
        self._move("closed")

    def _ensure_engine(self) -> Engine:
        engine = self._kept.current
        if engine is None:
            engine = self._kept.load(self._settings.options)
            self._renew_quality()
            self._notify("engine")
        self._work.set()
        return engine

    def _do_reload(self) -> None:
        """Go on with the engine that the options name; start with it where the one before could not be had."""
        options, first = self._settings.options, self._kept.current is None
        if self._kept.fits(options.program) or (first and not self._wanted and not self._shelf.infos()):
            return
        try:
            self._kept.load(options)
        except AppError:
            if not first:
                with self._setting:
                    self._settings = replace(self._settings, options=self._kept.kept(self._settings.options))
            self._notify("engine")
            raise
        self._renew_quality()
        self._work.set()
        self._notify("engine")
        if self._state in ACTIVE:
            self._begin_anew()
        elif first and self._wanted:
            self._do_start()

    def _do_start(self) -> None:
        self._wanted = True
        if self._closing.is_set() or self._state != "idle" or not self._move("starting"):
            return
        self.error = self._final = None
        self._past = (0, 0)
        self._ensure_engine()
        self._tracker.get()
        self._rack.start()
        self._desk.renew()
        self._begin()

    def _do_restart(self) -> None:
        """Go on with another face detector."""
        if self._tracker.outdated and self._state in ACTIVE:
            self._tracker.get()  # where it can't be had, the one before goes on
            self._begin_anew()
        elif self._tracker.outdated and self._wanted:
            self._do_start()

    def _begin_anew(self) -> None:
        """Go on with another engine or detector; sinks stay as they are, so that a recording has no end there."""
        self._halt()
        self._end_run()
        self._move("starting")
        self._begin()

    def _begin(self) -> None:
        self.countdown = 0
        self._renew_quality()
        self._run = Run(
            self._ensure_engine(), self._tracker.get(), lambda: self._settings, lambda: self._shelf.shown, self.clock,
            publish=self._publish, warn=self._warned, countdown=self._counted, parts=lambda: self._parts.current,
            neutral=lambda: self._neutral.current,
        )  # fmt: skip
        self._do_parts()
        self._do_drive()
        self._clips.look()

    def _do_parts(self) -> None:
        if self._run is not None and self._kept.current is not None:
            options = self._settings.options
            self._parts.want(self._kept.current, options, self._shelf.own_drivers(options))

    def _do_neutral(self) -> None:
        """Look for the neutral frame of a clip that drives."""
        source = self._desk.source
        if self._run is not None and self._kept.current is not None:
            self._neutral.want(self._kept.current, None if source is None else source.clip, self._settings.options)

    def _do_drive(self) -> None:
        """Let the chosen driver drive, in place of the one before."""
        if self._run is None or self._kept.current is None:
            return
        self._quality.settle(self.clock())
        self._neutral.cancel()
        self._desk.begin(self._run, self._kept.current)
        self._do_neutral()

    def _do_stop(self, *, wanted: bool = False) -> None:
        self._wanted = wanted
        if not self._move("stopping"):
            return
        with ExitStack() as rest:  # in reverse order, and all of it whatever goes wrong
            rest.callback(self._move, "idle")
            rest.callback(self._rack.clear)
            rest.callback(self._clips.look)
            rest.callback(self._end_run)
            rest.callback(self._keep_figures)
            rest.callback(self._rack.finish)
            rest.callback(self._halt)

    def _halt(self) -> None:
        """Let the driver and the working threads end; the last frame still comes."""
        self._desk.ask_to_end()
        self._neutral.cancel()
        if self._run is not None:
            self._run.stop()
            if not self._run.join(FRAME):
                self._run.mute()

    def _keep_figures(self) -> None:
        if self._run is not None:
            self._final = replace(self.stats(), state="idle")

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._past = (self._past[0] + run.dropped, self._past[1] + run.lost)
        self._desk.end()
