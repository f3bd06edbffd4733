"""The crop view with a face to place by hand: its mesh, and handles that are dragged or moved by keys."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip

from app.gui.placing import Placing
from app.gui.titles import HANDLES
from app.gui.translate import tr
from app.gui.widgets.basic import colours
from app.gui.widgets.cropview import CropView
from models.topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, OVAL

REACH: Final = 11.0  # logical pixels within which a handle is grabbed
RADIUS: Final = 3.0, 5.5  # smallest and largest radius of a handle, logical pixels
SMALLER: Final = 50  # handle size as a fraction of the face's width, so that small faces stay visible
FAR: Final = 10  # image pixels moved by a key with Shift
RINGS: Final = (OVAL, EYE_LEFT.ring, EYE_RIGHT.ring, LIPS_OUTER, LIPS_INNER)
LINES: Final = ((168, 6, 197, 195, 5, 4), (70, 63, 105, 66, 107), (300, 293, 334, 296, 336), (98, 97, 2, 326, 327))
ARROWS: Final = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


class PlaceView(CropView):
    """Shows an image and edits a square crop on it and, if there is one, the handles of a face to place.

    Signals:
        placed: A handle was moved.
    """

    placed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.placing: Placing | None = None
        self._held = ""
        self._offset = QPointF()

    def set_placing(self, placing: Placing | None) -> None:
        """Show the handles of a face, or none."""
        self.placing = placing
        self._held = ""
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus if placing is None else Qt.FocusPolicy.StrongFocus)
        self.tell()

    def tell(self) -> None:
        """Repaint the handles and announce the selected one to screen readers."""
        if self.placing is not None:
            x, y = self.placing.handles[self.placing.chosen]
            self.setAccessibleDescription(f"{tr(HANDLES[self.placing.chosen])}: {x:.0f}, {y:.0f}")
        self.update()

    # ---- input ----------------------------------------------------------------------------------------------------
    def _handle_at(self, point: QPointF) -> str:
        if self.placing is None:
            return ""
        here = self.to_picture(point)
        return self.placing.near((here.x(), here.y()), REACH / self.scale)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Grab a handle, else the crop."""
        name = self._handle_at(event.position()) if event.button() == Qt.MouseButton.LeftButton else ""
        if not name or self.placing is None:
            if self.placing is not None and event.button() == Qt.MouseButton.LeftButton:
                self.placing.begin()
            super().mousePressEvent(event)
            return
        self._held = self.placing.chosen = name
        self._offset = event.position() - self.to_view(*self.placing.handles[name])
        self.placing.begin()
        self.tell()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Drag the handle."""
        if self.placing is None or not self._held:
            if self.placing is not None and not event.buttons() and self._handle_at(event.position()):
                self.setCursor(Qt.CursorShape.PointingHandCursor)
                return
            super().mouseMoveEvent(event)
            return
        here = self.to_picture(event.position() - self._offset)
        self.placing.move(self._held, (here.x(), here.y()))
        self.tell()
        self.placed.emit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Stop dragging."""
        self._held = ""
        super().mouseReleaseEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move the selected handle with the arrow keys; Page Up and Page Down select another one."""
        placing, key = self.placing, Qt.Key(event.key())
        if placing is None or (key not in ARROWS and key not in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)):
            super().keyPressEvent(event)
            return
        if key in ARROWS:
            far = FAR if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
            (x, y), (dx, dy) = placing.handles[placing.chosen], ARROWS[key]
            placing.begin()
            placing.move(placing.chosen, (x + far * dx, y + far * dy))
            self.placed.emit()
        else:
            placing.choose_next(1 if key == Qt.Key.Key_PageDown else -1)
        self.tell()

    def event(self, event: QEvent) -> bool:
        """Show the name of the handle under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self.placing is not None:
            name = self._handle_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), tr(HANDLES[name]) if name else "", self)
            return True
        return super().event(event)

    # ---- painting -------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw mesh and handles over the image and its crop."""
        super().paintEvent(event)
        placing = self.placing
        if placing is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        at = [self.to_view(float(x), float(y)) for x, y in placing.points[:, :2]]
        lines = [QPolygonF([at[i] for i in (*ring, ring[0])]) for ring in RINGS]
        lines += [QPolygonF([at[i] for i in line]) for line in LINES]
        wrong = QColor("#ff6b6b") if placing.problem else QColor(120, 235, 190)
        for colour, width in ((QColor(0, 0, 0, 120), 3.0), (wrong, 1.4)):  # visible on light and dark images
            painter.setPen(QPen(colour, width))
            for line in lines:
                painter.drawPolyline(line)
        painter.setPen(QPen(QColor(0, 0, 0, 170), 1.2))
        size = min(RADIUS[1], max(RADIUS[0], (at[454] - at[234]).manhattanLength() / SMALLER))
        for name in sorted(HANDLES, key=lambda one: one == placing.chosen):
            spot = self.to_view(*placing.handles[name])
            chosen = name == placing.chosen
            painter.setBrush(QColor(colours().accent) if chosen else QColor("#ffffff"))
            radius = size + 1.5 * chosen
            painter.drawEllipse(QRectF(spot.x() - radius, spot.y() - radius, 2 * radius, 2 * radius))
