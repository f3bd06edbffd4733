"""The reading thread: order, bound, errors and clean ends."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from media_clips import make_clip, number, steady

from app.media.prefetch import Prefetch, prefetch
from app.media.reader import open_clip


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(2)
        assert not thread.is_alive()


def test_order_and_end() -> None:
    items = prefetch(range(100), 3)
    assert list(items) == list(range(100))
    assert list(items) == []


def test_never_more_than_the_depth_ahead() -> None:
    drawn, room = [], threading.Event()

    def source() -> Iterator[int]:
        for k in range(50):
            drawn.append(k)
            if k == 4:
                room.set()
            yield k

    with prefetch(source(), 3) as items:
        assert next(items) == 0
        assert room.wait(60)  # one taken, three waiting, one in hand
        assert len(drawn) == 5
        for k in range(1, 50):
            assert next(items) == k
            assert len(drawn) <= k + 5


def test_errors_come_out_at_their_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("frame 2 is bad")

    items = prefetch(source(), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="frame 2 is bad"):
        next(items)
    assert list(items) == []


def test_error_of_iter_itself() -> None:
    with pytest.raises(TypeError):
        next(Prefetch(5))  # type: ignore[arg-type]


def test_early_close_ends_the_generator_in_its_thread() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    with prefetch(source(), 2) as items:
        next(items)
    assert closed == ["prefetch"]
    items.close()  # once more does no harm
    with pytest.raises(StopIteration):
        next(items)


def test_a_forgotten_one_stops() -> None:
    items = prefetch(iter(int, 1), 2)
    next(items)
    thread = items._thread
    del items
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prefetch([], 0)


def test_clip_through_the_thread_and_closed_early(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steady(60))
    with open_clip(path) as clip:
        with prefetch(clip, 4) as frames:
            assert [(number(f.rgb), f.time) for f in frames] == list(enumerate(steady(60)))
        with prefetch(clip, 4) as frames:
            assert next(frames).time == Fraction(0)
