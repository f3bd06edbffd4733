"""Facts about the machine, reported with every measurement."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from liveportrait.engines.memory import processor


def load() -> float | None:
    """Load average of the last minute, None if the system does not report it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def system() -> str:
    """Processor, cores, Python and operating system in one line."""
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def peak_memory() -> float | None:
    """Peak memory of this process so far, in MiB; None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def matmul_peak(device: str, kind: str, repeats: int = 8, longest: float = 1.0) -> float:
    """TFLOP/s of the fastest of some square matrix products and a wide convolution: an upper bound for networks.

    Both are measured because their libraries differ: on AMD processors, float32 matrix products are half as fast. Sizes
    grow up to what one run does in time: where a number type is emulated, a large product takes minutes.

    Args:
        device: torch device.
        kind: "fp32", "fp16" or "bf16".
        repeats: Runs of each.
        longest: Seconds that one run may take.
    """
    import torch

    wait = waiter(device)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind]
    best = 0.0

    def measure(run: Callable[[], Any], operations: float) -> None:
        nonlocal best
        if best and operations / (best * 1e12) > longest:
            return
        for _ in range(repeats + 2):
            wait()
            start = time.perf_counter()
            run()
            wait()
            seconds = time.perf_counter() - start
            best = max(best, operations / seconds / 1e12)
            if seconds > longest:
                return

    for size in (256, 1024, 4096, 8192) if device.startswith("cuda") else (64, 256, 1024, 2048):
        a, b = (torch.randn((size, size), device=device).to(dtype) for _ in range(2))
        measure(lambda a=a, b=b: a @ b, 2.0 * size**3)  # type: ignore[misc]
    channels, side, frames = 512, 64, 8 if device.startswith("cuda") else 1
    form = torch.channels_last
    x = torch.randn((frames, channels, side, side), device=device).to(dtype).contiguous(memory_format=form)
    weight = torch.randn((channels, channels, 3, 3), device=device).to(dtype).contiguous(memory_format=form)
    with torch.inference_mode():
        measure(lambda: torch.nn.functional.conv2d(x, weight, padding=1), 18.0 * frames * channels**2 * side**2)
    return best


def waiter(device: str) -> Any:
    """Function that waits until the device has finished all work."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.synchronize
    return torch.mps.synchronize if device == "mps" else (lambda: None)
