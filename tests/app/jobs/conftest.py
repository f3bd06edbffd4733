"""Fixtures of the batch tests: a folder of small inputs, a queue, a cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs import Entry, Queue


@pytest.fixture
def work(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of ``here`` with a queue and a cache of its own."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_QUEUE", str(here / "state" / "queue.sqlite3"))
    monkeypatch.setenv("PORTRAIT_ANIMATE_CACHE", str(here / "state" / "cache"))
    return here


@pytest.fixture
def queue(work: Path) -> Iterator[Queue]:
    """An empty queue."""
    with Queue() as opened:
        yield opened


@pytest.fixture
def entry(work: Path):
    """Makes a job for files of the folder ``in``."""

    def make(source: str = "photo.jpg", driving: str = "slow.mp4", output: str = "", **values: object) -> Entry:
        name = output or f"{Path(source).stem}--{Path(driving).stem}.mp4"
        return Entry(work / "in" / source, work / "in" / driving, str(work / "out" / name), values)

    return make
