"""Messages over the preview: whole sentences, each with what can be done about it; they disappear by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.gui import icons
from app.gui.translate import tr
from app.gui.widgets.basic import colours, paint_icon, tool_button

SECONDS: Final = {"info": 8, "warning": 16, "error": 24}  # that messages stay, by level
LINES: Final = 3  # most messages shown at once
KEPT: Final = 300  # most messages that can be read again


@dataclass(frozen=True)
class Message:
    """A message to the user.

    Attributes:
        text: Whole sentences.
        level: "info", "warning" or "error".
        action: Title of what can be done about it, or empty.
        act: Does it.
        time: When it was said, on the local clock.
    """

    text: str
    level: str = "info"
    action: str = ""
    act: Callable[[], object] | None = None
    time: datetime = datetime.min


class _Row(QWidget):
    """One message: sign, text, action, and a cross."""

    def __init__(self, message: Message, close: Callable[[Message], None]) -> None:
        super().__init__()
        self.message = message
        c = colours()
        looks = {"warning": ("warning", c.warning), "error": ("warning", c.danger)}
        name, colour = looks.get(message.level, ("info", c.muted))
        sign = QLabel()
        sign.setPixmap(icons.pixmap(name, colour, 20))
        text = QLabel(message.text)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setWordWrap(True)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(10)
        line.addWidget(sign)
        line.addWidget(text, 1)
        if message.act is not None:
            self.action = QPushButton(message.action)
            self.action.setObjectName("chip")
            self.action.clicked.connect(message.act)
            self.action.clicked.connect(lambda: close(message))
            line.addWidget(self.action)
        cross = tool_button("close", tr("Close the message"), 14)
        cross.clicked.connect(lambda: close(message))
        paint_icon(cross)
        line.addWidget(cross)


class Toast(QFrame):
    """The last messages at the lower edge of a widget; all of them are kept to be read again.

    Args:
        host: Widget that they are shown on.

    Attributes:
        log: The messages so far, oldest first.

    Signals:
        said: There is a new message.
    """

    said = Signal()

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self.log: list[Message] = []
        self._rows: list[_Row] = []
        self.setObjectName("banner")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(14, 8, 8, 8)
        self._box.setSpacing(6)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        host.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """The messages last shown, one a line."""
        return "\n".join(row.message.text for row in self._rows)

    @property
    def actions_shown(self) -> dict[str, QPushButton]:
        """Title -> button of the actions shown."""
        return {row.message.action: row.action for row in self._rows if row.message.act is not None}

    def keep(self, text: str, level: str = "info") -> None:
        """Keep a message without showing it."""
        if not self.log or self.log[-1].text != text:
            self._keep(Message(text, level, time=datetime.now(timezone.utc).astimezone()))

    def _keep(self, message: Message) -> None:
        self.log.append(message)
        del self.log[:-KEPT]
        self.said.emit()

    def say(self, text: str, level: str = "info", action: str = "", act: Callable[[], object] | None = None) -> None:
        """Show a message for a while; earlier ones still shown stay above it.

        Args:
            text: Whole sentences.
            level: "info", "warning" or "error".
            action: Title of what can be done about it, or empty.
            act: Does it.
        """
        message = Message(text, level, action, act, datetime.now(timezone.utc).astimezone())
        self._keep(message)
        rows = [row.message for row in self._rows] if self.isVisible() else []
        self._show([*[one for one in rows if one.text != text][1 - LINES :], message])
        self._timer.start(1000 * max(SECONDS[row.message.level] for row in self._rows))

    def _show(self, messages: list[Message]) -> None:
        for row in self._rows:
            self._box.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows = [_Row(message, self._close) for message in messages]
        for row in self._rows:
            self._box.addWidget(row)
            row.show()  # or the layout would not count it yet
        self.setAccessibleName(self.text)
        self.setVisible(bool(messages))
        self._place()
        self.raise_()

    def _close(self, message: Message) -> None:
        self._show([row.message for row in self._rows if row.message is not message])

    def eventFilter(self, host: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Keep the messages at the lower edge."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        host = self._host
        self.setFixedWidth(max(160, min(600, host.width() - 32)))
        self._box.invalidate()
        self.setFixedHeight(max(40, self._box.totalHeightForWidth(self.width())))
        self.move((host.width() - self.width()) // 2, host.height() - self.height() - 16)
