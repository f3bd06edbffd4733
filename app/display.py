"""Whether Qt can open a window here: the display, and the system libraries that its wheels don't include.

Qt itself aborts the process if one of them is missing, and names only one at a time. The sonames are those needed by
the libraries of PySide6-Essentials 6.11 for Linux.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

Load = Callable[[str], Any]

DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET")
WITHOUT_DISPLAY: Final = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")
# soname -> package of Debian and Ubuntu, package of Fedora
EVERYWHERE: Final[dict[str, tuple[str, str]]] = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl"),
    "libGL.so.1": ("libgl1", "libglvnd-glx"),
    "libX11.so.6": ("libx11-6", "libX11"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig"),
    "libfreetype.so.6": ("libfreetype6", "freetype"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon"),
}
X11: Final[dict[str, tuple[str, str]]] = {
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms"),
    "libxcb-randr.so.0": ("libxcb-randr0", "libxcb"),
    "libxcb-render-util.so.0": ("libxcb-render-util0", "xcb-util-renderutil"),
    "libxcb-render.so.0": ("libxcb-render0", "libxcb"),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb"),
    "libxcb-shm.so.0": ("libxcb-shm0", "libxcb"),
    "libxcb-sync.so.1": ("libxcb-sync1", "libxcb"),
    "libxcb-util.so.1": ("libxcb-util1", "xcb-util"),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0", "libxcb"),
    "libxcb-xkb.so.1": ("libxcb-xkb1", "libxcb"),
    "libxcb.so.1": ("libxcb1", "libxcb"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11"),
}


def needs_display(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether Qt will look for an X11 or Wayland display."""
    chosen = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    return platform.startswith("linux") and chosen not in WITHOUT_DISPLAY


def has_display(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a display; it may still not respond."""
    return any(environment.get(name) for name in DISPLAYS)


def missing_libraries(x11: bool = True, load: Load = ctypes.CDLL, platform: str = sys.platform) -> list[str]:
    """Sonames of the system libraries that Qt needs and that can't be loaded; empty except on Linux.

    Args:
        x11: Include those needed only on an X server.
        load: Loads a library by its soname; raises OSError on failure.
        platform: Like sys.platform.
    """
    if not platform.startswith("linux"):
        return []
    missing = []
    for name in EVERYWHERE | (X11 if x11 else {}):
        try:
            load(name)
        except OSError:
            missing.append(name)
    return missing


def packages_command(sonames: list[str]) -> str:
    """The apt and dnf commands that install libraries."""
    known = EVERYWHERE | X11
    apt, dnf = ([*dict.fromkeys(known[name][column] for name in sonames)] for column in (0, 1))
    return f"sudo apt install {' '.join(apt)} (Debian, Ubuntu), or sudo dnf install {' '.join(dnf)} (Fedora)"


def other_animate(own: Path, path: str | None = None) -> str:
    """Path of another program named animate that a shell would start instead of ours, or empty.

    Args:
        own: Folder of our commands.
        path: Like the variable PATH; that of this process by default.
    """
    found = shutil.which("animate", path=path)
    ours = shutil.which("animate", path=str(own))
    if found is None or ours is None or os.path.realpath(found) == os.path.realpath(ours):
        return ""
    return found
