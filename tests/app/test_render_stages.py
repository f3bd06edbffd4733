"""Stages beside each other: the same files to the byte, in the same order, and really at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.media.prefetch import stage
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, render


def written(here: Path, source: str, driving: str, *, overlap: bool, **values: object) -> dict[str, bytes]:
    """All files of one render."""
    folder = here / f"out-{overlap}"
    folder.mkdir()
    options = RenderOptions.from_values({"output": str(folder / "a-%03d.png"), **values})
    report = render(Job(here / "in" / source, here / "in" / driving, options), overlap=overlap)
    assert report.status == "done"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("source", "driving", "values"),
    [
        ("photo.jpg", "gap.mp4", {"side_by_side": True}),
        ("clip.mp4", "slow.mp4", {"fps": "20"}),
        ("gap.mp4", "slow.mp4", {"length": "source"}),
    ],
)
def test_the_same_bytes(here: Path, source: str, driving: str, values: dict[str, object]) -> None:
    alone = written(here, source, driving, overlap=False, **values)
    beside = written(here, source, driving, overlap=True, **values)
    assert list(alone) == list(beside)
    assert len(alone) > 5
    assert alone == beside
    assert len(set(alone.values())) > 5  # the frames differ, so another order would be seen


def test_the_same_times(here: Path) -> None:
    times = []
    for overlap in (False, True):
        options = RenderOptions.from_values({"output": str(here / f"{overlap}.mp4"), "hardware": "none"})
        report = render(Job(here / "in" / "clip.mp4", here / "in" / "vfr.mp4", options), overlap=overlap)
        assert report.output is not None
        with open_clip(report.output) as clip:
            times.append([frame.time for frame in clip])
    assert times[0] == times[1]
    assert len(times[0]) > 5


def chain(overlap: bool, wait: Callable[[threading.Event], bool]) -> list[tuple[int, bool]]:
    """Two stages; the second notes for each item whether the first went on while it worked."""
    begun = [threading.Event() for _ in range(5)]

    def first() -> Iterator[int]:
        for index, event in enumerate(begun):
            event.set()
            yield index

    with stage(first(), 1, overlap) as items:
        return [(item, item == 4 or wait(begun[item + 1])) for item in items]


def test_a_stage_runs_while_the_next_one_works() -> None:
    assert chain(True, lambda event: event.wait(60)) == [(i, True) for i in range(5)]


def test_in_turn_without_overlap() -> None:
    assert chain(False, threading.Event.is_set) == [(0, False), (1, False), (2, False), (3, False), (4, True)]


def test_errors_and_ends_without_overlap() -> None:
    closed = []

    def failing() -> Iterator[int]:
        try:
            yield 1
            raise ValueError("broken")
        finally:
            closed.append(True)

    with stage(failing(), 1, False) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="broken"):
            next(items)
    assert closed == [True]
    with stage(failing(), 1, False) as items:
        next(items)
    assert closed == [True, True]
