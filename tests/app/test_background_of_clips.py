"""What a source clip shows behind the head later on is known from its first frame on."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from app.events import CancelToken
from app.frames.scene import AHEAD, SceneMaker
from app.frames.timings import Timings
from app.media.clip import Frame
from app.options import RenderOptions
from liveportrait.engines.mesh.engine import MeshEngine
from models.matte import PersonMatte
from models.tracker import FaceTracker

SHIFT = 24
"""Pixels by which the head has moved in the later frames."""


@pytest.fixture(scope="module")
def clip(astronaut):
    """First and later picture of a clip whose head moves to the right, and the wall without it."""
    wall = np.full(astronaut.shape, (170, 185, 190), np.uint8)
    for y in range(20, 512, 40):
        cv2.line(wall, (0, y), (511, y - 12), (60, 40, 40), 4)
    matte = PersonMatte()(astronaut)[..., None]
    moved = np.array([[1, 0, SHIFT], [0, 1, 0]], np.float32)
    person, there = (cv2.warpAffine(one, moved, (512, 512)) for one in (astronaut, matte))
    later = wall + (person - wall.astype(np.float32)) * there[..., None]
    return [np.asarray(one, np.uint8) for one in (wall + (astronaut - wall.astype(np.float32)) * matte, later)], wall


class Reader:
    """Frames of a clip that stands, then has moved."""

    def __init__(self, first, later):
        self.read = 0
        self._pictures = [first] * 5 + [later] * 1000

    def __iter__(self):
        for index, picture in enumerate(self._pictures):
            self.read += 1
            yield Frame(index, Fraction(index, 25), picture)


def test_later_frames_show_what_lies_behind_the_head(clip):
    (first, later), wall = clip
    engine = MeshEngine()
    maker = SceneMaker(engine, FaceTracker(), RenderOptions(), "clip")
    reader = Reader(first, later)
    maker.first_moving(reader, CancelToken())
    assert reader.read <= AHEAD[0] + 2
    _, scene = next(maker.moving([(Fraction(0), Frame(0, Fraction(0), first))], Timings()))
    alone = SceneMaker(engine, FaceTracker(), RenderOptions(), "clip")
    _, bare = next(alone.moving([(Fraction(0), Frame(0, Fraction(0), first))], Timings()))
    crop, face = scene.face.crop, scene.face.crop.face(scene.face.face)
    left = face.points[234, :2].round().astype(int)  # the outline at the ear: x - SHIFT to x becomes free
    strip = np.s_[left[1] - 20 : left[1] + 60, left[0] - 14 : left[0] - 4]
    truth = crop.apply(wall)[strip].astype(int)
    errors = [np.abs(one.face.portrait.features.ground.plate[strip] - truth).mean() for one in (scene, bare)]
    assert errors[0] < 0.5 * errors[1]
