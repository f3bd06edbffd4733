"""Frames that an engine draws several at a time, and fewer when memory runs out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.events import EventStream
from app.options import RenderOptions
from app.render import Job, Resources, render
from liveportrait.batching import is_out_of_memory, render_batch
from liveportrait.engines.mesh.engine import MeshEngine


class OutOfMemoryError(RuntimeError):
    """What torch raises."""


class Greedy(MeshEngine):
    """Takes frames in batches, and has room for so many."""

    def __init__(self, batch: int, room: int) -> None:
        super().__init__()
        self.batch, self.room, self.calls = batch, room, []

    def render(self, portrait, x_d):
        self.calls.append(len(x_d))
        if len(x_d) > self.room:
            raise (MemoryError if len(self.calls) % 2 else OutOfMemoryError)
        return super().render(portrait, x_d)


class Given(Resources):
    def __init__(self, engine: MeshEngine) -> None:
        super().__init__()
        self._engine = engine

    def engine(self, options, say, warn, step=None):
        return self._engine


def run(folder: Path, engine: MeshEngine, name: str) -> bytes:
    options = RenderOptions.from_values({"output": name, "overwrite": True, "mark": "metadata"})
    job = Job(folder / "in" / "photo.jpg", folder / "in" / "clip.mp4", options)
    report = render(job, EventStream(), None, Given(engine))
    assert report.frames == 12
    assert report.stages["render"].count == 12
    return report.output.read_bytes()


def test_batches_change_no_picture(here: Path) -> None:
    plain = run(here, MeshEngine(), "plain.mp4")
    engine = Greedy(batch=5, room=5)
    assert run(here, engine, "batch.mp4") == plain
    assert engine.calls == [5, 5, 2]


def test_less_memory_means_smaller_batches(here: Path) -> None:
    engine = Greedy(batch=8, room=3)
    assert run(here, engine, "small.mp4") == run(here, MeshEngine(), "plain.mp4")
    assert engine.batch == 2
    assert engine.calls == [8, 4, 2, 2, 2, 2, 2, 2]  # it is not tried again


def test_single_frame_that_does_not_fit() -> None:
    engine = Greedy(batch=2, room=0)
    with pytest.raises((MemoryError, OutOfMemoryError)) as caught:
        render_batch(engine, None, np.zeros((4, 478, 3), np.float32))  # type: ignore[arg-type]
    assert is_out_of_memory(caught.value)
    assert engine.calls == [2, 1]


def test_other_errors_are_not_memory() -> None:
    class Broken(MeshEngine):
        batch = 4

        def render(self, portrait, x_d):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        render_batch(Broken(), None, np.zeros((4, 478, 3), np.float32))  # type: ignore[arg-type]
