"""The control thread of a session: executes commands one by one, and survives errors in them."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final, ParamSpec

from app.environment import fault
from app.errors import AppError

TICK: Final = 0.25  # seconds without a command after which ``between`` is called
P = ParamSpec("P")


def guarded(callback: Callable[P, object]) -> Callable[P, None]:
    """Wrap a callback so that its errors are reported as those of a thread and not passed on.

    A listener, such as a window that has just closed, must not end the session's threads.
    """

    def call(*args: P.args, **named: P.kwargs) -> None:
        try:
            callback(*args, **named)
        except Exception:  # noqa: BLE001 - reported by the hook
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    return call


class Control:
    """Executes commands in a thread.

    Args:
        between: Called periodically while there is no command.
        failed: Receives the error of a failed command; the next one is still executed.
        last: Called at the end.
    """

    def __init__(
        self, between: Callable[[], object], failed: Callable[[AppError], object], last: Callable[[], object]
    ) -> None:
        self._between, self._failed, self._last = between, failed, last
        self._commands: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="live-control", daemon=True)

    def put(self, command: Callable[[], object]) -> None:
        """Queue a command; returns immediately."""
        self._commands.put(command)

    def settle(self, timeout: float | None) -> bool:
        """Wait until all commands so far have been executed; returns whether they have."""
        done = threading.Event()
        self._commands.put(done.set)
        return done.wait(timeout)

    def end(self) -> None:
        """End once all commands so far have been executed; returns immediately."""
        self._commands.put(None)

    def _work(self) -> None:
        while True:
            try:
                command = self._commands.get(timeout=TICK)
            except queue.Empty:
                command = self._between
            if command is None:
                break
            self._carry_out(command)
        self._carry_out(self._last)

    def _carry_out(self, command: Callable[[], object]) -> None:
        try:
            command()
        except Exception as error:  # noqa: BLE001 - report the error instead of losing the session
            with contextlib.suppress(Exception):
                self._failed(fault(error))
