"""Asks what the files of a dropped folder are."""

from __future__ import annotations

from functools import partial

from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.gui.dialogs.base import Dialog
from app.gui.translate import tr


class FolderDialog(Dialog):
    """Asks whether the files of a folder are portraits of their own or the numbered images of one clip.

    Args:
        name: Name of the folder.
        count: Number of images and clips in it.
        numbered: Whether its images are numbered.
        parent: Window.

    Attributes:
        answer: "portraits" or "sequence" once it is accepted.
    """

    def __init__(self, name: str, count: int, numbered: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.answer = ""
        self.setWindowTitle(tr("Folder"))
        text = tr("{name} holds {count} images and clips. How are they used?", name=name, count=count)
        message = QLabel(text)
        message.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        line = QHBoxLayout()
        line.addStretch(1)
        cancel = QPushButton(tr("Cancel"))
        cancel.clicked.connect(self.reject)
        line.addWidget(cancel)
        for answer, title in (("sequence", tr("As one numbered sequence")), ("portraits", tr("As portraits"))):
            button = self.buttons[answer] = QPushButton(title)
            button.clicked.connect(partial(self._choose, answer))
            line.addWidget(button)
        self.buttons["sequence"].setVisible(numbered)
        self.buttons["portraits"].setObjectName("primary")
        self.buttons["portraits"].setDefault(True)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(16)
        box.addWidget(message)
        box.addLayout(line)
        for button in self.buttons.values():
            button.ensurePolished()
        self.setMinimumWidth(max(460, box.minimumSize().width()))

    def _choose(self, answer: str) -> None:
        self.answer = answer
        self.accept()
