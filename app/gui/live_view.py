"""What the window shows of the live pipeline: frames, state, driver, figures; always of the selected portrait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from PySide6.QtCore import QObject, QTimer

from app.errors import AppError
from app.gui import qt_images
from app.gui.clip_part import DRIVER, SOURCE, part_of, whole, with_edge
from app.gui.load import LoadMeter
from app.gui.localize import localized
from app.gui.session import LIVE_ONLY
from app.gui.translate import tr
from app.gui.widgets.bars import clock_text

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.gui.window import MainWindow
    from app.live import LiveStats
    from app.live.recorder import Progress

STATUS_EVERY: Final = 500  # ms
BARS: Final = 6  # of the sound level
FACELESS: Final = 8  # driver frames without a face after which the user is notified
LATE: Final = 150  # ms after which the image of another portrait gives way to a busy sign, even if the new one is ready


def doing(studio: Studio) -> str:
    """What the live pipeline really does, a key of ``STATES``."""
    live, kind, chosen = studio.live, studio.session.driver.kind, studio.session.portrait
    if live.state in ("idle", "stopping", "closed"):
        return live.state
    if studio.missing is not None:
        return "no camera"
    infos = [info for info in live.portraits if chosen is not None and info.key == chosen.path]
    if chosen is None or any(info.status == "failed" for info in infos):
        return "resting"
    if studio.opening or live.state == "starting" or any(info.status == "waiting" for info in infos):
        return "starting"
    if live.state == "waiting":
        return "waiting"
    if kind == "file" and live.driver is not None and live.driver_error is None and not studio.playback.seekable:
        return "starting"  # its first frame has not been read
    if studio.paused:
        return "paused"
    moves = live.clip is not None or (studio.session.plays and kind != "still" and live.driver is not None)
    return "resting" if not moves else "running" if kind in LIVE_ONLY else "playing"


def progress_text(progress: Progress | None) -> str:
    """Clock, size and sound level of a recording, such as "0:12  3.4 MB  ▮▮▯▯▯"; empty without one."""
    if progress is None:
        return ""
    minutes, seconds = divmod(int(progress.seconds), 60)
    text = f"{minutes}:{seconds:02d}   {tr('{size} MB', size=f'{progress.size / 1e6:.1f}')}"
    if progress.level is None:
        return text
    full = min(BARS, round(BARS * progress.level**0.5))
    return f"{text}   {'▮' * full}{'▯' * (BARS - full)}"


class LiveView(QObject):
    """Shows the live pipeline in the widgets of the window.

    Args:
        window: The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window, self._studio = window, window.studio
        self._broken = ""  # why the selected portrait can't be animated
        self._asking = self._seekable = False
        self._faceless = 0  # consecutive driver frames without a face
        self._visible = ""  # path of the portrait whose image is on screen; empty for none
        self._meter = LoadMeter()
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(LATE)
        self._late.timeout.connect(self._show_busy)
        self.timer = QTimer(self)
        self.timer.setInterval(STATUS_EVERY)
        self.timer.timeout.connect(self._ask_stats)
        self.timer.start()
        self._studio.frame_ready.connect(self.show_frame)
        self._studio.live_changed.connect(self.show)

    # ---- the image ------------------------------------------------------------------------------------------------
    def show_selection(self) -> None:
        """Show at once that another portrait is selected: its image, or a busy sign until there is one."""
        self._show_part()
        chosen = self._studio.session.portrait
        if chosen is None:
            self._visible = ""
            self._late.stop()
            return
        if chosen.path == self._visible:
            self._late.stop()
            return
        ready = any(info.key == chosen.path and info.status == "ready" for info in self._studio.live.portraits)
        if not ready or not self._visible:
            self._show_busy()
        elif not self._late.isActive():
            self._late.start()

    def _show_busy(self) -> None:
        chosen = self._studio.session.portrait
        self._visible = ""
        preview = self._window.preview
        if chosen is not None and not self._broken:
            preview.show_picture(None)
            preview.show_busy(tr("Reading {name}…", name=chosen.name))

    def show_frame(self) -> None:
        """Show the newest frame if it is one of the selected portrait."""
        shown, window, studio = self._studio.visible, self._window, self._studio
        if shown is None:
            return
        self._late.stop()
        self._visible = shown.frame.portrait
        window.preview.show_picture(shown.picture)
        pictured = studio.session.driver.kind not in ("sliders", "template") and studio.driven
        if shown.thumb is not None and pictured and shown.frame.time >= studio.driven_since:
            thumb = window.side.driver.thumb
            thumb.show_image(shown.thumb)
            faceless = shown.frame.driver is not None and shown.frame.face is None
            self._faceless = self._faceless + 1 if faceless else 0
            thumb.show_note(tr("No face detected") if self._faceless >= FACELESS else "")
        window.top.show_zoom(window.preview.percent)
        self.show_playback()

    def show_playback(self) -> None:
        """Show the playback controls and position; the time line stays while another clip is opened."""
        studio, transport = self._studio, self._window.transport
        line, kind = studio.timeline, studio.session.driver.kind
        loading = kind in ("file", "template") and doing(studio) == "starting"
        changed = transport.show_driver(kind, studio.paused, line is not None or loading)
        if changed or self._seekable != (line is not None):
            self._seekable = line is not None
            self._window.actions_.enable(studio)
        transport.show_place(None if line is None else line.place)
        self._show_state()

    def layout_changed(self) -> None:
        """Request images for the preview's new layout."""
        ratio, window = self._window.devicePixelRatioF(), self._window
        room = qt_images.device_size(window.side.driver.thumb.size(), ratio)
        self._studio.set_layout(window.preview.layout_for_tiles(room))
        window.top.show_zoom(window.preview.percent)

    # ---- the part of the clip -------------------------------------------------------------------------------------
    @property
    def _whose(self) -> str:
        clip = self._studio.session.driver.kind in ("file", "template")
        return DRIVER if clip or self._studio.playback.seekable else SOURCE

    def set_edge(self, edge: Literal["start", "end"]) -> None:
        """Begin or end the part of the clip at the frame on screen."""
        line = self._studio.timeline
        if line is not None:
            place, whose = line.place, self._whose
            self._studio.change(lambda s: with_edge(s, whose, edge, place), tr("choose a part of the clip"))

    def use_whole(self) -> None:
        """Use the whole clip."""
        self._studio.change(lambda s: whole(s, self._whose), tr("use the whole clip"))

    def _show_part(self) -> None:
        """Show beside the time that only a part of the clip is used."""
        try:
            part = part_of(self._studio.session, self._whose)
        except AppError:  # the studio tells it
            self._window.transport.show_part("")
            return
        end = "" if part.end is None else clock_text(float(part.end))
        shown = "" if part.is_whole else f"{clock_text(float(part.start))} – {end}"
        self._window.transport.show_part(shown)

    # ---- the state ------------------------------------------------------------------------------------------------
    def refresh(self) -> None:
        """Show the state of a pipeline that is already running."""
        for what in ("portraits", "state", "sinks"):
            self.show(what)
        self.show_frame()
        self.layout_changed()

    def show(self, what: str) -> None:
        """Show the part of the pipeline that changed."""
        window, live = self._window, self._studio.live
        if what == "portraits":
            self._show_portraits()
        elif what == "countdown":
            window.preview.show_count(live.countdown)
        elif what in ("state", "camera"):
            problem = self._problem()
            self._show_state(problem)
            kind = self._studio.session.driver.kind
            if problem and kind in LIVE_ONLY:
                window.side.driver.thumb.show_text(problem)
            elif kind == "tracking" and live.state == "running":
                window.side.driver.thumb.show_text(tr("A face arrives"))
            self._show_fault()
            self._end_waiting()
        elif what == "sinks":
            window.commands.show_sinks()

    def _problem(self) -> str:
        """Why the driver delivers nothing, or what it waits for; empty if it delivers."""
        studio = self._studio
        error = studio.missing or studio.live.driver_error
        if studio.missing is not None:
            hint = tr("Connect a camera and look again, or choose a clip.")
            return f"{localized(studio.missing.message)} {hint}"
        return localized(studio.live.awaited) if error is None else localized(str(error))

    def _show_state(self, problem: str | None = None) -> None:
        self._window.transport.show_state(doing(self._studio), self._problem() if problem is None else problem)

    def _show_portraits(self) -> None:
        window, studio = self._window, self._studio
        chosen = studio.session.portrait
        infos = studio.live.portraits
        for info in infos:
            text = localized(str(info.error) if info.error is not None else "\n".join(info.notes))
            window.side.portraits.set_status(info.key, info.status, text)
        own = [info for info in infos if chosen is not None and info.key == chosen.path]
        self._broken = next((localized(str(info.error)) for info in own if info.error is not None), "")
        self._show_fault()
        if self._broken and window.side.driver.thumb.empty:
            window.side.driver.thumb.show_text("")  # no frame will arrive
        notes = " ".join(localized(note) for info in own for note in info.notes)
        window.teller.note_portrait(notes, lambda: window.commands.edit_crop_of(studio.session.current))
        self.show_selection()
        self._show_state()

    def _show_fault(self) -> None:
        """Show over the preview why there is no animation: the last start failed, or the portrait can't be animated."""
        live = self._studio.live
        stopped = live.error if live.state == "idle" else None
        self._window.preview.show_problem(self._broken or ("" if stopped is None else localized(str(stopped))))

    def _end_waiting(self) -> None:
        """Remove "Starting…" from the driver's preview once it is known that no frame will arrive."""
        live, thumb = self._studio.live, self._window.side.driver.thumb
        dead = live.driver_error is not None or (live.state == "idle" and live.error is not None)
        if dead and thumb.empty and self._studio.session.driver.kind not in ("sliders", *LIVE_ONLY):
            thumb.show_text(tr("No image"))

    # ---- figures --------------------------------------------------------------------------------------------------
    def _ask_stats(self) -> None:
        """Request statistics in the background, since sorting thousands of time stamps takes a while."""
        if not self._asking and self._window.isVisible():
            self._asking = True
            self._window.transport.show_load(self._meter.read())
            self._window.preview.show_recording(progress_text(self._studio.outputs.progress))
            self._studio.background.run(self._studio.stats, self._show_stats, lambda error, text: None)

    def _show_stats(self, stats: LiveStats) -> None:
        self._asking = False
        kind = self._studio.session.driver.kind if self._studio.driven else "sliders"
        self._window.transport.show_stats(stats, "template" if self._studio.driven and kind == "sliders" else kind)
