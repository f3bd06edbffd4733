"""Batches that are killed again and again, and batches that are long."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.events import CancelToken, EventStream
from app.jobs import Queue, make_jobs
from app.jobs.renderer import JobRenderer
from app.jobs.worker import settle


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Nothing half-written, lost or rendered twice, nothing left behind; tools/kill_batch.py does it for longer."""
    from tools.kill_batch import torture

    result = torture(tmp_path, jobs=16, kills=3, workers=2, seed=7, longest=5.0)
    assert result["faults"] == []
    assert result["attempts"] <= 16 + 3 * 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is asked of Linux")
def test_memory_stays_flat(queue: Queue, work: Path) -> None:
    """Memory after many jobs is what it was after the first few."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    values = {"output": "out/{index}.mp4"}
    sources = ["in/photo.jpg", "in/other.jpg", "in/cutout.png"]
    jobs = [one for _ in range(8) for one in make_jobs(sources, ["in/slow.mp4"], values)]
    renderer, pages = JobRenderer(None, queue.store.file_hash), []
    queue.register("w", work / "scratch")
    for number, one in enumerate(jobs):
        queue.add([type(one)(one.source, one.driving, str(work / "out" / f"{number}.mp4"), one.values)])
        job = queue.claim("w")
        assert job is not None
        assert settle(queue, job, renderer.render(job, EventStream(), CancelToken())) == "done"
        pages.append(resident())
    assert renderer.resources.read == 1
    assert max(pages[-6:]) < 1.05 * max(pages[6:12]), pages
