"""Kill a batch at random times, restart it each time, and check that nothing is lost, damaged or done twice.

    python tools/kill_batch.py [--jobs 200] [--kills 10] [--workers 2] [--seed 1] [--folder DIR]

Portraits and clips are made from the shipped sample. Three kinds of kills alternate: the command and all its workers,
the command alone, one worker alone. Exit code 0 if all checks pass; the last line is JSON with the results.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.jobs import JobRecord, Queue  # noqa: E402
from app.media.images import read_image, write_image  # noqa: E402
from app.media.reader import open_clip  # noqa: E402
from app.media.writer import ClipWriter  # noqa: E402

FRAMES = 12
SAMPLE = ROOT / "assets" / "sample"


def make_inputs(folder: Path, portraits: int, clips: int, frames: int = FRAMES, side: int = 256) -> None:
    """Make different portraits and short driving clips from the shipped sample."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    photo = read_image(SAMPLE / "portrait.jpg").rgb
    height, width = photo.shape[:2]
    for index in range(portraits):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), index - portraits / 2, 1.0)
        picture = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        small = cv2.resize(picture, (side, side * height // width // 2 * 2), interpolation=cv2.INTER_AREA)
        write_image(folder / f"portrait{index:02}.jpg", small)
    with open_clip(SAMPLE / "driving.mp4") as reader:
        pictures = [cv2.resize(frame.rgb, (side, side), interpolation=cv2.INTER_AREA) for frame in reader]
    for index in range(clips):
        path = folder / f"clip{index:02}.mp4"
        with ClipWriter(path, (side, side), Fraction(25), hardware="none") as writer:
            for number in range(frames):
                place = (index * frames // 2 + number) % len(pictures)
                writer.write(pictures[place], number / Fraction(25))
            writer.finish()


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start the command in its own process session."""
    command = [
        sys.executable, "-m", "app.cli.main", "batch", "--sources", "in/portrait*.jpg", "--drivings", "in/clip*.mp4",
        "-o", "out/{source}--{driving}.mp4", "--queue", "queue.sqlite3", "--cache", "cache", "--workers", str(workers),
        "-q",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def workers_of(queue: Path) -> list[int]:
    """Process ids of the active workers."""
    with Queue(queue) as jobs:
        return sorted({job.pid for job in jobs.reader.jobs(states=["running"])})


def kill(process: subprocess.Popen[bytes], how: str, queue: Path) -> None:
    """Kill a process immediately, and then the rest of the command."""
    if how == "worker":
        pids = workers_of(queue)
        if pids:
            os.kill(random.choice(pids), signal.SIGKILL)  # noqa: S311
            time.sleep(random.uniform(0.2, 1.5))  # noqa: S311
    if how == "command":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def facts(folder: Path, jobs: list[JobRecord]) -> dict[int, tuple[Any, ...]]:
    """Properties of finished jobs that must not change any more."""
    found = {}
    for job in jobs:
        if job.state == "done":
            status = Path(job.output).stat()
            found[job.id] = job.attempts, job.finished, status.st_mtime_ns, status.st_ino, status.st_size
    return found


def whole(path: Path, frames: int) -> bool:
    """Whether a clip decodes to its full length."""
    with open_clip(path) as clip:
        return sum(1 for _ in clip) == frames and not clip.problem


def torture(folder: Path, jobs: int, kills: int, workers: int, seed: int, longest: float = 6.0) -> dict[str, Any]:
    """Run the batch, kill it repeatedly, and check; returns the results and a list of faults."""
    random.seed(seed)
    clips = next(n for n in range(round(jobs**0.5), 0, -1) if jobs % n == 0)
    make_inputs(folder / "in", jobs // clips, clips)
    (folder / "tmp").mkdir(exist_ok=True)
    queue, faults, settled = folder / "queue.sqlite3", [], {}
    done_at_kill, started = [], time.monotonic()
    for number in range(kills):
        process = start(folder, workers)
        try:
            process.wait(timeout=random.uniform(0.5, longest))  # noqa: S311
        except subprocess.TimeoutExpired:
            kill(process, ("all", "command", "worker")[number % 3], queue)
        if not queue.is_file():
            done_at_kill.append(0)
            continue
        with Queue(queue) as store:
            records = store.reader.jobs()
        for job in records:  # an output has its final name only if it is complete
            path = Path(job.output)
            if path.exists() and not whole(path, FRAMES):
                faults.append(f"after kill {number + 1}: {path.name} is not whole")
        for record, before in settled.items():
            now = next(job for job in records if job.id == record)
            if facts(folder, [now]).get(record) != before:
                faults.append(f"after kill {number + 1}: job {record} was done and did not stay so")
        settled |= facts(folder, records)
        done_at_kill.append(len(settled))
    code = start(folder, workers).wait()
    with Queue(queue) as store:
        records = store.reader.jobs()
        counts = store.reader.counts()
    ended = facts(folder, records)
    faults += [f"job {number} was rendered again" for number, before in settled.items() if ended.get(number) != before]
    faults += [f"{job.output} is not whole" for job in records if not whole(Path(job.output), FRAMES)]
    if code or counts["done"] != jobs or len(records) != jobs:
        faults.append(f"exit code {code}, {counts}")
    report = json.loads(
        subprocess.run(
            [sys.executable, "-m", "app.cli.main", "jobs", "report", "--queue", str(queue), "--json"],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        ).stdout
    )  # fmt: skip
    if report["states"]["done"] != jobs or report["frames"] != FRAMES * jobs or report["failures"]:
        faults.append(f"the report says {report}")
    faults += [f"left behind: {path}" for path in folder.rglob(".animate-job-*")]
    faults += [f"left behind: {path}" for path in (folder / "tmp").iterdir()]
    return {
        "jobs": jobs,
        "kills": kills,
        "seconds": round(time.monotonic() - started, 1),
        "done_at_each_kill": done_at_kill,
        "interrupted": sum(job.attempts > 1 for job in records),
        "attempts": sum(job.attempts for job in records),
        "faults": faults,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Kill a batch again and again, and check what is left.")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=6.0, help="longest time to a kill, in seconds")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-batch-") as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result = torture(folder, args.jobs, args.kills, args.workers, args.seed, args.longest)
    for fault in result["faults"]:
        print(fault, file=sys.stderr)
    print(json.dumps(result))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
