"""Which runtime the onnx engine takes, and what it says about those that it can't take."""

from __future__ import annotations

import logging

import pytest

from liveportrait.engines.onnx import PROVIDERS, first_working, providers_to_try
from models.registry import ModelError


class Fake:
    def __init__(self, label: str) -> None:
        self.label = label


def fine(_runner: object) -> str:
    return ""


def test_order_of_providers() -> None:
    built = ["CPUExecutionProvider", "DmlExecutionProvider", "AzureExecutionProvider", "CUDAExecutionProvider"]
    assert providers_to_try(built) == ["CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"]
    assert providers_to_try(built, "cpu") == ["CPUExecutionProvider"]
    assert providers_to_try(built, "cuda") == ["CUDAExecutionProvider"]


def test_only_some_providers_sample_in_five_dimensions() -> None:
    native = [name for name, form in PROVIDERS.items() if form == "native"]
    assert native == ["NvTensorRTRTXExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


def test_missing_provider() -> None:
    with pytest.raises(ModelError, match=r"no provider for 'cuda' \(it has CPUExecutionProvider\)"):
        providers_to_try(["CPUExecutionProvider"], "cuda")
    with pytest.raises(ModelError, match="doesn't support the device 'tpu'"):
        providers_to_try(["CPUExecutionProvider"], "tpu")


def test_the_first_working_runtime_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert first_working(["a", "b"], Fake, fine).label == "a"  # type: ignore[arg-type]
    assert not caplog.records


def test_one_warning_names_every_cause(caplog: pytest.LogCaptureFixture) -> None:
    def start(name: str) -> Fake:
        if name == "a":
            raise RuntimeError("cuDNN 8 was found, 9 is needed.\nmore")
        return Fake(name)

    def judge(runner: Fake) -> str:
        return "it draws NaN" if runner.label == "b" else ""

    with caplog.at_level(logging.WARNING):
        assert first_working(["a", "b", "c"], start, judge).label == "c"  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "Using c: a failed (cuDNN 8 was found, 9 is needed); b failed (it draws NaN)."
    ]


def test_no_runtime_works() -> None:
    with pytest.raises(ModelError, match=r"No runtime passed the self-test: a failed \(it draws NaN\)"):
        first_working(["a"], Fake, lambda _runner: "it draws NaN")  # type: ignore[arg-type]
