"""Time the networks of every engine, whole renders, or the start; tables and JSON for docs/performance.md.

    python tools/bench.py networks [--engine all] [--device cpu] [--against official=FOLDER] [--ablation]
    python tools/bench.py pipeline [SOURCE DRIVING] [--engine all] [--both] [--made-up]
    python tools/bench.py start [--case imports first_frame window]

``networks`` runs M, S, W and G for one frame, interleaving the engines. It reports per stage and frame the median, 95th
and 99th percentile, CPU time of all threads, operations per second and their share of matrix-product throughput, as
well as memory, cold start, and the image's difference from the plain networks in float32. Without weights the networks
get random ones whose last layer is scaled so that the values before the sigmoid have a spread of 1. ``--against`` times
the user's own copy of the official code in the same run. ``pipeline`` renders a clip with decoding and encoding; stages
run concurrently, so their times overlap. ``start`` tells how long a new process takes to its first animated picture.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benching import networks, pipeline, start  # noqa: E402
from benching.machine import load, processor  # noqa: E402

__all__ = ["load", "main", "processor"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Time the networks of every engine, or whole renders.")
    verbs = top.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--engine", nargs="+", default=[], metavar="NAME", help="engines, or all")
    common.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    common.add_argument("--json", type=Path, help="write the figures there")
    common.add_argument("--markdown", type=Path, help="write the tables there")
    nets = verbs.add_parser("networks", parents=[common], help="M, S, W and G, engine by engine")
    nets.add_argument("--weights", type=Path, help="the official pretrained_weights folder")
    nets.add_argument("--seed", type=int, default=0, help="other made-up weights")
    nets.add_argument("--rounds", type=int, default=5)
    nets.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    nets.add_argument("--batch", type=int, default=1, help="frames at once")
    nets.add_argument("--precision", help="only this one: fp32, fp16, bf16 or auto")
    nets.add_argument("--only", nargs="*", default=[], metavar="TEXT", help="only rows whose label holds a text")
    nets.add_argument("--ablation", action="store_true", help="also each rewrite switched off alone")
    nets.add_argument("--against", metavar="official=FOLDER", help="a copy of the official code to time beside")
    whole = verbs.add_parser("pipeline", parents=[common], help="whole renders with decoding and encoding")
    sample = ROOT / "assets" / "sample"
    whole.add_argument("source", nargs="?", type=Path, default=sample / "portrait.jpg")
    whole.add_argument("driving", nargs="?", type=Path, default=sample / "driving.mp4")
    whole.add_argument("--runs", type=int, default=1)
    whole.add_argument("--frames", type=int, default=0, help="only so many frames of the driving clip")
    whole.add_argument("--serial", action="store_true", help="one stage after the other")
    whole.add_argument("--both", action="store_true", help="stages beside each other, then one after the other")
    whole.add_argument("--made-up", action="store_true", help="give the networks made-up weights")
    whole.add_argument("--keep", type=Path, help="write the result there")
    whole.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option, as in presets")
    first = verbs.add_parser("start", help="imports, first picture, window")
    first.add_argument("--case", nargs="+", choices=list(start.CASES), default=list(start.CASES))
    first.add_argument("--runs", type=int, default=5)
    for name in ("--json", "--markdown"):
        first.add_argument(name, type=Path, help="write the figures there")
    return top


def run(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; returns the figures and their tables.

    Raises:
        ValueError: A requested engine or folder does not exist.
        AppError: A render failed.
    """
    if args.verb == "networks":
        if args.against is not None:
            name, _, folder = args.against.partition("=")
            if name != "official" or not folder:
                raise ValueError("--against: give the folder of the official code as official=FOLDER.")
            from benching.official import find_root

            args.against = find_root(Path(folder))
        args.engine = args.engine or ["all"]
        args.rounds = max(1, args.rounds)
        result = networks.measure(args)
        return result, networks.markdown(result)
    args.runs = max(1, args.runs)
    if args.verb == "start":
        result = start.measure(args.runs, args.case)
        return result, start.markdown(result)
    if len(args.engine) > 1 or "all" in args.engine or args.made_up or args.both:
        from liveportrait.engines import engine_names

        names = list(engine_names()) if "all" in args.engine or not args.engine else args.engine
        result = pipeline.several(args, names)
        return result, pipeline.markdown(result)
    values: dict[str, Any] = dict(pair.partition("=")[::2] for pair in args.set)
    values |= {"device": args.device} if args.device != "auto" else {}
    values |= {"engine": args.engine[0]} if args.engine else {}
    result = pipeline.one_engine(args, values)
    return result, pipeline.markdown(result)


def main() -> int:
    """Run from the command line."""
    from app.errors import AppError

    args = parser().parse_args()
    try:
        result, tables = run(args)
    except (AppError, ValueError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return int(error.exit_code) if isinstance(error, AppError) else 2
    print(tables)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
