"""Model weights: what is here, under which licence, download and import."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.gui.threads import Background
from app.gui.translate import tr
from models.download import download_model
from models.registry import ModelSpec, get_model, list_models
from models.weights import import_model, verify


def size_text(count: int | None) -> str:
    """A number of bytes as people read it."""
    if count is None:
        return tr("size not known")
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


@dataclass(frozen=True)
class ModelState:
    """One model as the dialog shows it."""

    spec: ModelSpec
    here: bool
    fault: str


def look() -> list[ModelState]:
    """State of all models; reads and hashes files, so not in the window's thread."""
    found = []
    for name in list_models():
        statuses = verify(name)
        wrong = [s for s in statuses if not s.ok]
        fault = "" if not wrong or all(s.state == "missing" for s in wrong) else wrong[0].message
        found.append(ModelState(get_model(name), not wrong, fault))
    return found


class ModelCard(QFrame):
    """One model.

    Args:
        state: Its state.
        background: Downloads and imports.

    Signals:
        changed: Files have come.
    """

    changed = Signal()
    progressed = Signal(str, object, object)

    def __init__(self, state: ModelState, background: Background) -> None:
        super().__init__()
        self.setObjectName("card")
        self.spec = state.spec
        self._background = background
        self._sent = 0.0
        title = QLabel(state.spec.name)
        title.setObjectName("brand")
        known = [f.size for f in state.spec.files]
        size = size_text(sum(s for s in known if s is not None) if None not in known else None)
        badge = QLabel(tr("here") if state.here else tr("not here"))
        badge.setObjectName("badge")
        top = QHBoxLayout()
        top.addWidget(title, 1)
        top.addWidget(badge)
        facts = QLabel(
            f"{state.spec.task}\n"
            + tr("Licence: {licence}", licence=state.spec.licence)
            + f" · {tr('commercial use allowed') if state.spec.commercial_ok else tr('no commercial use')}"
            + f" · {tr('{count} files', count=len(state.spec.files))}, {size}\n"
            + tr("Source: {source}", source=state.spec.source)
        )
        facts.setObjectName("muted")
        facts.setWordWrap(True)
        self.note = QLabel(state.fault or state.spec.note)
        self.note.setObjectName("warningText" if state.fault else "faint")
        self.note.setWordWrap(True)
        self.note.setVisible(bool(self.note.text()))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress of {name}", name=state.spec.name))
        self.bar.hide()
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(8)
        box.addLayout(top)
        box.addWidget(facts)
        box.addWidget(self.note)
        box.addWidget(self.bar)
        self.progressed.connect(self._show_progress)
        self._buttons: list[QWidget] = []
        if not state.here:
            box.addLayout(self._make_buttons())

    def _make_buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        accept = QCheckBox(tr("I accept the licence"))
        can = all(f.url or f.repo for f in self.spec.files)
        fetch = QPushButton(tr("Download"))
        fetch.setAccessibleName(tr("Download {name}", name=self.spec.name))
        fetch.setEnabled(False)
        fetch.clicked.connect(lambda: self._start(self._download))
        accept.toggled.connect(lambda on: fetch.setEnabled(on and can))
        folder = QPushButton(tr("Import from a folder…"))
        folder.setAccessibleName(tr("Import {name} from a folder", name=self.spec.name))
        folder.clicked.connect(self._choose_folder)
        line.addWidget(accept)
        line.addStretch(1)
        line.addWidget(folder)
        line.addWidget(fetch)
        if not can:
            accept.setEnabled(False)
            fetch.setToolTip(tr("This app can't download it."))
        self._buttons = [accept, fetch, folder]
        return line

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, tr("Folder with the weights"))
        if folder:
            self._start(lambda: import_model(self.spec, Path(folder)))

    def _download(self) -> object:
        return download_model(self.spec, accept_licence=True, progress=self._progress)

    def _progress(self, name: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._sent > 0.1 or done == total:
            self._sent = now
            self.progressed.emit(name, done, total)

    def _start(self, work) -> None:  # type: ignore[no-untyped-def]
        for button in self._buttons:
            button.setEnabled(False)
        self.bar.setRange(0, 0)
        self.bar.show()
        self._background.run(work, lambda _: self.changed.emit(), self._failed)

    def _show_progress(self, name: str, done: int, total: int | None) -> None:
        self.bar.setRange(0, 1000 if total else 0)
        if total:
            self.bar.setValue(round(1000 * done / total))
        self.note.setText(f"{name}: {size_text(done)} / {size_text(total)}" if total else f"{name}: {size_text(done)}")
        self.note.show()

    def _failed(self, error: Exception, _: str) -> None:
        self.bar.hide()
        for button in self._buttons:
            button.setEnabled(not isinstance(button, QPushButton) or button is self._buttons[2])
        if isinstance(self._buttons[0], QCheckBox):
            self._buttons[0].setChecked(False)
        self.note.setObjectName("error")
        self.note.setText(str(error))
        self.note.style().unpolish(self.note)
        self.note.style().polish(self.note)
        self.note.show()


class WeightsDialog(QDialog):
    """Shows all models.

    Args:
        background: Does the work.
        parent: Window.

    Signals:
        weights_changed: Files have come.
    """

    weights_changed = Signal()

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Model weights"))
        self.resize(680, 620)
        self._background = background
        text = QLabel(tr("The built-in engine needs no download. Nothing is fetched unless you ask for it here."))
        text.setWordWrap(True)
        text.setObjectName("muted")
        self._content = QWidget()
        self._cards = QVBoxLayout(self._content)
        self._cards.setContentsMargins(0, 0, 8, 0)
        self._cards.setSpacing(12)
        self._cards.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = QScrollArea()
        area.setWidget(self._content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(14)
        box.addWidget(text)
        box.addWidget(area, 1)
        box.addWidget(buttons)
        self.cards: list[ModelCard] = []
        self._look()

    def _look(self) -> None:
        self._background.run(look, self._show, lambda error, _: None)

    def _show(self, states: list[ModelState]) -> None:
        for card in self.cards:
            card.setParent(None)
            card.deleteLater()
        self.cards = []
        for state in sorted(states, key=lambda s: s.here):
            card = ModelCard(state, self._background)
            card.changed.connect(self._changed)
            self._cards.addWidget(card)
            self.cards.append(card)

    def _changed(self) -> None:
        self.weights_changed.emit()
        self._look()
