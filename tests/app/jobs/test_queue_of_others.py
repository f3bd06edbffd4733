"""Queue files that somebody else wrote, or that are damaged: nothing that they name is removed, and the rest works."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import AppError, MediaError, UsageError
from app.events import Event, EventStream
from app.jobs import Entry, Queue, scratch
from app.jobs.queue import tag
from app.jobs.run import Pool, Reporter, Summary, run_workers
from app.jobs.target import open_target
from app.jobs.worker import Settings
from app.processes import machine

Make = Callable[..., Entry]
NAME = "999999-1-0123456789ab"  # as our workers are called


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(scratch, "_base", [])
    return folder


def change(queue: Queue, query: str, *values: Any) -> None:
    """What somebody else writes into the file."""
    with sqlite3.connect(queue.path) as db:
        db.execute(query, values)
    db.close()


def add_dead(queue: Queue, name: str, folder: Path) -> None:
    change(queue, "INSERT INTO workers VALUES (?, 999999, ?, 0, ?, '')", name, machine(), str(folder))


# ---- folders


@pytest.mark.parametrize("name", ["dead", NAME, "../victim", ""])
def test_folder_that_a_queue_file_names_stays(queue: Queue, tmp_path: Path, temporary: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    add_dead(queue, name, victim)
    queue.recover()
    assert (victim / "precious").exists()
    assert queue.reader.workers() == []


def test_only_a_folder_with_the_worker_s_marker_goes(queue: Queue, temporary: Path) -> None:
    foreign = scratch.folder_of(NAME)
    foreign.mkdir()
    (foreign / "precious").touch()
    add_dead(queue, NAME, foreign)
    queue.recover()
    assert (foreign / "precious").exists()
    (foreign / scratch.MARKER).write_text(NAME)
    add_dead(queue, NAME, foreign)
    queue.recover()
    assert not foreign.exists()


def test_folder_of_a_worker_that_died_before_its_marker_goes_if_it_is_empty(temporary: Path) -> None:
    folder = scratch.folder_of(NAME)
    folder.mkdir()
    (folder / "precious").touch()
    assert not scratch.discard(NAME)
    (folder / "precious").unlink()
    assert scratch.discard(NAME)
    assert not folder.exists()


def test_link_in_place_of_the_folder_stays(queue: Queue, tmp_path: Path, temporary: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / scratch.MARKER).write_text(NAME)
    scratch.folder_of(NAME).symlink_to(victim)
    assert not scratch.discard(NAME)
    assert victim.exists()


def test_folder_of_a_worker_is_made_and_removed(temporary: Path) -> None:
    folder = scratch.settle_in(NAME)
    try:
        assert tempfile.gettempdir() == str(folder)
        assert folder.parent == temporary
        assert scratch.folder_of(NAME) == folder  # also where temporary files go elsewhere by now
        assert scratch.discard(NAME)
        assert not folder.exists()
    finally:
        scratch._base.clear()


@pytest.mark.parametrize("name", ["../victim.txt", "/etc/victim", "sub/victim", ".."])
@pytest.mark.parametrize("column", ["files", "staged"])
def test_files_outside_are_not_touched(
    queue: Queue, work: Path, entry: Make, temporary: Path, name: str, column: str
) -> None:
    """A staged file is moved and an older one removed: both only in the folder of the result, by the result's names."""
    (job,) = queue.add([entry()], "night").ids
    victim = work / "victim.txt"
    victim.write_text("precious")
    status = victim.stat()
    files = f'[["{name}", {status.st_size}, {status.st_mtime_ns}]]'
    change(
        queue,
        f"UPDATE jobs SET state = 'running', worker = 'gone', attempts = 1, {column} = ? WHERE id = ?",
        files,
        job,
    )
    queue.recover()
    assert victim.read_text() == "precious"
    assert queue.reader.counts()["failed"] == 1
    assert "damaged" in next(iter(queue.store.rows("SELECT error FROM jobs")))["error"]


def test_tag_can_not_lead_elsewhere(queue: Queue, work: Path, entry: Make) -> None:
    (job,) = queue.add([entry()], "night").ids
    (work / "out").mkdir(exist_ok=True)
    victim = work / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    change(
        queue, "UPDATE jobs SET state = 'running', worker = 'gone', attempts = 'x/../../../victim' WHERE id = ?", job
    )
    queue.recover()
    assert (victim / "precious").exists()


@pytest.mark.parametrize(
    ("output", "numbered", "name", "owned"),
    [
        ("a/x.mp4", False, "x.mp4", True),
        ("a/x.mp4", False, "x--side-by-side.mp4", True),
        ("a/x.mp4", False, "y.mp4", False),
        ("a/x-%04d.png", True, "x-0007.png", True),
        ("a/x-%04d.png", True, "x-0007--side-by-side.png", True),
        ("a/x-%04d.png", True, "x-seven.png", False),
        ("a/x-%04d.png", False, "x-0007.png", False),
    ],
)
def test_names_of_a_result(output: str, numbered: bool, name: str, owned: bool) -> None:
    assert open_target(output, numbered).owns(name) is owned


def test_two_queues_with_the_same_output_do_not_meet(work: Path, entry: Make) -> None:
    """Jobs of the same number and output in two queues: neither removes what the other one is rendering."""
    with Queue(work / "a.db") as first, Queue(work / "b.db") as second:
        jobs = []
        for queue in (first, second):
            queue.add([entry()], "night")
            queue.register("w", work)
            jobs.append(queue.claim("w"))
        one, two = jobs
        assert one is not None
        assert two is not None
        assert (one.id, one.attempts, one.output) == (two.id, two.attempts, two.output)
        kept = open_target(one.output).open(tag(one))
        open_target(two.output).open(tag(two))
        open_target(two.output).clean(tag(two))
        assert kept.is_dir()


# ---- the file itself


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE bookmarks (url)"],
        ["CREATE VIEW jobs AS SELECT 1 AS id"],
        ["PRAGMA user_version = 2"],
        ["PRAGMA user_version = 2", "CREATE TABLE jobs (id)", "CREATE TABLE workers (name)", "CREATE TABLE hashes (x)",
         "CREATE INDEX jobs_by_state ON jobs (id)"],
    ],
)  # fmt: skip
def test_other_databases_are_refused_and_left_alone(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    with pytest.raises(MediaError, match=r"another database|can't be used as a queue|lacks columns"):
        Queue(path)


def test_trigger_is_refused(queue: Queue) -> None:
    change(queue, "CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN DELETE FROM hashes; END")
    with pytest.raises(MediaError, match="another database"):
        Queue(queue.path)


def test_damaged_pages_are_a_sentence(queue: Queue, entry: Make) -> None:
    queue.add([entry(output=f"{i}.mp4") for i in range(200)], "night")
    queue.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    path = queue.path
    queue.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 :] = os.urandom(len(data) - 4096 * 3)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="can't be used as a queue"), Queue(path) as again:  # noqa: PT012
        again.reader.jobs()
        again.reader.damaged()


BAD = [
    ("state", "asleep"), ("attempts", "many"), ("options", "[1]"), ("options", "{"), ("options", "[" * 5000),
    ("options", '{"multiplier": NaN}'), ("created", 1e300), ("created", "soon"), ("files", '{"a": 1}'), ("frames", -5),
    ("files", '[["x.mp4", "big", 1]]'), ("notes", "7"), ("progress", "[1]"), ("pid", -1), ("output", ""),
    ("source", 7), ("numbered", 7), ("expression", "[]"), ("seconds", b"x"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), BAD)
def test_bad_row_does_not_hide_the_others(
    queue: Queue, entry: Make, run_cli: Callable[..., Any], column: str, value: Any
) -> None:
    ids = queue.add([entry(output="a.mp4"), entry(output="b.mp4"), entry(output="c.mp4")], "night").ids
    change(queue, f"UPDATE jobs SET {column} = ? WHERE id = ?", value, ids[1])
    assert [job.id for job in queue.reader.jobs()] == [ids[0], ids[2]]
    assert [job.id for job in queue.reader.recent(10)] == [ids[0], ids[2]]
    assert list(queue.reader.damaged()) == [ids[1]]
    queue.register("w", queue.path.parent)
    taken = [job.id for job in iter(lambda: queue.claim("w"), None)]
    assert taken == [ids[0], ids[2]]
    queue.recover(["w"])
    shown = run_cli("jobs", "list")
    assert shown.code == 0
    assert f"Job {ids[1]} of" in shown.err
    assert "is damaged" in shown.err
    assert run_cli("jobs", "clear", str(ids[1])).code == 0
    assert queue.reader.damaged() == {}


def test_output_of_a_damaged_row_is_named(queue: Queue, entry: Make) -> None:
    (job,) = queue.add([entry()], "night").ids
    change(queue, "UPDATE jobs SET state = 'asleep' WHERE id = ?", job)
    with pytest.raises(UsageError, match=rf"job {job}, which is damaged: .*Remove it: animate jobs clear {job}"):
        queue.add([entry()], "night")


@pytest.mark.parametrize(("column", "value"), [("pid", "x"), ("pid", -1), ("beat", "never"), ("pid", 1 << 60)])
def test_worker_that_is_none_counts_as_dead(queue: Queue, column: str, value: Any) -> None:
    queue.register("w", queue.path.parent)
    change(queue, f"UPDATE workers SET {column} = ?", value)
    queue.recover()
    assert queue.reader.workers() == []


# ---- several batches


def reporter(queue: Queue, batch: str, events: list[Event]) -> Reporter:
    return Reporter(queue, batch, EventStream(events.append), None)


def test_run_waits_for_jobs_that_another_batch_has_taken_over(queue: Queue, work: Path, entry: Make) -> None:
    events: list[Event] = []
    (job,) = queue.add([entry()], "first").ids
    first = reporter(queue, "first", events)
    queue.add([entry()], "second")  # the same job
    assert queue.reader.jobs(batch="first") == []
    queue.register("other", work)
    assert first.waiting()
    assert first.waiting()
    assert [event.message for event in events if "another batch" in event.message] == [
        "Waiting for 1 jobs that another batch in the queue is processing."
    ]
    claimed = queue.claim("other", "second")
    assert claimed is not None
    assert first.waiting()
    queue.failed(claimed, "It went wrong.", 1)
    assert not first.waiting()
    summary = first.summary(1.0, False)
    assert [one.id for one in summary.failed] == [job]
    assert summary.exit_code == 5


def test_run_takes_its_jobs_back_when_nobody_works_on_them(queue: Queue, entry: Make) -> None:
    queue.add([entry()], "first")
    first = reporter(queue, "first", [])
    queue.add([entry()], "second")
    assert first.waiting()
    assert queue.reader.counts("first")["queued"] == 1
    assert Summary(tuple(queue.reader.jobs()), 1.0).exit_code == 5  # not done is not well


def test_other_inputs_for_the_output_of_a_batch_that_runs_are_refused(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry(output="a.mp4")], "first")
    queue.register("other", work)
    with pytest.raises(UsageError, match="which another process is rendering"):
        queue.add([entry(output="a.mp4", multiplier=2.0)], "second")
    queue.unregister("other")
    assert queue.add([entry(output="a.mp4", multiplier=2.0)], "second").queued == 1


def test_both_of_two_batches_with_a_job_in_common_end_with_it_done(queue: Queue, work: Path, entry: Make) -> None:
    """The whole of it with real workers: the job that the second batch took is waited for by the first."""
    queue.add([entry(output="a.mp4"), entry(output="b.mp4")], "first")
    first = reporter(queue, "first", [])
    queue.add([entry(output="b.mp4"), entry(output="c.mp4")], "second")
    assert run_workers(queue, batch="second", workers=1).exit_code == 0
    summary = run_workers(queue, batch="first", workers=1)
    assert summary.exit_code == 0
    assert queue.reader.counts()["done"] == 3
    assert {Path(job.output).name for job in first.summary(1.0, False).jobs} == {"a.mp4", "b.mp4"}


# ---- workers that do nothing


class IdleProcess:
    """A worker that ends at once and in good order, without a job."""

    started = 0

    def __init__(self, settings: Settings, inbox: Any) -> None:
        type(self).started += 1
        self.settings, self.job, self.worked, self.left, self.lines, self.ended = settings, 0, False, False, [], 0

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def test_workers_that_end_without_a_job_are_not_started_for_ever(
    queue: Queue, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.run.Process", IdleProcess)
    monkeypatch.setattr(IdleProcess, "started", 0)
    queue.add([entry()], "night")
    pool = Pool(queue, "night", reporter(queue, "night", []))
    from app.events import CancelToken

    with pytest.raises(AppError, match="The workers exit immediately"):
        pool.run(1, CancelToken(), fail_fast=False, cache=None)
    assert IdleProcess.started == 3
