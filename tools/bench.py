"""Time every stage of a render: median and 95th percentile per frame, and frames per second from start to end.

    python tools/bench.py [SOURCE DRIVING] [--runs 1] [--json FILE] [--markdown FILE] [--set NAME=VALUE ...]

Without files the shipped sample is used. Stages run beside each other in threads, so their times overlap; the last line
is what a user waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.errors import AppError  # noqa: E402
from app.options import RenderOptions  # noqa: E402
from app.render import Job, RenderReport, render  # noqa: E402

STAGES = (
    "decode",
    "track",
    "motion",
    "decode source",
    "track source",
    "encode source",
    "transfer",
    "render",
    "compose",
    "encode",
)


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def load() -> float | None:
    """Load average of the last minute, None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def measure(source: Path, driving: Path, values: dict[str, Any], runs: int) -> dict[str, Any]:
    """Render so many times; the run with the median speed stands for all."""
    reports: list[RenderReport] = []
    before = load()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = str(Path(folder) / "out.mp4")
        options = RenderOptions.from_values(values | {"output": output, "overwrite": True})
        for _ in range(runs):
            reports.append(render(Job(source, driving, options)))
            print(f"run {len(reports)}: {reports[-1].fps:.1f} frames/s", file=sys.stderr)
    middle = sorted(reports, key=lambda report: report.fps)[(runs - 1) // 2]
    return {
        "source": source.name,
        "driving": driving.name,
        "engine": middle.engine,
        "width": middle.size[0],
        "height": middle.size[1],
        "frames": middle.frames,
        "seconds": round(middle.seconds, 3),
        "fps": round(middle.fps, 2),
        "fps_of_runs": [round(report.fps, 2) for report in reports],
        "fps_median": round(statistics.median(report.fps for report in reports), 2),
        "stages": {name: stage.to_json() for name, stage in middle.stages.items()},
        "system": f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        "load_before": before,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [
        f"{result['source']} with {result['driving']}: {result['frames']} frames, "
        f"{result['width']}x{result['height']}, {result['engine']} engine; {result['system']}, "
        f"load {result['load_before']} before.",
        "",
        "| stage | frames | median ms | p95 ms | total s |",
        "| --- | --- | --- | --- | --- |",
    ]
    stages = result["stages"]
    for name in [*(s for s in STAGES if s in stages), *(s for s in stages if s not in STAGES)]:
        stage = stages[name]
        figures = f"{stage['median_ms']:.2f} | {stage['p95_ms']:.2f} | {stage['total_s']:.2f}"
        lines.append(f"| {name} | {stage['count']} | {figures} |")
    lines.append(f"| whole job | {result['frames']} | | | {result['seconds']:.2f} ({result['fps']:.1f} frames/s) |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Time every stage of a render.")
    sample = ROOT / "assets" / "sample"
    parser.add_argument("source", nargs="?", type=Path, default=sample / "portrait.jpg")
    parser.add_argument("driving", nargs="?", type=Path, default=sample / "driving.mp4")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option, as in presets")
    args = parser.parse_args()
    values = dict(pair.partition("=")[::2] for pair in args.set)
    try:
        result = measure(args.source, args.driving, values, max(1, args.runs))
    except AppError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(markdown(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(markdown(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
