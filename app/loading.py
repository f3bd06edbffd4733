"""Cancellable loading: engines and detectors spend seconds in libraries that don't check for cancellation."""

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
"""Seconds between checks of the token."""
PATIENCE: Final = 1.0
"""Seconds of loading after which the user is notified."""

_abandoned: list[threading.Thread] = []


def interruptible(
    work: Callable[[Say], T], token: CancelToken, tell: Say, what: str, lost: str = "nothing was written"
) -> T:
    """Run a slow operation in another thread while this one handles signals and checks the token.

    Args:
        work: The operation; receives a function to call with the name of each step, such as "Loading the torch engine".
        token: Stops the waiting. ``work`` then continues until the process ends, see :func:`leave`.
        tell: Receives a sentence for each step that takes longer than a second.
        what: Name of the first step.
        lost: Consequence of stopping, as the end of a sentence; may be empty.

    Raises:
        CancelledError: The token was cancelled.
    """
    if token.cancelled:
        raise CancelledError(msg("Stopped; {lost}.", lost) if lost else "Stopped.")
    step, announced, began = what, "", time.monotonic()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def take(name: str) -> None:
        nonlocal step, began
        step, began = name, time.monotonic()

    def run() -> None:
        try:
            results.append(work(take))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
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
            if step != announced and time.monotonic() - began >= PATIENCE:
                announced = step
                tell(f"{announced}.")
    except BaseException:
        _abandoned.append(thread)
        raise
    if errors:
        raise errors[0]
    return results[0]


def leave(code: int) -> NoReturn:
    """End the process. If loading was cancelled, exit without waiting for the library or finalising it."""
    if any(thread.is_alive() for thread in _abandoned):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code)
    sys.exit(code)
