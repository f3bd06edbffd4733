"""Whether a process on this machine is still running, and the name of the machine."""

from __future__ import annotations

import os
import platform
import sys


def machine() -> str:
    """Name of this machine, for claims in a queue that several machines may share."""
    return platform.node() or "localhost"


def is_alive(pid: int) -> bool:
    """Whether a process on this machine exists and has not ended."""
    if not 0 < pid < 1 << 31:
        return False
    if sys.platform == "win32":
        return _alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a killed process that its parent has not yet reaped still has a pid
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return True


def _alive_on_windows(pid: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
    if not handle:
        return bool(kernel.GetLastError() == 5)  # it exists, access is denied
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: it has not ended
    finally:
        kernel.CloseHandle(handle)
