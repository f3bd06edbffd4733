"""Render pairs of photo and clip and tabulate how well the results move.

    python tools/quality.py --score SCORE.PY --sources DIR --drivings DIR [--pairs s9:d10,s1:d0 ...] [--out FOLDER]

SCORE.PY is called as `score.py cross --source S --driving D --output O --json` and prints one JSON object.
Every pair is rendered by the `animate` command with its default options (and those after `--`), so the figures are
those of what a person gets. Prints a Markdown table: one row a pair, then the mean over pairs with a value.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COLUMNS = {
    "corr_lip": 2, "corr_eyes": 2, "corr_brow": 2, "corr_head": 2, "corr_gaze": 2, "gain_head": 2, "gain_lip": 2,
    "gain_eyes": 2, "rot_err_p95": 1, "jitter_ratio": 2, "lag_frames": 2, "motion_rel": 2, "bg_mad": 2, "seam_step": 2,
    "face_rate": 2,
}  # fmt: skip


def find(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """The file of a stem in a folder."""
    for suffix in suffixes:
        if (path := folder / f"{stem}{suffix}").is_file():
            return path
    raise SystemExit(f"{folder} holds no {stem} with one of the endings {', '.join(suffixes)}.")


def measure(args: argparse.Namespace, pair: str) -> tuple[str, dict[str, float | None]]:
    """Render and score one pair "source:driving"."""
    source_name, driving_name = pair.split(":")
    source = find(args.sources, source_name, (".jpg", ".png", ".jpeg", ".webp"))
    driving = find(args.drivings, driving_name, (".mp4", ".mov", ".webm"))
    output = args.out / f"{source_name}--{driving_name}.mp4"
    if not (args.keep and output.is_file()):
        animate = [sys.executable, "-m", "app.cli.main", str(source), str(driving), "-o", str(output)]
        subprocess.run([*animate, "--overwrite", "--quiet", *args.options], check=True)
    score = [sys.executable, str(args.score), "cross", "--source", str(source), "--driving", str(driving)]
    score += ["--output", str(output), "--json"]
    if args.limit:
        score += ["--limit", str(args.limit)]
    run = subprocess.run(score, check=False, capture_output=True, text=True)
    if not run.stdout.strip():
        raise SystemExit(f"The scorer failed on {pair}: {run.stderr.strip()[-300:]}")
    return pair, json.loads(run.stdout.strip().splitlines()[-1])


def cell(value: float | None, digits: int) -> str:
    """One number of the table."""
    return "-" if value is None else f"{value:.{digits}f}"


def table(rows: list[tuple[str, dict[str, float | None]]]) -> str:
    """Markdown of all rows and their mean."""
    lines = ["| pair | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for pair, row in rows:
        cells = [cell(row.get(name), digits) for name, digits in COLUMNS.items()]
        lines.append(f"| {pair.replace(':', ' x ')} | " + " | ".join(cells) + " |")
    means = []
    for name, digits in COLUMNS.items():
        values = [float(v) for _, row in rows if (v := row.get(name)) is not None]
        means.append(cell(sum(values) / len(values) if values else None, digits))
    lines.append(f"| **mean of {len(rows)}** | " + " | ".join(f"**{m}**" for m in means) + " |")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", type=Path, required=True)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--drivings", type=Path, required=True)
    parser.add_argument("--pairs", default="", help="source:driving,...; all sources x all clips if left out")
    parser.add_argument("--out", type=Path, default=Path("out/quality"))
    parser.add_argument("--limit", type=int, default=0, help="score the first N frames only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="score clips that are there already without rendering")
    parser.add_argument("options", nargs="*", help="options for animate, after --")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pairs = [p for p in args.pairs.split(",") if p] or [
        f"{s.stem}:{d.stem}" for s in sorted(args.sources.glob("*.jpg")) for d in sorted(args.drivings.glob("*.mp4"))
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda pair: measure(args, pair), pairs))
    print(table(rows))
    (args.out / "quality.json").write_text(json.dumps(dict(rows), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
