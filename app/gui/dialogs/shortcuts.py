"""The dialog for viewing and changing keyboard shortcuts."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QKeySequenceEdit,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui.command_table import COMMANDS
from app.gui.dialogs.base import Dialog
from app.gui.shortcuts import Actions, clashes
from app.gui.translate import tr

PORTABLE = QKeySequence.SequenceFormat.PortableText


class KeyEdit(QKeySequenceEdit):
    """Accepts one key with its modifiers; Escape reverts a change, Backspace and Delete remove the key.

    Args:
        keys: Initial keys.
    """

    def __init__(self, keys: QKeySequence) -> None:
        super().__init__(keys)
        self.setMaximumSequenceLength(1)
        self.setClearButtonEnabled(True)
        self._before = keys

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """Remember the keys that Escape restores."""
        self._before = self.keySequence()
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """See the class."""
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and event.key() == Qt.Key.Key_Escape:
            if self.keySequence() == self._before:
                event.ignore()  # closes the dialog
            else:
                self.setKeySequence(self._before)
        elif plain and event.key() in (Qt.Key.Key_Backspace, Qt.Key.Key_Delete):
            self.clear()
        else:
            super().keyPressEvent(event)


class ShortcutsDialog(Dialog):
    """Shows and changes the keys of all commands.

    Args:
        actions: The commands.
        parent: Window.
    """

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setWindowTitle(tr("Keyboard shortcuts"))
        self.resize(560, 640)
        self.edits: dict[str, KeyEdit] = {}
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(4, 4, 12, 4)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        group, row, keys = "", 0, actions.keys()
        for command in COMMANDS:
            if command.group != group:
                group = command.group
                head = QLabel(tr(group))
                head.setObjectName("heading")
                head.setContentsMargins(0, 14 if row else 0, 0, 2)
                grid.addWidget(head, row, 0, 1, 2)
                row += 1
            edit = KeyEdit(QKeySequence.fromString(keys[command.name], PORTABLE))
            edit.setFixedWidth(190)
            edit.setAccessibleName(tr(command.text))
            edit.setToolTip(tr("Click here and press the new keys."))
            clear = edit.findChild(QToolButton)
            if clear is not None:
                clear.setAccessibleName(tr("Clear"))
            edit.keySequenceChanged.connect(self._check)
            label = QLabel(tr(command.text).rstrip("…"))
            label.setBuddy(edit)
            grid.addWidget(label, row, 0)
            grid.addWidget(edit, row, 1)
            self.edits[command.name] = edit
            row += 1
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._warning = QLabel()
        self._warning.setObjectName("warningText")
        self._warning.setWordWrap(True)
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        buttons.button(kinds.Ok).setObjectName("primary")
        buttons.button(kinds.RestoreDefaults).setText(tr("Restore defaults"))
        buttons.button(kinds.RestoreDefaults).clicked.connect(self._defaults)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._ok = buttons.button(kinds.Ok)
        box = QVBoxLayout(self)
        box.setContentsMargins(20, 20, 20, 20)
        box.setSpacing(12)
        box.addWidget(area, 1)
        box.addWidget(self._warning)
        box.addWidget(buttons)
        self._check()
        self._ok.setFocus()  # a focused field would capture the next key

    def keys(self) -> dict[str, str]:
        """Keys as edited in the dialog."""
        return {name: edit.keySequence().toString(PORTABLE) for name, edit in self.edits.items()}

    def _check(self) -> None:
        doubled = clashes(self.keys())
        texts = {command.name: tr(command.text).rstrip("…") for command in COMMANDS}
        lines = [
            tr("{keys} is used by: {commands}", keys=keys, commands=", ".join(texts[name] for name in names))
            for keys, names in doubled.items()
        ]
        self._warning.setText("\n".join(lines))
        self._warning.setVisible(bool(lines))
        self._ok.setEnabled(not lines)

    def _defaults(self) -> None:
        for command in COMMANDS:
            self.edits[command.name].setKeySequence(QKeySequence.fromString(command.keys, PORTABLE))

    def accept(self) -> None:
        """Apply the keys and close."""
        self._actions.set_keys(self.keys())
        super().accept()
