"""Detectors learn, resume after a kill, are built on every family, and their pictures and labels fit each other."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from detection.augment import AugmentConfig, augment, change_colours, similarity, warp
from detection.backgrounds import generate_background
from detection.compose import Portraits, compose
from detection.drawn import draw_faces
from detection.labels import Labels
from detection.wider import WiderPick, fitted, read_wider, subset
from training.manifest import Manifest, ManifestError

ROOT = Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools" / "train_detector.py"


def test_a_detector_learns_drawn_faces_from_scratch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    from detection.learn import PANELS, Batches, Learner, evaluator
    from training.trainer import Trainer, TrainerConfig

    import models

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = models.create("detect/osa_nano").to(memory_format=torch.channels_last)
    held_out = [draw_faces(96, np.random.default_rng((7, i))) for i in range(60)]
    config = TrainerConfig(steps=300, lr=6e-3, ema=0.97, warmup=20, save_every=300, evaluate_every=150)
    trainer = Trainer(
        network,
        Batches(draw_faces, 12, (96,)),
        Learner(),
        tmp_path,
        config,
        evaluate=evaluator(held_out),
        panels=PANELS,
    )
    trainer.run()
    torch.set_num_threads(threads)
    rows = trainer.rows
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.4 * losses[0]
    assert rows[-1]["val_ap"] >= 0.95
    assert rows[-1]["val_precision"] >= 0.9
    assert rows[-1]["val_points"] < 0.15
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_the_tool_killed_and_started_again_gives_the_same_curve(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    command = [
        sys.executable, str(TOOL), "train", "", "--drawn", "--sizes", "64", "--batch", "2", "--steps", "30",
        "--save-every", "5", "--evaluate-every", "0", "--pictures", "4",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command[3] = str(killed)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # the run has logged ten steps and saved after five
        process.send_signal(signal.SIGKILL)
    assert first.startswith("step 10/30")
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "going on after step" in again.stdout
    command[3] = str(whole)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    log = (whole / "log.jsonl").read_text()
    assert (killed / "log.jsonl").read_text() == log
    assert [json.loads(line)["step"] for line in log.splitlines()] == [10, 20, 30, 30]


@pytest.mark.parametrize("name", ["detect/emo2_1m", "detect/ffnet22s_dbcc_mobile", "detect/ffnet46ns_ccc_mobile"])
def test_detectors_of_our_own_families_build_run_and_learn(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    from detection.learn import Batches, Learner

    import models

    assert name in models.list_models("detect/*")
    torch.manual_seed(0)
    network = models.create(name, width=32)
    batch = Batches(draw_faces, 2, (64,))(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    found = []
    for _ in range(10):
        losses = Learner()(network, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
        optimizer.step()
        found.append(float(losses["loss"].detach()))
    assert min(found[-3:]) < found[0]
    scores, boxes, points = network.eval()(torch.zeros(1, 3, 64, 96))
    assert (scores.shape, boxes.shape, points.shape) == ((1, 126), (1, 126, 4), (1, 126, 10))


@pytest.mark.parametrize("name", ["detect/vovnet27_slim", "detect/resnetrs50"])
def test_detectors_on_nets_of_timm(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    import models
    from models.registry import ModelError

    assert name in models.list_models("detect/*")
    try:
        network = models.create(name)
    except ModelError as error:
        pytest.skip(str(error))
    assert network.eval()(torch.zeros(1, 3, 64, 64))[0].shape == (1, 84)


def test_detectors_take_no_options_of_classifiers() -> None:
    pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    import models
    from models.registry import ModelError

    with pytest.raises(ModelError, match="takes no num_classes"):
        models.create("detect/osa_nano", num_classes=3)


def marked(side: int = 80) -> tuple[np.ndarray, Labels]:
    """Black picture with a dot of its own brightness at each of the five points."""
    image = np.zeros((side, side, 3), np.uint8)
    five = np.array([[30, 30], [50, 30], [40, 40], [33, 50], [47, 50]], np.float32)
    for number, (x, y) in enumerate(five):
        image[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1] = 100 + 30 * number
    return image, Labels(np.array([[22, 20, 58, 60]], np.float32), five[None], np.zeros(1, np.bool_))


@pytest.mark.parametrize(("angle", "mirror"), [(0.0, False), (math.pi, False), (0.9, False), (0.0, True), (2.0, True)])
def test_points_stay_on_what_they_mark(angle: float, mirror: bool) -> None:
    image, labels = marked()
    matrix = similarity((40.0, 40.0), 80, 160, angle, mirror)
    moved, after = warp(image, matrix, 160), labels.mapped(matrix)
    levels = [int(moved[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1, 0].max()) for x, y in after.points[0]]
    wanted = [100, 130, 160, 190, 220]
    order = [1, 0, 2, 4, 3] if mirror else [0, 1, 2, 3, 4]
    np.testing.assert_allclose(levels, [wanted[i] for i in order], atol=12)


def test_augmentation_is_a_matter_of_the_generator_and_keeps_faces_inside() -> None:
    image, labels = draw_faces(128, np.random.default_rng(3), most=3)
    config = AugmentConfig(any_turn=0.5)
    kinds = set()
    for seed in range(40):
        one, found = augment(image, labels, 96, np.random.default_rng(seed), config)
        two, again = augment(image, labels, 96, np.random.default_rng(seed), config)
        assert np.array_equal(one, two)
        assert np.array_equal(found.boxes, again.boxes)
        assert one.shape == (96, 96, 3)
        assert one.dtype == np.uint8
        assert (found.boxes >= 0).all()
        assert (found.boxes <= 96).all()
        kinds.add(len(found))
        upright = found.points[:, :2, 1].mean(axis=1) < found.points[:, 3:, 1].mean(axis=1)
        kinds.update({"up" if flag else "down" for flag in upright})
    assert {"up", "down"} <= kinds


def test_colours_and_backgrounds_vary() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    looks = {change_colours(grey, np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert len(looks) > 15
    grounds = [generate_background(64, np.random.default_rng(seed)) for seed in range(20)]
    assert len({ground.tobytes() for ground in grounds}) == 20
    assert np.array_equal(grounds[3], generate_background(64, np.random.default_rng(3)))


def test_composed_pictures_have_the_faces_that_their_labels_name() -> None:
    images, outlines, points = [], [], []
    for colour in ((250, 0, 0), (0, 250, 0)):
        image = np.zeros((80, 80, 3), np.uint8)
        cv2.ellipse(image, (40, 40), (18, 20), 0, 0, 360, colour, -1)
        images.append(image)
        angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        outlines.append(np.stack([40.5 + 18 * np.cos(angles), 40.5 + 20 * np.sin(angles)], axis=1))
        points.append(marked()[1].points[0])
    portraits = Portraits(
        np.stack(images), np.full((2, 80, 80), 255, np.uint8), np.stack(outlines).astype(np.float32), np.stack(points),
        np.tile(np.array([0, 0, 80, 80], np.float32), (2, 1)),
    )  # fmt: skip
    counts = []
    for seed in range(60):
        image, labels = compose(portraits, 96, np.random.default_rng(seed))
        assert image.shape == (96, 96, 3)
        counts.append(len(labels))
        assert (labels.boxes >= 0).all()
        assert (labels.boxes <= 96).all()
    assert min(counts) == 0
    assert max(counts) >= 3
    again = compose(portraits, 96, np.random.default_rng(59))[0]
    assert np.array_equal(again, image)


WIDER = {
    "retina": "# a/one.jpg\n10 12 30 40 15 20 0 30 20 0 22 30 1 17 40 0 28 40 0 0.8\n2 2 2 2 -1 -1 -1 -1 -1 -1 -1 -1 "
    "-1 -1 -1 -1 -1 -1 -1 0.1\n# a/two.jpg\n",
    "scrfd": "# a/one.jpg 64 64\n10 12 40 52 15 20 0 30 20 0 22 30 0 17 40 0 28 40 0\n2 2 4 4 -1 -1 -1 -1 -1 -1 -1 -1 "
    "-1 -1 -1 -1 -1 -1 -1\n# a/two.jpg 64 64\n",
    "official": "a/one.jpg\n2\n10 12 30 40 0 0 0 0 0 0\n2 2 2 2 0 0 0 1 0 0\na/two.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n",
}


@pytest.mark.parametrize("form", WIDER)
def test_all_forms_of_wider_labels_are_read(tmp_path: Path, form: str) -> None:
    (tmp_path / "label.txt").write_text(WIDER[form])
    one, two = read_wider(tmp_path / "label.txt", tmp_path)
    assert one.path == tmp_path / "a" / "one.jpg"
    assert one.labels.boxes.tolist() == [[10, 12, 40, 52], [2, 2, 4, 4]]
    assert one.labels.ignore.tolist() == [False, True]
    assert np.isnan(one.labels.points[1]).all()
    if form != "official":
        assert one.labels.points[0].tolist() == [[15, 20], [30, 20], [22, 30], [17, 40], [28, 40]]
    assert not (~two.labels.ignore).any()


def test_wider_pictures_are_picked_and_fitted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    cv2.imencode(".png", image)[1].tofile(tmp_path / "a" / "one.jpg")
    (tmp_path / "label.txt").write_text(WIDER["retina"])
    entries = read_wider(tmp_path / "label.txt", tmp_path)
    picture, labels = WiderPick(entries)(64, np.random.default_rng(1))
    assert picture.shape == (64, 64, 3)
    assert len(labels) <= 2
    big, moved = fitted(image, entries[0].labels, 192)
    assert big.shape == (128, 192, 3)
    np.testing.assert_allclose(moved.boxes[0], [20, 24, 80, 104])
    assert subset(moved, "easy").ignore.tolist() == [False, True]
    (tmp_path / "label.txt").write_text("# a/one.jpg\n1 2 x 4\n")
    with pytest.raises(ManifestError, match="line 2"):
        read_wider(tmp_path / "label.txt", tmp_path)
    with pytest.raises(ManifestError, match="is not a folder"):
        read_wider(tmp_path / "label.txt", tmp_path / "nowhere")


def test_the_manifest_keeps_test_persons_apart() -> None:
    manifest = Manifest.read(ROOT / "tools" / "detection" / "portraits.json")
    assert len(manifest.samples) == 782
    test = {Path(sample.name).stem for sample in manifest.split("test")}
    assert len(test) == 142
    assert {name[-1] for name in test} == {"7", "8"}
    assert not {Path(s.name).stem for s in manifest.split("train")} & test
    assert all(len(s.sha256) == 64 and len(s.labels) == 16 for s in manifest.samples)


def test_portraits_are_prepared_and_checked(shared: Path, tmp_path: Path) -> None:
    from detection.portraits import load_prepared, prepare

    folder = tmp_path / "pictures"
    folder.mkdir()
    manifest = Manifest.read(ROOT / "tools" / "detection" / "portraits.json")
    chosen = [manifest.samples[i].name for i in (0, 300)]
    with np.load(shared / "data" / "portraits" / "landmarks.npz") as known:
        names = [str(n) if str(n).endswith(".jpg") else f"{n}.jpg" for n in known["name"]]
        rows = [names.index(name) for name in chosen]
        points = known["points"][rows].copy()
        points[1] += 100  # not the face that is in the picture
        np.savez(folder / "landmarks.npz", name=np.array(chosen), points=points, valid=known["valid"][rows])
    for name in chosen:
        (folder / name).write_bytes((shared / "data" / "portraits" / name).read_bytes())
    made, left_out = prepare(folder, tmp_path / "work")
    assert left_out == [chosen[1]]
    kept = manifest.samples[0]  # its landmarks differ by tenths of a pixel with the versions of the packages
    assert (made.samples[0].name, made.samples[0].split, made.samples[0].sha256) == (kept.name, kept.split, kept.sha256)
    data = load_prepared(tmp_path / "work", made)
    assert data.portraits.images.shape == (1, 320, 320, 3)
    box = data.portraits.boxes()[0]
    assert ((data.portraits.points[0] > box[:2]) & (data.portraits.points[0] < box[2:])).all()
    other = replace(made, samples=(replace(made.samples[0], sha256="0" * 64),))
    with pytest.raises(ManifestError, match="is not the image"):
        load_prepared(tmp_path / "work", other)
    with pytest.raises(ManifestError, match="does not hold"):
        load_prepared(tmp_path / "work", manifest)
    with pytest.raises(ManifestError, match="prepare"):
        load_prepared(tmp_path)
