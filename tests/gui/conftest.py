"""The window without a screen: Qt's offscreen platform, a small portrait, settings in a temporary folder."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="Qt can't be loaded here", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt (dev extra) is not installed")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, QObject, QSettings
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.gui import qt_images
from app.gui.session import Driver, PortraitItem, Session, sample_driver, sample_portrait
from app.gui.studio import Studio
from app.gui.theme import Theme
from app.gui.translate import Languages
from app.gui.window import MainWindow
from app.live import LiveSession
from app.media import speaker
from app.media.images import write_image
from liveportrait.engines import load_engine
from liveportrait.engines.base import Engine

PATIENCE = 120_000  # ms after which a wait gives up; it is never reached when things work, so it may be long
IN_FLIGHT = 8  # frames that may be on their way from the driver to the screen


@pytest.fixture
def qtbot(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> QtBot:
    """Waits end with their condition, however long a busy machine takes to it."""
    wait_until, wait_signal = qtbot.waitUntil, qtbot.waitSignal

    def until(callback: Callable[[], Any], *, timeout: int = PATIENCE) -> None:
        wait_until(callback, timeout=max(timeout, PATIENCE))

    def signal(what: Any, *, timeout: int = PATIENCE, **how: Any) -> Any:
        return wait_signal(what, timeout=max(timeout, PATIENCE), **how)

    monkeypatch.setattr(qtbot, "waitUntil", until)
    monkeypatch.setattr(qtbot, "waitSignal", signal)
    return qtbot


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, presets, expressions, render queue and kept motion of this test alone."""
    folder = tmp_path / "config"
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(folder))
    monkeypatch.setenv("PORTRAIT_ANIMATE_QUEUE", str(tmp_path / "state" / "queue.sqlite3"))
    monkeypatch.setenv("PORTRAIT_ANIMATE_CACHE", str(tmp_path / "state" / "cache"))
    return folder


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is heard, even where there is a sound device."""
    monkeypatch.setattr(speaker, "_output_stream", lambda: None)


@pytest.fixture(scope="session")
def small_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with small portraits a.jpg and b.jpg, room.jpg without a face, and clip.mp4."""
    folder = tmp_path_factory.mktemp("gui")
    photo = qt_images.shrink(qt_images.first_frame(sample_portrait())[..., :3], 320, 320)
    write_image(folder / "a.jpg", photo)
    write_image(folder / "b.jpg", photo[:, ::-1].copy())
    write_image(folder / "room.jpg", photo[-60:, -60:].copy())
    shutil.copyfile(sample_driver(), folder / "clip.mp4")
    return folder


@pytest.fixture
def small_session(small_media: Path) -> Session:
    """Two portraits, moved by sliders only."""
    return Session(tuple(PortraitItem(str(small_media / name)) for name in ("a.jpg", "b.jpg")))


@pytest.fixture
def settings(own_config: Path) -> QSettings:
    """Settings of this test."""
    return QSettings(str(own_config / "window.ini"), QSettings.Format.IniFormat)


@pytest.fixture(scope="session")
def theme_of_all(qapp: QApplication) -> Theme:
    """Dark colours; a style sheet for all takes a while, so there is one."""
    made = Theme(qapp, "dark")
    qapp.setProperty("theme", made)
    return made


@pytest.fixture
def theme(qapp: QApplication, theme_of_all: Theme) -> Theme:
    """Dark colours; a test that runs the whole program leaves colours of its own behind."""
    qapp.setProperty("theme", theme_of_all)
    if theme_of_all.scheme != "dark":
        theme_of_all.apply("dark")
    return theme_of_all


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of all windows."""
    return load_engine("mesh")


@pytest.fixture
def make_window(
    qtbot: QtBot, qapp: QApplication, theme: Theme, settings: QSettings, engine: Engine
) -> Iterator[Callable[..., MainWindow]]:
    """Makes windows whose studio has started; all of them end with the test, with all their threads."""
    before = set(threading.enumerate())
    made: list[MainWindow] = []
    languages = Languages(qapp)

    def make(session: Session | None = None, *, language: str = "en", start: bool = True) -> MainWindow:
        languages.use(language)
        studio = Studio(settings, session, partial(LiveSession, engine=engine))
        window = MainWindow(studio, theme, languages)
        made.append(window)
        if session is not None:
            window.resize(1100, 700)
        window.show()
        if start:
            studio.start()
        return window

    yield make
    for window in made:
        assert window.studio.close()
        window.replace_by()
    languages.use("en")
    qapp.processEvents()
    left = {thread for thread in threading.enumerate() if thread.is_alive()} - before
    assert not [thread.name for thread in left if not thread.name.startswith(("Dummy", "ThreadPool"))]


@pytest.fixture
def window(make_window: Callable[..., MainWindow], small_session: Session, qtbot: QtBot) -> MainWindow:
    """A window that shows the first portrait, posed by sliders."""
    made = make_window(small_session)
    wait_for_frame(qtbot, made)
    return made


def wait_for_frame(qtbot: QtBot, window: MainWindow, after: int = -1) -> None:
    """Wait until a frame later than this number is on screen."""
    qtbot.waitUntil(lambda: window.studio.shown is not None and window.studio.shown.frame.index > after)


@pytest.fixture
def settled(qtbot: QtBot) -> Callable[[MainWindow], None]:
    """Waits until the frame on screen is one that was begun now, where nothing drives or the driver stands still."""

    def wait(window: MainWindow) -> None:
        for _ in range(IN_FLIGHT + 1):
            shown = window.studio.shown
            window.studio.live.context.redraw()
            wait_for_frame(qtbot, window, -1 if shown is None else shown.frame.index)

    return wait


@pytest.fixture
def next_frame(qtbot: QtBot) -> Callable[[MainWindow], None]:
    """Waits for a frame that is newer than the one on screen."""

    def wait(window: MainWindow) -> None:
        shown = window.studio.shown
        wait_for_frame(qtbot, window, -1 if shown is None else shown.frame.index)

    return wait


@pytest.fixture
def clip_driver(small_media: Path) -> Driver:
    """The small clip as a driver."""
    return Driver("file", str(small_media / "clip.mp4"))


class Watched(QApplication):
    """An application that can measure the CPU time of each event in the window's thread."""

    log: list[tuple[float, str]] | None = None
    depth = 0

    def notify(self, receiver: QObject, event: QEvent) -> bool:
        """Hand an event over; events within events count for the outer one."""
        if self.log is None or self.depth or threading.current_thread() is not threading.main_thread():
            return super().notify(receiver, event)
        self.depth, kind, start = 1, event.type(), time.thread_time()
        try:
            return super().notify(receiver, event)
        finally:
            self.depth = 0
            self.log.append((time.thread_time() - start, f"{type(receiver).__name__} {kind.name}"))


@pytest.fixture(scope="session")
def qapp_cls() -> type[QApplication]:
    """The application of all tests here."""
    return Watched


@pytest.fixture
def watch(qapp: Watched) -> Iterator[Callable[[Callable[[], None]], tuple[float, str]]]:
    """Does something three times; tells the event that took longest, and its CPU time in seconds.

    Of the three times the best one of each kind of event counts: a collection of all the garbage of other tests, or a
    page that had to be fetched, hits one of them.
    """

    def measure(work: Callable[[], None]) -> tuple[float, str]:
        best: dict[str, float] = {}
        for _ in range(3):
            gc.collect()
            qapp.log = log = []
            work()
            qapp.log = None
            longest: dict[str, float] = {}
            for seconds, kind in log:
                longest[kind] = max(seconds, longest.get(kind, 0.0))
            best = {kind: min(seconds, best.get(kind, seconds)) for kind, seconds in longest.items()}
        return max((seconds, kind) for kind, seconds in best.items())

    gc.collect()
    gc.freeze()  # what is left of other tests
    yield measure
    gc.unfreeze()
    qapp.log = None
