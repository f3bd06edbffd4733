"""Number of workers for this machine, by cores, memory, and graphics memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from app.jobs import cgroups
from app.jobs.estimate import worker_bytes

HEAVY_BYTES: Final = 1 << 30  # minimum memory for a worker with a torch engine
GPU_BYTES: Final = 5 << 30  # graphics memory for a worker
LOW: Final = 512 << 20


def cores(root: Path = cgroups.ROOT, own: Path = cgroups.OWN) -> int:
    """CPU cores that this process may use; a container's CPU quota is taken into account, rounded up to whole cores.

    Args:
        root: Mount point of the control groups.
        own: File that names the groups of this process.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroups.cpu_quota(root, own)
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def free_memory(root: Path = cgroups.ROOT, own: Path = cgroups.OWN) -> int | None:
    """Bytes of memory that this process may still allocate, None if the system does not report it.

    This is the minimum of the machine's free memory, the rest of the container's limit, and the address space limit
    (``ulimit -v``).

    Args:
        root: Mount point of the control groups.
        own: File that names the groups of this process.
    """
    known = (_machine_memory(), cgroups.memory_left(root, own), _address_space())
    return min((one for one in known if one is not None), default=None)


def _address_space() -> int | None:
    """Limit of this process's address space in bytes, None if there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY or limit < 0 else limit


def _machine_memory() -> int | None:
    """Free memory of the machine in bytes, None if the system does not report it."""
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


def uses_torch(options: Iterable[Mapping[str, Any]], cpu: bool = True) -> bool:
    """Whether jobs with such options would use a torch engine that is installed.

    Args:
        options: Option values of each job.
        cpu: Whether jobs restricted to the CPU count as well.
    """
    from liveportrait.engines import ENGINES

    asked = {(str(one.get("engine", "auto")), str(one.get("device", "auto"))) for one in options}
    heavy = [spec for spec in ENGINES if spec.accelerator == "torch"]
    return any(
        engine in (spec.name, "auto") and (cpu or not device.startswith("cpu")) and not spec.missing()
        for engine, device in asked
        for spec in heavy
    )


def free_gpu_memory(options: Iterable[Mapping[str, Any]]) -> int | None:
    """Free bytes of the graphics card that jobs with such options would use; None if they would use none."""
    if not uses_torch(options, cpu=False):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info()[0])


def worker_count(options: Iterable[Mapping[str, Any]], sources: Iterable[Path] = ()) -> int:
    """Number of workers for jobs with such options, at least one.

    Args:
        options: Option values of each job.
        sources: Source of each job; some headers are read to estimate a worker's memory.
    """
    jobs = list(options)
    most = cores()
    count = min(most, max(1, len(jobs)))
    free = free_memory() if count > 1 else None
    if free is not None:
        need = worker_bytes(sources)
        count = min(count, free // (max(need, HEAVY_BYTES) if uses_torch(jobs) else need))
    gpu = free_gpu_memory(jobs)
    if gpu is not None:
        count = min(count, gpu // GPU_BYTES, most // 2)
    return max(1, int(count))
