"""Base class of all dialogs: keeps them within the screen."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QDialog, QWidget

FRAME = QSize(16, 48)  # room for a title bar and borders, which are not known before a window is shown


def within(wanted: QSize, room: QRect) -> QSize:
    """The size at which a window and its frame fit on a screen.

    Args:
        wanted: Size of its content.
        room: Usable part of the screen.
    """
    return wanted.boundedTo(room.size() - FRAME)


class Dialog(QDialog):
    """A dialog that is shown within the screen of the window that it belongs to.

    Args:
        parent: Window.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Keep the dialog within the screen."""
        self.fit()
        super().showEvent(event)

    def fit(self) -> None:
        """Limit the dialog to the screen's size and centre it on its window as far as there is room."""
        room = self.screen().availableGeometry()
        self.resize(within(self.size(), room))
        owner = self.parentWidget()
        middle = (room if owner is None else owner.window().frameGeometry()).center()
        width, height = self.width() + FRAME.width(), self.height() + FRAME.height()
        left = max(room.left(), min(middle.x() - width // 2, room.right() + 1 - width))
        top = max(room.top(), min(middle.y() - height // 2, room.bottom() + 1 - height))
        self.move(left, top)
