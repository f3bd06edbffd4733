"""Execution providers of ONNX Runtime with stand-ins for it: plug-ins, options, causes, and where buffers lie."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from liveportrait.engines import onnx_providers
from liveportrait.engines.onnx_providers import (
    CPU,
    CUDA,
    RTX,
    available_providers,
    check_provider,
    cuda_fault,
    missing_library,
    open_session,
    providers_to_try,
    runtime_errors,
)
from liveportrait.engines.onnx_runners import OnnxRunner, memory_of

PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
OPEN = "cannot open shared object file: No such file or directory"


class FakeValue:
    """An OrtValue on some device."""

    updates = 0

    def __init__(self, array: Any, where: dict[str, Any]) -> None:
        self.array, self.where = array, where

    def update_inplace(self, values: Any) -> None:
        FakeValue.updates += 1
        self.array[...] = values

    def numpy(self) -> Any:
        return self.array.copy()


class FakeSession:
    """Doubles its first input, or adds all of them; binds as ONNX Runtime does."""

    def __init__(self, name: str, providers: list[str]) -> None:
        shapes = {
            "source": (["feature_3d"], ["compressed"]),
            "frame": (["feature_3d", "compressed", "kp_driving"], ["out"]),
            "generator": (["feature"], ["image"]),
            "appearance": (["image"], ["feature_3d"]),
            "motion": (["image"], ["kp", "scale"]),
        }[name]
        self.inputs, self.outputs = ([SimpleNamespace(name=n, shape=[1, 21, 3]) for n in names] for names in shapes)
        self._providers = providers

    def get_inputs(self) -> Any:
        return self.inputs

    def get_outputs(self) -> Any:
        return self.outputs

    def get_providers(self) -> list[str]:
        return self._providers

    def io_binding(self) -> Any:
        bound: dict[str, FakeValue] = {}
        return SimpleNamespace(
            bound=bound, bind_ortvalue_input=bound.__setitem__, bind_ortvalue_output=bound.__setitem__
        )

    def run_with_iobinding(self, binding: Any) -> None:
        total = sum(binding.bound[entry.name].array for entry in self.inputs)
        for entry in self.outputs:
            binding.bound[entry.name].array[...] = 2 * total

    def run(self, _names: None, given: dict[str, Any]) -> list[Any]:
        return [2 * given["image"] for _ in self.outputs]


class FakeRuntime:
    """Stands for the module onnxruntime.

    Args:
        available: Providers that it was built with.
        works: Providers that a session really gets.
        devices: Device types whose memory works.
    """

    __file__ = "/packages/onnxruntime/__init__.py"
    cuda_version = "13.0"

    def __init__(self, available: list[str], works: list[str] | None = None, devices: tuple[str, ...] = ()) -> None:
        self._available, self._works = available, available if works is None else works
        self.ep_devices = [SimpleNamespace(ep_name=CPU)]
        self.found: list[Any] = []  # devices that a plug-in brings
        self.registered: list[tuple[str, str]] = []
        self.refuses = ""
        self.severities: list[int] = []
        self.opened: list[tuple[str, Any, Any]] = []

        def make(shape: list[int], kind: Any, **where: Any) -> FakeValue:
            if where["device_type"] not in devices:
                raise RuntimeError("Can't allocate memory on the device using this package of OnnxRuntime.")
            return FakeValue(np.zeros(shape, kind), where)

        self.OrtValue = SimpleNamespace(
            ortvalue_from_numpy=lambda array: FakeValue(array, {}), ortvalue_from_shape_and_type=make
        )

    def get_available_providers(self) -> list[str]:
        return self._available

    def get_ep_devices(self) -> list[Any]:
        return self.ep_devices

    def register_execution_provider_library(self, name: str, path: str) -> None:
        if self.refuses:
            raise ValueError(self.refuses)
        self.registered.append((name, path))
        self.ep_devices = [*self.ep_devices, *self.found]

    def set_default_logger_severity(self, level: int) -> None:
        self.severities.append(level)

    def preload_dlls(self) -> None:
        sys.stdout.write("Failed to load libcublas.so.13")

    def SessionOptions(self) -> Any:
        added: list[tuple[Any, Any]] = []
        return SimpleNamespace(added=added, add_provider_for_devices=lambda d, o: added.append((d, o)))

    def InferenceSession(self, path: str, options: Any, providers: Any = None) -> FakeSession:
        self.opened.append((path, options, providers))
        asked = [device.ep_name for devices, _ in options.added for device in devices]
        asked += [entry if isinstance(entry, str) else entry[0] for entry in providers or []]
        return FakeSession(Path(path).stem, [name for name in (*asked, CPU) if name in (*self._works, CPU)])


def loader(missing: dict[str, str], driver: int = 13000, code: int = 0, cards: int = 1) -> Callable[[str], Any]:
    """Loads libraries: those whose name holds a key of missing fail with its message."""

    def set_to(value: int) -> Callable[[Any], int]:
        def call(target: Any) -> int:
            ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = value
            return 0

        return call

    def load(name: str) -> Any:
        for key, text in missing.items():
            if key in name:
                raise OSError(text)
        return SimpleNamespace(
            cuInit=lambda _flags: code, cuDeviceGetCount=set_to(cards), cuDriverGetVersion=set_to(driver),
            cuDeviceGet=lambda *_: 0, cuDeviceGetName=lambda *_: 0, cuDeviceGetAttribute=lambda *_: 0,
        )  # fmt: skip

    return load


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plug-in's package, installed."""
    from importlib.machinery import ModuleSpec

    module = ModuleType(PACKAGE)
    module.__spec__ = ModuleSpec(PACKAGE, None)
    module.get_library_path = lambda: "/packages/rtx.so"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, PACKAGE, module)
    return module


def test_a_plugin_counts_where_its_package_is_installed(plugin: ModuleType) -> None:
    runtime = FakeRuntime(["CUDAExecutionProvider", CPU])
    assert providers_to_try(available_providers(runtime)) == [RTX, CUDA, CPU]
    assert providers_to_try(available_providers(runtime), "cuda") == [RTX, CUDA]
    old = SimpleNamespace(get_available_providers=lambda: [CPU])  # an ONNX Runtime that knows no plug-ins
    assert available_providers(old) == [CPU]


def test_without_its_package_there_is_no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_providers.importlib.util, "find_spec", lambda _name: None)
    assert available_providers(FakeRuntime([CPU])) == [CPU]


def test_a_plugin_is_registered_once_and_opened_by_its_device(plugin: ModuleType, tmp_path: Path) -> None:
    runtime = FakeRuntime([CPU], works=[RTX])
    cards = [SimpleNamespace(ep_name=RTX, number=number) for number in range(2)]
    runtime.found = cards
    for _ in range(2):
        session = open_session(runtime, Path("frame.onnx"), RTX, threads=3, cache=tmp_path)
        assert session.get_providers() == [RTX, CPU]
    assert runtime.registered == [(RTX, "/packages/rtx.so")]
    _path, options, providers = runtime.opened[0]
    assert options.added == [(cards[:1], {"nv_runtime_cache_path": str(tmp_path)})]
    assert options.intra_op_num_threads == 3
    assert providers is None


def test_a_plugin_that_finds_no_card(plugin: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"^it finds no usable card$"):
        check_provider(FakeRuntime([CPU]), RTX)


def test_a_plugin_that_cant_be_registered(plugin: ModuleType) -> None:
    runtime = FakeRuntime([CPU])
    runtime.refuses = f"Failed to load library /packages/rtx.so with error: libcuda.so.1: {OPEN}"
    with pytest.raises(RuntimeError, match=r"^no NVIDIA driver is installed$"):
        check_provider(runtime, RTX)
    runtime.refuses = "The library is of another version.\nmore"
    with pytest.raises(RuntimeError, match=r"^The library is of another version$"):
        check_provider(runtime, RTX)
    assert runtime.severities == [4, 2, 4, 2]  # the log speaks again afterwards


def test_cuda_keeps_float32_and_searches_kernels() -> None:
    runtime = FakeRuntime([CUDA, CPU])
    open_session(runtime, Path("frame.onnx"), CUDA)
    [(name, options), last] = runtime.opened[0][2]
    assert (name, last) == (CUDA, CPU)
    assert options["use_tf32"] == "0"
    assert options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert "enable_cuda_graph" not in options


def test_errors_of_the_runtime_have_a_kind(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"no graph at all")
    with pytest.raises(RuntimeError, match=r"broken\.onnx"):
        open_session(runtime, tmp_path / "broken.onnx", CPU)
    with pytest.raises(KeyError), runtime_errors():  # others stay what they are
        raise KeyError


def test_types_stay_as_they_are_in_the_file(tmp_path: Path) -> None:
    runtime = FakeRuntime(["CoreMLExecutionProvider", "OpenVINOExecutionProvider", "DmlExecutionProvider"])
    for name in runtime.get_available_providers():
        open_session(runtime, Path("frame.onnx"), name, cache=tmp_path / "compiled")
    (_, apple, ((_, coreml), _)), (_, intel, ((_, openvino), _)), (_, windows, directml) = runtime.opened
    assert coreml["ModelFormat"] == "MLProgram"
    assert coreml["MLComputeUnits"] == "CPUAndGPU"
    assert coreml["ModelCacheDirectory"] == str(tmp_path / "compiled")
    assert (tmp_path / "compiled").is_dir()
    assert openvino == {"precision": "ACCURACY"}
    assert directml == ["DmlExecutionProvider", CPU]
    assert [apple.enable_mem_pattern, intel.enable_mem_pattern, windows.enable_mem_pattern] == [True, True, False]


def test_nothing_is_printed_and_the_processor_has_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    runtime = FakeRuntime([CUDA, CPU])
    open_session(runtime, Path("frame.onnx"), CUDA)
    open_session(runtime, Path("frame.onnx"), CPU)
    assert runtime.opened[1][2] == [CPU]
    assert capsys.readouterr().out == ""


def test_a_silent_fall_back_is_an_error_with_its_cause() -> None:
    runtime = FakeRuntime([CUDA, CPU], works=[])
    load = loader({"providers_cuda": f"libcudnn.so.9: {OPEN}"})
    with pytest.raises(RuntimeError, match=r"^libcudnn\.so\.9 is missing \(this ONNX Runtime needs cuDNN 9\)$"):
        open_session(runtime, Path("frame.onnx"), CUDA, load=load)
    with pytest.raises(RuntimeError, match=r"^ONNX Runtime could not start it; "):
        open_session(runtime, Path("frame.onnx"), CUDA, load=loader({}))


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (loader({}), ""),
        (
            loader({"providers_cuda": f"libcublasLt.so.13: {OPEN}"}),
            "libcublasLt.so.13 is missing (this ONNX Runtime needs CUDA 13)",
        ),
        (
            loader({"providers_cuda": f"libcublasLt.so.13: {OPEN}", "libcuda": OPEN, "nvcuda": OPEN}),
            "no NVIDIA driver is installed, and libcublasLt.so.13 is missing (this ONNX Runtime needs CUDA 13)",
        ),
        (
            loader({"providers_cuda": f"libcuda.so.1: {OPEN}", "libcuda": OPEN, "nvcuda": OPEN}),
            "no NVIDIA driver is installed",
        ),
        (loader({}, code=100), "the NVIDIA driver finds no working card (error 100)"),
        (loader({}, cards=0), "the NVIDIA driver finds no card"),
        (loader({}, driver=12040), "the driver of  supports CUDA 12.4, but this ONNX Runtime needs CUDA 13"),
        (
            loader({"providers_cuda": r"Could not find module 'C:\o\cuda.dll' (or"}),
            "a library that cuda.dll needs is missing (this ONNX Runtime needs CUDA 13.0 and cuDNN)",
        ),
    ],
)  # fmt: skip
def test_cause_of_a_missing_cuda(load: Callable[[str], Any], words: str) -> None:
    assert cuda_fault(FakeRuntime([CUDA, CPU]), load) == words


def test_what_a_linkers_message_means() -> None:
    assert missing_library(f"libcudart.so.12: {OPEN}", "12.8") == (
        "libcudart.so.12 is missing (this ONNX Runtime needs CUDA 12)"
    )
    assert missing_library(f"libz.so.1: {OPEN}") == "libz.so.1 is missing"
    assert missing_library("undefined symbol: Provider_GetHost") == ""


@pytest.mark.parametrize(
    ("provider", "devices", "kind"),
    [
        (CUDA, ("cuda",), "cuda"), (CUDA, (), ""), (RTX, ("gpu",), "gpu"), (RTX, ("cuda", "gpu"), "cuda"),
        ("DmlExecutionProvider", ("dml",), "dml"), (CPU, ("cuda",), ""), ("OpenVINOExecutionProvider", ("cuda",), ""),
    ],
)  # fmt: skip
def test_buffers_lie_where_the_provider_can_reach_them(provider: str, devices: tuple[str, ...], kind: str) -> None:
    assert memory_of(FakeRuntime([CPU], devices=devices), provider).get("device_type", "") == kind


def test_a_memory_that_loses_values_is_not_used() -> None:
    runtime = FakeRuntime([CPU])
    lossy = FakeValue(np.zeros(4), {})
    lossy.update_inplace = lambda _values: None  # type: ignore[method-assign]
    runtime.OrtValue.ortvalue_from_shape_and_type = lambda *_args, **_where: lossy
    assert memory_of(runtime, CUDA) == {}


def files(**others: str) -> Any:
    names = dict.fromkeys(("appearance", "motion")) | {n: n for n in ("source", "frame", "generator")} | others
    return SimpleNamespace(**{name: path and Path(f"{path}.onnx") for name, path in names.items()})


def test_on_a_card_only_keypoints_go_in_and_the_picture_comes_out() -> None:
    runner = OnnxRunner(files(), CUDA, runtime=FakeRuntime([CUDA, CPU], devices=("cuda",)))
    assert runner.label == "CUDAExecutionProvider, buffers on cuda"
    volume, points = np.full((1, 21, 3), 2.0, np.float32), np.ones((1, 21, 3), np.float32)
    source = runner.prepare(volume, points)
    before = FakeValue.updates
    feature = runner.warp(source, points)
    image = runner.draw(feature)
    assert FakeValue.updates == before + 1  # the driving keypoints
    assert (image == 2 * 2 * (2.0 + 2 * 2.0 + 1.0)).all()
    bound = source[0].bound
    assert bound["out"] is feature.value is runner._drawing.bound["feature"]  # W writes where G reads
    assert {value.where["device_type"] for value in (*bound.values(), *runner._drawing.bound.values())} == {"cuda"}


def test_a_card_whose_memory_cant_be_used_gets_the_processors() -> None:
    runner = OnnxRunner(files(), CUDA, runtime=FakeRuntime([CUDA, CPU]))
    points = np.ones((1, 21, 3), np.float32)
    assert runner.memory == {}
    assert (runner.draw(runner.warp(runner.prepare(points, points), points)) == 2 * 2 * (1 + 2 + 1)).all()


def test_f_and_m_run_where_their_files_are() -> None:
    runtime = FakeRuntime([CUDA, CPU], devices=("cuda",))
    assert OnnxRunner(files(), CUDA, runtime=runtime).readers is None
    readers = OnnxRunner(files(appearance="appearance", motion="motion"), CUDA, runtime=runtime).readers
    assert readers is not None
    image = np.ones((1, 3, 4, 4), np.float32)
    assert (readers[0](image) == 2).all()
    assert set(readers[1](image)) == {"kp", "scale"}
