"""Measure the results: pairs of photo and clip, self-reenactment, portraits turned away and back, and stillness.

    python tools/quality.py pairs --sources DIR --drivings DIR [--pairs s9:d10,s1:d3@120-210,...] [--score SCORE.PY]
    python tools/quality.py portraits --portraits DIR --drivings DIR --role talking=d0,d10@0-75 --role turning=d3@0-90
    python tools/quality.py self --drivings DIR [--clips d0,d10@0-90,...]
    python tools/quality.py turns --portraits DIR
    python tools/quality.py still --source PHOTO --drivings DIR [--clips d0,...]

Everything is rendered by the `animate` command with its default options (and those after `--`), so the figures describe
what users get. `--program CHECKOUT` measures another commit in the same way. docs/quality.md explains the figures.
Tables are printed as Markdown and written to quality.json in the folder given by `--out`, beside `sheets/` with the
worst ten by every figure for visual inspection. `portraits` and `turns` sample portraits by a seed.

SCORE.PY is a custom scorer, called as `score.py cross --source S --driving D --output O --json`; it prints one
JSON object. "pairs" may be left out.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

TOOLS = Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from measuring import pairs as pairing  # noqa: E402
from measuring import same, sheets, stillness, tables, turning  # noqa: E402
from measuring.clips import find, part_of  # noqa: E402
from measuring.program import ROOT, Program  # noqa: E402

SCORED = {
    "corr_lip": 2, "corr_eyes": 2, "corr_brow": 2, "corr_head": 2, "corr_gaze": 2, "gain_head": 2, "gain_lip": 2,
    "gain_eyes": 2, "rot_err_p95": 1, "jitter_ratio": 2, "lag_frames": 2, "motion_rel": 2, "bg_mad": 2, "seam_step": 2,
    "face_rate": 2,
}  # fmt: skip
PHOTOS = (".jpg", ".png", ".jpeg", ".webp")
COMMANDS = ("pairs", "portraits", "self", "turns", "still")
ZOOMED = ("teeth_ratio", "slab", "wedge")
WORST = 10
T = TypeVar("T")
V = TypeVar("V")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; "pairs" is the default command."""
    given = list(argv) if argv and argv[0] in (*COMMANDS, "-h", "--help") else ["pairs", *argv]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {name: commands.add_parser(name) for name in COMMANDS}
    for name, one in parsers.items():
        one.add_argument("--program", type=Path, default=ROOT, help="checkout whose animate is measured")
        one.add_argument("--out", type=Path, default=Path("out/quality"))
        one.add_argument("--jobs", type=int, default=2)
        one.add_argument("options", nargs="*", help="options for animate, after --")
        if name in ("pairs", "portraits"):
            one.add_argument("--worst", type=int, default=WORST, help="results shown on each sheet; 0 draws none")
            one.add_argument("--score", type=Path, help="a scorer of one's own")
            one.add_argument("--keep", action="store_true", help="measure results that are there without drawing them")
        if name in ("portraits", "turns"):
            one.add_argument("--portraits", type=Path, required=True)
            one.add_argument("--count", type=int, default=24 if name == "portraits" else 40)
            one.add_argument("--seed", type=int, default=1)
            one.add_argument("--endings", default="78", help="last characters of the names that are drawn from")
        if name != "turns":
            one.add_argument("--drivings", type=Path, required=True)
            one.add_argument("--limit", type=int, default=0, help="take the first N frames of every clip only")
        if name in ("self", "still"):
            one.add_argument("--clips", default="", help="clips or parts of them; all if left out")
    parsers["pairs"].add_argument("--sources", type=Path, required=True)
    parsers["pairs"].add_argument("--pairs", default="", help="source:driving,...; all by all if left out")
    parsers["portraits"].add_argument(
        "--role", action="append", required=True, help="name=clip,...: every portrait gets one of them in turn"
    )
    parsers["turns"].add_argument("--degrees", type=float, default=20.0)
    parsers["still"].add_argument("--source", type=Path, required=True)
    parsers["still"].add_argument("--noise", type=float, default=2.0, help="grey levels")
    return parser.parse_args(given)


def spread(args: argparse.Namespace, work: Callable[[Program, T], V], items: Sequence[T]) -> list[V]:
    """Process all items in parallel jobs, each with its own program."""
    idle: SimpleQueue[Program] = SimpleQueue()
    programs = [Program(args.program) for _ in range(max(1, args.jobs))]
    for program in programs:
        idle.put(program)

    def one(item: T) -> V:
        program = idle.get()
        try:
            return work(program, item)
        finally:
            idle.put(program)

    try:
        with ThreadPoolExecutor(len(programs)) as pool:
            return list(pool.map(one, items))
    finally:
        for program in programs:
            program.close()


def drawn(args: argparse.Namespace) -> list[Path]:
    """Portraits whose names end in one of the characters, sampled by the seed."""
    names = sorted(path for path in args.portraits.glob("*.jpg") if path.stem[-1] in args.endings)
    random.Random(args.seed).shuffle(names)  # noqa: S311 - not a secret
    return names[: args.count]


def pairs_of(args: argparse.Namespace) -> list[tuple[str, Path, Path]]:
    """Role, photo and clip of every pair."""
    cuts = args.out / "drivers"
    if args.command == "portraits":
        portraits, roles = drawn(args), dict(role.split("=", 1) for role in args.role)
        parts = {
            role: [part_of(args.drivings, c, cuts, args.limit) for c in names.split(",")]
            for role, names in roles.items()
        }
        return [
            (role, photo, clips[i % len(clips)]) for role, clips in parts.items() for i, photo in enumerate(portraits)
        ]
    names = [pair for pair in args.pairs.split(",") if pair] or [
        f"{s.stem}:{d.stem}" for s in sorted(args.sources.glob("*.jpg")) for d in sorted(args.drivings.glob("*.mp4"))
    ]
    split = [name.split(":") for name in names]
    return [("", find(args.sources, s, PHOTOS), part_of(args.drivings, d, cuts, args.limit)) for s, d in split]


def measure_pairs(args: argparse.Namespace) -> dict[str, Any]:
    """Commands "pairs" and "portraits"."""
    pairs, drivers = pairs_of(args), pairing.Drivers()

    def work(program: Program, pair: tuple[str, Path, Path]) -> pairing.Result:
        _, source, driving = pair
        output = args.out / f"{source.stem}--{driving.stem}.mp4"
        if not args.keep:
            output.unlink(missing_ok=True)
        result = pairing.measure(program, source, driving, output, drivers, args.options)
        if args.score:
            result.numbers |= pairing.scored(args.score, source, driving, output)
        return result

    results = spread(args, work, pairs)
    rows = [(f"{s.stem} x {d.stem}", result.numbers) for (_, s, d), result in zip(pairs, results, strict=True)]
    groups = {
        role: [row for row, pair in zip(rows, pairs, strict=True) if pair[0] == role] for role, _, _ in pairs if role
    }
    if args.score:
        print(tables.table(rows, SCORED, groups=groups), end="\n\n")
    print(tables.table(rows, pairing.COLUMNS, groups=groups), end="\n\n")
    pooled = tables.pool([result.lids for result in results])
    print(tables.lid_table(pooled))
    draw_sheets(args, pairs, rows, results)
    return {"rows": dict(rows), "lids": pooled, "roles": {name: tables.summary(some) for name, some in groups.items()}}


def draw_sheets(
    args: argparse.Namespace,
    pairs: Sequence[tuple[str, Path, Path]],
    rows: Sequence[tuple[str, dict[str, Any]]],
    results: Sequence[pairing.Result],
) -> None:
    """Draw the worst ten by every figure that refers to a frame."""
    places = {name: (s, d, result) for (name, _), (_, s, d), result in zip(rows, pairs, results, strict=True)}
    for figure in ("teeth_ratio", "slab", "wedge", "gaze_x", "gaze_y", "lid_left", "lid_right", "swim_px"):
        shown = []
        for name, value in sheets.worst(dict(rows), figure, args.worst):
            source, driving, result = places[name]
            if (frame := result.worst.get(figure)) is not None:
                output = args.out / f"{source.stem}--{driving.stem}.mp4"
                label = f"{figure} {value:.2f}: {name} frame {frame}"
                shown.append(sheets.row(label, source, driving, output, frame, figure in ZOOMED))
        if shown:
            sheets.save(args.out / "sheets" / f"{figure}.png", shown)


def clips_of(args: argparse.Namespace) -> list[Path]:
    """The named clips, or all."""
    names = [name for name in args.clips.split(",") if name] or sorted(
        path.stem for path in args.drivings.glob("*.mp4")
    )
    return [part_of(args.drivings, name, args.out / "drivers", args.limit) for name in names]


def measure_self(args: argparse.Namespace) -> dict[str, Any]:
    """Command "self"."""
    items = [(clip, kind) for kind in ("first", "open") for clip in clips_of(args)]
    results = spread(args, lambda program, item: same.measure(program, *item, args.out, args.options), items)
    rows = [(f"{clip.stem}, {kind}", row) for (clip, kind), row in zip(items, results, strict=True)]
    groups = {
        kind: [row for row, item in zip(rows, items, strict=True) if item[1] == kind] for kind in ("first", "open")
    }
    print(tables.table(rows, same.COLUMNS, "clip, photo", groups))
    return {"rows": dict(rows)}


def measure_turns(args: argparse.Namespace) -> dict[str, Any]:
    """Command "turns"; every other portrait turns to the other side."""
    items = [(photo, args.degrees * (1 if i % 2 else -1)) for i, photo in enumerate(drawn(args))]
    results = spread(args, lambda program, item: turning.measure(program, *item, args.out), items)
    rows = [(f"{photo.stem} {degrees:+g}", row) for (photo, degrees), row in zip(items, results, strict=True)]
    print(tables.table(rows, turning.COLUMNS, "portrait"))
    order = sorted(zip(rows, items, strict=True), key=lambda entry: entry[0][1]["ssim"])[:WORST]
    sheets.save(
        args.out / "sheets" / "turns.png",
        [turning.shown(f"ssim {row['ssim']:.3f}: {name}", photo, args.out) for (name, row), (photo, _) in order],
    )
    return {"rows": dict(rows)}


def measure_still(args: argparse.Namespace) -> dict[str, Any]:
    """Command "still": a driver that does not move, and the background with one that does."""

    def work(program: Program, clip: Path) -> dict[str, Any]:
        driver = stillness.still_driver(clip, 0, args.noise, args.out / "still" / clip.stem, seed=1)
        rest = stillness.measure_rest(program, args.source, driver, args.out)
        return rest | stillness.measure_background(program, args.source, clip, args.out / "moving")

    clips = clips_of(args)
    rows = [(clip.stem, row) for clip, row in zip(clips, spread(args, work, clips), strict=True)]
    print(tables.table(rows, stillness.COLUMNS, "clip"))
    return {"rows": dict(rows)}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = parse(sys.argv[1:] if argv is None else argv)
    for name in ("out", "sources", "drivings", "portraits", "source", "score"):
        if path := getattr(args, name, None):
            setattr(args, name, path.resolve())
    args.out.mkdir(parents=True, exist_ok=True)
    run = {
        "pairs": measure_pairs,
        "portraits": measure_pairs,
        "self": measure_self,
        "turns": measure_turns,
        "still": measure_still,
    }
    figures = run[args.command](args)
    (args.out / "quality.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
