"""The main window: assembles the widgets, shows the studio's session, saves its own state."""

from __future__ import annotations

import threading
from functools import partial

from PySide6.QtCore import QByteArray, QEvent, QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QSplitter, QVBoxLayout, QWidget

from app.gui import icons, qt_images
from app.gui.commands import Commands
from app.gui.dialogs.base import within
from app.gui.dialogs.messages import CloseDialog, show_error
from app.gui.key_commands import KeyCommands
from app.gui.last_session import is_on
from app.gui.localize import localized
from app.gui.menus import fill_menu
from app.gui.session import LIVE_ONLY
from app.gui.shortcuts import Actions, uses_key
from app.gui.studio import Studio
from app.gui.theme import Theme
from app.gui.translate import Languages, tr
from app.gui.waveforms import Waves
from app.gui.widgets.bars import SidePanel, TopBar, Transport
from app.gui.widgets.basic import Section, Switch, paint_icon
from app.gui.widgets.controls import ControlPanel
from app.gui.widgets.keys import order_focus
from app.gui.widgets.preview import Preview
from app.gui.widgets.queue import QueuePanel
from app.gui.widgets.toast import Toast
from app.live import LiveStats

SMALLEST = QSize(900, 480)
STATUS_EVERY = 500  # ms
FACELESS = 8  # driver frames without a face after which the user is notified


class MainWindow(QMainWindow):
    """The window.

    Args:
        studio: Model that it shows.
        theme: Colours.
        languages: Language in use.

    Signals:
        closed: Everything has ended.
        language_chosen: The window has to be rebuilt in another language.
    """

    studio: Studio
    preview: Preview
    commands: Commands
    closed = Signal()
    language_chosen = Signal(str)
    _ended = Signal()

    def __init__(self, studio: Studio, theme: Theme, languages: Languages) -> None:
        super().__init__()
        self.studio, self.theme, self.languages = studio, theme, languages
        self._closing = False
        self._replaced = False
        self._broken = ""  # why the selected portrait can't be animated
        self._asking_stats = False
        self._faceless = 0  # consecutive driver frames without a face
        self.setWindowTitle("Portrait Animate")
        self.setWindowIcon(icons.app_icon())
        self.setMinimumSize(SMALLEST)
        self.setAcceptDrops(True)
        self.preview = Preview()
        self.commands = Commands(self, studio)
        self.actions_ = Actions(self, studio.settings)
        self.transport = Transport(self.actions_)
        self.controls = ControlPanel()
        self.side = SidePanel(self.actions_)
        self.queue_panel = QueuePanel(studio.queue)
        self.top = TopBar(self.actions_)
        self.toast = Toast(self.preview)
        self.waves = Waves(self, studio)
        self.keying = KeyCommands(self, studio, self.commands.prompts)
        self._build()
        self._connect()
        self._restore()
        fill_menu(self.top.menu, self)
        self.commands.prepare()
        self.paint_icons()
        self.show_session()
        self._timer = QTimer(self)
        self._timer.setInterval(STATUS_EVERY)
        self._timer.timeout.connect(self._ask_stats)
        self._timer.start()

    # ---- building -------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        stage = QWidget()
        column = QVBoxLayout(stage)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.preview, 1)
        column.addWidget(self.transport)
        self.middle = QSplitter(Qt.Orientation.Vertical)
        self.middle.addWidget(stage)
        self.middle.addWidget(self.queue_panel)
        self.middle.setStretchFactor(0, 1)
        self.middle.setCollapsible(0, False)
        self.middle.setHandleWidth(1)
        self.queue_panel.hide()
        self.split = QSplitter(Qt.Orientation.Horizontal)
        for widget in (self.side, self.middle, self.controls):
            self.split.addWidget(widget)
        self.split.setStretchFactor(1, 1)
        self.split.setHandleWidth(1)
        self.split.setChildrenCollapsible(False)
        self.side.setMinimumWidth(232)
        self.controls.setMinimumWidth(296)
        self.split.setSizes([256, 700, 320])
        self.controls.top.addWidget(self.commands.saved.preset_bar)
        self.controls.sections["Expression"].body.insertWidget(0, self.commands.saved.expressions)
        self.controls.sections["Expression"].extra.insertWidget(0, self.commands.saved.expression_menu_button)
        content = QWidget()
        box = QVBoxLayout(content)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.top)
        line = QHBoxLayout()
        line.addWidget(self.split)
        box.addLayout(line, 1)
        self.setCentralWidget(content)
        self.order_focus()

    def order_focus(self) -> None:
        """Set the tab order: top bar, left side, preview, controls, queue."""
        order_focus(self.top, self.side, self.preview, self.transport, self.controls, self.queue_panel)

    def _connect(self) -> None:
        studio, controls, side = self.studio, self.controls, self.side
        studio.session_changed.connect(self.show_session)
        studio.frame_ready.connect(self._show_frame)
        studio.live_changed.connect(self._show_live)
        studio.said.connect(self._say)
        studio.failed.connect(self._show_failure)
        studio.saved_changed.connect(self.commands.saved.list_saved)
        studio.queue.finished.connect(self.commands.job_finished)
        studio.queue.found.connect(lambda: self.show_queue(True))
        controls.option_changed.connect(studio.set_option)
        controls.live_changed.connect(studio.set_live_option)
        controls.slider_changed.connect(studio.set_slider)
        controls.opening_changed.connect(studio.set_opening)
        controls.reset_requested.connect(self.commands.reset_section)
        side.portraits.chosen.connect(self.commands.choose_portrait)
        side.portraits.removed.connect(self.commands.remove_portrait)
        side.portraits.crop_requested.connect(self.commands.edit_crop_of)
        side.recent.clicked.connect(lambda: self.commands.show_recent("portraits", side.recent))
        side.driver.driver_chosen.connect(studio.set_driver)
        side.driver.browse_requested.connect(self.commands.browse_driver)
        side.driver.cameras_requested.connect(self.commands.list_cameras)
        side.driver.gallery_requested.connect(self.commands.show_gallery)
        side.driver.stream_requested.connect(self.commands.ask_for_stream)
        side.driver.life_changed.connect(partial(studio.set_option, "idle"))
        controls.parts.requested.connect(self.commands.show_part_gallery)
        controls.parts.changed.connect(self.commands.set_part)
        controls.streams.changed.connect(lambda text: studio.set_live_option("stream", text))
        controls.streams.switched.connect(self.commands.stream)
        side.driver.mirror_changed.connect(lambda on: studio.set_live_option("mirror", on))
        self.preview.layout_changed.connect(self._layout_changed)
        self.preview.painted.connect(studio.painted)
        self.transport.sought.connect(studio.seek)
        self.transport.volume_changed.connect(studio.sound.set_volume)
        studio.sound.changed.connect(self.show_sound)
        self.show_sound()
        self.actions_["loop"].setChecked(studio.loop)
        self.theme.changed.connect(self.paint_icons)
        self.queue_panel.report_requested.connect(self.commands.show_job_report)
        self.queue_panel.close_requested.connect(lambda: self.show_queue(False))
        self._ended.connect(self._finish_close)

    # ---- showing --------------------------------------------------------------------------------------------------
    def show_session(self) -> None:
        """Update all widgets from the session."""
        session = self.studio.session
        self.controls.show_session(session)
        for path in self.side.portraits.show_session(session):
            self.commands.make_thumbnail(path)
        self.side.driver.show_driver(session.driver, session.value("idle"), spoken=bool(session.value("voice")))
        self.side.driver.keys.setChecked(session.keyed)
        self.waves.show_session()
        self.keying.show_session()
        for switch in (self.side.driver.mirror, self.side.driver.tracker.mirror):
            switch.setChecked(bool(session.live_value("mirror")))
        history = self.studio.history
        for name, text, title in (("undo", history.undo_text, tr("Undo")), ("redo", history.redo_text, tr("Redo"))):
            self.actions_.retitle(name, f"{title}: {text}" if text else title)
        self.show_playback()
        self.actions_.enable(self.studio)
        self.top.show_renderable(bool(session.portraits))
        if not session.portraits:
            self.preview.show_picture(None)
            keys = self.actions_.keys()["add_portrait"]
            self.preview.show_message(
                tr("Drop a photo here"), tr("or paste one, or choose a file ({keys})", keys=keys or "+"), "image"
            )

    def show_playback(self) -> None:
        """Show the playback controls and position."""
        line = self.studio.timeline
        if self.transport.show_driver(self.studio.session.driver.kind, self.studio.paused, line is not None):
            self.actions_.enable(self.studio)
        self.transport.show_place(None if line is None else line.place)

    def show_sound(self) -> None:
        """Show whether the preview can be heard, and how loud."""
        sound = self.studio.sound
        self.transport.show_sound(sound.volume, there=sound.heard is not None, problem=sound.problem)
        self.actions_["mute"].setChecked(sound.muted)
        self.actions_["mute"].setEnabled(not sound.problem)

    def _show_frame(self) -> None:
        shown = self.studio.shown
        if shown is None or not self.studio.session.portraits:
            return
        self.preview.show_picture(shown.picture)
        pictured = self.studio.session.driver.kind not in ("sliders", "template") and self.studio.driven
        if shown.thumb is not None and pictured:
            self.side.driver.thumb.show_image(shown.thumb)
            faceless = shown.frame.driver is not None and shown.frame.face is None
            self._faceless = self._faceless + 1 if faceless else 0
            self.side.driver.thumb.show_note(tr("No face detected") if self._faceless >= FACELESS else "")
        self.top.show_zoom(self.preview.percent)
        self.show_playback()

    def _layout_changed(self) -> None:
        ratio = self.devicePixelRatioF()
        room = qt_images.device_size(self.side.driver.thumb.size(), ratio)
        self.studio.set_layout(self.preview.layout_for_tiles(room))
        self.top.show_zoom(self.preview.percent)

    def _show_live(self, what: str) -> None:
        live = self.studio.live
        if what == "portraits":
            for info in live.portraits:
                text = localized(str(info.error) if info.error is not None else "\n".join(info.notes))
                self.side.portraits.set_status(info.key, info.status, text)
            chosen = self.studio.session.portrait
            failed = [i for i in live.portraits if chosen is not None and i.key == chosen.path and i.error is not None]
            self._broken = localized(str(failed[0].error)) if failed else ""
            self._show_problem()
            if failed and self.side.driver.thumb.empty:
                self.side.driver.thumb.show_text("")  # no frame will arrive
            notes = [note for i in live.portraits if chosen is not None and i.key == chosen.path for note in i.notes]
            self.transport.show_note(" ".join(localized(note) for note in notes))
        elif what == "countdown":
            self.preview.show_count(live.countdown)
        elif what in ("state", "camera"):
            error = live.driver_error
            problem = localized(live.awaited) if error is None else localized(str(error))
            self.transport.show_state(live.state, problem)
            kind = self.studio.session.driver.kind
            if problem and kind in LIVE_ONLY:
                self.side.driver.thumb.show_text(problem)
            elif kind == "tracking" and live.state == "running":
                self.side.driver.thumb.show_text(tr("A face arrives"))
            self._show_problem()
            self._end_waiting()
            if self.preview.picture is None and live.state == "starting":
                self.preview.show_message(tr("Starting…"))
        elif what == "sinks":
            self.commands.show_sinks()

    def _show_problem(self) -> None:
        """Show over the preview why there is no animation: the last start failed, or the portrait can't be animated."""
        live = self.studio.live
        stopped = live.error if live.state == "idle" else None
        self.preview.show_problem(self._broken or ("" if stopped is None else localized(str(stopped))))

    def _end_waiting(self) -> None:
        """Remove "Starting…" from the driver's preview once it is known that no frame will arrive."""
        live, thumb = self.studio.live, self.side.driver.thumb
        dead = live.driver_error is not None or (live.state == "idle" and live.error is not None)
        if dead and thumb.empty and self.studio.session.driver.kind not in ("sliders", *LIVE_ONLY):
            thumb.show_text(tr("No image"))

    def refresh_live(self) -> None:
        """Show the state of a live pipeline that is already running."""
        for what in ("portraits", "state", "sinks"):
            self._show_live(what)
        self._show_frame()
        self._layout_changed()

    def _say(self, level: str, text: str) -> None:
        text = localized(text)
        self.transport.show_message(text)
        if level in ("warning", "error"):
            self.toast.say(text, level)

    def _show_failure(self, error: Exception, details: str) -> None:
        self.last_error = show_error(self, error, details)
        studio = self.studio
        if not studio.opening and studio.live.driver is None and studio.session.driver.kind != "sliders":
            self.side.driver.thumb.show_text(tr("No image"))

    def _ask_stats(self) -> None:
        """Request statistics in the background, since sorting thousands of time stamps takes a while."""
        if not self._asking_stats and self.isVisible():
            self._asking_stats = True
            self.studio.background.run(self.studio.stats, self._show_stats, lambda error, text: None)

    def _show_stats(self, stats: LiveStats) -> None:
        self._asking_stats = False
        kind = self.studio.session.driver.kind if self.studio.driven else "sliders"
        self.transport.show_stats(stats, "template" if self.studio.driven and kind == "sliders" else kind)

    def show_queue(self, shown: bool) -> None:
        """Show or hide the render queue."""
        self.queue_panel.setVisible(shown)
        self.studio.settings.setValue("window/queue", shown)
        self.actions_["show_queue"].setChecked(shown)
        if shown:
            self.queue_panel.show_jobs()

    def paint_icons(self) -> None:
        """Draw all icons in the current colours."""
        self.actions_.refresh()
        for widget in self.findChildren(QWidget):
            if isinstance(widget, Section):
                widget.refresh()
            elif isinstance(widget, Switch):
                widget.update()
            else:
                paint_icon(widget)
        self.side.driver.refresh()
        self.top.refresh()
        self.queue_panel.refresh()
        self.update()

    # ---- files that are dropped -----------------------------------------------------------------------------------
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Accept files and images."""
        if event.mimeData().hasUrls() or event.mimeData().hasImage():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Add dropped files as portraits, or as the driver if dropped on it."""
        on_driver = self._is_over(self.side.driver, event.position())
        on_list = self._is_over(self.side.portraits, event.position())
        event.acceptProposedAction()
        self.commands.take_mime(event.mimeData(), "driver" if on_driver else "portrait" if on_list else "")

    def _is_over(self, widget: QWidget, point: QPointF) -> bool:
        return widget.rect().contains(widget.mapFrom(self, point.toPoint()))

    # ---- state between starts -------------------------------------------------------------------------------------
    def _restore(self) -> None:
        settings = self.studio.settings
        geometry = settings.value("window/geometry")
        if not (isinstance(geometry, QByteArray) and self.restoreGeometry(geometry)):
            room = self.screen().availableGeometry()
            wanted = QSize(min(1760, 3 * room.width() // 4), min(1100, 3 * room.height() // 4))
            self.resize(within(wanted.expandedTo(QSize(1280, 800)), room))
        for name, splitter in (("split", self.split), ("middle", self.middle)):
            state = settings.value(f"window/{name}")
            if isinstance(state, QByteArray):
                splitter.restoreState(state)
        for name, section in self.controls.sections.items():
            if settings.contains(f"window/section {name}"):
                section.button.setChecked(is_on(settings, f"window/section {name}"))
        self.controls.show_advanced(is_on(settings, "window/advanced"))
        if is_on(settings, "window/queue"):
            self.show_queue(True)
        view = str(settings.value("window/view", "result"))
        self.commands.set_view(view if view in ("result", "side", "over") else "result")  # type: ignore[arg-type]

    def save_state(self) -> None:
        """Save the window's state for the next start."""
        settings = self.studio.settings
        settings.setValue("window/geometry", self.saveGeometry())
        settings.setValue("window/split", self.split.saveState())
        settings.setValue("window/middle", self.middle.saveState())
        settings.setValue("window/view", self.preview.view)
        settings.setValue("window/advanced", self.controls.advanced)
        for name, section in self.controls.sections.items():
            settings.setValue(f"window/section {name}", section.is_open)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Give the preview the initial focus, so that its keys work."""
        super().showEvent(event)
        self.preview.setFocus()
        self.studio.tell_gone()
        self.actions_["full_screen"].setChecked(self.isFullScreen())
        outputs = self.studio.outputs
        if outputs.recording or outputs.camera or outputs.streams:
            self.commands.show_sinks()

    def event(self, event: QEvent) -> bool:
        """Pass keys that the focused control needs to it instead of the commands."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            focused = QApplication.focusWidget()
            if focused is not None and focused.window() is self and uses_key(focused, event):
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Let Escape close a message, leave full screen, or else return the focus to the preview."""
        if event.key() != Qt.Key.Key_Escape:
            super().keyPressEvent(event)
        elif self.toast.isVisible():
            self.toast.hide()
        elif self.isFullScreen():
            self.actions_["full_screen"].trigger()
        else:
            self.preview.setFocus()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Handle a move to another screen, which may change the scale."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._layout_changed()

    # ---- the end --------------------------------------------------------------------------------------------------
    def busy_text(self) -> str:
        """Describe the work that closing would end, or empty."""
        parts = []
        if self.studio.queue.busy:
            count = len(self.studio.queue.active)
            parts.append(
                tr(
                    "Files are being rendered: {count}. They can be finished in the background; stopped jobs can be "
                    "resumed at the next start.",
                    count=max(1, count),
                )
            )
        if self.commands.recording:
            parts.append(tr("A recording is running; it is completed before the window closes."))
        return "\n".join(parts)

    def replace_by(self) -> None:
        """Close without stopping the studio; another window takes over."""
        self._replaced = True
        self.save_state()
        self._timer.stop()
        self.close()
        self.deleteLater()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Ask if there is work in progress; then stop everything in the background before closing."""
        if self._replaced or self._closing:
            event.setAccepted(self._replaced)
            return
        event.ignore()
        text = self.busy_text()
        answer = self.ask_close(text) if text else "stop"
        if answer == "stay":
            return
        self.studio.finish_alone = answer == "background"
        self._closing = True
        self.save_state()
        self._timer.stop()
        self.hide()
        self.studio.begin_close()
        threading.Thread(target=self._end, name="closing", daemon=True).start()

    def ask_close(self, text: str) -> str:
        """Ask what to do with the work: "stop" it, finish it in the "background", or "stay"."""
        dialog = CloseDialog(text, self.studio.queue.busy, self)
        dialog.exec()
        return dialog.answer

    def _end(self) -> None:
        self.studio.finish_close()
        self._ended.emit()

    def _finish_close(self) -> None:
        self._replaced = True
        self.close()
        self.closed.emit()
