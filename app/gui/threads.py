"""Work outside the window's thread: latest request first, results as signals.

Neither Qt nor superqt has a worker that drops requests superseded in the meantime; Qt runs the single tasks.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal


class LatestWorker(QObject):
    """A thread that processes the latest request; requests superseded in the meantime are dropped.

    Args:
        work: Called in the thread with the request; its result is emitted by ``done`` in the owner's thread.
        name: Name of the thread.
        parent: Owner.

    Signals:
        done: Result of a request. A result is held back until the previous one was taken.
        failed: Exception and its traceback as text.
    """

    done = Signal()
    failed = Signal(object, str)

    def __init__(self, work: Callable[[Any], Any], name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._ready = threading.Condition()
        self._request: tuple[Any] | None = None
        self._result: Any = None
        self._signalled = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def request(self, argument: Any) -> None:
        """Submit a request; never blocks. Callable from any thread."""
        with self._ready:
            self._request = (argument,)
            self._ready.notify()

    def take(self) -> Any:
        """The latest result; None if it was already taken."""
        with self._ready:
            result, self._result, self._signalled = self._result, None, False
            return result

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the thread after the current request."""
        with self._ready:
            self._stopped = True
            self._ready.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._request is not None or self._stopped)
                if self._stopped or self._request is None:
                    return
                (argument,), self._request = self._request, None
            try:
                result = self._work(argument)
            except Exception as error:  # noqa: BLE001 - shown to the user with a report
                self._tell(partial(self.failed.emit, error, traceback.format_exc()))
                continue
            with self._ready:
                self._result = result
                tell, self._signalled = not self._signalled, True
            if tell:
                self._tell(self.done.emit)

    def _tell(self, emit: Callable[[], None]) -> None:
        try:
            emit()
        except RuntimeError:  # the window was deleted
            self._stopped = True


class _Signals(QObject):
    done = Signal(object)
    failed = Signal(object, str)


class _Task(QRunnable):
    def __init__(self, work: Callable[[], Any], signals: _Signals) -> None:
        super().__init__()
        self._work = work
        self._signals = signals

    def run(self) -> None:
        """Do the work."""
        try:
            tell = partial(self._signals.done.emit, self._work())
        except Exception as error:  # noqa: BLE001 - shown to the user with a report
            tell = partial(self._signals.failed.emit, error, traceback.format_exc())
        try:
            tell()
        except RuntimeError:  # the window was deleted
            return


class Background(QObject):
    """Runs single tasks in a pool of threads.

    Args:
        parent: Owner.
        threads: Maximum number of simultaneous tasks.
    """

    def __init__(self, parent: QObject | None = None, threads: int = 2) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads)
        self._open: set[_Signals] = set()

    def run(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception, str], None] | None = None,
    ) -> None:
        """Do work in a thread.

        Args:
            work: The work.
            done: Receives the result, in the window's thread.
            failed: Receives the exception and its traceback, in the window's thread.
        """
        signals = _Signals(self)
        self._open.add(signals)

        def finish(callback: Callable[..., None] | None, *values: Any) -> None:
            self._open.discard(signals)
            signals.deleteLater()
            if callback is not None:
                callback(*values)

        signals.done.connect(lambda result: finish(done, result))
        signals.failed.connect(lambda error, text: finish(failed, error, text))
        self._pool.start(_Task(work, signals))

    def wait(self, milliseconds: int = 10000) -> bool:
        """Wait until all tasks have ended."""
        return self._pool.waitForDone(milliseconds)

    def drop(self) -> None:
        """Discard tasks that have not started."""
        self._pool.clear()
