"""Tells the user what has happened: messages with actions, and at the end of renders the desktop and a sound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication, QSystemTrayIcon

from app.gui import icons
from app.gui.last_session import is_on
from app.gui.localize import localized
from app.gui.translate import tr
from app.live.rescue import CutOff, complete, cut_off

if TYPE_CHECKING:
    from app.gui.window import MainWindow
    from app.jobs.record import JobRecord

TITLE: Final = "Portrait Animate"
SOUND: Final = "window/sound at end"


def show_file(path: Path) -> None:
    """Open the folder of a file in the system's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


class Teller(QObject):
    """Tells what has happened.

    Args:
        window: The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window, self._studio = window, window.studio
        self._note = ""
        self._tray: QSystemTrayIcon | None = None
        self._studio.said.connect(self._say)
        self._studio.queue.finished.connect(self.job_ended)
        self._studio.queue.changed.connect(self._show_progress)

    def _say(self, level: str, text: str) -> None:
        """Show a message of the studio; of the pipeline's own remarks only a finished recording is shown."""
        toast, recorded = self._window.toast, self._studio.outputs.file
        sentence = localized(text)
        if recorded is not None and level in ("remark", "info") and str(recorded) in text:
            self._studio.outputs.file = None
            toast.say(sentence, "info", tr("Show file"), partial(show_file, recorded))
        elif level == "remark":
            toast.keep(sentence)
        else:
            toast.say(sentence, level)

    def written(self, path: Path) -> None:
        """Tell that a file is ready."""
        text = tr("{name} is ready.", name=path.name)
        self._window.toast.say(text, "info", tr("Show file"), partial(show_file, path))

    def note_portrait(self, text: str, choose: Callable[[], object]) -> None:
        """Tell once what is to be known of the selected portrait, such as that it shows several faces."""
        if text and text != self._note:
            self._window.toast.say(text, "info", tr("Choose face"), choose)
        self._note = text

    def offer_cut_off(self) -> None:
        """Offer recordings that a crash cut off."""

        def offer(found: list[CutOff]) -> None:
            for one in found:
                text = tr("The recording {name} was cut off. It can be completed.", name=one.target.name)
                self._window.toast.say(text, "warning", tr("Complete it"), partial(self._complete, one))

        self._studio.background.run(cut_off, offer, self._studio.failed.emit)

    def _complete(self, one: CutOff) -> None:
        self._studio.background.run(partial(complete, one), self.written, self._studio.failed.emit)

    # ---- renders --------------------------------------------------------------------------------------------------
    def job_ended(self, job: JobRecord) -> None:
        """Tell how a render ended, in the window, and on the desktop if the window is not in front."""
        path = Path(job.output)
        text = f"{path.name}: {localized(job.error)}" if job.error else tr("{name} is ready.", name=path.name)
        why = tr("Why"), partial(self._window.commands.show_job_report, job.id)
        if job.state in ("failed", "skipped"):
            self._window.toast.say(text, "error" if job.state == "failed" else "warning", *why)
        elif job.state == "done" and job.error:
            self._window.toast.say(text, "warning", tr("Show file"), partial(show_file, path))
        elif job.state == "done":
            self.written(path)
        else:
            return  # cancelled by the user
        self._call(text, failed=job.state == "failed")

    def _call(self, text: str, *, failed: bool) -> None:
        if is_on(self._studio.settings, SOUND) and not self._studio.queue.active:
            QApplication.beep()
        if self._window.isActiveWindow():
            return
        QApplication.alert(self._window)  # marks it in the task bar
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            if self._tray is None:
                self._tray = QSystemTrayIcon(icons.app_icon(), self)
                self._tray.activated.connect(self._window.raise_)
                self._tray.messageClicked.connect(self._window.activateWindow)
            signs = QSystemTrayIcon.MessageIcon
            self._tray.show()
            self._tray.showMessage(TITLE, text, signs.Warning if failed else signs.Information)

    def _show_progress(self) -> None:
        """Show the progress of all renders in the window's title, which the task bar shows too."""
        self.show_title()

    def show_title(self) -> None:
        """Show project and progress in the title."""
        overall = self._studio.queue.overall()
        running = bool(self._studio.queue.active) and 0 < overall.share < 1
        percent = f"{100 * overall.share:.0f} % – " if running else ""
        name = self._window.commands.projects.name
        title = f"{percent}{name} – {TITLE}" if name else f"{percent}{TITLE}"
        if title != self._window.windowTitle():
            self._window.setWindowTitle(title)
