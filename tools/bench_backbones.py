"""Measure size, cost and speed of the registered backbones in ONNX Runtime, beside their published accuracy.

    python tools/bench_backbones.py [--only 'backbone/emo2*' ...] [--sizes 256 640] [--threads 1 2] [--rounds 5]
                                    [--check] [--json FILE] [--markdown FILE]

Every network gets random weights, is exported, compared with PyTorch on random images, and timed. An FFNet is timed as
a whole (19 classes), any other network up to its feature maps at strides 8, 16 and 32. A time is the minimum of all
rounds, which corresponds to an idle machine. --check exports and compares at 128 pixels without timing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from bench import processor  # noqa: E402
from benching.published import accuracy  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import models  # noqa: E402
from models.export import disagreement, write_onnx  # noqa: E402
from models.networks import get_architecture  # noqa: E402

LIMIT = 1e-5
"""Limit of the difference between PyTorch and the file, relative to the largest value; for deep
networks 4 times the rounding error of float32 itself, which their random weights amplify."""


def rounding(network: nn.Module, example: tuple[torch.Tensor, ...]) -> float:
    """Rounding error of float32: largest difference between the network in float32 and in float64.

    Args:
        network: Any network; afterwards it is in float32 again, bit for bit.
        example: Inputs to compare on.

    Returns:
        The difference relative to the largest value of its output, a lower bound for any file in float32.
    """
    with torch.inference_mode():
        single = network.eval()(*example)
        try:
            double = network.double()(*(x.double() for x in example))
        finally:
            network.float()
    pairs = [(single, double)] if isinstance(single, torch.Tensor) else list(zip(single, double, strict=True))
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-12)) for a, b in pairs)


def build(name: str) -> nn.Module:
    """A network with random weights whose activations neither vanish nor explode."""
    torch.manual_seed(0)
    whole = name.startswith("backbone/ffnet")
    net = models.create(name) if whole else models.create(name, features_only=True, out_indices=(-3, -2, -1))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # plain mean over the batches below
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    for key, value in net.named_parameters():
        if key.endswith("gamma"):  # layer scales start near zero and would hide the blocks
            nn.init.uniform_(value, 0.2, 0.8)
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randn(2, 3, 128, 128))
    return net.eval()


def multiplications(name: str, size: int) -> float:
    """Billions of multiply-adds for one image, in convolutions and matrix products."""
    whole = name.startswith("backbone/ffnet")
    with torch.device("meta"):
        net = models.create(name) if whole else models.create(name, features_only=True, out_indices=(-3, -2, -1))
        net = net.to("meta").eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() / 2e9


def milliseconds(path: Path, size: int, threads: int, rounds: int) -> float:
    """Minimum time over the rounds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    feed, best = {session.get_inputs()[0].name: picture}, float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        session.run(None, feed)
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def measure(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one network."""
    net = build(name)
    outputs = [f"map{i}" for i in range(3)] if not name.startswith("backbone/ffnet") else ["logits"]
    row: dict[str, Any] = {
        "name": name, "published": accuracy(get_architecture(name).backbone.net),
        "parameters": sum(p.numel() for p in net.parameters()), "gmacs": {}, "ms": {}, "error": 0.0, "rounding": 0.0,
    }  # fmt: skip
    for size in [128] if arguments.check else arguments.sizes:
        example = (torch.randn(1, 3, size, size),)
        path = write_onnx(net, example, folder / "net.onnx", inputs=("image",), outputs=outputs)
        row["error"] = max(row["error"], disagreement(net, path, example))
        row["rounding"] = max(row["rounding"], rounding(net, example))
        row["gmacs"][size] = multiplications(name, size)
        if not arguments.check:
            row["ms"][size] = {n: milliseconds(path, size, n, arguments.rounds) for n in arguments.threads}
        path.unlink()
    return row


def table(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    """Format the results as Markdown."""
    sizes = [128] if arguments.check else arguments.sizes
    heads = ["Net", "Parameters, M", *(f"GMACs at {s}" for s in sizes)]
    heads += [f"ms at {s}, {n} thread{'s' * (n > 1)}" for s in sizes for n in arguments.threads if not arguments.check]
    lines = [
        "| " + " | ".join([*heads, "ONNX to PyTorch", "float32 to float64", "Published"]) + " |",
        "| --- " * (len(heads) + 3) + "|",
    ]
    for row in rows:
        cells = [row["name"], f"{row['parameters'] / 1e6:.2f}", *(f"{row['gmacs'][s]:.2f}" for s in sizes)]
        cells += [f"{v:.1f}" for by_threads in row["ms"].values() for v in by_threads.values()]
        lines.append(
            "| " + " | ".join([*cells, f"{row['error']:.0e}", f"{row['rounding']:.0e}", row["published"]]) + " |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the command line; returns 1 if a file disagrees with its network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["backbone/*"], metavar="PATTERN")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 640])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    names = [name for pattern in arguments.only for name in models.list_models(pattern)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows.append(measure(name, arguments, Path(folder)))
            print(table(rows[-1:], arguments).splitlines()[-1], file=sys.stderr, flush=True)
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    text = f"{processor()}; {versions}; smallest of {arguments.rounds} rounds\n\n{table(rows, arguments)}\n"
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": processor(), "versions": versions, "rows": rows}, indent=1))
    return int(any(row["error"] > max(LIMIT, 4 * row["rounding"]) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
