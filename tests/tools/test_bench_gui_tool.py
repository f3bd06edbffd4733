"""The bench of the window: it runs, counts what was painted, and judges by its limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from bench_gui import Figures, Sample, faults  # noqa: E402


def good() -> Figures:
    figures = Figures()
    figures.shown = [i / 30 for i in range(300)]
    figures.delays = [0.02] * 290 + [0.05] * 10
    figures.samples = [Sample(float(i), 12, 400.0) for i in range(20)]
    figures.crops = {512}
    return figures


def test_figures_and_limits() -> None:
    result = good().result()
    assert result["fps"] == pytest.approx(30)
    assert (result["latency_ms_median"], result["latency_ms_max"], result["crop"]) == (20.0, 50.0, [512])
    assert faults(result, 30.0) == []
    slow = good()
    slow.shown = [i / 25 for i in range(300)]
    slow.delays = [0.08] * 300
    slow.samples = [Sample(float(i), 12 + i // 10, 400.0 + 3 * i) for i in range(20)]
    broken = faults(slow.result(), 30.0)
    assert [text.split()[0] for text in broken] == ["25.0", "80.0", "threads", "memory"]


def test_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="Qt can't be loaded here", exc_type=ImportError)
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "tools/bench_gui.py", "--seconds", "2", "--warm", "1", "--crop", "192", "--json", str(file)],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["frames"] > 5
    assert result["crop"] == [192]
    assert result["latency_ms_median"] > 0
    assert result["longest_event_ms"] > 0
