"""Commands for projects: new, open, save, and the list of recent ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMenu

from app.gui import store
from app.gui.localize import menu_text, tooltip_text
from app.gui.projects import SUFFIX, Project, read_project, write_project
from app.gui.session import MACHINE, Session
from app.gui.translate import tr

if TYPE_CHECKING:
    from app.gui.prompts import Prompts
    from app.gui.window import MainWindow


class ProjectCommands(QObject):
    """Opens and saves projects. What was open before comes back with undo, and after a crash with the next start.

    Args:
        window: The window.
        prompts: Remembers folders.
    """

    def __init__(self, window: MainWindow, prompts: Prompts) -> None:
        super().__init__(window)
        self._window, self._studio, self._prompts = window, window.studio, prompts
        name = str(self._studio.settings.value("project/path", ""))
        self.path = Path(name) if name and Path(name).is_file() else None
        self._saved: Session | None = None  # what the file holds; None if that is not known
        if self.path is not None:
            self._studio.background.run(partial(read_project, self.path), self._compare, lambda *_: None)

    def _compare(self, project: Project) -> None:
        self._saved = project.session
        self.show_name()

    @property
    def changed(self) -> bool:
        """Whether the session differs from the project's file."""
        return self.path is not None and self._saved is not None and self._studio.session != self._saved

    @property
    def name(self) -> str:
        """Name of the project with a star if it has changes that its file lacks; empty without a project."""
        return "" if self.path is None else f"{self.path.stem}{'*' if self.changed else ''}"

    def show_name(self) -> None:
        """Show the project's name in the title of the window."""
        self._window.teller.show_title()

    def _set(self, path: Path | None, session: Session | None) -> None:
        self.path, self._saved = path, session
        self._studio.settings.setValue("project/path", "" if path is None else str(path))
        if path is not None:
            self._studio.remember("projects", str(path))
        self.show_name()

    def new(self) -> None:
        """Begin without portraits and with all controls at rest; engine and device stay."""
        kept = {name: value for name, value in self._studio.session.values.items() if name in MACHINE}
        self._set(None, None)
        self._studio.apply(Session(values=kept), tr("new project"))

    def browse(self) -> None:
        """Ask for a project and open it."""
        pattern = f"{tr('Projects')} (*{SUFFIX});;{tr('All files')} (*)"
        folder = self._prompts.folder("projects")
        name, _ = QFileDialog.getOpenFileName(self._window, tr("Open a project"), folder, pattern)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Open a project."""

        def done(project: Project) -> None:
            self._studio.apply(project.session, tr("open a project"))
            self._set(path, project.session)
            if project.missing:
                names = ", ".join(dict.fromkeys(Path(name).name for name in project.missing))
                sentence = tr("These files no longer exist and were left out: {names}.", names=names)
                self._window.toast.say(sentence, "warning")

        self._studio.background.run(partial(read_project, path), done, self._studio.failed.emit)

    def save(self) -> None:
        """Save the project; without one, ask for its name."""
        if self.path is None:
            self.save_as()
        else:
            self.write(self.path)

    def save_as(self) -> None:
        """Ask for a name and save the project."""
        offered = self.path or Path(self._prompts.folder("projects")) / f"{tr('Project')}{SUFFIX}"
        pattern = f"{tr('Projects')} (*{SUFFIX})"
        name, _ = QFileDialog.getSaveFileName(self._window, tr("Save the project"), str(offered), pattern)
        if name:
            self.write(store.with_ending(Path(name), (SUFFIX,), SUFFIX)[0])

    def write(self, path: Path) -> None:
        """Write the session as a project in the background."""
        session = self._studio.session

        def done(_: Path) -> None:
            self._set(path, session)
            self._window.teller.written(path)

        self._studio.background.run(partial(write_project, path, session), done, self._studio.failed.emit)

    def fill_recent(self, menu: QMenu) -> None:
        """Fill the menu of recent projects."""
        menu.clear()
        for name in self._studio.recent("projects"):
            action = menu.addAction(menu_text(Path(name).stem), partial(self.open, Path(name)))
            action.setToolTip(tooltip_text(name))
        if menu.isEmpty():
            menu.addAction(tr("Nothing yet")).setEnabled(False)
