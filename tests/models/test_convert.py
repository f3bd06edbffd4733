"""The converter of the shipped models; the whole of it runs where its wheel and packages are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from models.registry import get_model
from models.topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.convert_face_models import LEFT_EYE, LID_POINTS, LIPS, RIGHT_EYE, SOURCES, main


def test_refined_points_are_those_that_the_topology_names():
    assert (len(LIPS), len(LEFT_EYE), len(RIGHT_EYE)) == (80, 71, 71)
    assert {*LIPS_OUTER, *LIPS_INNER} <= set(LIPS)
    for table, eye in ((LEFT_EYE, EYE_LEFT), (RIGHT_EYE, EYE_RIGHT)):
        assert set(table[:LID_POINTS]) == set(eye.ring)
        assert len(set(table)) == len(table)
    assert not set(LEFT_EYE) & set(RIGHT_EYE)


def test_every_shipped_model_has_its_source():
    shipped = {
        file.name.removeprefix("face/").removesuffix(".onnx")
        for name in ("detect/blaze_full", "detect/blaze_short", "landmarks/mesh478", "matte/selfie")
        for file in get_model(name).files
    }
    assert set(SOURCES) == shipped


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "wheel.whl"
    path.write_text("no archive")
    assert main([str(path)]) == 1
    assert "wheel.whl is not a wheel or zip file." in capsys.readouterr().err


def test_reproduces_the_shipped_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    wheel = os.environ.get("MEDIAPIPE_WHEEL", "")
    if not wheel:
        pytest.skip("$MEDIAPIPE_WHEEL does not name the wheel mediapipe 0.10.21")
    for package in ("onnx", "flatbuffers", "ai_edge_litert"):
        pytest.importorskip(package, reason="the extra 'tools' is not installed")
    assert main([wheel, "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("identical to the shipped file") == len(SOURCES)
