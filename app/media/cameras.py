"""List the cameras of each operating system by name, with their index in each of cv2's back ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from app.errors import MediaError
from models.messages import msg

SYS_FOLDER: Final = Path("/sys/class/video4linux")

CameraKind = Literal["camera", "infrared", "virtual", "codec"]
RANKS: Final[dict[CameraKind, int]] = {"camera": 0, "infrared": 1, "virtual": 2, "codec": 3}
# Apps that use a phone as a webcam create virtual devices, but these show a real camera.
_PHONE = re.compile(r"droidcam|iriun|ivcam|epoccam|\bcamo\b|iphone|scrcpy", re.IGNORECASE)
_VIRTUAL = re.compile(
    r"virtual|loopback|dummy|\bobs\b|obs[- ]?cam|manycam|snap ?camera|mmhmm|xsplit|v-?cam\b|unity ?(video|capture)|"
    r"splitcam|youcam|nvidia broadcast|screen ?(capture|recorder)|akvcam|webcamoid|\bvivid\b|prism ?live|streamlabs|"
    r"cam ?twist|\bndi\b|desk view|^portrait$",
    re.IGNORECASE,
)
# Memory-to-memory devices of video codecs, scalers and image signal processors have nodes like those of cameras.
_CODEC = re.compile(
    r"codec|(^|[-_ ])(dec|enc|decoder|encoder|vdec|venc|isp|vpu|m2m|rga|scaler|csc|vpe|deinterlace)([-_ ]|\d*$)|"
    r"bcm2835-isp|pisp|rpivid|hantro|rkvdec|rkvenc|cedrus|s5p-(mfc|jpeg)|vicodec|vim2m|wave5|qcom-venus|mtk-(jpeg|mdp)|"
    r"rp1-cfe|unicam|mxc-(jpeg|isi)",
    re.IGNORECASE,
)
_INFRARED = re.compile(
    r"(?<![A-Za-z])(IR(?=$|[^A-Za-z]|[A-Z][a-z])|ir(?![A-Za-z]))|(?i:infra-?red|windows hello|hello ?ir|depth|\btof\b)"
)
_CUT_INFRARED = re.compile(r"^(.*): .* I$")  # UVC names are cut after 32 characters: "Integrated Camera: Integrated I"


@dataclass(frozen=True)
class CameraDevice:
    """One camera.

    Attributes:
        name: Display name, unique among the cameras that were listed with it.
        key: Identifies the camera when the list is made again.
        index: Its index.
        path: Device file, or empty.
        numbers: Index by cv2 back end where the order is known; empty means ``index`` in all of them.
        listed: False if it was requested by an index that the list does not contain.
        kind: Whether it is an ordinary camera, infrared, fed by a program, or delivers no frames (codec).
    """

    name: str
    key: str
    index: int
    path: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)
    listed: bool = True
    kind: CameraKind = "camera"

    def index_for(self, backend: str) -> int | None:
        """Index in a back end, or None if it is not known."""
        return self.numbers.get(backend) if self.numbers else self.index


def list_cameras() -> list[CameraDevice]:
    """Cameras of this computer; empty if there are none or they can't be listed.

    Ordinary cameras come first, by number; then infrared ones, virtual ones, and nodes of codecs.
    """
    if sys.platform.startswith("linux"):
        return linux_cameras(SYS_FOLDER)
    if sys.platform == "darwin":
        return mac_cameras(_system_profiler)
    if sys.platform == "win32":
        return windows_cameras(_dshow_names)
    return []


def linux_cameras(folder: Path) -> list[CameraDevice]:
    """Cameras from sysfs. Each camera has several nodes; only its first one delivers frames."""
    found = []
    for node in folder.glob("video*") if folder.is_dir() else ():
        number = re.fullmatch(r"video(\d+)", node.name)
        if number is None or _text(node / "index") not in ("", "0"):
            continue
        name = _text(node / "name") or node.name
        place = os.path.realpath(node / "device") if (node / "device").exists() else node.name
        virtual = "/devices/virtual/" in os.path.realpath(node).replace(os.sep, "/")
        found.append((int(number.group(1)), name, place, camera_kind(name, virtual=virtual)))
    devices = [
        CameraDevice(name, f"{name}@{place}", number, path=f"/dev/video{number}", kind=kind)
        for number, name, place, kind in sorted(found)
    ]
    return _distinct(devices)


def camera_kind(name: str, *, virtual: bool = False) -> CameraKind:
    """Kind of a camera, judged by its name.

    Args:
        name: Name that the system gives it.
        virtual: Whether the system reports it as virtual.
    """
    if _CODEC.search(name):
        return "codec"
    if _PHONE.search(name):
        return "camera"
    if virtual or _VIRTUAL.search(name):
        return "virtual"
    return "infrared" if _INFRARED.search(name) else "camera"


def mac_cameras(profile: Callable[[], str]) -> list[CameraDevice]:
    """Cameras from the system report; cv2 numbers them in the order of their unique ids."""
    try:
        entries: list[dict[str, Any]] = json.loads(profile()).get("SPCameraDataType", [])
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = sorted((str(e.get("spcamera_unique-id", "")), str(e.get("_name", "Camera"))) for e in entries)
    return _distinct([CameraDevice(name, key or name, i, kind=camera_kind(name)) for i, (key, name) in enumerate(rows)])


def windows_cameras(names: Callable[[], list[tuple[str, str]]]) -> list[CameraDevice]:
    """Cameras from DirectShow; Media Foundation numbers them in another order, which is known only for a single one."""
    try:
        rows = names()
    except (OSError, ValueError):
        return []
    single = {"MSMF": 0} if len(rows) == 1 else {}
    return _distinct(
        [
            CameraDevice(name, key, i, numbers={"DSHOW": i, **single}, kind=camera_kind(name))
            for i, (name, key) in enumerate(rows)
        ]
    )


def _distinct(devices: list[CameraDevice]) -> list[CameraDevice]:
    """The same cameras, equal names numbered, ordinary cameras first."""
    whole = {d.name for d in devices}
    out: list[CameraDevice] = []
    for device in devices:
        same = sum(d.name == device.name for d in devices[: len(out)])
        cut = _CUT_INFRARED.match(device.name)
        twin = cut is not None and any(name.startswith(f"{cut.group(1)}: ") for name in whole - {device.name})
        kind: CameraKind = "infrared" if device.kind == "camera" and twin else device.kind
        out.append(replace(device, name=f"{device.name} #{same + 1}" if same else device.name, kind=kind))
    return sorted(out, key=lambda device: RANKS[device.kind])


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


class DevicesInUse:
    """Devices that this program reads or feeds, so that it never films its own output.

    Devices are identified by their file (Linux) or their name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: list[str] = []
        self._fed: list[str] = []

    def read(self, *names: str) -> None:
        """Record that a camera is being read."""
        with self._lock:
            self._read += [name for name in names if name]

    def feed(self, name: str) -> None:
        """Record that a virtual camera is being fed."""
        with self._lock:
            self._fed.append(name)

    def release(self, *names: str) -> None:
        """Record that a device was released."""
        with self._lock:
            for known in (self._read, self._fed):
                for name in names:
                    if name in known:
                        known.remove(name)

    def reads(self, name: str) -> bool:
        """Whether a camera is being read."""
        with self._lock:
            return name in self._read

    def feeds(self, device: CameraDevice) -> bool:
        """Whether a camera shows what this program feeds."""
        with self._lock:
            return device.path in self._fed or device.name in self._fed


IN_USE: Final = DevicesInUse()


def find_camera(text: str, devices: list[CameraDevice] | None = None) -> CameraDevice:
    """Find a camera by its index, its name, or a part of its name.

    Args:
        text: "0", "HD Webcam", "webcam", or a device file such as "/dev/video2". Empty takes the first ordinary
            camera, else the first infrared or virtual one; never a codec.
        devices: Cameras to choose from; those of this computer by default.

    Raises:
        MediaError: There is no such camera, or several match.
    """
    present = list_cameras() if devices is None else devices
    wanted = text.strip()
    if not wanted:
        usable = [d for d in present if d.kind != "codec" and not IN_USE.feeds(d)]
        if not usable:
            raise MediaError("No camera was found.", "Connect one, or name a video file as the camera.")
        return min(usable, key=lambda device: RANKS[device.kind])
    number = re.fullmatch(r"(?:/dev/video)?([0-9]{1,4})", wanted)
    if number is not None:
        index = int(number.group(1))
        for device in present:
            if device.index == index:
                return device
        if present:
            raise MediaError(msg("There is no camera {index}.", index), _choices(present))
        return CameraDevice(f"{index}", f"number {index}", index, listed=False)
    exact = [d for d in present if d.name.lower() == wanted.lower()]
    close = exact or [d for d in present if wanted.lower() in d.name.lower()]
    ordinary = [d for d in close if d.kind == "camera"]
    if len(close) == 1 or len(ordinary) == 1:
        return (ordinary or close)[0]
    if close:
        raise MediaError(msg("Several cameras match {wanted!r}.", wanted), _choices(close))
    near = get_close_matches(wanted, [d.name for d in present], 1)
    raise MediaError(
        msg("There is no camera and no file named {wanted!r}.", wanted),
        msg("Did you mean {near}?", near[0]) if near else _choices(present),
    )


def _choices(devices: list[CameraDevice]) -> str:
    if not devices:
        return "No camera is connected."
    return "There are: " + ", ".join(f"{d.index} {d.name}" for d in devices) + "."
