"""Dialog for the URL of a network camera."""

from __future__ import annotations

from PySide6.QtWidgets import QDialogButtonBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from app.choices import StreamAddress
from app.gui.dialogs.base import Dialog
from app.gui.translate import tr


class AddressDialog(Dialog):
    """Asks for a URL that begins with rtsp://, http:// or similar.

    Args:
        parent: Window.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Network camera"))
        self.setMinimumWidth(460)
        label = tr("URL of the camera, such as rtsp://192.168.1.20/live or http://192.168.1.30:8080/video")
        self.edit = QLineEdit()
        self.edit.setAccessibleName(label)
        self.edit.setPlaceholderText("rtsp://")
        self.edit.textChanged.connect(self._typed)
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.ok = buttons.button(kinds.Ok)
        self.ok.setText(tr("Connect"))
        self.ok.setObjectName("primary")
        self.ok.setEnabled(False)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(12)
        caption = QLabel(label)
        caption.setWordWrap(True)
        caption.setBuddy(self.edit)
        note = QLabel(tr("A user name and password in it are used only for the connection and not saved."))
        note.setObjectName("muted")
        note.setWordWrap(True)
        for widget in (caption, self.edit, note, buttons):
            box.addWidget(widget)

    def _typed(self, text: str) -> None:
        try:
            good = StreamAddress.parse(text) is not None
        except ValueError:
            good = False
        self.ok.setEnabled(good)

    @property
    def url(self) -> str:
        """The URL that was typed."""
        return self.edit.text().strip()
