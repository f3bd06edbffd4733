"""Decoding ahead in a thread, with a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

from models.messages import msg

T = TypeVar("T")
Entries = queue.Queue[tuple[str, Any]]


def _work(iterable: Iterable[Any], entries: Entries, stop: threading.Event) -> None:
    """Thread body; holds no reference to the Prefetch, so that an abandoned one can be garbage-collected."""
    last: tuple[str, Any] = ("end", None)
    iterator = None
    try:
        iterator = iter(iterable)
        for item in iterator:
            if not _put(entries, stop, ("item", item)):
                break
    except BaseException as error:  # noqa: BLE001 - passed to the reader of the queue
        last = ("error", error)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
    _put(entries, stop, last)


def _put(entries: Entries, stop: threading.Event, entry: tuple[str, Any]) -> bool:
    while not stop.is_set():
        try:
            entries.put(entry, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


class Prefetch(Generic[T]):
    """Iterator that draws items of an iterable ahead of use, in a thread.

    Exceptions of the iterable are raised by ``next`` in order. ``close`` (or leaving the ``with`` block) stops the
    thread, closes the iterable's generator inside it and waits for it to end. An iterator that is exhausted or raised
    is already closed.
    """

    def __init__(self, iterable: Iterable[T], depth: int = 4) -> None:
        if depth < 1:
            raise ValueError(msg("depth is {depth}; it must be at least 1", depth))
        self._queue: Entries = queue.Queue(depth)
        self._stop = threading.Event()
        self._done = False
        self._thread = threading.Thread(
            target=_work, args=(iterable, self._queue, self._stop), name="prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        kind, value = self._queue.get()
        if kind == "item":
            return value  # type: ignore[no-any-return]
        self.close()
        if kind == "error":
            raise value
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and wait for it; harmless when called again."""
        self._done = True
        self._stop.set()
        while True:  # unblocks a producer that waits for room, and frees the frames
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        self._thread.join()

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_stop"):
            self._stop.set()


class InTurn(Generic[T]):
    """Replacement for Prefetch without a thread: items are made on demand."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterator = iter(iterable)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._iterator)

    def close(self) -> None:
        """Close the iterable's generator."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> InTurn[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def stage(iterable: Iterable[T], depth: int, overlap: bool) -> AbstractContextManager[Iterator[T]]:
    """One stage of a pipeline: ahead of the next one in a thread, or in turn with it. The result is the same.

    Args:
        iterable: Makes the items.
        depth: Number of items that may wait for the next stage; 0 makes each on demand, so that only one exists.
        overlap: Whether to use a thread.
    """
    return Prefetch(iterable, depth) if overlap and depth > 0 else InTurn(iterable)


def prefetch(iterable: Iterable[T], depth: int = 4) -> Prefetch[T]:
    """Draw items of ``iterable`` ahead of use in a thread, at most ``depth`` of them waiting."""
    return Prefetch(iterable, depth)
