"""Dialogs and menus that commands open without blocking the window, and their start folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QMenu, QWidget

from app.gui.studio import Studio


class Prompts:
    """Opens dialogs and menus.

    Args:
        studio: Knows the folders used before.

    Attributes:
        dialogs: The open ones.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.dialogs: list[QWidget] = []

    def popup(self, menu: QMenu, button: QWidget) -> None:
        """Open a menu below its button."""
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(button.mapToGlobal(QPoint(0, button.height() + 2)))

    def open(self, dialog: Any) -> None:
        """Open a dialog without blocking the window's thread."""
        self.dialogs.append(dialog)

        def forget() -> None:
            self.dialogs.remove(dialog)
            dialog.deleteLater()

        dialog.finished.connect(forget)
        dialog.open()

    def in_home(self, name: str) -> str:
        """A suggested path: in the folder of the last output, or in the user's home folder."""
        return str(Path(self.folder("output")) / name)

    def folder(self, kind: str) -> str:
        """The folder used last for "portraits", "drivers" or "output"."""
        if kind == "output":
            return str(self._studio.settings.value("folders/output", str(Path.home())))
        recent = self._studio.recent(kind)
        return str(Path(recent[0]).parent) if recent else str(Path.home())
