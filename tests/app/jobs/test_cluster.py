"""A local Ray cluster of several worker processes, one of them killed in mid-run."""

from __future__ import annotations

import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from app.errors import AppError, ExitCode, MissingError
from app.events import Event, EventStream
from app.jobs import JobRecord, Queue, make_jobs, run_workers
from app.jobs.cluster import connect, run_on_cluster
from app.media.reader import open_clip
from app.media.writer import ClipWriter


def test_cluster_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match="Ray, which is not installed"):
        connect("auto")


@pytest.fixture
def ray():
    ray = pytest.importorskip("ray", reason="Ray (extra cluster) is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_local_cluster(ray, queue: Queue, work: Path) -> None:
    sources, drivings = ["in/photo.jpg", "in/other.jpg", "in/text.jpg"], ["in/slow.mp4", "in/clip.mp4", "in/vfr.mp4"]
    queue.add(make_jobs(sources, drivings, {"output": "far/{source}--{driving}.mp4", "mark": "metadata"}), "far")
    killed: list[int] = []

    def on_job(job: JobRecord) -> None:
        if job.state == "done" and not killed and job.pid != os.getpid():
            killed.append(job.pid)
            os.kill(job.pid, signal.SIGKILL)

    events: list[Event] = []
    summary = run_on_cluster(
        queue, "auto", batch="far", cache=work / "shared-cache", on_job=on_job, events=EventStream(events.append)
    )
    assert len(killed) == 1
    inside = [event for event in events if event.kind == "progress" and event.phase == "render"]
    assert {event.data["job"] for event in inside} <= {job.id for job in summary.jobs}
    assert {event.data["worker"] for event in inside} <= {1, 2}
    assert any(event.done > 0 for event in inside)
    assert (summary.count("done"), summary.count("failed"), summary.exit_code) == (6, 3, ExitCode.PARTIAL)
    assert all("text.jpg" in job.error for job in summary.failed)
    assert {job.pid for job in summary.jobs} - {os.getpid()} > set(killed)  # somebody else went on
    assert [path.name for path in (work / "far").iterdir() if path.name.startswith(".")] == []

    queue.add(make_jobs(sources[:2], drivings, {"output": "near/{source}--{driving}.mp4", "mark": "metadata"}), "near")
    run_workers(queue, batch="near")
    names = sorted(path.name for path in (work / "near").iterdir())
    assert len(names) == 6
    for name in names:
        assert (work / "far" / name).read_bytes() == (work / "near" / name).read_bytes()
    assert run_on_cluster(queue, "auto", batch="near").rendered == 0
    with pytest.raises(AppError, match="--cluster-gpus: the cluster has 0 graphics cards"):
        run_on_cluster(queue, "auto", batch="near", gpus=0.5)


@pytest.mark.slow
def test_cancel_on_the_cluster(ray, queue: Queue, work: Path) -> None:
    """A job that somebody cancels stops at its next frame; its worker goes on with the next one."""
    with open_clip(work / "in" / "slow.mp4") as clip:
        frames = [frame.rgb for frame in clip]
    height, width = frames[0].shape[:2]
    with ClipWriter(work / "in" / "long.mp4", (width, height), Fraction(25), hardware="none") as writer:
        for index in range(400):
            writer.write(frames[index % len(frames)], Fraction(index, 25))
        writer.finish()
    queue.add(make_jobs(["in/photo.jpg"], ["in/long.mp4", "in/slow.mp4"], {"output": "far/{driving}.mp4"}), "far")
    first = queue.reader.jobs()[0].id

    def look(event: Event) -> None:
        if event.kind == "progress" and event.data.get("job") == first:
            queue.cancel([first])

    summary = run_on_cluster(queue, "auto", batch="far", workers=1, events=EventStream(look))
    assert [job.state for job in summary.jobs] == ["cancelled", "done"]
    assert len({job.pid for job in summary.jobs}) == 1  # the worker was not ended for it
    assert [path.name for path in (work / "far").iterdir()] == ["slow.mp4"]


@pytest.fixture
def machines():
    """A cluster of two machines besides the head, all of them processes here."""
    ray = pytest.importorskip("ray", reason="Ray (extra cluster) is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_machine_that_is_lost(machines, queue: Queue, work: Path) -> None:
    """Its jobs are done elsewhere, none fails for it, and one machine that joins is made use of."""
    cluster, nodes = machines
    sources, drivings = ["in/photo.jpg", "in/other.jpg", "in/cutout.png"], ["in/slow.mp4", "in/clip.mp4", "in/vfr.mp4"]
    queue.add(make_jobs(sources, drivings, {"output": "far/{source}--{driving}.mp4"}), "far")
    lost: list[int] = []

    def on_job(job: JobRecord) -> None:
        if job.state == "done" and not lost:
            lost.append(job.id)
            cluster.remove_node(nodes[1], allow_graceful=False)
            cluster.add_node(num_cpus=1)

    summary = run_on_cluster(queue, "auto", batch="far", on_job=on_job)
    assert (len(lost), summary.count("done"), summary.exit_code) == (1, 9, ExitCode.OK)
    assert [path.name for path in (work / "far").iterdir() if path.name.startswith(".")] == []
