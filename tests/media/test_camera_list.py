"""Lists of cameras by name on each system, and the choice of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import MediaError
from app.media.cameras import (
    IN_USE,
    CameraDevice,
    camera_kind,
    find_camera,
    linux_cameras,
    list_cameras,
    mac_cameras,
    windows_cameras,
)

THREE = [
    CameraDevice("Integrated Camera", "a", 0, path="/dev/video0"),
    CameraDevice("Logitech C920", "b", 2, path="/dev/video2"),
    CameraDevice("Logitech Brio", "c", 4, path="/dev/video4"),
]


def node(folder: Path, number: int, name: str, index: int, device: str) -> None:
    place = folder / f"video{number}"
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "index").write_text(f"{index}\n")
    target = folder / "devices" / device
    target.mkdir(parents=True, exist_ok=True)
    (place / "device").symlink_to(target)


def test_linux(tmp_path: Path) -> None:
    node(tmp_path, 10, "Capture card", 0, "pci")
    node(tmp_path, 0, "Webcam: Webcam", 0, "usb-1")
    node(tmp_path, 1, "Webcam: Webcam", 1, "usb-1")  # metadata of the same camera
    node(tmp_path, 2, "Webcam: Webcam", 0, "usb-2")
    devices = linux_cameras(tmp_path)
    assert [(d.name, d.index, d.path) for d in devices] == [
        ("Webcam: Webcam", 0, "/dev/video0"),
        ("Webcam: Webcam #2", 2, "/dev/video2"),
        ("Capture card", 10, "/dev/video10"),
    ]
    assert len({d.key for d in devices}) == 3
    assert linux_cameras(tmp_path / "none") == []


def test_linux_key_stays_when_the_number_changes(tmp_path: Path) -> None:
    node(tmp_path / "x", 0, "Webcam", 0, "usb-1")
    (tmp_path / "x" / "video0").rename(tmp_path / "x" / "video3")
    moved = linux_cameras(tmp_path / "x")
    assert moved[0].index == 3
    assert moved[0].key.startswith("Webcam@")
    assert "video" not in moved[0].key.rpartition("/")[2]


def test_mac_numbers_follow_the_unique_ids() -> None:
    report = {
        "SPCameraDataType": [
            {"_name": "FaceTime HD", "spcamera_unique-id": "0x8020"},
            {"_name": "Desk View", "spcamera_unique-id": "0x1140"},
        ]
    }
    devices = mac_cameras(lambda: json.dumps(report))
    assert [(d.name, d.index, d.key) for d in devices] == [("FaceTime HD", 1, "0x8020"), ("Desk View", 0, "0x1140")]
    assert mac_cameras(lambda: "no json") == []


def test_windows_numbers_differ_by_back_end() -> None:
    devices = windows_cameras(lambda: [("OBS Virtual Camera", "obs"), ("HD Webcam", "usb")])
    assert [(d.name, d.index_for("DSHOW")) for d in devices] == [("HD Webcam", 1), ("OBS Virtual Camera", 0)]
    assert [d.index_for("MSMF") for d in devices] == [None, None]  # its order is not known
    assert windows_cameras(lambda: [("HD Webcam", "usb")])[0].index_for("MSMF") == 0


def test_windows_without_a_list() -> None:
    def fail() -> list[tuple[str, str]]:
        raise OSError("no dshow")

    assert windows_cameras(fail) == []


def test_this_computer_can_be_asked() -> None:
    assert all(device.name for device in list_cameras())


@pytest.mark.parametrize(
    ("text", "index"),
    [("", 0), ("0", 0), ("2", 2), ("/dev/video4", 4), ("integrated camera", 0), ("c920", 2), ("Logitech Brio", 4)],
)
def test_choice(text: str, index: int) -> None:
    assert find_camera(text, THREE).index == index


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("7", "no camera 7. There are: 0 Integrated Camera, 2 Logitech C920, 4 Logitech Brio."),
        ("logitech", "Several cameras"),
        ("Logitec C920", "Did you mean Logitech C920?"),
        ("zzz", "There are: 0 Integrated Camera"),
    ],
)
def test_wrong_choice_names_what_there_is(text: str, words: str) -> None:
    with pytest.raises(MediaError) as caught:
        find_camera(text, THREE)
    assert words in str(caught.value)


def test_no_camera_at_all() -> None:
    with pytest.raises(MediaError, match="No camera was found"):
        find_camera("", [])
    with pytest.raises(MediaError, match="No camera is connected"):
        find_camera("webcam", [])
    assert find_camera("3", []).index == 3  # cameras that can't be listed are tried by number
    assert not find_camera("3", []).listed


# ---- which one is the default


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Integrated Camera", "camera"),
        ("Integrated IR Camera", "infrared"),
        ("USB2.0 IR UVC WebCam", "infrared"),
        ("Lenovo FHD Webcam: Lenovo FHD IR", "infrared"),
        ("HelloIR", "infrared"),
        ("IRCamera", "infrared"),
        ("Microsoft Camera Infrared", "infrared"),
        ("FIRE HD Webcam", "camera"),
        ("IRIS Webcam", "camera"),
        ("Iriun Webcam", "camera"),
        ("Intel RealSense Depth Camera 435", "infrared"),
        ("OBS Virtual Camera", "virtual"),
        ("Dummy video device (0x0000)", "virtual"),
        ("Portrait", "virtual"),  # as docs/live.md names it
        ("Snap Camera", "virtual"),
        ("Desk View", "virtual"),
        ("bcm2835-codec-decode", "codec"),
        ("bcm2835-isp-output0", "codec"),
        ("rpi-hevc-dec", "codec"),
        ("rockchip,rk3568-vepu-enc", "codec"),
        ("hantro-vpu-dec", "codec"),
        ("s5p-mfc-dec0", "codec"),
        ("Logitech BRIO", "camera"),
        ("OBSBOT Tiny 4K", "camera"),
        ("C922 Pro Stream Webcam", "camera"),
        ("DroidCam", "camera"),
    ],
)
def test_kind_by_name(name: str, kind: str) -> None:
    assert camera_kind(name) == kind


def test_default_is_an_ordinary_camera(tmp_path: Path) -> None:
    node(tmp_path, 0, "Integrated IR Camera", 0, "usb-1")
    node(tmp_path, 2, "Integrated Camera", 0, "usb-2")
    node(tmp_path, 4, "OBS Virtual Camera", 0, "loop")
    node(tmp_path, 10, "bcm2835-codec-decode", 0, "codec")
    devices = linux_cameras(tmp_path)
    assert [(d.index, d.kind) for d in devices] == [(2, "camera"), (0, "infrared"), (4, "virtual"), (10, "codec")]
    assert find_camera("", devices).index == 2
    assert find_camera("", list(reversed(devices))).index == 2
    assert find_camera("integrated", devices).index == 2  # the infrared one is only meant where it is named
    assert find_camera("ir camera", devices).index == 0
    assert find_camera("0", devices).index == 0
    assert find_camera("obs", devices).index == 4
    assert find_camera("", devices[1:]).index == 0
    assert find_camera("", devices[2:]).index == 4
    with pytest.raises(MediaError, match="No camera was found"):
        find_camera("", devices[3:])


def test_name_that_the_system_cut(tmp_path: Path) -> None:
    """UVC names have 31 characters: of "Integrated Camera: Integrated IR" the last letter is missing."""
    node(tmp_path, 0, "Integrated Camera: Integrated I", 0, "usb-1")
    node(tmp_path, 2, "Integrated Camera: Integrated C", 0, "usb-2")
    assert find_camera("", linux_cameras(tmp_path)).index == 2
    (tmp_path / "video2" / "name").write_text("Other\n")
    assert find_camera("", linux_cameras(tmp_path)).index == 0


def test_device_without_hardware_is_virtual(tmp_path: Path) -> None:
    target = tmp_path / "devices" / "virtual" / "video4linux" / "video0"
    target.mkdir(parents=True)
    (target / "name").write_text("My own label\n")
    (target / "index").write_text("0\n")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "video0").symlink_to(target)
    node(tmp_path / "class", 1, "Webcam", 0, "usb-1")
    devices = linux_cameras(tmp_path / "class")
    assert [(d.index, d.kind) for d in devices] == [(1, "camera"), (0, "virtual")]


def test_own_output_is_never_the_default() -> None:
    fed = CameraDevice("Loopback", "l", 0, path="/dev/video0", kind="virtual")
    IN_USE.feed("/dev/video0")
    try:
        with pytest.raises(MediaError, match="No camera was found"):
            find_camera("", [fed])
    finally:
        IN_USE.release("/dev/video0")
    assert find_camera("", [fed]) is fed
