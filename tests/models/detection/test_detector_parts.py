"""Detector: priors, decoding, suppression, losses, assignment, labels, scores; each against plain NumPy or by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from detection.evaluate import Found, average_precision, match, score_detector
from detection.labels import Labels

from models.detection.geometry import blend, decode, nms, prior_points

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")


def boxes(rng: np.random.Generator, count: int, side: float = 100.0) -> np.ndarray:
    low = rng.uniform(0, side, (count, 2))
    return np.concatenate([low, low + rng.uniform(2, side / 2, (count, 2))], axis=1).astype(np.float32)


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def test_priors_are_the_centres_of_all_cells() -> None:
    points, strides = prior_points(64, 96)
    assert points.shape == (8 * 12 + 4 * 6 + 2 * 3, 2)
    assert points[0].tolist() == [4, 4]
    assert points[1].tolist() == [12, 4]
    assert points[12].tolist() == [4, 12]
    assert points[96].tolist() == [8, 8]
    assert points[-1].tolist() == [80, 48]
    assert strides.tolist() == [8] * 96 + [16] * 24 + [32] * 6
    with pytest.raises(ValueError, match="multiples of 32"):
        prior_points(64, 100)


def test_decoding_equals_a_loop_and_the_network_s_own() -> None:
    from models.detection.network import decode as decode_tensors

    rng = np.random.default_rng(0)
    priors, strides = prior_points(64, 64)
    raw = rng.normal(size=(2, len(priors), 4)).astype(np.float32)
    raw[0, 0, 2] = 90.0  # a wild output stays finite
    five = rng.normal(size=(2, len(priors), 10)).astype(np.float32)
    corners, points = decode(raw, five, priors, strides)
    for n, a in ((0, 5), (1, 70), (0, 83)):
        x, y, s = *priors[a], strides[a]
        cx, cy = x + raw[n, a, 0] * s, y + raw[n, a, 1] * s
        w, h = math.exp(raw[n, a, 2]) * s, math.exp(raw[n, a, 3]) * s
        np.testing.assert_allclose(
            corners[n, a], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-5, atol=1e-4
        )
        for k in range(5):
            wanted = [x + five[n, a, 2 * k] * s, y + five[n, a, 2 * k + 1] * s]
            np.testing.assert_allclose(points[n, a, k], wanted, rtol=1e-5, atol=1e-4)
    assert np.isfinite(corners).all()
    same = decode_tensors(*(torch.from_numpy(v) for v in (raw, five, priors, strides)))
    np.testing.assert_allclose(same[0].numpy(), corners, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(same[1].numpy(), points, rtol=1e-5, atol=1e-3)


def test_suppression_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        some, scores = boxes(rng, 40), rng.random(40).astype(np.float32)
        left, kept = list(np.argsort(-scores)), []
        while left:
            best = left.pop(0)
            kept.append(best)
            left = [i for i in left if plain_iou(some[best], some[i]) <= 0.4]
        assert nms(some, scores).tolist() == kept
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)).tolist() == []


def test_blending_is_the_weighted_mean_of_each_group() -> None:
    some = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    scores = np.array([0.9, 0.3, 0.5], np.float32)
    merged, five, best = blend(some, points, scores)
    np.testing.assert_allclose(merged, [[0.25, 0, 10.25, 10], [50, 50, 60, 60]], rtol=1e-6)
    np.testing.assert_allclose(five[0], 0.75 * points[0] + 0.25 * points[1], rtol=1e-6)
    np.testing.assert_allclose(best, [0.9, 0.5])
    assert [len(part) for part in blend(some[:0], points[:0], scores[:0])] == [0, 0, 0]


def test_blending_trembles_less_than_picking() -> None:
    rng = np.random.default_rng(2)
    picked, mixed = [], []
    for _ in range(300):
        noisy = np.array([10, 10, 60, 60]) + rng.normal(0, 2, (6, 4))
        scores = rng.uniform(0.5, 1, 6).astype(np.float32)
        one = noisy.astype(np.float32)
        picked.append(one[nms(one, scores)[0]])
        mixed.append(blend(one, np.zeros((6, 5, 2), np.float32), scores)[0][0])
    assert np.std(mixed, axis=0).mean() < 0.6 * np.std(picked, axis=0).mean()


def test_overlap_losses_equal_their_formulas() -> None:
    from detection.losses import diou_loss, eiou_loss, paired_iou, pairwise_iou

    rng = np.random.default_rng(3)
    a, b = boxes(rng, 30), boxes(rng, 30)
    diou, eiou = [], []
    for one, other in zip(a.astype(float), b.astype(float), strict=True):
        width = max(one[2], other[2]) - min(one[0], other[0])
        height = max(one[3], other[3]) - min(one[1], other[1])
        away = ((one[:2] + one[2:] - other[:2] - other[2:]) / 2) ** 2
        diou.append(1 - plain_iou(one, other) + away.sum() / (width**2 + height**2))
        dw = (one[2] - one[0] - other[2] + other[0]) ** 2
        dh = (one[3] - one[1] - other[3] + other[1]) ** 2
        eiou.append(diou[-1] + dw / width**2 + dh / height**2)
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(diou_loss(ta, tb).numpy(), diou, rtol=1e-4)
    np.testing.assert_allclose(eiou_loss(ta, tb).numpy(), eiou, rtol=1e-4)
    table = pairwise_iou(ta, tb).numpy()
    np.testing.assert_allclose(table, [[plain_iou(x, y) for y in b] for x in a], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(paired_iou(ta, tb).numpy(), np.diag(table), rtol=1e-5, atol=1e-7)
    for loss in (diou_loss, eiou_loss):
        assert float(loss(ta, ta).abs().max()) < 1e-5
        moved = ta.clone().requires_grad_()
        loss(moved, tb).sum().backward()
        closer = (ta - 0.01 * moved.grad).detach()
        assert float(loss(closer, tb).sum()) < float(loss(ta, tb).sum())


def test_quality_focal_loss_equals_its_formula() -> None:
    from detection.losses import quality_focal_loss

    logits, targets = np.linspace(-6, 6, 25), np.tile(np.linspace(0, 1, 5), 5)
    p = 1 / (1 + np.exp(-logits))
    wanted = -(np.abs(targets - p) ** 2) * ((1 - targets) * np.log(1 - p) + targets * np.log(p))
    found = quality_focal_loss(torch.from_numpy(logits), torch.from_numpy(targets)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-12)


def test_points_count_by_the_size_of_the_face_and_only_where_marked() -> None:
    from detection.losses import points_loss

    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 50, (3, 5, 2)).astype(np.float32)
    truth[1] = np.nan
    size = np.array([40.0, 40.0, 80.0])
    face = np.array([[0, 0, s, s] for s in size], np.float32)
    guess = np.nan_to_num(truth, nan=7.0) + rng.normal(0, 3, truth.shape).astype(np.float32)
    total = 0.0
    for i in (0, 2):
        for value in (np.abs(guess[i] - truth[i]) / (size[i] / 4)).ravel():
            total += 0.5 * value**2 * 9 if value < 1 / 9 else value - 0.5 / 9
    points = torch.from_numpy(guess).requires_grad_()
    loss = points_loss(points, torch.from_numpy(truth), torch.from_numpy(face))
    assert float(loss.detach()) == pytest.approx(total / 10, rel=1e-4)
    loss.backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    assert float(points.grad[1].abs().max()) == 0


@pytest.fixture
def scene() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(5)
    priors, strides = prior_points(128, 128)
    raw = rng.normal(0, 0.3, (len(priors), 4)).astype(np.float32)
    corners, _ = decode(raw, np.zeros((len(priors), 10), np.float32), priors, strides)
    return {
        "scores": torch.from_numpy(rng.normal(size=len(priors)).astype(np.float32)),
        "boxes": torch.from_numpy(corners), "priors": torch.from_numpy(priors), "strides": torch.from_numpy(strides),
    }  # fmt: skip


def test_every_face_is_learnt_by_cells_of_its_own(scene: dict[str, torch.Tensor]) -> None:
    from detection.assign import RADIUS, sim_ota

    faces = torch.tensor([[5.0, 5, 21, 25], [60, 50, 124, 120], [40, 4, 52, 18]])
    found = sim_ota(**scene, faces=faces, ignore=torch.zeros(3, dtype=torch.bool))
    assert len(found.cells.unique()) == len(found.cells)
    assert set(found.faces.tolist()) == {0, 1, 2}
    assert (found.faces == 1).sum() >= (found.faces == 2).sum()
    centres = (faces[:, :2] + faces[:, 2:]) / 2
    away = (scene["priors"][found.cells] - centres[found.faces]).abs().amax(dim=1) / scene["strides"][found.cells]
    x, y = scene["priors"][found.cells].T
    own = faces[found.faces]
    inside = (x > own[:, 0]) & (x < own[:, 2]) & (y > own[:, 1]) & (y < own[:, 3])
    assert bool(((away < RADIUS) | inside).all())
    for cell, face, value in zip(found.cells, found.faces, found.ious, strict=True):
        assert float(value) == pytest.approx(plain_iou(scene["boxes"][cell].numpy(), faces[face].numpy()), abs=1e-4)


def test_ignored_faces_are_neither_learnt_nor_held_against_a_cell(scene: dict[str, torch.Tensor]) -> None:
    from detection.assign import sim_ota

    faces = torch.tensor([[60.0, 50, 124, 120], [5, 5, 21, 25]])
    found = sim_ota(**scene, faces=faces, ignore=torch.tensor([True, False]))
    assert set(found.faces.tolist()) == {1}
    inside = ((scene["priors"] > faces[0, :2]) & (scene["priors"] < faces[0, 2:])).all(dim=1)
    assert torch.equal(found.ignored, inside)
    for nobody in (torch.zeros(2, dtype=torch.bool).logical_not(), None):
        some = faces if nobody is not None else faces[:0]
        ignore = nobody if nobody is not None else torch.zeros(0, dtype=torch.bool)
        assert len(sim_ota(**scene, faces=some, ignore=ignore).cells) == 0


@pytest.mark.parametrize(("score", "box"), [("qfl", "eiou"), ("bce", "diou")])
def test_a_batch_s_loss_falls_by_following_its_gradient(score: str, box: str) -> None:
    from detection.losses import DetectionLoss, LossConfig, Targets

    torch.manual_seed(0)
    priors, strides = (torch.from_numpy(v) for v in prior_points(64, 64))
    outputs = tuple(torch.randn(2, len(priors), *tail) * 0.1 for tail in ((), (4,), (10,)))
    outputs = tuple(value.requires_grad_() for value in outputs)
    face = torch.tensor([[10.0, 12, 40, 50]])
    points = torch.full((1, 5, 2), 25.0)
    targets = [
        Targets(face, points, torch.zeros(1, dtype=torch.bool)),
        Targets(face[:0], points[:0], torch.zeros(0, dtype=torch.bool)),
    ]
    learner = DetectionLoss(LossConfig(score=score, box=box))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(outputs, lr=0.05)
    first = None
    for _ in range(60):
        losses = learner(outputs, priors, strides, targets)
        first = first or float(losses["loss"].detach())
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert float(losses["loss"]) == pytest.approx(sum(float(losses[k]) for k in ("score", "box", "points")), rel=1e-5)
    assert float(losses["loss"]) < 0.4 * first
    assert int(outputs[0].sigmoid().argmax()) < len(priors), "the best cell is in the image with the face"


def test_labels_follow_a_map_and_change_sides_in_a_mirror() -> None:
    five = np.array([[[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]]], np.float32)
    labels = Labels(np.array([[5, 5, 25, 25]], np.float32), five, np.zeros(1, np.bool_))
    mirrored = labels.mapped(np.array([[-1.0, 0, 100], [0, 1, 0]]))
    np.testing.assert_allclose(mirrored.boxes, [[75, 5, 95, 25]])
    np.testing.assert_allclose(mirrored.points[0], [[80, 10], [90, 10], [85, 15], [81, 20], [89, 20]])
    down = labels.mapped(np.array([[-1.0, 0, 100], [0, -1, 100]]))
    np.testing.assert_allclose(down.points[0, 0], [90, 90])  # turned, not mirrored: her left eye stays hers
    turned = labels.mapped(np.array([[math.cos(0.7), -math.sin(0.7), 0], [math.sin(0.7), math.cos(0.7), 0]]))
    np.testing.assert_allclose(turned.boxes[0, 2:] - turned.boxes[0, :2], [20, 20], rtol=1e-5)  # a circle stays one


def test_matching_and_average_precision_by_hand() -> None:
    truth = Labels(
        np.array([[0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 64, 64]], np.float32), np.zeros((3, 5, 2), np.float32),
        np.array([False, False, True]),
    )  # fmt: skip
    found = Found(
        np.array([[0, 0, 10, 10], [1, 0, 10, 10], [80, 80, 90, 90], [20, 20, 40, 38], [60, 60, 64, 64]], np.float32),
        np.full((5, 5, 2), 1.0, np.float32), np.array([0.9, 0.8, 0.7, 0.6, 0.95], np.float32),
    )  # fmt: skip
    verdicts, faces = match(found, truth)
    assert verdicts.tolist() == [1, 0, 0, 1, -1]
    assert faces.tolist() == [0, -1, -1, 1, -1]
    # Right, wrong, wrong, right: precision 1 up to a recall of 1/2, then 2/4.
    assert average_precision(found.scores, verdicts, 2) == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    scores = score_detector([found], [truth], threshold=0.65)
    assert (scores.recall, scores.precision, scores.faces) == (0.5, pytest.approx(1 / 3), 2)
    assert scores.points == pytest.approx(math.sqrt(2) / 10)
    assert average_precision(found.scores[:0], verdicts[:0], 2) == 0.0
    nothing = Found(found.boxes[:0], found.points[:0], found.scores[:0])
    assert score_detector([nothing], [truth]).recall == 0.0
