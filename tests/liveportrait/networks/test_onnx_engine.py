"""The onnx engine's self-test and what it goes on with, with runtimes that stand for good and bad ones."""

from __future__ import annotations

import logging
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
onnxruntime = pytest.importorskip("onnxruntime")

from liveportrait.engines import onnx as engines  # noqa: E402
from liveportrait.engines.liveportrait import LivePortraitEngine  # noqa: E402
from liveportrait.engines.memory import SpeedMemory  # noqa: E402
from liveportrait.engines.onnx import OnnxRuntime, OpenVinoRuntime  # noqa: E402
from liveportrait.engines.runtime import SourceFeatures  # noqa: E402
from liveportrait.networks.fast.motion import FastMotionExtractor  # noqa: E402
from liveportrait.networks.motion_extractor import HEADS  # noqa: E402
from models.registry import ModelError  # noqa: E402

CARD = "CUDAExecutionProvider"


class TorchRunner:
    """W and G of PyTorch, and a fault if wanted."""

    def __init__(self, label, networks, *, fault=None, reads=False):
        self.label, self._networks, self._fault, self.prepared = label, networks, fault, 0
        self.readers = (self._appearance, self._motion) if reads else None
        self.read, self.precision = 0, "fp32"

    def prepare(self, volume, kp_source):
        self.prepared += 1
        return torch.from_numpy(volume.copy()), torch.from_numpy(kp_source.copy())

    def warp(self, source, kp_driving):
        with torch.inference_mode():
            volume, kp_source = source
            return self._networks["warping_module"](volume, torch.from_numpy(kp_driving), kp_source)["out"]

    def draw(self, feature):
        with torch.inference_mode():
            picture = self._networks["spade_generator"](feature)
        return np.full(picture.shape, self._fault, np.float32) if self._fault is not None else picture.numpy()

    def _appearance(self, image):
        self.read += 1
        with torch.inference_mode():
            return self._networks["appearance_feature_extractor"](torch.from_numpy(image)).numpy()

    def _motion(self, image):
        self.read += 1
        with torch.inference_mode():
            return {k: v.numpy() for k, v in self._networks["motion_extractor"](torch.from_numpy(image)).items()}


class Appearance(torch.nn.Module):
    """Stands for F: small maps of the picture."""

    def forward(self, image):
        return torch.nn.functional.avg_pool2d(image, 32)[:, :, None]


class Motion(torch.nn.Module):
    """Stands for M: heads out of the picture's brightness."""

    def forward(self, image):
        values = 0.01 * torch.nn.functional.adaptive_avg_pool2d(image[:, 0], 16).flatten()
        return {name: values[:size][None] + (name == "scale") for name, size in HEADS.items()}


class Warping(torch.nn.Module):
    """Stands for W: maps shifted by the keypoints."""

    def forward(self, feature_3d, kp_driving, kp_source):
        return {"out": feature_3d[:, :, 0] + (kp_driving - kp_source).sum((1, 2)).reshape(-1, 1, 1, 1)}


@pytest.fixture
def small(networks):
    """F, M, W and G are stand-ins that take no time."""
    stands = {"warping_module": Warping(), "spade_generator": torch.nn.Sigmoid()}
    return networks | {"appearance_feature_extractor": Appearance(), "motion_extractor": Motion()} | stands


@pytest.fixture
def engine_with(small, monkeypatch):
    """Function: provider -> runner gives an engine, with ONNX Runtime said to have those providers."""

    def make(runners, kind=OnnxRuntime, networks=MappingProxyType({}), **how):
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(runners))
        monkeypatch.setattr(kind, "_start", lambda _self, name: started(runners[name]))
        return LivePortraitEngine(kind(small | networks, **how), small)

    def started(runner):
        if isinstance(runner, str):
            raise RuntimeError(runner)
        return runner

    return make


def test_a_bad_picture_is_passed_over_with_one_warning(engine_with, small, networks, caplog):
    good = TorchRunner("the processor", small)
    own = {"motion_extractor": networks["motion_extractor"]}
    runners = {CARD: TorchRunner("a card", small, fault=np.nan), "CPUExecutionProvider": good}
    engine = engine_with(runners, networks=own)
    with caplog.at_level(logging.WARNING):
        engine.warm_up()
        engine.warm_up()
    assert [record.getMessage() for record in caplog.records] == [
        f"Using CPUExecutionProvider: {CARD} failed (it draws NaN)."
    ]
    assert engine.describe()["device"] == "the processor"
    assert isinstance(engine.runtime._readers[1], FastMotionExtractor)
    assert engine.runtime._plain is None  # PyTorch's own are let go


def test_grey_pictures_and_missing_libraries_are_named(engine_with, small):
    runners = {CARD: "libcudnn.so.9 is missing", "CPUExecutionProvider": TorchRunner("grey", small, fault=0.5)}
    with pytest.raises(ModelError, match=rf"{CARD} failed \(libcudnn.so.9 is missing\); CPU.* is only \d\d\.\d dB"):
        engine_with(runners).warm_up()


def test_what_test_pictures_showed_is_remembered(engine_with, small, tmp_path, monkeypatch, caplog):
    runners = {CARD: TorchRunner("a card", small, fault=np.nan), "CPUExecutionProvider": TorchRunner("good", small)}

    def started(key):
        engine = engine_with(runners)
        engine.runtime.remember_in(SpeedMemory(tmp_path / "speed.json"), key)
        with caplog.at_level(logging.WARNING):
            return engine.describe()["device"]

    assert started("these weights") == "good"
    monkeypatch.setattr(OnnxRuntime, "_fault", lambda *_: pytest.fail("an image was drawn"))
    assert started("these weights") == "good"
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [f"Using CPUExecutionProvider: {CARD} failed (it draws NaN)."] * 2
    with pytest.raises(pytest.fail.Exception):
        started("other weights")
    (tmp_path / "speed.json").write_text('{"these weights": {"verdicts": {"good, fp32": 3, "a card, fp32": 0}}}')
    with pytest.raises(pytest.fail.Exception):  # what makes no sense counts as not known
        started("these weights")


def test_f_and_m_run_on_the_card(engine_with, small):
    runner = TorchRunner("a card", small, reads=True)
    engine = engine_with({CARD: runner})
    engine.warm_up()
    before = runner.read
    crop = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    portrait = engine.encode(crop, None)
    motion = engine.read_motion(crop, None)
    assert runner.read == before + 3  # F and M, then M
    assert np.allclose(motion.delta, portrait.motion.delta, atol=1e-3)


def test_a_source_is_prepared_once(engine_with, small):
    runner = TorchRunner("the processor", small)
    engine = engine_with({"CPUExecutionProvider": runner})
    engine.warm_up()
    random = np.random.default_rng(1)
    features = [
        SourceFeatures(torch.from_numpy(random.standard_normal((1, 3, 1, 8, 8)).astype(np.float32)), points)
        for points in torch.zeros(6, 1, 21, 3)
    ]
    before, points = runner.prepared, torch.zeros(1, 21, 3)
    for each in (features[0], features[1], features[0], features[1]):
        engine.runtime.warp(each, points)
    assert runner.prepared == before + 2
    for each in features[2:]:
        engine.runtime.warp(each, points)
    engine.runtime.warp(features[0], points)  # four newer ones have taken its place
    assert runner.prepared == before + 7


def test_openvino_tries_float32_last(engine_with, small, monkeypatch, caplog):
    monkeypatch.setattr(engines, "has_bfloat16", lambda: True)
    runners = {"bf16": TorchRunner("low", small, fault=0.0), "fp32": TorchRunner("full", small)}
    engine = engine_with(runners, OpenVinoRuntime)
    with caplog.at_level(logging.WARNING):
        assert engine.describe()["device"] == "full"
    assert caplog.records[0].getMessage().startswith("Using fp32: bf16 failed (its image is only ")


@pytest.mark.parametrize(
    ("how", "bfloat16", "types"),
    [
        ({}, True, ["bf16", "fp32"]), ({}, False, ["fp32"]), ({"precision": "bf16"}, False, ["bf16", "fp32"]),
        ({"precision": "fp32"}, True, ["fp32"]), ({"device": "gpu"}, False, ["fp16", "fp32"]),
    ],
)  # fmt: skip
def test_types_of_openvino(networks, monkeypatch, how, bfloat16, types):
    monkeypatch.setattr(engines, "has_bfloat16", lambda: bfloat16)
    assert OpenVinoRuntime(dict(networks), **how)._types == types


def test_what_is_written_for_whom(networks, monkeypatch, tmp_path):
    """Cards get F, M and the plain form, the processor the one with fewer products."""
    asked = []
    monkeypatch.setattr("liveportrait.networks.fast.export.export_networks", lambda *_, **how: asked.append(how))
    monkeypatch.setattr(engines, "check_provider", lambda *_: None)
    monkeypatch.setattr(engines, "OnnxRunner", lambda *_, **__: SimpleNamespace())
    engine = OnnxRuntime(dict(networks), precision="fp16", cache=tmp_path)
    for name in (CARD, "CoreMLExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"):
        engine._start(name)
    kept = [(how["sampler"], how["half"], how["processor"], how["readers"]) for how in asked]
    assert kept == [
        ("native", "fp16", False, True), ("gather", "fp16", False, True),
        ("gather", "fp16", True, False), ("native", "fp16", True, False),
    ]  # fmt: skip
