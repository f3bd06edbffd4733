"""Resource limits set by containers or service managers with Linux control groups, versions 1 and 2.

Files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def memory_left(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that this process's groups may still allocate, the minimum of all levels; None without a limit.

    File cache that the kernel drops first under memory pressure counts as free.

    Args:
        root: Mount point of the control groups.
        own: File that names the groups of this process.
    """
    left = [
        _left(folder, "memory.max", "memory.current", "inactive_file") for folder in _folders(root, own, "")
    ] + [
        _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for folder in _folders(root, own, "memory")
    ]  # fmt: skip
    return min((one for one in left if one is not None), default=None)


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """CPU time quota of this process's groups in cores, the minimum of all levels; None without a limit.

    Args:
        root: Mount point of the control groups.
        own: File that names the groups of this process.
    """
    shares = []
    for folder in _folders(root, own, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        shares.append((_number(quota), _number(period)))
    for folder in _folders(root, own, "cpu"):
        shares.append((_number(_text(folder / "cpu.cfs_quota_us")), _number(_text(folder / "cpu.cfs_period_us"))))
    return min((quota / period for quota, period in shares if quota and period), default=None)


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's group and its parent groups; controller "" stands for version 2."""
    mounts = [root, root / "unified"] if not controller else [root / controller]
    paths: list[list[str]] = [[]]
    for line in _text(own).splitlines():
        number, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        if (controller in names.split(",")) if controller else (number == "0" and not names):
            # a group outside the container's own view starts with "/..": only mounted parts can be read
            parts = [part for part in group.split("/") if part not in ("", ".", "..")]
            paths = [parts[:k] for k in range(len(parts), -1, -1)]
            if controller and names != controller:
                mounts.append(root / names)
    for mount in mounts:
        for path in paths:
            yield mount.joinpath(*path)


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """Bytes of memory that a group may still allocate, None without a limit."""
    most = _number(_text(folder / limit))
    if most is None:
        return None
    used = _number(_text(folder / usage)) or 0
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == cache:
            used = max(0, used - (_number(value) or 0))
    return max(0, most - used)


def _text(path: Path) -> str:
    """Content of a file, empty if it can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> int | None:
    """Parse a non-negative number; None for "max", -1 (both mean no limit) and anything else."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None
