"""--mask: its words, and errors that name the option."""

from __future__ import annotations

import pytest

from app.errors import MissingError, UsageError
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
