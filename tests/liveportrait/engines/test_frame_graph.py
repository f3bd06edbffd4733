"""Sample frames: buffers, other shapes, failures; with a recorder that does on the CPU what a CUDA graph does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from liveportrait.engines.compiled import compiled, compiler_missing  # noqa: E402
from liveportrait.engines.graph import KEPT, StaticGraph, leaves, rebuilt  # noqa: E402


class CpuRecorder:
    """A replay reads the captured input buffers and writes the captured results, and calls nothing else."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.replays = fails, 0

    def capture(self, work: Callable[[], tuple]) -> tuple[Callable[[], None], tuple]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore text")
        results = work()

        def replay() -> None:
            self.replays += 1
            for result, new in zip(results, work(), strict=True):
                result.copy_(new)

        return replay, results


def add(fixed: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor]:
    return (fixed + 2 * x,)


def copied(results: tuple) -> torch.Tensor:
    return results[0].clone()


def test_buffers_stay_and_results_follow_the_input() -> None:
    seen: list[tuple[int, int]] = []

    def compute(fixed: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor]:
        seen.append((fixed.data_ptr(), x.data_ptr()))
        return add(fixed, x)

    graph = StaticGraph(compute, CpuRecorder())
    source = torch.ones(3)
    addresses = set()
    for value in range(4):
        x = torch.full((3,), float(value))
        got = graph([source], [x], lambda results: (addresses.add(results[0].data_ptr()), results[0].clone())[1])
        assert torch.equal(got, source + 2 * x)
    assert graph.captures == 1
    assert len(set(seen)) == 1
    assert seen[0] != (source.data_ptr(), x.data_ptr())
    assert len(addresses) == 1


def test_the_source_is_copied_only_when_it_changes() -> None:
    graph, x = StaticGraph(add, CpuRecorder()), torch.zeros(3)
    source = torch.ones(3)
    assert float(graph([source], [x], copied)[0]) == 1.0
    source.fill_(5.0)  # the same tensor counts as the same source
    assert float(graph([source], [x], copied)[0]) == 1.0
    assert float(graph([torch.full((3,), 7.0)], [x], copied)[0]) == 7.0
    x.fill_(1.0)  # what changes is copied even if it is the same tensor
    assert float(graph([torch.full((3,), 7.0)], [x], copied)[0]) == 9.0
    assert graph.captures == 1


def test_another_shape_or_type_is_captured_anew_and_the_old_one_kept() -> None:
    recorder = CpuRecorder()
    graph = StaticGraph(add, recorder)
    source = torch.ones(1)
    for size in (1, 4, 1, 4):
        assert graph([source], [torch.ones(size)], copied).shape == (size,)
    assert (graph.captures, recorder.replays) == (2, 4)
    assert graph([source], [torch.ones(4, dtype=torch.float64)], copied).dtype == torch.float64
    assert graph.captures == 3
    for size in range(5, 5 + KEPT):
        graph([source], [torch.ones(size)], copied)
    assert len(graph._kept) == KEPT
    graph([source], [torch.ones(1)], copied)  # it was the one used longest ago
    assert graph.captures == 4 + KEPT


def test_a_failed_capture_falls_back_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    graph = StaticGraph(add, CpuRecorder(fails=True))
    with caplog.at_level(logging.WARNING):
        for size in (2, 3, 2):
            assert torch.equal(graph([torch.ones(1)], [torch.ones(size)], copied), torch.full((size,), 3.0))
    assert len(caplog.records) == 1
    assert "without a CUDA graph" in caplog.text
    assert "more text" not in caplog.text
    assert graph.failed == "operation not permitted when stream is capturing"


def test_without_a_recorder_nothing_is_kept() -> None:
    graph = StaticGraph(add, None)
    assert float(graph([torch.ones(1)], [torch.ones(1)], copied)) == 3.0
    assert graph.captures == 0


class Pair(NamedTuple):
    first: torch.Tensor
    others: tuple[torch.Tensor, torch.Tensor]


def test_nested_tuples_there_and_back() -> None:
    pair = Pair(torch.ones(1), (torch.ones(2), torch.ones(3)))
    flat = leaves((pair, torch.ones(4)))
    assert [len(tensor) for tensor in flat] == [1, 2, 3, 4]
    back, last = rebuilt((pair, torch.ones(4)), iter([2 * tensor for tensor in flat]))
    assert isinstance(back, Pair)
    assert (float(back.others[1][0]), len(last)) == (2.0, 4)


def test_what_compiling_needs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert compiler_missing("cpu") == "there is no C++ compiler"
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "clang++" else None)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert compiler_missing("cpu") == "the headers of Python are not installed"
    (tmp_path / "Python.h").touch()
    assert compiler_missing("cpu") == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compiler_missing("cuda") == "the package triton is not installed"
    assert compiler_missing("mps")


@pytest.mark.skipif(bool(compiler_missing("cpu")), reason="torch.compile has no compiler here")
def test_a_compiled_function_goes_through_a_graph() -> None:
    """The form of the engine on CUDA: compiled work inside a captured frame."""
    graph = StaticGraph(compiled(add, "cpu"), CpuRecorder())
    x = torch.arange(8.0)
    assert torch.equal(graph([torch.ones(8)], [x], copied), 1 + 2 * x)
