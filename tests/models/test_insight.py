"""The optional detector, with a stand-in package: real packs may not be shipped."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from face_measures import error

from models.face import Face
from models.insight import InsightDetector, pack_folder
from models.registry import ModelError
from models.tracker import FaceTracker


class FakeNetwork:
    """Sees the astronaut in BGR, at the place that the mesh found."""

    def __init__(self, face: Face) -> None:
        self.face, self.calls = face, 0

    def detect(self, image: np.ndarray, input_size=None, max_num: int = 0, metric: str = "default"):
        self.calls += 1
        self.first_pixel = image[0, 0].tolist()
        if image.shape[:2] != (512, 512):
            return np.zeros((0, 5), np.float32), None
        corners = self.face.points[[61, 291], :2]
        five = np.concatenate([self.face.eye_centers, self.face.points[1:2, :2], corners])
        return np.array([[*self.face.box, 0.8]], np.float32), five[None]


@pytest.fixture
def network(face: Face, monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    fake = FakeNetwork(face)

    class FaceAnalysis:
        def __init__(self, name: str, allowed_modules: list[str], providers: list[str]) -> None:
            assert Path(name).is_dir(), "a name instead of a folder would start a download"
            assert allowed_modules == ["detection"]
            self.det_model = fake

        def prepare(self, ctx_id: int, det_thresh: float) -> None:
            assert ctx_id < 0

    package, app = types.ModuleType("insightface"), types.ModuleType("insightface.app")
    app.FaceAnalysis = FaceAnalysis
    monkeypatch.setitem(sys.modules, "insightface", package)
    monkeypatch.setitem(sys.modules, "insightface.app", app)
    return fake


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    folder = tmp_path / "insightface" / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    (folder / "det_10g.onnx").write_bytes(b"stand-in")
    return folder


def test_boxes_become_detections(network: FakeNetwork, pack: Path, astronaut: np.ndarray, face: Face):
    (found,) = InsightDetector()(astronaut)
    np.testing.assert_allclose(found.box, face.box)
    np.testing.assert_allclose(found.points[:2], face.eye_centers)
    np.testing.assert_allclose(found.points[3], face.lip_center, atol=1e-3)
    assert found.score == pytest.approx(0.8)
    assert network.first_pixel == astronaut[0, 0, ::-1].tolist()
    assert InsightDetector()(astronaut[:100]) == []


@pytest.mark.parametrize("choice", ["insightface", "auto"])
def test_its_boxes_feed_the_mesh(network: FakeNetwork, pack: Path, astronaut: np.ndarray, face: Face, choice: str):
    tracker = FaceTracker(detector=choice)
    (found,) = tracker.detect(astronaut)
    assert network.calls > 0
    assert error(found, face) < 0.03
    assert tracker.track(astronaut) is not None


def test_auto_stays_embedded_without_a_pack(network: FakeNetwork, tmp_path: Path, monkeypatch, astronaut: np.ndarray):
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    assert pack_folder() is None
    assert len(FaceTracker(detector="auto").detect(astronaut)) == 1
    assert network.calls == 0
    with pytest.raises(ModelError, match="contains no insightface pack"):
        FaceTracker(detector="insightface")


def test_missing_package_is_named(pack: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(ModelError, match="package insightface is not installed"):
        InsightDetector()(astronaut)
