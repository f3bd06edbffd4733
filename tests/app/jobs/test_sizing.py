"""How many workers a batch starts: limits of control groups, and what sources of some size need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import MediaError
from app.jobs import cgroups, estimate, sizing
from app.media.headers import declared_size

MB = 1_000_000


def tree(folder: Path, own: str, **texts: str) -> tuple[Path, Path]:
    """A mount of control groups with such files ("__" for "/"), and the file that names the process's own."""
    root, names = folder / "cgroup", folder / "own"
    root.mkdir()
    names.write_text(own)
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root, names


def test_version_2(tmp_path):
    at = tree(
        tmp_path, "0::/\n", memory_DOT_max="1000", memory_DOT_current="700", memory_DOT_stat="anon 1\ninactive_file 50",
        cpu_DOT_max="150000 100000",
    )  # fmt: skip
    assert cgroups.memory_left(*at) == 350
    assert cgroups.cpu_quota(*at) == 1.5


@pytest.mark.parametrize("path", ["/pod/box", "/../../pod/box", "/pod/box/gone"])
def test_the_tightest_group_above_counts(tmp_path, path):
    at = tree(
        tmp_path, f"0::{path}\n", pod__memory_DOT_max="900", pod__memory_DOT_current="800",
        pod__box__memory_DOT_max="500", pod__box__memory_DOT_current="100", pod__cpu_DOT_max="200000 100000",
        pod__box__cpu_DOT_max="max 100000", other__memory_DOT_max="1", other__cpu_DOT_max="1 100000",
    )  # fmt: skip
    assert cgroups.memory_left(*at) == 100
    assert cgroups.cpu_quota(*at) == 2


def test_version_1_with_groups_that_the_container_does_not_see(tmp_path):
    own = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x\n0::/\n"
    at = tree(
        tmp_path, own, memory__memory_DOT_limit_in_bytes="1000", memory__memory_DOT_usage_in_bytes="400",
        memory__memory_DOT_stat="total_inactive_file 100",
    )  # fmt: skip
    joined = at[0] / "cpu,cpuacct"
    joined.mkdir()
    (joined / "cpu.cfs_quota_us").write_text("300000\n")
    (joined / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroups.memory_left(*at) == 700
    assert cgroups.cpu_quota(*at) == 3


def test_version_1_nested(tmp_path):
    at = tree(
        tmp_path, "4:memory:/a/b\n1:cpu:/a\n", memory__memory_DOT_limit_in_bytes="9223372036854771712",
        memory__a__memory_DOT_limit_in_bytes="600", memory__a__memory_DOT_usage_in_bytes="100",
        memory__a__b__memory_DOT_limit_in_bytes="550", cpu__cpu_DOT_cfs_quota_us="-1",
        cpu__cpu_DOT_cfs_period_us="100000", cpu__a__cpu_DOT_cfs_quota_us="50000",
        cpu__a__cpu_DOT_cfs_period_us="100000",
    )  # fmt: skip
    assert cgroups.memory_left(*at) == 500
    assert cgroups.cpu_quota(*at) == 0.5
    assert sizing.cores(*at) == 1


@pytest.mark.parametrize(
    ("memory", "cpu"),
    [
        ("max", "max 100000"), ("", ""), ("many", "1 0"), ("-5", "-1 100000"), ("1 2", "7 x y"),
        ("9" * 400, "9" * 400 + " 1"),
    ],
)  # fmt: skip
def test_no_limit_and_garbage(tmp_path, monkeypatch, memory, cpu):
    at = tree(tmp_path, "0::/\nnonsense\n:::\n", memory_DOT_max=memory, cpu_DOT_max=cpu)
    (at[0] / "memory.current").write_bytes(b"\xff\xfe")
    assert cgroups.memory_left(*at) is None
    assert cgroups.cpu_quota(*at) is None
    monkeypatch.setattr(sizing, "_machine_memory", lambda: 7000)
    monkeypatch.setattr(sizing, "_address_space", lambda: None)
    assert sizing.free_memory(*at) == 7000


def test_no_control_groups(tmp_path):
    assert cgroups.memory_left(tmp_path / "a", tmp_path / "b") is None
    assert cgroups.cpu_quota(tmp_path / "a", tmp_path / "b") is None


def test_a_limit_lowers_what_is_free(tmp_path, monkeypatch):
    at = tree(tmp_path, "0::/\n", memory_DOT_max="5000", memory_DOT_current="9000")
    assert sizing.free_memory(*at) == 0
    (at[0] / "memory.current").write_text("1000")
    assert sizing.free_memory(*at) == 4000
    monkeypatch.setattr(sizing, "_address_space", lambda: 3000)
    assert sizing.free_memory(*at) == 3000


def test_address_space(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (5 << 30, -1))
    assert sizing._address_space() == 5 << 30
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, -1))
    assert sizing._address_space() is None


def test_need_follows_the_largest_source_that_can_be_read():
    sizes = {Path("a"): (640, 800), Path("b"): (4000, 3000)}
    asked = []

    def size(path: Path) -> tuple[int, int]:
        asked.append(path)
        if path not in sizes:
            raise MediaError("It is damaged.")
        return sizes[path]

    assert estimate.worker_bytes([], size) == 300 * MB
    assert estimate.worker_bytes([Path("a"), Path("bad"), Path("b")], size) == 900 * MB
    asked.clear()
    many = [Path("a")] * 500 + [Path(f"bad{k}") for k in range(300)] + [Path("b")]
    assert estimate.worker_bytes(many, size) == 300 * MB + 50 * 640 * 800
    assert len(asked) == 200


@pytest.mark.parametrize(
    ("free", "side", "torch", "count"),
    [(4000, 100, False, 8), (2000, 4000, False, 1), (4000, 4000, False, 3), (4000, 100, True, 3), (10, 100, False, 1)],
)
def test_count(monkeypatch, tmp_path, free, side, torch, count):
    monkeypatch.setattr(sizing, "cores", lambda: 8)
    monkeypatch.setattr(sizing, "free_memory", lambda: free * MB)
    monkeypatch.setattr(sizing, "free_gpu_memory", lambda options: None)
    monkeypatch.setattr(sizing, "uses_torch", lambda options: torch)
    photo = tmp_path / "photo.png"
    Image.new("L", (side, side)).save(photo)
    assert sizing.worker_count([{}] * 20, [photo, tmp_path / "missing.jpg"] * 10) == count


def test_headers(tmp_path):
    av = pytest.importorskip("av")
    photo, broken, clip = tmp_path / "photo.jpg", tmp_path / "broken.jpg", tmp_path / "clip.mp4"
    Image.new("RGB", (1200, 900)).save(photo)
    broken.write_bytes(photo.read_bytes()[:700])  # the header is whole, the pixels are not
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(2):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode())
    folder = tmp_path / "shots"
    folder.mkdir()
    Image.new("RGB", (70, 50)).save(folder / "shot_0001.png")
    assert declared_size(photo) == declared_size(broken) == (1200, 900)
    assert declared_size(clip) == (96, 64)
    assert declared_size(folder) == (70, 50)
    text = tmp_path / "note.txt"
    text.write_text("no image")
    for bad in (text, tmp_path / "missing.png"):
        with pytest.raises(MediaError):
            declared_size(bad)
