"""The fastest engine of those that draw the same picture: timed once, remembered, explained."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from liveportrait.engines import EngineSpec, EngineUnavailableError, load_engine
from liveportrait.engines.choice import Settings, SpeedOrder, by_speed, engine_key, time_engine
from liveportrait.engines.memory import KEPT, SpeedMemory, fingerprint, speed_key

NETWORKS = ("liveportrait/human",)


class Stub:
    """An engine whose every frame takes so many seconds of a clock of its own."""

    loads: list[str] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds, self.now, self.calls = name, seconds, 0.0, 0
        Stub.loads.append(name)

    def warm_up(self) -> None:
        if math.isnan(self.seconds):
            raise FloatingPointError("the self-test gave NaN")

    def describe(self) -> dict[str, str]:
        return {"engine": self.name, "device": "cpu"}

    def encode(self, crop: np.ndarray, face: object) -> Stub:
        assert crop.shape == (512, 512, 3)
        assert face is None
        self.keypoints = np.zeros((1, 21, 3), np.float32)
        return self

    def stitch(self, portrait: Stub, x_d: np.ndarray) -> np.ndarray:
        assert portrait is self
        return x_d

    def render(self, portrait: Stub, x_d: np.ndarray) -> None:
        self.calls += 1
        self.now += self.seconds * (10 if self.calls == 1 else 1)  # the first frame starts the engine up


def plain(**_: object) -> Stub:
    return Stub("plain", 3.0)


def fast(**_: object) -> Stub:
    return Stub("fast", 1.0)


def broken(**_: object) -> Stub:
    return Stub("broken", math.nan)


def slow(**_: object) -> Stub:
    return Stub("slow", 2.0)


def spec(name: str, rank: int, *, quick: bool = True, models: tuple[str, ...] = NETWORKS) -> EngineSpec:
    return EngineSpec(name, f"{__name__}:{name}", "", rank=rank, models=models, quick=quick)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    Stub.loads.clear()
    monkeypatch.setattr(EngineSpec, "_missing_models", staticmethod(lambda names: ""))
    monkeypatch.setattr("models.weights.find_model", lambda name: [])
    monkeypatch.setattr(
        "liveportrait.engines.choice.time_engine", lambda engine: time_engine(engine, clock=lambda: engine.now)
    )


@pytest.fixture
def memory(tmp_path: Path) -> SpeedMemory:
    return SpeedMemory(tmp_path / "cache" / "speed.json")


def test_the_start_is_not_timed() -> None:
    engine = Stub("one", 0.5)
    assert time_engine(engine, clock=lambda: engine.now) == 0.5  # type: ignore[arg-type]
    assert engine.calls == 3


def test_auto_takes_the_fastest_and_remembers_it(memory: SpeedMemory) -> None:
    said: list[str] = []
    specs = [spec("plain", 20), spec("fast", 15), spec("slow", 12)]
    assert load_engine(specs=specs, memory=memory, say=said.append).name == "fast"
    assert "Measured here per frame: fast 1000 ms, slow 2000 ms, plain 3000 ms." in said[0]
    assert Stub.loads == ["plain", "fast", "slow"]
    assert load_engine(specs=specs, memory=memory, say=said.append).name == "fast"
    assert Stub.loads == ["plain", "fast", "slow", "fast"]  # the second time only the winner is loaded
    assert said[1] == said[0]


def test_other_settings_are_measured_anew(memory: SpeedMemory) -> None:
    specs = [spec("plain", 20), spec("fast", 15)]
    load_engine(specs=specs, memory=memory)
    load_engine(specs=specs, memory=memory, threads=3)
    assert Stub.loads == ["plain", "fast"] * 2


def test_a_slow_starter_counts_only_once_it_was_measured(memory: SpeedMemory) -> None:
    specs = [spec("plain", 20), spec("fast", 4, quick=False), spec("slow", 15)]
    assert load_engine(specs=specs, memory=memory).name == "slow"
    assert Stub.loads == ["plain", "slow"]
    memory.put(engine_key(specs[1], Settings()), {"seconds": 1.0})
    assert load_engine(specs=specs, memory=memory).name == "fast"


def test_what_fails_is_passed_over_with_a_warning(memory: SpeedMemory) -> None:
    warned: list[str] = []
    specs = [spec("broken", 20), spec("plain", 15), spec("slow", 12)]
    assert load_engine(specs=specs, memory=memory, warn=warned.append).name == "slow"
    assert Stub.loads.count("broken") == 1
    assert memory.get(engine_key(specs[0], Settings())) is None
    only = [spec("broken", 20), spec("broken", 15)]
    with pytest.raises(EngineUnavailableError, match="the self-test gave NaN"):
        load_engine(specs=only, memory=memory, warn=warned.append)
    assert any("broken engine can't run here" in sentence for sentence in warned)


def test_a_remembered_engine_that_no_longer_works_is_replaced(memory: SpeedMemory) -> None:
    specs = [spec("broken", 20), spec("plain", 15)]
    memory.put(engine_key(specs[0], Settings()), {"seconds": 0.1})
    warned: list[str] = []
    assert load_engine(specs=specs, memory=memory, warn=warned.append).name == "plain"
    assert len(warned) == 1


def test_engines_of_another_kind_keep_their_rank(memory: SpeedMemory) -> None:
    other = spec("slow", 30, models=())
    assert load_engine(specs=[spec("plain", 20), spec("fast", 15), other], memory=memory).name == "slow"
    assert Stub.loads == ["slow"]
    other = spec("slow", 1, models=())
    order = by_speed([spec("plain", 20)], Settings(), lambda s: plain(), memory, lambda s, e: 1.0)  # type: ignore[arg-type,return-value]
    assert isinstance(order, SpeedOrder)
    assert order.words == ""
    assert load_engine(specs=[spec("broken", 20), spec("broken", 19), other], memory=memory).name == "slow"


def test_memory_survives_rubbish(tmp_path: Path) -> None:
    memory = SpeedMemory(tmp_path / "speed.json")
    memory.path.write_text("{ not json", encoding="utf-8")
    assert memory.get("a") is None
    memory.put("a", {"seconds": 1.5})
    assert SpeedMemory(memory.path).get("a") == {"seconds": 1.5}
    for index in range(KEPT + 5):
        memory.put(f"k{index}", {"n": index})
    assert len(json.loads(memory.path.read_text(encoding="utf-8"))) == KEPT
    assert memory.get("a") is None
    assert memory.get(f"k{KEPT}") == {"n": KEPT}
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]
    blocked = SpeedMemory(memory.path / "below" / "a_file.json")
    blocked.put("a", {"seconds": 1.0})  # nothing can be written there; the next start measures again
    assert blocked.get("a") is None


def test_keys_follow_machine_libraries_and_weights(tmp_path: Path) -> None:
    def about() -> dict[str, str]:
        return {"torch": "2.13.0"}

    base = speed_key("torch", "w", about=about, device="cpu")
    assert base == speed_key("torch", "w", about=about, device="cpu")
    others = [
        speed_key("torch-fast", "w", about=about, device="cpu"), speed_key("torch", "v", about=about, device="cpu"),
        speed_key("torch", "w", about=about, device="cuda"),
        speed_key("torch", "w", about=lambda: {"torch": "2.14.0"}, device="cpu"),
    ]  # fmt: skip
    assert len({base, *others}) == 5
    one, other = tmp_path / "a.bin", tmp_path / "sub" / "a.bin"
    other.parent.mkdir()
    one.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 3_000_000)
    assert fingerprint([one]) == fingerprint([other])
    other.write_bytes(b"x" * 2_999_999 + b"y")
    assert fingerprint([one]) != fingerprint([other])
    other.write_bytes(b"x" * 2_999_999)
    assert fingerprint([one]) != fingerprint([other])
    assert fingerprint([tmp_path / "absent.bin"]) == fingerprint([])
