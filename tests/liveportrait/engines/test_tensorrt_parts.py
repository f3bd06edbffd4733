"""TensorRT without a card and without its libraries: which one is taken, keys, the cache, and the compiling process."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import doctor
from liveportrait.engines import ENGINES, tensorrt_library
from liveportrait.engines.cuda_card import Card, NoCardError, card_index, find_card
from liveportrait.engines.tensorrt_build import BuildCancelledError, build_engine
from liveportrait.engines.tensorrt_cache import EngineCache, EngineKey, write_engine
from liveportrait.engines.tensorrt_library import (
    Library,
    UnknownOperatorError,
    find_library,
    targets_of,
    unavailable,
)
from models.installation import install_hint
from models.registry import ModelError

ADA = Card("NVIDIA GeForce RTX 4090", (8, 9), (13, 0))
HOPPER = Card("NVIDIA H100 80GB HBM3", (9, 0), (13, 0))
KEY = EngineKey(
    "warping",
    "fp16",
    "warping-native-fp16-64-aa",
    "0123456789abcdef",
    "tensorrt-rtx",
    "1.7.1",
    "portable",
    ("no-tf32",),
)


# ---------------------------------------------------------------------- the card


class Driver:
    """NVIDIA's driver with two cards."""

    def __init__(self, code: int = 0, cards: int = 2) -> None:
        self.code, self.cards = code, cards

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self.cards

    def cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = 13020

    def cuDeviceGet(self, device: Any, index: int) -> None:
        device._obj.value = index

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> None:
        name.value = f"Card {device.value}".encode()

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: ctypes.c_int) -> None:
        value._obj.value = {75: 8, 76: 6 + device.value}[attribute]


def test_the_driver_is_asked() -> None:
    assert find_card(1, load=lambda _: Driver()) == Card("Card 1", (8, 7), (13, 2), 1)
    assert find_card(load=lambda _: Driver()).sm == "sm86"
    assert [card_index(name) for name in ("auto", "cuda", "cuda:0", "cuda:12")] == [0, 0, 0, 12]


@pytest.mark.parametrize(
    ("driver", "index", "words"),
    [
        (None, 0, "no NVIDIA driver is installed"),
        (Driver(100), 0, "finds no working card .error 100"),
        (Driver(cards=0), 0, "the NVIDIA driver finds no card"),
        (Driver(), 2, "there is no NVIDIA card number 2"),
    ],
)
def test_no_card(driver: Driver | None, index: int, words: str) -> None:
    def load(_: str) -> Driver:
        if driver is None:
            raise OSError("libcuda.so.1: cannot open shared object file")
        return driver

    with pytest.raises(NoCardError, match=words):
        find_card(index, load)


# ---------------------------------------------------------------------- the library


def importer(**versions: str) -> Any:
    def load(name: str) -> SimpleNamespace:
        if name not in versions:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return SimpleNamespace(__version__=versions[name])

    return load


@pytest.mark.parametrize(
    ("card", "there", "name"),
    [
        (ADA, {"tensorrt_rtx": "1.7.1.116", "tensorrt": "11.4.0"}, "tensorrt-rtx"),
        (ADA, {"tensorrt": "11.4.0"}, "tensorrt"),
        (HOPPER, {"tensorrt_rtx": "1.7.1.116", "tensorrt": "11.4.0"}, "tensorrt"),
        (None, {"tensorrt_rtx": "1.7.1.116", "tensorrt": "11.4.0"}, "tensorrt-rtx"),
        (ADA, {"tensorrt_rtx": "0.9", "tensorrt": "11.4.0"}, "tensorrt"),
    ],
)
def test_the_library_that_fits_the_card(card: Card | None, there: dict[str, str], name: str) -> None:
    found = find_library(card, load=importer(**there))
    assert (found.name, found.version) == (name, there[{"tensorrt-rtx": "tensorrt_rtx"}.get(name, name)])


@pytest.mark.parametrize(
    ("card", "name", "there", "words"),
    [
        (
            ADA,
            "auto",
            {},
            "^tensorrt-rtx is not installed and tensorrt is not installed[.] "
            f"{re.escape(install_hint('tensorrt-rtx'))}",
        ),
        (
            HOPPER,
            "auto",
            {"tensorrt_rtx": "1.7"},
            f"^tensorrt is not installed[.] {re.escape(install_hint('tensorrt'))}",
        ),
        (HOPPER, "tensorrt-rtx", {"tensorrt_rtx": "1.7"}, r"doesn't support cards such as NVIDIA H100 .* \(sm90\)"),
        (HOPPER, "auto", {"tensorrt": "10.13.3"}, "tensorrt 10.13.3 is too old"),
        (None, "tensorrt", {"tensorrt": "11.4"}, "compiles only on the card itself"),
    ],
)
def test_no_library_fits(card: Card | None, name: str, there: dict[str, str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        find_library(card, name, importer(**there))


def test_unknown_library() -> None:
    with pytest.raises(ValueError, match="no library 'trt'; choose tensorrt-rtx or tensorrt"):
        find_library(None, "trt", importer())


def test_a_library_that_breaks_is_told() -> None:
    def load(_: str) -> Any:
        raise OSError("libcudart.so.13: cannot open shared object file")

    with pytest.raises(ModelError, match=r"tensorrt can't be loaded \(libcudart.so.13"):
        find_library(HOPPER, load=load)


def test_targets() -> None:
    rtx, full = Library("tensorrt-rtx", "1.7", None), Library("tensorrt", "11.4", None)
    assert targets_of(rtx, None) == ("portable",)
    assert targets_of(rtx, ADA) == ("sm89", "portable")
    assert targets_of(full, HOPPER) == ("NVIDIA H100 80GB HBM3 sm90",)
    with pytest.raises(ModelError, match="only on the card itself"):
        targets_of(full, None)


def test_one_sentence_without_a_card() -> None:
    def none(_: int) -> Card:
        raise NoCardError("no NVIDIA driver is installed")

    assert unavailable(find=none) == "it needs an NVIDIA graphics card, and no NVIDIA driver is installed."


# ---------------------------------------------------------------------- keys and the cache


@pytest.mark.parametrize("name", list(KEY.__dataclass_fields__))
def test_every_entry_is_part_of_the_key(name: str) -> None:
    value = ("y",) if name == "flags" else "other"
    other = replace(KEY, **{name: value})
    assert other.digest != KEY.digest
    assert other.file_name != KEY.file_name
    assert replace(KEY).file_name == KEY.file_name


def test_what_replaces_what() -> None:
    assert KEY.replaces(KEY) == ""
    assert KEY.replaces(replace(KEY, version="1.6")) == "was compiled by tensorrt-rtx 1.6"
    assert KEY.replaces(replace(KEY, onnx="f" * 16)) == "was compiled from another export of the network"
    assert KEY.replaces(replace(KEY, flags=())) == "was compiled with other settings"
    for other in (replace(KEY, source="warping-native-fp16-64-bb"), replace(KEY, target="sm89", version="1.6")):
        assert KEY.replaces(other) == ""  # of other weights, for other cards


def put(cache: EngineCache, key: EngineKey, engine: bytes = b"engine" * 100) -> Path:
    with cache.new_part() as part:
        with part.open("wb") as stream:
            write_engine(stream, key, engine, 1.25)
        return cache.adopt(key, part)


def test_engines_are_found_again(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    assert cache.read(KEY) == ""
    assert cache.entries() == []
    path = put(cache, KEY)
    assert cache.read(KEY) == b"engine" * 100
    (entry,) = cache.entries(thorough=True)
    assert (entry.path, entry.key, entry.seconds, entry.fault) == (path, KEY, 1.25, "")
    assert entry.size == path.stat().st_size


@pytest.mark.parametrize("damage", ["flip", "cut", "head", "empty", "long"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    cache = EngineCache(tmp_path)
    path = put(cache, KEY)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-5] ^= 1
    changed = {"cut": data[:-9], "head": b"?" + data, "empty": b"", "long": data + b"more"}.get(damage, data)
    path.write_bytes(changed)
    assert cache.read(KEY) == "is damaged"
    assert [entry.fault for entry in cache.entries(thorough=True)] == ["damaged"]
    assert [entry.fault for entry in cache.entries()] == ["" if damage == "flip" else "damaged"]


def test_what_others_put_into_the_folder_stays(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    foreign = [tmp_path / name for name in ("notes.txt", "other.engine.bak", "x.kernels")]
    for path in foreign:
        path.write_bytes(b"?")
    path = put(cache, KEY)
    assert [entry.path for entry in cache.entries(thorough=True)] == [path]
    cache.remove(path)
    assert sorted(tmp_path.iterdir()) == sorted(foreign)


def test_what_a_process_that_died_has_left_is_removed(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    old, new = tmp_path / ".1-1.part", tmp_path / ".2-2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    path = put(cache, KEY)
    assert sorted(tmp_path.iterdir()) == sorted([new, path])


def test_an_engine_that_is_being_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to: then the one that is there is taken, if it is whole."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Access is denied")

    cache = EngineCache(tmp_path)
    path = put(cache, KEY)
    monkeypatch.setattr(Path, "replace", refuse)
    assert put(cache, KEY) == path
    assert cache.read(KEY) == b"engine" * 100
    path.write_bytes(b"broken")
    with pytest.raises(PermissionError):
        put(cache, KEY)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_under_the_name_of_another_is_damaged(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    other = replace(KEY, onnx="f" * 16, source="other")
    put(cache, other).rename(cache.path_of(KEY))
    assert cache.read(KEY) == "is damaged"


def test_an_outdated_engine_is_named_and_removed(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    old, foreign = replace(KEY, version="1.6.1"), replace(KEY, source="warping-native-fp16-64-bb")
    first, second = put(cache, old), put(cache, foreign)
    kernels = first.with_suffix(".sm89_13_0.kernels")
    kernels.write_bytes(b"k")
    assert cache.read(KEY) == "was compiled by tensorrt-rtx 1.6.1"
    path = put(cache, KEY)
    assert sorted(tmp_path.iterdir()) == sorted([path, second])


def test_removal_takes_kernels_along(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = put(cache, KEY)
    size = path.stat().st_size
    path.with_suffix(".sm89_13_0.kernels").write_bytes(b"1234")
    assert cache.remove(path) == size + 4
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- the process that compiles

STAND_IN = '''
"""Stands in for TensorRT: what it does is in the ONNX file."""
import os

__version__ = "1.7.1"


class ILogger:
    class Severity:
        ERROR = 1

    def __init__(self):
        pass


class IProgressMonitor:
    def __init__(self):
        pass


class NetworkDefinitionCreationFlag:
    STRONGLY_TYPED = 2


class BuilderFlag:
    TF32 = "tf32"


class Config:
    cleared = ()

    def clear_flag(self, flag):
        self.cleared += (flag,)


class Builder:
    def __init__(self, log):
        self.log = log

    def create_network(self, flags):
        assert flags == 4
        return []

    def create_builder_config(self):
        return Config()

    def build_serialized_network(self, network, config):
        monitor, (order,) = config.progress_monitor, network
        assert config.cleared == ("tf32",)
        print("a library that talks")
        monitor.phase_start("Optimizing graph", None, 3)
        if order == "crash":
            os._exit(7)
        if order == "full":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))
        if order == "fail":
            self.log.log(1, "no kernel\\n  fits")
            return None
        index = 0
        while index < 3 or order == "endless":
            assert monitor.step_complete("Optimizing graph", index)
            index += 1
        monitor.phase_finish("Optimizing graph")
        return b"compiled " + order.encode()


class OnnxParser:
    num_errors = 1

    def __init__(self, network, log):
        self.network = network

    def parse_from_file(self, path):
        order = open(path).read()
        self.network.append(order)
        return order != "unknown"

    def get_error(self, index):
        return "no plugin for GridSample"
'''


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "tensorrt_rtx.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return tmp_path


def order(folder: Path, text: str) -> Path:
    path = folder / "net.onnx"
    path.write_text(text)
    return path


def test_a_process_compiles(stand_in: Path) -> None:
    cache, steps = EngineCache(stand_in / "engines"), []
    path = build_engine(
        KEY, order(stand_in, "fine"), cache, progress=lambda phase, step, steps_: steps.append((phase, step, steps_))
    )
    assert path == cache.path_of(KEY)
    assert cache.read(replace(KEY)) == b"compiled fine"
    assert steps[0] == ("Optimizing graph", 1, 3)
    assert steps[-1] == ("Optimizing graph", 3, 3)
    assert list(cache.folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("unknown", UnknownOperatorError, "net.onnx can't be read: no plugin for GridSample"),
        ("fail", RuntimeError, "net.onnx can't be compiled: no kernel fits"),
        ("crash", RuntimeError, "the compiler failed with code 7"),
    ],
)
def test_failures_leave_nothing(stand_in: Path, text: str, kind: type[Exception], words: str) -> None:
    cache = EngineCache(stand_in / "engines")
    with pytest.raises(kind, match=words):
        build_engine(KEY, order(stand_in, text), cache)
    assert list(cache.folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process as Unix has them")
def test_a_full_disk(stand_in: Path) -> None:
    cache = EngineCache(stand_in / "engines")
    with pytest.raises(OSError, match="File too large"):
        build_engine(KEY, order(stand_in, "full"), cache)
    assert list(cache.folder.iterdir()) == []


def test_a_library_that_can_not_be_imported(stand_in: Path) -> None:
    (stand_in / "packages" / "tensorrt_rtx.py").write_text("raise ImportError('libcudart.so.13 is not here')")
    with pytest.raises(RuntimeError, match=r"^libcudart.so.13 is not here$"):
        build_engine(KEY, order(stand_in, "fine"), EngineCache(stand_in / "engines"))


def test_two_processes_may_make_the_same_engine(stand_in: Path) -> None:
    cache, onnx = EngineCache(stand_in / "engines"), order(stand_in, "fine")
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(build_engine, KEY, onnx, cache) for _ in range(3)]
        assert {each.result() for each in made} == {cache.path_of(KEY)}
    assert cache.read(KEY) == b"compiled fine"
    assert list(cache.folder.iterdir()) == [cache.path_of(KEY)]


def test_a_process_that_says_why_it_broke_down(stand_in: Path) -> None:
    cache = EngineCache(stand_in / "engines")
    command = [sys.executable, "-c", "import sys; sys.exit('out of memory')"]
    with pytest.raises(RuntimeError, match=r"^the compiler failed with code 1 \(out of memory\)$"):
        build_engine(KEY, order(stand_in, "fine"), cache, command=command)


def test_a_build_is_stopped_from_python(stand_in: Path) -> None:
    cache, steps = EngineCache(stand_in / "engines"), []
    with pytest.raises(BuildCancelledError):
        build_engine(
            KEY, order(stand_in, "endless"), cache,
            progress=lambda *step: steps.append(step), cancelled=lambda: len(steps) > 1,
        )  # fmt: skip
    assert len(steps) > 1
    assert list(cache.folder.iterdir()) == []


def test_ctrl_c_ends_the_process(stand_in: Path) -> None:
    cache = EngineCache(stand_in / "engines")

    def interrupt(*_step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(KEY, order(stand_in, "endless"), cache, progress=interrupt)
    assert list(cache.folder.iterdir()) == []


def test_the_process_ends_with_the_program_that_started_it(stand_in: Path) -> None:
    part = stand_in / ".half.part"
    part.write_bytes(b"half")
    process = subprocess.Popen(
        [sys.executable, "-m", "liveportrait.engines.tensorrt_build"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    key = {**KEY.__dict__, "flags": list(KEY.flags)}
    request = {"module": "tensorrt_rtx", "onnx": str(order(stand_in, "endless")), "part": str(part), "key": key}
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    assert "talks" in process.stdout.readline() + process.stdout.readline()
    process.stdin.close()  # as when the program is killed
    assert process.wait(timeout=30) == 1
    process.stdout.close()
    assert not part.exists()


# ---------------------------------------------------------------------- who asks


def test_the_list_of_engines_asks_the_card_first(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = next(each for each in ENGINES if each.name == "tensorrt")
    monkeypatch.setattr(tensorrt_library, "unavailable", lambda: "it needs an NVIDIA graphics card, and there is none.")
    assert spec.missing() == "it needs an NVIDIA graphics card, and there is none."
    monkeypatch.setattr(tensorrt_library, "unavailable", lambda: "")
    assert "NVIDIA" not in spec.missing()  # weights or packages may be missing


def test_doctor_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "unavailable", lambda: "tensorrt 10.1 is too old; get it by: pip.")
    monkeypatch.setattr(doctor, "CHECKS", [check for check in doctor.CHECKS if check[0] == "Engines"])
    (found,) = [each for each in doctor.examine() if each.name == "tensorrt"]
    assert (found.status, found.value) == ("missing", "tensorrt 10.1 is too old; get it by: pip.")
    assert "compiled for an NVIDIA card" in found.hint
