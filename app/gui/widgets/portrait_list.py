"""The list of portraits as thumbnails, one of them selected; files can be dropped or pasted onto it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QIcon, QImage, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app.gui import icons
from app.gui.localize import tooltip_text
from app.gui.session import Session
from app.gui.translate import tr
from app.gui.widgets.basic import colours

SIDE = 84
STATUS = Qt.ItemDataRole.UserRole + 1


class _Delegate(QStyledItemDelegate):
    """Draws a rounded thumbnail with a ring around the selected one."""

    def sizeHint(self, option: QStyleOptionViewItem, index: object) -> QSize:  # noqa: N802 - Qt's name
        """Size of one thumbnail."""
        return QSize(SIDE + 12, SIDE + 12)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: object) -> None:
        """Draw one thumbnail."""
        c = colours()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = option.rect.adjusted(6, 6, -6, -6)
        path = QPainterPath()
        path.addRoundedRect(rect, 10, 10)
        painter.fillPath(path, QColor(c.raised))
        painter.setClipPath(path)
        picture = index.data(Qt.ItemDataRole.DecorationRole)  # type: ignore[attr-defined]
        if isinstance(picture, QIcon) and not picture.isNull():
            picture.paint(painter, rect)
        status = index.data(STATUS)  # type: ignore[attr-defined]
        if status == "waiting":
            painter.fillRect(rect, QColor(0, 0, 0, 90))
        elif status == "failed":
            painter.fillRect(rect, QColor(60, 0, 0, 170))
        painter.setClipping(False)
        state = option.state
        if state & QStyle.StateFlag.State_Selected:
            painter.setPen(QPen(QColor(c.accent), 2.5))
            painter.drawRoundedRect(rect.adjusted(-3, -3, 3, 3), 12, 12)
        elif state & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_HasFocus):
            painter.setPen(QPen(QColor(c.faint), 1.5))
            painter.drawRoundedRect(rect.adjusted(-3, -3, 3, 3), 12, 12)
        if status == "failed":
            sign = icons.pixmap("warning", "#ffb4b4", 26)
            painter.drawPixmap(rect.center() - QPoint(13, 13), sign)
        painter.restore()


class PortraitList(QListWidget):
    """Thumbnails of the portraits.

    Signals:
        chosen: Index of the selected portrait.
        removed: Index of a portrait to remove.
        crop_requested: Index of the portrait whose crop is to be edited.
    """

    chosen = Signal(int)
    removed = Signal(int)
    crop_requested = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setMovement(QListWidget.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setSpacing(0)
        self.setMouseTracking(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegate(_Delegate(self))
        self.setAcceptDrops(False)  # the window handles drops
        self.setAccessibleName(tr("Portraits"))
        self.setAccessibleDescription(tr("Arrow keys select a portrait, Delete removes it."))
        self.currentRowChanged.connect(self._row_changed)
        self._paths: list[str] = []
        self._thumbnails: dict[str, QIcon] = {}

    def show_session(self, session: Session) -> list[str]:
        """Show the portraits of a session.

        Returns:
            Paths whose thumbnail is needed.
        """
        before = self.blockSignals(True)
        paths = [item.path for item in session.portraits]
        if paths != self._paths:
            self.clear()
            for path in paths:
                item = QListWidgetItem(self._thumbnails.get(path, QIcon()), "")
                item.setData(Qt.ItemDataRole.AccessibleTextRole, Path(path).name)
                item.setToolTip(tooltip_text(path))
                self.addItem(item)
            self._paths = paths
        self.setCurrentRow(session.current if paths else -1)
        self.blockSignals(before)
        return [path for path in paths if path not in self._thumbnails]

    def set_thumbnail(self, path: str, image: QImage) -> None:
        """Show a thumbnail that is now ready."""
        self._thumbnails[path] = QIcon(QPixmap.fromImage(image))
        for row, own in enumerate(self._paths):
            if own == path:
                self.item(row).setIcon(self._thumbnails[path])

    def set_status(self, path: str, status: str, text: str) -> None:
        """Show whether a portrait is waiting, ready or failed."""
        for row, own in enumerate(self._paths):
            if own == path:
                item = self.item(row)
                item.setData(STATUS, status)
                item.setToolTip(tooltip_text(f"{path}\n{text}" if text else path))
                item.setData(Qt.ItemDataRole.AccessibleDescriptionRole, text)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the thumbnails and, if there is room, a hint on how to add more."""
        super().paintEvent(event)
        last = self.item(self.count() - 1) if self.count() else None
        used = self.visualItemRect(last).bottom() if last is not None else 0
        room = self.viewport().rect().adjusted(8, used + 16, -8, -8)
        if room.height() > 60:
            c = colours()
            painter = QPainter(self.viewport())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            room.setHeight(min(room.height(), 96))
            painter.setPen(QPen(QColor(c.line), 1.5, Qt.PenStyle.DashLine))
            painter.drawRoundedRect(room, 12, 12)
            painter.setPen(QColor(c.muted))
            room.adjust(12, 4, -12, -4)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(room, flags, tr("Drop photos here, or paste one"))

    def _row_changed(self, row: int) -> None:
        if row >= 0:
            self.chosen.emit(row)

    def keyPressEvent(self, event) -> None:  # type: ignore[no-untyped-def] # noqa: N802
        """Remove the selected portrait with Delete."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.currentRow() >= 0:
            self.removed.emit(self.currentRow())
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Show the menu of a portrait."""
        item = self.itemAt(event.pos())
        row = self.currentRow() if item is None else self.row(item)
        if row >= 0:
            self.menu_for(row, self).popup(self.mapToGlobal(event.pos()))

    def menu_for(self, row: int, parent: QWidget) -> QMenu:
        """Build the menu of a portrait."""
        menu = QMenu(parent)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(tr("Crop and face…"), lambda: self.crop_requested.emit(row))
        menu.addSeparator()
        menu.addAction(tr("Remove portrait"), lambda: self.removed.emit(row))
        return menu
