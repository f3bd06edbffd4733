"""Asks what the files of a dropped folder are."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.gui.dialogs.messages import AnswerDialog
from app.gui.translate import tr


class FolderDialog(AnswerDialog):
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
        text = tr("{name} holds {count} images and clips. How are they used?", name=name, count=count)
        answers = {"sequence": tr("As one numbered sequence"), "portraits": tr("As portraits")}
        hidden = () if numbered else ("sequence",)
        super().__init__(tr("Folder"), text, answers, hidden=hidden, cancel=True, width=460, parent=parent)
