"""The control thread of a session: carries out commands one by one, and outlives whatever goes wrong in one."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final, ParamSpec

from app.environment import fault
from app.errors import AppError

TICK: Final = 0.25  # seconds without a command after which something else is looked at
P = ParamSpec("P")


def guarded(callback: Callable[P, object]) -> Callable[P, None]:
    """The same callback, whose faults are shown as those of a thread and go no further.

    Whoever listens to a session, such as a window that has just closed, must not end the threads that tell it.
    """

    def call(*args: P.args, **named: P.kwargs) -> None:
        try:
            callback(*args, **named)
        except Exception:  # noqa: BLE001 - it is shown by the hook
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    return call


class Control:
    """Carries out commands in a thread.

    Args:
        between: Called now and then while there is no command.
        failed: Told of a command that failed; the next one follows all the same.
        last: Called at the end.
    """

    def __init__(
        self, between: Callable[[], object], failed: Callable[[AppError], object], last: Callable[[], object]
    ) -> None:
        self._between, self._failed, self._last = between, failed, last
        self._commands: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="live-control", daemon=True)

    def put(self, command: Callable[[], object]) -> None:
        """Carry out a command when it is its turn; returns at once."""
        self._commands.put(command)

    def settle(self, timeout: float | None) -> bool:
        """Wait until all commands given so far have been carried out; True if they have."""
        done = threading.Event()
        self._commands.put(done.set)
        return done.wait(timeout)

    def end(self) -> None:
        """End once all commands given so far have been carried out; returns at once."""
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
        except Exception as error:  # noqa: BLE001 - a lost session is worse than a sentence about a fault
            with contextlib.suppress(Exception):
                self._failed(fault(error))
