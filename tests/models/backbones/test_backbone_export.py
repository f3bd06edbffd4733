"""Backbones as ONNX files: what ONNX Runtime computes from them is what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import pytest

import models
from models.registry import ModelError

torch = pytest.importorskip("torch", reason="PyTorch (dev extra) is not installed")


@pytest.fixture(scope="module")
def exporter():
    pytest.importorskip("onnxscript", reason="onnxscript (extra onnx) is not installed")
    return pytest.importorskip("models.export")


@pytest.mark.parametrize("name", ["backbone/emo2_1m", "backbone/ffnet22s_dbcc_mobile"])
def test_maps_of_any_number_of_pictures(name: str, exporter, tmp_path: Path):
    torch.manual_seed(0)
    net = models.create(name, features_only=True, out_indices=(-3, -2)).eval()
    for key, value in net.named_parameters():
        if key.endswith("gamma"):  # begins near zero, which would hide the blocks
            torch.nn.init.uniform_(value, 0.2, 0.8)
    path = exporter.write_onnx(
        net, (torch.zeros(1, 3, 64, 96),), tmp_path / "deep" / "net.onnx",
        inputs=("image",), outputs=("fine", "coarse"), any_batch=True,
    )  # fmt: skip
    for count in (1, 3):
        assert exporter.disagreement(net, path, (torch.randn(count, 3, 64, 96),)) < 1e-5
    assert [f.name for f in path.parent.iterdir()] == ["net.onnx"]


def test_a_file_of_other_weights_disagrees(exporter, tmp_path: Path):
    nets = [torch.nn.Conv2d(3, 2, 3) for _ in range(2)]
    example = (torch.randn(1, 3, 8, 8),)
    path = exporter.write_onnx(nets[0], example, tmp_path / "a.onnx", inputs=("x",), outputs=("y",))
    assert exporter.disagreement(nets[0], path, example) < 1e-5
    assert exporter.disagreement(nets[1], path, example) > 1e-2


def test_a_folder_that_can_not_be_written_is_named(exporter, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"net\.onnx can't be written"):
        exporter.write_onnx(
            torch.nn.Conv2d(3, 2, 3), (torch.zeros(1, 3, 8, 8),), tmp_path / "file" / "net.onnx",
            inputs=("x",), outputs=("y",),
        )  # fmt: skip
