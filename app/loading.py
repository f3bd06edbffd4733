"""Loading that can be stopped: engines and detectors take seconds in libraries that look at no token."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from app.errors import CancelledError
from app.events import CancelToken
from models.messages import msg

T = TypeVar("T")
Say = Callable[[str], None]

POLL: Final = 0.05
"""Seconds between two looks at the token."""
PATIENCE: Final = 1.0
"""Seconds that loading takes before the user hears of it."""

_abandoned: list[threading.Thread] = []


def interruptible(
    work: Callable[[Say], T], token: CancelToken, tell: Say, what: str, lost: str = "nothing was written"
) -> T:
    """Run something slow beside this thread, which meanwhile hears signals and looks at the token.

    Args:
        work: Does it; it is given a function that takes the name of each of its steps, as "Loading the torch engine".
        token: Stops the waiting. What ``work`` does then goes on until the process ends, see :func:`leave`.
        tell: Gets a sentence for each step once it has taken a second.
        what: Name of the first step.
        lost: What stopping means, as the end of a sentence; may be empty.

    Raises:
        CancelledError: The token stopped it.
    """
    if token.cancelled:
        raise CancelledError(msg("Stopped; {lost}.", lost) if lost else "Stopped.")
    step, told, began = what, "", time.monotonic()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def take(name: str) -> None:
        nonlocal step, began
        step, began = name, time.monotonic()

    def run() -> None:
        try:
            results.append(work(take))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="loading", daemon=True)
    thread.start()
    try:
        while not done.wait(POLL):
            if token.cancelled:
                what = step[:1].lower() + step[1:]
                stopped = (
                    msg("Stopped while {what}; {lost}.", what, lost) if lost else msg("Stopped while {what}.", what)
                )
                raise CancelledError(stopped)
            if step != told and time.monotonic() - began >= PATIENCE:
                told = step
                tell(f"{told}.")
    except BaseException:
        _abandoned.append(thread)
        raise
    if errors:
        raise errors[0]
    return results[0]


def leave(code: int) -> NoReturn:
    """End the process. One that loading was stopped in does not wait for the library, nor does it take it apart."""
    if any(thread.is_alive() for thread in _abandoned):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code)
    sys.exit(code)
