"""The tensorrt engine with a stand-in for the library's runtime, which works on memory through bare addresses."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from liveportrait.engines import EngineUnavailableError, load_engine  # noqa: E402
from liveportrait.engines.cuda_card import Card, NoCardError, find_card  # noqa: E402
from liveportrait.engines.liveportrait import LivePortraitEngine  # noqa: E402
from liveportrait.engines.tensorrt import EngineBuildError, EngineMaker, TensorRtRuntime  # noqa: E402
from liveportrait.engines.tensorrt_build import BuildCancelledError  # noqa: E402
from liveportrait.engines.tensorrt_cache import EngineCache, EngineKey, write_engine  # noqa: E402
from liveportrait.engines.tensorrt_library import Library, UnknownOperatorError  # noqa: E402
from liveportrait.engines.tensorrt_runtime import BoundNetwork, side_stream  # noqa: E402
from liveportrait.engines.torch import TorchRuntime  # noqa: E402
from liveportrait.networks import NAMES  # noqa: E402
from liveportrait.networks.motion_extractor import HEADS  # noqa: E402
from models.registry import ModelError  # noqa: E402

CARD = Card("NVIDIA GeForce RTX 4090", (8, 9), (13, 0))
CPU = torch.device("cpu")
IMAGE, VOLUME, POINTS = (1, 3, 256, 256), (1, 32, 16, 64, 64), (1, 21, 3)
SHAPES = {
    "appearance": ({"image": IMAGE}, {"feature_3d": VOLUME}),
    "motion": ({"image": IMAGE}, {name: (1, size) for name, size in HEADS.items()}),
    "warping": ({"feature_3d": VOLUME, "kp_source": POINTS, "kp_driving": POINTS}, {"out": (1, 256, 64, 64)}),
    "generator": ({"feature": (1, 256, 64, 64)}, {"image": (1, 3, 512, 512)}),
}


class F(torch.nn.Module):
    def forward(self, image: Any) -> Any:
        small = torch.nn.functional.avg_pool2d(image, 4).mean(1, keepdim=True)
        return small[:, :, None].expand(len(image), *VOLUME[1:]).contiguous()


class M(torch.nn.Module):
    def forward(self, image: Any) -> dict[str, Any]:
        level, tilt = image.mean(), image[..., :128].mean() - image[..., 128:].mean()
        heads = {name: torch.linspace(-1, 1, size)[None] * level + tilt for name, size in HEADS.items()}
        return heads | {"scale": torch.ones(1, 1), "t": torch.zeros(1, 3)}


class W(torch.nn.Module):
    def forward(self, feature_3d: Any, kp_driving: Any, kp_source: Any) -> dict[str, Any]:
        shift = (kp_driving - kp_source).mean((1, 2))[:, None, None, None]
        return {"out": (feature_3d[:, :16].flatten(1, 2) + shift).contiguous()}


class G(torch.nn.Module):
    def forward(self, feature: Any) -> Any:
        picture = torch.nn.functional.interpolate(feature[:, :3], scale_factor=8)
        return (0.3 + 0.5 * picture).clamp(0, 1)


def plain() -> dict[str, Any]:
    own = {
        "appearance_feature_extractor": F(), "motion_extractor": M(), "warping_module": W(), "spade_generator": G(),
    }  # fmt: skip
    return own | {name: torch.nn.Identity() for name in NAMES if name not in own}


def compute(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the compiled network of a name does."""
    if name == "appearance":
        return {"feature_3d": F()(given["image"])}
    if name == "motion":
        return M()(given["image"])
    if name == "warping":
        return W()(**given)
    return {"image": G()(given["feature"])}


class Context:
    def __init__(self, engine: Stand) -> None:
        self.engine, self.addresses, self.runs = engine, {}, []

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def view(self, name: str, shape: tuple[int, ...]) -> Any:
        count = int(np.prod(shape))
        pointer = ctypes.cast(self.addresses[name], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (count,)).reshape(shape)

    def execute_async_v3(self, handle: int) -> bool:
        inputs, outputs = SHAPES[self.engine.name]
        self.runs.append(handle)
        given = {name: torch.from_numpy(self.view(name, shape).copy()) for name, shape in inputs.items()}
        made = compute(self.engine.name, given)
        for name, shape in outputs.items():
            self.view(name, shape)[:] = made[name].numpy() * self.engine.trt.gain
        return not self.engine.trt.fails


class Stand:
    """An engine of the stand-in."""

    def __init__(self, trt: Any, name: str) -> None:
        self.trt, self.name = trt, name
        self.inputs, self.outputs = SHAPES[name]
        self.names = [*self.inputs, *self.outputs]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self.inputs else "out"

    def get_tensor_shape(self, name: str) -> list[int]:
        return list({**self.inputs, **self.outputs}[name])

    def get_tensor_dtype(self, name: str) -> str:
        return self.trt.types.get(name, "f4")

    def create_runtime_config(self) -> Any:
        self.config = SimpleNamespace(create_runtime_cache=lambda: self.trt.kernels, cuda_graph_strategy=0)
        self.config.set_runtime_cache = lambda cache: None
        return self.config

    def create_execution_context(self, config: Any = None) -> Any:
        context = None if self.trt.full else Context(self)
        self.trt.contexts.append(context)
        return context


class Kernels:
    def __init__(self) -> None:
        self.given: list[bytes] = []

    def deserialize(self, data: bytes) -> bool:
        self.given.append(data)
        return True

    def serialize(self) -> bytes:
        return b"kernels"


class StandIn:
    """Module of the library."""

    float32, float16 = "f4", "f2"
    TensorIOMode = SimpleNamespace(INPUT="in")
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE=1)

    def __init__(self, *, refuses: int = 0, gain: float = 1.0, fails: bool = False, full: bool = False) -> None:
        self.refuses, self.gain, self.fails, self.full = refuses, gain, fails, full
        self.types: dict[str, str] = {}
        self.contexts: list[Any] = []
        self.kernels = Kernels()

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None:
            self.level = level

    def Runtime(self, log: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=self.deserialize)

    def deserialize(self, data: memoryview) -> Any:
        if self.refuses > 0:
            self.refuses -= 1
            return None
        name, _, form = bytes(data).decode().partition(" ")
        engine = Stand(self, name)
        if form == "fp16" and self.gain != 1.0:
            return engine
        if form != "fp16":
            engine.trt = SimpleNamespace(**{**vars(self), "gain": 1.0})
        return engine


class Builder:
    """Writes engines that name their network and type, and counts them."""

    def __init__(self, refuses: str = "") -> None:
        self.made: list[str] = []
        self.refuses = refuses

    def __call__(self, key: EngineKey, onnx: Path, cache: EngineCache, *, progress: Any, cancelled: Any) -> Path:
        if self.refuses == "native" and "native" in key.source:
            raise UnknownOperatorError(f"{onnx.name} can't be read: GridSample")
        if self.refuses == "all":
            raise RuntimeError("no kernel fits")
        self.made.append(key.source)
        progress("Optimizing graph", 1, 2)
        with cache.new_part() as part:
            with part.open("wb") as stream:
                write_engine(stream, key, f"{key.network} {key.precision}".encode(), 0.5)
            return cache.adopt(key, part)


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Exported files that hold nothing but their names."""
    folder = tmp_path / "onnx"
    folder.mkdir()

    def export(part: str, networks: Any, where: Path, *, sampler: str, half: bool, say: Any) -> Path:
        form = f"{part}-{sampler}-{'fp16' if half else 'fp32'}" if part in ("warping", "generator") else f"{part}-fp32"
        return where / f"{form}-weights-0123456789abcdef.onnx"

    monkeypatch.setattr("liveportrait.networks.fast.export.export_one", export)
    return folder


def library(**how: Any) -> Library:
    return Library("tensorrt-rtx", "1.7.1", StandIn(**how))


@pytest.fixture
def maker(tmp_path: Path, exports: Path) -> Callable[..., EngineMaker]:
    def make(build: Any, **how: Any) -> EngineMaker:
        named = {"library": library(), "targets": ("sm89", "portable"), **how}
        return EngineMaker(
            plain(), named.pop("library"), named.pop("targets"), exports=exports, cache=EngineCache(tmp_path / "e"),
            build=build, **named,
        )  # fmt: skip

    return make


# ---------------------------------------------------------------------- what is compiled


def test_networks_are_compiled_once(maker: Callable[..., EngineMaker]) -> None:
    build, steps, said = Builder(), [], []
    compiled = maker(build, progress=steps.append, say=said.append).get("fp16")
    assert [bytes(engine) for _, engine in compiled.files.values()] == [
        b"appearance fp32", b"motion fp32", b"warping fp16", b"generator fp16",
    ]  # fmt: skip
    assert build.made == [
        "appearance-fp32-weights", "motion-fp32-weights",
        "warping-native-fp16-weights", "generator-native-fp16-weights",
    ]  # fmt: skip
    assert [(s.network, s.number, s.total) for s in steps[::2]] == [
        ("appearance", 1, 4), ("motion", 2, 4), ("warping", 3, 4), ("generator", 4, 4),
    ]  # fmt: skip
    assert said[0] == "Compiling the appearance network by tensorrt-rtx 1.7.1 for portable."
    maker(build).get("fp16")
    assert len(build.made) == 4
    maker(build).get("fp32")
    assert len(build.made) == 6  # F and M are the same
    maker(build).get("fp32", rebuild=True)
    assert len(build.made) == 10


def test_an_engine_for_the_very_card_comes_first(maker: Callable[..., EngineMaker]) -> None:
    build = Builder()
    maker(build, targets=("sm89",)).get("fp16")
    compiled = maker(build).get("fp16")
    assert {key.target for key, _ in compiled.files.values()} == {"sm89"}
    assert len(build.made) == 4


def test_an_engine_for_the_very_card_is_made_again_for_it(maker: Callable[..., EngineMaker]) -> None:
    """Whether it is damaged, outdated or refused by the driver: the wide one isn't compiled beside it at each start."""
    build, warned = Builder(), []
    first = maker(build, targets=("sm89",))
    key, _ = first.get("fp16").files["warping"]
    first.cache.path_of(key).write_bytes(b"broken")
    assert maker(build, warn=warned.append).get("fp16").files["warping"][0].target == "sm89"
    assert warned == ["The engine of the warping network is damaged; it is compiled again."]
    assert {each.target for each, _ in maker(build).get("fp16", rebuild=True).files.values()} == {"sm89"}
    newer = Library("tensorrt-rtx", "1.8.0", StandIn())
    compiled = maker(build, warn=warned.append, library=newer).get("fp16")
    assert {each.target for each, _ in compiled.files.values()} == {"sm89"}
    assert {entry.key.target for entry in first.cache.entries() if entry.key} == {"sm89"}


def test_damaged_and_outdated_engines_are_compiled_again(maker: Callable[..., EngineMaker]) -> None:
    build, warned = Builder(), []
    first = maker(build)
    key, _ = first.get("fp16").files["warping"]
    first.cache.path_of(key).write_bytes(b"broken")
    maker(build, warn=warned.append).get("fp16")
    assert warned == ["The engine of the warping network is damaged; it is compiled again."]
    assert len(build.made) == 5
    newer = Library("tensorrt-rtx", "1.8.0", StandIn())
    warned.clear()
    maker(build, warn=warned.append, library=newer).get("fp16")
    assert warned[0] == "The engine of the appearance network was compiled by tensorrt-rtx 1.7.1; it is compiled again."
    assert len(warned) == 4
    assert {entry.key.version for entry in first.cache.entries() if entry.key} == {"1.8.0"}


def test_without_a_native_sampler_gathers_are_compiled(maker: Callable[..., EngineMaker]) -> None:
    build, warned = Builder("native"), []
    compiled = maker(build, warn=warned.append).get("fp16")
    assert compiled.files["warping"][0].source == "warping-gather-fp16-weights"
    assert "eight gathers" in warned[0]


def test_what_can_not_be_compiled_is_one_sentence(maker: Callable[..., EngineMaker]) -> None:
    with pytest.raises(
        EngineBuildError, match=r"^tensorrt-rtx 1.7.1 can't compile the appearance network: no kernel fits.$"
    ):
        maker(Builder("all")).get("fp16")


def test_the_work_can_be_stopped_between_networks(maker: Callable[..., EngineMaker]) -> None:
    build = Builder()
    with pytest.raises(BuildCancelledError):
        maker(build, cancelled=lambda: len(build.made) == 2).get("fp16")
    assert len(build.made) == 2


# ---------------------------------------------------------------------- the runtime


def bound(trt: StandIn, name: str = "warping", **how: Any) -> BoundNetwork:
    return BoundNetwork(trt, memoryview(f"{name} fp32".encode()), CPU, **how)


def test_a_network_works_on_its_buffers() -> None:
    network = bound(StandIn(), stream=lambda: nullcontext(77))
    volume, source, driving = torch.rand(VOLUME), torch.rand(POINTS), torch.rand(POINTS)
    fixed = {"feature_3d": volume, "kp_source": source}
    out = network(fixed, {"kp_driving": driving})["out"]
    assert torch.equal(out, W()(volume, driving, source)["out"])
    assert out.data_ptr() == network.outputs["out"].data_ptr()
    volume += 1.0  # the same tensor counts as the same source: it isn't copied again
    network(fixed, {"kp_driving": driving})
    assert not torch.equal(network.inputs["feature_3d"], volume)
    network({"feature_3d": volume.clone(), "kp_source": source}, {"kp_driving": driving})
    assert torch.equal(network.inputs["feature_3d"], volume)


def test_the_stream_is_handed_over() -> None:
    trt = StandIn()
    network = BoundNetwork(trt, memoryview(b"generator fp16"), CPU, stream=lambda: nullcontext(77))
    network({}, {"feature": torch.rand(1, 256, 64, 64)})
    assert trt.contexts[0].runs == [77]
    with side_stream(CPU)() as handle:
        assert handle == 0


def test_networks_share_buffers() -> None:
    trt = StandIn()
    warping = bound(trt)
    generator = bound(trt, "generator", shared={"feature": warping.outputs["out"]})
    assert generator.inputs["feature"] is warping.outputs["out"]
    other = bound(trt, "generator", shared={"feature": torch.zeros(1, 2)})  # of another shape
    assert other.inputs["feature"].shape == (1, 256, 64, 64)


@pytest.mark.parametrize(
    ("trt", "words"),
    [
        (StandIn(refuses=1), "the driver can't load the engine"),
        (StandIn(full=True), "isn't enough memory"),
    ],
)
def test_engines_that_can_not_be_loaded(trt: StandIn, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        bound(trt)


def test_failures_of_a_run_and_of_types_are_told() -> None:
    with pytest.raises(RuntimeError, match="could not run a network"):
        bound(StandIn(fails=True))({}, {})
    trt = StandIn()
    trt.types["out"] = "i8"
    with pytest.raises(RuntimeError, match="engine's out has an unexpected type"):
        BoundNetwork(trt, memoryview(b"warping fp16"), CPU)


def test_kernels_are_kept(tmp_path: Path) -> None:
    trt, path = StandIn(), tmp_path / "a.kernels"
    bound(trt, kernels=path).keep_kernels()
    assert path.read_bytes().endswith(b"kernels")
    bound(trt, kernels=path)
    assert trt.kernels.given == [b"kernels"]
    path.write_bytes(path.read_bytes()[:-1])  # damaged: not handed to the driver
    bound(trt, kernels=path)
    assert len(trt.kernels.given) == 1
    bound(trt, kernels=tmp_path / "no" / "folder.kernels").keep_kernels()  # costs time later, not the work
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------- the engine


@pytest.fixture
def engine(tmp_path: Path, exports: Path) -> Callable[..., LivePortraitEngine]:
    def make(build: Any = None, precision: str = "auto", **how: Any) -> LivePortraitEngine:
        runtime = TensorRtRuntime(
            plain(), device="cpu", precision=precision, exports=exports, cache=EngineCache(tmp_path / "e"), card=CARD,
            library=library(**how), build=build or Builder(),
        )  # fmt: skip
        return LivePortraitEngine(runtime, plain())

    return make


def test_the_engine_draws_what_pytorch_draws(engine: Callable[..., LivePortraitEngine], astronaut: np.ndarray) -> None:
    own, reference = engine(), LivePortraitEngine(TorchRuntime(plain(), device="cpu"), plain())
    made = [each.encode_unseen(astronaut) for each in (own, reference)]
    np.testing.assert_array_equal(made[0].keypoints, made[1].keypoints)
    x_d = made[0].keypoints + np.linspace(-0.2, 0.2, 3, dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(own.render(made[0], x_d), reference.render(made[1], x_d))
    first = own.read_motion(astronaut[:256, :256], None)
    kept = first.delta.copy()
    own.read_motion(astronaut[::-1][:256, :256].copy(), None)
    np.testing.assert_array_equal(first.delta, kept)  # buffers are not handed out
    assert own.runtime.precision == "fp16"
    told = own.describe()
    assert (told["runtime"], told["card"], told["precision"]) == (
        "tensorrt-rtx 1.7.1", "NVIDIA GeForce RTX 4090 sm89", "fp16",
    )  # fmt: skip
    assert own.runtime._plain is None  # PyTorch's own are let go


def test_a_wrong_picture_in_half_precision_falls_back(
    engine: Callable[..., LivePortraitEngine], caplog: pytest.LogCaptureFixture
) -> None:
    made = engine(gain=1.2)
    with caplog.at_level(logging.WARNING):
        assert made.runtime.precision == "fp32"
    (record,) = [r for r in caplog.records if r.getMessage().startswith("Using ")]
    assert record.getMessage().startswith("Using fp32: fp16 failed (its image is only")
    with pytest.raises(ModelError, match="No runtime passed the self-test: fp16"):
        engine(gain=1.2, precision="fp16").warm_up()


def test_nan_is_refused(engine: Callable[..., LivePortraitEngine]) -> None:
    with pytest.raises(ModelError, match=r"fp16 failed \(it draws NaN"):
        engine(gain=float("nan"), precision="fp16").warm_up()


def test_an_engine_that_the_driver_refuses_is_compiled_once_more(
    engine: Callable[..., LivePortraitEngine], caplog: pytest.LogCaptureFixture
) -> None:
    build = Builder()
    with caplog.at_level(logging.WARNING):
        assert engine(build, refuses=1).runtime.precision == "fp16"
    assert len(build.made) == 8
    assert [r.getMessage() for r in caplog.records if "once" not in r.getMessage()][:1] == [
        "The compiled networks can't be used, because the driver can't load the engine; they are compiled again."
    ]
    with pytest.raises(ModelError, match=r"fp16 failed \(the driver can't load the engine\); fp32 failed"):
        engine(build, refuses=9).warm_up()


def test_refusals(engine: Callable[..., LivePortraitEngine]) -> None:
    with pytest.raises(ValueError, match="no bf16 files"):
        engine(precision="bf16")


def test_one_sentence_where_there_is_no_card() -> None:
    try:
        find_card()
    except NoCardError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has an NVIDIA card")
    with pytest.raises(EngineUnavailableError) as caught:
        load_engine("tensorrt")
    assert str(caught.value) == f"The tensorrt engine can't run here: it needs an NVIDIA graphics card, and {reason}."
