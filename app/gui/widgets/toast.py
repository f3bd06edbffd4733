"""A message over the preview that disappears by itself."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from app.gui import icons
from app.gui.translate import tr
from app.gui.widgets.basic import colours, paint_icon, tool_button

SECONDS = 8
LINES = 3  # most messages shown at once
LEVELS = ("info", "warning", "error")


class Toast(QFrame):
    """One message at the lower edge of a widget.

    Args:
        host: Widget that it is shown on.
    """

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._lines: list[tuple[str, str]] = []
        self.setObjectName("banner")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._icon = QLabel()
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setWordWrap(True)
        self._close = tool_button("close", tr("Close the message"), 14)
        self._close.clicked.connect(self.hide)
        box = QHBoxLayout(self)
        box.setContentsMargins(14, 8, 8, 8)
        box.setSpacing(10)
        box.addWidget(self._icon)
        box.addWidget(self.label, 1)
        box.addWidget(self._close)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        host.installEventFilter(self)
        self.hide()

    def say(self, text: str, level: str = "info") -> None:
        """Show a message for a while; earlier ones still shown stay above it."""
        c = colours()
        lines = self._lines if self.isVisible() else []
        self._lines = [*[line for line in lines if line[0] != text][1 - LINES :], (text, level)]
        level = max((line[1] for line in self._lines), key=LEVELS.index)
        text = "\n".join(line[0] for line in self._lines)
        icon, colour = {"warning": ("warning", c.warning), "error": ("warning", c.danger)}.get(level, ("info", c.muted))
        self._icon.setPixmap(icons.pixmap(icon, colour, 20))
        self.label.setText(text)
        self.setAccessibleName(text)
        paint_icon(self._close)
        self._place()
        self.show()
        self.raise_()
        self._timer.start(1000 * SECONDS)

    def eventFilter(self, host: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Keep the message at the lower edge."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        host = self._host
        width = min(560, host.width() - 32)
        self.setFixedWidth(max(160, width))
        self.adjustSize()
        self.move((host.width() - self.width()) // 2, host.height() - self.height() - 16)
