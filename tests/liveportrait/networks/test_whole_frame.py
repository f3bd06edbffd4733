"""The whole frame on the device against the same frame by way of numpy: motion, stitching, paste-back, the chain."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tools"))

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from benching.whole_frame import (  # noqa: E402
    WholeFrame,
    area_weights,
    degrees,
    frame_motion,
    frame_place,
    one_graph,
    rotations,
)

from liveportrait.compose import Compositor  # noqa: E402
from liveportrait.crop import Crop  # noqa: E402
from liveportrait.engines.liveportrait import LivePortraitEngine  # noqa: E402
from liveportrait.engines.memory import SpeedMemory  # noqa: E402
from liveportrait.engines.torch_fast import COMPILED, EAGER, FastRuntime  # noqa: E402
from liveportrait.motion import headpose_degrees, rotation_from_euler  # noqa: E402
from liveportrait.options import AnimationOptions  # noqa: E402
from liveportrait.transfer import transfer  # noqa: E402
from models.registry import ModelError  # noqa: E402

CPU = torch.device("cpu")


class CheapWarping(torch.nn.Module):
    """Stands in for W: what it gives depends on source and keypoints; prepare is the real one's."""

    def warp(self, source, kp_driving):
        out = kp_driving.flatten(1)[:, :48] - source.keypoints.flatten(1)[:, :48]
        return {"out": out.reshape(-1, 3, 4, 4) + source.volume.mean()}


class CheapGenerator(torch.nn.Module):
    """Stands in for G: a smooth 512 px picture."""

    broken = False

    def forward(self, feature):
        values = torch.nn.functional.interpolate(feature.float(), size=(512, 512), mode="bilinear")
        return torch.sigmoid(values * (float("nan") if self.broken else 4.0))

    def levels_and_peaks(self, feature):
        values = self(feature)
        return (values * 255.0).to(torch.uint8).permute(0, 2, 3, 1).contiguous(), values.amax(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def engine(networks):
    """torch-fast with the real F, M, S and cheap W and G."""
    made = FastRuntime(networks, device="cpu", precision="fp32")
    warping = CheapWarping()
    warping.prepare = made._pairs["fp32"][0].prepare
    made._pairs["fp32"] = warping, CheapGenerator()
    return LivePortraitEngine(made, networks)


@pytest.fixture(scope="module")
def portrait(engine, picture):
    return engine.encode(picture("src_s9").repeat(2, axis=0).repeat(2, axis=1), None)


@pytest.fixture(scope="module")
def driving(picture):
    return picture("drv_s5"), picture("drv_s3")


def scene(size: float, turn: float) -> tuple[np.ndarray, Crop]:
    """A noisy picture and a turned square in it, so many pixels wide."""
    random = np.random.default_rng(3)
    picture = random.integers(0, 255, (30, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    return picture, Crop.from_box(300.0, 250.0, size, turn, size=512) if turn else Crop.from_box(300.0, 250.0, size)


def test_angles() -> None:
    random = np.random.default_rng(1)
    values = random.normal(0, 2, (5, 66)).astype(np.float32)
    wanted = headpose_degrees(values)
    np.testing.assert_allclose(degrees(torch.from_numpy(values)).numpy(), wanted[:, 0], atol=1e-3)
    assert torch.equal(degrees(torch.tensor([[3.0], [4.0]])), torch.tensor([3.0, 4.0]))
    a, b, c = random.uniform(-80, 80, (3, 6)).astype(np.float32)
    got = rotations(*(torch.from_numpy(v) for v in (a, b, c))).numpy()
    np.testing.assert_allclose(got, rotation_from_euler(a, b, c), atol=1e-6)


def test_area_weights_are_those_of_a_mean() -> None:
    weights = area_weights(512, 128)
    line = np.random.default_rng(2).random(512).astype(np.float32)
    np.testing.assert_allclose(weights @ line, line.reshape(128, 4).mean(1), rtol=1e-5)
    np.testing.assert_allclose(area_weights(512, 300).sum(1), 1.0, rtol=1e-5)
    assert np.array_equal(area_weights(8, 8), np.eye(8, dtype=np.float32))


@pytest.mark.parametrize(("stitching", "follow"), [(True, 0.0), (False, 1.0)])
def test_keypoints_are_those_of_transfer(engine, portrait, driving, stitching, follow) -> None:
    motion, reference = (engine.read_motion(crop, None) for crop in driving)
    options = AnimationOptions(stitching=stitching, smooth=0.0, scale_motion=follow)
    wanted = transfer(engine, portrait, motion, reference, options)
    frame = WholeFrame(engine.runtime._motion, engine.stitching if stitching else None, None, None)
    with torch.inference_mode():
        got = frame.keypoints(frame_motion(portrait, reference, CPU, follow), torch.from_numpy(driving[0][None].copy()))
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-5)
    assert np.abs(wanted - portrait.keypoints).max() > 0.05


@pytest.mark.parametrize("size", [200.0, 512.0, 760.0])
def test_paste_back_is_that_of_the_compositor(size: float) -> None:
    picture, crop = scene(size, 0.0)
    compositor = Compositor(picture, crop, detail=False)
    random = np.random.default_rng(4)
    square = random.integers(0, 255, (32, 32, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    wanted = compositor.paste(square)
    place = frame_place(compositor, CPU)
    got = WholeFrame.paste(place, torch.from_numpy(square[None]))[0].numpy()
    x0, y0, x1, y1 = compositor.window
    difference = np.abs(got.astype(int) - wanted[y0:y1, x0:x1])
    assert difference.max() <= 4  # OpenCV's interpolation has 32 steps per pixel
    assert difference.mean() < 0.5
    assert np.abs(wanted.astype(int) - picture).max() > 100


def test_a_square_outside_the_picture(portrait) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="outside"):
        frame_place(Compositor(picture, Crop.from_box(500.0, 500.0, 40.0)), CPU)


class Replayed:
    """Does on the CPU what a CUDA graph does."""

    captured = 0

    def capture(self, work):
        self.captured += 1
        results = work()

        def replay():
            for result, new in zip(results, work(), strict=True):
                result.copy_(new)

        return replay, results


def test_the_chain_in_one_graph(engine, portrait, driving, monkeypatch) -> None:
    """Driving crop in, finished window out, through captured buffers: the same as step by step."""
    recorder = Replayed()
    monkeypatch.setattr(engine.runtime, "_recorder", recorder)
    monkeypatch.setattr(engine.runtime, "_graphs", {})
    reference = engine.read_motion(driving[1], None)
    picture, crop = scene(400.0, 0.0)
    compositor = Compositor(picture, crop, detail=False)
    warping, generator = engine.runtime._pairs["fp32"]
    source = warping.prepare(portrait.features.volume, portrait.features.keypoints)
    frame = WholeFrame(engine.runtime._motion, engine.stitching, warping, generator)
    rest, place = frame_motion(portrait, reference, CPU), frame_place(compositor, CPU)
    draw = one_graph(frame, source, rest, place, recorder)
    x0, y0, x1, y1 = compositor.window
    for crop_of_driver in driving:
        with torch.inference_mode():
            (window,), (square,), _ = draw(torch.from_numpy(crop_of_driver[None].copy()))
        motion = engine.read_motion(crop_of_driver, None)
        x_d = transfer(engine, portrait, motion, reference, AnimationOptions(smooth=0.0))
        wanted = engine.render(portrait, x_d)[0]
        assert np.abs(square.astype(int) - wanted).max() <= 1
        assert np.abs(window.astype(int) - compositor.paste(wanted)[y0:y1, x0:x1]).max() <= 4
    assert recorder.captured == 2  # the whole frame, and W and G alone
    assert engine.describe()["CUDA graph"] == "yes"


def test_batches_of_another_size_are_captured_anew(engine, portrait, monkeypatch) -> None:
    recorder = Replayed()
    monkeypatch.setattr(engine.runtime, "_recorder", recorder)
    monkeypatch.setattr(engine.runtime, "_graphs", {})
    monkeypatch.setattr(engine, "batch", 3)
    x_d = portrait.keypoints + np.linspace(0, 0.2, 7, dtype=np.float32)[:, None, None]
    got = engine.render(portrait, x_d)
    assert recorder.captured == 2  # three, three and one
    monkeypatch.setattr(engine.runtime, "_recorder", None)
    monkeypatch.setattr(engine.runtime, "_graphs", {})
    monkeypatch.setattr(engine, "batch", 1)
    assert np.array_equal(got, engine.render(portrait, x_d))


def test_nan_is_seen_in_whole_levels(engine, portrait, monkeypatch) -> None:
    generator = engine.runtime._pairs["fp32"][1]
    monkeypatch.setattr(generator, "broken", True)
    with pytest.raises(ModelError, match="NaN"):
        engine.render(portrait, portrait.keypoints)


@pytest.fixture
def tunable(engine, portrait, tmp_path, monkeypatch):
    """The engine with a memory of its own and a bf16 that can be timed."""
    memory = SpeedMemory(tmp_path / "speed.json")
    monkeypatch.setattr(engine.runtime.guard, "asked", "auto")
    monkeypatch.setattr(engine.runtime, "_form", EAGER)
    monkeypatch.setattr(engine.runtime, "_recall", (memory, "key"))
    monkeypatch.setattr(engine.runtime, "_test_case", lambda: (portrait.features, portrait.features.keypoints + 0.1))
    monkeypatch.setattr("liveportrait.engines.torch_fast.compiler_missing", lambda device: "")
    from liveportrait.engines.torch_fast import Trial

    engine.runtime.guard.recall("fp32", (Trial("fp32", 1.0, float("inf")),))
    yield engine, memory
    engine.runtime._use(EAGER)


def seconds(monkeypatch, *values: float) -> None:
    """Times of the next timings; the work is done, the clock is not looked at."""
    left = list(values)

    def timed(self, draw, precision, *, start=False):
        return draw().float(), left.pop(0)

    monkeypatch.setattr("liveportrait.engines.torch_fast.TimedGuard.timed", timed)


def test_compiled_networks_are_kept_where_they_are_faster(tunable, monkeypatch) -> None:
    engine, memory = tunable
    monkeypatch.setattr("liveportrait.engines.torch_fast.compiled", lambda function, device: function)
    monkeypatch.setattr(CheapGenerator, "_pixels", lambda self: None, raising=False)
    seconds(monkeypatch, 1.0, 0.5)
    engine.tune()
    assert memory.get("key")["form"] == COMPILED
    assert engine.describe()["networks"] == COMPILED
    monkeypatch.setattr(engine.runtime, "_form", EAGER)
    assert engine.runtime._recalled()  # the next start takes it at once
    assert engine.describe()["networks"] == COMPILED


def test_slower_or_failing_compilers_leave_the_networks_as_they_are(tunable, monkeypatch) -> None:
    engine, memory = tunable
    monkeypatch.setattr("liveportrait.engines.torch_fast.compiled", lambda function, device: function)
    monkeypatch.setattr(CheapGenerator, "_pixels", lambda self: None, raising=False)
    seconds(monkeypatch, 1.0, 1.5)
    engine.tune()
    assert memory.get("key")["form"] == EAGER
    assert engine.describe()["torch.compile"] == "not faster (1500 ms against 1000 ms)"
    assert "warp" not in engine.runtime._pairs["fp32"][0].__dict__

    def no_compiler(function, device):
        def fails(*given):
            raise RuntimeError("the compiler g++ crashed\nwith a long text")

        return fails

    monkeypatch.setattr("liveportrait.engines.torch_fast.compiled", no_compiler)
    seconds(monkeypatch, 1.0, 0.1)
    engine.tune()
    assert engine.describe()["torch.compile"] == "failed (the compiler g++ crashed)"
    assert memory.get("key")["note"] == "failed (the compiler g++ crashed)"
    monkeypatch.setattr("liveportrait.engines.torch_fast.compiler_missing", lambda device: "there is no C++ compiler")
    assert engine.describe()["torch.compile"] == "there is no C++ compiler"
    engine.tune()
    assert engine.describe()["networks"] == EAGER


def test_rubbish_in_the_memory_means_a_new_self_test(tunable) -> None:
    engine, memory = tunable
    for entry in (
        {}, {"trials": [], "precision": "fp32", "form": EAGER, "note": ""},
        {"trials": [["fp32", 1.0, 1.0, ""]], "precision": "int4", "form": EAGER, "note": ""},
        {"trials": [[1, 2, 3, 4, 5, 6]], "precision": "fp32", "form": EAGER, "note": ""},
    ):  # fmt: skip
        memory.put("key", entry)
        assert not engine.runtime._recalled()
