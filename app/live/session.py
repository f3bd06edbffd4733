"""The live session: states, commands, driver, portraits, sinks; see the package text for how it is used."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import AppError
from app.events import EventStream
from app.frames.resources import load_job_engine
from app.live.engines import Load
from app.live.frames import Pixels
from app.live.machine import Machine
from app.live.portraits import PortraitInfo
from app.live.slot import live_clock
from app.live.states import State
from app.live.stats import SinkInfo
from app.live_options import LiveOptions
from app.options import RenderOptions
from app.sources.sample import DriverSource

if TYPE_CHECKING:
    from app.choices import Subject
    from app.live.sinks import Sink
    from app.sources.playback import Playback
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression
    from models.tracker import FaceTracker


class LiveSession(Machine):
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
        load: Load = load_job_engine,
        trackers: Callable[[], FaceTracker] | None = None,
    ) -> None:
        super().__init__(
            options or RenderOptions(), live or LiveOptions(), engine, events or EventStream(),
            on_change or (lambda _: None), clock or live_clock, load, trackers,
        )  # fmt: skip

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
        self._control.put(self._do_start)

    def stop(self) -> None:
        """End capture, tracking and sinks; portraits stay ready."""
        self._control.put(self._do_stop)

    def close(self, timeout: float | None = 30.0) -> None:
        """Stop for good and wait until all threads have ended.

        Args:
            timeout: Seconds to wait for them in all, None for ever. Sinks that complete a file get the time they need.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._control.put(self._do_stop)
            self._control.end()
            self._work.set()
        end = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if end is None else max(0.0, end - time.monotonic())

        for thread in self._threads:
            thread.join(left())
        self._rack.finish()  # also where something else is stuck
        self._clips.close(left())
        self._desk.join(left())

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds; it is looked at whenever something changes.

        Returns:
            Whether it holds.
        """
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until all commands given so far have been carried out; True if they have."""
        return self._control.settle(timeout)

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
        return self._kept.current

    def set_options(self, options: RenderOptions) -> None:
        """Change options; the next frame follows them.

        A new crop or face is prepared in the background, and another engine is loaded first.
        """
        old = self._change(options=options).options
        if not self._kept.fits(options.program):
            self._control.put(self._do_reload)
        elif old.program.max_crop != options.program.max_crop:
            self._control.put(self._renew_quality)
        if old.input.finder != options.input.finder:
            self._control.put(self._do_restart)
        self._control.put(self._do_parts)
        self._control.put(self._do_neutral)
        self._refresh()

    def set_live(self, live: LiveOptions) -> None:
        """Change live options; the virtual camera follows them, a camera keeps those that it was made with."""
        old = self._change(live=live).live
        self._control.put(lambda: self._rack.follow(old, live))
        self._control.put(self._renew_quality)
        self._refresh()

    def set_expression(self, expression: Expression | None) -> None:
        """Move sliders; the next frame follows them."""
        self._change(expression=expression)
        self._redraw()

    # ---- portraits ------------------------------------------------------------------------------------------------
    def add_portrait(
        self,
        key: str,
        picture: str | Path | Pixels,
        *,
        title: str = "",
        subject: Subject | None = None,
    ) -> None:
        """Put a portrait on the shelf; it is prepared in the background. The first one is shown.

        Args:
            key: What it is called in this session; one of the same key is replaced.
            picture: File, or (H, W, 3 or 4) uint8.
            title: Name for people; that of the file by default.
            subject: What of it is animated; None is what the options say.
        """
        picture = Path(picture) if isinstance(picture, str) else picture
        self._shelf.add(key, picture, title=title, subject=subject)
        self._control.put(self._ensure_engine)
        self._control.put(self._do_parts)
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
        self._control.put(self._do_parts)
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
        self._control.put(self._do_drive)

    def recentre(self, countdown: float = 3.0) -> None:
        """Take a new neutral reference after a countdown in seconds: the most neutral look of the next half second."""
        run = self._run
        if run is not None:
            run.motion.recentre(self.clock() + max(0.0, countdown))

    # ---- sinks ----------------------------------------------------------------------------------------------------
    def add_sink(self, sink: Sink) -> None:
        """Hand frames to a sink, now or from the next start on. One of the same name is replaced."""
        self._control.put(lambda: self._rack.add(sink))
        self._control.put(self._redraw)

    def remove_sink(self, name: str) -> None:
        """Finish a sink; a recording is completed."""
        self._control.put(lambda: self._rack.remove(name))

    @property
    def sinks(self) -> tuple[SinkInfo, ...]:
        """All sinks with their status."""
        return self._rack.infos()
