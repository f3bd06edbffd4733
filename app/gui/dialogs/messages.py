"""Messages: an error with a report that can be copied, and questions."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.environment import fault
from app.errors import AppError
from app.expressions import safe_name
from app.gui import icons
from app.gui.dialogs.base import Dialog
from app.gui.localize import localized
from app.gui.store import PARTS
from app.gui.translate import tr
from app.gui.widgets.basic import Switch, colours


def make_report(text: str, details: str) -> str:
    """Text of a bug report: message, versions, system and traceback; no file contents, no settings."""
    from PySide6 import __version__ as pyside

    from liveportrait import __version__

    lines = [
        text,
        "",
        f"portrait-animate {__version__}, Python {platform.python_version()}, PySide6 {pyside}",
        f"{platform.platform()}{', frozen' if getattr(sys, 'frozen', False) else ''}",
    ]
    return "\n".join([*lines, "", details.strip()]).strip() + "\n"


class ErrorDialog(Dialog):
    """Shows an error with a report that can be copied.

    Args:
        text: What happened, one sentence.
        hint: What to do, may be empty.
        details: Traceback, may be empty.
        parent: Window.
        plain: Text for the report if it differs from ``text``; reports are in English.
    """

    def __init__(
        self, text: str, hint: str = "", details: str = "", parent: QWidget | None = None, plain: str = ""
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Something went wrong"))
        self.report = make_report(plain or f"{text} {hint}".strip(), details)
        self.setMinimumWidth(520)
        icon = QLabel()
        icon.setPixmap(icons.pixmap("warning", colours().warning, 32, self.devicePixelRatioF()))
        icon.setAlignment(Qt.AlignmentFlag.AlignTop)
        message = QLabel(text)
        message.setTextFormat(Qt.TextFormat.PlainText)
        message.setWordWrap(True)
        message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        texts = QVBoxLayout()
        texts.setSpacing(6)
        texts.addWidget(message)
        if hint:
            advice = QLabel(hint)
            advice.setObjectName("muted")
            advice.setTextFormat(Qt.TextFormat.PlainText)
            advice.setWordWrap(True)
            texts.addWidget(advice)
        top = QHBoxLayout()
        top.setSpacing(16)
        top.addWidget(icon)
        top.addLayout(texts, 1)
        self._details = QPlainTextEdit(self.report)
        self._details.setReadOnly(True)
        self._details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._details.setMinimumHeight(200)
        self._details.setAccessibleName(tr("Report"))
        self._details.hide()
        buttons = QDialogButtonBox()
        close = buttons.addButton(QDialogButtonBox.StandardButton.Close)
        close.clicked.connect(self.accept)
        close.setDefault(True)
        self.copy_button = QPushButton(tr("Copy report"))
        self.copy_button.clicked.connect(self._copy)
        buttons.addButton(self.copy_button, QDialogButtonBox.ButtonRole.ResetRole)
        more = QPushButton(tr("Show report"))
        more.setCheckable(True)
        more.toggled.connect(self._show_details)
        buttons.addButton(more, QDialogButtonBox.ButtonRole.ResetRole)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(16)
        box.addLayout(top)
        box.addWidget(self._details)
        box.addWidget(buttons)
        close.setFocus()  # so that Return closes the message

    def _show_details(self, shown: bool) -> None:
        self._details.setVisible(shown)
        self.resize(max(self.width(), 640), self.minimumSizeHint().height() + (60 if shown else 0))
        self.fit()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.report)
        self.copy_button.setText(tr("Copied"))


def show_error(parent: QWidget | None, error: Exception, details: str = "") -> ErrorDialog:
    """Open an error message; it does not block the window."""
    if isinstance(error, AppError):
        dialog = ErrorDialog(localized(error.message), localized(error.hint), details, parent, plain=str(error))
    else:
        hint = tr("Your settings are kept. Please send this report to the developers.")
        dialog = ErrorDialog(localized(str(fault(error))), hint, details, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog


class QuestionDialog(Dialog):
    """Asks for confirmation before something that can't be undone.

    Args:
        title: Title.
        text: What will happen.
        action: Text of the confirm button.
        parent: Window.
    """

    def __init__(self, title: str, text: str, action: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(400)
        message = QLabel(text)
        message.setTextFormat(Qt.TextFormat.PlainText)
        message.setWordWrap(True)
        buttons = QDialogButtonBox()
        self.action = buttons.addButton(action, QDialogButtonBox.ButtonRole.AcceptRole)
        cancel = buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        cancel.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(16)
        box.addWidget(message)
        box.addWidget(buttons)
        cancel.setFocus()


class NameDialog(Dialog):
    """Asks for a name.

    Args:
        title: Title.
        label: What the name is for.
        parent: Window.
        taken: Existing file names without extensions; the user is warned before one is replaced.
    """

    def __init__(
        self, title: str, label: str, parent: QWidget | None = None, taken: Collection[str] = ()
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(360)
        self.edit = QLineEdit()
        self.edit.setAccessibleName(label)
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Save | kinds.Cancel)
        self.save = buttons.button(kinds.Save)
        self.save.setObjectName("primary")
        self.save.setEnabled(False)
        self.note = QLabel(tr("A file with this name exists and will be replaced."))
        self.note.setObjectName("warningText")
        self.note.setWordWrap(True)
        keep = self.note.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self.note.setSizePolicy(keep)
        self.note.hide()
        self._taken = {name.lower() for name in taken}
        self.edit.setToolTip(label)
        self.edit.textChanged.connect(self._typed)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(12)
        caption = QLabel(label)
        caption.setBuddy(self.edit)
        box.addWidget(caption)
        box.addWidget(self.edit)
        box.addWidget(self.note)
        box.addWidget(buttons)
        self.box = box

    def _typed(self, text: str) -> None:
        """Show the effect of saving under this name."""
        try:
            known = safe_name(text).lower() in self._taken
        except AppError:
            known = False
            text = ""
        self.save.setEnabled(bool(text))
        self.save.setText(tr("Replace") if known else tr("Save"))
        self.note.setVisible(known)

    @property
    def name(self) -> str:
        """The name entered."""
        return self.edit.text().strip()


class PresetDialog(NameDialog):
    """Asks for the name of a preset, and which parts of what is on screen it holds.

    Args:
        parent: Window.
        taken: See NameDialog.
    """

    def __init__(self, parent: QWidget | None = None, taken: Collection[str] = ()) -> None:
        super().__init__(tr("Save preset"), tr("Name"), parent, taken)
        self.switches: dict[str, Switch] = {}
        titles = tr("Motion and other options"), tr("Pose of the head"), tr("Expression")
        for name, title in zip(PARTS, titles, strict=True):
            switch = self.switches[name] = Switch(title)
            switch.setChecked(True)
            switch.toggled.connect(lambda _: self._typed(self.edit.text()))
            self.box.insertWidget(self.box.count() - 1, switch)

    def _typed(self, text: str) -> None:
        super()._typed(text if self.parts else "")

    @property
    def parts(self) -> list[str]:
        """The chosen parts."""
        return [name for name, switch in self.switches.items() if switch.isChecked()]


class AnswerDialog(Dialog):
    """A question with a button for each answer.

    Args:
        title: Title of the dialog.
        text: The question.
        answers: Name -> text of its button; the last one is the default.
        hidden: Names of answers that don't apply now.
        cancel: Whether a button closes the dialog without an answer.
        width: Smallest width in pixels.
        parent: Window.

    Attributes:
        answer: Name of the chosen answer.
        buttons: Name -> button.
    """

    def __init__(
        self,
        title: str,
        text: str,
        answers: Mapping[str, str],
        *,
        hidden: Collection[str] = (),
        cancel: bool = False,
        width: int,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.answer = ""
        self.setWindowTitle(title)
        message = QLabel(text)
        message.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        line = QHBoxLayout()
        line.addStretch(1)
        if cancel:
            button = QPushButton(tr("Cancel"))
            button.clicked.connect(self.reject)
            line.addWidget(button)
        for answer, name in answers.items():
            button = self.buttons[answer] = QPushButton(name)
            button.clicked.connect(partial(self._choose, answer))
            line.addWidget(button)
            if answer in hidden:
                button.hide()
        primary = self.buttons[list(answers)[-1]]
        primary.setObjectName("primary")
        primary.setDefault(True)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(16)
        box.addWidget(message)
        box.addLayout(line)
        for button in self.buttons.values():
            button.ensurePolished()
        self.setMinimumWidth(max(width, box.minimumSize().width()))

    def _choose(self, answer: str) -> None:
        self.answer = answer
        self.accept()


class CloseDialog(AnswerDialog):
    """Asks what to do with work in progress when the window closes.

    Args:
        text: Description of the work.
        alone: Whether it can be finished without the window.
        parent: Window.

    Attributes:
        answer: "stay", "background" or "stop".
    """

    def __init__(self, text: str, alone: bool, parent: QWidget | None = None) -> None:
        answers = {
            "stop": tr("Stop and quit"),
            "background": tr("Finish in the background"),
            "stay": tr("Keep the window open"),
        }
        hidden = () if alone else ("background",)
        super().__init__(tr("Work in progress"), text, answers, hidden=hidden, width=520, parent=parent)
        self.answer = "stay"
