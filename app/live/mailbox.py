"""Queue between two threads that never builds up delay: the newest items are kept, the oldest dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
live_clock = time.perf_counter  # much finer than a frame on every system


class Mailbox(Generic[T]):
    """Holds the newest items for one consumer. ``put`` never blocks.

    Args:
        depth: Number of items held; 1 keeps only the newest.
    """

    def __init__(self, depth: int = 1) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._ready = threading.Condition()
        self._woken = False
        self._closed = False
        self.dropped = 0
        """Number of items that were never taken."""
        self.count = 0
        """Number of items put in so far."""

    def put(self, item: T) -> None:
        """Add the newest item, dropping the oldest one if full. Does nothing once closed."""
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
        """Wait for the oldest remaining item.

        Args:
            timeout: Seconds to wait, None for no limit.

        Returns:
            The item, or None on a timeout, after ``wake``, or if closed and empty.
        """
        with self._ready:
            self._ready.wait_for(lambda: bool(self._items) or self._woken or self._closed, timeout)
            self._woken = False
            return self._items.popleft() if self._items else None

    def wake(self) -> None:
        """Wake the consumer without an item."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def clear(self) -> None:
        """Discard all items without counting them as dropped."""
        with self._ready:
            self._items.clear()

    def close(self) -> None:
        """Accept no more items and wake the consumer."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed
