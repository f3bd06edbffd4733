"""Small widgets: slider with value, switch, collapsible section, flow layout.

Not superqt's: our slider is filled from its default and resets to it, the heading of a section holds buttons, and all
are drawn in the theme's colours; the elided label, which superqt has too, is 15 lines. Qt has no switch and no flow
layout.
"""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDropEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLayoutItem,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.localize import tooltip_text
from app.gui.theme import DARK, Colours, Theme
from app.gui.translate import tr
from app.gui.widgets.keys import FieldKeys


def colours() -> Colours:
    """The current colours."""
    app = QApplication.instance()
    theme = app.property("theme") if app is not None else None
    return theme.colours if isinstance(theme, Theme) else DARK


class ValueSlider(QSlider):
    """A slider over a range of numbers, filled from its default; a double click resets it to the default.

    Args:
        minimum: Smallest value.
        maximum: Largest value.
        step: Step of the arrow keys and of the mouse.
        default: Value at rest.
    """

    moved = Signal(float)

    def __init__(self, minimum: float, maximum: float, step: float, default: float) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.low, self.step, self.default = minimum, step, default
        self.setRange(0, max(1, round((maximum - minimum) / step)))
        self.setSingleStep(1)
        self.setPageStep(max(1, self.maximum() // 10))
        self.setFixedHeight(20)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.show_number(default)
        self.valueChanged.connect(lambda _: self.moved.emit(self.number))

    @property
    def number(self) -> float:
        """Value in the slider's own unit."""
        return round(self.low + self.value() * self.step, 9)

    def show_number(self, number: float) -> None:
        """Move the handle without a signal."""
        before = self.blockSignals(True)
        self.setValue(round((number - self.low) / self.step))
        self.blockSignals(before)
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Reset to the default."""
        self.show_number(self.default)
        self.moved.emit(self.default)
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Jump to the mouse position, then follow it."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self._follow(event.position())
            event.accept()
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Follow the mouse."""
        if self.isSliderDown():
            self._follow(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Stop following the mouse."""
        self.setSliderDown(False)
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """React to the wheel only with the focus, so that scrolling the panel changes nothing."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _follow(self, point: QPointF) -> None:
        span = max(1.0, self.width() - 16.0)
        share = min(max((point.x() - 8) / span, 0.0), 1.0)
        if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
            share = 1 - share
        self.setValue(round(share * self.maximum()))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw track, filled part and handle."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        span, middle = self.width() - 16.0, self.height() / 2
        at = 8 + span * self.value() / self.maximum()
        rest = 8 + span * round((self.default - self.low) / self.step) / self.maximum()
        painter.setBrush(QColor(c.line))
        painter.drawRoundedRect(QRectF(6, middle - 2, span + 4, 4), 2, 2)
        on = self.isEnabled()
        painter.setBrush(QColor(c.accent if on else c.faint))
        left, right = min(at, rest), max(at, rest)
        if right > left:
            painter.drawRoundedRect(QRectF(left - 1, middle - 2, right - left + 2, 4), 2, 2)
        painter.setBrush(QColor(c.faint))
        painter.drawEllipse(QPointF(rest, middle), 2.2, 2.2)
        radius = 7.0 if self.isSliderDown() else 6.0
        if self.hasFocus():
            halo = QColor(c.accent)
            halo.setAlpha(70)
            painter.setBrush(halo)
            painter.drawEllipse(QPointF(at, middle), 9.5, 9.5)
        painter.setBrush(QColor(c.accent if on and abs(at - rest) > 0.5 else c.muted))
        painter.drawEllipse(QPointF(at, middle), radius, radius)
        painter.setBrush(QColor(c.surface))
        painter.drawEllipse(QPointF(at, middle), 2.4, 2.4)


class SliderRow(QWidget):
    """Title, value and slider.

    Args:
        title: Shown name.
        help_text: Tool tip, and the accessible description.
        minimum: Smallest value.
        maximum: Largest value.
        step: Step.
        default: Value at rest.
        unit: Shown after the value.
    """

    changed = Signal(float)

    def __init__(
        self, title: str, help_text: str, minimum: float, maximum: float, step: float, default: float, unit: str = ""
    ) -> None:
        super().__init__()
        self.slider = ValueSlider(minimum, maximum, step, default)
        self.value = QDoubleSpinBox()
        self.value.setObjectName("value")
        digits = 0 if step >= 1 else 1 if step >= 0.1 else 2 if step >= 0.01 else 3
        self.value.setDecimals(digits)
        self.value.setRange(minimum, maximum)
        self.value.setSingleStep(step)
        self.value.setSuffix({"deg": "°", "": ""}.get(unit, f" {unit}"))
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        ends = (self.value.textFromValue(number) + self.value.suffix() for number in (minimum, maximum))
        self.value.setFixedWidth(max(72, *(self.value.fontMetrics().horizontalAdvance(end) + 16 for end in ends)))
        self.value.setKeyboardTracking(False)
        self.value.setValue(default)
        self.value.wheelEvent = lambda event: event.ignore()  # type: ignore[method-assign]
        FieldKeys(self.value, lambda: self.value.setValue(self.slider.number))
        label = ElidedLabel("rowTitle", title)
        label.setMinimumWidth(40)
        label.setBuddy(self.slider)
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(label, 1)
        top.addWidget(self.value)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 2, 0, 2)
        box.setSpacing(0)
        box.addLayout(top)
        box.addWidget(self.slider)
        self.setToolTip(tooltip_text(f"{help_text}\n{tr('Double-click resets it.')}"))
        for widget in (self.slider, self.value):
            widget.setAccessibleName(title)
            widget.setAccessibleDescription(help_text)
        self.slider.moved.connect(self._moved)
        self.value.valueChanged.connect(self._typed)

    def show_value(self, number: float) -> None:
        """Show a value without a signal."""
        self.slider.show_number(number)
        before = self.value.blockSignals(True)
        self.value.setValue(number)
        self.value.blockSignals(before)

    def _moved(self, number: float) -> None:
        before = self.value.blockSignals(True)
        self.value.setValue(number)
        self.value.blockSignals(before)
        self.changed.emit(number)

    def _typed(self, number: float) -> None:
        self.slider.show_number(number)
        self.changed.emit(number)


class ElidedLabel(QLabel):
    """A one-line label that is elided if there is no room."""

    def __init__(self, name: str = "", text: str = "") -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setObjectName(name)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the text, elided to fit."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), self.alignment() | Qt.AlignmentFlag.AlignVCenter, text)


class ComboBox(QComboBox):
    """A combo box that may be narrower than its texts: they are elided, and the list shows them in full.

    The wheel scrolls the surrounding panel and changes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """See the class."""
        event.ignore()

    def showPopup(self) -> None:  # noqa: N802
        """Make the list as wide as its texts, within the screen."""
        view = self.view()
        widest = view.sizeHintForColumn(0) + 32
        view.setMinimumWidth(max(self.width(), min(widest, self.screen().availableGeometry().width() - 40)))
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the text, elided to fit."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self).width()
        option.currentText = option.fontMetrics.elidedText(
            option.currentText,
            Qt.TextElideMode.ElideRight,
            room - 4,
        )
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class Switch(QCheckBox):
    """A check box drawn as a switch, with the text on its left."""

    def __init__(self, text: str, help_text: str = "") -> None:
        super().__init__(text)
        self.setToolTip(tooltip_text(help_text))
        self.setAccessibleName(text)
        self.setAccessibleDescription(help_text)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Use the height of a row."""
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 52, 30)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Allow the panel to elide the text."""
        return QSize(80, 30)

    def hitButton(self, pos: QPoint) -> bool:  # noqa: N802
        """Make the whole row clickable."""
        return self.rect().contains(pos)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw text, track and handle."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(c.text if self.isEnabled() else c.faint))
        room = QRect(0, 0, self.width() - 44, self.height())
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        track = QRectF(self.width() - 36, self.height() / 2 - 9, 34, 18)
        if self.hasFocus():
            painter.setPen(QPen(QColor(c.text), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(track.adjusted(-3, -3, 2, 3).intersected(QRectF(self.rect())), 11, 11)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.accent if self.isChecked() and self.isEnabled() else c.line))
        painter.drawRoundedRect(track, 9, 9)
        x = track.right() - 9 if self.isChecked() else track.left() + 9
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.on_accent if self.isChecked() else c.muted))
        painter.drawEllipse(QPointF(x, track.center().y()), 6, 6)


class FileTarget(QWidget):
    """A widget that accepts a dropped file.

    Signals:
        dropped: Its path.
    """

    dropped = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Accept files."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Emit the first file."""
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            event.acceptProposedAction()
            self.dropped.emit(files[0])


def scrolled(content: QWidget) -> QScrollArea:
    """Wrap a column of widgets in a vertically scrolling area without a frame."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area


class Section(QWidget):
    """A heading that collapses the controls below it.

    Args:
        key: Name for the saved state.
        title: Heading.
        is_open: Whether it is initially open.
    """

    toggled = Signal(str, bool)

    def __init__(self, key: str, title: str, is_open: bool = True) -> None:
        super().__init__()
        self.key = key
        self.button = QToolButton()
        self.button.setObjectName("section")
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setChecked(is_open)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setAccessibleName(title)
        self.button.setAccessibleDescription(tr("Shows or hides the controls below."))
        self.button.setToolTip(tr("Shows or hides the controls below."))
        self.button.setMinimumWidth(80)
        self.button.setIconSize(QSize(14, 14))
        self.content = QWidget()
        self.body = QVBoxLayout(self.content)
        self.body.setContentsMargins(10, 2, 10, 10)
        self.body.setSpacing(6)
        self.extra = QHBoxLayout()
        self.extra.setContentsMargins(0, 0, 6, 0)
        self.extra.setSpacing(2)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.button, 1)
        head.addLayout(self.extra)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(head)
        box.addWidget(self.content)
        self.button.toggled.connect(self._set_open)
        self._set_open(is_open)

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self.button.isChecked()

    def _set_open(self, is_open: bool) -> None:
        self.content.setVisible(is_open)
        self.refresh()
        self.toggled.emit(self.key, is_open)

    def refresh(self) -> None:
        """Draw the arrow in the current colours."""
        self.button.setIcon(icons.icon("chevron-down" if self.is_open else "chevron-right", colours().muted))


class FlowLayout(QLayout):
    """Lays out widgets in lines, like words in a text."""

    def __init__(self, spacing: int = 6) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setSpacing(spacing)
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: N802
        """Add an item."""
        self._items.append(item)

    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """The item at an index."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """Remove and return an item."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Report that the height depends on the width."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Height of the lines at a width."""
        return self._arrange(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802
        """Place the items."""
        super().setGeometry(rect)
        self._arrange(rect, move=True)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size of the largest item."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: N802
        """Size of the largest item."""
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        x, y, line = rect.x(), rect.y(), 0
        for item in self._items:
            size = item.sizeHint()
            if x > rect.x() and x + size.width() > rect.right() + 1:
                x, y, line = rect.x(), y + line + self.spacing(), 0
            if move:
                item.setGeometry(QRect(QPoint(x, y), size))
            x += size.width() + self.spacing()
            line = max(line, size.height())
        return y + line - rect.y()


def tool_button(name: str, title: str, size: int = 18) -> QToolButton:
    """A button that shows only an icon; ``title`` is its tool tip and accessible name."""
    button = QToolButton()
    button.setProperty("icon_name", name)
    button.setIconSize(QSize(size, size))
    button.setToolTip(title)
    button.setAccessibleName(title)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    paint_icon(button)
    return button


def paint_icon(button: QWidget) -> None:
    """Draw the icon of a button in the current colours."""
    name = button.property("icon_name")
    if isinstance(name, str) and name:
        c = colours()
        primary = button.objectName() == "primary"
        colour = c.on_accent if primary else c.text
        button.setIcon(icons.icon(name, colour, c.faint))  # type: ignore[attr-defined]
