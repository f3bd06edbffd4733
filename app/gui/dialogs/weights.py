"""Model weights: status, licence and size, download and import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
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

from app.gui.dialogs.base import Dialog
from app.gui.downloads import Downloads, Transfer
from app.gui.localize import localized
from app.gui.threads import Background
from app.gui.translate import tr
from models.registry import ModelSpec, get_model, list_models
from models.weights import user_folder, verify


def size_text(count: int | None) -> str:
    """Format a number of bytes."""
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
    """State of one model for the dialog."""

    spec: ModelSpec
    here: bool
    fault: str


def look() -> list[ModelState]:
    """State of all models; reads and hashes files, so it must not run in the window's thread."""
    found = []
    for name in list_models():
        statuses = verify(name)
        wrong = [s for s in statuses if not s.ok]
        fault = "" if not wrong or all(s.state == "missing" for s in wrong) else wrong[0].message
        found.append(ModelState(get_model(name), not wrong, fault))
    return found


def progress_text(transfer: Transfer) -> str:
    """Format file, bytes, speed and remaining time."""
    done = size_text(transfer.fetched)
    if transfer.total:
        done = tr("{done} of {total}", done=done, total=size_text(transfer.total))
    parts = [part for part in (transfer.file.rsplit("/", 1)[-1], done) if part]
    if transfer.speed > 0:
        parts.append(tr("{size}/s", size=size_text(round(transfer.speed))))
    left = transfer.seconds_left
    if left is not None:
        minutes, seconds = divmod(round(left), 60)
        parts.append(tr("{time} left", time=f"{minutes}:{seconds:02d}"))
    return "  ·  ".join(parts)


class ModelCard(QFrame):
    """One model.

    Args:
        state: Its state.
        downloads: Fetches and imports.
    """

    def __init__(self, state: ModelState, downloads: Downloads) -> None:
        super().__init__()
        self.setObjectName("card")
        self.spec, self.here = state.spec, state.here
        self._downloads = downloads
        name = state.spec.name
        title = QLabel(name)
        title.setObjectName("brand")
        known = [f.size for f in state.spec.files]
        size = size_text(sum(s for s in known if s is not None) if None not in known else None)
        badge = QLabel(tr("here") if state.here else tr("not here"))
        badge.setObjectName("badge")
        top = QHBoxLayout()
        top.addWidget(title, 1)
        top.addWidget(badge)
        facts = QLabel(
            f"{tr(state.spec.task)}\n"
            + tr("Licence: {licence}", licence=state.spec.licence)
            + f" · {tr('commercial use allowed') if state.spec.commercial_ok else tr('no commercial use')}"
            + f" · {tr('{count} files', count=len(state.spec.files))}, {size}\n"
            + tr("Source: {source}", source=state.spec.source)
        )
        facts.setObjectName("muted")
        facts.setWordWrap(True)
        self._note_text = localized(state.fault) or tr(state.spec.note)
        self._note_look = "warningText" if state.fault else "faint"
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress of {name}", name=name))
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(8)
        box.addLayout(top)
        box.addWidget(facts)
        box.addWidget(self.bar)
        box.addWidget(self.note)
        self.accept = QCheckBox(tr("I accept the licence"))
        self.accept.setAccessibleDescription(name)
        self.accept.toggled.connect(self.show_transfer)
        self.folder = QPushButton(tr("Import from a folder…"))
        self.folder.setAccessibleName(tr("Import {name} from a folder", name=name))
        self.folder.setToolTip(tr("Use files that were downloaded separately."))
        self.folder.clicked.connect(self._choose_folder)
        self.stop = QPushButton(tr("Stop"))
        self.stop.setAccessibleName(tr("Stop the download of {name}", name=name))
        self.stop.clicked.connect(lambda: downloads.cancel(name))
        self.fetch = QPushButton()
        self.fetch.clicked.connect(self._fetch)
        line = QHBoxLayout()
        line.addWidget(self.accept)
        line.addStretch(1)
        for widget in (self.folder, self.stop, self.fetch):
            line.addWidget(widget)
        box.addLayout(line)
        self._can = all(f.url or f.repo for f in self.spec.files)
        self.show_transfer()

    def show_transfer(self) -> None:
        """Show the state of its download."""
        t = self._downloads.transfer(self.spec.name)
        busy = t.phase in ("waiting", "running")
        self.bar.setVisible(busy or t.phase == "asking")
        self.bar.setRange(0, 1000 if t.total and t.phase == "running" else 0)
        if t.total:
            self.bar.setValue(min(1000, round(1000 * t.fetched / t.total)))
        self.accept.setVisible(not self.here and not busy)
        self.accept.setEnabled(self._can)
        self.folder.setVisible(not self.here and not busy)
        self.stop.setVisible(busy)
        self.fetch.setVisible(not self.here and not busy)
        self.fetch.setEnabled(self._can and self.accept.isChecked() and t.phase != "asking")
        hint = "" if self.accept.isChecked() else tr("Accept the licence first.")
        self.fetch.setToolTip(hint if self._can else tr("This app can't download it."))
        self.accept.setToolTip("" if self._can else tr("This app can't download it."))
        words, look, button = self._words(t)
        self.fetch.setText(button)
        self.fetch.setAccessibleName(f"{button} ({self.spec.name})")
        primary = "primary" if t.phase == "asked" else ""
        if self.note.objectName() != look or self.fetch.objectName() != primary:
            self.note.setObjectName(look)
            self.fetch.setObjectName(primary)
            for widget in (self.note, self.fetch):
                widget.style().unpolish(widget)
                widget.style().polish(widget)
        self.note.setText(words)
        self.note.setVisible(bool(words))

    def _words(self, t: Transfer) -> tuple[str, str, str]:
        """Note, its style, and the text of the button."""
        if t.phase == "asking":
            return tr("Checking the size…"), "faint", tr("Download…")
        if t.phase == "asked" and t.total is not None:
            text = tr("{size} will be downloaded to {folder}.", size=size_text(t.total), folder=user_folder())
            return text, "muted", tr("Download {size}", size=size_text(t.total))
        if t.phase == "asked":
            text = tr("The size is not known. The files go into {folder}.", folder=user_folder())
            return text, "muted", tr("Download")
        if t.phase == "waiting":
            return tr("Waiting for its turn…"), "faint", tr("Download…")
        if t.phase == "running":
            return progress_text(t), "muted", tr("Download…")
        if t.phase == "stopped":
            text = tr("{size} were downloaded and are kept.", size=size_text(t.fetched))
            return text, "muted", tr("Continue")
        if t.phase == "failed":
            return localized(str(t.error)), "error", tr("Try again")
        return self._note_text, self._note_look, tr("Download…")

    def _fetch(self) -> None:
        """Query the size on the first click, download on the second."""
        if self._downloads.transfer(self.spec.name).phase == "asked":
            self._downloads.start(self.spec)
        else:
            self._downloads.ask_size(self.spec)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, tr("Folder with the weights"))
        if folder:
            self._downloads.import_folder(self.spec, Path(folder))


class WeightsDialog(Dialog):
    """Shows all models. Downloads continue when it is closed.

    Args:
        background: Checks the files.
        downloads: Fetches and imports.
        parent: Window.
    """

    def __init__(self, background: Background, downloads: Downloads, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Model weights"))
        self.resize(720, 640)
        self._background, self._downloads = background, downloads
        text = QLabel(
            tr("The built-in engine needs no download. Nothing is fetched unless you ask for it here.")
            + " " + tr("Downloads continue when this window is closed; stopped ones can be resumed later.")
        )  # fmt: skip
        text.setWordWrap(True)
        text.setObjectName("muted")
        self._content = QWidget()
        self._cards = QVBoxLayout(self._content)
        self._cards.setContentsMargins(0, 0, 8, 0)
        self._cards.setSpacing(12)
        self._cards.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.state = QLabel(tr("Checking what is installed…"))
        self.state.setObjectName("muted")
        self._cards.addWidget(self.state)
        area = QScrollArea()
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
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
        downloads.changed.connect(self._show_transfer)
        downloads.arrived.connect(lambda _: self._look())
        self._look()

    def _look(self) -> None:
        self._background.run(look, self._show, lambda error, _: self.state.setText(str(error)))

    def _show(self, states: list[ModelState]) -> None:
        self.state.hide()
        for card in self.cards:
            card.setParent(None)
            card.deleteLater()
        self.cards = []
        for state in sorted(states, key=lambda s: (s.here, not all(f.url or f.repo for f in s.spec.files))):
            card = ModelCard(state, self._downloads)
            self._cards.addWidget(card)
            self.cards.append(card)

    def _show_transfer(self, name: str) -> None:
        for card in self.cards:
            if card.spec.name == name:
                card.show_transfer()
