"""Parsers on all backbones: registry, shapes, losses against plain formulas, ONNX files, the training itself."""

from __future__ import annotations

import importlib.util
import math
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from training.log import read_log

import models
from models.parsing import BASIC, CLASSES, COUNT, index
from models.parsing.classes import BISENET, IGNORED
from models.parsing.parser import FaceParser
from models.registry import ModelError
from tests.conftest import ROOT

torch = pytest.importorskip("torch", reason="torch (extra) is not installed")
losses = pytest.importorskip("parsing.losses")
NO_ONNX = importlib.util.find_spec("onnxscript") is None or importlib.util.find_spec("onnx") is None


def test_every_backbone_has_a_parser():
    names = models.list_models("parse/*")
    for backbone in models.list_models("backbone/*"):
        assert backbone.replace("backbone/", "parse/") in names
    assert {"parse/emo2_1m", "parse/ffnet40s_dbbb_mobile", "parse/vovnet27_slim", "parse/resnetrs50"} <= set(names)


@pytest.mark.parametrize(
    ("name", "stride"),
    [("emo2_1m", 4), ("ffnet22s_bcc_mobile", 4), ("ffnet40s_dbbb_mobile", 8), ("osa_micro", 4)],
)
def test_parsers_give_logits_at_their_stride(name, stride):
    net = models.create(f"parse/{name}", num_classes=19, auxiliary=True).eval()
    x = torch.zeros(1, 3, 64, 96)
    with torch.inference_mode():
        outputs = net.training_outputs(x)
        assert outputs[0].shape == (1, 19, 64 // stride, 96 // stride)
        assert torch.equal(net(x), outputs[0])
    assert net.reduction == stride
    assert [o.shape[1] for o in outputs] == [19, 19, 19]
    assert outputs[1].shape[-1] == 96 // stride // 2


@pytest.mark.parametrize("name", ["vovnet27_slim", "resnetrs50"])
def test_parsers_of_timm(name):
    try:
        net = models.create(f"parse/{name}", head="small")
    except ModelError as error:
        pytest.skip(str(error))
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, BASIC, 16, 16)


def test_unknown_heads_are_refused():
    with pytest.raises(ValueError, match="not one of small"):
        models.create("parse/osa_micro", head="ZZ")
    with pytest.raises(ModelError, match="out_indices"):
        models.create("parse/osa_micro", out_indices=(0,))


def test_ohem_counts_hard_pixels_alone():
    labels = torch.tensor([[[0, 1, 0, IGNORED]]])
    logits = torch.tensor([[[[4.0, 0.2, -1.0, 9.0]], [[0.0, 0.0, 1.0, 0.0]]]], requires_grad=True)
    probability = logits.detach().softmax(1)
    hard = [-math.log(probability[0, 1, 0, 1]), -math.log(probability[0, 0, 0, 2])]
    loss = losses.ohem_cross_entropy(logits, labels, losses.LossWeights(boundary=0.0))
    assert float(loss.detach()) == pytest.approx(sum(hard) / 2, rel=1e-5)
    loss.backward()
    assert (logits.grad[0, :, 0, [0, 3]] == 0).all()  # the easy one and the unknown one
    easy = torch.tensor([[[[6.0, 5.0]], [[0.0, 0.0]]]])
    value = losses.ohem_cross_entropy(easy, torch.zeros(1, 1, 2), losses.LossWeights(boundary=0.0, least=0.5))
    assert float(value) == pytest.approx(math.log1p(math.exp(-5.0)), rel=1e-4)  # the harder half stays


def test_boundaries_lie_within_reach_and_not_at_unknown_pixels():
    labels = torch.zeros(1, 5, 12, dtype=torch.uint8)
    labels[..., 6:] = 3
    near = losses.boundaries(labels, 2)[0, 2]
    assert near.tolist() == [False] * 4 + [True] * 4 + [False] * 4
    labels[..., 6:] = IGNORED
    assert not losses.boundaries(labels, 2).any()


def test_dice_is_zero_for_a_perfect_answer_and_one_for_a_wrong_one():
    labels = torch.tensor([[[0, 1], [1, 2]]])
    perfect = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float() * 50
    assert float(losses.dice(perfect, labels)) == pytest.approx(0.0, abs=1e-6)
    wrong = torch.zeros(1, 4, 2, 2)
    wrong[:, 3] = 50
    assert float(losses.dice(wrong, labels)) == pytest.approx(1.0, abs=1e-6)


def test_loss_has_finite_gradients_at_other_sizes_and_without_labels():
    logits = torch.zeros(2, 5, 4, 4, requires_grad=True)
    loss = losses.parsing_loss([logits, logits * 2], torch.full((2, 16, 16), IGNORED, dtype=torch.uint8))
    assert float(loss.detach()) == 0.0
    labels = torch.randint(0, 5, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    losses.parsing_loss([logits, logits * 2], labels).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.skipif(NO_ONNX, reason="onnx or onnxscript (extra) is not installed")
def test_exported_parser_agrees_and_is_read_back(tmp_path, astronaut):
    from models.parsing.network import Deployed, export
    from models.tracker import FaceTracker

    torch.manual_seed(1)
    net = models.create("parse/osa_nano", head="small").eval()
    whole = export(net, tmp_path / "whole.onnx", 64, half=False)
    assert whole < 1e-5
    assert export(net, tmp_path / "half.onnx", 64) < 5e-3
    assert (tmp_path / "half.onnx").stat().st_size < 0.65 * (tmp_path / "whole.onnx").stat().st_size
    points = FaceTracker().detect(astronaut)[0].points
    parser = FaceParser(tmp_path / "half.onnx")
    parsed = parser(astronaut, points)
    assert parser.size == 64
    assert parsed.names == CLASSES[:BASIC]
    assert parsed.probabilities.sum(0) == pytest.approx(1.0, abs=1e-4)
    assert parsed.labels().shape == astronaut.shape[:2]
    view = cv2.warpAffine(astronaut, parsed.square.matrix(64), (64, 64), borderMode=cv2.BORDER_REPLICATE)
    with torch.inference_mode():
        wanted = Deployed(net, full=False)(torch.from_numpy(view.transpose(2, 0, 1)[None]).float())
    assert np.abs(parsed.probabilities - wanted[0].numpy()).max() < 5e-3
    total = parsed.share(CLASSES[:BASIC])
    assert total == pytest.approx(1.0, abs=1e-4)


@pytest.mark.skipif(NO_ONNX, reason="onnx or onnxscript (extra) is not installed")
def test_a_users_bisenet_is_taken(tmp_path, astronaut):
    from models.export import write_onnx
    from models.tracker import FaceTracker

    net = torch.nn.Conv2d(3, len(BISENET), 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.zero_()
        net.bias[BISENET.index("hair")] = 9.0
    write_onnx(net, (torch.zeros(1, 3, 32, 32),), tmp_path / "b.onnx", inputs=["x"], outputs=["y"])
    points = FaceTracker().detect(astronaut)[0].points
    parsed = FaceParser(tmp_path / "b.onnx")(astronaut, points)
    assert (parsed.labels() == index("hair")).all()
    net = torch.nn.Conv2d(3, 7, 1)
    write_onnx(net, (torch.zeros(1, 3, 32, 32),), tmp_path / "c.onnx", inputs=["x"], outputs=["y"])
    with pytest.raises(ModelError, match="19 outputs"):
        FaceParser(tmp_path / "c.onnx")(astronaut, points)


def test_missing_parsers_are_named():
    for model, words in (
        ("parse/emo2_1m", "without weights"), ("parse/nothing", "no face parser"), ("gone.onnx", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=words):
            _ = FaceParser(model).path


FLAGS = (
    "train", "--data", "drawn", "--net", "parse/osa_nano", "--size", "64", "--batch", "8", "--steps", "80", "--lr",
    "4e-3", "--ema", "0.95", "--evaluate-every", "0", "--save-every", "10", "--pictures", "24",
)  # fmt: skip


def test_training_learns_drawn_faces_and_goes_on_after_a_kill(tmp_path):
    from tools.train_parser import arguments, train

    def settings(run: Path) -> dict[str, object]:
        given = vars(arguments().parse_args([*FLAGS, "--run", str(run)]))
        given.pop("command")
        return given

    threads = torch.get_num_threads()
    try:
        rows = train(settings(tmp_path / "whole"), quiet=True)
        curve = [row["loss"] for row in rows if "loss" in row]
        assert curve[-1] < 0.45 * curve[0]
        assert rows[-1]["val_mean_iou"] > 0.55
        assert (tmp_path / "whole" / "curves.png").stat().st_size > 5000

        killed = tmp_path / "killed"
        command = [sys.executable, str(ROOT / "tools" / "train_parser.py"), *FLAGS, "--run", str(killed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("step 20/"):
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        before = len(read_log(killed / "log.jsonl"))
        again = train(settings(killed), quiet=True)
    finally:
        torch.set_num_threads(threads)
    assert 2 <= before < len(again)
    assert again == rows


def test_more_classes_than_the_basic_ones_can_be_trained():
    net = models.create("parse/osa_nano", num_classes=COUNT, head="small")
    labels = torch.randint(0, COUNT, (1, 64, 64), generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(losses.parsing_loss(net.train().training_outputs(torch.rand(1, 3, 64, 64)), labels))
