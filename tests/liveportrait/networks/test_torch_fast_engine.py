"""The torch-fast engine: choice of the type by its self-test, and the official chain."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from liveportrait.engines.liveportrait import LivePortraitEngine  # noqa: E402
from liveportrait.engines.torch_fast import FastRuntime, TimedGuard  # noqa: E402
from liveportrait.networks import NAMES  # noqa: E402
from models.registry import ModelError  # noqa: E402

CPU = torch.device("cpu")


class Clock:
    """Stands in for the clock: every picture takes as long as its type says."""

    def __init__(self, guard, seconds, pictures):
        self.guard, self.seconds, self.pictures, self.now = guard, seconds, pictures, 0.0

    def draw(self):
        self.now += self.seconds[self.guard.active]
        return self.pictures[self.guard.active]


@pytest.fixture
def tried(monkeypatch):
    """Function: (asked, seconds, change of the bf16 picture) -> guard after its self-test."""

    def run(asked, seconds, half):
        guard = TimedGuard(CPU, asked)
        monkeypatch.setattr(TimedGuard, "candidates", lambda _self: ["bf16"])
        clock = Clock(guard, seconds, {"fp32": torch.full((1, 3, 8, 8), 0.5), "bf16": half})
        monkeypatch.setattr("liveportrait.engines.torch_fast.time.perf_counter", lambda: clock.now)
        guard.self_test(clock.draw)
        return guard

    return run


CLOSE = torch.full((1, 3, 8, 8), 0.501)


def test_the_faster_type_is_taken(tried):
    guard = tried("auto", {"fp32": 2.0, "bf16": 1.0}, CLOSE)
    assert guard.precision == "bf16"
    assert [(t.precision, t.seconds, t.refused) for t in guard.trials] == [("fp32", 2.0, ""), ("bf16", 1.0, "")]
    assert guard.trials[1].psnr == pytest.approx(60.0, abs=0.01)
    assert guard.trials[0].psnr == math.inf


def test_a_slower_half_precision_is_left(tried):
    assert tried("auto", {"fp32": 1.0, "bf16": 1.5}, CLOSE).precision == "fp32"


def test_a_slower_half_precision_is_taken_if_asked_for(tried):
    assert tried("bf16", {"fp32": 1.0, "bf16": 1.5}, CLOSE).precision == "bf16"


@pytest.mark.parametrize(
    ("half", "reason"),
    [
        (torch.full((1, 3, 8, 8), 0.53), "only 30.5 dB"),
        (torch.full((1, 3, 8, 8), math.nan), "NaN"),
        (torch.zeros((1, 3, 8, 8)), "black"),
    ],
)
def test_a_bad_picture_is_refused(tried, half, reason, caplog):
    with caplog.at_level(logging.WARNING):
        assert tried("bf16", {"fp32": 2.0, "bf16": 1.0}, half).precision == "fp32"
    assert len(caplog.records) == 1
    assert reason in caplog.text
    assert tried("auto", {"fp32": 2.0, "bf16": 1.0}, half).precision == "fp32"


@pytest.mark.parametrize(("change", "chosen"), [(0.502, "int8"), (0.510, "bf16")])
def test_eight_bits_must_be_closer_than_the_half_types(monkeypatch, change, chosen):
    guard = TimedGuard(CPU)
    monkeypatch.setattr(TimedGuard, "candidates", lambda _self: ["bf16", "int8"])
    pictures = {"fp32": torch.full((1, 3, 8, 8), 0.5), "bf16": torch.full((1, 3, 8, 8), 0.51)}
    clock = Clock(guard, {"fp32": 3.0, "bf16": 2.0, "int8": 1.0}, pictures | {"int8": torch.full((1, 3, 8, 8), change)})
    monkeypatch.setattr("liveportrait.engines.torch_fast.time.perf_counter", lambda: clock.now)
    guard.self_test(clock.draw)
    assert guard.precision == chosen


def test_nan_in_full_precision_is_an_error(monkeypatch):
    guard = TimedGuard(CPU)
    monkeypatch.setattr(TimedGuard, "candidates", lambda _self: ["bf16"])
    with pytest.raises(ModelError, match="even in full precision"):
        guard.self_test(lambda: torch.full((1, 3, 8, 8), math.nan))


def test_modes_are_left_in_order():
    guard = TimedGuard(CPU)
    with guard.mode("bf16"):
        with guard.mode("fp32"):
            assert guard.active == "fp32"
            assert torch.is_inference_mode_enabled()
        assert guard.active == "bf16"
    assert guard.active == "fp32"


def test_chain_is_the_official_one(networks, picture, reference):
    """One frame of the end-to-end reference, in full precision."""
    runtime = FastRuntime(networks, device="cpu", precision="fp32")
    engine = LivePortraitEngine(runtime, networks)
    portrait = engine.encode(picture("src_s9").repeat(2, axis=0).repeat(2, axis=1), None)
    levels = engine.render(portrait, reference["e2e/photo/drv_s5/x_d"])
    assert levels.shape == (1, 512, 512, 3)
    difference = np.abs(levels[0].reshape(-1)[::97].astype(int) - reference["e2e/photo/drv_s5/levels"])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    assert engine.describe()["engine"] == "torch-fast"
    assert runtime.precision == "fp32"
    assert runtime._prepared[0] is portrait.features


def test_it_wants_the_plain_networks(networks):
    others = dict.fromkeys(NAMES, torch.nn.Identity())
    with pytest.raises(ModelError, match="expects a WarpingNetwork"):
        FastRuntime(others, device="cpu")
    with pytest.raises(ModelError, match="needs the network warping_module"):
        FastRuntime({n: networks[n] for n in NAMES if n != "warping_module"}, device="cpu")
