"""Drivers of the parts of the face: each part has its own clip or template, or follows the main driver."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.gui.localize import menu_text, tooltip_text
from app.gui.session import Session
from app.gui.translate import mark, tr
from app.gui.widgets.basic import FileTarget, tool_button

PARTS: Final = (
    ("pose_from", mark("Head"), mark("Turns and shifts of the head come from this clip or template.")),
    (
        "exp_from",
        mark("Expression"),
        mark("The expression, except for lips and eyes, comes from this clip or template."),
    ),
    ("lips_from", mark("Lips"), mark("The lips come from this clip, template or sound.")),
    ("eyes_from", mark("Eyes"), mark("The eyes come from this clip or template.")),
)


class PartRow(FileTarget):
    """One part of the face.

    Args:
        title: Shown name.
        help_text: Tool tip, and the accessible description.

    Signals:
        requested: Another driver is to be chosen; the menu opens beside the button.
        changed: A file was dropped; empty to follow the main driver.
    """

    requested = Signal(object)
    changed = Signal(str)

    def __init__(self, title: str, help_text: str) -> None:
        super().__init__()
        self.title, self.help = title, help_text
        self.dropped.connect(self.changed)
        label = QLabel(title)
        label.setObjectName("rowTitle")
        label.setToolTip(tooltip_text(help_text))
        label.setFixedWidth(84)
        self.button = QPushButton()
        self.button.setObjectName("choice")
        self.button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.button.setAccessibleDescription(help_text)
        self.button.clicked.connect(lambda: self.requested.emit(self.button))
        label.setBuddy(self.button)
        self.clear = tool_button("close", tr("{part}: follow the driver", part=title), 14)
        self.clear.clicked.connect(lambda: self.changed.emit(""))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(label)
        line.addWidget(self.button, 1)
        line.addWidget(self.clear)
        self.show_file("")

    def show_file(self, path: str) -> None:
        """Show the driver of the part; empty is the main driver."""
        name = Path(path).name if path else tr("As the driver")
        self.button.setText(menu_text(self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, 150)))
        self.button.setToolTip(tooltip_text(path or self.help))
        self.button.setAccessibleName(f"{self.title}: {name}")
        self.clear.setVisible(bool(path))


class PartDriversEditor(QWidget):
    """All parts of the face.

    Signals:
        requested: Name of an option, and the button that was clicked.
        changed: Name of an option and its file, empty for the main driver.
    """

    requested = Signal(str, object)
    changed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, PartRow] = {}
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        hint = QLabel(tr("Each part can follow its own clip or template."))
        hint.setObjectName("faint")
        hint.setWordWrap(True)
        box.addWidget(hint)
        for name, title, text in PARTS:
            row = PartRow(tr(title), tr(text))
            row.requested.connect(lambda button, key=name: self.requested.emit(key, button))
            row.changed.connect(lambda path, key=name: self.changed.emit(key, path))
            self.rows[name] = row
            box.addWidget(row)

    def show_session(self, session: Session) -> None:
        """Show the files of a session."""
        for name, row in self.rows.items():
            row.show_file(str(session.value(name)))
