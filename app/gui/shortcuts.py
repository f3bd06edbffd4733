"""The commands of the window as Qt actions; changed keys are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QSettings, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QAbstractSlider, QComboBox, QWidget

from app.gui import icons
from app.gui.command_table import COMMANDS, Command
from app.gui.localize import menu_text, tooltip_text
from app.gui.translate import tr
from app.gui.widgets.basic import colours

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.gui.window import MainWindow


MOVES: Final = frozenset(
    (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End,
     Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
)  # fmt: skip


class Actions(QObject):
    """The commands as Qt actions, with the user's keys.

    Args:
        window: Window that the actions are added to, so that their keys work in it.
        settings: Stores changed keys.
    """

    def __init__(self, window: MainWindow, settings: QSettings) -> None:
        super().__init__(window)
        self._settings = settings
        self._actions: dict[str, QAction] = {}
        views = QActionGroup(window)
        for command in COMMANDS:
            action = QAction(tr(command.text), window)
            action.setObjectName(command.name)
            action.setCheckable(command.checkable)
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.triggered.connect(lambda on=False, run=command.run: run(window, on))
            if command.name.startswith("view_"):
                views.addAction(action)
            window.addAction(action)
            self._actions[command.name] = action
        self._load()
        self.refresh()

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def keys(self) -> dict[str, str]:
        """Command name -> keys in use, in Qt's portable form."""
        portable = QKeySequence.SequenceFormat.PortableText
        return {name: action.shortcut().toString(portable) for name, action in self._actions.items()}

    def set_keys(self, keys: dict[str, str]) -> None:
        """Set and save the keys; those equal to the default are not saved."""
        for command in COMMANDS:
            own = keys.get(command.name, command.keys)
            self._apply(command, own)
            if own == command.keys:
                self._settings.remove(f"keys/{command.name}")
            else:
                self._settings.setValue(f"keys/{command.name}", own)

    def enable(self, studio: Studio) -> None:
        """Disable the commands that can't currently be used."""
        for command in COMMANDS:
            self._actions[command.name].setEnabled(command.enabled(studio))

    def refresh(self) -> None:
        """Draw the icons in the current colours."""
        c = colours()
        for command in COMMANDS:
            if command.icon:
                self._actions[command.name].setIcon(icons.icon(command.icon, c.text, c.faint))

    def _load(self) -> None:
        """Load the saved keys; if one is the default of another command, the user's choice takes precedence."""
        kept: dict[str, str] = {}
        for command in COMMANDS:
            own = self._settings.value(f"keys/{command.name}")
            if isinstance(own, str) and (not own or own not in kept.values()):
                kept[command.name] = own
        taken = {own for own in kept.values() if own}
        for command in COMMANDS:
            free = "" if command.keys in taken else command.keys
            self._apply(command, kept.get(command.name, free))

    def _apply(self, command: Command, keys: str) -> None:
        action = self._actions[command.name]
        sequence = QKeySequence.fromString(keys, QKeySequence.SequenceFormat.PortableText)
        action.setShortcut(sequence)
        self.retitle(command.name, tr(command.text))

    def retitle(self, name: str, text: str) -> None:
        """Change the text of a command in the menu and, with its keys, in the tool tip."""
        action = self._actions[name]
        native = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        action.setText(menu_text(text))
        action.setToolTip(tooltip_text(f"{text} ({native})" if native else text))


def uses_key(widget: QWidget, event: QKeyEvent) -> bool:
    """Whether the focused control needs a key itself, so that it must not trigger a command.

    Space presses a button, Home moves a slider, letters select in a list: all without Ctrl or Alt.
    """
    held = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
    if event.modifiers() & held:
        return False
    key = Qt.Key(event.key())
    if isinstance(widget, QAbstractButton):
        return key == Qt.Key.Key_Space
    if isinstance(widget, QAbstractSlider):
        return key in MOVES
    if isinstance(widget, (QComboBox, QAbstractItemView)):
        return key in MOVES or bool(event.text().strip()) or key == Qt.Key.Key_Space
    return False


def clashes(keys: dict[str, str]) -> dict[str, list[str]]:
    """Keys assigned to more than one command: keys -> command names."""
    users: dict[str, list[str]] = {}
    for name, sequence in keys.items():
        if sequence:
            users.setdefault(sequence, []).append(name)
    return {sequence: names for sequence, names in users.items() if len(names) > 1}
