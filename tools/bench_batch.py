"""Compare the wall time of `animate batch` with a shell loop of `animate` over the same pairs.

    python tools/bench_batch.py [--portraits 10] [--clips 10] [--frames 25] [--side 512] [--json FILE]

Inputs are made from the shipped sample. Both write to the same kind of folder; the results are compared byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.bench import load, processor  # noqa: E402
from tools.kill_batch import make_inputs  # noqa: E402

ANIMATE = [sys.executable, "-m", "app.cli.main"]


def measure(folder: Path, portraits: int, clips: int, frames: int, side: int, workers: int) -> dict[str, Any]:
    """Run both; returns the figures."""
    make_inputs(folder / "in", portraits, clips, frames, side)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = load()
    (folder / "loop").mkdir()
    started = time.monotonic()
    for portrait in sorted((folder / "in").glob("portrait*.jpg")):
        for clip in sorted((folder / "in").glob("clip*.mp4")):
            command = [*ANIMATE, str(portrait), str(clip), "-o", "loop/", "-q"]
            subprocess.run(command, cwd=folder, env=environment, check=True)
    loop = time.monotonic() - started
    print(f"loop of animate: {loop:.1f} s", file=sys.stderr)
    started = time.monotonic()
    subprocess.run(
        [*ANIMATE, "batch", "--sources", "in/portrait*.jpg", "--drivings", "in/clip*.mp4", "-o", "batch/",
         "--queue", "queue.sqlite3", "--cache", "cache", "--workers", str(workers), "-q"],
        cwd=folder, env=environment, check=True,
    )  # fmt: skip
    batch = time.monotonic() - started
    print(f"animate batch:   {batch:.1f} s", file=sys.stderr)
    names = sorted(path.name for path in (folder / "loop").iterdir())
    same = sum((folder / "loop" / n).read_bytes() == (folder / "batch" / n).read_bytes() for n in names)
    return {
        "pairs": portraits * clips,
        "frames": frames,
        "side": side,
        "workers": workers,
        "loop_s": round(loop, 1),
        "batch_s": round(batch, 1),
        "ratio": round(loop / batch, 2),
        "identical_files": same,
        "system": f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        "load_before": before,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Wall time of animate batch against a shell loop of animate.")
    parser.add_argument("--portraits", type=int, default=10)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--side", type=int, default=512, help="width of the portraits and clips in pixels")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        result = measure(Path(folder), args.portraits, args.clips, args.frames, args.side, args.workers)
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if result["identical_files"] == result["pairs"] else 1


if __name__ == "__main__":
    sys.exit(main())
