"""The bars around the preview: top, side and transport."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.session import DriverKind
from app.gui.shortcuts import Actions
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ElidedLabel, colours, tool_button
from app.gui.widgets.driver import DriverPanel
from app.gui.widgets.shelf import PortraitShelf
from app.live import LiveStats

STATES = {
    "idle": mark("stopped"), "starting": mark("starting"), "running": mark("live"), "waiting": mark("waiting"),
    "stopping": mark("stopping"), "closed": mark("stopped"),
}  # fmt: skip


def action_button(actions: Actions, name: str, size: int = 18) -> QToolButton:
    """A button for a command."""
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
        self.percent.setFixedWidth(64)
        self.percent.setToolTip(actions["fit"].toolTip())
        self.percent.setAccessibleName(tr("Zoom; fits the picture"))
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

    def show_zoom(self, percent: int) -> None:
        """Show the zoom."""
        self.percent.setText(f"{percent} %")

    def refresh(self) -> None:
        """Draw the outputs in the colour of what is running."""
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
        self.shelf = PortraitShelf()
        self.driver = DriverPanel()
        self.recent = tool_button("chevron-down", tr("Recent portraits"), 16)
        box = QVBoxLayout(self)
        box.setContentsMargins(14, 12, 14, 14)
        box.setSpacing(8)
        crop, add = action_button(actions, "edit_crop", 16), action_button(actions, "add_portrait", 16)
        box.addLayout(self._head(tr("Portraits"), crop, self.recent, add))
        box.addWidget(self.shelf, 1)
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


class Transport(QWidget):
    """Play, new neutral pose, state and figures.

    Args:
        actions: The commands.
    """

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        styled(self, "transport")
        self._actions = actions
        self.play = action_button(actions, "play")
        self.recentre = QPushButton(tr("New neutral pose"))
        self.recentre.setObjectName("chip")
        self.recentre.setProperty("icon_name", "centre")
        self.recentre.setToolTip(actions["recentre"].toolTip())
        self.recentre.clicked.connect(actions["recentre"].trigger)
        self.message = ElidedLabel("status")
        self.figures = QLabel()
        self.figures.setObjectName("faint")
        self.figures.setAccessibleName(tr("Figures"))
        self.state = QLabel()
        self.state.setObjectName("badge")
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 6, 14, 6)
        line.setSpacing(10)
        line.addWidget(self.play)
        line.addWidget(self.recentre)
        line.addWidget(self.message, 1)
        line.addWidget(self.figures)
        line.addWidget(self.state, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_driver(self, kind: DriverKind, paused: bool) -> None:
        """Show what can be done with a driver."""
        moving = kind in ("file", "camera", "template")
        self.play.setVisible(moving)
        self.recentre.setVisible(kind in ("file", "camera"))
        c = colours()
        self._actions["play"].setIcon(icons.icon("play" if paused else "pause", c.text, c.faint))
        self._actions["play"].setText(tr("Play") if paused else tr("Pause"))
        self.play.setAccessibleName(tr("Play") if paused else tr("Pause"))

    def show_state(self, state: str, problem: str) -> None:
        """Show the state of the live pipeline."""
        self.state.setText(tr(STATES.get(state, state)))
        if problem:
            self.show_message(problem)

    def show_message(self, text: str) -> None:
        """Show one line."""
        self.message.setText(text)
        self.message.setToolTip(text)

    def show_stats(self, stats: LiveStats, kind: DriverKind) -> None:
        """Show frame rate and latency."""
        parts = []
        if kind in ("file", "camera", "template") and stats.fps > 0:
            parts.append(f"{stats.fps:.0f} fps")
        if kind in ("file", "camera", "template") and stats.latency_ms > 0:
            parts.append(f"{stats.latency_ms:.0f} ms")
        if stats.crop:
            parts.append(f"{stats.crop} px")
        self.figures.setText("  ·  ".join(parts))
        asked = stats.camera
        hint = tr("Frames a second, delay from capture to screen, side of the animated square")
        if stats.engine:
            hint += f"\n{tr('Engine')}: {stats.engine}"
        if asked is not None:
            hint += f"\n{asked.name}: " + tr(
                "asked {asked}, reported {reported}, measured {measured}",
                asked=asked.asked, reported=asked.reported, measured=asked.measured,
            )  # fmt: skip
        self.figures.setToolTip(hint)
