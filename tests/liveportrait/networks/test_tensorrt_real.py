"""TensorRT-RTX itself: F, M, W and G compiled without a card, from files that ONNX Runtime runs as PyTorch does."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx (extra 'tensorrt-rtx') is not installed")
torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra 'tensorrt-rtx') is not installed")
pytest.importorskip("onnxscript", reason="onnxscript (extra 'tensorrt-rtx') is not installed")

from liveportrait.engines.cuda_card import Card, NoCardError, find_card  # noqa: E402
from liveportrait.engines.runtime import checkpoint_files, plain_networks  # noqa: E402
from liveportrait.engines.tensorrt import EngineBuildError, TensorRtRuntime, build_engines  # noqa: E402
from liveportrait.engines.tensorrt_build import BuildCancelledError, build_engine  # noqa: E402
from liveportrait.engines.tensorrt_cache import EngineCache, EngineKey, write_engine  # noqa: E402
from liveportrait.engines.tensorrt_library import (  # noqa: E402
    FLAGS,
    TARGETS,
    Library,
    UnknownOperatorError,
    compile_file,
    find_library,
)
from liveportrait.engines.tensorrt_runtime import BoundNetwork  # noqa: E402
from liveportrait.networks.fast.export import export_one  # noqa: E402

pytestmark = pytest.mark.xdist_group("exports")  # with --dist loadgroup, one worker writes the files
ROOT = Path(__file__).resolve().parents[3]
BANDS = {"appearance": (3, 6), "motion": (110, 130), "warping": (90, 110), "generator": (105, 125)}
"""Megabytes of each engine."""
HEAVY = {"Softmax", "GridSample", "Exp", "Abs", "Floor", "InstanceNormalization", "Sigmoid"}


@pytest.fixture(scope="module")
def made(weights_folder, onnx_folder, tmp_path_factory):
    """The four engines in fp16, their ONNX files, and what was told."""
    cache, steps = EngineCache(tmp_path_factory.mktemp("tensorrt") / "engines"), []
    paths = build_engines(
        weights_folder, library="tensorrt-rtx", cache=cache, exports=onnx_folder, progress=steps.append,
        say=lambda _: None,
    )  # fmt: skip
    keys = [entry.key for entry in cache.entries()]
    files = {key.network: onnx_folder / f"{key.source}-{key.onnx}.onnx" for key in keys}
    return cache, dict(zip(BANDS, paths, strict=True)), files, steps


@pytest.fixture(scope="module")
def plain(weights_folder):
    return plain_networks(checkpoint_files(weights_folder, "human"))


def test_all_networks_compile_without_a_card(made):
    cache, paths, _, steps = made
    for name, path in paths.items():
        low, high = BANDS[name]
        assert low < path.stat().st_size / 1e6 < high, name
    entries = {entry.key.network: entry for entry in cache.entries(thorough=True)}
    assert set(entries) == set(BANDS)
    assert not any(entry.fault for entry in entries.values())
    assert all(entry.seconds < 60 for entry in entries.values())
    assert {entry.key.target for entry in entries.values()} == {"portable"}
    assert list(cache.folder.glob(".*")) == []
    assert {(step.network, step.number) for step in steps} == {(name, i + 1) for i, name in enumerate(BANDS)}
    assert {"ONNX", "Building engine", "Optimizing graph"} <= {step.phase for step in steps}


def test_nothing_is_compiled_twice(made, weights_folder, onnx_folder):
    cache, paths, _, _ = made
    times = {path: path.stat().st_mtime_ns for path in paths.values()}
    said: list[str] = []
    again = build_engines(weights_folder, library="tensorrt-rtx", cache=cache, exports=onnx_folder, say=said.append)
    assert again == list(paths.values())
    assert not said
    assert {path: path.stat().st_mtime_ns for path in again} == times


def layers(path: Path) -> Counter[str]:
    """Layers that the library makes of a file."""
    log = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(log).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    assert parser.parse_from_file(str(path))
    return Counter(network.get_layer(index).type.name for index in range(network.num_layers))


def test_the_sampling_in_five_dimensions_is_taken_as_it_is(made):
    _, _, files, _ = made
    counts = layers(files["warping"])
    assert counts["GRID_SAMPLE"] == 1
    assert not any("PLUGIN" in name for name in counts)


def test_gathers_compile_too(plain, onnx_folder):
    path = export_one("warping", plain, onnx_folder, sampler="gather", half=True, size=32)
    assert layers(path)["GRID_SAMPLE"] == 0
    engine = compile_file(trt, path, target="portable", flags=FLAGS, progress=lambda *_: None)
    assert 90e6 < engine.nbytes < 110e6


def test_types_in_the_files(made):
    _, _, files, _ = made
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for name, singles in (("warping", 2), ("generator", 0)):
        model = onnx.shape_inference.infer_shapes(onnx.load(files[name]), data_prop=True)
        types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
        types |= {weight.name: weight.data_type for weight in model.graph.initializer}
        convs = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
        assert convs.count(half) == len(convs) - singles
        nodes = [node for node in model.graph.node if node.op_type in HEAVY]
        assert nodes
        assert all(types[node.output[0]] == full for node in nodes)
    for name in ("appearance", "motion"):
        assert {weight.data_type for weight in onnx.load(files[name]).graph.initializer} <= {
            full, onnx.TensorProto.INT64,
        }  # fmt: skip


class OnTheProcessor:
    """The library's runtime as a stand-in that runs the very ONNX file, through the addresses that it is given."""

    float32, float16 = "tensor(float)", "tensor(float16)"
    TensorIOMode = SimpleNamespace(INPUT="in")

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None:
            self.level = level

    class Runtime:
        def __init__(self, log: object) -> None:
            self.log = log

        def deserialize_cuda_engine(self, data: memoryview) -> OnTheProcessor.Engine:
            return OnTheProcessor.Engine(bytes(data).decode())

    class Engine:
        def __init__(self, path: str) -> None:
            import onnxruntime

            self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            self.inputs = {value.name: value for value in self.session.get_inputs()}
            self.values = self.inputs | {value.name: value for value in self.session.get_outputs()}
            self.num_io_tensors = len(self.values)
            self.addresses: dict[str, int] = {}

        def get_tensor_name(self, index: int) -> str:
            return list(self.values)[index]

        def get_tensor_mode(self, name: str) -> str:
            return "in" if name in self.inputs else "out"

        def get_tensor_shape(self, name: str) -> list[int]:
            return self.values[name].shape

        def get_tensor_dtype(self, name: str) -> str:
            return self.values[name].type

        def create_execution_context(self) -> OnTheProcessor.Engine:
            return self

        def set_tensor_address(self, name: str, address: int) -> bool:
            self.addresses[name] = address
            return True

        def memory(self, name: str) -> np.ndarray:
            shape = self.values[name].shape
            pointer = ctypes.cast(self.addresses[name], ctypes.POINTER(ctypes.c_float))
            return np.ctypeslib.as_array(pointer, (int(np.prod(shape)),)).reshape(shape)

        def execute_async_v3(self, handle: int) -> bool:
            made = self.session.run(None, {name: self.memory(name) for name in self.inputs})
            for value, array in zip(self.session.get_outputs(), made, strict=True):
                self.memory(value.name)[:] = array
            return True


def test_the_engine_draws_what_pytorch_draws(made, plain, onnx_folder, tmp_path, monkeypatch, caplog):
    """With the real files: names, shapes and types fit, and its picture is that of PyTorch in float32."""
    _, _, files, _ = made

    def build(key, onnx_, cache, **_):
        with cache.new_part() as part:
            with part.open("wb") as stream:
                write_engine(stream, key, str(onnx_).encode(), 0.0)
            return cache.adopt(key, part)

    monkeypatch.setattr("liveportrait.engines.precision.LOWEST_PSNR", 45.0)
    cache = EngineCache(tmp_path)
    engine = TensorRtRuntime(
        plain, device="cpu", precision="fp16", exports=onnx_folder, cache=cache, build=build,
        card=Card("NVIDIA H100 80GB HBM3", (9, 0)), library=Library("tensorrt", "11.4.0", OnTheProcessor),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        engine.ready()
    assert not caplog.records
    assert engine.precision == "fp16"
    entries = cache.entries(thorough=True)
    assert {entry.key.target for entry in entries} == {"NVIDIA H100 80GB HBM3 sm90"}
    assert {bytes(cache.read(entry.key)).decode() for entry in entries} == {str(path) for path in files.values()}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target(made, target):
    _, _, files, _ = made
    engine = compile_file(trt, files["appearance"], target=target, flags=FLAGS, progress=lambda *_: None)
    assert engine.nbytes > 3e6


def test_an_unknown_operator(made, tmp_path):
    _, _, files, _ = made
    model = onnx.load(files["warping"])
    next(node for node in model.graph.node if node.op_type == "GridSample").op_type = "GridSample3D"
    path = tmp_path / "old.onnx"
    onnx.save(model, path)
    with pytest.raises(UnknownOperatorError, match=r"old.onnx can't be read: .*(Plugin|GridSample3D)"):
        compile_file(trt, path, target="portable", flags=FLAGS, progress=lambda *_: None)


def test_a_damaged_onnx_file_is_refused(made, tmp_path):
    _, _, files, _ = made
    path = tmp_path / "cut.onnx"
    path.write_bytes(files["appearance"].read_bytes()[:1000])
    with pytest.raises(UnknownOperatorError, match=r"cut.onnx can't be read"):
        compile_file(trt, path, target="portable", flags=FLAGS, progress=lambda *_: None)


def test_a_real_build_is_stopped(made, tmp_path):
    _, _, files, _ = made
    cache, steps = EngineCache(tmp_path / "engines"), []
    version = find_library(None).version
    key = EngineKey("warping", "fp16", "w", "0" * 16, "tensorrt-rtx", version, "portable", FLAGS)
    with pytest.raises(BuildCancelledError):
        build_engine(
            key, files["warping"], cache, progress=lambda *step: steps.append(step), cancelled=lambda: bool(steps)
        )
    assert list(cache.folder.iterdir()) == []


def test_ctrl_c_on_the_command_line(made, weights_folder, tmp_path):
    """Stopped while W is compiled: exit code 4, one line; what was finished before stays and nothing else is there."""
    from models.weights import import_model

    _, _, files, _ = made
    environment = os.environ | {"PORTRAIT_MODELS": str(tmp_path), "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAIT_MODELS", str(tmp_path))
        import_model("liveportrait/human", weights_folder, True)
    (tmp_path / "onnx").mkdir()
    for path in files.values():
        (tmp_path / "onnx" / path.name).symlink_to(path)
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "engines", "build", "--library", "tensorrt-rtx"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Compiling the warping"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait(timeout=300) == 4
    assert rest.splitlines()[-1] == "animate: error: Stopped; what was compiled before is kept."
    process.stderr.close()
    assert {entry.key.network for entry in EngineCache(tmp_path / "engines").entries()} == {"appearance", "motion"}
    assert list((tmp_path / "engines").glob(".*")) == []


def test_an_engine_without_a_driver_is_one_sentence(made):
    try:
        find_card()
    except NoCardError:
        pass
    else:
        pytest.skip("this machine has an NVIDIA card")
    cache, paths, _, _ = made
    engine = cache.read(next(e.key for e in cache.entries() if e.path == paths["appearance"]))
    with pytest.raises(RuntimeError, match="the driver can't load the engine"):
        BoundNetwork(trt, engine, torch.device("cpu"))


def test_a_folder_that_can_not_be_written(weights_folder, onnx_folder, tmp_path):
    (tmp_path / "engines").write_text("a file where the folder should be")
    with pytest.raises(EngineBuildError, match=r"engines can't be written: (File exists|Not a directory)"):
        build_engines(
            weights_folder, library="tensorrt-rtx", cache=EngineCache(tmp_path / "engines"), exports=onnx_folder
        )


def test_export_tool_writes_the_files_that_are_compiled(made, weights_folder, onnx_folder):
    _, _, files, _ = made
    before = {path: path.stat().st_mtime_ns for path in onnx_folder.glob("*.onnx")}
    command = [sys.executable, "tools/export_onnx.py", str(weights_folder), str(onnx_folder), "--all", "--half"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert [Path(line.rpartition(" (")[0]) for line in done.stdout.splitlines()] == [files[name] for name in BANDS]
    assert {path: path.stat().st_mtime_ns for path in onnx_folder.glob("*.onnx")} == before
