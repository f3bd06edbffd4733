"""The live session: states, commands, driver, portraits, sinks; see the package docstring for its usage."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from app.events import EventStream
from app.frames.resources import Resources
from app.live.capture import Capture
from app.live.channel import ChannelLoader
from app.live.clips import ClipPlayer
from app.live.context import Change, SessionContext
from app.live.control import Control, guarded
from app.live.engine import EngineLoader
from app.live.frames import LiveFrame, Pixels
from app.live.mailbox import live_clock
from app.live.parts import PartLoader
from app.live.pipeline import Pipeline
from app.live.portraits import PortraitInfo, PortraitStore
from app.live.quality import Quality
from app.live.settings import Settings
from app.live.sinks import Sinks
from app.live.states import ACTIVE, State
from app.live.stats import LiveStats, SinkInfo
from app.live.tracking import Tracking
from app.live_options import LiveOptions
from app.options import RenderOptions
from app.sources.sample import DriverSource

if TYPE_CHECKING:
    from app.choices import Subject
    from app.live.sinks import Sink
    from app.sources.playback import Playback
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression

FRAME: Final = 120.0  # longest time for a frame in seconds; stopping waits for it


class LiveSession:
    """Animates portraits in real time.

    All methods return immediately and may be called from any thread in any state and order; the work is done by threads
    of the session. It reports through ``events`` (messages for the user) and ``on_change`` (something has changed). Use
    it in a ``with`` statement, or call ``close``.

    Args:
        options: Input, animation and program options (engine, device).
        live: Live options.
        engine: Engine to use instead of the one named by the options.
        events: Receives messages from the session's threads.
        on_change: Called from the session's threads with what has changed.
        clock: Source of seconds.
        resources: Loads engines and creates face trackers.
    """

    def __init__(
        self,
        options: RenderOptions | None = None,
        live: LiveOptions | None = None,
        *,
        engine: Engine | None = None,
        events: EventStream | None = None,
        on_change: Callable[[Change], None] | None = None,
        clock: Callable[[], float] = live_clock,
        resources: Resources | None = None,
    ) -> None:
        self._on_change = guarded(on_change or (lambda _: None))
        settings = Settings(options or RenderOptions(), live or LiveOptions())
        self.context = SessionContext(settings, clock, events or EventStream(), self._changed, resources or Resources())
        """State shared by the parts of the session."""
        self.context.engine = engine
        self.clock = clock
        self.error: AppError | None = None
        """Why the last start failed, or None."""
        self._loader = EngineLoader(self.context)
        self._finder = self.options.input.finder  # detector of the running pipeline
        self._quality = Quality()
        self._capture = Capture(self.context)
        self._sinks = Sinks(self.context)
        self._store = PortraitStore(self.context)
        self._clips = ClipPlayer(self.context, self._store, self._capture)
        self.parts = PartLoader(self.context)
        """Drivers of parts of the face."""
        self.channel = ChannelLoader(self.context)
        """The channel of a driving file."""
        self._renew_quality()  # before anything is prepared at another size
        self._final: LiveStats | None = None
        self._past = (0, 0)  # frames dropped and lost before the engine or detector was changed
        self._wanted = False  # whether it should be running
        self._control = Control(self._capture.watch, self._failed, self._end)
        self._control.thread.start()

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- state ----------------------------------------------------------------------------------------------------
    @property
    def state(self) -> State:
        """idle, starting, running, waiting (no frames from the driver), stopping or closed."""
        return self.context.state

    def start(self) -> None:
        """Start animating; does nothing if already started."""
        self._control.put(self._do_start)

    def stop(self) -> None:
        """Stop capture, tracking and sinks; portraits stay ready."""
        self._control.put(self._do_stop)

    def close(self, timeout: float | None = 30.0) -> None:
        """Stop permanently and wait until all threads have ended.

        Args:
            timeout: Total seconds to wait for them, None for no limit. Sinks that complete a file get the time they
                need.
        """
        if not self.context.closing.is_set():
            self.context.closing.set()
            self._control.put(self._do_stop)
            self._control.end()
        end = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if end is None else max(0.0, end - time.monotonic())

        self._control.thread.join(left())
        self._store.close(left())
        self._sinks.finish()  # even if something else is stuck
        self._clips.close(left())
        self._capture.join(left())

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds; it is checked whenever something changes.

        Returns:
            Whether it holds.
        """
        return self.context.wait_for(condition, timeout)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until all commands given so far have been carried out; True if they have."""
        return self._control.settle(timeout)

    # ---- settings -------------------------------------------------------------------------------------------------
    @property
    def countdown(self) -> int:
        """Seconds left until a new neutral pose is captured."""
        return self.context.countdown

    @property
    def options(self) -> RenderOptions:
        """The current options."""
        return self.context.settings.options

    @property
    def live(self) -> LiveOptions:
        """The current live options."""
        return self.context.settings.live

    @property
    def expression(self) -> Expression | None:
        """The current sliders."""
        return self.context.settings.expression

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is loaded."""
        return self.context.engine

    def set_options(self, options: RenderOptions) -> None:
        """Change options; they apply to the next frame.

        A new crop or face is prepared in the background, and another engine is loaded first.
        """
        old = self.context.change(options=options).options
        if not self._loader.fits(options.program):
            self._control.put(self._do_reload)
        elif old.program.max_crop != options.program.max_crop:
            self._control.put(self._renew_quality)
        if old.input.finder != options.input.finder:
            self._control.put(self._do_restart)
        self._control.put(self._do_parts)
        self._control.put(self._do_channel)
        self._refresh()

    def set_live(self, live: LiveOptions) -> None:
        """Change live options; they apply to the virtual camera; a camera keeps those it was created with."""
        old = self.context.change(live=live).live
        self._control.put(lambda: self._sinks.set_live(old, live))
        self._control.put(self._renew_quality)
        self._refresh()

    def set_expression(self, expression: Expression | None) -> None:
        """Change the sliders; they apply to the next frame."""
        self.context.change(expression=expression)
        self.context.redraw()

    # ---- portraits ------------------------------------------------------------------------------------------------
    def add_portrait(
        self,
        key: str,
        picture: str | Path | Pixels,
        *,
        title: str = "",
        subject: Subject | None = None,
    ) -> None:
        """Add a portrait; it is prepared in the background. The first one is shown.

        Args:
            key: Its key in this session; an existing one with the same key is replaced.
            picture: File, or (H, W, 3 or 4) uint8.
            title: Display name; that of the file by default.
            subject: The animated part; None takes it from the options.
        """
        picture = Path(picture) if isinstance(picture, str) else picture
        self._store.add(key, picture, title=title, subject=subject)
        self._control.put(self._ensure_engine)
        self._control.put(self._do_parts)

    def remove_portrait(self, key: str) -> None:
        """Remove a portrait."""
        self._store.remove(key)

    def select_portrait(self, key: str) -> None:
        """Show a portrait; a ready one with the next frame.

        Raises:
            KeyError: There is none with this key.
        """
        self._store.select(key)
        self._control.put(self._do_parts)

    @property
    def portraits(self) -> list[PortraitInfo]:
        """All portraits with their status."""
        return self._store.infos()

    @property
    def selected(self) -> str:
        """Key of the selected portrait, or empty."""
        return self._store.selected

    def portrait(self, key: str) -> PortraitInfo:
        """One portrait. Raises KeyError."""
        return self._store.info(key)

    @property
    def clip(self) -> Playback | None:
        """Controls of the selected portrait while it is a playing clip, or None."""
        return self._clips.playback

    # ---- driver ---------------------------------------------------------------------------------------------------
    @property
    def driver_error(self) -> AppError | None:
        """Why the driver currently delivers no frames, or None."""
        return self._capture.error

    @property
    def awaited(self) -> str:
        """What a ready driver is waiting for, such as packets of a face tracker; empty once they arrive."""
        return self._capture.awaited

    @property
    def draw_error(self) -> AppError | None:
        """Why the last frame could not be rendered, or None."""
        pipeline = self.context.pipeline
        return None if pipeline is None else pipeline.draw_error

    @property
    def driver(self) -> DriverSource | None:
        """The driver, or None."""
        return self._capture.source

    def set_driver(self, source: DriverSource | None) -> None:
        """Set the driver; None means only the sliders. A running session continues with the new one."""
        self._capture.source = source
        self._control.put(self._do_drive)

    def recentre(self, countdown: float = 3.0) -> None:
        """Capture a new neutral reference after a countdown in seconds: the most neutral frame of half a second."""
        pipeline = self.context.pipeline
        if pipeline is not None:
            pipeline.tracking.recentre(self.clock() + max(0.0, countdown))

    # ---- sinks ----------------------------------------------------------------------------------------------------
    def add_sink(self, sink: Sink) -> None:
        """Send frames to a sink, now or from the next start on. A sink with the same name is replaced."""
        self._control.put(lambda: self._sinks.add(sink))
        self._control.put(self.context.redraw)

    def remove_sink(self, name: str) -> None:
        """Finish a sink; a recording is completed."""
        self._control.put(lambda: self._sinks.remove(name))

    @property
    def sinks(self) -> tuple[SinkInfo, ...]:
        """All sinks with their status."""
        return self._sinks.infos()

    # ---- figures --------------------------------------------------------------------------------------------------
    def stats(self) -> LiveStats:
        """Current statistics; after a stop those of the last run."""
        pipeline, engine, prepared = self.context.pipeline, self.context.engine, self._store.shown
        if pipeline is None:
            return self._final or LiveStats(self.state, sinks=self.sinks)
        first, dropped = self._sinks.first()
        figures = LiveStats(
            state=self.state,
            captured=self._capture.count,
            dropped=dropped + pipeline.dropped + self._past[0],
            lost=pipeline.tracking.lost + self._past[1],
            crop=prepared.face.crop.size if prepared is not None else 0,
            engine=engine.name if engine is not None else "",
            camera=self._capture.facts,
            sinks=self.sinks,
            stages=pipeline.timings.report(),
        )
        return figures if first is None else figures.shown_by(first.meter)

    # ---- from threads of the session ------------------------------------------------------------------------------
    def _changed(self, what: Change) -> None:
        """React to a change in some part of the session."""
        if what == "portraits":
            self._quality.settle(self.clock())
            self.context.redraw()
            self._clips.update()
        self._on_change(what)

    def _publish(self, frame: LiveFrame, busy: float) -> None:
        """Publish a finished frame, which took ``busy`` seconds."""
        self._sinks.publish(frame)
        pipeline, prepared, given = self.context.pipeline, self._store.shown, self._capture.rate
        if not frame.fresh or pipeline is None or not self._capture.running:
            return
        target = self.live.hold_rate
        side = prepared.face.crop.size if prepared is not None else 0
        sentence = self._quality.watch(
            self.clock(), busy, min(given, target) if given else target, pipeline.rate.rate, side
        )
        if sentence:
            self.context.events.info(sentence)
            self._store.update()
            self.context.notify("quality")

    # ---- commands, in the control thread ---------------------------------------------------------------------------
    def _failed(self, error: AppError) -> None:
        self.error = error
        self.context.complain(error)
        if self.state == "starting":
            self._do_stop(wanted=self._wanted)
        self.context.notify("state")

    def _end(self) -> None:
        self.parts.task.cancel()
        self.channel.cancel()
        self.context.move("closed")

    def _refresh(self) -> None:
        self._store.update()
        self.context.redraw()

    def _renew_quality(self) -> None:
        """Start again with the crop size requested by the options."""
        engine = self.context.engine
        if engine is not None and self._quality.renew(engine, self.context.settings, self.clock()):
            self._store.update()

    def _load_engine(self) -> None:
        self._loader.load()
        self._renew_quality()
        self._store.update()
        self.context.notify("engine")

    def _ensure_engine(self) -> Engine:
        if self.context.engine is None:
            self._load_engine()
        assert self.context.engine is not None
        return self.context.engine

    def _do_reload(self) -> None:
        """Continue with the engine named by the options; start with it if the previous one was not available."""
        first = self.context.engine is None
        if self._loader.fits(self.options.program) or (first and not self._wanted and not self.portraits):
            return
        try:
            self._load_engine()
        except AppError:
            if not first:
                self.context.change(options=self._loader.restored(self.options))
            self.context.notify("engine")
            raise
        if self.state in ACTIVE:
            self._begin_again()
        elif first and self._wanted:
            self._do_start()

    def _do_start(self) -> None:
        self._wanted = True
        if self.context.closing.is_set() or self.state != "idle" or not self.context.move("starting"):
            return
        self.error = self._final = None
        self._past = (0, 0)
        self._ensure_engine()
        self.context.resources.tracker(self.options.input.finder)
        self._sinks.start()
        self._capture.reset()
        self._begin()

    def _do_restart(self) -> None:
        """Continue with another face detector."""
        finder = self.options.input.finder
        if self.state in ACTIVE:
            if finder != self._finder:
                self.context.resources.tracker(finder)  # if it is not available, the previous one is kept
                self._begin_again()
        elif self._wanted:
            self._do_start()

    def _begin_again(self) -> None:
        """Continue with another engine or detector; sinks keep running, so that a recording is not interrupted."""
        self._halt()
        self._end_pipeline()
        self.context.move("starting")
        self._begin()

    def _begin(self) -> None:
        self.context.countdown = 0
        self._renew_quality()
        self._finder = self.options.input.finder
        engine, tracker = self._ensure_engine(), self.context.resources.tracker(self._finder)
        tracking = Tracking(self.context, engine, tracker, self._store, self.parts, self.channel)
        self.context.pipeline = Pipeline(self.context, engine, tracking, self._store, self._publish)
        self._do_drive()
        self._clips.update()

    def _do_parts(self) -> None:
        """Read the drivers of parts and of single faces."""
        if self.context.pipeline is not None:
            source, options = self._capture.source, self.options
            voice = "" if source is None or source.voiced else options.input.voice
            self.parts.want(self.context.pipeline.engine, options, self._store.own_drivers(options), voice=voice)

    def _do_channel(self) -> None:
        """Read the channel of a driving file."""
        if self.context.pipeline is not None:
            self.channel.want(self.context.pipeline.engine, self._capture.source, self.options)

    def _do_drive(self) -> None:
        """Start the selected driver in place of the previous one."""
        if self.context.pipeline is None:
            return
        self._quality.settle(self.clock())
        self._do_parts()
        self.channel.cancel()
        self._capture.begin(self.context.pipeline)
        self._do_channel()

    def _do_stop(self, *, wanted: bool = False) -> None:
        self._wanted = wanted
        if not self.context.move("stopping"):
            return
        with ExitStack() as rest:  # in reverse order, all of it even after errors
            rest.callback(self.context.move, "idle")
            rest.callback(self._sinks.clear)
            rest.callback(self._clips.update)
            rest.callback(self._end_pipeline)
            rest.callback(self._keep_figures)
            rest.callback(self._sinks.finish)
            rest.callback(self._halt)

    def _halt(self) -> None:
        """End the driver and the working threads; the last frame is still delivered."""
        self._capture.ask_to_end()
        self.channel.cancel()
        if (pipeline := self.context.pipeline) is not None:
            pipeline.stop()
            if not pipeline.join(FRAME):
                pipeline.mute()

    def _keep_figures(self) -> None:
        if self.context.pipeline is not None:
            self._final = replace(self.stats(), state="idle")

    def _end_pipeline(self) -> None:
        pipeline, self.context.pipeline = self.context.pipeline, None
        if pipeline is not None:
            self._past = (self._past[0] + pipeline.dropped, self._past[1] + pipeline.tracking.lost)
        self._capture.end()
