"""Lists of cameras by name on each system, and the choice of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import MediaError
from app.media.cameras import CameraDevice, find_camera, linux_cameras, list_cameras, mac_cameras, windows_cameras

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
    assert [(d.name, d.index, d.key) for d in devices] == [("Desk View", 0, "0x1140"), ("FaceTime HD", 1, "0x8020")]
    assert mac_cameras(lambda: "no json") == []


def test_windows_numbers_differ_by_back_end() -> None:
    devices = windows_cameras(lambda: [("OBS Virtual Camera", "obs"), ("HD Webcam", "usb")])
    assert [d.index_for("DSHOW") for d in devices] == [0, 1]
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
