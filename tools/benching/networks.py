"""`bench.py networks`: M, S, W and G of every engine, each rewrite separately, and the official code, interleaved.

Every row has its own child process (all rewrites share one), so that memory and cold start are measured separately and
the official code's modules are isolated. Rows alternate in each round, so that a busy machine affects all equally.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benching.machine import load, system
from benching.weights import GIGAFLOPS, ROOT, prepare

NO_BF16 = ("onnx", "tensorrt")
"""Engines without files in bfloat16."""
FRAME = ("M", "S", "W", "G", "W+G", "levels")
Times = list[list[list[Any]]]


class RowError(RuntimeError):
    """A row can't be measured; the text says why."""


@dataclass
class Child:
    """A child process that holds rows.

    Attributes:
        started: When it was started.
    """

    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        environment = dict(os.environ) | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "benching" / "worker.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip

    def ask(self, do: str, **how: Any) -> dict[str, Any]:
        """Send a command and wait for the answer.

        Raises:
            RowError: It failed, or the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | how) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as error:
            raise RowError(f"the process failed: {error}") from error
        if not line:  # the child closed its end of the pipe
            raise RowError(f"the process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RowError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with suppress(OSError):  # the child has died, and buffered data can't be sent
                self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Measured:
    """One row.

    Attributes:
        label: Its name in the tables.
        how: Arguments of worker.Worker.do_open.
        table: "rows" or "ablation".
    """

    label: str
    how: dict[str, Any]
    table: str = "rows"
    child: Child | None = None
    cold: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)
    torch: str = ""
    rounds: Times = field(default_factory=list)
    against_reference: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    failed: str = ""


def half_of(device: str) -> str:
    """The half precision that engines use on a device."""
    if device in ("cpu", "auto"):
        import torch

        return "fp16" if device == "auto" and torch.cuda.is_available() else "bf16"
    return "fp16"


def emulated(precision: str, device: str) -> bool:
    """Whether a processor computes a number type by emulation, at a hundredth of the speed: minutes a frame."""
    import torch

    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    return on_cpu and precision in ("bf16", "int8") and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def wanted_rows(args: Any) -> list[Measured]:
    """Rows to measure, the reference first.

    Raises:
        ValueError: There is no engine with a name.
    """
    from liveportrait.engines import ENGINES
    from liveportrait.networks.fast import ABLATIONS

    half = half_of(args.device)
    known = {spec.name: spec for spec in ENGINES if spec.models}
    names = list(known) if "all" in args.engine else args.engine
    unknown = [name for name in names if name not in known and name != "none"]
    if unknown:
        raise ValueError(f"--engine: there is no engine {unknown[0]} with networks; choose {', '.join(known)} or all.")
    rows = [Measured("plain fp32", {"kind": "plain"})]
    if args.against:
        common = {"kind": "official", "against": str(args.against), "half": False, "compiled": False}
        rows.append(Measured("official fp32", common))
        if args.device.startswith("cuda") or (args.device == "auto" and half == "fp16"):
            rows.append(Measured("official fp16", common | {"half": True}))
            rows.append(Measured("official fp16 max-autotune", common | {"half": True, "compiled": True}))
    for name in (name for name in names if name != "none"):
        spec = known[name]
        types = [args.precision] if args.precision else ["fp32", half]
        if not args.precision and half == "bf16" and name in NO_BF16:
            types.remove(half)
        if not args.precision and half == "bf16" and name == "torch-fast":
            types.append("int8")
        for precision in types:
            row = Measured(f"{name} {precision}", {"kind": "engine", "engine": name, "precision": precision})
            row.failed = _absent(spec, args.device)
            if not args.precision and emulated(precision, args.device):
                row.failed = "this processor has no bf16 instructions; --precision measures it nevertheless"
            rows.append(row)
    if args.ablation:
        usual = "fp32" if emulated(half, args.device) else half
        for precision in [args.precision or usual]:
            ablations = ["", *(name for names in ABLATIONS.values() for name in names)]
            for off in ablations:
                label = f"{precision} without {off}" if off else f"{precision}, all rewrites"
                how = {"kind": "fast", "precision": precision, "off": off}
                rows.append(Measured(label, how, "ablation"))
            whole = {"kind": "whole", "precision": precision}
            rows.append(Measured(f"{precision}, whole frame in one graph", whole, "ablation"))
    kept = [row for row in rows if not args.only or any(text in row.label for text in args.only)]
    return [rows[0], *(row for row in kept if row is not rows[0])]


def _absent(spec: Any, device: str) -> str:
    """Why an engine can't run, apart from its weights, or an empty string."""
    import importlib.util

    absent = [name for name in spec.requires if importlib.util.find_spec(name) is None]
    if absent:
        return f"the package {absent[0]} is not installed"
    return "" if device.partition(":")[0] in spec.devices else f"it doesn't run on {device}"


def measure(args: Any) -> dict[str, Any]:
    """Measure and compute the figures.

    Args:
        args: engine, precision, device, threads, batch, rounds, weights, seed, against, ablation, only; see bench.py.
    """
    rows = wanted_rows(args)
    half = half_of(args.device)
    before = load()
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        facts = prepare(folder, args.weights, seed=args.seed, batch=args.batch)
        _say(f"weights are ready, load {load()}")
        try:
            peaks = _peak(args, half)
            _open(rows, args, folder, facts["folder"], children)
            alive = [row for row in rows if row.child is not None]
            for turn in range(args.rounds):
                for row in alive:
                    _frame(row)
                _say(f"round {turn + 1} of {args.rounds}, load {load()}")
            for row in alive:
                if row.child is not None and not row.failed:
                    row.memory = row.child.ask("memory") if row.table == "rows" else {}
            official = _official_pictures(alive, folder)
            peaks = {kind: max(value, peaks[kind]) for kind, value in _peak(args, half).items()}
        finally:
            for child in children:
                child.close()
    return {
        "rows": _figures(rows, "rows", args.batch, peaks, official),
        "ablation": _figures(rows, "ablation", args.batch, peaks, official),
        "failed": {row.label: row.failed for row in rows if row.failed},
        "peak_tflops": {kind: round(value, 3) for kind, value in peaks.items()},
        "rounds": args.rounds,
        "threads": args.threads,
        "batch": args.batch,
        "device": next((row.facts.get("device", "") for row in rows if row.facts), args.device),
        "weights": facts["kind"],
        "spread_before_scaling": facts["spread_before_scaling"],
        "load_before": before,
        "load_after": load(),
        "torch": next((row.torch for row in rows if row.torch), ""),
        "system": system(),
        "command": "python tools/bench.py " + " ".join(sys.argv[1:]),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _peak(args: Any, half: str) -> dict[str, float]:
    child = Child()
    try:
        return child.ask("peak", device=args.device, threads=args.threads, kinds=["fp32", half])  # type: ignore[return-value]
    finally:
        child.close()


def _open(rows: list[Measured], args: Any, folder: Path, weights: str, children: list[Child]) -> None:
    """Create all rows, one after the other, and compare their first images."""
    shared: Child | None = None
    for row in rows:
        if row.failed:
            continue
        child = shared if row.table == "ablation" and shared is not None else Child()
        if child not in children:
            children.append(child)
        shared = child if row.table == "ablation" else shared
        start = time.perf_counter() if row.table == "ablation" else child.started
        try:
            answer = child.ask(
                "open", label=row.label, folder=str(folder), weights=weights, device=args.device,
                threads=args.threads, **row.how,
            )  # fmt: skip
            row.cold = time.perf_counter() - start
            row.facts, row.torch = answer["facts"], answer["torch"]
            row.against_reference = child.ask("compare", label=row.label)
            asked, used = row.how.get("precision", "auto"), row.facts.get("precision")
            if row.how.get("engine", "").startswith("torch") and asked not in ("auto", used):
                raise RowError(f"{asked} was refused by the engine's self-test, which went on in {used}")
            row.child = child
            _say(f"{row.label}: ready after {row.cold:.1f} s")
        except RowError as error:
            row.failed = str(error)
            _say(f"{row.label}: {error}")


def _frame(row: Measured) -> None:
    if row.failed or row.child is None:
        return
    try:
        row.rounds.append(row.child.ask("frame", label=row.label)["times"])
    except RowError as error:
        row.failed = str(error)


def _official_pictures(rows: list[Measured], folder: Path) -> dict[str, float]:
    """Largest difference of every row's image from the official code's in fp32, by label."""
    import numpy as np

    base = next((row for row in rows if row.label == "official fp32" and not row.failed), None)
    if base is None or base.child is None:
        return {}
    base.child.ask("save", label=base.label, path=str(folder / "official.npy"))
    wanted, found = np.load(folder / "official.npy"), {}
    for row in rows:
        if row.failed or row.child is None:
            continue
        row.child.ask("save", label=row.label, path=str(folder / "own.npy"))
        found[row.label] = float(np.abs(np.load(folder / "own.npy") - wanted).max())
    return found


def percentile(values: list[float], share: float) -> float:
    """Value below which this share of the values lies, linearly interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(values: list[float]) -> dict[str, float]:
    """Statistics of times given in seconds, in milliseconds."""
    return {
        "median_ms": round(statistics.median(values) * 1e3, 2),
        "p95_ms": round(percentile(values, 0.95) * 1e3, 2),
        "p99_ms": round(percentile(values, 0.99) * 1e3, 2),
        "min_ms": round(min(values) * 1e3, 2),
    }


def _figures(
    rows: list[Measured], table: str, batch: int, peaks: Mapping[str, float], official: Mapping[str, float]
) -> dict[str, Any]:
    """Figures per frame by label."""
    made: dict[str, Any] = {}
    for row in rows:
        if row.failed or not row.rounds or (row.table != table and not (table == "ablation" and row is rows[0])):
            continue
        made[row.label] = row_figures(row, batch, peaks)
        if row.label in official:
            made[row.label]["max_abs_to_official"] = float(f"{official[row.label]:.3g}")
    base, whole = made.get(rows[0].label), next((made[k] for k in made if k.startswith("official")), None)
    fastest = [made[k] for k in made if k.startswith("official")]
    for figures in made.values():
        for key, other in (("ratio_to_plain", base), ("ratio_to_official", whole)):
            if other is None:
                continue
            shared = [name for name in figures["stages"] if name in other["stages"]]
            figures[key] = _ratio(other, figures, "median_ms")
            figures[f"{key}_cpu"] = _ratio(other, figures, "cpu_min_ms") if shared else None
        if len(fastest) > 1:
            figures["ratio_to_fastest_official"] = max_ratio(fastest, figures)
    if len(made) == 1 and table == "ablation":
        return {}
    return made


def max_ratio(officials: list[dict[str, Any]], figures: dict[str, Any]) -> float:
    """Speed-up over the fastest variant of the official code."""
    return round(min(o["frame"]["median_ms"] for o in officials) / figures["frame"]["median_ms"], 2)


def _ratio(other: dict[str, Any], own: dict[str, Any], figure: str) -> float | None:
    """Speed-up of a row for the networks that it runs (an ablation row runs only W and G)."""
    names = set(own["stages"]) - {"levels"}
    if any("M" in name.split("+") for name in names):
        mine, theirs = own["frame"][figure], other["frame"][figure]
    else:
        mine = sum(own["stages"][name][figure] for name in names)
        theirs = sum(other["stages"][name][figure] for name in names if name in other["stages"])
    return round(theirs / mine, 2) if mine else None


def row_figures(row: Measured, batch: int, peaks: Mapping[str, float]) -> dict[str, Any]:
    """Figures of one row, all per frame."""
    names = [name for name, *_ in row.rounds[0]]
    stages: dict[str, Any] = {}
    for index, name in enumerate(names):
        walls = [turn[index][1] / batch for turn in row.rounds]
        stages[name] = _spread(walls) | {"cpu_min_ms": round(min(t[index][2] for t in row.rounds) / batch * 1e3, 2)}
        work = sum(GIGAFLOPS.get(part, 0.0) for part in name.split("+"))
        if work > 1.0:
            stages[name]["tflops"] = round(work / statistics.median(walls) / 1e3, 3)
    walls = [sum(stage[1] for stage in turn) / batch for turn in row.rounds]
    frame = _spread(walls) | {"cpu_min_ms": round(sum(stage["cpu_min_ms"] for stage in stages.values()), 2)}
    work = sum(GIGAFLOPS.get(part, 0.0) for name in names for part in name.split("+"))
    kind = row.how.get("precision", row.facts.get("precision", "fp32"))
    rate = work / statistics.median(walls) / 1e3
    peak = peaks.get(kind)  # not measured for int8, where bf16 does most of the work
    square = row.against_reference["square"]
    return {
        "stages": stages,
        "frame": frame,
        "fps": round(1.0 / statistics.median(walls), 3),
        "tflops": round(rate, 3),
        "share_of_peak": round(rate / peak, 3) if peak else None,
        "psnr_db": round(-10.0 * math.log10(square), 1) if square else None,
        "max_abs": float(f"{row.against_reference['max_abs']:.3g}"),
        "cold_start_s": round(row.cold, 1),
        **row.memory,
        "facts": row.facts,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as tables."""
    peaks = ", ".join(f"{value:.2f} in {kind}" for kind, value in result["peak_tflops"].items())
    lines = [
        f"{result['system']}; torch {result['torch']}, {result['device']}, {result['threads']} threads, batch "
        f"{result['batch']}, {result['rounds']} rounds, load {result['load_before']} before and {result['load_after']} "
        f"after; weights: {result['weights']}. Matrix products reach {peaks} TFLOP/s. `{result['command']}`",
    ]
    if result["rows"]:
        lines += ["", *_table(result["rows"])]
    if result["ablation"]:
        lines += ["", *_table(result["ablation"])]
    lines += ["", *(f"Not measured: {label}: {why.rstrip('.')}." for label, why in result["failed"].items())]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: dict[str, Any]) -> list[str]:
    names = [name for name in FRAME if any(name in row["stages"] for row in rows.values())]
    versus = any("ratio_to_official" in row for row in rows.values())
    heads = ["row", *(f"{name} ms" for name in names), "frame ms", "p95", "p99", "CPU ms", "TFLOP/s", "of peak"]
    heads += ["times plain", "(CPU)", *(["times official", "(CPU)", "max abs to official"] if versus else [])]
    heads += ["PSNR dB", "max abs", "cold start s", "MiB"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for label, row in rows.items():
        cells = [label, *(_number(row["stages"].get(name, {}).get("median_ms"), 1) for name in names)]
        frame = row["frame"]
        cells += [_number(frame[key], 0) for key in ("median_ms", "p95_ms", "p99_ms", "cpu_min_ms")]
        cells += [f"{row['tflops']:.2f}", _percent(row["share_of_peak"])]
        cells += [_number(row.get(key), 2) for key in ("ratio_to_plain", "ratio_to_plain_cpu")]
        if versus:
            cells += [_number(row.get(key), 2) for key in ("ratio_to_official", "ratio_to_official_cpu")]
            cells.append(f"{row['max_abs_to_official']:.1e}" if "max_abs_to_official" in row else "")
        cells += [_number(row["psnr_db"], 1), f"{row['max_abs']:.1e}", _number(row["cold_start_s"], 1)]
        cells.append(_number(row.get("memory_mib"), 0))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
