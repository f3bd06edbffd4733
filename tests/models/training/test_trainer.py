"""The resumable training loop, its log, its curves and manifests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from training import Manifest, ManifestError, Sample, draw_curves, read_log  # noqa: E402
from training.log import append_row, cut_log  # noqa: E402
from training.manifest import by_person, hash_labels  # noqa: E402
from training.trainer import Trainer, TrainerConfig, TrainingError, load_average  # noqa: E402

from models.files import file_hash  # noqa: E402

CONFIG = TrainerConfig(steps=40, lr=0.05, warmup=4, save_every=6, log_every=5, evaluate_every=20, seed=3)

RUN = """
import os, signal, sys
import torch
from pathlib import Path
sys.path[:0] = [{tests!r}, {tools!r}]
from test_trainer import CONFIG, make
torch.set_num_threads(1)
trainer = make(Path(sys.argv[1]), kill=int(sys.argv[2]))
trainer.run()
"""


def make(folder: Path, kill: int = 0, **changes: object) -> Trainer:
    """A small regression with dropout; with kill the process shoots itself in the middle of that step."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1)
    )

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((CONFIG.seed, step))
        x = torch.from_numpy(rng.standard_normal((32, 4)).astype(np.float32))
        return x, x.sum(dim=1, keepdim=True)

    def loss(network: torch.nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        if kill and trainer.step == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        away = (network(data[0]) - data[1]).square().mean()
        return {"loss": away, "root": away.sqrt()}

    def evaluate(network: torch.nn.Module) -> dict[str, float]:
        assert not network.training
        x, y = batch(10_000)
        return {"error": float((network(x) - y).square().mean())}

    config = TrainerConfig(**{**CONFIG.__dict__, **changes})
    trainer = Trainer(net, batch, loss, folder, config, evaluate=evaluate, note={"data": "sums"})
    return trainer


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["average"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    make(folder).run()
    torch.set_num_threads(threads)
    return folder


def test_the_loss_falls_and_is_logged_and_drawn(whole: Path) -> None:
    rows = read_log(whole / "log.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert [row["step"] for row in rows if "loss" in row] == list(range(5, 41, 5))
    assert losses[-1] < 0.3 * losses[0]
    assert [row["step"] for row in rows if "val_error" in row] == [20, 40]
    picture = cv2.imdecode(np.fromfile(whole / "curves.png", dtype=np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (600, 960, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("kill", [9, 23])
def test_a_killed_run_goes_on_as_if_it_had_not_been(whole: Path, tmp_path: Path, kill: int) -> None:
    code = RUN.format(tests=str(Path(__file__).parent), tools=str(Path(__file__).resolve().parents[3] / "tools"))
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run([*command, str(kill)], check=False).returncode == -signal.SIGKILL
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] < 40
    subprocess.run([*command, "0"], check=True)
    assert (tmp_path / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    expected = weights(whole)
    assert all(torch.equal(value, expected[key]) for key, value in weights(tmp_path).items())


def test_stopping_in_the_middle_of_a_row_changes_nothing(whole: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    make(tmp_path).run(until=13)
    make(tmp_path).run()
    torch.set_num_threads(threads)
    assert (tmp_path / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()


def test_a_checkpoint_of_another_training_or_damaged_is_refused(whole: Path, tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.run(until=2)
    with pytest.raises(TrainingError, match="belongs to another training"):
        Trainer(trainer.network, trainer.batch, trainer.loss, tmp_path, CONFIG, note={"data": "other"})
    with pytest.raises(TrainingError, match="does not fit this network"):
        Trainer(torch.nn.Linear(4, 2), trainer.batch, trainer.loss, tmp_path, CONFIG, note={"data": "sums"})
    (tmp_path / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes()[:300])
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        make(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        make(tmp_path)
    with pytest.raises(TrainingError, match="not a checkpoint of this network"):
        load_average(whole / "checkpoint.pt", torch.nn.Linear(1, 1))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.loss = lambda network, data: {"loss": network(data[0]).sum() * float("nan")}
    with pytest.raises(TrainingError, match="lower learning rate"):
        trainer.run()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_rates_rise_and_fall() -> None:
    config = TrainerConfig(steps=1000, lr=1.0, final_lr=0.1, warmup=10)
    rates = [config.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[505] == pytest.approx(0.55)
    assert rates[1000] == pytest.approx(0.1)
    assert np.diff(rates[10:]).max() <= 0


def test_weight_decay_spares_norms_and_unknown_optimizers_are_named(tmp_path: Path) -> None:
    trainer = make(tmp_path / "sgd", optimizer="sgd", weight_decay=0.1)
    spared = trainer.optimizer.param_groups[1]
    assert spared["weight_decay"] == 0
    assert {p.ndim for p in spared["params"]} == {1}
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.1
    with pytest.raises(TrainingError, match="adamw or sgd"):
        make(tmp_path / "lion", optimizer="lion")


def test_a_log_that_was_cut_short_is_read_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    for step in (5, 10):
        append_row(path, {"step": step, "loss": 1 / 3})
    path.write_text(path.read_text() + '{"step": 15, "lo')
    assert [row["step"] for row in read_log(path)] == [5, 10]
    assert read_log(path)[0]["loss"] == 1 / 3
    cut_log(path, 5)
    assert path.read_text() == '{"step": 5, "loss": 0.3333333333333333}\n'
    path.write_text('nonsense\n{"step": 1}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_log(path)


def test_curves_of_nothing_and_of_constants_are_drawn(tmp_path: Path) -> None:
    assert draw_curves(tmp_path / "a.png", [], [("log loss", ["loss"])]).shape == (300, 960, 3)
    rows = [{"step": float(i), "loss": 1.0, "bad": float("nan")} for i in range(200)]
    image = draw_curves(tmp_path / "b.png", rows, [("log loss", ["loss", "bad"]), ("score", ["none"])])
    assert image.shape == (600, 960, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_manifest_keeps_what_it_is_given_and_notices_changes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    labels = hash_labels(np.array([[1.04, -0.01]]))
    assert labels == hash_labels(np.array([[1.0, 0.0]])) != hash_labels(np.array([[1.1, 0.0]]))
    sample = Sample("a.jpg", "train", file_hash(tmp_path / "a.jpg"), labels)
    manifest = Manifest("test", "MIT", (sample, Sample("b.jpg", "test")), {"side": 320})
    manifest.write(tmp_path / "m.json")
    assert Manifest.read(tmp_path / "m.json") == manifest
    assert manifest.split("test") == [manifest.samples[1]]
    assert manifest.digest() != Manifest("test", "MIT", (sample,)).digest()
    with pytest.raises(ManifestError, match=r"b\.jpg is missing"):
        manifest.check(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"")
    manifest.check(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"another")
    with pytest.raises(ManifestError, match="is not the file"):
        manifest.check(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("samples"), "is not a manifest"),
        (lambda d: d["samples"].append(["a", "train", "", ""]), "names a sample twice"),
        (lambda d: d["samples"].append(["c", "extra", "", ""]), "extra is not a split"),
    ],
)
def test_damaged_manifests_are_refused(tmp_path: Path, change: object, words: str) -> None:
    path = tmp_path / "m.json"
    Manifest("t", "MIT", (Sample("a", "train"),)).write(path)
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    with pytest.raises(ManifestError, match=words):
        Manifest.read(path)
    with pytest.raises(ManifestError, match="can't be read"):
        Manifest.read(tmp_path / "none.json")


def test_persons_are_split_by_the_last_digit() -> None:
    names = ["B000574.jpg", "A000017.jpg", "A000018.jpg", "A000019.jpg"]
    assert by_person(names) == [
        ("A000017.jpg", "test"), ("A000018.jpg", "test"), ("A000019.jpg", "train"), ("B000574.jpg", "train"),
    ]  # fmt: skip
