"""Time the LivePortrait networks: plain, rewritten, each rewrite switched off alone, and on other runtimes.

    python tools/bench_networks.py [--weights FOLDER] [--rounds 3] [--threads 2] [--only TEXT ...] [--ablation]
                                   [--onnx] [--openvino] [--json FILE] [--markdown FILE]

Without weights the networks get those of the parity recipe. Rows take turns, round after round, so that a busy machine
hits all of them alike; CPU seconds are those of all threads. PSNR is against the plain modules, end to end, on the
rounds' own input: a volume that F draws from a picture, scaled so that the values before the last sigmoid spread by 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tests" / "parity")]

import recipe  # noqa: E402
import torch  # noqa: E402
from bench import load, processor  # noqa: E402

from liveportrait.networks import build_network  # noqa: E402
from liveportrait.networks.fast import ABLATIONS, Rewrites  # noqa: E402
from liveportrait.networks.fast.generator import FastGenerator  # noqa: E402
from liveportrait.networks.fast.warping import FastWarping  # noqa: E402

F, M, W, G = "appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"
GIGAFLOPS = {W: 342.1, G: 891.6}  # of the plain modules, counted per convolution and linear layer
Row = tuple[Callable[[], Any], Callable[[Any], Any]]  # W, then G on what W gave; both return what the next one takes


def networks(weights: Path | None) -> dict[str, Any]:
    """F, M, W and G with a folder's weights or the recipe's."""
    if weights is not None:
        from liveportrait.networks.loading import find_checkpoints, load_networks

        found = find_checkpoints(weights)
        return load_networks({name: found[name] for name in (F, M, W, G)})
    made = {}
    for name in (F, M, W, G):
        spec = recipe.load_spec(ROOT / "tests" / "parity" / "net_state_dict" / f"{name}.json")
        with torch.device("meta"):
            network = build_network(name)
        state = {key: torch.from_numpy(value) for key, value in recipe.make_state_dict(name, spec).items()}
        network.load_state_dict(state, assign=True)
        made[name] = network.requires_grad_(False)
    return made


def inputs(made: dict[str, Any]) -> tuple[Any, Any, Any]:
    """f_s, x_s and x_d of the parity pictures."""
    from PIL import Image

    def read(name: str) -> Any:
        picture = np.array(Image.open(ROOT / "tests" / "parity" / f"net_{name}_256.png").convert("RGB"))
        return torch.from_numpy(recipe.image_tensor(picture))

    source, driving = read("src_s9"), read("drv_s5")
    points = []
    for image in (source, driving):
        heads = made[M](image)
        points.append(heads["scale"][..., None] * heads["kp"].reshape(1, 21, 3) + heads["exp"].reshape(1, 21, 3))
    return made[F](source), points[0], points[1]


def plain_row(made: dict[str, Any], volume: Any, source: Any, driving: Any) -> Row:
    return (
        lambda: made[W](feature_3d=volume, kp_source=source, kp_driving=driving)["out"],
        made[G],
    )


def fast_row(
    made: dict[str, Any], volume: Any, source: Any, driving: Any, rewrites: Rewrites, kind: torch.dtype
) -> Row:
    warping, generator = FastWarping(made[W], rewrites, kind), FastGenerator(made[G], rewrites, kind)
    prepared = warping.prepare(volume, source)
    return lambda: warping.warp(prepared, driving)["out"], generator


def runtime_row(made: dict[str, Any], given: tuple[Any, Any, Any], folder: Path, runtime: str, half: bool) -> Row:
    from liveportrait.engines.onnx import OnnxRunner, OpenVinoRunner, Runner
    from liveportrait.networks.fast.export import export_pair

    runner: Runner
    with torch.inference_mode(False):
        pair = export_pair(made[W], made[G], folder, sampler="gather" if runtime == "openvino" else "native")
    if runtime == "openvino":
        runner = OpenVinoRunner(pair, half=half, threads=torch.get_num_threads())
    else:
        runner = OnnxRunner(pair, "CPUExecutionProvider", torch.get_num_threads())
    arrays = tuple(tensor.numpy() for tensor in given)
    return lambda: runner.warp(*arrays), lambda out: torch.from_numpy(runner.draw(out))


def rows(args: argparse.Namespace, made: dict[str, Any], given: tuple[Any, Any, Any]) -> dict[str, Callable[[], Row]]:
    """What to time, by label; the first row is the reference."""
    table: dict[str, Callable[[], Row]] = {
        "plain fp32": lambda: plain_row(made, *given),
        "rewritten fp32": lambda: fast_row(made, *given, Rewrites(), torch.float32),
        "rewritten bf16": lambda: fast_row(made, *given, Rewrites(), torch.bfloat16),
    }
    if args.ablation:
        for name in (name for names in ABLATIONS.values() for name in names):
            off = Rewrites().without(name)
            table[f"fp32 without {name}"] = lambda off=off: fast_row(made, *given, off, torch.float32)
            table[f"bf16 without {name}"] = lambda off=off: fast_row(made, *given, off, torch.bfloat16)
    if args.onnx:
        table["ONNX Runtime fp32"] = lambda: runtime_row(made, given, args.folder, "onnx", half=False)
    if args.openvino:
        table["OpenVINO fp32"] = lambda: runtime_row(made, given, args.folder, "openvino", half=False)
        table["OpenVINO bf16"] = lambda: runtime_row(made, given, args.folder, "openvino", half=True)
    chosen = {k: v for k, v in table.items() if not args.only or any(text in k for text in args.only)}
    return {"plain fp32": table["plain fp32"]} | chosen


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall seconds, CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    before = load()
    with torch.inference_mode():
        made = networks(args.weights)
        given = inputs(made)
        image = made[G].conv_img[0]
        spread = float(torch.logit(made[G](plain_row(made, *given)[0]()), eps=1e-6).std())
        image.weight.div_(spread)
        made_rows = {label: make() for label, make in rows(args, made, given).items()}
        results: dict[str, Any] = {label: {W: [], G: []} for label in made_rows}
        pictures = {}
        for turn in range(args.rounds + 1):  # the first turn warms up
            for label, (warp, draw) in made_rows.items():
                out, *warp_time = timed(warp)
                picture, *draw_time = timed(lambda draw=draw, out=out: draw(out))
                pictures[label] = picture.float()
                if turn:
                    results[label][W].append(warp_time)
                    results[label][G].append(draw_time)
            print(f"round {turn} of {args.rounds}, load {load()}", file=sys.stderr, flush=True)
    reference = pictures["plain fp32"]
    table = {}
    base = None
    for label, times in results.items():
        row: dict[str, Any] = {}
        for name in (W, G):
            row[name] = {
                "cpu_min_ms": round(min(t[1] for t in times[name]) * 1e3, 1),
                "wall_min_ms": round(min(t[0] for t in times[name]) * 1e3, 1),
                "wall_median_ms": round(statistics.median(t[0] for t in times[name]) * 1e3, 1),
            }
        frame = row[W]["cpu_min_ms"] + row[G]["cpu_min_ms"]
        base = base or frame
        square = float((pictures[label] - reference).square().mean())
        row |= {
            "frame_cpu_ms": round(frame, 1),
            "ratio_to_plain": round(base / frame, 2),
            "plain_gflops_per_cpu_second": round(sum(GIGAFLOPS.values()) / frame * 1e3, 1),
            "psnr_db": round(-10 * math.log10(square), 1) if square else None,
            "max_abs": float(f"{float((pictures[label] - reference).abs().max()):.2g}"),
        }
        table[label] = row
    return {
        "rows": table,
        "rounds": args.rounds,
        "threads": args.threads,
        "weights": "official" if args.weights else "parity recipe",
        "spread_before_scaling": round(spread, 2),
        "load_before": before,
        "load_after": load(),
        "system": f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {platform.system()}",
        "command": "python tools/bench_networks.py " + " ".join(sys.argv[1:]),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [
        f"{result['system']}; {result['threads']} threads, {result['rounds']} rounds, load {result['load_before']} "
        f"before and {result['load_after']} after; weights: {result['weights']}. `{result['command']}`",
        "",
        "| row | W CPU ms | G CPU ms | W + G CPU ms | times plain | W + G wall ms | PSNR dB | max abs |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, row in result["rows"].items():
        wall = row[W]["wall_min_ms"] + row[G]["wall_min_ms"]
        psnr = "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
        lines.append(
            f"| {label} | {row[W]['cpu_min_ms']:.0f} | {row[G]['cpu_min_ms']:.0f} | {row['frame_cpu_ms']:.0f} | "
            f"{row['ratio_to_plain']:.2f} | {wall:.0f} | {psnr} | {row['max_abs']:.1e} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Time the LivePortrait networks.")
    parser.add_argument("--weights", type=Path, help="the official pretrained_weights folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT", help="only rows whose label holds a text")
    parser.add_argument("--ablation", action="store_true", help="also each rewrite switched off alone")
    parser.add_argument("--onnx", action="store_true", help="also ONNX Runtime")
    parser.add_argument("--openvino", action="store_true", help="also OpenVINO")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    args = parser.parse_args()
    missing = [n for n, on in (("onnx", args.onnx or args.openvino), ("openvino", args.openvino))
               if on and importlib.util.find_spec(n) is None]  # fmt: skip
    if missing:
        parser.error(f"the package {missing[0]} is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        args.folder = Path(folder)
        result = measure(args)
    print(markdown(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(markdown(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
