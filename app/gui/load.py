"""How much of the computer the program uses: processor, memory, and memory of a graphics card. No Qt."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """What the program uses.

    Attributes:
        cpu: Share of all processor cores since the last reading, 0 to 1.
        memory: Resident bytes; None where the system does not tell.
        gpu: Bytes in use on the graphics card, and all of its bytes; None without one.
    """

    cpu: float
    memory: int | None
    gpu: tuple[int, int] | None


class LoadMeter:
    """Measures the load between two readings."""

    def __init__(self) -> None:
        self._wall, self._busy = time.monotonic(), time.process_time()

    def read(self) -> Load:
        """The load since the last reading."""
        wall, busy = time.monotonic(), time.process_time()
        spent = (busy - self._busy) / max(wall - self._wall, 1e-3) / (os.cpu_count() or 1)
        self._wall, self._busy = wall, busy
        return Load(min(1.0, max(0.0, spent)), resident_bytes(), _gpu_bytes())


def resident_bytes() -> int | None:
    """Bytes of memory that this process holds; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return _windows_bytes() if sys.platform == "win32" else None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _windows_bytes() -> int | None:
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = [("size", ctypes.c_ulong), ("faults", ctypes.c_ulong)] + [
            (name, ctypes.c_size_t) for name in ("peak", "resident", "a", "b", "c", "d", "e", "f")
        ]

    counters = Counters()
    counters.size = ctypes.sizeof(counters)
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    done = kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
    return int(counters.resident) if done else None


def _gpu_bytes() -> tuple[int, int] | None:
    """Memory of the graphics card, asked from torch only if it runs there already: loading it takes seconds."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return None
        free, total = torch.cuda.mem_get_info()
    except (AttributeError, RuntimeError):
        return None
    return int(total - free), int(total)
