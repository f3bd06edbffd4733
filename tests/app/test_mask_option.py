"""--mask: its words, and errors that name the option."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from app.errors import MissingError, UsageError
from app.frames.scene import SceneMaker
from app.media.clip import Frame
from app.options import RenderOptions, find_option
from liveportrait.engines.mesh.engine import MeshEngine
from models.tracker import FaceTracker


def test_words_of_the_mask():
    info = find_option("mask")
    assert info.flags == ("--mask",)
    for text in ("auto", "template", "matte", "parse/osa_micro", "some/folder/bisenet.onnx"):
        assert info.check(text) == text
    with pytest.raises(
        UsageError, match=r"'parser' is not auto, template, matte, parse/NAME or the path of an \.onnx file"
    ):
        info.check("parser")


def test_a_parser_that_is_not_there_is_named_with_the_option():
    options = RenderOptions.from_values({"mask": "gone.onnx"})
    with pytest.raises(MissingError, match=r"^--mask: gone\.onnx does not exist"):
        SceneMaker(MeshEngine(), FaceTracker(), options, "photo")


def notes_of(picture, **values):
    maker = SceneMaker(MeshEngine(), FaceTracker(), RenderOptions.from_values(values), "photo")
    maker.still(Frame(0, Fraction(0), picture))
    return maker.notes


@pytest.fixture(scope="module")
def with_microphone(astronaut):
    face = FaceTracker().detect(astronaut)[0]
    x, y = (float(v) for v in face.lip_center)
    picture, size = astronaut.copy(), face.size
    cv2.line(picture, (int(x), int(y)), (int(x + 0.15 * size), int(y + 0.9 * size)), (35, 35, 38), int(0.1 * size))
    cv2.circle(picture, (int(x), int(y + 0.14 * size)), int(0.16 * size), (60, 60, 64), -1, cv2.LINE_AA)
    return np.ascontiguousarray(picture)


def test_something_before_the_mouth_is_noted(astronaut, with_microphone):
    assert notes_of(astronaut) == []
    note = "Something in front of the face in photo stays in place; --mask template moves it along."
    assert notes_of(with_microphone)[-1] == note
    for mask in ("template", "parse/osa_micro"):
        assert note not in notes_of(with_microphone, mask=mask)


def test_sliders_of_what_is_covered_are_named(astronaut):
    face = FaceTracker().detect(astronaut)[0]
    picture, size = astronaut.copy(), face.size
    for x, y in face.eye_centers:
        cv2.circle(picture, (int(x), int(y)), int(0.14 * size), (12, 12, 14), -1, cv2.LINE_AA)
    picture = np.ascontiguousarray(picture)
    hidden = "The eyes in photo seem to be hidden, as by sunglasses; neither lids nor gaze are animated."
    assert notes_of(picture) == [hidden]
    assert notes_of(picture, sliders="smile=0.5,blink=0.4") == [
        hidden,
        "What covers the face in photo keeps its shape; without effect: blink.",
    ]
    assert notes_of(picture, sliders="smile=0.5") == [hidden]
    assert notes_of(picture, mask="template") == []
