"""--mask: its words, and errors that name the option."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from app.errors import MissingError, UsageError
from app.media.reader import Frame
from app.options import RenderOptions, find_option
from app.render.source import SceneMaker
from liveportrait.engines.mesh.engine import MeshEngine
from models.face import FaceTracker


def test_words_of_the_mask():
    info = find_option("mask")
    assert info.flags == ("--mask",)
    for text in ("template", "matte", "parse/osa_micro", "some/folder/bisenet.onnx"):
        assert info.check(text) == text
    with pytest.raises(UsageError, match=r"'parser' is not template, matte, parse/NAME or the path of an \.onnx file"):
        info.check("parser")


def test_a_parser_that_is_not_there_is_named_with_the_option():
    options = RenderOptions.from_values({"mask": "gone.onnx"})
    with pytest.raises(MissingError, match=r"^--mask: gone\.onnx is not there"):
        SceneMaker(MeshEngine(), FaceTracker(), options, "photo")


def notes_of(picture, **values):
    maker = SceneMaker(MeshEngine(), FaceTracker(), RenderOptions.from_values(values), "photo")
    maker.still(Frame(0, Fraction(0), picture))
    return maker.notes


def test_something_before_the_mouth_is_noted_unless_it_is_kept_in_front(astronaut):
    face = FaceTracker().detect(astronaut)[0]
    x, y = (float(v) for v in face.lip_center)
    picture, size = astronaut.copy(), face.size
    cv2.line(picture, (int(x), int(y)), (int(x + 0.15 * size), int(y + 0.9 * size)), (35, 35, 38), int(0.1 * size))
    cv2.circle(picture, (int(x), int(y + 0.08 * size)), int(0.16 * size), (60, 60, 64), -1, cv2.LINE_AA)
    picture = np.ascontiguousarray(picture)
    assert notes_of(astronaut) == []
    assert notes_of(picture, mask="parse/osa_micro") == []
    assert notes_of(picture) == [
        "Something seems to be in front of the mouth in photo; --mask parse/osa_micro keeps it in place, in front of "
        "the animated face."
    ]
