"""Help and About: the first steps, consent, version, licences."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.dialogs.base import Dialog
from app.gui.dialogs.messages import make_report
from app.gui.translate import tr


def licences() -> str:
    """What ships with the program, one paragraph each: what it is, its licence, where it comes from."""
    import assets

    text = (Path(str(assets.__file__)).parent / "LICENSES.md").read_text(encoding="utf-8").replace("`", "")
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return "\n\n".join(f"{what}\n{licence}. {source}" for _, what, source, licence, *_ in rows[2:])


class AboutDialog(Dialog):
    """Shows help on one page and the program's licences on another.

    Args:
        page: "help" or "about".
        parent: Window.
    """

    def __init__(self, page: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Help and About"))
        self.resize(640, 520)
        self.tabs = QTabWidget()
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its bar takes the focus
        self.tabs.tabBar().setAccessibleName(tr("Help and About"))
        self.tabs.tabBar().setToolTip(tr("Help and About"))
        self.tabs.addTab(self._help(), tr("Help"))
        self.tabs.addTab(self._about(), tr("About"))
        self.tabs.setCurrentIndex(("help", "about").index(page))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(20, 16, 20, 16)
        box.addWidget(self.tabs)
        box.addWidget(buttons)

    @staticmethod
    def _text(text: str, name: str = "") -> QLabel:
        label = QLabel(text)
        label.setObjectName(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _help(self) -> QWidget:
        steps = (
            (tr("1. A portrait"), tr("Drop a photo or a clip on the window, paste one, or press the plus sign.")),
            (tr("2. Motion"),
             tr("Choose a driver below the portraits: a clip, a camera, an image, a voice, or sliders.")),
            (tr("3. A file"), tr("Press Render to write a clip or an image, or the red dot to record what you see.")),
            (tr("If something is unclear"), tr("Hover over a control to read what it does. Ctrl+Z undoes every change, "
                                               "F1 lists all keys, Ctrl+L shows all messages again.")),
            (tr("Consent"), tr("Animate people only with their consent, and say that the results are synthetic. Files "
                               "are marked as made by AI unless you switch that off under Output.")),
        )  # fmt: skip
        page = QWidget()
        box = QVBoxLayout(page)
        box.setContentsMargins(12, 16, 12, 12)
        box.setSpacing(4)
        for title, text in steps:
            box.addWidget(self._text(title, "heading"))
            box.addWidget(self._text(text))
            box.addSpacing(10)
        box.addStretch(1)
        return page

    def _about(self) -> QWidget:
        from liveportrait import __version__

        sign = QLabel()
        sign.setPixmap(icons.app_icon().pixmap(48, 48))
        names = QVBoxLayout()
        names.setSpacing(2)
        names.addWidget(self._text("Portrait Animate", "title"))
        names.addWidget(self._text(tr("Version {version}", version=__version__), "muted"))
        copy = QPushButton(tr("Copy report"))
        copy.clicked.connect(self._copy)
        head = QHBoxLayout()
        head.setSpacing(14)
        head.addWidget(sign)
        head.addLayout(names, 1)
        head.addWidget(copy)
        terms = self._text(tr("The program is free software under the MIT licence. Parts of it and their terms:"))
        self.terms = QPlainTextEdit(licences())
        self.terms.setReadOnly(True)
        self.terms.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.terms.setAccessibleName(tr("Licences"))
        page = QWidget()
        box = QVBoxLayout(page)
        box.setContentsMargins(12, 16, 12, 12)
        box.setSpacing(12)
        box.addLayout(head)
        box.addWidget(terms)
        box.addWidget(self.terms, 1)
        return page

    def _copy(self) -> None:
        """Copy the versions, for a question to the developers."""
        from PySide6.QtGui import QGuiApplication

        QGuiApplication.clipboard().setText(make_report("Portrait Animate", ""))
