"""The render queue, and renders without a driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.errors import CancelledError, MediaError
from app.events import CancelToken, EventStream
from app.gui.jobs import QueuedJob, RenderQueue, render_job
from app.gui.pose import render_pose
from app.gui.session import Session
from app.gui.widgets.queue import QueuePanel, left_text
from app.media.images import read_image
from app.media.reader import open_clip
from app.render import Job
from app.render.report import RenderReport


class Renderer:
    """Renders nothing: waits at a gate, and fails or finishes by the name of the output."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.order: list[str] = []

    def __call__(self, job: Job, events: EventStream, token: CancelToken) -> RenderReport:
        output = Path(job.options.output.output)
        self.order.append(output.stem)
        with events.phase("render", 4, "Rendering") as phase:
            phase.advance()
            while not self.gate.acquire(timeout=0.01):
                token.check()
        if output.stem.startswith("bad"):
            raise MediaError(f"{output} is bad.", "Choose another.")
        if output.stem.startswith("odd"):
            raise ZeroDivisionError("odd")
        return RenderReport("done", output, None, 4, 0, 0, (8, 8), "mesh", 1.0)


@pytest.fixture
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
def queue(qtbot: QtBot, renderer: Renderer) -> Iterator[RenderQueue]:
    made = RenderQueue(renderer)
    yield made
    assert made.stop()


def job(name: str) -> Job:
    return Job(Path("a.jpg"), Path("b.mp4"), Session().options(output=f"{name}.mp4"))


def wait_for(qtbot: QtBot, entry: QueuedJob, state: str) -> None:
    qtbot.waitUntil(lambda: entry.state == state, timeout=10000)


def test_jobs_run_one_after_the_other_and_report(qtbot: QtBot, queue: RenderQueue, renderer: Renderer) -> None:
    entries = [queue.add(job(name)) for name in ("one", "bad", "odd", "two")]
    wait_for(qtbot, entries[0], "running")
    assert [e.state for e in entries[1:]] == ["queued"] * 3
    assert queue.busy
    over: list[QueuedJob] = []
    queue.finished.connect(over.append)
    for _ in entries:
        renderer.gate.release()
    qtbot.waitUntil(lambda: len(over) == 4, timeout=10000)
    assert [e.state for e in entries] == ["done", "failed", "failed", "done"]
    assert entries[1].message == "bad.mp4 is bad. Choose another."
    assert "ZeroDivisionError" in entries[2].report
    assert entries[0].output == Path("one.mp4")
    assert [e.share for e in entries][::3] == [1.0, 1.0]
    assert not queue.busy
    queue.clear_finished()
    assert queue.jobs == []


def test_cancel_running_and_waiting_jobs(qtbot: QtBot, queue: RenderQueue, renderer: Renderer) -> None:
    one, two, three = (queue.add(job(name)) for name in ("one", "two", "three"))
    wait_for(qtbot, one, "running")
    queue.cancel(two.number)
    queue.cancel(one.number)
    wait_for(qtbot, one, "cancelled")
    wait_for(qtbot, three, "running")
    renderer.gate.release()
    wait_for(qtbot, three, "done")
    assert (two.state, renderer.order) == ("cancelled", ["one", "three"])
    queue.cancel(three.number)
    assert three.state == "done"
    queue.retry(two.number)
    renderer.gate.release()
    qtbot.waitUntil(lambda: queue.jobs[-1].state == "done", timeout=10000)
    assert renderer.order[-1] == "two"


def test_waiting_jobs_change_places_but_not_with_the_running_one(
    qtbot: QtBot, queue: RenderQueue, renderer: Renderer
) -> None:
    entries = [queue.add(job(name)) for name in ("one", "two", "three", "four")]
    wait_for(qtbot, entries[0], "running")
    queue.move(entries[3].number, -1)
    queue.move(entries[1].number, -1)
    queue.move(entries[0].number, 1)
    queue.remove(entries[0].number)
    for _ in entries:
        renderer.gate.release()
    qtbot.waitUntil(lambda: all(e.state == "done" for e in entries), timeout=10000)
    assert renderer.order == ["one", "two", "four", "three"]


def test_stop_ends_everything(qtbot: QtBot, renderer: Renderer) -> None:
    queue = RenderQueue(renderer)
    one, two = queue.add(job("one")), queue.add(job("two"))
    wait_for(qtbot, one, "running")
    assert queue.stop()
    assert one.state == "cancelled"
    assert two.token.cancelled
    assert renderer.order == ["one"]


def test_panel_shows_jobs(qtbot: QtBot, theme: object, queue: RenderQueue, renderer: Renderer) -> None:
    panel = QueuePanel(queue)
    qtbot.addWidget(panel)
    panel.show()
    one, bad = queue.add(job("one")), queue.add(job("bad"))
    wait_for(qtbot, one, "running")
    qtbot.waitUntil(panel.rows[one.number].buttons["cancel"].isVisible)
    assert panel.rows[bad.number].buttons["up"].isVisible()
    panel.rows[one.number].buttons["cancel"].click()
    wait_for(qtbot, one, "cancelled")
    renderer.gate.release()
    wait_for(qtbot, bad, "failed")
    row = panel.rows[bad.number]
    qtbot.waitUntil(row.buttons["report"].isVisible)
    assert "bad.mp4 is bad" in row.accessibleName()
    with qtbot.waitSignal(panel.report_requested) as caught:
        row.buttons["report"].click()
    assert caught.args == [bad.number]
    row.buttons["remove"].click()
    assert list(panel.rows) == [one.number]


def test_time_left() -> None:
    assert [left_text(s) for s in (None, 5.4, 65, 3661)] == ["", "0:05 left", "1:05 left", "1:01:01 left"]


@pytest.fixture
def posed(small_media: Path) -> Callable[..., Job]:
    def make(source: str, output: Path, **sliders: float) -> Job:
        session = Session()
        for name, value in sliders.items():
            session = session.with_slider(name, value)
        options = session.options(output=str(output))
        return Job(small_media / source, small_media / source, options, session.expression)

    return make


def run(job: Job) -> RenderReport:
    return render_job(job, EventStream(), CancelToken())


def test_sliders_pose_a_photo(posed: Callable[..., Job], small_media: Path, tmp_path: Path) -> None:
    report = run(posed("a.jpg", tmp_path / "out.png", smile=1.0))
    source, result = read_image(small_media / "a.jpg").rgb, read_image(tmp_path / "out.png").rgb
    assert report.status == "done"
    assert result.shape == source.shape
    changed = np.abs(result.astype(int) - source).max(axis=2) > 20
    assert 20 < changed.sum() < 0.4 * changed.size  # the mouth and what moves with it


def test_sliders_pose_every_frame_of_a_clip(posed: Callable[..., Job], tmp_path: Path, small_media: Path) -> None:
    events: list[str] = []
    token = CancelToken()

    def look(event: object) -> None:
        events.append(event.phase)  # type: ignore[attr-defined]
        if event.done >= 5:  # type: ignore[attr-defined]
            token.cancel()

    stream = EventStream(look, interval=0.0)
    report = render_pose(posed("clip.mp4", tmp_path / "out.mp4", blink=1.0), stream, token)
    assert report.status == "cancelled"
    assert 5 <= report.frames < 20
    with open_clip(report.output) as kept:
        assert sum(1 for _ in kept) == report.frames
    with pytest.raises(CancelledError):
        render_pose(posed("clip.mp4", tmp_path / "none.mp4"), EventStream(), token)


@pytest.mark.parametrize(("source", "output"), [("a.jpg", "out.mp4"), ("clip.mp4", "out.png")])
def test_output_must_fit_the_source(posed: Callable[..., Job], tmp_path: Path, source: str, output: str) -> None:
    from app.errors import UsageError

    with pytest.raises(UsageError, match="does not fit"):
        run(posed(source, tmp_path / output))
    assert list(tmp_path.glob("out*")) == []
