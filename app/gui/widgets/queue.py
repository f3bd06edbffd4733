"""The render queue as a list: progress, cancel, open, retry."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.jobs import FINISHED, QueuedJob, RenderQueue
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ElidedLabel, colours, paint_icon, tool_button

STATES = {
    "queued": mark("waiting"), "running": mark("running"), "done": mark("done"), "partial": mark("done in part"),
    "failed": mark("failed"), "cancelled": mark("stopped"),
}  # fmt: skip
PHASES = {"track": mark("reading motion"), "render": mark("rendering")}
LOOKS = {"done": ("check", "ok"), "partial": ("warning", "warning"), "failed": ("warning", "danger"),
         "cancelled": ("stop", "muted"), "running": ("render", "accent"), "queued": ("more", "muted")}  # fmt: skip


def left_text(seconds: float | None) -> str:
    """Time left as people read it."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60
    text = f"{hours}:{minutes % 60:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
    return tr("{time} left", time=text)


class JobRow(QFrame):
    """One job.

    Signals:
        report_requested: Its number; the error is to be shown.
    """

    report_requested = Signal(int)

    def __init__(self, queue: RenderQueue, entry: QueuedJob) -> None:
        super().__init__()
        self.setObjectName("card")
        self.number = entry.number
        self._queue = queue
        self._icon = QLabel()
        self._title = ElidedLabel()
        self._state = ElidedLabel("muted")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.buttons: dict[str, QToolButton] = {}
        line = QHBoxLayout()
        line.setSpacing(2)
        for name, icon, title, call in (
            ("up", "chevron-down", tr("Earlier"), lambda: queue.move(self.number, -1)),
            ("open", "play", tr("Open the file"), self._open),
            ("folder", "folder", tr("Open the folder"), self._open_folder),
            ("report", "info", tr("Show the report"), lambda: self.report_requested.emit(self.number)),
            ("retry", "reset", tr("Once more"), lambda: queue.retry(self.number)),
            ("cancel", "stop", tr("Stop"), lambda: queue.cancel(self.number)),
            ("remove", "close", tr("Take off the list"), lambda: queue.remove(self.number)),
        ):
            button = tool_button(icon, title, 16)
            button.clicked.connect(call)
            self.buttons[name] = button
            line.addWidget(button)
        texts = QVBoxLayout()
        texts.setSpacing(3)
        texts.addWidget(self._title)
        texts.addWidget(self.bar)
        texts.addWidget(self._state)
        box = QHBoxLayout(self)
        box.setContentsMargins(14, 10, 10, 10)
        box.setSpacing(12)
        box.addWidget(self._icon)
        box.addLayout(texts, 1)
        box.addLayout(line)
        self.refresh()
        self.show_entry(entry)

    def refresh(self) -> None:
        """Draw the icons in the colours in use."""
        for name, button in self.buttons.items():
            paint_icon(button)
            if name == "up":
                picture = icons.pixmap("chevron-down", colours().text)
                from PySide6.QtGui import QIcon, QTransform

                button.setIcon(QIcon(picture.transformed(QTransform().rotate(180))))
        self._look = ""

    def show_entry(self, entry: QueuedJob) -> None:
        """Show where the job stands."""
        output = Path(entry.job.options.output.output)
        self._title.setText(output.name)
        self._title.setToolTip(str(output))
        state = entry.state
        if state != self._look:
            self._look = state
            icon, colour = LOOKS[state]
            self._icon.setPixmap(icons.pixmap(icon, getattr(colours(), colour), 20, 2.0))
        text = tr(STATES[state])
        if state == "running" and entry.phase:
            text = tr(PHASES[entry.phase]) if entry.phase in PHASES else entry.phase
            if entry.total:
                text += f" · {entry.done} / {entry.total}"
            if entry.fps:
                text += f" · {entry.fps:.0f} fps"
            if entry.eta is not None:
                text += f" · {left_text(entry.eta)}"
        elif entry.message:
            text += f" · {entry.message}"
        self._state.setText(text)
        self._state.setToolTip("\n".join([entry.message, *entry.notes]).strip())
        self.bar.setValue(round(1000 * entry.share))
        self.bar.setVisible(state in ("queued", "running"))
        name = output.name
        self.setAccessibleName(f"{name}: {text}")
        self.bar.setAccessibleName(tr("Progress of {name}", name=name))
        over = state in FINISHED
        shown = {
            "up": state == "queued", "open": entry.output is not None and state != "failed",
            "folder": entry.output is not None, "report": state == "failed",
            "retry": state in ("failed", "cancelled"), "cancel": not over, "remove": over,
        }  # fmt: skip
        for key, button in self.buttons.items():
            button.setVisible(shown[key])
            button.setAccessibleDescription(name)

    def _entry(self) -> QueuedJob | None:
        return self._queue.find(self.number)

    def _open(self) -> None:
        entry = self._entry()
        if entry is not None and entry.output is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(entry.output.resolve())))

    def _open_folder(self) -> None:
        entry = self._entry()
        if entry is not None and entry.output is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(entry.output.resolve().parent)))


class QueuePanel(QWidget):
    """The list of jobs.

    Signals:
        report_requested: Number of a job whose error is to be shown.
        close_requested: The panel is to be hidden.
    """

    report_requested = Signal(int)
    close_requested = Signal()

    def __init__(self, queue: RenderQueue) -> None:
        super().__init__()
        self.setObjectName("queuePanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumHeight(110)
        self._queue = queue
        self.rows: dict[int, JobRow] = {}
        title = QLabel(tr("Render queue"))
        title.setObjectName("heading")
        clear = QPushButton(tr("Clear finished"))
        clear.setObjectName("chip")
        clear.clicked.connect(queue.clear_finished)
        hide = tool_button("close", tr("Hide the render queue"), 16)
        hide.clicked.connect(self.close_requested)
        top = QHBoxLayout()
        top.addWidget(title, 1)
        top.addWidget(clear)
        top.addWidget(hide)
        content = QWidget()
        self._list = QVBoxLayout(content)
        self._list.setContentsMargins(0, 0, 6, 0)
        self._list.setSpacing(8)
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._empty = QLabel(tr("Nothing to render yet."))
        self._empty.setObjectName("muted")
        self._list.addWidget(self._empty)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 8, 10, 8)
        box.setSpacing(6)
        box.addLayout(top)
        box.addWidget(area, 1)
        queue.changed.connect(self.show_jobs)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Room for two jobs."""
        return QSize(400, 190)

    def show_jobs(self) -> None:
        """Bring the rows to the queue's jobs."""
        jobs = self._queue.jobs
        numbers = [entry.number for entry in jobs]
        for number in [n for n in self.rows if n not in numbers]:
            gone = self.rows.pop(number)
            gone.setParent(None)
            gone.deleteLater()
        for place, entry in enumerate(jobs):
            row = self.rows.get(entry.number)
            if row is None:
                row = self.rows[entry.number] = JobRow(self._queue, entry)
                row.report_requested.connect(self.report_requested)
                self._list.insertWidget(place, row)
            elif self._list.indexOf(row) != place:
                self._list.insertWidget(place, row)
            row.show_entry(entry)
        self._empty.setVisible(not jobs)

    def refresh(self) -> None:
        """Draw the icons in the colours in use."""
        for row in self.rows.values():
            row.refresh()
        self.show_jobs()
