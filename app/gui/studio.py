"""Model of the window: holds the session and its history and controls the live pipeline; widgets only show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QSettings, QTimer, Signal
from PySide6.QtGui import QImage

from app.errors import AppError, MediaError
from app.events import Event, EventStream
from app.frames.motion_cache import MotionCache
from app.frames.resources import Resources
from app.gui import qt_images
from app.gui.downloads import Downloads
from app.gui.jobs import RenderQueue
from app.gui.last_session import gone_files, is_on, restore
from app.gui.live_outputs import LiveOutputs
from app.gui.live_source import live_source
from app.gui.midi import Controllers
from app.gui.preview_sound import PreviewSound
from app.gui.session import (
    LIVE_ONLY,
    PER_PORTRAIT,
    Driver,
    History,
    PortraitItem,
    Session,
)
from app.gui.store import Saved, list_expressions, list_user_presets
from app.gui.threads import Background, LatestWorker
from app.gui.translate import tr
from app.gui.widgets.preview import Layout, Picture, make_picture
from app.live import LiveFrame, LiveSession, LiveStats, PreviewSink
from app.options import RenderOptions
from app.presets import Preset
from app.sources.playback import Playback
from liveportrait.expression import Expression
from models.face import CROP_POINTS
from models.topology import LIPS_OUTER

Lists = tuple[list[Saved], list[Preset]]
RECENT = 12
DOTS = (120, 235, 190)
OUTLINES = sorted({*CROP_POINTS, *LIPS_OUTER})  # points drawn over the driver's preview


@dataclass(frozen=True)
class Shown:
    """A frame prepared for the screen."""

    frame: LiveFrame
    picture: Picture
    thumb: QImage | None


def settings_of_user() -> QSettings:
    """The settings that store window and session state between starts."""
    from app.presets import config_folder

    return QSettings(str(config_folder() / "window.ini"), QSettings.Format.IniFormat)


class Studio(QObject):
    """Model of the window.

    Args:
        settings: State between starts.
        session: Initial session; None restores the last one, or shows the sample.
        make_live: Creates the live pipeline from ``events``, ``on_change`` and ``resources``.
        parent: Owner.

    Signals:
        session_changed: The session has changed.
        frame_ready: ``shown`` holds a newer frame.
        live_changed: The part of the live pipeline that changed ("state", "portraits", "countdown", ...).
        said: Level ("info", "warning", "error"; "remark" of the pipeline) and text of a message.
        failed: An exception and its traceback.
        saved_changed: Presets or expressions were added.
    """

    session_changed = Signal()
    frame_ready = Signal()
    live_changed = Signal(str)
    said = Signal(str, str)
    failed = Signal(object, str)
    saved_changed = Signal()

    def __init__(
        self,
        settings: QSettings,
        session: Session | None = None,
        make_live: Callable[..., LiveSession] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.settings = settings
        self._gone = [] if session is not None else gone_files(settings)
        self.history = History(session or restore(settings))
        self.background = Background(self)
        self.downloads = Downloads(self)
        self.downloads.arrived.connect(
            lambda name: self.said.emit("info", tr("The weights of {name} were downloaded.", name=name))
        )
        self.queue = RenderQueue(parent=self)
        self.queue.failed.connect(self.failed)
        self.playback = Playback()  # of the driver; recreated with each driver
        self.loop = is_on(settings, "window/loop", default=True)
        self.shown: Shown | None = None
        self._layout: Layout | None = None
        self._last: LiveFrame | None = None
        self._driver_run = 0
        self.opening = False  # the driver is being opened
        self.missing: AppError | None = None  # why there is no camera
        self.driven_since = 0.0  # time on the session's clock from which frames are those of the current driver
        self._closed = False
        self.finish_alone = False  # renders continue after the window has closed
        self._keys: dict[str, PortraitItem] = {}  # the pipeline's portraits, by path
        self._presenter = LatestWorker(self._present, "present", self)
        self._presenter.done.connect(self._take)
        self._presenter.failed.connect(self.failed)
        make = make_live or LiveSession
        self.live = make(events=EventStream(self._event), on_change=self._changed, resources=Resources(MotionCache()))
        self._sink = PreviewSink(self._frame, painted_by_caller=True)
        self.live.add_sink(self._sink)
        self.outputs = LiveOutputs(self)
        self.sound = PreviewSound(self)
        self.controllers = Controllers(self)
        self.session_changed.connect(self.sound.show_session)
        self._unsaved_reported = False
        self._saver = QTimer(self)
        self._saver.setSingleShot(True)
        self._saver.setInterval(500)
        self._saver.timeout.connect(self.save)

    # ---- session --------------------------------------------------------------------------------------------------
    @property
    def session(self) -> Session:
        """The current session."""
        return self.history.session

    def start(self) -> None:
        """Start animating."""
        self._sync(Session(), self.session, first=True)
        self.live.start()

    def tell_gone(self) -> None:
        """Report once which files of the last session no longer exist."""
        gone, self._gone = self._gone, []
        if gone:
            names = ", ".join(dict.fromkeys(Path(path).name for path in gone))
            self.said.emit("warning", tr("These files no longer exist and were left out: {names}.", names=names))

    def apply(self, session: Session, text: str, key: str = "") -> None:
        """Make a change that can be undone.

        Args:
            session: The new session.
            text: Description of what the user did.
            key: See History.push.
        """
        before = self.session
        if self.history.push(session, text, key):
            self._sync(before, session)

    def change(self, make: Callable[[Session], Session], text: str, key: str = "") -> None:
        """Make a change that may fail; errors are shown to the user."""
        try:
            session = make(self.session)
        except AppError as error:
            self.failed.emit(error, "")
            self.session_changed.emit()
            return
        self.apply(session, text, key)

    def undo(self) -> None:
        """Undo the last change."""
        before = self.session
        self._sync(before, self.history.undo())

    def redo(self) -> None:
        """Redo the last undone change."""
        before = self.session
        self._sync(before, self.history.redo())

    def set_option(self, name: str, value: Any) -> None:
        """Change an option."""
        self.change(lambda s: s.with_value(name, value), tr("change an option"), f"option {name}")

    def set_live_option(self, name: str, value: Any) -> None:
        """Change a live option."""
        self.change(lambda s: s.with_live(name, value), tr("change an option"), f"live {name}")

    def set_slider(self, name: str, value: float) -> None:
        """Move a slider."""
        self.apply(self.session.with_slider(name, value), tr("move a slider"), f"slider {name}")

    def set_opening(self, name: str, value: float | None) -> None:
        """Fix an eye or lip ratio, or let it follow the driver."""
        self.apply(self.session.with_opening(name, value), tr("move a slider"), f"opening {name}")

    def set_driver(self, driver: Driver) -> None:
        """Choose the driver."""
        if driver.kind in ("file", "still", "template"):
            self.remember("drivers", driver.source)
        if driver == self.session.driver:
            self._drive(self.session)
        self.apply(replace(self.session, driver=driver), tr("choose a driver"))

    def add_portraits(self, paths: list[str]) -> None:
        """Add portraits."""
        if paths:
            for path in reversed(paths):
                self.remember("portraits", path)
            self.apply(self.session.with_portraits(paths), tr("add portraits"))

    def set_expression(self, expression: Expression) -> None:
        """Use a saved expression; the head keeps its pose unless the expression has one."""
        self.apply(self.session.with_face(expression), tr("choose an expression"))

    def live_options(self) -> RenderOptions:
        """Options of the live pipeline; face and crop are set per portrait."""
        values = {k: v for k, v in self.session.values.items() if k not in PER_PORTRAIT}
        return RenderOptions.from_values(values)

    def _sync(self, old: Session, new: Session, *, first: bool = False) -> None:
        """Update the live pipeline to a session; never blocks."""
        live = self.live
        if first or old.values != new.values:
            live.set_options(self.live_options())
        if first or old.live != new.live:
            live.set_live(new.live_options)
        if first or old.portraits != new.portraits or old.current != new.current:
            self._sync_portraits(new)
        if first or old.expression != new.expression:
            expression = new.expression
            rests = not expression.values and expression.eye_ratio is None and expression.lip_ratio is None
            live.set_expression(None if rests else expression)
        camera = new.driver.kind in LIVE_ONLY and any(
            old.live_value(n) != new.live_value(n)
            for n in ("voice_driver", "mirror", "camera_size", "camera_rate", "camera_mjpg", "camera_turn")
        )
        template = new.driver.kind == "template" and old.value("reference") != new.value("reference")
        part = (new.driver.kind in ("file", "template") or (new.driver.kind == "sliders" and new.plays)) and any(
            old.value(name) != new.value(name) for name in ("start", "end", "duration")
        )
        alone = new.driver.kind == "sliders" and (old.plays, old.value("voice")) != (new.plays, new.value("voice"))
        shown = old.keyed and old.driver == new.driver
        keys = new.driver.kind == "sliders" and (
            new.keyed != old.keyed or (new.keyed and (old.keys != new.keys or not shown))
        )
        if first or old.driver != new.driver or camera or template or part or alone or keys:
            self._drive(new, stay=keys and shown)
        self.session_changed.emit()
        self._saver.start()

    def _sync_portraits(self, session: Session) -> None:
        wanted = {item.path: item for item in session.portraits}
        for path in [path for path in self._keys if path not in wanted]:
            self.live.remove_portrait(path)
            del self._keys[path]
        chosen = session.portrait
        order = sorted(wanted, key=lambda path: chosen is None or path != chosen.path)
        for path in order:
            item = wanted[path]
            if self._keys.get(path) != item:
                self.live.add_portrait(path, Path(path), subject=item.subject)
                self._keys[path] = item
        if chosen is not None and self.live.selected != chosen.path:
            self.live.select_portrait(chosen.path)

    @property
    def visible(self) -> Shown | None:
        """The newest frame if it shows the selected portrait; the previous one may still be on its way."""
        shown, chosen = self.shown, self.session.portrait
        return shown if shown is not None and chosen is not None and shown.frame.portrait == chosen.path else None

    @property
    def driven(self) -> bool:
        """Whether the session's driver is open; until then frames of the previous one may still arrive."""
        return not self.opening and self.live.driver is not None

    def _drive(self, session: Session, *, stay: bool = False) -> None:
        """Open the driver in the background: this checks files and lists cameras; ``stay`` goes on at its time."""
        self._driver_run += 1
        before, self.playback = self.playback, Playback(loop=self.loop)
        playback = self.playback
        if stay:
            playback.pause(before.paused)
            playback.seek(before.place.time)
        self.opening, self.missing = session.plays, None
        run = self._driver_run

        def done(source: Any) -> None:
            if run == self._driver_run and not self._closed:
                self.opening = False
                self.driven_since = self.live.clock()
                self.live.set_driver(source)

        def failed(error: Exception, text: str) -> None:
            if run == self._driver_run:
                self.opening = False
                self.live.set_driver(None)
                if session.driver.kind == "camera" and isinstance(error, MediaError):
                    self.missing = error  # it may be connected at any time
                    self.live_changed.emit("camera")
                    return
                self.failed.emit(error, "" if isinstance(error, AppError) else text)

        if session.plays:
            self.background.run(partial(live_source, session, playback), done, failed)
        else:
            self.live.set_driver(None)

    # ---- time line ------------------------------------------------------------------------------------------------
    @property
    def timeline(self) -> Playback | None:
        """Playback of the timeline: the driver's, or the portrait's if only that is a clip; None if neither is."""
        if self.playback.seekable:
            return self.playback
        clip = self.live.clip
        return clip if clip is not None and clip.seekable else None

    @property
    def paused(self) -> bool:
        """Whether driver and portrait are paused."""
        clip = self.live.clip
        moves = self.session.plays and self.session.driver.kind != "still"
        return self.playback.paused if moves or clip is None else clip.paused

    def _both(self) -> list[Playback]:
        return [playback for playback in (self.playback, self.live.clip) if playback is not None]

    def set_paused(self, on: bool) -> None:
        """Pause or resume driver and portrait."""
        for playback in self._both():
            playback.pause(on)
        if on:
            self.sound.hush()

    def set_loop(self, on: bool) -> None:
        """Whether clips start over at their end."""
        self.loop = on
        self.settings.setValue("window/loop", on)
        for playback in self._both():
            playback.set_loop(on)

    def seek(self, seconds: float) -> None:
        """Seek on the timeline; a moving portrait follows its driver."""
        for playback in self._both():
            if playback.seekable:
                playback.seek(seconds % float(playback.place.duration) if playback is not self.timeline else seconds)

    def step(self, frames: int) -> None:
        """Pause and step some frames forward, or back if negative."""
        for playback in self._both():
            if playback.seekable:
                playback.step(frames)

    # ---- frames ---------------------------------------------------------------------------------------------------
    def set_layout(self, layout: Layout) -> None:
        """Set the preview's layout; the last frame is prepared again."""
        self._layout = layout
        self._presenter.request(None)

    def _frame(self, frame: LiveFrame) -> None:
        """Receive a finished frame; called in the sink's thread."""
        self._last = frame
        self._presenter.request(None)

    def _present(self, _: None) -> Shown | None:
        """Crop and scale the newest frame for the screen; called in the presenter's thread.

        No request names its frame: one made for a new layout could replace that of a frame that came meanwhile.
        """
        layout, frame = self._layout, self._last
        if layout is None or frame is None:
            return None
        thumb = None
        if frame.driver is not None:
            small = qt_images.shrink(frame.driver, *layout.thumb)
            points = None
            if frame.face is not None:
                points = frame.face.points[OUTLINES, :2] * (small.shape[1] / frame.driver.shape[1])
            thumb = qt_images.to_image(qt_images.with_landmarks(small, points, DOTS))
        driver = frame.driver
        return Shown(frame, make_picture(frame.picture, frame.source, driver, layout), thumb)

    def _take(self) -> None:
        shown = self._presenter.take()
        if shown is not None:
            self.shown = shown
            self.frame_ready.emit()

    def painted(self) -> None:
        """Record that the frame in ``shown`` is on screen."""
        if self.shown is not None:
            self._sink.painted(self.shown.frame, self.live.clock())
            self.sound.painted()

    def stats(self) -> LiveStats:
        """Statistics of the live pipeline."""
        return self.live.stats()

    def _event(self, event: Event) -> None:
        if event.kind == "message" and not self._closed:
            level = "remark" if event.level == "info" else event.level
            self._emit(lambda: self.said.emit(level, event.message))

    def _changed(self, what: str) -> None:
        if not self._closed:
            self._emit(lambda: self.live_changed.emit(what))

    @staticmethod
    def _emit(send: Callable[[], None]) -> None:
        try:
            send()
        except RuntimeError:  # the window was deleted
            return

    # ---- saved things ---------------------------------------------------------------------------------------------
    def store(self, work: Callable[[], Any], text: str) -> None:
        """Write or read files in the background and report the outcome to the user."""

        def done(_: Any) -> None:
            self.said.emit("info", text)
            self.saved_changed.emit()

        self.background.run(work, done, self.failed.emit)

    def list_saved(self, done: Callable[[Lists], None]) -> None:
        """Read the saved expressions and presets."""

        def work() -> Lists:
            expressions, faults = list_expressions()
            presets, more = list_user_presets()
            for sentence in [*faults, *more]:
                self._emit(partial(self.said.emit, "warning", sentence))
            return expressions, presets

        self.background.run(work, done, self.failed.emit)

    # ---- state between starts -------------------------------------------------------------------------------------
    def save(self) -> None:
        """Save the session for the next start."""
        self.settings.setValue("session", json.dumps(self.session.to_dict()))
        self.settings.sync()
        if self.settings.status() == QSettings.Status.AccessError and not (self._unsaved_reported or self._closed):
            self._unsaved_reported = True
            sentence = tr(
                "{name} can't be written: your settings will be lost when the program ends.",
                name=self.settings.fileName(),
            )
            self.said.emit("warning", sentence)

    def remember(self, kind: str, path: str) -> None:
        """Put a file at the top of the recent ones ("portraits" or "drivers")."""
        paths = [path, *(p for p in self.recent(kind) if p != path)]
        self.settings.setValue(f"recent/{kind}", json.dumps(paths[:RECENT]))

    def recent(self, kind: str) -> list[str]:
        """Recent files, newest first."""
        try:
            found = json.loads(str(self.settings.value(f"recent/{kind}", "[]")))
        except (ValueError, RecursionError):
            return []
        return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []

    def begin_close(self) -> None:
        """Save the state and accept no more work; fast, called in the window's thread."""
        self.save()
        self.settings.sync()
        self._closed = True
        self._saver.stop()
        self.background.drop()

    def finish_close(self) -> bool:
        """Stop everything and wait for it; callable from any thread.

        Returns:
            Whether all work ended.
        """
        ended = self.queue.stop(background=self.finish_alone)
        self.sound.close()
        self.controllers.close()
        self.live.close()
        self._presenter.stop()
        return self.downloads.close() and self.background.wait() and ended

    def close(self) -> bool:
        """Call :meth:`begin_close` and :meth:`finish_close`."""
        if self._closed:
            return True
        self.begin_close()
        return self.finish_close()
