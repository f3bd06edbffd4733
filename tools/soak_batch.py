"""Measure a worker's memory over many jobs: ``python tools/soak_batch.py [--portraits 40] [--clips 25] [--frames 3]``.

Inputs are made from the shipped sample. One worker renders all pairs; its memory is read when a job begins. Linux only.
Exit code 0 if the last tenth of the jobs needs at most 5 % more than the second tenth, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.jobs import JobRecord, Queue, make_jobs, run_workers  # noqa: E402
from tools.kill_batch import make_inputs  # noqa: E402

GROWTH = 1.05


def soak(folder: Path, portraits: int, clips: int, frames: int, side: int) -> dict[str, Any]:
    """Render all pairs; returns the figures."""
    make_inputs(folder / "in", portraits, clips, frames, side)
    os.chdir(folder)
    values = {"output": "out/{source}--{driving}.mp4"}
    page, seen = os.sysconf("SC_PAGE_SIZE"), []

    def look(job: JobRecord) -> None:
        if job.state == "running" and job.pid:
            try:
                seen.append(int(Path(f"/proc/{job.pid}/statm").read_text().split()[1]) * page / 1e6)
            except OSError:  # it has ended
                return

    started = time.monotonic()
    with Queue(folder / "queue.sqlite3") as queue:
        queue.add(make_jobs(["in/portrait*.jpg"], ["in/clip*.mp4"], values), "soak")
        summary = run_workers(queue, batch="soak", workers=1, cache=folder / "cache", on_job=look)
    tenth = max(1, len(seen) // 10)
    parts = [round(max(seen[i * tenth : (i + 1) * tenth]), 1) for i in range(10)]
    return {
        "jobs": len(summary.jobs),
        "done": summary.count("done"),
        "seconds": round(time.monotonic() - started, 1),
        "workers": len({job.pid for job in summary.jobs}),
        "peak_mb_by_tenth": parts,
        "growth": round(parts[-1] / parts[1], 3),
        **summary.counters,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Memory of a worker over many jobs.")
    parser.add_argument("--portraits", type=int, default=40)
    parser.add_argument("--clips", type=int, default=25)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--side", type=int, default=256)
    args = parser.parse_args()
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="soak-batch-") as folder:
        result = soak(Path(folder).resolve(), args.portraits, args.clips, args.frames, args.side)
        os.chdir(here)
    print(json.dumps(result))
    return 0 if result["done"] == result["jobs"] and result["growth"] <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
