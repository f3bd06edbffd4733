"""Background work of a session in its own thread; only the latest request counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from app.environment import fault
from app.errors import CancelledError
from app.events import CancelToken

JOIN: Final = 30.0  # seconds to wait for cancelled work


class LatestTask:
    """Runs one task at a time.

    Args:
        name: Name of the thread.
        failed: Receives the error of a failed task.

    Attributes:
        request: The request of the latest task, or None.
    """

    def __init__(self, name: str, failed: Callable[[Exception], object]) -> None:
        self.request: object = None
        self._name = name
        self._failed = failed
        self._token = CancelToken()
        self._thread: threading.Thread | None = None

    def start(self, request: object, work: Callable[[CancelToken], object]) -> None:
        """Cancel the previous task and start another one, which has to check its token regularly."""
        self.cancel()
        self.request, self._token = request, CancelToken()
        self._thread = threading.Thread(target=self._run, args=(work, self._token), name=self._name, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Cancel the task and wait for it to end."""
        self._token.cancel()
        self.request = None
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN)

    def join(self, timeout: float) -> None:
        """Wait for the task to end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, work: Callable[[CancelToken], object], token: CancelToken) -> None:
        try:
            work(token)
        except CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - inference runtimes raise their own errors
            self._failed(fault(error))
