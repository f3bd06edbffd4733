"""How many workers fit this machine: cores, memory, and memory of graphics cards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

WORKER_BYTES: Final = 1 << 30  # memory that a worker on the CPU is given
GPU_BYTES: Final = 5 << 30  # memory of a graphics card that a worker is given
LOW: Final = 512 << 20


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes of memory that are free, None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None


def memory_is_low() -> bool:
    """Whether little memory is left."""
    free = free_memory()
    return free is not None and free < LOW


def free_gpu_memory(options: Iterable[Mapping[str, Any]]) -> int | None:
    """Free bytes of the graphics card that jobs with such options would use; None if they would use none."""
    from liveportrait.engines import ENGINES

    asked = {(str(one.get("engine", "auto")), str(one.get("device", "auto"))) for one in options}
    heavy = {spec.name: spec for spec in ENGINES if spec.accelerator == "torch"}
    wanted = [
        spec
        for engine, device in asked
        for name, spec in heavy.items()
        if engine in (name, "auto") and not device.startswith("cpu") and not spec.missing()
    ]
    if not wanted:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info()[0])


def worker_count(options: Iterable[Mapping[str, Any]]) -> int:
    """Workers for jobs with such options.

    Args:
        options: Option values of each job.
    """
    jobs = list(options)
    count = min(cores(), max(1, len(jobs)))
    free = free_memory()
    if free is not None:
        count = min(count, free // WORKER_BYTES)
    gpu = free_gpu_memory(jobs)
    if gpu is not None:
        count = min(count, gpu // GPU_BYTES, cores() // 2)
    return max(1, int(count))
