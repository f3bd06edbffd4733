"""The queue by itself: states, claims, what is kept and what is done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import MediaError, UsageError
from app.jobs import Entry, JobRecord, Queue
from app.jobs.hashes import input_files, option_hash, settled
from app.jobs.queue import CRASHES, tag
from app.jobs.reading import LEASE
from app.jobs.renderer import Outcome
from app.jobs.target import open_target
from app.jobs.worker import settle
from app.media.contents import content_hash
from app.processes import is_alive

Make = Callable[..., Entry]
WORKER = "w1"


def ended_process() -> int:
    """Number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def claim(queue: Queue, work: Path, pid: int | None = None, name: str = WORKER) -> JobRecord:
    queue.register(name, work / "scratch" / name, pid)
    job = queue.claim(name)
    assert job is not None
    return job


def render(queue: Queue, job: JobRecord, data: bytes = b"clip") -> Outcome:
    """What a worker does, without the picture."""
    target = open_target(job.output, job.numbered)
    folder = target.open(tag(job))
    (folder / target.name).write_bytes(data)
    return Outcome(
        "done",
        files=target.stage(tag(job)),
        input_hash=queue.store.input_hash(job.source, job.driving, job.values),
        frames=6,
        seconds=0.5,
    )


def test_life_of_a_job(queue: Queue, work: Path, entry: Make) -> None:
    added = queue.add([entry(multiplier=1.5)], "night")
    assert (added.queued, added.kept) == (1, 0)
    job = claim(queue, work)
    assert (job.state, job.attempts, job.pid, job.values) == ("running", 1, os.getpid(), {"multiplier": 1.5})
    assert queue.claim(WORKER) is None
    assert not Path(job.output).exists()
    assert settle(queue, job, render(queue, job)) == "done"
    done = queue.reader.get(job.id)
    assert (done.state, done.frames, done.seconds) == ("done", 6, 0.5)
    assert Path(done.output).read_bytes() == b"clip"
    assert [p.name for p in (work / "out").iterdir()] == ["photo--slow.mp4"]
    assert queue.reader.counts() == {
        "queued": 0,
        "running": 0,
        "paused": 0,
        "done": 1,
        "failed": 0,
        "cancelled": 0,
        "skipped": 0,
    }
    json.dumps(done.to_json())


def test_what_is_done_stays_done_until_something_changes(queue: Queue, work: Path, entry: Make) -> None:
    jobs = [entry("photo.jpg"), entry("other.jpg")]
    queue.add(jobs, "night")
    for _ in jobs:
        job = claim(queue, work)
        settle(queue, job, render(queue, job))

    def again(*entries: Entry) -> list[str]:
        queue.add(entries, "night")
        return [job.state for job in queue.reader.jobs()]

    assert again(*jobs) == ["done", "done"]
    assert again(replace(jobs[0], values={"threads": 2}), jobs[1]) == ["done", "done"]  # changes no picture
    (work / "in" / "photo.jpg").touch()
    assert again(*jobs) == ["done", "done"]  # a new date, the same content
    assert again(jobs[0], replace(jobs[1], values={"multiplier": 1.2})) == ["done", "queued"]
    job = claim(queue, work)
    settle(queue, job, render(queue, job))
    (work / "in" / "photo.jpg").write_bytes((work / "in" / "cutout.png").read_bytes())
    assert again(jobs[0]) == ["queued", "done"] or again(jobs[0]) == ["done", "queued"]
    assert next(job for job in queue.reader.jobs() if job.state == "queued").source.name == "photo.jpg"
    job = claim(queue, work)
    settle(queue, job, render(queue, job))
    Path(jobs[0].output).unlink()
    assert "queued" in again(jobs[0])


def test_claims_keep_to_a_portrait_and_spread_over_workers(queue: Queue, work: Path, entry: Make) -> None:
    sources, drivings = ("photo.jpg", "other.jpg"), ("slow.mp4", "clip.mp4", "vfr.mp4")
    queue.add([entry(s, d) for s in sources for d in drivings], "night")
    first = claim(queue, work, name="a")
    second = claim(queue, work, name="b")
    assert first.source != second.source
    assert first.driving != second.driving
    third = queue.claim("a", last=first.source)
    assert third is not None
    assert third.source == first.source
    assert third.driving.name == "vfr.mp4"  # the one that nobody reads just now
    assert len({first.id, second.id, third.id}) == 3


def test_no_job_is_claimed_twice(queue: Queue, entry: Make, work: Path) -> None:
    queue.add([entry(output=f"{i}.mp4") for i in range(40)], "night")
    taken: list[int] = []

    def take(name: str) -> None:
        with Queue(queue.path) as own:
            own.register(name, work / name)
            while (job := own.claim(name)) is not None:
                taken.append(job.id)

    threads = [threading.Thread(target=take, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [job.id for job in queue.reader.jobs()]


def test_job_of_a_dead_worker_restarts(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry()], "night")
    job = claim(queue, work, ended_process())
    target = open_target(job.output)
    (target.open(tag(job)) / "half").write_bytes(b"half")
    (back,) = queue.recover()
    assert (back.state, back.attempts) == ("queued", 1)
    assert list((work / "out").iterdir()) == []
    assert claim(queue, work, name="w2").attempts == 2
    assert settle(queue, job, render(queue, job)) == "lost"  # the dead one was only asleep
    assert list((work / "out").iterdir()) == []


def test_living_worker_is_left_alone_until_its_lease_ends(
    queue: Queue, work: Path, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add([entry()], "night")
    job = claim(queue, work)
    assert queue.recover() == []
    now = __import__("time").time()
    monkeypatch.setattr("app.jobs.queue.time.time", lambda: now + LEASE - 1)
    assert queue.recover() == []
    queue.heartbeat(WORKER)
    monkeypatch.setattr("app.jobs.queue.time.time", lambda: now + 2 * LEASE - 2)
    assert queue.recover() == []
    monkeypatch.setattr("app.jobs.queue.time.time", lambda: now + 3 * LEASE)
    monkeypatch.setattr("app.jobs.queue.time.sleep", lambda seconds: queue.heartbeat(WORKER))
    assert queue.recover() == []  # the machine has slept
    monkeypatch.setattr("app.jobs.queue.time.time", lambda: now + 5 * LEASE)
    monkeypatch.setattr("app.jobs.queue.time.sleep", lambda seconds: None)
    assert [one.id for one in queue.recover()] == [job.id]
    assert queue.reader.get(job.id).state == "queued"


@pytest.mark.parametrize("moved", [False, True])
def test_finished_render_that_lacks_only_its_name_is_not_done_again(
    queue: Queue, work: Path, entry: Make, moved: bool
) -> None:
    """Killed between the note in the queue and the renaming, or between the renaming and the last note."""
    queue.add([entry()], "night")
    job = claim(queue, work, ended_process())
    outcome = render(queue, job)
    queue.staged(job, outcome.files, frames=6, input_hash=outcome.input_hash)
    if moved:
        open_target(job.output).publish(tag(job), outcome.files)
    (back,) = queue.recover()
    assert (back.state, back.attempts, back.frames) == ("done", 1, 6)
    assert [p.name for p in (work / "out").iterdir()] == ["photo--slow.mp4"]
    assert queue.add([entry()], "night").kept == 1


def test_worker_killed_by_its_job_gives_up_at_last(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry()], "night")
    for count in range(1, CRASHES + 1):
        job = claim(queue, work, name=f"w{count}")
        (back,) = queue.recover([job.worker], blame=True, reason=" (signal 11)")
        assert back.state == ("queued" if count < CRASHES else "failed")
    assert back.error == "The worker crashed 3 times on this job (signal 11)."


def test_cancel_retry_clear_reorder(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry(output=f"{i}.mp4") for i in range(4)], "night")
    first, second, third, fourth = (job.id for job in queue.reader.jobs())
    queue.move_first([third, second])
    assert [job.id for job in queue.reader.jobs()] == [third, second, first, fourth]
    job = claim(queue, work)
    assert job.id == third
    assert queue.cancel([third, second]) == 2
    assert queue.reader.get(second).state == "cancelled"
    assert queue.heartbeat(WORKER) == {third}  # the worker hears of it
    assert settle(queue, job, Outcome("cancelled", exit_code=4)) == "cancelled"
    assert queue.add([entry(output=f"{i}.mp4") for i in range(4)], "night").cancelled == 2
    assert queue.retry([second, first]) == 1
    assert queue.reader.get(second).state == "queued"
    assert queue.clear([third, fourth]) == 2
    assert [job.id for job in queue.reader.jobs()] == [first, second]
    with pytest.raises(UsageError, match="There is no job 4"):
        queue.reader.get(fourth)


def test_worker_that_leaves_puts_its_job_back(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry()], "night")
    job = claim(queue, work)
    assert settle(queue, job, Outcome("cancelled", exit_code=4), leaving=True) == "queued"
    assert queue.reader.get(job.id).attempts == 0


def test_jobs_no_longer_in_the_file_leave_the_queue(queue: Queue, entry: Make) -> None:
    queue.add([entry(output="a.mp4"), entry(output="b.mp4")], "night")
    queue.add([entry(output="other.mp4")], "other")
    queue.add([entry(output="b.mp4")], "night", replace=True)
    assert [(Path(job.output).name, job.batch) for job in queue.reader.jobs()] == [
        ("other.mp4", "other"),
        ("b.mp4", "night"),
    ]


def test_running_job_is_not_changed_under_its_worker(queue: Queue, work: Path, entry: Make) -> None:
    queue.add([entry()], "night")
    claim(queue, work)
    assert queue.add([entry()], "other").queued == 1
    with pytest.raises(UsageError, match="is being rendered as job 1 of other"):
        queue.add([entry(multiplier=2.0)], "third")


def test_names_that_are_no_text(queue: Queue, work: Path, entry: Make) -> None:
    odd = os.fsdecode(b"in/\xff\xfe.jpg")
    queue.add([Entry(work / odd, work / "in" / "slow.mp4", str(work / os.fsdecode(b"out/\xff.mp4")))], "night")
    (job,) = queue.reader.jobs()
    assert job.source == work / odd
    assert os.fsencode(job.output).endswith(b"\xff.mp4")


def test_no_queue(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("this is no database, but some text that is long enough" * 20)
    with pytest.raises(MediaError, match="can't be used as a queue"):
        Queue(tmp_path / "x")


def test_numbered_pictures(queue: Queue, work: Path, entry: Make) -> None:
    """Fewer pictures than before: those that are too many go, unless somebody changed them."""
    output = str(work / "out" / "s-%02d.png")
    queue.add([replace(entry(), output=output, numbered=True)], "night")
    for count, touched in ((4, False), (2, True)):
        job = claim(queue, work, name=f"w{count}")
        target = open_target(job.output, numbered=True)
        folder = target.open(tag(job))
        for index in range(count):
            (folder / f"s-{index + 1:02}.png").write_bytes(bytes([count, index]))
        settle(queue, job, Outcome("done", files=target.stage(tag(job))))
        if not touched:
            (work / "out" / "s-04.png").write_bytes(b"mine")
            queue.retry([job.id])
    assert sorted(p.name for p in (work / "out").iterdir()) == ["s-01.png", "s-02.png", "s-04.png"]
    assert (work / "out" / "s-02.png").read_bytes() == b"\x02\x01"


def test_place_that_fsspec_knows(queue: Queue, work: Path, entry: Make) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    (work / "far").mkdir()
    output = f"local://{work}/far/x.mp4"
    queue.add([replace(entry(), output=output)], "night")
    job = claim(queue, work, ended_process())
    outcome = render(queue, job)
    assert [p.name for p in (work / "far").iterdir()] == [f".animate-job-{tag(job)}"]
    queue.staged(job, outcome.files)
    (back,) = queue.recover()
    assert back.state == "done"
    assert [(p.name, p.read_bytes()) for p in (work / "far").iterdir()] == [("x.mp4", b"clip")]
    assert open_target(output).holds(outcome.files)


def test_hashes(work: Path) -> None:
    base = option_hash({"smooth": 1.0, "region": "lip"}, False, None)
    assert option_hash({"region": "lip", "smooth": 1.0, "overwrite": True, "threads": 3}, False, None) == base
    assert (
        len({base, option_hash({"smooth": 1.0}, False, None), option_hash({}, True, None), option_hash({}, False, {})})
        == 4
    )
    shots = work / "in" / "shots"
    before = content_hash(shots), content_hash(shots / "shot_%04d.png")
    os.rename(shots / "shot_0001.png", shots / "shot_0009.png")
    after = content_hash(shots), content_hash(shots / "shot_%04d.png")
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert content_hash(work / "nothing") == "absent"


def test_hash_of_a_file_is_kept_until_it_changes(queue: Queue, work: Path) -> None:
    path = work / "in" / "photo.jpg"
    first = queue.store.file_hash(path)
    times = path.stat()
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert queue.store.file_hash(path) == first  # size and date say that it is the same: it is not read again
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert queue.store.file_hash(path) != first


def test_is_alive() -> None:
    assert is_alive(os.getpid())
    assert not is_alive(ended_process())
    assert not is_alive(0)
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # it has ended or is about to, and is not collected yet
    child.wait()
    assert not is_alive(child.pid)


def test_files_that_options_name_are_inputs_too(queue: Queue, work: Path) -> None:
    values = {"lips_from": "in/clip.mp4", "expression": "saved", "smooth": 1.0}
    found = settled(values, work)
    assert found == {"lips_from": str(work / "in" / "clip.mp4"), "expression": "saved", "smooth": 1.0}
    inputs = input_files(work / "a.jpg", work / "b.mp4", found)
    assert inputs == [work / "a.jpg", work / "b.mp4", work / "in" / "clip.mp4"]
    before = queue.store.input_hash(inputs[0], inputs[1], found)
    (work / "in" / "clip.mp4").write_bytes(b"another one")
    assert queue.store.input_hash(inputs[0], inputs[1], found) != before


def test_many_jobs(queue: Queue, entry: Make) -> None:
    """Looking at one does not read all; naming hundreds works."""
    one = entry()
    added = queue.add([replace(one, output=f"{one.output}.{i}.mp4") for i in range(1200)], "night")
    assert [job.id for job in queue.reader.jobs(ids=added.ids[100:900])] == list(added.ids[100:900])
    assert len(queue.reader.jobs(batch="night", states=["queued"])) == 1200
    assert queue.reader.jobs(ids=added.ids[:3], states=["done"]) == []
    with pytest.raises(UsageError, match="There is no job 1201"):
        queue.reader.jobs(ids=range(1, 1202))
    assert queue.cancel(added.ids) == 1200
    assert queue.add([replace(one, output=f"{one.output}.{i}.mp4") for i in range(1200)], "night").cancelled == 1200
