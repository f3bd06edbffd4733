"""All messages since the start, to be read again and copied."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.gui.dialogs.base import Dialog
from app.gui.translate import mark, tr
from app.gui.widgets.toast import Message, Toast

LEVELS = {"info": "", "warning": mark("Warning"), "error": mark("Error")}


def line_of(message: Message) -> str:
    """A message as one line of the log."""
    level = LEVELS[message.level]
    return f"{message.time:%H:%M:%S}  {f'{tr(level)}: ' if level else ''}{message.text}"


class LogDialog(Dialog):
    """Shows the messages; new ones appear while it is open.

    Args:
        toast: Has them.
        parent: Window.
    """

    def __init__(self, toast: Toast, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._toast = toast
        self.setWindowTitle(tr("Messages"))
        self.resize(720, 420)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName(tr("Messages"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        copy = QPushButton(tr("Copy"))
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text.toPlainText()))
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ResetRole)
        box = QVBoxLayout(self)
        box.setContentsMargins(20, 20, 20, 16)
        box.addWidget(self.text)
        box.addWidget(buttons)
        toast.said.connect(self._show)
        self._show()

    def _show(self) -> None:
        lines = [line_of(message) for message in self._toast.log]
        self.text.setPlainText("\n".join(lines) or tr("Nothing yet"))
        bar = self.text.verticalScrollBar()
        bar.setValue(bar.maximum())
