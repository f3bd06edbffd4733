"""Start the window."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from app.display import DISPLAYS, has_display, missing_libraries, needs_display, packages_command
from app.errors import MissingError, UsageError
from models.messages import msg

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.gui.session import Session
    from app.gui.studio import Studio
    from app.gui.window import MainWindow
    from liveportrait.expression import Expression

NO_DISPLAY = (
    "The window needs a display, and there is none here.",
    "Start it on a desktop, or use the command line: animate SOURCE DRIVING.",
)


@dataclass(frozen=True)
class Start:
    """Settings with which the window starts.

    Attributes:
        files: Portraits and drivers to open.
        screenshot: File for a screenshot of the window once the first frame is shown; the program then ends.
        size: Width and height of the window in logical pixels, or None for the last size.
        scheme: "light" or "dark" instead of the user's choice, or empty.
        language: Language instead of the user's choice, or empty.
        values: Option name -> value to set in the session.
        live: The same for live options.
        expression: Sliders to set, or None.
        address: Where a face tracker sends to, or URL of a camera, that drives; empty for none.
    """

    files: tuple[Path, ...] = ()
    screenshot: Path | None = None
    size: tuple[int, int] | None = None
    scheme: str = ""
    language: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    live: Mapping[str, Any] = field(default_factory=dict)
    expression: Expression | None = None
    address: str = ""


def check_display() -> None:
    """Check that Qt can open a window; otherwise it would abort the program.

    Raises:
        MissingError: There is no display, or Qt's own libraries can't be loaded.
    """
    wanted = needs_display()
    x11 = wanted and bool(os.environ.get("DISPLAY")) and not any(os.environ.get(name) for name in DISPLAYS[1:])
    if wanted and not has_display():
        raise MissingError(*NO_DISPLAY)
    if x11:
        _check_x11()
    if missing := missing_libraries(x11):
        raise MissingError(
            msg("Qt can't open a window here: {names} can't be loaded.", ", ".join(missing)),
            msg("Install: {missing}; the command line works without them.", packages_command(missing)),
        )
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        raise MissingError(
            msg("The window can't start: {error}.", error),
            "Install the missing library; the command line works without it.",
        ) from None
    _check_references()


def _check_references() -> None:
    """Reject a PySide6 build that drops a reference to None with each call and soon crashes (6.12.0, Python < 3.12).

    Raises:
        MissingError: It is such a build.
    """
    from PySide6 import __version__
    from PySide6.QtCore import QObject

    thing, calls = QObject(), 64
    before = sys.getrefcount(None)
    for _ in range(calls):
        thing.setObjectName("x")
    if before - sys.getrefcount(None) > calls // 2:
        raise MissingError(
            msg(
                "PySide6 {version} does not work with Python {version_info}.{version_info2}.",
                __version__, sys.version_info[0], sys.version_info[1]
            ),
            "Install another one: pip install 'PySide6-Essentials<6.12'"
        )  # fmt: skip


def _check_x11() -> None:
    """Check that an X server answers; every desktop has libxcb."""
    import ctypes
    import ctypes.util

    name = ctypes.util.find_library("xcb")
    if name is None:
        return
    xcb = ctypes.CDLL(name)
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    failed = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    if failed:
        raise MissingError(*NO_DISPLAY)


class Program:
    """The running program: application, studio, window.

    Args:
        start: Its settings.
    """

    def __init__(self, start: Start) -> None:
        from PySide6.QtCore import QCoreApplication
        from PySide6.QtWidgets import QApplication

        from app.gui import icons
        from app.gui.studio import Studio, settings_of_user
        from app.gui.theme import Theme
        from app.gui.translate import Languages
        from liveportrait import __version__

        QCoreApplication.setApplicationName("portrait-animate")
        QCoreApplication.setApplicationVersion(__version__)
        made = QApplication.instance()
        self.app: QApplication = made if isinstance(made, QApplication) else QApplication(sys.argv[:1])
        self.app.setDesktopFileName("portrait-animate")
        self.app.setWindowIcon(icons.app_icon())
        self.start = start
        self.settings = settings_of_user()
        self.languages = Languages(self.app)
        self.languages.use(start.language or str(self.settings.value("window/language", "")))
        scheme: Any = start.scheme or str(self.settings.value("window/scheme", "system"))
        self.theme = Theme(self.app, scheme if scheme in ("system", "light", "dark") else "system")
        self.app.setProperty("theme", self.theme)
        self.app.setQuitOnLastWindowClosed(False)
        self.studio: Studio = Studio(self.settings, parent=self.app)
        self.studio.start()  # the engine loads while the window is built
        self.window: MainWindow = self._make_window()
        self.window.live_view.refresh()  # shows failures from before the window existed
        self._take_files()
        self._old_hook, sys.excepthook = sys.excepthook, self._unexpected

    def _make_window(self) -> MainWindow:
        from app.gui.window import MainWindow

        window = MainWindow(self.studio, self.theme, self.languages)
        if self.start.size is not None:
            window.resize(*self.start.size)
        window.closed.connect(self.app.quit)
        window.language_chosen.connect(self._use_language)
        return window

    def _use_language(self, language: str) -> None:
        """Rebuild the window in another language; studio and live pipeline keep running."""
        from PySide6.QtCore import QTimer

        def change() -> None:
            self.settings.setValue("window/language", language)
            old = self.window
            old.save_state()
            self.languages.use(language)
            self.window = self._make_window()
            self.window.show()
            self.window.live_view.refresh()
            old.replace_by()

        QTimer.singleShot(0, change)  # after leaving the menu, which is about to be deleted

    def _take_files(self) -> None:
        if self.start.files:
            self.window.commands.take_files([str(path.resolve()) for path in self.start.files], "")
        if self.start.address:
            from app.gui.session import Driver

            self.studio.set_driver(Driver.at(self.start.address))
        if self.start.values or self.start.live or self.start.expression is not None:
            from app.gui.translate import tr

            self.studio.change(self._started, tr("change an option"))
        for address in filter(None, self.start.live.get("stream", "").splitlines()):
            self.window.commands.stream(address, True)

    def _started(self, session: Session) -> Session:
        """The session with the command line's settings."""
        from app.gui.session import Driver
        from app.jobs.hashes import settled

        for name, value in settled(self.start.values, Path.cwd()).items():  # absolute: the next start may differ
            session = session.with_value(name, value)
        for name, value in self.start.live.items():
            session = session.with_live(name, value)
        if self.start.live.get("voice_driver"):
            session = replace(session, driver=Driver("camera"))
        return session if self.start.expression is None else session.with_expression(self.start.expression)

    def _unexpected(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Show an unexpected error in the window's thread as a message; the session continues."""
        self._old_hook(kind, error, trace)
        if isinstance(error, Exception):
            self.studio.failed.emit(error, "".join(traceback.format_exception(kind, error, trace)))

    def run(self) -> int:
        """Show the window until it is closed; returns the exit code."""
        self.window.show()
        self.window.live_view.refresh()
        if self.start.screenshot is not None:
            self._shoot_later(self.start.screenshot)
        try:
            return int(self.app.exec())
        finally:
            self.studio.close()
            sys.excepthook = self._old_hook

    def _shoot_later(self, path: Path) -> None:
        """Write a screenshot of the window once it shows a frame, then quit."""
        from PySide6.QtCore import QTimer

        def shoot() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.window.grab().save(str(path))
            self.window.close()

        seen: list[bool] = []

        def frame() -> None:
            if not seen:
                seen.append(True)
                QTimer.singleShot(2500, shoot)

        self.studio.frame_ready.connect(frame)
        QTimer.singleShot(60_000, shoot)


def main(start: Start | None = None) -> int:
    """Show the window.

    Args:
        start: Its settings.

    Returns:
        The exit code.

    Raises:
        MissingError: There is no display.
        UsageError: A file does not exist.
    """
    start = start or Start()
    for path in start.files:
        if not path.exists():
            raise UsageError(msg("{path} does not exist.", path))
    check_display()
    return Program(start).run()
