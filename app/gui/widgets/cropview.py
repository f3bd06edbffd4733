"""The source image with its crop, which the mouse moves, resizes and rotates; a click selects a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.gui.translate import tr
from app.gui.widgets.basic import colours
from liveportrait.compose import FEATHER
from liveportrait.crop import Box

HANDLE = 12.0  # reach of a handle in logical pixels
MARGIN = 24


class CropView(QWidget):
    """Shows an image and edits a square crop on it.

    Signals:
        box_changed: The new crop.
        face_clicked: Number of the face.
    """

    box_changed = Signal(object)
    face_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(QSize(360, 300))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Image with the crop"))
        self.box: Box | None = None
        self.show_landmarks = True
        self.show_mask = True
        self.message = tr("Reading the image…")
        self._image: QImage | None = None
        self._scaled = QPixmap()
        self._size = (1, 1)  # of the whole image in pixels
        self._faces: list[QRectF] = []
        self._landmarks = QPolygonF()
        self._chosen = -1
        self._grip = ""
        self._from = QPointF()
        self._start: Box | None = None

    # ---- content --------------------------------------------------------------------------------------------------
    def set_picture(self, image: QImage, size: tuple[int, int]) -> None:
        """Show an image.

        Args:
            image: The image, possibly scaled down.
            size: Its real width and height in pixels.
        """
        self._image, self._size = image, size
        self._rescale()

    def show_message(self, text: str) -> None:
        """Show a text instead of an image."""
        self.message = text
        self.setAccessibleDescription(text)
        self.update()

    def set_faces(self, boxes: Sequence[npt.NDArray[np.float32]]) -> None:
        """Show the boxes of the faces: x0, y0, x1, y1 of each."""
        self._faces = [QRectF(float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])) for b in boxes]
        self.update()

    def set_chosen(self, index: int, points: npt.NDArray[np.float32] | None) -> None:
        """Mark the selected face and its (N, 2) landmarks."""
        self._chosen = index
        self._landmarks = QPolygonF([] if points is None else [QPointF(float(x), float(y)) for x, y in points[:, :2]])
        self.update()

    def set_box(self, box: Box | None) -> None:
        """Show a crop."""
        self.box = box
        self.update()

    # ---- geometry -------------------------------------------------------------------------------------------------
    @property
    def scale(self) -> float:
        """Logical widget pixels per image pixel."""
        room_x, room_y = max(10, self.width() - 2 * MARGIN), max(10, self.height() - 2 * MARGIN)
        return min(room_x / self._size[0], room_y / self._size[1])

    def to_view(self, x: float, y: float) -> QPointF:
        """Convert image pixels to widget coordinates."""
        s = self.scale
        return QPointF((self.width() - self._size[0] * s) / 2 + x * s, (self.height() - self._size[1] * s) / 2 + y * s)

    def to_picture(self, point: QPointF) -> QPointF:
        """Convert widget coordinates to image pixels."""
        s = self.scale
        x = (point.x() - (self.width() - self._size[0] * s) / 2) / s
        return QPointF(x, (point.y() - (self.height() - self._size[1] * s) / 2) / s)

    def corners(self, inset: float = 0.0) -> list[QPointF]:
        """Corners of the crop on the widget, clockwise from the upper left one; inset as a fraction of the side."""
        if self.box is None:
            return []
        half = self.box.size * (0.5 - inset)
        c, s = math.cos(self.box.angle), math.sin(self.box.angle)
        found = []
        for x, y in ((-half, -half), (half, -half), (half, half), (-half, half)):
            found.append(self.to_view(self.box.x + x * c - y * s, self.box.y + x * s + y * c))
        return found

    def turner(self) -> QPointF:
        """The handle that rotates the crop."""
        a, b = self.corners()[:2]
        middle, along = (a + b) / 2, b - a
        length = max(1.0, math.hypot(along.x(), along.y()))
        return middle + QPointF(along.y(), -along.x()) * (18 / length)

    # ---- input ----------------------------------------------------------------------------------------------------
    def _grip_at(self, point: QPointF) -> str:
        corners = self.corners()
        if not corners:
            return ""
        if _near(point, self.turner()):
            return "turn"
        if any(_near(point, corner) for corner in corners):
            return "size"
        return "move" if QPolygonF(corners).containsPoint(point, Qt.FillRule.OddEvenFill) else ""

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Grab the crop, or select a face."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._from, self._start = event.position(), self.box
        self._grip = self._grip_at(event.position())
        here = self.to_picture(event.position())
        inside = [i for i, rect in enumerate(self._faces) if rect.contains(here) and i != self._chosen]
        if inside and self._grip in ("", "move"):
            self._grip = ""
            self.face_clicked.emit(inside[0])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move, resize or rotate the crop."""
        if not self._grip or self._start is None:
            shapes = {"move": Qt.CursorShape.SizeAllCursor, "size": Qt.CursorShape.SizeFDiagCursor,
                      "turn": Qt.CursorShape.CrossCursor}  # fmt: skip
            self.setCursor(shapes.get(self._grip_at(event.position()), Qt.CursorShape.ArrowCursor))
            return
        start, here = self._start, self.to_picture(event.position())
        if self._grip == "move":
            moved = here - self.to_picture(self._from)
            box = replace(start, x=start.x + moved.x(), y=start.y + moved.y())
        elif self._grip == "size":
            dx, dy = here.x() - start.x, here.y() - start.y
            c, s = math.cos(start.angle), math.sin(start.angle)
            box = replace(start, size=max(16.0, 2 * max(abs(dx * c + dy * s), abs(-dx * s + dy * c))))
        else:
            angle = math.atan2(here.x() - start.x, -(here.y() - start.y))
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                angle = math.radians(15) * round(angle / math.radians(15))
            box = replace(start, angle=angle)
        self.set_box(box)
        self.box_changed.emit(box)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Stop dragging."""
        self._grip = ""

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Scale the image to the widget."""
        self._rescale()

    def _rescale(self) -> None:
        if self._image is None:
            return
        ratio, s = self.devicePixelRatioF(), self.scale
        size = QSize(max(1, round(self._size[0] * s * ratio)), max(1, round(self._size[1] * s * ratio)))
        self._scaled = QPixmap.fromImage(
            self._image.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
        )
        self._scaled.setDevicePixelRatio(ratio)
        self.update()

    # ---- painting -------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw image, crop and overlays."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(c.stage))
        if self._image is None:
            painter.setPen(QColor(c.muted))
            room = self.rect().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        painter.drawPixmap(self.to_view(0, 0), self._scaled)
        accent = QColor(c.accent)
        if self.box is not None and self.show_mask:
            self._draw_mask(painter)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for index, rect in enumerate(self._faces):
            if index != self._chosen:
                painter.setPen(QPen(QColor(255, 255, 255, 170), 1.5, Qt.PenStyle.DashLine))
                shown = QRectF(self.to_view(rect.left(), rect.top()), self.to_view(rect.right(), rect.bottom()))
                painter.drawRoundedRect(shown, 6, 6)
        if self.show_landmarks and self._landmarks.size():
            size = self.scale * self._landmarks.boundingRect().width()
            dot = min(2.2, max(0.8, size / 50))  # small enough for the face to stay visible
            painter.setPen(QPen(QColor(120, 235, 190), dot, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPoints(QPolygonF([self.to_view(p.x(), p.y()) for p in self._landmarks.toList()]))
        if self.box is not None:
            corners = self.corners()
            painter.setPen(QPen(accent, 2))
            painter.drawPolygon(QPolygonF(corners))
            turner = self.turner()
            painter.drawLine((corners[0] + corners[1]) / 2, turner)
            painter.setBrush(QColor("#ffffff"))
            for corner in corners:
                painter.drawRoundedRect(QRectF(corner.x() - 5, corner.y() - 5, 10, 10), 3, 3)
            painter.drawEllipse(turner, 6, 6)
        if len(self._faces) > 1:
            self._draw_numbers(painter)

    def _draw_numbers(self, painter: QPainter) -> None:
        """Draw the number of each face, as in the lists."""
        for index, rect in enumerate(self._faces):
            corner = self.to_view(rect.left(), rect.top())
            badge = QRectF(corner.x() - 9, corner.y() - 9, 20, 20)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours().accent) if index == self._chosen else QColor(0, 0, 0, 170))
            painter.drawEllipse(badge)
            painter.setPen(QColor(colours().on_accent) if index == self._chosen else QColor("#ffffff"))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, str(index + 1))

    def _draw_mask(self, painter: QPainter) -> None:
        """Shade the part that stays unchanged, and its soft border lighter."""
        for inset, alpha in ((0.0, 90), (FEATHER, 60)):
            path = QPainterPath()
            path.addRect(QRectF(self.rect()))
            hole = QPainterPath()
            hole.addPolygon(QPolygonF(self.corners(inset)))
            hole.closeSubpath()
            painter.fillPath(path.subtracted(hole), QColor(0, 0, 0, alpha))


def _near(a: QPointF, b: QPointF) -> bool:
    return math.hypot(a.x() - b.x(), a.y() - b.y()) < HANDLE
