"""The choice of the background behind people: a keyword, a colour or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QColorDialog, QFileDialog

from app.choices import Background
from app.gui.titles import choice_title
from app.gui.translate import tr
from app.gui.widgets.basic import ComboBox

WORDS: Final = ("keep", "blur", "transparent")
COLOUR, IMAGE = "#", "/"  # entries that open a dialog
IMAGES: Final = "*.png *.jpg *.jpeg *.webp *.bmp *.tif *.tiff *.heic *.avif"
FIRST_COLOUR: Final = "#00ff00"


class BackgroundChoice(ComboBox):
    """A list of backgrounds; the last two entries open dialogs for a colour and an image.

    Signals:
        chosen: The value of the option.
    """

    chosen = Signal(str)

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._value = "keep"
        for word in WORDS:
            self.addItem(choice_title(word), word)
        self.addItem(tr("Colour…"), COLOUR)
        self.addItem(tr("Image…"), IMAGE)
        self.activated.connect(self._take)

    def show_value(self, value: str) -> None:
        """Show a value without a signal."""
        self._value = value
        kind = Background.parse(value).kind
        named = {"colour": value, "image": Path(value).name}.get(kind, "")
        self.setItemText(self.findData(COLOUR), value if kind == "colour" else tr("Colour…"))
        self.setItemText(self.findData(IMAGE), named if kind == "image" else tr("Image…"))
        self.setCurrentIndex(self.findData({"colour": COLOUR, "image": IMAGE}.get(kind, value)))

    def _take(self) -> None:
        word = self.currentData()
        if word == COLOUR:
            start = self._value if Background.parse(self._value).kind == "colour" else FIRST_COLOUR
            colour = QColorDialog.getColor(QColor(start), self, self._title)
            word = colour.name() if colour.isValid() else ""
        elif word == IMAGE:
            folder = str(Path(self._value).parent) if Background.parse(self._value).path else str(Path.home())
            pattern = tr("Images ({endings})", endings=IMAGES)
            word, _ = QFileDialog.getOpenFileName(self, self._title, folder, pattern)
        if word:
            self.chosen.emit(word)
        else:
            self.show_value(self._value)
