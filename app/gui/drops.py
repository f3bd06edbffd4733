"""Dragging over the window: the place that would take what is dragged is framed, and says what for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.gui.translate import tr
from app.gui.widgets.basic import colours

if TYPE_CHECKING:
    from app.gui.window import MainWindow


class DropFrame(QWidget):
    """A frame over the place that takes what is dragged.

    Args:
        window: The window.

    Attributes:
        text: What it would become, as shown.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.text = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def target(self, point: QPointF) -> str:
        """Where something dropped at a point of the window goes: "driver", "portrait", or empty for either."""
        side = self._window.side
        over = [w.rect().contains(w.mapFrom(self._window, point.toPoint())) for w in (side.driver, side.portraits)]
        return "driver" if over[0] else "portrait" if over[1] else ""

    def show_at(self, point: QPointF) -> None:
        """Frame the place at a point of the window."""
        side, target = self._window.side, self.target(point)
        widget = {"driver": side.driver, "portrait": side.portraits}.get(target, self._window.preview)
        words = {"driver": tr("Use as the driver"), "portrait": tr("Add as a portrait")}
        self.text = words.get(target, tr("Add to the portraits; clips and sounds drive"))
        corner = widget.mapTo(self._window, widget.rect().topLeft())
        self.setGeometry(QRect(corner, widget.size()).adjusted(-4, -4, 4, 4))
        self.show()
        self.raise_()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the frame and the text."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        veil = QColor(c.accent)
        veil.setAlpha(46)
        painter.setBrush(veil)
        painter.setPen(QPen(QColor(c.accent), 2.5))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(2, 2, -2, -2), 12, 12)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        room = QRect(0, 0, min(self.width() - 24, 420), 400)
        room = painter.boundingRect(room, flags, self.text).adjusted(-12, -6, 12, 6)
        room.moveCenter(self.rect().center())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.accent))
        painter.drawRoundedRect(room, 8, 8)
        painter.setPen(QColor(c.on_accent))
        painter.drawText(room, flags, self.text)
