"""Labels, orders, augmentation, scores, polygons: everything of face parsing that needs no network."""

from __future__ import annotations

import numpy as np
import pytest
from parsing.augment import Augmentation, cut
from parsing.labels import CELEBAMASK, CELEBAMASK_FILES, labels_square, lookup, mirrored, sides_by_place, translate
from parsing.rough import rough_labels
from parsing.scores import Scores

from models.matte import PersonMatte
from models.parsing import BASIC, CLASSES, index
from models.parsing.classes import (
    BISENET,
    FOLDED,
    IGNORED,
    LAPA,
)
from models.parsing.polygons import feature_labels, odd_colours
from models.parsing.square import Square, face_square
from models.tracker import FaceTracker


@pytest.fixture(scope="module")
def astronaut_points(astronaut):
    return FaceTracker().detect(astronaut)[0].points


def test_orders_hold_the_published_labels():
    assert [BISENET.index(n) for n in ("skin", "nose", "mouth", "lip_upper", "neck", "hair", "hat")] == [
        1, 10, 11, 12, 14, 17, 18,
    ]  # fmt: skip
    assert [CELEBAMASK.index(n) for n in ("nose", "eye_left", "mouth", "hair", "clothes")] == [2, 4, 10, 13, 18]
    assert [LAPA.index(n) for n in ("brow_left", "nose", "lip_upper", "mouth", "lip_lower", "hair")] == [
        2, 6, 7, 8, 9, 10,
    ]  # fmt: skip
    for order in (BISENET, CELEBAMASK, LAPA):
        assert len(set(order)) == len(order)
        assert set(order) <= set(CLASSES)
    assert set(BISENET) == set(CELEBAMASK) == set(CLASSES) - {"occluder"}
    assert set(CELEBAMASK_FILES.values()) == set(CELEBAMASK) - {"background"}


def test_folding_leaves_only_basic_classes():
    table = lookup(BISENET, BASIC)
    assert table[: len(BISENET)].max() < BASIC
    assert table[len(BISENET)] == IGNORED
    assert set(FOLDED) == set(CLASSES[BASIC:])
    assert CLASSES[table[BISENET.index("hat")]] == "hair"
    assert CLASSES[lookup(BISENET)[BISENET.index("hat")]] == "hat"


def test_sides_are_those_of_the_picture_whatever_the_data_set_means():
    labels = np.zeros((8, 20), np.uint8)
    labels[2:4, 2:5] = CELEBAMASK.index("eye_right")  # the person's right
    labels[2:4, 14:17] = CELEBAMASK.index("eye_left")
    ours = translate(labels, CELEBAMASK)
    assert (ours[2:4, 2:5] == index("eye_left")).all()
    assert (ours[2:4, 14:17] == index("eye_right")).all()
    assert (sides_by_place(ours) == ours).all()


def test_mirroring_swaps_the_names_of_sides():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(CLASSES), (6, 9)).astype(np.uint8)
    back = mirrored(labels)
    for name in ("brow", "eye", "ear"):
        left, right = labels == index(f"{name}_left"), back == index(f"{name}_right")
        assert (left[:, ::-1] == right).all()
    assert (mirrored(back) == labels).all()


def test_augmentation_moves_picture_and_labels_alike():
    y, x = np.mgrid[:120, :120]
    rgb = np.repeat(((x // 12 + y // 12) % 2 * 200)[..., None], 3, 2).astype(np.uint8)
    labels = (rgb[..., 0] > 100).astype(np.uint8)
    rng = np.random.default_rng(3)
    kind = Augmentation(colour=0, soften=0, flip=1.0)
    matrix = kind.matrix(Square(60, 60, 90).matrix(96), 96, rng)
    out, parts = kind.finish(*cut(rgb, labels, matrix, 96), rng)
    agree = ((out[..., 0] > 100) == (parts > 0)).mean()
    assert agree > 0.97
    _, outside = cut(rgb, labels, Square(0, 0, 90).matrix(96), 96, outside=IGNORED)
    assert (outside == IGNORED).mean() > 0.5


def test_scores_count_as_defined():
    scores = Scores(3)
    scores.add(np.array([[0, 0, 1, 1, IGNORED]], np.uint8), np.array([[0, 1, 1, 1, 2]], np.uint8))
    assert scores.iou[:2] == pytest.approx([1 / 2, 2 / 3])
    assert np.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.mean_f1 == pytest.approx(4 / 5)
    assert scores.accuracy == pytest.approx(3 / 4)


def test_square_is_upright_and_holds_the_face(astronaut_points):
    square = face_square(astronaut_points)
    inside = astronaut_points[:, :2] @ square.matrix(192)[:, :2].T + square.matrix(192)[:, 2]
    extent = inside.max(0) - inside.min(0)
    assert 75 < extent.max() < 105
    assert abs(inside[33, 1] - inside[263, 1]) < 1.0


def test_labels_give_the_same_square_as_the_mesh(astronaut, astronaut_points):
    labels = feature_labels(astronaut_points, astronaut.shape[:2])
    square, wanted = labels_square(labels), face_square(astronaut_points)
    assert square is not None
    assert abs(square.side - wanted.side) < 0.12 * wanted.side
    assert np.hypot(square.x - wanted.x, square.y - wanted.y) < 0.08 * wanted.side
    assert labels_square(np.zeros((32, 32), np.uint8)) is None


def test_polygons_and_matte_parse_a_portrait(astronaut, astronaut_points):
    labels = rough_labels(astronaut, astronaut_points, PersonMatte()(astronaut))
    for name, (x, y) in {
        "skin": astronaut_points[50, :2], "eye_left": astronaut_points[468, :2],
        "eye_right": astronaut_points[473, :2], "nose": astronaut_points[4, :2], "hair": (168, 75),
        "clothes": (225, 350), "background": (15, 200),
    }.items():  # fmt: skip
        assert CLASSES[labels[round(float(y)), round(float(x))]] == name
    assert labels.max() < BASIC
    assert not (labels == index("occluder")).any()


def test_an_object_before_the_face_shows_by_its_colour(astronaut, astronaut_points):
    matte = PersonMatte()(astronaut)
    assert odd_colours(astronaut, astronaut_points, matte).sum() == 0
    picture = astronaut.copy()
    x, y = (round(float(v)) for v in astronaut_points[50, :2])
    picture[y - 14 : y + 18, x - 24 : x + 12] = (30, 160, 60)
    found = odd_colours(picture, astronaut_points, matte)
    truth = np.zeros(found.shape, bool)
    truth[y - 14 : y + 18, x - 24 : x + 12] = True
    assert (found > 0)[truth].mean() > 0.85
    assert (found > 0)[~truth].mean() < 0.002
