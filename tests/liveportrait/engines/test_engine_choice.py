"""Which engine "auto" takes, and what is said when none can run."""

from __future__ import annotations

import pytest

from liveportrait import engines
from liveportrait.engines import ENGINES, EngineSpec, EngineUnavailableError, load_engine


class Stub:
    """An engine that remembers how it was made."""

    def __init__(self, name: str, fails: Exception | None = None, **keywords: object) -> None:
        self.name, self.fails, self.keywords = name, fails, keywords

    def warm_up(self) -> None:
        if self.fails:
            raise self.fails


def good(**keywords: object) -> Stub:
    return Stub("good", **keywords)


def broken(**keywords: object) -> Stub:
    return Stub("broken", FloatingPointError("the self-test gave NaN"), **keywords)


def spec(name: str, rank: int, factory: str = "good", **how: object) -> EngineSpec:
    return EngineSpec(name, f"{__name__}:{factory}", "", rank=rank, **how)  # type: ignore[arg-type]


def test_auto_takes_the_best() -> None:
    said: list[str] = []
    engine = load_engine(specs=[spec("low", 1), spec("high", 2)], say=said.append)
    assert engine.keywords == {"device": "cpu", "threads": 0}  # type: ignore[attr-defined]
    assert said == ["Using engine high, the best one available here."]


def test_auto_says_what_it_passed_over() -> None:
    said: list[str] = []
    specs = [
        spec("low", 1),
        spec("high", 2, requires=("no_such_package",)),
        spec("top", 3, models=("liveportrait/animals",)),
        spec("higher", 2, requires=("no_such_package",)),
    ]
    load_engine(specs=specs, say=said.append)
    assert said[0].startswith("Using engine low")
    assert "Skipped high, higher: the package no_such_package is not installed." in said[0]
    assert "Skipped top: its weights (model liveportrait/animals) are not installed." in said[0]


def test_auto_falls_back_with_one_warning() -> None:
    warned: list[str] = []
    engine = load_engine(specs=[spec("low", 1), spec("high", 2, "broken")], warn=warned.append)
    assert engine.name == "good"
    assert warned == ["The high engine can't run here: the self-test gave NaN. Trying the next best engine."]


def test_none_can_run() -> None:
    with pytest.raises(EngineUnavailableError, match=r"No engine can run here. Skipped high: the self-test gave NaN"):
        load_engine(specs=[spec("high", 2, "broken")])


def test_named_engine_that_fails_is_not_replaced() -> None:
    with pytest.raises(EngineUnavailableError, match="The high engine can't run here"):
        load_engine("high", specs=[spec("low", 1), spec("high", 2, "broken")])


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="Did you mean mesh"):
        load_engine("mash")
    with pytest.raises(ValueError, match="doesn't run on 'tpu'; it supports auto, cpu"):
        load_engine("low", "tpu", specs=[spec("low", 1)])
    with pytest.raises(ValueError, match="crop of fixed size"):
        load_engine("low", max_crop=800, specs=[spec("low", 1)])


def test_keywords_are_handed_over() -> None:
    specs = [spec("low", 1, keywords=("threads", "max_crop"), devices=("cuda", "cpu"))]
    assert load_engine("low", "cuda:1", threads=3, max_crop=700, specs=specs).keywords == {
        "threads": 3,
        "max_crop": 700,
    }  # type: ignore[attr-defined]
    specs = [spec("low", 1, devices=("cuda", "cpu"))]
    assert load_engine("low", "cuda:1", specs=specs).keywords["device"] == "cuda:1"  # type: ignore[attr-defined]


def test_the_embedded_engine_is_always_there(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    assert load_engine().name == "mesh"
    assert engines.engine_names() == tuple(spec.name for spec in ENGINES)
