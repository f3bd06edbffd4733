"""`bench.py pipeline`: whole renders, with decoding and encoding, one engine after the other."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benching.machine import load, peak_memory, system
from benching.weights import ROOT, make_weights

sys.path[:0] = [str(ROOT)]

STAGES = (
    "decode", "track", "motion", "decode source", "track source", "encode source", "transfer", "render", "compose",
    "encode",
)  # fmt: skip


def one_engine(args: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Render repeatedly in this process; returns the run with the median speed."""
    started = time.perf_counter()
    from app.options import RenderOptions
    from app.render import Job, RenderReport, render

    reports: list[RenderReport] = []
    before = load()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = str(args.keep or Path(folder) / "out.mp4")
        options = RenderOptions.from_values(values | {"output": output, "overwrite": True})
        driving = shortened(args.driving, args.frames, Path(folder)) if args.frames else args.driving
        for _ in range(args.runs):
            reports.append(render(Job(args.source, driving, options), overlap=not args.serial))
            if len(reports) == 1:
                cold = time.perf_counter() - started
            print(f"run {len(reports)}: {reports[-1].fps:.1f} frames/s", file=sys.stderr)
    middle = sorted(reports, key=lambda report: report.fps)[(args.runs - 1) // 2]
    return {
        "source": args.source.name,
        "driving": args.driving.name,
        "engine": middle.engine,
        "stages_overlap": not args.serial,
        "width": middle.size[0],
        "height": middle.size[1],
        "frames": middle.frames,
        "seconds": round(middle.seconds, 3),
        "fps": round(middle.fps, 2),
        "fps_of_runs": [round(report.fps, 2) for report in reports],
        "fps_median": round(statistics.median(report.fps for report in reports), 2),
        "stages": {name: stage.to_json() for name, stage in middle.stages.items()},
        "first_job_s": round(cold, 1),
        "memory_mib": peak_memory(),
        "system": system(),
        "load_before": before,
        "command": "python tools/bench.py " + " ".join(sys.argv[1:]),
    }


def shortened(driving: Path, frames: int, folder: Path) -> Path:
    """The first frames of a clip as numbered images."""
    from itertools import islice

    from app.media.images import write_image
    from app.media.reader import open_clip

    where = folder / "driving"
    where.mkdir()
    with open_clip(driving) as reader:
        for index, frame in enumerate(islice(reader, frames)):
            write_image(where / f"{index:05d}.png", frame.rgb)
    return where


def several(args: Any, names: list[str]) -> dict[str, Any]:
    """Measure every engine in its own process, with overlapping stages and, if requested, without."""
    import os

    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = dict(os.environ)
        if args.made_up:
            environment["PORTRAIT_MODELS"] = str(_installed(folder))
        for engine in names:
            for serial in (False, True) if args.both else (args.serial,):
                label = f"{engine}, one stage after the other" if serial else engine
                report, picture = folder / f"{len(results)}.json", folder / f"{engine}-{serial}.mp4"
                command = [
                    sys.executable, str(ROOT / "tools" / "bench.py"), "pipeline", str(args.source), str(args.driving),
                    "--runs", str(args.runs), "--frames", str(args.frames), "--json", str(report),
                    "--keep", str(picture), "--engine", engine,
                    *(["--device", args.device] if args.device != "auto" else []), *(["--serial"] if serial else []),
                    *(part for pair in args.set for part in ("--set", pair)),
                ]  # fmt: skip
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode or not report.is_file():
                    failed[label] = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                    continue
                results[label] = json.loads(report.read_text(encoding="utf-8"))
                _compare(results, label, engine, serial, folder)
                print(f"{label}: {results[label]['fps_median']:.2f} frames/s", file=sys.stderr, flush=True)
    return {
        "rows": results, "failed": failed, "system": system(), "load_after": load(),
        "command": "python tools/bench.py " + " ".join(sys.argv[1:]),
    }  # fmt: skip


def _compare(results: dict[str, Any], label: str, engine: str, serial: bool, folder: Path) -> None:
    """PSNR against the plain networks' clip, and whether overlapping stages changed a byte."""
    mine, plain = folder / f"{engine}-{serial}.mp4", folder / "torch-False.mp4"
    if serial and engine in results:
        results[label]["same_bytes"] = mine.read_bytes() == (folder / f"{engine}-False.mp4").read_bytes()
    if engine not in ("torch", "mesh") and plain.is_file():
        results[label]["psnr_to_torch_db"] = _psnr(mine, plain)


def _psnr(first: Path, second: Path) -> float | None:
    import math

    import numpy as np

    from app.media.reader import open_clip

    squares = []
    with open_clip(first) as a, open_clip(second) as b:
        for one, other in zip(a, b, strict=False):
            squares.append(float(((one.rgb.astype(np.float32) - other.rgb) / 255.0).__pow__(2).mean()))
    mean = statistics.fmean(squares)
    return round(-10.0 * math.log10(mean), 1) if mean else None


def _installed(folder: Path) -> Path:
    """A model folder with random weights for all networks."""
    from app.cli.main import main as animate

    weights, models = folder / "weights", folder / "models"
    for part in ("base_models", "retargeting_models"):
        (weights / "liveportrait" / part).mkdir(parents=True)
    make_weights(weights, 0)
    for path in weights.glob("*.pth"):
        part = "retargeting_models" if path.stem.startswith("stitching") else "base_models"
        path.rename(weights / "liveportrait" / part / path.name)
    import os

    os.environ["PORTRAIT_MODELS"] = str(models)
    code = animate(["models", "import", str(weights), "--model", "liveportrait/human", "--link"])
    if code:
        raise ValueError(f"the made-up weights could not be imported (code {code}).")
    return models


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    if "rows" in result:
        return _overview(result)
    how = "" if result["stages_overlap"] else ", one stage after the other"
    lines = [
        f"{result['source']} with {result['driving']}: {result['frames']} frames, "
        f"{result['width']}x{result['height']}, {result['engine']} engine{how}; {result['system']}, "
        f"load {result['load_before']} before. `{result['command']}`",
        "",
        "| stage | frames | median ms | p95 ms | p99 ms | total s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    stages = result["stages"]
    for name in [*(s for s in STAGES if s in stages), *(s for s in stages if s not in STAGES)]:
        stage = stages[name]
        figures = " | ".join(f"{stage[key]:.2f}" for key in ("median_ms", "p95_ms", "p99_ms", "total_s"))
        lines.append(f"| {name} | {stage['count']} | {figures} |")
    lines.append(f"| whole job | {result['frames']} | | | | {result['seconds']:.2f} ({result['fps']:.1f} frames/s) |")
    lines += ["", f"Most memory {result['memory_mib']} MiB; first job done {result['first_job_s']} s after the start."]
    return "\n".join(lines) + "\n"


def _overview(result: dict[str, Any]) -> str:
    lines = [f"{result['system']}, load {result['load_after']} after. `{result['command']}`", ""]
    heads = ["engine", "frames", "frames/s", "slowest stage", "its total s", "whole job s", "first job s", "MiB"]
    heads += ["PSNR to torch dB", "same bytes"]
    lines += [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for label, row in result["rows"].items():
        slowest = max(row["stages"], key=lambda name: row["stages"][name]["total_s"])
        cells = [
            label, str(row["frames"]), f"{row['fps_median']:.2f}", slowest, f"{row['stages'][slowest]['total_s']:.2f}",
            f"{row['seconds']:.2f}", f"{row['first_job_s']:.1f}", f"{row['memory_mib'] or 0:.0f}",
            "" if row.get("psnr_to_torch_db") is None else f"{row['psnr_to_torch_db']:.1f}",
            {True: "yes", False: "no"}.get(row.get("same_bytes"), ""),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"Not measured: {label}: {why}" for label, why in result["failed"].items())]
    return "\n".join(lines).rstrip() + "\n"
