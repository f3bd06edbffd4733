"""The official landmark model: what it is given, and what its answer becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_stubs import round_face

from liveportrait.landmarks import SIZE, Landmarks203, installed_landmarks
from liveportrait.motion import landmark_ratios
from models.registry import ModelError


class FakeSession:
    """Answers with points at the brightest pixel of the input, in shares of its side."""

    def __init__(self, count: int = 203, outputs: int = 3) -> None:
        self.count, self.outputs = count, outputs
        self.seen: list[np.ndarray] = []

    def run(self, names, feed):
        assert names is None
        assert list(feed) == ["input"]
        picture = feed["input"]
        self.seen.append(picture)
        y, x = np.unravel_index(picture[0].sum(axis=0).argmax(), picture.shape[2:])
        points = np.tile(np.array([[x, y]], np.float32) / SIZE, (self.count, 1))
        return [np.zeros(1)] * (self.outputs - 1) + [points.reshape(1, -1)]


@pytest.mark.parametrize("angle", [0, 25, -70, 180])
def test_points_come_back_to_the_picture(angle):
    """A bright spot in the picture is where all the points land, however the face is turned."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[138:143, 218:223] = 255
    session = FakeSession()
    points = Landmarks203(Path("landmark.onnx"), session)(picture, round_face(210, 150, 60, angle))
    assert points.shape == (203, 2)
    np.testing.assert_allclose(points, np.tile([[220, 140]], (203, 1)), atol=2.5)
    given = session.seen[0]
    assert given.shape == (1, 3, SIZE, SIZE)
    assert given.dtype == np.float32
    assert 0.9 < given.max() <= 1


@pytest.mark.parametrize("session", [FakeSession(count=106), FakeSession(outputs=1)])
def test_another_model_is_told(session):
    with pytest.raises(ModelError, match=r"landmark\.onnx is not the landmark model"):
        Landmarks203(Path("landmark.onnx"), session)(np.zeros((64, 64, 3), np.uint8), round_face(32, 32, 20))


def test_used_only_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    assert installed_landmarks() is None
    (tmp_path / "liveportrait").mkdir()
    (tmp_path / "liveportrait" / "landmark.onnx").write_bytes(b"no model")
    found = installed_landmarks()
    assert found is not None
    with pytest.raises(ModelError, match="can't be opened as an ONNX model"):
        found(np.zeros((64, 64, 3), np.uint8), round_face(32, 32, 20))


def test_ratios_of_points():
    points = np.zeros((1, 203, 2), np.float32)
    points[0, 6], points[0, 18], points[0, 0], points[0, 12] = (0, 1), (0, 0), (0, 0), (4, 0)
    points[0, 90], points[0, 102], points[0, 48], points[0, 66] = (0, 3), (0, 0), (0, 0), (6, 0)
    eyes, lips = landmark_ratios(points)
    assert eyes[0, 0] == pytest.approx(0.25)
    assert lips[0, 0] == pytest.approx(0.5)
