"""Keyboard handling: keys of text fields, and the tab order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QDoubleSpinBox,
    QLayout,
    QLineEdit,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QWidget,
)


class FieldKeys(QObject):
    """Keys of a text field: Escape reverts the text; undo is the window's unless something was typed.

    Args:
        field: The field.
        restore: Shows the previous value.
    """

    def __init__(self, field: QLineEdit | QDoubleSpinBox, restore: Callable[[], None]) -> None:
        super().__init__(field)
        self._field = field
        self._edit = field if isinstance(field, QLineEdit) else field.lineEdit()
        self._restore = restore
        field.installEventFilter(self)

    def eventFilter(self, field: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """See the class."""
        if not isinstance(event, QKeyEvent) or event.type() == QEvent.Type.KeyRelease:
            return False
        plain_escape = event.key() == Qt.Key.Key_Escape
        if event.type() == QEvent.Type.ShortcutOverride:
            history = event.matches(QKeySequence.StandardKey.Undo) or event.matches(QKeySequence.StandardKey.Redo)
            if history and not self._edit.isModified():
                event.ignore()
                return True
        elif plain_escape and self._edit.isModified():
            self._restore()
            self._edit.setModified(False)
            self._edit.selectAll()
            return True
        return False


def in_reading_order(widget: QWidget | None) -> Iterator[QWidget]:
    """A widget and its descendants in the order of layouts, splitters, stacks and scroll areas."""
    if widget is None:
        return
    yield widget
    if isinstance(widget, QScrollArea):
        yield from in_reading_order(widget.widget())
    elif isinstance(widget, (QSplitter, QStackedWidget)):
        for index in range(widget.count()):
            yield from in_reading_order(widget.widget(index))
    elif not isinstance(widget, QAbstractSpinBox):
        yield from _laid_out(widget.layout())


def _laid_out(layout: QLayout | None) -> Iterator[QWidget]:
    for index in range(0 if layout is None else layout.count()):
        item = None if layout is None else layout.itemAt(index)
        if item is not None:
            yield from _laid_out(item.layout())
            yield from in_reading_order(item.widget())


def order_focus(*roots: QWidget) -> None:
    """Set the tab order of all operable widgets to reading order, root after root."""
    stops = [w for root in roots for w in in_reading_order(root) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    for before, after in pairwise(stops):
        QWidget.setTabOrder(before, after)
