"""The main window: assembles the widgets, shows the studio's session, saves its own state."""

from __future__ import annotations

import threading
from functools import partial

from PySide6.QtCore import QByteArray, QEvent, QSize, Qt, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QSplitter, QVBoxLayout, QWidget

from app.gui import icons
from app.gui.commands import Commands
from app.gui.dialogs.base import within
from app.gui.dialogs.messages import CloseDialog, show_error
from app.gui.drops import DropFrame
from app.gui.key_commands import KeyCommands
from app.gui.last_session import is_on
from app.gui.live_view import LiveView
from app.gui.menus import fill_menu
from app.gui.shortcuts import Actions, uses_key
from app.gui.studio import Studio
from app.gui.telling import SOUND, TITLE, Teller
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

SMALLEST = QSize(900, 480)


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
    live_view: LiveView
    closed = Signal()
    language_chosen = Signal(str)
    _ended = Signal()

    def __init__(self, studio: Studio, theme: Theme, languages: Languages) -> None:
        super().__init__()
        self.studio, self.theme, self.languages = studio, theme, languages
        self._closing = False
        self._replaced = self._offered = False
        self.setWindowTitle(TITLE)
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
        self.teller = Teller(self)
        self.live_view = LiveView(self)
        self.drop_frame = DropFrame(self)
        self._connect()
        self._restore()
        fill_menu(self.top.menu, self)
        self.commands.prepare()
        self.paint_icons()
        self.show_session()

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
        studio.failed.connect(self._show_failure)
        studio.saved_changed.connect(self.commands.saved.list_saved)
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
        self.preview.layout_changed.connect(self.live_view.layout_changed)
        self.preview.painted.connect(studio.painted)
        self.transport.sought.connect(studio.seek)
        self.transport.whole_wanted.connect(self.live_view.use_whole)
        self.transport.volume_changed.connect(studio.sound.set_volume)
        studio.sound.changed.connect(self.show_sound)
        self.show_sound()
        self.actions_["loop"].setChecked(studio.loop)
        self.actions_["end_sound"].setChecked(is_on(studio.settings, SOUND))
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
        self.live_view.show_playback()
        self.actions_.enable(self.studio)
        self.top.show_renderable(bool(session.portraits))
        self.live_view.show_selection()
        self.commands.projects.show_name()
        if not session.portraits:
            self.preview.show_picture(None)
            keys = self.actions_.keys()["add_portrait"]
            self.preview.show_message(
                tr("Drop a photo here"), tr("or paste one, or choose a file ({keys})", keys=keys or "+"), "image"
            )

    def show_sound(self) -> None:
        """Show whether the preview can be heard, and how loud."""
        sound = self.studio.sound
        self.transport.show_sound(sound.volume, there=sound.heard is not None, problem=sound.problem)
        self.actions_["mute"].setChecked(sound.muted)
        self.actions_["mute"].setEnabled(not sound.problem)

    def _show_failure(self, error: Exception, details: str) -> None:
        self.last_error = show_error(self, error, details)
        studio = self.studio
        if not studio.opening and studio.live.driver is None and studio.session.driver.kind != "sliders":
            self.side.driver.thumb.show_text(tr("No image"))

    def show_queue(self, shown: bool) -> None:
        """Show or hide the render queue."""
        self.queue_panel.setVisible(shown)
        self.studio.settings.setValue("window/queue", shown)
        self.actions_["show_queue"].setChecked(shown)
        if shown:
            self.queue_panel.show_jobs()

    def show_alone(self, on: bool) -> None:
        """Show the image alone on the whole screen, without any control; Escape comes back."""
        self.actions_["clean_view"].setChecked(on)
        for widget in (self.top, self.side, self.controls, self.transport):
            widget.setVisible(not on)
        self.queue_panel.setVisible(not on and self.actions_["show_queue"].isChecked())
        (self.showFullScreen if on else self.showNormal)()
        self.preview.setFocus()

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
        """Accept files and images, and show where they may be dropped."""
        if event.mimeData().hasUrls() or event.mimeData().hasImage():
            event.acceptProposedAction()
            self.drop_frame.show_at(event.position())

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802
        """Show what a drop at this place does."""
        event.acceptProposedAction()
        self.drop_frame.show_at(event.position())

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:  # noqa: N802
        """Remove the frame."""
        self.drop_frame.hide()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Add dropped files as portraits, or as the driver if dropped on it."""
        self.drop_frame.hide()
        event.acceptProposedAction()
        self.commands.take_mime(event.mimeData(), self.drop_frame.target(event.position()))

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
        if not self._offered:
            self._offered = True
            self.teller.offer_cut_off()
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
        elif self.actions_["clean_view"].isChecked():
            self.show_alone(False)
        elif self.isFullScreen():
            self.actions_["full_screen"].trigger()
        else:
            self.preview.setFocus()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Handle a move to another screen, which may change the scale."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self.live_view.layout_changed()

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
        self.live_view.timer.stop()
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
        self.live_view.timer.stop()
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
