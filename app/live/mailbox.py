"""Hand-over between two threads that never builds up delay: the newest items stay, the oldest are dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
live_clock = time.perf_counter  # resolves well below a frame on every system


class Mailbox(Generic[T]):
    """Holds the newest items for one taker. ``put`` never waits.

    Args:
        depth: Items held; 1 keeps the newest one only.
    """

    def __init__(self, depth: int = 1) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._ready = threading.Condition()
        self._woken = False
        self._closed = False
        self.dropped = 0
        """Items that were never taken."""
        self.count = 0
        """Items put in so far."""

    def put(self, item: T) -> None:
        """Add the newest item; the oldest one goes if it is full. Nothing happens once it is closed."""
        with self._ready:
            if self._closed:
                return
            if len(self._items) >= self._depth:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self.count += 1
            self._ready.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for the oldest item that is left.

        Args:
            timeout: Seconds to wait, None for ever.

        Returns:
            The item, or None if the time is over, somebody called ``wake``, or it is closed and empty.
        """
        with self._ready:
            self._ready.wait_for(lambda: bool(self._items) or self._woken or self._closed, timeout)
            self._woken = False
            return self._items.popleft() if self._items else None

    def wake(self) -> None:
        """Wake the taker without an item."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def clear(self) -> None:
        """Drop what is inside without counting it."""
        with self._ready:
            self._items.clear()

    def close(self) -> None:
        """Take no further items and wake the taker."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed
