"""Every command of the window: its name, text, icon and keys; keys can be changed and are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QObject, QSettings, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QAbstractSlider, QComboBox, QWidget

from app.gui import icons
from app.gui.translate import mark, tr
from app.gui.widgets.basic import colours
from app.gui.wording import folded, plain


@dataclass(frozen=True)
class Command:
    """Declaration of a command.

    Attributes:
        name: Key in the settings.
        text: Title.
        keys: Default keys in Qt's portable form, may be empty.
        icon: Key of ``icons.LINES``, may be empty.
        group: Heading in the sheet.
    """

    name: str
    text: str
    keys: str
    icon: str
    group: str


COMMANDS: Final = (
    Command("add_portrait", mark("Add portraits…"), "Ctrl+O", "add", mark("Portraits")),
    Command("paste", mark("Paste"), "Ctrl+V", "", mark("Portraits")),
    Command("next_portrait", mark("Next portrait"), "Ctrl+Right", "", mark("Portraits")),
    Command("previous_portrait", mark("Previous portrait"), "Ctrl+Left", "", mark("Portraits")),
    Command("edit_crop", mark("Crop and face…"), "Ctrl+K", "crop", mark("Portraits")),
    Command("driver_sliders", mark("Sliders only"), "Ctrl+1", "sliders", mark("Driver")),
    Command("driver_file", mark("Choose a clip…"), "Ctrl+2", "film", mark("Driver")),
    Command("driver_camera", mark("Camera"), "Ctrl+3", "camera", mark("Driver")),
    Command("driver_still", mark("Choose a picture…"), "Ctrl+4", "image", mark("Driver")),
    Command("driver_template", mark("Choose a motion template…"), "Ctrl+5", "motion", mark("Driver")),
    Command("play", mark("Play or pause"), "Space", "pause", mark("Driver")),
    Command("step_back", mark("One frame back"), ",", "step-back", mark("Driver")),
    Command("step_forward", mark("One frame on"), ".", "step-forward", mark("Driver")),
    Command("to_start", mark("To the beginning"), "Home", "to-start", mark("Driver")),
    Command("loop", mark("Repeat in a loop"), "L", "loop", mark("Driver")),
    Command("recentre", mark("New neutral pose"), "C", "centre", mark("Driver")),
    Command("undo", mark("Undo"), "Ctrl+Z", "undo", mark("Edit")),
    Command("redo", mark("Redo"), "Ctrl+Shift+Z", "redo", mark("Edit")),
    Command("reset_sliders", mark("Reset pose and expression"), "Ctrl+R", "reset", mark("Edit")),
    Command("reset_all", mark("Reset all controls"), "Ctrl+Shift+R", "", mark("Edit")),
    Command("save_expression", mark("Save expression…"), "Ctrl+E", "face", mark("Edit")),
    Command("save_preset", mark("Save preset…"), "Ctrl+P", "star", mark("Edit")),
    Command("view_result", mark("Result"), "F2", "result", mark("View")),
    Command("view_side", mark("Side by side"), "F3", "side", mark("View")),
    Command("view_over", mark("Result over source"), "F4", "over", mark("View")),
    Command("fit", mark("Fit"), "Ctrl+0", "fit", mark("View")),
    Command("actual_size", mark("Single pixels (1:1)"), "Ctrl+Shift+0", "", mark("View")),
    Command("zoom_in", mark("Zoom in"), "Ctrl++", "", mark("View")),
    Command("zoom_out", mark("Zoom out"), "Ctrl+-", "", mark("View")),
    Command("full_screen", mark("Full screen"), "F11", "", mark("View")),
    Command("render", mark("Render to file…"), "Ctrl+Return", "render", mark("Output")),
    Command("save_picture", mark("Save this picture…"), "Ctrl+S", "save", mark("Output")),
    Command("show_queue", mark("Render queue"), "Ctrl+J", "", mark("Output")),
    Command("record", mark("Record live"), "Ctrl+Shift+Return", "record", mark("Output")),
    Command("virtual_camera", mark("Virtual camera"), "Ctrl+Shift+V", "broadcast", mark("Output")),
    Command("engine", mark("Engine and device…"), "", "chip", mark("Program")),
    Command("models", mark("Model weights…"), "", "download", mark("Program")),
    Command("shortcuts", mark("Keyboard shortcuts…"), "F1", "keyboard", mark("Program")),
    Command("quit", mark("Quit"), "Ctrl+Q", "", mark("Program")),
)
MOVES: Final = frozenset(
    (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End,
     Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
)  # fmt: skip
CHECKABLE: Final = (
    "view_result", "view_side", "view_over", "show_queue", "record", "virtual_camera", "full_screen", "loop",
)  # fmt: skip


class Actions(QObject):
    """The commands as Qt actions, with the user's keys.

    Args:
        window: Gets the actions, so that their keys work in it.
        settings: Where changed keys are kept.
        handlers: Command name -> what it does. Checkable ones are called with their new state.
    """

    def __init__(self, window: QWidget, settings: QSettings, handlers: dict[str, Callable[..., object]]) -> None:
        super().__init__(window)
        self._settings = settings
        self._actions: dict[str, QAction] = {}
        views = QActionGroup(window)
        for command in COMMANDS:
            action = QAction(tr(command.text), window)
            action.setObjectName(command.name)
            action.setCheckable(command.name in CHECKABLE)
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            handler = handlers[command.name]
            if command.name in CHECKABLE:
                action.triggered.connect(handler)
            else:
                action.triggered.connect(lambda _=False, call=handler: call())
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
        """Use other keys and keep them; those that equal the default are not kept."""
        for command in COMMANDS:
            own = keys.get(command.name, command.keys)
            self._apply(command, own)
            if own == command.keys:
                self._settings.remove(f"keys/{command.name}")
            else:
                self._settings.setValue(f"keys/{command.name}", own)

    def refresh(self) -> None:
        """Draw the icons in the colours in use."""
        c = colours()
        for command in COMMANDS:
            if command.icon:
                self._actions[command.name].setIcon(icons.icon(command.icon, c.text, c.faint))

    def _load(self) -> None:
        """Use the kept keys; where a default is among them for another command, the user's choice counts."""
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
        """Give a command another text, in the menu and in the tool tip with its keys."""
        action = self._actions[name]
        native = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        action.setText(plain(text))
        action.setToolTip(folded(f"{text} ({native})" if native else text))


def uses_key(widget: QWidget, event: QKeyEvent) -> bool:
    """Whether a control that has the focus needs a key for itself, so that no command of the window takes it.

    Space presses a button, Home moves a slider, letters choose in a list: all without Ctrl or Alt.
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
    """Keys that more than one command has: keys -> command names."""
    users: dict[str, list[str]] = {}
    for name, sequence in keys.items():
        if sequence:
            users.setdefault(sequence, []).append(name)
    return {sequence: names for sequence, names in users.items() if len(names) > 1}
