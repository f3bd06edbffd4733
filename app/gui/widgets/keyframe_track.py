"""The keyframes below the time line: a track with the keys, and a bar with the buttons."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QWidget

from app.gui.keyframes import LONGEST, SHORTEST, STEP, Keyframes
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ComboBox, colours, tool_button
from app.gui.widgets.keys import FieldKeys
from app.gui.widgets.timeline import SIDE

EASE_TITLES: Final = {"smooth": mark("Smooth"), "linear": mark("Linear"), "hold": mark("Hold")}
REACH: Final = 7
"""Pixels from the middle of a key within which the mouse takes hold of it."""
CORNERS: Final = ((-1, 0), (0, -1), (1, 0), (0, 1))
NARROW: Final = 500
"""Width of the bar in pixels below which it shows icons only."""
DRAG: Final = 3
"""Pixels after which a press becomes a drag."""


class KeyframeTrack(QWidget):
    """The keys along the time line.

    A click selects a key, a drag moves it, a double click on an empty place sets one. Left and Right go from key to
    key, with Shift they move the selected one by a frame; Delete removes it.

    Signals:
        selected: Number of the key that was clicked, or -1 for none.
        moved: Number of a key and the seconds that it was moved to.
        removed: Number of the key to delete.
        wanted: Seconds at which a key is to be set.
    """

    selected = Signal(int)
    moved = Signal(int, float)
    removed = Signal(int)
    wanted = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(22)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Keyframes"))
        self.setToolTip(
            tr(
                "Click a keyframe to select it, drag to move it, double-click to set one. Delete removes the "
                "selected one."
            )
        )
        self._frames = Keyframes()
        self._chosen: int | None = None
        self._pressed: tuple[int, float] | None = None  # key, and where the mouse took hold of it
        self._dragged: float | None = None  # seconds at which the key that is dragged is shown

    def show_keys(self, frames: Keyframes, chosen: int | None) -> None:
        """Show keys, one of them selected."""
        self._frames, self._chosen = frames, chosen
        self.setAccessibleDescription(tr("Keyframes: {count}", count=len(frames.keys)))
        self.update()

    def x_of(self, seconds: float | Fraction) -> float:
        """Middle of a time on the track, in pixels."""
        return SIDE + (self.width() - 2 * SIDE) * float(seconds) / float(self._frames.length)

    def _time_of(self, x: float) -> float:
        share = (x - SIDE) / max(1.0, self.width() - 2.0 * SIDE)
        return min(max(share, 0.0), 1.0) * float(self._frames.length)

    def _key_at(self, x: float) -> int | None:
        near = [(abs(self.x_of(key.time) - x), number) for number, key in enumerate(self._frames.keys)]
        best = min(near, default=(REACH + 1.0, -1))
        return best[1] if best[0] <= REACH else None

    # ---- input ----------------------------------------------------------------------------------------------------
    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Select the key under the mouse, or none."""
        if event.button() == Qt.MouseButton.LeftButton:
            x = event.position().x()
            number = self._key_at(x)
            self._pressed = None if number is None else (number, x)
            self.selected.emit(-1 if number is None else number)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show the key where it is dragged to."""
        x = event.position().x()
        self.setCursor(Qt.CursorShape.ArrowCursor if self._key_at(x) is None else Qt.CursorShape.SizeHorCursor)
        if self._pressed is not None and (self._dragged is not None or abs(x - self._pressed[1]) > DRAG):
            self._dragged = self._time_of(x)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move the key to where it was dragged."""
        pressed, dragged, self._pressed, self._dragged = self._pressed, self._dragged, None, None
        if pressed is not None and dragged is not None:
            self.moved.emit(pressed[0], dragged)
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Set a key at an empty place."""
        x = event.position().x()
        if event.button() == Qt.MouseButton.LeftButton and self._key_at(x) is None:
            self.wanted.emit(self._time_of(x))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Go from key to key, move or delete the selected one."""
        keys, chosen, key = self._frames.keys, self._chosen, event.key()
        way = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(key))
        if way is not None and keys:
            if chosen is None:
                self.selected.emit(0 if way > 0 else len(keys) - 1)
            elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self.moved.emit(chosen, float(keys[chosen].time + way * STEP))
            else:
                self.selected.emit(min(max(chosen + way, 0), len(keys) - 1))
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and chosen is not None:
            self.removed.emit(chosen)
        else:
            super().keyPressEvent(event)

    # ---- painting -------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the track, the transitions and the keys."""
        c, middle = colours(), self.height() / 2
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(c.accent if self.hasFocus() else c.line), 1))
        painter.setBrush(QColor(c.surface))
        painter.drawRoundedRect(QRectF(0.5, 0.5, self.width() - 1, self.height() - 1), 5, 5)
        places = [self.x_of(key.time) for key in self._frames.keys]
        for number, key in enumerate(self._frames.keys[:-1]):
            pen = QPen(QColor(c.muted), 1.5 if key.ease != "hold" else 1)
            pen.setStyle({"smooth": Qt.PenStyle.SolidLine, "linear": Qt.PenStyle.DashLine}.get(
                key.ease, Qt.PenStyle.DotLine
            ))  # fmt: skip
            painter.setPen(pen)
            painter.drawLine(QPointF(places[number], middle), QPointF(places[number + 1], middle))
        painter.setPen(Qt.PenStyle.NoPen)
        for number, x in enumerate(places):
            taken = self._pressed is not None and self._pressed[0] == number and self._dragged is not None
            at = self.x_of(self._dragged) if taken and self._dragged is not None else x
            painter.setBrush(QColor(c.accent if number == self._chosen else c.text))
            size = 6.5 if number == self._chosen else 5.5
            painter.drawPolygon(QPolygonF([QPointF(at + dx * size, middle + dy * size) for dx, dy in CORNERS]))


class KeyBar(QWidget):
    """What can be done to the keys.

    Signals:
        set_requested: A key is to be set at the play head.
        removed: The selected key is to be deleted.
        ease_chosen: Ease of the selected key.
        length_chosen: Seconds of the time line.
        save_requested: The keys are to be saved as an expression track.
        open_requested: Keys are to be read from an expression track.
    """

    set_requested = Signal()
    removed = Signal()
    ease_chosen = Signal(str)
    length_chosen = Signal(float)
    save_requested = Signal()
    open_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.set = QPushButton(tr("Set keyframe"))
        self.set.setAccessibleName(tr("Set keyframe"))
        self.set.setObjectName("chip")
        self.set.setProperty("icon_name", "add")
        hint = tr("Set a keyframe with the current pose at this time, and reset the sliders.")
        self.set.setToolTip(hint)
        self.set.setAccessibleDescription(hint)
        self.set.clicked.connect(self.set_requested)
        self.remove = tool_button("remove", tr("Delete the selected keyframe"), 16)
        self.remove.clicked.connect(self.removed)
        self.ease = ComboBox()
        self.ease.setAccessibleName(tr("Transition to the next keyframe"))
        self.ease.setToolTip(tr("Transition to the next keyframe"))
        self.ease.setMinimumWidth(88)
        for name, title in EASE_TITLES.items():
            self.ease.addItem(tr(title), name)
        self.ease.activated.connect(lambda _: self.ease_chosen.emit(self.ease.currentData()))
        self.length = QDoubleSpinBox()
        self.length.setRange(float(SHORTEST), float(LONGEST))
        self.length.setDecimals(2)
        self.length.setSingleStep(0.5)
        self.length.setSuffix(" s")
        self.length.setFixedWidth(80)
        self.length.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.length.setKeyboardTracking(False)
        self.length.setAccessibleName(tr("Length"))
        self.length.setToolTip(tr("Length of the clip; it never ends before the last keyframe."))
        self._shown = 0.0
        FieldKeys(self.length, lambda: self.length.setValue(self._shown))
        self.length.valueChanged.connect(self.length_chosen)
        self._label = QLabel(tr("Length"))
        self._label.setObjectName("muted")
        load = tool_button("folder", tr("Open an expression track…"), 16)
        load.clicked.connect(self.open_requested)
        self.save = tool_button("save", tr("Save as an expression track…"), 16)
        self.save.clicked.connect(self.save_requested)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 2, 0, 2)
        line.setSpacing(6)
        left: tuple[QWidget, ...] = (self.set, self.remove, self.ease)
        right: tuple[QWidget, ...] = (self._label, self.length, load, self.save)
        for widget in left:
            line.addWidget(widget)
        line.addStretch(1)
        for widget in right:
            line.addWidget(widget)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Leave out texts that have no room."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW
        self._label.setVisible(not narrow)
        self.set.setText("" if narrow else self.set.accessibleName())

    def show_keys(self, frames: Keyframes, chosen: int | None) -> None:
        """Show the length, and the ease of the selected key."""
        self._shown = float(frames.length)
        before = self.length.blockSignals(True)
        self.length.setValue(self._shown)
        self.length.blockSignals(before)
        for widget in (self.remove, self.ease):
            widget.setEnabled(chosen is not None)
        self.save.setEnabled(bool(frames.keys))
        if chosen is not None:
            self.ease.setCurrentIndex(self.ease.findData(frames.keys[chosen].ease))
