"""Which cameras there are, by name, on each system, and their number in each of cv2's back ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from app.errors import MediaError

SYS_FOLDER: Final = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class CameraDevice:
    """One camera.

    Attributes:
        name: Name for people, unique among the cameras that were listed with it.
        key: What it is recognised by when the list is made again.
        index: Its number.
        path: Device file, or empty.
        numbers: Number by cv2 back end where the order is known; empty means ``index`` in all of them.
        listed: False if it was asked for by a number that the list does not hold.
    """

    name: str
    key: str
    index: int
    path: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)
    listed: bool = True

    def index_for(self, backend: str) -> int | None:
        """Number in a back end, or None where it can't be told."""
        return self.numbers.get(backend) if self.numbers else self.index


def list_cameras() -> list[CameraDevice]:
    """Cameras of this computer, by number; an empty list where there are none or they can't be listed."""
    if sys.platform.startswith("linux"):
        return linux_cameras(SYS_FOLDER)
    if sys.platform == "darwin":
        return mac_cameras(_system_profiler)
    if sys.platform == "win32":
        return windows_cameras(_dshow_names)
    return []


def linux_cameras(folder: Path) -> list[CameraDevice]:
    """Cameras from sysfs. Each camera has several nodes; only the first one of each gives pictures."""
    found = []
    for node in folder.glob("video*") if folder.is_dir() else ():
        number = re.fullmatch(r"video(\d+)", node.name)
        if number is None or _text(node / "index") not in ("", "0"):
            continue
        name = _text(node / "name") or node.name
        place = os.path.realpath(node / "device") if (node / "device").exists() else node.name
        found.append((int(number.group(1)), name, place))
    devices = [
        CameraDevice(name, f"{name}@{place}", number, path=f"/dev/video{number}")
        for number, name, place in sorted(found)
    ]
    return _distinct(devices)


def mac_cameras(profile: Callable[[], str]) -> list[CameraDevice]:
    """Cameras from the system report; cv2 numbers them in the order of their unique ids."""
    try:
        entries: list[dict[str, Any]] = json.loads(profile()).get("SPCameraDataType", [])
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = sorted((str(e.get("spcamera_unique-id", "")), str(e.get("_name", "Camera"))) for e in entries)
    return _distinct([CameraDevice(name, key or name, i) for i, (key, name) in enumerate(rows)])


def windows_cameras(names: Callable[[], list[tuple[str, str]]]) -> list[CameraDevice]:
    """Cameras from DirectShow; Media Foundation numbers them in another order, which is known only for a single one."""
    try:
        rows = names()
    except (OSError, ValueError):
        return []
    single = {"MSMF": 0} if len(rows) == 1 else {}
    return _distinct([CameraDevice(name, key, i, numbers={"DSHOW": i, **single}) for i, (name, key) in enumerate(rows)])


def _distinct(devices: list[CameraDevice]) -> list[CameraDevice]:
    """The same cameras, equal names numbered."""
    out: list[CameraDevice] = []
    for device in devices:
        same = sum(d.name == device.name for d in devices[: len(out)])
        name = f"{device.name} #{same + 1}" if same else device.name
        out.append(CameraDevice(name, device.key, device.index, device.path, device.numbers))
    return out


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _system_profiler() -> str:
    command = ["/usr/sbin/system_profiler", "-json", "SPCameraDataType"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout  # noqa: S603


def _dshow_names() -> list[tuple[str, str]]:
    """(name, unique name) of DirectShow's cameras in order."""
    import av

    try:
        devices = av.enumerate_input_devices("dshow")
    except (av.FFmpegError, AttributeError) as error:
        raise OSError(str(error)) from error
    return [(d.description, d.name) for d in devices if "video" in (d.media_types or ["video"])]


def find_camera(text: str, devices: list[CameraDevice] | None = None) -> CameraDevice:
    """The camera of a number, a name, or a part of a name.

    Args:
        text: "0", "HD Webcam", "webcam", or a device file such as "/dev/video2". Empty takes the first camera.
        devices: Cameras to choose from; those of this computer by default.

    Raises:
        MediaError: There is no such camera, or several fit.
    """
    present = list_cameras() if devices is None else devices
    wanted = text.strip()
    if not wanted:
        if not present:
            raise MediaError("No camera was found.", "Connect one, or name a video file as the camera.")
        return present[0]
    number = re.fullmatch(r"(?:/dev/video)?([0-9]{1,4})", wanted)
    if number is not None:
        index = int(number.group(1))
        for device in present:
            if device.index == index:
                return device
        if present:
            raise MediaError(f"There is no camera {index}.", _choices(present))
        return CameraDevice(f"{index}", f"number {index}", index, listed=False)
    exact = [d for d in present if d.name.lower() == wanted.lower()]
    close = exact or [d for d in present if wanted.lower() in d.name.lower()]
    if len(close) == 1:
        return close[0]
    if close:
        raise MediaError(f"Several cameras are named like {wanted!r}.", _choices(close))
    near = get_close_matches(wanted, [d.name for d in present], 1)
    raise MediaError(
        f"There is no camera and no file named {wanted!r}.", f"Did you mean {near[0]}?" if near else _choices(present)
    )


def _choices(devices: list[CameraDevice]) -> str:
    if not devices:
        return "No camera is connected."
    return "There are: " + ", ".join(f"{d.index} {d.name}" for d in devices) + "."
