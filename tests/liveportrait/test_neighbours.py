"""Other people in the square: their pixels stay, whichever of two faces is animated and however they stand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveportrait.animator import Animator, Scene
from liveportrait.compose import Compositor
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.expression import Expression
from liveportrait.neighbours import find_neighbours
from models.matte import PersonMatte
from models.topology import OVAL
from models.tracker import FaceTracker

POSE = Expression({"yaw": 12.0, "pitch": -5.0}, (0.05, 0.05), 0.4)


@pytest.fixture(scope="module")
def engine():
    return MeshEngine()


@pytest.fixture(scope="module")
def couple(astronaut):
    """Two people side by side, the picture's halves meeting at their shoulders, and their faces from the left."""
    head = astronaut[0:270, 160:285]
    light = np.linspace(1, 0.5, head.shape[1])[None, :, None]
    picture = np.ascontiguousarray(np.hstack([head, (head[:, ::-1] * light).astype(np.uint8)]))
    faces = sorted(FaceTracker().detect(picture), key=lambda face: float(face.centre[0]))
    assert len(faces) == 2
    return picture, faces


def change(picture, out, face):
    """Mean difference inside of a face's box."""
    x0, y0, x1, y1 = face.box.round().astype(int)
    return float(np.abs(out[y0:y1, x0:x1].astype(int) - picture[y0:y1, x0:x1]).mean())


def posed(engine, picture, face, others):
    animator = Animator(engine, expression=POSE)
    return animator.frame(Scene(picture, (animator.prepare(picture, face, others=others),)))


@pytest.mark.parametrize("number", [0, 1])
def test_the_other_face_stays_as_in_the_photo(engine, couple, number):
    picture, faces = couple
    own, other = faces[number], faces[1 - number]
    alone = posed(engine, picture, own, [])
    out = posed(engine, picture, own, [other])
    assert change(picture, alone, other) > 1.0  # it was dragged along
    assert change(picture, out, other) < 0.2
    assert change(picture, out, own) > 0.8 * change(picture, alone, own)


def test_an_engine_that_moves_everything_leaves_them_too(engine, couple):
    picture, faces = couple
    engine = MeshEngine()
    engine.keeps_others = False
    out = posed(engine, picture, faces[0], [faces[1]])
    assert change(picture, out, faces[1]) < 0.2
    assert change(picture, out, faces[0]) > 2.0


def test_several_faces_are_animated_each_on_its_own_side(engine, couple):
    picture, faces = couple
    animator = Animator(engine, expression=POSE)
    scene = animator.scene(picture, faces)
    both = animator.frame(scene)
    for face, animated in zip(faces, scene.faces, strict=True):
        assert change(picture, both, face) > 2.0
        assert isinstance(animated.compositor, Compositor)
    # Where one square is used whole the other is not: nothing is pasted over a neighbour that has moved.
    total = np.zeros(picture.shape[:2], np.float32)
    for animated in scene.faces:
        x0, y0, x1, y1 = animated.compositor.window
        total[y0:y1, x0:x1] += animated.compositor.mask
    for face in faces:
        x0, y0, x1, y1 = face.box.round().astype(int)
        assert total[y0:y1, x0:x1].max() < 1.1


def test_at_rest_the_picture_is_the_photo_to_the_bit(engine, couple):
    picture, faces = couple
    animator = Animator(engine, expression=Expression({}))
    assert (animator.frame(animator.scene(picture, faces)) == picture).all()


def test_whoever_is_outside_the_square_costs_nothing(engine, couple):
    picture, faces = couple
    wide = cv2.copyMakeBorder(picture, 0, 0, 0, 400, cv2.BORDER_REPLICATE)
    crop = Animator(engine).prepare(wide, faces[0]).crop
    away = faces[1].transformed(np.array([[1.0, 0, 300], [0, 1, 0]]))
    assert find_neighbours(crop.apply(wide), crop, faces[0], [away]) is None


def test_the_lower_of_two_heads_is_in_front(engine, astronaut):
    face = FaceTracker().detect(astronaut)[0]
    below = face.transformed(
        np.array([[0.7, 0, 0.3 * face.centre[0]], [0, 0.7, 0.3 * face.centre[1] + 1.0 * face.size]])
    )
    for own, other, shown in ((face, below, True), (below, face, False)):
        crop = Animator(engine).prepare(astronaut, own).crop
        found = find_neighbours(crop.apply(astronaut), crop, own, [other])
        assert found is not None
        assert (found.front.max() > 0.9) == shown


def test_a_head_half_behind_stays_and_the_one_in_front_moves_whole(engine, astronaut):
    own = FaceTracker().detect(astronaut)[0]
    matte = PersonMatte()(astronaut)
    shift = 0.8 * float(np.linalg.norm(own.points[454, :2] - own.points[234, :2]))
    moved = np.array([[1, 0, -shift], [0, 1, 6]])
    behind = own.transformed(moved)
    other = cv2.warpAffine((astronaut * 0.7).astype(np.uint8), moved, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    picture = (astronaut * matte[..., None] + other * (1 - matte[..., None]) + 0.5).astype(np.uint8)
    crop = Animator(engine).prepare(picture, own).crop
    found = find_neighbours(crop.apply(picture), crop, own, [behind])
    assert found is not None
    assert found.front.max() < 0.1
    person = crop.apply(np.dstack([(matte * 255).astype(np.uint8)] * 3))[..., 0] > 250
    oval = crop.points(own.points)[list(OVAL), :2]
    head = polygon_mask(*person.shape, oval.mean(axis=0) + 1.15 * (oval - oval.mean(axis=0))) > 0.5
    assert found.others[person & head].mean() < 0.03  # its hair included
    seen = behind.points[[33, 50, 93], :2].round().astype(int)  # the side that shows
    still, alone = posed(engine, picture, own, [behind]), posed(engine, picture, own, [])
    apart = [
        np.mean([np.abs(out[y - 6 : y + 7, x - 6 : x + 7].astype(int) - picture[y - 6 : y + 7, x - 6 : x + 7]).mean()
                 for x, y in seen])
        for out in (still, alone)
    ]  # fmt: skip
    assert apart[0] < 0.2
    assert apart[1] > 0.6  # it was dragged along
