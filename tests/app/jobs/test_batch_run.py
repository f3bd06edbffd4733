"""Batches for real: workers, bad files among good ones, resuming, cancelling, killing."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import AppError, ExitCode
from app.events import CancelToken, Event, EventStream
from app.frames.motion_cache import MotionCache
from app.jobs import Entry, JobRecord, Queue, make_jobs, run_workers
from app.jobs.renderer import JobRenderer
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, render
from liveportrait.track import MotionTrack

unix = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
RUN = [sys.executable, "-m", "app.cli.main", "batch"]


def frames(path: Path) -> int:
    with open_clip(path) as clip:
        return sum(1 for _ in clip)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".animate-*")]


def test_good_and_bad_files(queue: Queue, work: Path) -> None:
    """Each bad file fails alone, with the sentence that a run of its own would give; nothing is loaded twice."""
    sources = ["in/photo.jpg", "in/other.jpg", "in/empty_room.jpg", "in/text.jpg", "in/missing.jpg"]
    drivings = ["in/slow.mp4", "in/no_face.mp4", "in/zero.mp4", "in/cut.mkv"]
    events: list[Event] = []
    queue.add(make_jobs(sources, drivings, {"output": "out/{source}--{driving}.mp4"}), "night")
    seen: list[JobRecord] = []
    summary = run_workers(queue, batch="night", workers=2, events=EventStream(events.append), on_job=seen.append)
    states = {(job.source.name, job.driving.name): job for job in summary.jobs}
    good = ("photo.jpg", "other.jpg")
    for (source, driving), job in states.items():
        if source in good and driving in ("slow.mp4", "cut.mkv"):
            assert job.state == "done"
            assert frames(Path(job.output)) == job.frames
            assert bool(job.error) == (driving == "cut.mkv")
        else:
            assert job.state == "failed", (source, driving)
            assert job.error
            assert "\n" not in job.error
            assert "Internal error" not in job.error
            assert ".animate-job" not in job.error
            assert not Path(job.output).exists()
    assert "is truncated" in states["photo.jpg", "cut.mkv"].error
    assert states["photo.jpg", "cut.mkv"].exit_code == 5
    assert "no face was found in any of its 3 frames" in states["photo.jpg", "no_face.mp4"].error
    assert states["photo.jpg", "no_face.mp4"].exit_code == 3
    assert "zero.mp4 is empty" in states["other.jpg", "zero.mp4"].error
    assert "missing.jpg can't be read: it does not exist" in states["missing.jpg", "slow.mp4"].error
    assert (summary.exit_code, summary.count("done"), summary.count("failed")) == (ExitCode.PARTIAL, 4, 16)
    assert summary.counters["loaded"] <= 2
    assert hidden(work) == []
    ended = [event for event in events if event.kind == "job" and event.data["state"] != "running"]
    assert len(ended) == 20
    assert [job.id for job in seen if job.state == "running"] == [
        e.data["id"] for e in events if e.kind == "job" and e.data["state"] == "running"
    ]
    overall = [event for event in events if event.phase == "batch"]
    assert (overall[-1].done, overall[-1].total) == (20, 20)
    assert {event.data["worker"] for event in events if event.kind == "progress" and event.phase == "render"} <= {1, 2}
    again = run_workers(queue, batch="night", workers=1)
    assert (again.rendered, len(again.jobs)) == (0, 20)


def test_batch_gives_the_same_file_as_a_single_run(queue: Queue, work: Path) -> None:
    """Also for a clip whose motion comes out of the cache and a portrait that is still at hand."""
    jobs = make_jobs(
        ["in/photo.jpg"], ["in/clip.mp4", "in/vfr.mp4"], {"output": "out/", "side_by_side": True, "mark": "metadata"}
    )
    jobs += make_jobs(["in/other.jpg"], ["in/clip.mp4"], {"output": "out/", "smooth": 0, "mark": "metadata"})
    queue.add(jobs, "night")
    summary = run_workers(queue, workers=1)
    assert summary.exit_code == ExitCode.OK
    assert summary.counters == {"loaded": 1, "encoded": 2, "read": 2}
    for one in jobs:
        options = RenderOptions.from_values({**one.values, "output": "alone.mp4", "overwrite": True})
        render(Job(one.source, one.driving, options))
        assert Path(one.output).read_bytes() == Path("alone.mp4").read_bytes()
    assert len(list((work / "out").iterdir())) == 5


def test_pictures_alpha_and_templates(queue: Queue, work: Path, run_cli: Callable) -> None:
    assert run_cli("template", "make", "in/slow.mp4", "-o", "slow.motion", "-q").code == 0
    jobs = make_jobs(["in/cutout.png"], ["in/slow.mp4"], {"output": "out/{source}-%03d.png"})
    jobs += make_jobs(["in/photo.jpg"], ["in/other.jpg", "slow.motion"], {"output": "out/"})
    jobs += make_jobs(["in/gap.mp4"], ["in/slow.mp4"], {"output": "out/"})
    queue.add(jobs, "night")
    summary = run_workers(queue, workers=1)
    assert [(job.state, job.error) for job in summary.jobs] == [("done", "")] * 4
    names = sorted(path.name for path in (work / "out").iterdir())
    assert names == [f"cutout-{i:03}.png" for i in range(1, 7)] + [
        "gap--slow.mp4", "photo--other.jpg", "photo--slow.mp4"
    ]  # fmt: skip


def test_outputs_of_others_are_skipped(queue: Queue, work: Path, entry: Callable[..., Entry]) -> None:
    (work / "out").mkdir()
    (work / "out" / "photo--slow.mp4").write_bytes(b"mine")
    queue.add([entry()], "night")
    summary = run_workers(queue, workers=1)
    assert (summary.count("skipped"), summary.exit_code) == (1, ExitCode.OK)
    assert "already exists" in summary.jobs[0].error
    assert (work / "out" / "photo--slow.mp4").read_bytes() == b"mine"
    queue.add([entry(overwrite=True)], "night")
    assert run_workers(queue, workers=1).count("done") == 1
    queue.add([entry(multiplier=1.3)], "night")  # an own result may be replaced
    assert run_workers(queue, workers=1).rendered == 1


def test_stopped_run_puts_its_jobs_back(queue: Queue, work: Path) -> None:
    queue.add(make_jobs(["in/photo.jpg", "in/other.jpg"], ["in/whole.mkv", "in/clip.mp4"], {"output": "out/"}), "night")
    token = CancelToken()

    def sink(event: Event) -> None:
        if event.phase == "render" and event.done:
            token.cancel()

    summary = run_workers(queue, workers=1, token=token, events=EventStream(sink))
    assert (summary.stopped, summary.exit_code) == (True, ExitCode.CANCELLED)
    assert queue.reader.counts()["queued"] == 4 - summary.rendered
    assert hidden(work) == []
    assert run_workers(queue, workers=1).count("done") == 4 - summary.rendered


def test_fail_fast(queue: Queue, work: Path) -> None:
    queue.add(make_jobs(["in/text.jpg", "in/photo.jpg"], ["in/slow.mp4"], {"output": "out/"}), "night")
    summary = run_workers(queue, workers=1, fail_fast=True)
    assert (summary.count("failed"), summary.count("queued")) == (1, 1)
    assert summary.exit_code == ExitCode.PARTIAL


def test_cancelled_while_it_runs(queue: Queue, work: Path) -> None:
    values = {"output": "out/", "fps": "1000", "length": "loop"}
    queue.add(make_jobs(["in/photo.jpg", "in/other.jpg"], ["in/whole.mkv"], values), "night")

    def on_job(job: JobRecord) -> None:
        if job.state == "running":
            queue.cancel([job.id])

    summary = run_workers(queue, workers=1, on_job=on_job)
    assert (summary.count("cancelled"), summary.exit_code) == (2, ExitCode.OK)
    assert hidden(work) == []
    assert list((work / "out").iterdir()) == []


@unix
@pytest.mark.smoke
def test_killed_worker_is_replaced(queue: Queue, work: Path) -> None:
    queue.add(make_jobs(["in/photo.jpg"], ["in/clip.mp4", "in/slow.mp4", "in/vfr.mp4"], {"output": "out/"}), "night")
    killed: list[int] = []

    def on_job(job: JobRecord) -> None:
        if job.state == "running" and not killed and queue.reader.get(job.id).state == "running":
            killed.append(job.pid)
            os.kill(job.pid, signal.SIGKILL)

    events: list[Event] = []
    summary = run_workers(queue, workers=1, on_job=on_job, events=EventStream(events.append))
    assert summary.count("done") == 3
    assert max(job.attempts for job in summary.jobs) == 2
    assert any("Worker 1 died (signal 9)" in event.message for event in events)
    assert hidden(work) == []


def test_workers_that_cannot_start(queue: Queue, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "broken").mkdir()
    (work / "broken" / "cv2.py").write_text("raise ImportError('no cv2 here')")
    monkeypatch.setenv("PYTHONPATH", str(work / "broken"))
    queue.add(make_jobs(["in/photo.jpg"], ["in/clip.mp4"], {"output": "out/"}), "night")
    with pytest.raises(AppError, match=r"No worker can start \(exit code 1: ImportError: no cv2 here\)"):
        run_workers(queue, workers=1)
    assert queue.reader.counts()["queued"] == 1


@unix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_command_that_dies_leaves_nothing_behind(work: Path, number: signal.Signals) -> None:
    """Its workers leave on their own; the next run does the rest and no more."""
    command = [
        *RUN,
        "--sources",
        "in/photo.jpg",
        "--drivings",
        "in/[cs]*.mp4",
        "-o",
        "out/",
        "--json",
        "--workers",
        "1",
    ]
    scratch = work / "scratch"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event.get("phase") == "render":
            process.send_signal(number)
            break
    _, err = process.communicate(timeout=300)
    if number == signal.SIGINT:
        assert process.returncode == 4, err
        assert "Traceback" not in err
        assert list(scratch.iterdir()) == []
    done = subprocess.run([*command, "-q"], capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["done"] == 2
    assert hidden(work) == []
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in (work / "out").iterdir()) == ["photo--clip.mp4", "photo--slow.mp4"]


@pytest.mark.smoke
def test_command_line(work: Path, run_cli: Callable) -> None:
    (work / "night.toml").write_text(
        'sources = ["in/photo.jpg", "in/text.jpg"]\ndrivings = ["in/slow.mp4"]\noutput = "out/{source}.mp4"\n'
    )
    shown = run_cli("batch", "night.toml", "--dry-run")
    assert shown.out.splitlines()[0] == "in/photo.jpg + in/slow.mp4 -> out/photo.mp4"
    first = run_cli("batch", "night.toml", "--workers", "1")
    assert first.code == 5
    assert first.out.startswith("1 of 2 jobs done, 1 failed; 0:")
    assert "animate: 2 jobs: 2 to do." in first.err
    assert first.lines[-1].startswith("animate: error: in/text.jpg + in/slow.mp4: ")
    second = run_cli("batch", "night.toml", "--workers", "1", "--json")
    result = json.loads(second.out.splitlines()[-1])
    assert (result["event"], result["status"], result["done"], result["rendered"]) == ("result", "partial", 1, 0)
    assert result["failures"][0]["source"].endswith("text.jpg")
    assert all(json.loads(line)["schema"] == 1 for line in second.out.splitlines())

    assert run_cli("jobs", "list", "--state", "paused").err == "None of the 2 jobs is in that state or batch.\n"
    table = run_cli("jobs", "list", "--state", "failed")
    assert table.out.startswith("2 failed")
    rows = list(csv.DictReader(io.StringIO(run_cli("jobs", "list", "--format", "csv").out)))
    assert [(row["id"], row["state"], row["frames"]) for row in rows] == [("1", "done", "6"), ("2", "failed", "0")]
    assert [json.loads(line)["id"] for line in run_cli("jobs", "list", "--json").out.splitlines()] == [1, 2]
    assert "night.toml" in run_cli("jobs", "show", "1").out
    report = json.loads(run_cli("jobs", "report", "--batch", "night.toml", "--json").out)
    assert (report["states"]["done"], report["states"]["failed"], report["frames"]) == (1, 1, 6)
    assert "text.jpg" in run_cli("jobs", "report").out

    assert run_cli("jobs", "retry", "--state", "failed").out == "1 job queued again.\n"
    assert run_cli("batch", "--resume", "-q").code == 5
    assert run_cli("jobs", "retry", "2").out == "1 job queued again.\n"
    assert run_cli("jobs", "cancel", "--all").out == "1 job cancelled.\n"
    assert run_cli("jobs", "clear", "--all", "--cache").out == "1 motion tracks removed.\n2 jobs forgotten.\n"
    assert run_cli("jobs", "list").err == "The queue is empty.\n"
    assert (work / "out" / "photo.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("batch",), "A job file is needed"),
        (("batch", "x.toml"), "x.toml does not exist"),
        (("batch", "x.txt"), "x.txt does not exist"),
        (("batch", "--sources", "in/*.heic", "--drivings", "in/slow.mp4"), "--sources: no file matches in/*.heic"),
        (("batch", "--resume", "--sources", "x"), "--resume continues"),
        (("batch", "--sources", "a", "--drivings", "b", "--smooth", "x"), "--smooth: 'x' is not a number"),
        (("batch", "--sources", "in/photo.jpg", "--drivings", "in/slow.mp4", "--workers", "x"), "--workers: 'x'"),
        (("batch", "--sources", "in/photo.jpg", "--drivings", "in/slow.mp4", "--workers", "2.5"), "--workers: '2.5'"),
        (
            ("batch", "--sources", "in/photo.jpg", "--drivings", "in/slow.mp4", "-o", "x.avi"),
            "x.avi has no clip extension",
        ),
        (("batch", "--sources", "in/a.jpg", "in/b.jpg", "--drivings", "x"), "exclude each other. Put patterns in"),
        (("batch", "--sources", "1", "2", "3", "--drivings", "x"), "argument (3). Put patterns in quotes"),
        (("jobs", "retry"), "Which jobs?"),
        (("jobs", "show", "x"), "'x' is not the number of a job"),
        (("jobs", "show", "8-3"), "'8-3' is not the number of a job"),
        (("jobs", "show", "3-"), "'3-' is not the number of a job"),
        (("jobs", "show", "9" * 5000), "is not the number of a job"),
        (("jobs", "cancel", "1-999999999"), "1-999999999 are more than 100,000 jobs"),
        (("jobs", "show", "7"), "There is no job 7"),
        (("jobs", "list", "--state", "gone"), "'gone' is not one of queued"),
        (("jobs", "list", "--format", "xml"), "--format: 'xml'"),
        (("jobs", "list", "--batch", "x"), "There is no batch 'x'"),
    ],
)
def test_usage_errors(work: Path, run_cli: Callable, arguments: tuple[str, ...], message: str) -> None:
    outcome = run_cli(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.lines) == 1


def test_schema_is_printed(work: Path, run_cli: Callable) -> None:
    assert json.loads(run_cli("batch", "--schema").out)["title"] == "Job file"


# ---- parts that workers keep ----------------------------------------------------------------------------------------


def record(one: Entry) -> JobRecord:
    with Queue() as queue:
        queue.add([one])
        queue.register("w", Path("scratch"))
        job = queue.claim("w")
        assert job is not None
        return job


def test_memory_that_runs_out(work: Path, entry: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything kept is let go of, and the job is tried once more; another failure is the job's own."""
    renderer = JobRenderer()
    job = record(entry())
    calls: list[int] = []

    def run_out(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) in (1, 3, 4):
            raise MemoryError
        return render(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("app.jobs.renderer.render", run_out)
    outcome = renderer.render(job, EventStream(), CancelToken())
    assert (outcome.state, outcome.short_of_memory, len(calls)) == ("done", True, 2)
    outcome = renderer.render(job, EventStream(), CancelToken())
    assert (outcome.state, outcome.error) == ("failed", "There is not enough memory for this image or clip.")
    assert hidden(work) == [] or len(hidden(work)) == 1


def test_output_that_is_an_input(work: Path, entry: Callable[..., Entry]) -> None:
    (work / "out").mkdir()
    os.link(work / "in" / "slow.mp4", work / "out" / "photo--slow.mp4")
    outcome = JobRenderer().render(record(entry(overwrite=True)), EventStream(), CancelToken())
    assert (outcome.state, outcome.exit_code) == ("failed", 2)
    assert "is an input" in outcome.error


def test_sliders_of_a_job(work: Path, entry: Callable[..., Entry]) -> None:
    from liveportrait.expression import Expression

    plain = JobRenderer().render(record(entry()), EventStream(), CancelToken())
    smile = replace(entry(output="smile.mp4"), expression=Expression({"smile": 1.0}).to_dict())
    other = JobRenderer().render(record(smile), EventStream(), CancelToken())
    assert plain.state == other.state == "done"
    assert plain.files[0][1] != other.files[0][1]


def test_damaged_cache_is_read_anew(work: Path, entry: Callable[..., Entry]) -> None:
    renderer = JobRenderer()
    job = record(entry())
    assert renderer.render(job, EventStream(), CancelToken()).state == "done"
    (kept,) = (work / "state" / "cache" / "motion").glob("*.motion")
    data = kept.read_bytes()
    for damage in (data[: len(data) // 2], b"something else", b""):
        kept.write_bytes(damage)
        assert renderer.render(job, EventStream(), CancelToken()).state == "done"
        assert kept.read_bytes() == data
    assert renderer.resources.read == 4
    assert renderer.render(job, EventStream(), CancelToken()).state == "done"
    assert renderer.resources.read == 4


def test_cache_keeps_within_its_limit(tmp_path: Path) -> None:
    cache = MotionCache(tmp_path, limit=250)
    for number in range(4):
        path = tmp_path / f"{number}.motion"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    (tmp_path / ".old.1.part").write_bytes(b"")
    os.utime(tmp_path / ".old.1.part", (0, 0))
    cache.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.motion", "3.motion"]


def test_track_survives_the_disk(tmp_path: Path) -> None:
    """Frames without a face, at the start too, and exact times."""
    from fractions import Fraction

    import numpy as np

    from liveportrait.motion import Motion

    rng = np.random.default_rng(1)
    track = MotionTrack(Fraction(7, 3))
    for index in range(9):
        one = lambda *shape: rng.uniform(0.1, 0.9, (1, *shape)).astype(np.float32)  # noqa: E731
        motion = Motion(
            np.eye(3, dtype=np.float32)[None], one(3), one(1), one(5, 3), one(2), one(1), "e", {"z": one(2)}
        )
        track.append(Fraction(index * 1001, 30000), motion if index not in (0, 4, 8) else None)
    cache, other = MotionCache(tmp_path), MotionTrack()
    assert not cache.fill("key", track, lambda: True, CancelToken())
    assert cache.fill("key", other, lambda: pytest.fail("it is read again"), CancelToken())
    assert (other.times, other.duration, other.found, len(other)) == (track.times, track.duration, 6, 9)
    for index in range(9):
        assert (track.seen(index), track.row(index)) == (other.seen(index), other.row(index))
        np.testing.assert_array_equal(track.motion(index).delta, other.motion(index).delta)
        np.testing.assert_array_equal(track.motion(index).extra["z"], other.motion(index).extra["z"])
    track.close()
    other.close()


def test_job_that_is_forgotten_as_soon_as_it_ends(queue: Queue, work: Path) -> None:
    queue.add(make_jobs(["in/photo.jpg"], ["in/slow.mp4", "in/vfr.mp4"], {"output": "out/"}), "night")

    def on_job(job: JobRecord) -> None:
        if job.state == "done":
            queue.clear([job.id])

    summary = run_workers(queue, workers=1, on_job=on_job)
    assert (summary.rendered, summary.jobs) == (2, ())
    assert len(list((work / "out").iterdir())) == 2
