"""The bars around the preview: top, side and transport."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.load import Load
from app.gui.localize import localized, tooltip_text
from app.gui.session import LIVE_ONLY, DriverKind
from app.gui.shortcuts import Actions
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ValueSlider, colours, tool_button
from app.gui.widgets.driver import DriverPanel
from app.gui.widgets.keyframe_track import KeyBar, KeyframeTrack
from app.gui.widgets.portrait_list import PortraitList
from app.gui.widgets.timeline import TimeSlider
from app.live import LiveStats
from app.sources.playback import Place

STATES = {
    "idle": mark("stopped"), "starting": mark("starting"), "running": mark("live"), "waiting": mark("waiting"),
    "stopping": mark("stopping"), "closed": mark("stopped"), "paused": mark("paused"), "playing": mark("playing"),
    "resting": mark("idle"), "no camera": mark("no camera"),
}  # fmt: skip


def action_button(actions: Actions, name: str, size: int = 18) -> QToolButton:
    """Create a button for a command."""
    button = QToolButton()
    action = actions[name]
    button.setDefaultAction(action)
    button.setIconSize(QSize(size, size))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def styled(widget: QWidget, name: str) -> None:
    """Let a plain widget take its background from the style sheet."""
    widget.setObjectName(name)
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)


class TopBar(QWidget):
    """Brand, undo, view, zoom, outputs, menu, render.

    Args:
        actions: The commands.
    """

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        styled(self, "topBar")
        self._actions = actions
        self._logo = QLabel()
        self._logo.setPixmap(icons.app_icon().pixmap(QSize(26, 26)))
        brand = QLabel("Portrait Animate")
        brand.setObjectName("brand")
        self.undo = action_button(actions, "undo")
        self.redo = action_button(actions, "redo")
        self.menu = QMenu(self)
        self.menu_button = tool_button("menu", tr("Menu"))
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setMenu(self.menu)
        self.render_button = QPushButton(tr("Render…"))
        self.render_button.setObjectName("primary")
        self.render_button.setProperty("icon_name", "render")
        self.render_button.setToolTip(actions["render"].toolTip())
        self.render_button.setAccessibleDescription(tr("Render to file…"))
        self.render_button.clicked.connect(actions["render"].trigger)
        self.percent = QPushButton("100 %")
        self.percent.setObjectName("chip")
        self.percent.setMinimumWidth(64)  # keeps its width while the digits change; larger for wider fonts
        self.percent.setToolTip(actions["fit"].toolTip())
        self.percent.setAccessibleName(tr("Zoom; fits the image"))
        self.percent.clicked.connect(actions["fit"].trigger)
        less, more = tool_button("remove", tr("Zoom out"), 16), tool_button("add", tr("Zoom in"), 16)
        less.clicked.connect(actions["zoom_out"].trigger)
        more.clicked.connect(actions["zoom_in"].trigger)
        line = QHBoxLayout(self)
        line.setContentsMargins(16, 8, 12, 8)
        line.setSpacing(4)
        line.addWidget(self._logo)
        line.addSpacing(6)
        line.addWidget(brand)
        line.addSpacing(14)
        line.addWidget(self.undo)
        line.addWidget(self.redo)
        line.addStretch(1)
        line.addWidget(self._make_views())
        line.addSpacing(10)
        for widget in (less, self.percent, more):
            line.addWidget(widget)
        line.addStretch(1)
        self.record = action_button(actions, "record")
        self.virtual_camera = action_button(actions, "virtual_camera")
        for widget in (self.record, self.virtual_camera, self.menu_button):
            line.addWidget(widget)
        line.addSpacing(8)
        line.addWidget(self.render_button)

    def _make_views(self) -> QWidget:
        frame = QFrame()
        frame.setObjectName("segments")
        line = QHBoxLayout(frame)
        line.setContentsMargins(1, 1, 1, 1)
        line.setSpacing(0)
        for name in ("view_result", "view_side", "view_over"):
            line.addWidget(action_button(self._actions, name))
        return frame

    def show_renderable(self, on: bool) -> None:
        """Show whether there is anything to render."""
        self.render_button.setEnabled(on)
        hint = self._actions["render"].toolTip()
        self.render_button.setToolTip(hint if on else f"{hint}\n{tr('Add a photo or a clip on the left.')}")

    def show_zoom(self, percent: int) -> None:
        """Show the zoom."""
        self.percent.setText(f"{percent} %")

    def refresh(self) -> None:
        """Update the output buttons' colours to show which are running."""
        c = colours()
        for name, icon, on in (("record", "record", c.danger), ("virtual_camera", "broadcast", c.ok)):
            action = self._actions[name]
            action.setIcon(icons.icon(icon, on if action.isChecked() else c.text, c.faint))


class SidePanel(QWidget):
    """Portraits and driver.

    Args:
        actions: The commands.
    """

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        styled(self, "sidePanel")
        self.portraits = PortraitList()
        self.driver = DriverPanel()
        self.recent = tool_button("chevron-down", tr("Recent portraits"), 16)
        box = QVBoxLayout(self)
        box.setContentsMargins(14, 12, 14, 14)
        box.setSpacing(8)
        crop, add = action_button(actions, "edit_crop", 16), action_button(actions, "add_portrait", 16)
        box.addLayout(self._head(tr("Portraits"), crop, self.recent, add))
        box.addWidget(self.portraits, 1)
        box.addLayout(self._head(tr("Driver")))
        box.addWidget(self.driver)

    @staticmethod
    def _head(title: str, *buttons: QWidget) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(2)
        label = QLabel(title)
        label.setObjectName("heading")
        line.addWidget(label, 1)
        for button in buttons:
            line.addWidget(button)
        return line


def clock_text(seconds: float) -> str:
    """Format a time as minutes, seconds and hundredths."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes}:{rest // 100:02d}.{rest % 100:02d}"


class Transport(QWidget):
    """Timeline, play button, new neutral pose, state and statistics.

    Args:
        actions: The commands.

    Signals:
        sought: Seconds on the timeline that the user seeks to.
        volume_changed: Volume of the preview's sound, 0 to 1.
        whole_wanted: The whole clip is to be used instead of a part of it.
    """

    sought = Signal(float)
    volume_changed = Signal(float)
    whole_wanted = Signal()

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        styled(self, "transport")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(46)
        self.setMinimumWidth(360)
        self._actions = actions
        self._state = "idle"
        self._shown: tuple[object, ...] = ()
        self._place: Place | None = None
        self.play = action_button(actions, "play", 20)
        self.to_start = action_button(actions, "to_start")
        self.back = action_button(actions, "step_back")
        self.forward = action_button(actions, "step_forward")
        self.loop = action_button(actions, "loop")
        self.mute = action_button(actions, "mute")
        actions["mute"].toggled.connect(lambda _: self._paint_sound())
        self.volume = ValueSlider(0, 1, 0.05, 0)
        self.volume.setFixedWidth(64)
        self.volume.setAccessibleName(tr("Volume"))
        self.volume.setToolTip(tr("Volume"))
        self.volume.moved.connect(self.volume_changed)
        self._sounds = False
        self.slider = TimeSlider()
        self.slider.sought.connect(lambda ms: self.sought.emit(ms / 1000))
        self.time = QLabel()
        self.time.setObjectName("time")
        self.time.setAccessibleName(tr("Time"))
        self.line = QWidget()
        upper = QHBoxLayout(self.line)
        upper.setContentsMargins(0, 0, 0, 0)
        upper.setSpacing(10)
        self.keyframes = KeyframeTrack()
        self.keys = KeyBar()
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.slider)
        column.addWidget(self.keyframes)
        upper.addLayout(column, 1)
        self.part = QPushButton()
        self.part.setObjectName("chip")
        self.part.setAccessibleName(tr("Use the whole clip"))
        self.part.setProperty("icon_name", "close")
        self.part.setToolTip(
            tooltip_text(tr("Only this part of the clip plays and is rendered; a click uses all of it."))
        )
        self.part.clicked.connect(self.whole_wanted)
        self.part.hide()
        upper.addWidget(self.part)
        upper.addWidget(self.time)
        for name in ("in_point", "out_point", "whole_clip"):
            self.slider.addAction(actions[name])
        self.slider.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.recentre = QPushButton(tr("New neutral pose"))
        self.recentre.setAccessibleName(tr("New neutral pose"))
        self.recentre.setObjectName("chip")
        self.recentre.setProperty("icon_name", "centre")
        self.recentre.setToolTip(actions["recentre"].toolTip())
        self.recentre.clicked.connect(actions["recentre"].trigger)
        self.log = action_button(actions, "messages", 16)
        self.load = QLabel()
        self.load.setObjectName("faint")
        self.load.setAccessibleName(tr("Load of the computer"))
        self.figures = QLabel()
        self.figures.setObjectName("faint")
        self.figures.setAccessibleName(tr("Statistics"))
        self.state = QLabel()
        self.state.setObjectName("badge")
        box = QVBoxLayout(self)
        box.setContentsMargins(12, 6, 14, 6)
        box.setSpacing(2)
        box.addWidget(self.line)
        box.addWidget(self.keys)
        box.addLayout(self._lay_out())

    def _lay_out(self) -> QHBoxLayout:
        """The lower line: buttons, figures, messages, state."""
        line = QHBoxLayout()
        line.setSpacing(2)
        for widget in (self.to_start, self.back, self.play, self.forward, self.loop, self.mute, self.volume):
            line.addWidget(widget)
        line.addSpacing(8)
        line.addWidget(self.recentre)
        line.addSpacing(8)
        line.addStretch(1)
        line.addWidget(self.load)
        line.addSpacing(12)
        line.addWidget(self.figures)
        line.addSpacing(6)
        line.addWidget(self.log)
        line.addSpacing(2)
        line.addWidget(self.state, 0, Qt.AlignmentFlag.AlignVCenter)
        return line

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Arrange the contents for the new width."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Hide the text of a button, then the load, and then the statistics, if there is no room for all."""
        buttons = [
            w for w in (self.to_start, self.back, self.play, self.forward, self.loop, self.mute) if not w.isHidden()
        ]
        used = sum(w.sizeHint().width() + 2 for w in (*buttons, self.state, self.log)) + 70
        name = self.recentre.accessibleName()
        figures = self.figures.fontMetrics().horizontalAdvance("00 fps  ·  000 ms")
        chip = 0 if self.recentre.isHidden() else self.fontMetrics().horizontalAdvance(name) + 54
        load = self.load.fontMetrics().horizontalAdvance("CPU 100 %  ·  0000 MB") + 12
        self.figures.setVisible(used + 44 + figures <= self.width())
        self.load.setVisible(used + 44 + figures + load <= self.width())
        taken = used + figures + (load if not self.load.isHidden() else 0)
        self.recentre.setText(name if taken + chip <= self.width() else "")
        roomy = taken + chip + self.volume.width() + 80 <= self.width()
        self.volume.setVisible(roomy and not self.mute.isHidden() and self.mute.isEnabled())

    def show_driver(self, kind: DriverKind, paused: bool, seekable: bool) -> bool:
        """Show the controls for a driver; returns whether that changed anything."""
        if (kind, paused, seekable, colours()) == self._shown:
            return False
        self._shown = kind, paused, seekable, colours()
        self.play.setVisible(seekable or kind in LIVE_ONLY)
        for widget in (self.line, self.to_start, self.back, self.forward, self.loop):
            widget.setVisible(seekable)
        self.mute.setVisible(seekable and self._sounds)
        self.recentre.setVisible(kind in ("file", *LIVE_ONLY))
        self._arrange()
        c = colours()
        self._actions["play"].setIcon(icons.icon("play" if paused else "pause", c.text, c.faint))
        self._actions.retitle("play", tr("Play") if paused else tr("Pause"))
        self.play.setAccessibleName(tr("Play") if paused else tr("Pause"))
        return True

    def show_sound(self, volume: float, *, there: bool, problem: str) -> None:
        """Show the volume.

        Args:
            volume: 0 to 1.
            there: Whether what plays has a sound.
            problem: Why nothing can be heard, or an empty text.
        """
        self._sounds = there
        self.volume.show_number(volume)
        self.mute.setVisible(there and not self.line.isHidden())
        if problem:
            self.mute.setToolTip(tooltip_text(localized(problem)))
        self._paint_sound()
        self._arrange()

    def _paint_sound(self) -> None:
        c, action = colours(), self._actions["mute"]
        action.setIcon(icons.icon("mute" if action.isChecked() else "sound", c.text, c.faint))

    def show_place(self, place: Place | None) -> None:
        """Show a clip's position; None if nothing plays."""
        if place is None or place == self._place:
            return
        self._place = place
        self.slider.show_place(round(1000 * place.time), round(1000 * place.duration))
        self.time.setText(f"{clock_text(float(place.time))} / {clock_text(float(place.duration))}")
        if place.rate:
            number, count = round(place.time * place.rate) + 1, max(1, round(place.duration * place.rate))
            self.time.setToolTip(tr("Frame {number} of {count}", number=min(number, count), count=count))

    def show_part(self, text: str) -> None:
        """Show the part of the clip that is used; empty if all of it is."""
        if text != self.part.text():
            self.part.setText(text)
            self.part.setAccessibleName(tr("Part of the clip: {part}", part=text))
            self.part.setVisible(bool(text))

    def show_state(self, state: str, problem: str) -> None:
        """Show the state of the live pipeline, a key of ``STATES``, and why nothing moves, or empty."""
        if state != self._state:
            self._state = state
            self._show_state()
        self.state.setToolTip(tooltip_text(problem))
        self.state.setAccessibleDescription(problem)

    def _show_state(self) -> None:
        self.state.setText(tr(STATES.get(self._state, self._state)))
        self.state.setProperty("live", self._state in ("running", "playing"))
        self.state.style().unpolish(self.state)
        self.state.style().polish(self.state)

    def show_load(self, load: Load) -> None:
        """Show how much of the computer the program uses."""
        parts = [tr("CPU {percent} %", percent=f"{100 * load.cpu:.0f}")]
        if load.memory is not None:
            parts.append(tr("{size} MB", size=f"{load.memory / 1e6:.0f}"))
        hint = [tr("Processor, of all its cores, and memory that the program uses")]
        if load.gpu is not None:
            parts.append(tr("GPU {size} GB", size=f"{load.gpu[0] / 1e9:.1f}"))
            hint.append(tr("Memory of the graphics card in use, of {size} GB", size=f"{load.gpu[1] / 1e9:.1f}"))
        self.load.setText("  ·  ".join(parts))
        self.load.setToolTip(tooltip_text("\n".join(hint)))

    def show_stats(self, stats: LiveStats, kind: DriverKind) -> None:
        """Show frame rate and latency."""
        parts = []
        moving = kind not in ("sliders", "still") and self._state in ("running", "playing")
        if moving and stats.fps > 0:
            parts.append(tr("{rate} fps", rate=f"{stats.fps:.0f}"))
        if moving and stats.latency_ms > 0:
            parts.append(tr("{time} ms", time=f"{stats.latency_ms:.0f}"))
        self.figures.setText("  ·  ".join(parts))
        asked = stats.camera
        hint = tr("Frame rate, and delay from capture to screen")
        if stats.crop:
            hint += "\n" + tr("Animated crop: {size} px", size=stats.crop)
        if stats.engine:
            hint += f"\n{tr('Engine')}: {stats.engine}"
        if asked is not None:
            hint += f"\n{asked.name}: " + tr(
                "asked {asked}, reported {reported}, measured {measured}",
                asked=asked.asked, reported=asked.reported, measured=asked.measured,
            )  # fmt: skip
        self.figures.setToolTip(tooltip_text(hint))
