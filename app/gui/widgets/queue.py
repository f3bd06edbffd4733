"""The render queue as a list: progress, cancel, open, retry."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.gui import icons
from app.gui.jobs import LANE, RenderQueue
from app.gui.localize import localized, tooltip_text
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ElidedLabel, colours, paint_icon, tool_button
from app.jobs.estimate import seconds_left
from app.jobs.record import ENDED, JobRecord

STATES = {
    "queued": mark("waiting"), "running": mark("running"), "paused": mark("paused"), "done": mark("done"),
    "partial": mark("done in part"), "failed": mark("failed"), "cancelled": mark("stopped"),
    "skipped": mark("left out"),
}  # fmt: skip
PHASES = {"track": mark("reading motion"), "render": mark("rendering")}
LOOKS = {"done": ("check", "ok"), "partial": ("warning", "warning"), "failed": ("warning", "danger"),
         "cancelled": ("stop", "muted"), "running": ("render", "accent"), "queued": ("more", "muted"),
         "paused": ("pause", "muted"), "skipped": ("warning", "muted")}  # fmt: skip
AT_ONCE = 2  # rows created per event, so that a long list does not block the window


def left_text(seconds: float | None) -> str:
    """Format the remaining time."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60
    text = f"{hours}:{minutes % 60:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
    return tr("{time} left", time=text)


def look_of(job: JobRecord) -> str:
    """State to show: a finished job whose input was truncated is partly done."""
    return "partial" if job.state == "done" and job.error else job.state


def local_file(job: JobRecord) -> Path | None:
    """The result of a finished job, if it is a file on this computer."""
    if job.state != "done" or "://" in job.output:
        return None
    return Path(job.output).parent / job.files[0][0] if job.files else Path(job.output)


def _rank(job: JobRecord) -> tuple[int, float]:
    """Sort key: running jobs, waiting ones in processing order, finished ones with the latest first."""
    if job.state in ENDED:
        return 2, -(job.finished or job.created)
    return (0, job.started or 0.0) if job.state == "running" else (1, job.position)


class JobRow(QFrame):
    """One job.

    Signals:
        report_requested: Its number; the error is to be shown.
    """

    report_requested = Signal(int)

    def __init__(self, queue: RenderQueue, job: JobRecord) -> None:
        super().__init__()
        self.setObjectName("card")
        self.number = job.id
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
            ("up", "chevron-up", tr("Earlier"), lambda: queue.move(self.number, -1)),
            ("down", "chevron-down", tr("Later"), lambda: queue.move(self.number, 1)),
            ("resume", "play", tr("Resume"), lambda: queue.resume([self.number])),
            ("open", "play", tr("Open the file"), self._open),
            ("folder", "folder", tr("Open the folder"), self._open_folder),
            ("report", "info", tr("Show the report"), lambda: self.report_requested.emit(self.number)),
            ("retry", "reset", tr("Run again"), lambda: queue.retry(self.number)),
            ("cancel", "stop", tr("Stop"), lambda: queue.cancel(self.number)),
            ("remove", "close", tr("Remove from the list"), lambda: queue.remove([self.number])),
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
        self.show_job(job)

    def refresh(self) -> None:
        """Draw the icons in the current colours."""
        for button in self.buttons.values():
            paint_icon(button)
        self._look = ""

    def show_job(self, job: JobRecord) -> None:
        """Show the state of the job."""
        name = Path(job.output).name
        self._title.setText(name)
        self._title.setToolTip(tooltip_text(job.output))
        look = look_of(job)
        if look != self._look:
            self._look = look
            icon, colour = LOOKS[look]
            self._icon.setPixmap(icons.pixmap(icon, getattr(colours(), colour), 20, 2.0))
        text = self._text(job, look)
        self._state.setText(text)
        self._state.setToolTip(
            tooltip_text("\n".join([self._inputs(job), localized(job.error), *map(localized, job.notes)]).strip())
        )
        self.bar.setValue(round(1000 * job.share))
        self.bar.setVisible(job.state == "running")
        self.setAccessibleName(f"{name}: {text}")
        self.bar.setAccessibleName(tr("Progress of {name}", name=name))
        over, waits = job.state in ENDED, job.state in ("queued", "paused")
        here = local_file(job) is not None
        shown = {
            "up": waits, "down": waits, "resume": job.id in self._queue.waiting, "open": here, "folder": here,
            "report": bool(job.error), "retry": over and job.state != "done", "cancel": not over, "remove": over,
        }  # fmt: skip
        for key, button in self.buttons.items():
            button.setVisible(shown[key])
            button.setAccessibleDescription(name)

    @staticmethod
    def _inputs(job: JobRecord) -> str:
        second = tr("sliders") if job.driving is None else job.driving.name
        text = f"{job.source.name} + {second}"
        return text if job.lane == LANE or not job.batch else f"{text} ({Path(job.batch).name})"

    def _text(self, job: JobRecord, look: str) -> str:
        """The line below the name."""
        parts = [tr(STATES[look])]
        progress = job.progress
        if job.state == "running" and progress is not None and progress.phase:
            parts = [tr(PHASES[progress.phase]) if progress.phase in PHASES else progress.phase]
            if progress.total:
                parts.append(f"{progress.done} / {progress.total}")
            if progress.fps:
                parts.append(f"{progress.fps:.0f} fps")
        if job.state == "running":
            parts.append(left_text(seconds_left(job, time.time())))
        parts.append(localized(job.error) if job.error else self._inputs(job))
        return " · ".join(part for part in parts if part)

    def _file(self) -> Path | None:
        job = self._queue.find(self.number)
        return None if job is None else local_file(job)

    def _open(self) -> None:
        path = self._file()
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))

    def _open_folder(self) -> None:
        path = self._file()
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


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
        self.setMinimumHeight(136)
        self._queue = queue
        self.rows: dict[int, JobRow] = {}
        self.pause = self._chip(tr("Pause"), tr("Finish the running job, and pause the others"), queue.pause)
        self.resume = self._chip(tr("Resume"), tr("Resume the waiting jobs"), lambda: queue.resume(queue.waiting))
        self.clear = self._chip(
            tr("Clear finished"),
            tr("Remove all finished jobs from the list; their files are kept"),
            queue.clear_finished,
        )
        self.hide_button = tool_button("close", tr("Hide the render queue"), 16)
        self.hide_button.clicked.connect(self.close_requested)
        title = ElidedLabel("heading", tr("Render queue"))
        title.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        title.setMinimumWidth(40)
        self.overall = QLabel()
        self.overall.setObjectName("muted")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress of all jobs"))
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(title)
        top.addWidget(self.overall)
        top.addWidget(self.bar, 1)
        self._gap = QWidget()
        top.addWidget(self._gap, 1)
        for button in (self.pause, self.resume, self.clear, self.hide_button):
            top.addWidget(button)
        content = QWidget()
        self._list = QVBoxLayout(content)
        self._list.setContentsMargins(0, 0, 6, 0)
        self._list.setSpacing(8)
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._empty = QLabel(tr("Nothing to render yet."))
        self._empty.setObjectName("muted")
        self._more = QLabel()
        self._more.setObjectName("muted")
        self._list.addWidget(self._empty)
        self._list.addWidget(self._more)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.banner = self._make_banner()
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 8, 10, 8)
        box.setSpacing(6)
        box.addLayout(top)
        box.addWidget(self.banner)
        box.addWidget(area, 1)
        queue.changed.connect(self._changed)

    @staticmethod
    def _chip(text: str, help_text: str, call: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName("chip")
        button.setToolTip(tooltip_text(help_text))
        button.clicked.connect(lambda _: call())
        return button

    def _make_banner(self) -> QFrame:
        """Create the question about unfinished jobs from last time."""
        banner = QFrame()
        banner.setObjectName("banner")
        self.question = QLabel()
        self.question.setWordWrap(True)
        self.resume_old = QPushButton(tr("Resume"))
        self.resume_old.setObjectName("primary")
        self.resume_old.clicked.connect(lambda: self._queue.resume(self._queue.left_over))
        self.forget_old = QPushButton(tr("Remove from the list"))
        self.forget_old.setToolTip(tr("Remove these jobs from the list; finished files stay"))
        self.resume_old.setToolTip(tr("Resume these jobs"))
        self.forget_old.clicked.connect(lambda: self._queue.remove(self._queue.left_over))
        line = QHBoxLayout(banner)
        line.setContentsMargins(14, 6, 8, 6)
        line.addWidget(self.question, 1)
        line.addWidget(self.forget_old)
        line.addWidget(self.resume_old)
        return banner

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Make room for two jobs."""
        return QSize(400, 190)

    def _changed(self) -> None:
        if self.isVisible():
            self.show_jobs()

    def show_jobs(self) -> None:
        """Update the rows to the queue's jobs; a long list is filled step by step."""
        queue = self._queue
        jobs = sorted(queue.jobs, key=_rank)
        numbers = {job.id for job in jobs}
        for number in [n for n in self.rows if n not in numbers]:
            gone = self.rows.pop(number)
            gone.setParent(None)
            gone.deleteLater()
        made, place = 0, 0
        for job in jobs:
            row = self.rows.get(job.id)
            if row is None:
                if made == AT_ONCE:
                    continue
                made += 1
                row = self.rows[job.id] = JobRow(queue, job)
                row.report_requested.connect(self.report_requested)
                self._list.insertWidget(place, row)
            elif self._list.indexOf(row) != place:
                self._list.insertWidget(place, row)
            row.show_job(job)
            place += 1
        if len(self.rows) < len(jobs):
            QTimer.singleShot(0, self, self.show_jobs)
        self._empty.setVisible(not jobs)
        self._more.setVisible(queue.more > 0)
        self._more.setText(tr("{count} more: animate jobs list", count=queue.more))
        self._show_head()

    def _show_head(self) -> None:
        """Show the controls for all jobs."""
        queue, active = self._queue, self._queue.active
        total = queue.overall()
        self.bar.setVisible(bool(active))
        self._gap.setVisible(not active)
        self.bar.setValue(round(1000 * total.share))
        text = tr("{done} of {total}", done=total.ended, total=total.total)
        left = left_text(total.seconds)
        self.overall.setText(f"{text} · {left}" if left else text)
        self.overall.setVisible(bool(active))
        self.pause.setVisible(any(job.state == "queued" for job in active))
        old, waits = len(queue.left_over), len(queue.waiting)
        self.banner.setVisible(bool(old))
        self.question.setText(tr("Jobs that were not finished last time: {count}.", count=old))
        self.resume.setVisible(waits > old)
        self.resume.setText(tr("Resume ({count})", count=waits))
        self.clear.setVisible(any(job.state in ENDED for job in queue.jobs))

    def refresh(self) -> None:
        """Draw the icons in the current colours."""
        for row in self.rows.values():
            row.refresh()
        if self.isVisible():
            self.show_jobs()
