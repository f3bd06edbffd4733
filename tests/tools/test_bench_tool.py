"""tools/bench.py: figures, tables, and the official code out of a user's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

from benching import networks, official, pipeline  # noqa: E402

MODELS = """
model_params:
  appearance_feature_extractor_params: # F
    image_channel: 3
    reshape_channel: 32
  motion_extractor_params:
    num_kp: 21
    backbone: convnextv2_tiny
  warping_module_params:
    num_kp: 21
    estimate_occlusion_map: True
    dense_motion_params:
      compress: 4
  spade_generator_params:
    upscale: 2
  stitching_retargeting_module_params:
    stitching:
      input_size: 126
      hidden_sizes: [128, 128, 64]
      output_size: 65
"""
HEAD = "import torch\n"
CLASSES = {
    "appearance_feature_extractor": """
from liveportrait.networks.appearance import AppearanceFeatureExtractor as Plain
class AppearanceFeatureExtractor(Plain):
    def __init__(self, image_channel, reshape_channel):
        assert (image_channel, reshape_channel) == (3, 32)
        super().__init__()
""",
    "motion_extractor": """
from liveportrait.networks.motion_extractor import MotionExtractor as Plain
class MotionExtractor(Plain):
    def __init__(self, **given):
        assert given == {"num_kp": 21, "backbone": "convnextv2_tiny"}
        super().__init__()
""",
    "warping_network": """
from liveportrait.networks.warping import WarpingNetwork as Plain
class WarpingNetwork(Plain):
    def __init__(self, num_kp, estimate_occlusion_map, dense_motion_params):
        assert estimate_occlusion_map is True and dense_motion_params == {"compress": 4}
        super().__init__()
    def forward(self, feature_3d, kp_driving, kp_source):
        return {"out": (kp_driving - kp_source).mean() + feature_3d.mean() + torch.zeros(1, 256, 64, 64)}
""",
    "spade_generator": """
from liveportrait.networks.generator import SPADEGenerator as Plain
class SPADEDecoder(Plain):
    def __init__(self, upscale):
        assert upscale == 2
        super().__init__()
    def forward(self, feature):
        return torch.full((1, 3, 512, 512), 0.25) + 0 * feature.mean()
""",
    "stitching_retargeting_network": """
from liveportrait.networks.mlps import RetargetingMLP
class StitchingRetargetingNetwork(RetargetingMLP):
    def __init__(self, input_size, hidden_sizes, output_size):
        super().__init__((input_size, *hidden_sizes, output_size))
""",
}


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder laid out like the official code; W and G are cheap, everything else is our plain form."""
    root = tmp_path / "code"
    (root / "src" / "modules").mkdir(parents=True)
    (root / "src" / "config").mkdir()
    (root / "src" / "config" / "models.yaml").write_text(MODELS, encoding="utf-8")
    for name, text in CLASSES.items():
        (root / "src" / "modules" / f"{name}.py").write_text(HEAD + text, encoding="utf-8")
    return root


def test_parameters_of_the_official_code() -> None:
    found = official.read_parameters(MODELS)["model_params"]
    assert found["warping_module_params"]["dense_motion_params"] == {"compress": 4}
    assert found["warping_module_params"]["estimate_occlusion_map"] is True
    assert found["stitching_retargeting_module_params"]["stitching"]["hidden_sizes"] == [128, 128, 64]
    assert found["motion_extractor_params"]["backbone"] == "convnextv2_tiny"


def test_the_folder_must_look_like_the_official_code(stand_in: Path, tmp_path: Path) -> None:
    assert official.find_root(stand_in) == stand_in
    assert official.find_root(stand_in / "src") == stand_in
    with pytest.raises(ValueError, match=r"src/modules and src/config/models\.yaml must be in it"):
        official.find_root(tmp_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "bench.py"), "networks", "--against", f"official={tmp_path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "does not look like the official code" in done.stderr


def test_the_official_code_draws_in_a_process_of_its_own(stand_in: Path, weights_folder: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes = {"image": (1, 3, 256, 256), "volume": (1, 32, 16, 64, 64), "source": (1, 21, 3), "driving": (1, 21, 3)}
    given = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "inputs.npz", **given, reference=np.full((1, 3, 512, 512), 0.5, np.float32))
    child = networks.Child()
    try:
        how = {"label": "official fp32", "folder": str(tmp_path), "weights": str(weights_folder), "threads": 1}
        answer = child.ask(
            "open", kind="official", against=str(stand_in), half=False, compiled=False, device="cpu", **how
        )
        assert answer["facts"] == {"precision": "fp32", "device": "cpu"}
        assert child.ask("compare", label="official fp32") == {"square": 0.0625, "max_abs": 0.25}
        assert [name for name, *_ in child.ask("frame", label="official fp32")["times"]] == [
            "M", "S", "W", "G", "levels"
        ]  # fmt: skip
        memory = child.ask("memory")["memory_mib"]
        assert memory is None or memory > 300
        with pytest.raises(networks.RowError, match="KeyError"):
            child.ask("frame", label="nobody")
    finally:
        child.close()
    assert "src" not in sys.modules


def test_a_process_that_dies_is_a_row_that_failed() -> None:
    child = networks.Child()
    child._process.kill()
    with pytest.raises(networks.RowError, match=r"ended with code|process failed"):
        child.ask("memory")
    child.close()


def row(label: str, walls: list[float], table: str = "rows", names: tuple[str, ...] = ("M", "W", "G")) -> object:
    made = networks.Measured(label, {"precision": "fp32"}, table, facts={"precision": "fp32"}, cold=2.0)
    made.rounds = [[[name, wall, 2 * wall] for name in names] for wall in walls]
    made.against_reference = {"square": 1e-6, "max_abs": 0.01}
    return made


def test_figures_and_tables() -> None:
    rows = [
        row("plain fp32", [0.4, 0.4, 0.5]), row("official fp32", [0.8, 0.8, 0.8]), row("fast", [0.1, 0.1, 0.1]),
        row("all", [0.2, 0.2, 0.2], "ablation", ("W", "G")),
    ]  # fmt: skip
    peaks = {"fp32": 2.0}
    made = networks._figures(rows, "rows", 1, peaks, {"fast": 5e-5})  # type: ignore[arg-type]
    assert list(made) == ["plain fp32", "official fp32", "fast"]
    fast = made["fast"]
    assert (fast["ratio_to_official"], fast["ratio_to_plain"], fast["ratio_to_official_cpu"]) == (8.0, 4.0, 8.0)
    assert fast["frame"]["median_ms"] == 300.0
    assert made["plain fp32"]["stages"]["W"]["p95_ms"] == 490.0
    assert fast["psnr_db"] == 60.0
    assert fast["max_abs_to_official"] == 5e-5
    assert fast["tflops"] == pytest.approx((11.6 + 342.1 + 891.6) / 0.3 / 1e3, abs=1e-3)
    assert fast["share_of_peak"] == pytest.approx(fast["tflops"] / 2.0, abs=1e-3)
    lone = networks._figures(rows, "ablation", 1, peaks, {})  # type: ignore[arg-type]
    assert lone["all"]["ratio_to_plain"] == 2.0  # of W and G alone
    result = {
        "rows": made, "ablation": lone, "failed": {"tensorrt fp16": "the package tensorrt is not installed"},
        "peak_tflops": peaks, "system": "here", "torch": "2", "device": "cpu", "threads": 2, "batch": 1, "rounds": 3,
        "load_before": 1.0, "load_after": 1.0, "weights": "made up", "command": "python tools/bench.py networks",
    }  # fmt: skip
    text = networks.markdown(result)
    assert "Not measured: tensorrt fp16: the package tensorrt is not installed." in text
    assert "`python tools/bench.py networks`" in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 2  # every table has rows as wide as its head


def test_rows_that_are_wanted() -> None:
    asked = Namespace(
        engine=["torch", "torch-fast"], precision=None, device="cpu", against=Path("x"), ablation=True, only=[]
    )
    labels = [row.label for row in networks.wanted_rows(asked)]
    assert labels[:7] == [
        "plain fp32", "official fp32", "torch fp32", "torch bf16", "torch-fast fp32", "torch-fast bf16",
        "torch-fast int8",
    ]  # fmt: skip
    assert "bf16, whole frame in one graph" in labels
    for rewrite in ("separable_motions", "folded_norms", "folded_spectral", "source_cache", "shared_norm"):
        assert f"bf16 without {rewrite}" in labels
    asked.engine = ["torch-slow"]
    with pytest.raises(ValueError, match="no engine torch-slow with networks"):
        networks.wanted_rows(asked)


def test_a_whole_render(tmp_path: Path) -> None:
    report = tmp_path / "a.json"
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "tools" / "bench.py"), "pipeline", "--engine", "mesh", "--frames", "3",
            "--json", str(report),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(report.read_text(encoding="utf-8"))
    assert (result["engine"], result["frames"], result["stages_overlap"]) == ("mesh", 3, True)
    assert {"decode", "track", "motion", "render", "compose", "encode"} <= set(result["stages"])
    assert result["stages"]["render"]["p99_ms"] >= result["stages"]["render"]["median_ms"]
    assert "whole job" in pipeline.markdown(result)


def test_a_processor_without_bf16_is_not_measured_by_emulation(monkeypatch):
    import torch

    args = Namespace(
        engine=["torch-fast"], device="cpu", against=None, precision=None, ablation=True, only=[], threads=1
    )
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    rows = networks.wanted_rows(args)
    assert [row.label for row in rows if row.table == "rows" and not row.failed] == ["plain fp32", "torch-fast fp32"]
    assert all("no bf16" in row.failed for row in rows if row.label in ("torch-fast bf16", "torch-fast int8"))
    assert all(row.label.startswith("fp32") for row in rows if row.table == "ablation")


def test_peak_stops_at_the_size_that_takes_too_long():
    from benching.machine import matmul_peak

    assert matmul_peak("cpu", "fp32", repeats=1, longest=1e-9) > 0


def test_the_start_is_told_step_by_step(capsys, monkeypatch):
    from benching import start

    start.first_frame()
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["what"] for one in steps] == ["imports of the library", "portrait ready", "first animated picture"]
    begun = steps[0]["at"] - 1
    told = [{"what": one["what"], "wall_s": one["at"] - begun, "cpu_s": one["cpu_s"]} for one in steps]
    monkeypatch.setattr(start, "once", lambda case: told)
    rows = start.measure(2, ["first_frame"])["rows"]
    times = [row["wall_s"]["least"] for row in rows.values()]
    assert times == sorted(times)
    assert times[0] == 1
