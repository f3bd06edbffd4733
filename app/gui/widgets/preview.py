"""The large preview: result, side by side, or result over source; fit, 1:1 and zoom. It only paints prepared tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QLabel, QSizePolicy

from app.gui import icons, qt_images
from app.gui.qt_images import Pixels, Tile, Transform
from app.gui.session import View
from app.gui.translate import tr
from app.gui.widgets.basic import colours

SPIN: Final = 50  # ms between images of the busy sign


@dataclass(frozen=True)
class Layout:
    """Requirements of a view, passed to the thread that makes the tiles.

    Attributes:
        view: Which images are shown.
        pane: Width and height of the result's pane in device pixels.
        zoom: Device pixels per image pixel; 0 fits the pane.
        pan: Offset of the image from the centre, in device pixels.
        thumb: Size of the driver's thumbnail in device pixels.
    """

    view: View
    pane: tuple[int, int]
    zoom: float
    pan: tuple[float, float]
    thumb: tuple[int, int] = (1, 1)

    def transform(self, size: tuple[int, int]) -> Transform:
        """Position of an image of this size."""
        whole = qt_images.fit(size, self.pane)
        if self.zoom <= 0:
            return whole
        x = (self.pane[0] - size[0] * self.zoom) / 2 + self.pan[0]
        y = (self.pane[1] - size[1] * self.zoom) / 2 + self.pan[1]
        return Transform(self.zoom, round(x), round(y))


@dataclass(frozen=True)
class Picture:
    """Tiles of one frame.

    Attributes:
        result: The animated frame.
        source: The neutral portrait, if the view needs it.
        driver: The driving frame, if the view needs it.
        size: Width and height of the whole result.
        has_driver: Whether ``driver`` is a driving frame and not the source in its place.
    """

    result: Tile | None
    source: Tile | None
    driver: Tile | None
    size: tuple[int, int]
    has_driver: bool = False


def make_picture(result: Pixels, source: Pixels | None, driver: Pixels | None, layout: Layout) -> Picture:
    """Crop and scale the images of a frame for a layout; called outside the window's thread."""
    size = result.shape[1], result.shape[0]
    place = layout.transform(size)
    shown = qt_images.tile(result, place, layout.pane)
    rest = None
    if source is not None and layout.view == "over" and source.shape[:2] == result.shape[:2]:
        rest = qt_images.tile(source, place, layout.pane)
    left = driver if driver is not None else source
    beside = None
    if layout.view == "side" and left is not None:
        beside = qt_images.tile(left, qt_images.fit((left.shape[1], left.shape[0]), layout.pane), layout.pane)
    return Picture(shown, rest, beside, size, driver is not None)


class Preview(QLabel):
    """The preview area; a QLabel, so that screen readers recognise it, with its own painting.

    Signals:
        layout_changed: Other tiles are needed.
        painted: A new frame is on screen.
    """

    layout_changed = Signal()
    painted = Signal()
    GAP = 2

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("stage")
        self.setPixmap(QPixmap(1, 1))
        self.setMinimumSize(QSize(280, 200))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Preview"))
        self._keys = tr("Plus and minus zoom, the arrow keys move, 0 fits, 1 shows single pixels.")
        self.setAccessibleDescription(self._keys)
        self.view: View = "result"
        self.zoom = 0.0
        self.message, self.hint, self.sign = "", "", ""
        self.problem = ""
        self.count = 0
        self.recording = ""
        self._spin = QTimer(self)
        self._spin.setInterval(SPIN)
        self._spin.timeout.connect(self.update)
        self._new = False
        self._pan = QPointF(0, 0)
        self._share = 0.5
        self._picture: Picture | None = None
        self._drag: QPointF | None = None
        self._wiping = False

    # ---- state ----------------------------------------------------------------------------------------------------
    @property
    def picture(self) -> Picture | None:  # type: ignore[override]  # Qt's is not virtual
        """The frame shown."""
        return self._picture

    def layout_for_tiles(self, thumb: tuple[int, int] = (1, 1)) -> Layout:
        """The layout that tiles must be made for."""
        rect = self._result_rect()
        pan = self._pan.x(), self._pan.y()
        return Layout(self.view, (round(rect.width()), round(rect.height())), self.zoom, pan, thumb)

    def show_picture(self, picture: Picture | None) -> None:
        """Show a frame; None clears the preview."""
        if picture is not None:
            self._spin.stop()
        self._picture = picture
        self._new = picture is not None
        self.update()

    def show_problem(self, text: str) -> None:
        """Show why the selected portrait can't be animated; empty if it can."""
        self.problem = text
        self.setAccessibleDescription(text or self._keys)
        self.update()

    def show_recording(self, text: str) -> None:
        """Show over the image how far a recording is; empty if there is none."""
        if text != self.recording:
            self.recording = text
            self.update()

    def show_count(self, seconds: int) -> None:
        """Show the seconds left of a countdown; 0 ends it."""
        self.count = seconds
        self.update()

    def show_message(self, text: str, hint: str = "", sign: str = "") -> None:
        """Show a text instead of a frame.

        Args:
            text: The text.
            hint: What to do, in smaller type below.
            sign: Icon above it; with one, the text is framed as a drop target.
        """
        self.message, self.hint, self.sign = text, hint, sign
        self._spin.stop()
        self.update()

    def show_busy(self, text: str) -> None:
        """Show instead of a frame what is being done, below a turning ring."""
        self.show_message(text)
        self._spin.start()

    def set_view(self, view: View) -> None:
        """Choose what is shown."""
        self.view = view
        self._changed()

    def fit(self) -> None:
        """Show the whole image."""
        self.zoom, self._pan = 0.0, QPointF(0, 0)
        self._changed()

    def actual_size(self) -> None:
        """Show one image pixel per screen pixel."""
        self.zoom, self._pan = 1.0, QPointF(0, 0)
        self._changed()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom around a point, the middle by default.

        Args:
            factor: Larger than 1 magnifies.
            at: Point of the widget.
        """
        if self._picture is None:
            return
        before = self.layout_for_tiles().transform(self._picture.size)
        scale = min(max(before.scale * factor, 0.02), 32.0)
        rect = self._result_rect()
        point = QPointF(rect.width() / 2, rect.height() / 2)
        if at is not None:
            point = at * self.devicePixelRatioF() - rect.topLeft()
        x = point.x() - (point.x() - before.x) * scale / before.scale
        y = point.y() - (point.y() - before.y) * scale / before.scale
        width, height = self._picture.size
        self.zoom = scale
        self._pan = QPointF(x - (rect.width() - width * scale) / 2, y - (rect.height() - height * scale) / 2)
        self._changed()

    @property
    def percent(self) -> int:
        """Zoom in percent."""
        size = (1, 1) if self._picture is None else self._picture.size
        return round(100 * self.layout_for_tiles().transform(size).scale) if self._picture else 100

    def _changed(self) -> None:
        self.layout_changed.emit()
        self.update()

    # ---- geometry, in device pixels -------------------------------------------------------------------------------
    def _device_rect(self) -> QRectF:
        width, height = qt_images.device_size(self.size(), self.devicePixelRatioF())
        return QRectF(0, 0, width, height)

    def _result_rect(self) -> QRectF:
        rect = self._device_rect()
        if self.view != "side":
            return rect
        half = round((rect.width() - self.GAP) / 2)
        return QRectF(rect.width() - half, 0, half, rect.height())

    # ---- painting -------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the tiles and overlays."""
        c = colours()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(c.stage))
        if self._picture is None and self.sign and not self.problem:
            self._draw_invitation(painter)
        elif self.problem:
            self._draw_problem(painter)
        elif self._picture is None:
            painter.setPen(QColor(c.muted))
            room = self.rect().adjusted(40, 20, -40, -20)
            if self._spin.isActive():
                self._draw_ring(painter)
                room.translate(0, 48)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(room, flags, self.message)
        else:
            painter.save()
            self._draw_picture(painter, self._picture)
            painter.restore()
            self._draw_labels(painter, self._picture)
        if self.count > 0:
            self._draw_count(painter)
        if self.recording:
            self._draw_recording(painter)
        if self._new:
            self._new = False
            self.painted.emit()

    def _draw_ring(self, painter: QPainter) -> None:
        """Draw a ring of which a quarter is bright; where it is depends on the time."""
        c = colours()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ring = QRectF(self.width() / 2 - 16, self.height() / 2 - 16, 32, 32)
        painter.setPen(QPen(QColor(c.line), 3))
        painter.drawEllipse(ring)
        painter.setPen(QPen(QColor(c.accent), 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawArc(ring, -round(time.monotonic() * 360) % 360 * 16, 90 * 16)
        painter.restore()

    def _draw_invitation(self, painter: QPainter) -> None:
        """Draw the drop target: a frame with an icon."""
        c = colours()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(0, 0, min(420, self.width() - 48), min(240, self.height() - 48))
        box.moveCenter(QPointF(self.width() / 2, self.height() / 2))
        painter.setPen(QPen(QColor(c.line), 1.5, Qt.PenStyle.DashLine))
        painter.setBrush(QColor(c.surface))
        painter.drawRoundedRect(box, 16, 16)
        middle = box.center()
        sign = icons.pixmap(self.sign, c.accent, 44, self.devicePixelRatioF())
        painter.drawPixmap(QPointF(middle.x() - 22, middle.y() - 74), sign)
        font = painter.font()
        font.setPixelSize(18)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(c.text))
        painter.drawText(
            QRectF(box.left(), middle.y() - 16, box.width(), 30), Qt.AlignmentFlag.AlignCenter, self.message
        )
        font.setPixelSize(13)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(QColor(c.muted))
        room = QRectF(box.left() + 16, middle.y() + 18, box.width() - 32, 44)
        painter.drawText(room, Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap, self.hint)

    def _draw_problem(self, painter: QPainter) -> None:
        """Draw a warning sign, and below it why the portrait does not move."""
        c = colours()
        width = min(520, self.width() - 48)
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap
        height = self.fontMetrics().boundingRect(QRect(0, 0, width, 1000), flags, self.problem).height()
        top = max(8, (self.height() - height - 60) // 2)
        sign = icons.pixmap("warning", c.warning, 40, self.devicePixelRatioF())
        painter.drawPixmap(QPointF((self.width() - 40) / 2, top), sign)
        painter.setPen(QColor(c.text))
        painter.drawText(QRect((self.width() - width) // 2, top + 56, width, height + 8), flags, self.problem)

    def _draw_picture(self, painter: QPainter, picture: Picture) -> None:
        ratio = self.devicePixelRatioF()
        painter.scale(1 / ratio, 1 / ratio)
        rect = self._result_rect()
        place = self.layout_for_tiles().transform(picture.size)
        self._draw(painter, picture.result, place, rect)
        if self.view == "side" and picture.driver is not None:
            left = QRectF(0, 0, rect.width(), rect.height())
            own = qt_images.fit(picture.driver.size, (round(left.width()), round(left.height())))
            self._draw(painter, picture.driver, own, left)
        if self.view == "over" and picture.source is not None:
            self._draw_wipe(painter, picture.source, place, rect)

    def _draw_labels(self, painter: QPainter, picture: Picture) -> None:
        """Label the two halves."""
        if self.view == "result" or (self.view == "over" and picture.source is None):
            return
        left = tr("Source") if self.view == "over" or not picture.has_driver else tr("Driver")
        middle = self.width() / 2 if self.view == "side" else self.width() * self._share
        self._draw_label(painter, 12, left)
        self._draw_label(painter, middle + 14, tr("Result"))

    def _draw_label(self, painter: QPainter, x: float, text: str) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width = self.fontMetrics().horizontalAdvance(text) + 20
        if x + width > self.width():
            return
        box = QRectF(x, 12, width, 24)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 140))
        painter.drawRoundedRect(box, 12, 12)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _draw_recording(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width = self.fontMetrics().horizontalAdvance(self.recording) + 42
        box = QRectF(self.width() - width - 12, 12, width, 26)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 170))
        painter.drawRoundedRect(box, 13, 13)
        painter.setBrush(QColor(colours().danger))
        painter.drawEllipse(QPointF(box.left() + 16, box.center().y()), 5, 5)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(box.adjusted(28, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.recording)

    def _draw_count(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre = QPointF(self.width() / 2, self.height() / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawEllipse(centre, 62, 62)
        font = painter.font()
        font.setPixelSize(64)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor("#ffffff"))
        box = QRectF(centre.x() - 62, centre.y() - 62, 124, 124)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(self.count))

    @staticmethod
    def _draw(painter: QPainter, tile: Tile | None, place: Transform, rect: QRectF) -> None:
        if tile is None:
            return
        painter.save()
        painter.setClipRect(rect)
        painter.translate(rect.topLeft())
        target = place.rect(tile.region)
        size = tile.image.size()
        if abs(target.width() - size.width()) <= 1 and abs(target.height() - size.height()) <= 1:
            painter.drawImage(QPointF(round(target.x()), round(target.y())), tile.image)
        else:
            painter.drawImage(target, tile.image)
        painter.restore()

    def _draw_wipe(self, painter: QPainter, tile: Tile, place: Transform, rect: QRectF) -> None:
        x = round(rect.width() * self._share)
        self._draw(painter, tile, place, QRectF(rect.left(), rect.top(), x, rect.height()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ratio = self.devicePixelRatioF()
        painter.setPen(QPen(QColor(255, 255, 255, 230), 2 * ratio))
        painter.drawLine(QPointF(x, 0), QPointF(x, rect.height()))
        painter.setBrush(QColor(255, 255, 255))
        painter.setPen(Qt.PenStyle.NoPen)
        middle = QPointF(x, rect.height() / 2)
        painter.drawEllipse(middle, 13 * ratio, 13 * ratio)
        pen = QPen(QColor(40, 44, 60), 1.8 * ratio)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        for side in (-1, 1):
            tip = middle + QPointF(side * 7 * ratio, 0)
            for down in (-1, 1):
                painter.drawLine(tip, tip + QPointF(-side * 3.5 * ratio, down * 3.5 * ratio))

    # ---- input ----------------------------------------------------------------------------------------------------
    def _near_wipe(self, point: QPointF) -> bool:
        return self.view == "over" and abs(point.x() - self.width() * self._share) < 16

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Start dragging the image or the divider."""
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._wiping = event.button() == Qt.MouseButton.LeftButton and self._near_wipe(event.position())
            self._drag = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Drag the image or the divider."""
        near = self._near_wipe(event.position()) or self._wiping
        self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.ArrowCursor)
        if self._drag is None:
            return
        if self._wiping:
            self._share = min(max(event.position().x() / max(1, self.width()), 0.0), 1.0)
            self.update()
        elif self.zoom > 0:
            self._pan += (event.position() - self._drag) * self.devicePixelRatioF()
            self._drag = event.position()
            self._changed()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Stop dragging."""
        self._drag, self._wiping = None, False

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Toggle between fit and 1:1."""
        if self._near_wipe(event.position()):
            self._share = 0.5
            self.update()
        elif self.zoom > 0:
            self.fit()
        else:
            self.zoom_by(1.0 / max(self.layout_for_tiles().transform(self._size()).scale, 1e-4), event.position())

    def _size(self) -> tuple[int, int]:
        return (1, 1) if self._picture is None else self._picture.size

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Zoom around the mouse."""
        self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move and zoom with keys."""
        steps = {
            Qt.Key.Key_Left: (40, 0), Qt.Key.Key_Right: (-40, 0), Qt.Key.Key_Up: (0, 40), Qt.Key.Key_Down: (0, -40),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key in steps and self.view == "over" and self.zoom == 0 and steps[key][0]:
            self._share = min(max(self._share - steps[key][0] / 2000, 0.0), 1.0)
            self.update()
        elif key in steps and self.zoom > 0:
            self._pan += QPointF(*steps[key]) * self.devicePixelRatioF()
            self._changed()
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(1.25)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(0.8)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key == Qt.Key.Key_1:
            self.actual_size()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Request tiles for the new size."""
        self.layout_changed.emit()
