"""The faces of a portrait: which of them move, and which have a driver of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.gui.localize import menu_text, tooltip_text
from app.gui.translate import tr
from app.gui.widgets.basic import FileTarget, Switch, scrolled, tool_button

THUMB: Final = 44  # side of a face's thumbnail in logical pixels
WIDTH: Final = 250


class FaceRow(FileTarget):
    """One face: its thumbnail, whether it moves, and its driver.

    Args:
        number: Its number, from 1.
        image: Its thumbnail.

    Signals:
        toggled: The user switched whether it moves.
        requested: A driver is to be chosen; the menu opens beside the button.
        dropped: A file was dropped; empty to follow the main driver.
    """

    toggled = Signal(bool)
    requested = Signal(object)

    def __init__(self, number: int, image: QImage) -> None:
        super().__init__()
        self.title = tr("Face {number}", number=number)
        self.driver = ""
        picture = QLabel()
        picture.setFixedSize(THUMB, THUMB)
        picture.setPixmap(QPixmap.fromImage(image))
        self.switch = Switch(self.title, tr("Whether this face moves."))
        self.switch.clicked.connect(lambda on: self.toggled.emit(bool(on)))
        self.button = QPushButton()
        self.button.setObjectName("choice")
        self.button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.button.clicked.connect(lambda: self.requested.emit(self.button))
        self.clear = tool_button("close", tr("{part}: follow the driver", part=self.title), 14)
        self.clear.clicked.connect(lambda: self.dropped.emit(""))
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.button, 1)
        line.addWidget(self.clear)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.switch)
        column.addLayout(line)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)

    def show_state(self, moves: bool, driver: str) -> None:
        """Show whether the face moves, and its driver; empty is the main driver."""
        self.driver = driver
        name = Path(driver).name if driver else tr("As the driver")
        self.switch.setChecked(moves)
        self.button.setText(menu_text(self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, 120)))
        hint = driver or tr("Let this face follow its own clip, image or template.")
        self.button.setToolTip(tooltip_text(hint))
        self.button.setAccessibleName(f"{self.title}: {name}")
        self.button.setAccessibleDescription(hint)
        self.button.setEnabled(moves)
        self.clear.setVisible(bool(driver) and moves)


class FaceList(QWidget):
    """All faces of a portrait.

    Signals:
        changed: The moving faces or their drivers changed.
        driver_requested: Index of a face, and the button that was clicked.
    """

    changed = Signal()
    driver_requested = Signal(int, object)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(WIDTH)
        self.rows: list[FaceRow] = []
        self.moving: set[int] = set()
        self.drivers: dict[int, str] = {}
        heading = QLabel(tr("Faces that move"))
        heading.setObjectName("heading")
        hint = QLabel(tr("Each face can follow its own clip, image or template."))
        hint.setObjectName("faint")
        hint.setWordWrap(True)
        self.everybody = QPushButton(tr("All faces"))
        self.everybody.setToolTip(tr("Let all faces move."))
        self.everybody.clicked.connect(lambda: self.set_moving(range(len(self.rows))))
        content = QWidget()
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(0, 0, 6, 0)
        self._column.setSpacing(14)
        self._column.setAlignment(Qt.AlignmentFlag.AlignTop)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(10)
        box.addWidget(heading)
        box.addWidget(hint)
        box.addWidget(scrolled(content), 1)
        box.addWidget(self.everybody)

    @staticmethod
    def thumb_size(ratio: float) -> QSize:
        """Size of a face's thumbnail in screen pixels."""
        return QSize(round(THUMB * ratio), round(THUMB * ratio))

    def show_faces(self, images: Sequence[QImage], moving: set[int], drivers: Mapping[int, str]) -> None:
        """Show the faces, which of them move, and their own drivers."""
        for number, image in enumerate(images):
            row = FaceRow(number + 1, image)
            row.toggled.connect(lambda on, key=number: self._toggle(key, on))
            row.dropped.connect(lambda path, key=number: self.set_driver(key, path))
            row.requested.connect(lambda button, key=number: self.driver_requested.emit(key, button))
            self._column.addWidget(row)
            self.rows.append(row)
        self.moving, self.drivers = set(moving), dict(drivers)
        self._show()

    def set_moving(self, numbers: Sequence[int] | range) -> None:
        """Make exactly these faces move."""
        self.moving = set(numbers)
        self._tell()

    def set_driver(self, number: int, path: str) -> None:
        """Set a face's own driver and make it move; empty is the main driver."""
        if path:
            self.drivers[number] = path
            self.moving.add(number)
        else:
            self.drivers.pop(number, None)
        self._tell()

    def _toggle(self, number: int, on: bool) -> None:
        """Switch a face, but keep at least one moving."""
        self.moving = self.moving | {number} if on else (self.moving - {number}) or self.moving
        self._tell()

    def _tell(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        for number, row in enumerate(self.rows):
            row.show_state(number in self.moving, self.drivers.get(number, ""))
        self.everybody.setEnabled(len(self.moving) < len(self.rows))
