"""`animate engines` without a card, without weights and without TensorRT."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.cli.engines import Steps
from app.errors import ExitCode
from liveportrait.engines.cuda_card import NoCardError, find_card
from liveportrait.engines.tensorrt_build import BuildStep
from liveportrait.engines.tensorrt_cache import EngineCache, EngineKey, write_engine

KEY = EngineKey("warping", "fp16", "warping-native-fp16-64-aa", "0" * 16, "tensorrt-rtx", "0.0.1", "portable")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    """The user's cache with two engines and an ONNX file."""
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    cache = EngineCache()
    for key in (KEY, replace(KEY, network="motion", source="motion-fp32-bb", library="no-such-library")):
        with cache.new_part() as part:
            with part.open("wb") as stream:
                write_engine(stream, key, b"engine" * 1000, 1.5)
            cache.adopt(key, part)
    (tmp_path / "models" / "onnx").mkdir()
    (tmp_path / "models" / "onnx" / "warping-native-fp16-64-aa-0000000000000000.onnx").write_bytes(b"graph")
    return cache


def test_list(run_cli: Callable, cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.engines.metadata.version", {"tensorrt-rtx": "0.0.2", "no-such-library": "0.0.1"}.get)
    shown = run_cli("engines", "list")
    assert shown.code == ExitCode.OK
    today = date.today().isoformat()
    other = replace(KEY, network="motion", source="motion-fp32-bb", library="no-such-library")
    assert shown.out.splitlines() == [
        f"ready       0.0 MB  {other.file_name} (0.0.1, {today}, took 1.5 s)",
        f"outdated    0.0 MB  {KEY.file_name} (0.0.1, {today}, took 1.5 s)",
    ]
    lines = [json.loads(line) for line in run_cli("engines", "list", "warping-*", "--json").out.splitlines()]
    assert [(line["network"], line["state"], line["version"], line["target"]) for line in lines] == [
        ("warping", "outdated", "0.0.1", "portable")
    ]
    cache.path_of(KEY).write_bytes(b"broken")
    damaged = run_cli("engines", "list")
    assert damaged.code == ExitCode.ERROR
    assert f"damaged     0.0 MB  {KEY.file_name}" in damaged.out
    assert run_cli("engines", "list", "nothing*").code == ExitCode.USAGE


def test_an_empty_list(run_cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    assert run_cli("engines", "list").out == "Nothing is compiled yet.\n"
    assert run_cli("engines", "list", "--json").out == ""
    assert run_cli("engines", "clear").out == "Removed 0 engines (0.0 MB).\n"
    assert not (tmp_path / "models").exists()


def test_clear(run_cli: Callable, cache: EngineCache) -> None:
    cache.path_of(KEY).write_bytes(b"broken")
    assert run_cli("engines", "clear", "--outdated").out == "Removed 1 engine (0.0 MB).\n"
    assert [entry.key.network for entry in cache.entries() if entry.key] == ["motion"]
    assert run_cli("engines", "clear", "warping*").code == ExitCode.USAGE
    cleared = run_cli("engines", "clear", "--onnx")
    assert cleared.out == "Removed 1 engine (0.0 MB).\nRemoved 1 ONNX file (0.0 MB).\n"
    assert not list(cache.folder.iterdir())


def test_what_can_not_be_removed_is_told(
    run_cli: Callable, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    cleared = run_cli("engines", "clear", "warping-*", "--onnx")
    assert cleared.code == ExitCode.ERROR
    assert cleared.out == "Removed 0 engines (0.0 MB).\nRemoved 0 ONNX files (0.0 MB).\n"
    assert [line.endswith("can't be removed.") for line in cleared.lines] == [True, True]
    assert len(cache.entries()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            [],
            ExitCode.MISSING,
            "tensorrt-rtx is not installed. Install it: ",
        ),
        (["--library", "tensorrt"], ExitCode.MISSING, "TensorRT compiles only on the card itself"),
        (["--library", "trt"], ExitCode.USAGE, "no library 'trt'"),
        (["--target", "sm75"], ExitCode.USAGE, "no target 'sm75'; tensorrt-rtx compiles for portable, sm80"),
        (["--target", "sm89", "--library", "tensorrt"], ExitCode.USAGE, "TensorRT compiles for the installed card"),
        (["--device", "cpu"], ExitCode.USAGE, "can't be compiled for the device 'cpu'; choose cuda or cuda:N"),
        (["--device", "cuda:1"], ExitCode.MISSING, "'cuda:1' can't be used: no NVIDIA driver is installed"),
        (["--precision", "int8"], ExitCode.USAGE, "no int8 engines; choose fp16 or fp32"),
    ],
)
def test_refusals(
    run_cli: Callable, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: ExitCode, words: str
) -> None:
    def none(_: int) -> None:
        raise NoCardError("no NVIDIA driver is installed")

    monkeypatch.setattr("liveportrait.engines.tensorrt.find_card", none)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    outcome = run_cli("engines", "build", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
    assert len(outcome.lines) == 1


def test_the_engine_without_a_card(run_cli: Callable, listing: Callable) -> None:
    try:
        find_card()
    except NoCardError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has an NVIDIA card")
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--engine", "tensorrt")
    assert outcome.code == ExitCode.MISSING
    assert outcome.lines == [
        f"animate: error: The tensorrt engine can't run here: it needs an NVIDIA graphics card, and {reason}. "
        "`animate doctor` shows what is missing."
    ]
    assert listing() == []


def test_progress_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps(as_json=False, quiet=False) as steps:
        for index in range(3):
            steps(BuildStep("warping", 3, 4, "Optimizing graph", index, 30))
        steps.say("Compiling.")
        steps.warn("The engine is damaged.")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "Warping module (3 of 4)", "Compiling.", "animate: warning: The engine is damaged.",
    ]  # fmt: skip
    assert captured.out == ""
    with Steps(as_json=False, quiet=True) as steps:
        steps(BuildStep("warping", 3, 4, "Optimizing graph", 1, 30))
        steps.say("Compiling.")
    assert capsys.readouterr().err == ""


def test_progress_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps(as_json=True, quiet=False) as steps:
        steps(BuildStep("generator", 4, 4, "Optimizing graph", 2, 30))
        steps.warn("The engine is damaged.")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["event"], first["phase"], first["done"], first["total"]) == ("progress", "compile", 2, 30)
    assert (first["network"], first["number"], first["networks"], first["step"]) == (
        "generator", 4, 4, "Optimizing graph",
    )  # fmt: skip
    assert (second["event"], second["level"]) == ("message", "warning")
