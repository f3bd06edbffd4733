"""The part of the crop editor for placing a face by hand: switches, undo, and the file."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.errors import AppError, UsageError
from app.gui import store
from app.gui.localize import localized
from app.gui.placing import Placing
from app.gui.translate import tr
from app.gui.widgets.basic import Switch, tool_button
from app.gui.widgets.placeview import PlaceView
from app.placed_faces import read_placed_face
from app.presets import config_folder
from liveportrait.placed import Handles
from liveportrait.placed_file import SUFFIX, PlacedFile

PATTERN: Final = f"(*{SUFFIX} *.json)"


def placed_folder() -> Path:
    """Folder of faces placed in the window."""
    return config_folder() / "landmarks"


def keep(placed: PlacedFile, picture: Path) -> Path:
    """Write a placed face to the folder with the other session data.

    The name depends on the content, so that undo in the window finds the previous face.

    Args:
        placed: The face.
        picture: The image that it was placed on.

    Raises:
        UsageError: It can't be written.
    """
    text = placed.to_text()
    mark = hashlib.sha256(text.encode()).hexdigest()[:10]
    path = placed_folder() / f"{store.safe_name(picture.stem)}-{mark}{SUFFIX}"
    return path if path.is_file() else store.write_text(path, text)


class PlacingPanel(QWidget):
    """Switches and buttons for placing a face.

    Args:
        view: Shows the handles.
        width: Width of the buttons.

    Signals:
        toggled: Placing was switched on or off.
        changed: The face has changed.
    """

    toggled = Signal(bool)
    changed = Signal()

    def __init__(self, view: PlaceView, width: int) -> None:
        super().__init__()
        self._view = view
        self._size = (1, 1)
        self._guess: Handles = {}
        self._path = Path()
        self._before: Handles = {}
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        self.switch = Switch(
            tr("Place the face by hand"),
            tr("For a pet, a doll or a drawing: drag the handles to eyes, nose, mouth and outline."),
        )
        self.mirrored = Switch(tr("Mirrored"), tr("Move both sides of the face together."))
        self.mirrored.setChecked(True)
        self._tools = QWidget()
        row = QHBoxLayout(self._tools)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.undo = tool_button("undo", tr("Undo"))
        self.redo = tool_button("redo", tr("Redo"))
        self.again = tool_button("reset", tr("Start again"))
        self.open_ = tool_button("folder", tr("Open…"))
        self.save = tool_button("save", tr("Save as…"))
        for button in (self.undo, self.redo, self.again, self.open_, self.save):
            row.addWidget(button)
        row.addStretch(1)
        self.hint = QLabel()
        self.hint.setObjectName("muted")
        self.hint.setWordWrap(True)
        for widget in (self.switch, self.mirrored, self._tools, self.hint):
            widget.setFixedWidth(width)
            box.addWidget(widget)
        self.switch.toggled.connect(self._toggle)
        self.mirrored.toggled.connect(self._set_mirrored)
        self.undo.clicked.connect(partial(self._step, "undo"))
        self.redo.clicked.connect(partial(self._step, "redo"))
        self.again.clicked.connect(self._start_again)
        self.open_.clicked.connect(self._open)
        self.save.clicked.connect(self._save)
        for keys, name in ((QKeySequence.StandardKey.Undo, "undo"), (QKeySequence.StandardKey.Redo, "redo")):
            QShortcut(keys, self).activated.connect(partial(self._step, name))
        view.placed.connect(self.show_state)
        self.setEnabled(False)
        self.show_state()

    @property
    def placing(self) -> Placing | None:
        """The face being placed, or None."""
        return self._view.placing

    def begin(self, path: Path, size: tuple[int, int], guess: Handles, landmarks: Path | None) -> None:
        """Start with an image.

        Args:
            path: The image.
            size: Its width and height in pixels.
            guess: Initial handles.
            landmarks: File of a face that was placed before, or None.
        """
        self._path, self._size, self._guess = path, size, guess
        self.setEnabled(True)
        if landmarks is not None:
            self._before, fault = self._read(landmarks), self.hint.text()
            self.switch.setChecked(True)
            self.hint.setText(fault or self.hint.text())

    def refuse(self, why: str) -> None:
        """Disable placing on this image; a face placed before can still be removed."""
        self.switch.setEnabled(self.switch.isChecked())
        self.switch.setToolTip(why)

    def file(self) -> PlacedFile:
        """The current face.

        Raises:
            UsageError: The handles form no face.
        """
        placing = self._view.placing
        assert placing is not None
        if placing.problem:
            raise UsageError(tr("The handles don't form a face: {problem}.", problem=localized(placing.problem)))
        return PlacedFile(*self._size, placing.handles)

    # ---- steps ----------------------------------------------------------------------------------------------------
    def _toggle(self, on: bool) -> None:
        placing = Placing(self._before or self._guess) if on else None
        if placing is not None:
            placing.mirrored = self.mirrored.isChecked()
        self._view.set_placing(placing)
        self.toggled.emit(on)
        self.show_state()

    def _set_mirrored(self, on: bool) -> None:
        if self._view.placing is not None:
            self._view.placing.mirrored = on

    def _step(self, name: str) -> None:
        if self._view.placing is not None:
            getattr(self._view.placing, name)()
            self.show_state()

    def _start_again(self) -> None:
        if self._view.placing is not None:
            self._view.placing.replace(self._guess)
            self.show_state()

    def show_state(self) -> None:
        """Update buttons and hint to the state of the face, and signal that it may have changed."""
        placing = self._view.placing
        for widget in (self.mirrored, self._tools):
            widget.setVisible(placing is not None)
        self.hint.setVisible(placing is not None)
        if placing is None:
            return
        self.undo.setEnabled(placing.can_undo)
        self.redo.setEnabled(placing.can_redo)
        text = tr("The box moves, scales and rotates the whole face. Arrow keys move the selected handle.")
        if placing.problem:
            text = tr("The handles don't form a face: {problem}.", problem=localized(placing.problem))
        self.hint.setText(text)
        self._view.tell()
        self.changed.emit()

    # ---- files ----------------------------------------------------------------------------------------------------
    def _read(self, path: Path) -> Handles:
        """Read the face of a file; if it can't be used, show why and return none."""
        try:
            return read_placed_face(path).handles_on(*self._size)
        except (AppError, ValueError) as error:
            self.hint.setText(localized(str(error)))
            return {}

    def _open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, tr("Open"), str(self._path.parent), f"{tr('Placed faces')} {PATTERN}"
        )
        if name and self._view.placing is not None and (handles := self._read(Path(name))):
            self._view.placing.replace(handles)
            self.show_state()

    def _save(self) -> None:
        offered = self._path.with_name(f"{self._path.stem}{SUFFIX}")
        name, _ = QFileDialog.getSaveFileName(self, tr("Save as"), str(offered), f"{tr('Placed faces')} {PATTERN}")
        if not name:
            return
        path, _ = store.with_ending(Path(name), (".json",), SUFFIX)
        try:
            store.write_text(path, self.file().to_text())
            self.hint.setText(tr("{name} is ready.", name=path.name))
        except AppError as error:
            self.hint.setText(localized(str(error)))
