"""Lanes, paused jobs, and the process that works through a lane."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import UsageError
from app.events import CancelToken, Event, EventStream
from app.jobs import Entry, Queue, make_jobs
from app.jobs.queue import CRASHES
from app.jobs.record import Progress
from app.jobs.renderer import JobRenderer
from app.jobs.run import Reporter
from app.jobs.runner import RunnerProcess
from app.jobs.worker import settle


def wait(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lanes_keep_jobs_apart(queue: Queue, entry: Callable[..., Entry], work: Path) -> None:
    mine = queue.add([entry(output=f"{n}.mp4") for n in range(3)], "window", lane="window").ids
    (other,) = queue.add([entry(output="x.mp4")], "night").ids
    assert queue.reader.counts(lane="window")["queued"] == 3
    queue.register("w", work / "w", lane="window")
    assert queue.reader.workers("window") == ["w"]
    assert queue.hold("window") == 0  # somebody works on it
    assert queue.reader.left_alone("window") == [other]
    queue.register("batch", work / "b")
    assert queue.reader.left_alone("window") == []  # a command line is at it
    queue.unregister("batch")
    assert [job.id for job in queue.reader.recent(2)] == list(mine[:2])
    queue.move(mine[2], -2)
    claimed = [queue.claim("w", lane="window", in_order=True) for _ in range(4)]
    assert [job.id if job else None for job in claimed] == [mine[2], mine[0], mine[1], None]
    assert queue.claim("w", lane="") is not None
    assert queue.reader.get(other).state == "running"
    queue.unregister("w")
    assert queue.reader.workers() == []
    queue.recover()
    assert queue.hold("window") == 3
    assert [queue.reader.get(n).state for n in (*mine, other)] == ["paused"] * 3 + ["queued"]


def test_paused_jobs_wait_until_they_are_resumed(queue: Queue, entry: Callable[..., Entry], work: Path) -> None:
    ids = queue.add([entry(output=f"{n}.mp4") for n in range(4)], "night").ids
    assert queue.pause(ids[:3]) == 3
    assert queue.pause(ids[:1]) == 0
    assert queue.move(ids[3], -3)
    assert not queue.move(ids[3], -1)
    queue.register("w", work / "w")
    job = queue.claim("w")
    assert job is not None
    assert job.id == ids[3]
    assert queue.claim("w") is None
    assert queue.pause([job.id]) == 0
    assert queue.resume(ids[:1], "window") == 1
    assert (queue.reader.get(ids[0]).state, queue.reader.get(ids[0]).lane) == ("queued", "window")
    assert queue.cancel([ids[1]]) == 1
    queue.add([entry(output="2.mp4")], "night")  # the job file is run again
    assert queue.reader.get(ids[2]).state == "queued"


def test_new_wishes(queue: Queue, entry: Callable[..., Entry]) -> None:
    (number,) = queue.add([entry()], "window", fresh=True).ids
    with pytest.raises(UsageError, match="the output of waiting job"):
        queue.add([entry(multiplier=2.0)], "window", fresh=True)
    queue.cancel([number])
    assert queue.add([entry()], "night").cancelled == 1
    assert queue.add([entry()], "window", fresh=True).queued == 1


def test_progress_and_notes_are_kept(queue: Queue, entry: Callable[..., Entry], work: Path) -> None:
    queue.add([entry()], "night")
    queue.register("w", work / "w")
    job = queue.claim("w")
    assert job is not None
    assert queue.heartbeat("w", job.id, Progress("render", 3, 6, 2.0, 1.5, "Rendering")) == set()
    seen = queue.reader.get(job.id)
    assert seen.progress == Progress("render", 3, 6, 2.0, 1.5, "Rendering")
    assert seen.share == pytest.approx(2 / 3)
    assert seen.to_json()["progress"] == pytest.approx(2 / 3, abs=1e-4)
    assert queue.failed(job, "Bad.", 1, notes=("One.", "Two."), details="Traceback\nline")
    ended = queue.reader.get(job.id)
    assert (ended.notes, ended.details, ended.share) == (("One.", "Two."), "Traceback\nline", 0.0)


def test_job_that_takes_its_workers_down_fails_in_the_end(
    queue: Queue, entry: Callable[..., Entry], work: Path
) -> None:
    (number,) = queue.add([entry()], "night").ids
    queue.register("w", work / "w")
    for attempt in range(1, CRASHES + 1):
        job = queue.claim("w")
        assert job is not None
        assert job.attempts == attempt
        queue.crashed(job, " (it was lost)")
        queue.crashed(job, " (told twice)")
    ended = queue.reader.get(number)
    assert (ended.state, ended.error) == ("failed", "The worker crashed 3 times on this job (it was lost).")


def test_changes_are_seen_at_once(queue: Queue, entry: Callable[..., Entry]) -> None:
    before = queue.store.stamp()
    assert queue.store.stamp() == before
    with Queue() as other:
        other.add([entry()], "night")
    after = queue.store.stamp()
    assert after != before
    queue.cancel([1])
    assert queue.store.stamp() != after


def test_jobs_pause_and_resume(queue: Queue, entry: Callable[..., Entry], run_cli: Callable) -> None:
    queue.add([entry("text.jpg"), entry("missing.jpg")], "night")
    assert run_cli("jobs", "pause", "1-2").out == "2 jobs paused.\n"
    assert "paused" in run_cli("jobs", "list").out
    assert run_cli("jobs", "resume", "2").out == "1 job queued again.\n"
    assert [job.state for job in queue.reader.jobs()] == ["paused", "queued"]
    assert run_cli("batch", "--resume", "--workers", "1", "-q").code == 5  # takes what was paused as well
    assert [job.state for job in queue.reader.jobs()] == ["failed", "failed"]


def test_runner_works_in_order_and_stops(queue: Queue, work: Path) -> None:
    slow = make_jobs(["in/photo.jpg"], ["in/whole.mkv"], {"output": "out/slow.mp4", "fps": "1000", "length": "loop"})
    quick = make_jobs(["in/other.jpg", "in/photo.jpg"], ["in/slow.mp4"], {"output": "out/"})
    queue.add([*quick, *slow], "window", lane="window")
    queue.add(make_jobs(["in/other.jpg"], ["in/clip.mp4"], {"output": "out/"}), "night")
    runner = RunnerProcess(queue, "window")
    assert len(queue.reader.workers("window")) == 1
    try:
        wait(
            lambda: (
                queue.reader.counts()["done"] == 2
                and any(job.share > 0 for job in queue.reader.jobs(states=["running"]))
            )
        )
        assert len(queue.reader.workers("window")) == 2  # the runner and its worker
        assert all(job.pid != runner.pid for job in queue.reader.jobs())
    finally:
        runner.stop()
    assert not runner.running
    assert runner.fault() == ("", "")
    states = [(job.state, job.attempts) for job in queue.reader.jobs()]
    assert states == [("done", 1), ("done", 1), ("queued", 0), ("queued", 0)]
    first, second = queue.reader.jobs(states=["done"])
    assert first.finished is not None
    assert second.started is not None
    assert first.finished <= second.started
    wait(lambda: queue.reader.workers() == [])
    assert [path.name for path in (work / "out").iterdir() if path.name.startswith(".")] == []


def test_runner_that_cannot_work_says_why(queue: Queue, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "broken").mkdir()
    (work / "broken" / "cv2.py").write_text("raise ImportError('no cv2 here')")
    monkeypatch.setenv("PYTHONPATH", str(work / "broken"))
    queue.add(make_jobs(["in/photo.jpg"], ["in/clip.mp4"], {"output": "out/"}), "window", lane="window")
    runner = RunnerProcess(queue, "window")
    wait(lambda: not runner.running)
    text, details = runner.fault()
    assert text
    assert "\n" not in text
    assert "no cv2 here" in text + details
    assert queue.reader.counts()["queued"] == 1


def test_time_left_of_a_batch_counts_running_jobs(
    queue: Queue, entry: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.run.REPEAT", -1.0)
    queue.add([entry(output=f"{n}.mp4") for n in range(2)], "night")
    events: list[Event] = []
    reporter = Reporter(queue, "night", EventStream(events.append), None)
    reporter.start()
    assert events[-1].eta is None
    reporter.heard(Event("progress", "render", 5, 10, data={"worker": 1, "job": 1}))
    assert [(event.phase, event.done) for event in events[-2:]] == [("render", 5), ("batch", 0)]
    assert events[-1].total == 2
    assert events[-1].eta is not None  # a third of all is done
    reporter.heard(Event("result", data={"worker": 1, "job": 1}))
    assert events[-1].phase == "batch"


@pytest.mark.parametrize("name", ["photo--slow.mp4", "photo--slow--side-by-side.mp4"])
@pytest.mark.parametrize("late", [False, True])
def test_files_of_others_are_kept(queue: Queue, entry: Callable[..., Entry], work: Path, name: str, late: bool) -> None:
    """Also those of the comparison clip, and those that come while the job is rendered."""
    queue.add([entry(side_by_side=True)], "night")
    queue.register("w", work / "w")

    def intrude(event: Event | None = None) -> None:
        (work / "out").mkdir(exist_ok=True)
        (work / "out" / name).write_bytes(b"mine")

    if not late:
        intrude()
    job = queue.claim("w")
    assert job is not None
    outcome = JobRenderer(work / "cache").render(job, EventStream(*[intrude] * late), CancelToken())
    assert settle(queue, job, outcome) == "skipped"
    assert f"{name} already exists" in queue.reader.get(job.id).error
    assert [path.name for path in (work / "out").iterdir()] == [name]
    assert (work / "out" / name).read_bytes() == b"mine"
