"""Faces placed by hand in the mesh engine: the picture's own eyes and mouth, no human teeth, no person cut out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from liveportrait.animator import Animator
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.engines.mesh.placed import TONGUE
from liveportrait.expression import Expression
from liveportrait.options import AnimationOptions
from liveportrait.placed import centred_handles, placed_face
from models.face import Face

SIZE = 360
Picture = np.ndarray


@pytest.fixture(scope="module")
def engine() -> MeshEngine:
    return MeshEngine()


@pytest.fixture(scope="module")
def handles() -> dict[str, tuple[float, float]]:
    made = centred_handles(SIZE / 2, SIZE / 2, SIZE)
    made["lip_bottom"] = made["lip_top"]
    for side in ("left", "right"):  # round eyes
        for end, way in (("top", -9), ("bottom", 9)):
            x, y = made[f"{side}_eye_{end}"]
            made[f"{side}_eye_{end}"] = x, y + way
    return made


@pytest.fixture(scope="module")
def drawing(handles: dict[str, tuple[float, float]]) -> Picture:
    """A line drawing on a light ground: dots in round eyes, a line for a mouth."""
    picture = np.full((SIZE, SIZE, 3), 235, np.uint8)
    at = {name: (round(x), round(y)) for name, (x, y) in handles.items()}
    for side in ("left", "right"):
        ring = placed_face(handles).points[[33, 161, 159, 157, 133, 154, 145, 163]] if side == "left" else None
        ring = placed_face(handles).points[[263, 388, 386, 384, 362, 381, 374, 390]] if ring is None else ring
        cv2.polylines(picture, [np.round(ring[:, :2]).astype(np.int32)], True, (20, 20, 20), 3, cv2.LINE_AA)
        middle = ring[:, :2].mean(0).round().astype(int)
        cv2.circle(picture, (int(middle[0]), int(middle[1])), 5, (20, 20, 20), -1, cv2.LINE_AA)
    cv2.line(picture, at["mouth_left"], at["mouth_right"], (20, 20, 20), 3, cv2.LINE_AA)
    return picture


def posed(engine: MeshEngine, picture: Picture, face: Face, **sliders: float) -> Picture:
    animator = Animator(engine, AnimationOptions(), Expression(sliders))
    return animator.frame(animator.scene(picture, [face]))


def mouth_of(picture: Picture, face: Face) -> Picture:
    x0, y0 = face.points[[61, 13], :2].min(0).round().astype(int)
    x1 = round(float(face.points[291, 0]))
    return picture[y0 + 2 : y0 + 26, (3 * x0 + x1) // 4 : (x0 + 3 * x1) // 4].astype(int)


def test_at_rest_the_picture_stays_as_it_is(
    engine: MeshEngine, drawing: Picture, handles: dict[str, tuple[float, float]]
) -> None:
    np.testing.assert_array_equal(posed(engine, drawing, placed_face(handles)), drawing)


def test_a_drawn_mouth_opens_without_teeth(
    engine: MeshEngine, drawing: Picture, handles: dict[str, tuple[float, float]]
) -> None:
    face = placed_face(handles)
    without = mouth_of(posed(engine, drawing, face, lip_open=0.5, smile=0.8), face)
    human = mouth_of(posed(engine, drawing, replace(face, placed=False), lip_open=0.5, smile=0.8), face)

    rows, teeth = without.mean((1, 2)), human.mean((1, 2))
    assert rows[:12].max() < 1.1 * TONGUE.mean()  # depth and tongue, and nothing bright between
    assert teeth[0] > 2 * rows[0]  # a person's teeth begin under the upper lip


def test_an_open_mouth_shows_only_what_the_picture_shows(engine: MeshEngine, drawing: Picture) -> None:
    handles = centred_handles(SIZE / 2, SIZE / 2, SIZE)
    handles["lip_bottom"] = (handles["lip_top"][0], handles["lip_top"][1] + 24)
    handles["chin"] = (handles["chin"][0], handles["chin"][1] + 20)
    face = placed_face(handles)
    picture = np.full((SIZE, SIZE, 3), 200, np.uint8)
    inner = face.points[[78, 81, 13, 311, 308, 402, 14, 178], :2]
    cv2.fillPoly(picture, [np.round(inner).astype(np.int32)], (230, 60, 200))
    moved = posed(engine, picture, face, lip_open=0.6)
    assert np.abs(moved.astype(int) - picture).max() > 60
    line = np.stack([[200, 200, 200], [230, 60, 200]]).astype(float)  # only mixtures of both colours
    flat = moved.reshape(-1, 3).astype(float) - line[0]
    way = line[1] - line[0]
    off = flat - np.outer(flat @ way / (way @ way), way)
    assert np.abs(off).max() < 12


def test_a_drawn_eye_blinks_with_its_own_line(
    engine: MeshEngine, drawing: Picture, handles: dict[str, tuple[float, float]]
) -> None:
    """The line of the upper lid comes down; nothing but paper and ink is drawn."""
    face = placed_face(handles)
    shut = posed(engine, drawing, face, blink=0.8)
    x0, y0 = face.points[[33, 159], :2].min(0).astype(int) - 12
    x1, y1 = face.points[[133, 145], :2].max(0).astype(int) + 12
    before, after = drawing[y0:y1, x0:x1], shut[y0:y1, x0:x1]
    middle = round(float(face.points[159, 0])) - x0
    first = [int(np.flatnonzero(eye[:, middle, 0] < 128)[0]) for eye in (before, after)]
    assert first[1] > first[0] + 5
    assert np.ptp(after.astype(int), axis=2).max() < 10  # no skin, no white of another colour


def test_eyes_that_are_all_iris_hardly_widen(
    engine: MeshEngine, drawing: Picture, handles: dict[str, tuple[float, float]]
) -> None:
    from liveportrait.engines.mesh.data import face_model
    from liveportrait.engines.mesh.geometry import eye_opening
    from models.topology import EYE_LEFT

    animator = Animator(engine, AnimationOptions())
    portrait = animator.scene(drawing, [placed_face(handles)]).faces[0].portrait
    mean = face_model().mean.astype(np.float64)
    wide = mean.copy()
    wide[list(EYE_LEFT.upper[1:-1]), 1] -= 0.03
    change = (wide - mean)[None].astype(np.float32)
    rest = portrait.motion
    neutral = replace(rest, delta=np.zeros_like(rest.delta))
    delta = engine.fit_delta(portrait, change, replace(neutral, delta=change), neutral)[0]
    source = mean + rest.delta[0]
    assert 1.0 < eye_opening(source + delta, EYE_LEFT) / eye_opening(source, EYE_LEFT) < 1.1
