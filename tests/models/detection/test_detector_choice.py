"""The shipped detector, files of one's own, and the option that names them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from app.errors import MissingError, UsageError
from app.frames.resources import Resources, open_tracker
from app.options import RenderOptions
from models.choices import EMBEDDED, DetectorChoice
from models.detection.choose import detector_path, open_detector
from models.detection.runtime import OnnxDetector
from models.detectors import Window
from models.registry import ModelError, get_model
from models.search import full_search
from models.tracker import FaceTracker
from models.weights import bundled_folder, model_path, verify

SHIPPED = "detect/osa_nano"


def test_the_shipped_detector_is_whole_and_small() -> None:
    (status,) = verify(SHIPPED)
    assert status.ok, status.message
    assert status.path.stat().st_size < 2_000_000
    assert get_model(SHIPPED).licence == "MIT"
    assert (bundled_folder() / "detect" / "osa_nano.md").is_file()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_it_finds_her_whichever_way_up(astronaut: np.ndarray, turns: int) -> None:
    picture = np.ascontiguousarray(np.rot90(astronaut, turns))
    (truth,) = FaceTracker().detect(picture, limit=1)
    found = open_detector(DetectorChoice.parse(SHIPPED))(picture)
    assert 1 <= len(found) <= 5  # patches on the suit may look like a face; the mesh judges that
    box = found[0].box
    away = np.linalg.norm((box[:2] + box[2:]) / 2 - truth.centre)
    assert away < 0.2 * truth.size
    assert 0.7 * truth.size < found[0].size < 1.5 * truth.size
    (face,) = FaceTracker(detector=SHIPPED).detect(picture)
    assert np.abs(face.points - truth.points).max() < 0.1 * truth.size
    if turns == 0:
        across = found[0].points[1] - found[0].points[0]
        assert abs(math.atan2(float(across[1]), float(across[0])) - truth.roll) < math.radians(20)


def test_windows_move_turn_and_scale_what_it_finds(astronaut: np.ndarray) -> None:
    detector = open_detector(DetectorChoice.parse(SHIPPED))
    plain = detector(astronaut)[0]
    turned = detector(astronaut, Window(230.0, 150.0, 420.0, 0.3))[0]
    size = plain.size
    assert np.abs(turned.box - plain.box).max() < 0.3 * size
    assert np.linalg.norm(turned.points[:4] - plain.points[:4], axis=1).max() < 0.3 * size
    assert detector(np.zeros((64, 64, 3), np.uint8)) == []


def test_the_tracker_asks_it_first_and_the_embedded_ones_where_it_finds_nothing(astronaut: np.ndarray) -> None:
    tracker = FaceTracker(detector=SHIPPED)
    (face,) = tracker.detect(astronaut)
    (other,) = FaceTracker().detect(astronaut)
    assert np.abs(face.points - other.points).max() < 0.1 * other.size
    tracker.reset()
    assert tracker.track(astronaut) is not None
    steps = list(full_search(astronaut, ("own", "full", "short")))
    assert steps[0].detector == "own"
    first = next(i for i, step in enumerate(steps) if step.detector != "own")
    assert all(step.detector != "own" for step in steps[first:])
    assert steps[first].group > steps[first - 1].group
    blind = FaceTracker(detector=SHIPPED)
    blind._detectors["own"] = lambda rgb, window: []
    assert len(blind.detect(astronaut)) == 1
    assert "own" not in {step.detector for step in full_search(astronaut)}


def test_large_pictures_are_looked_at_in_tiles_too() -> None:
    big = np.zeros((1500, 2000, 3), np.uint8)
    own = [step for step in full_search(big, ("own", "full", "short")) if step.detector == "own"]
    assert {step.window.side for step in own if step.always} == {1000.0}
    small = [step for step in full_search(big[:400, :500], ("own", "full")) if step.detector == "own"]
    assert not any(step.always for step in small)


def test_any_file_may_be_named(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(model_path(SHIPPED).read_bytes())
    assert len(open_tracker(DetectorChoice.parse(str(path))).detect(astronaut)) == 1
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    (tmp_path / "detect").mkdir()
    (tmp_path / "detect" / "emo2_1m.onnx").write_bytes(path.read_bytes())
    assert detector_path(DetectorChoice.parse("detect/emo2_1m")) == tmp_path / "detect" / "emo2_1m.onnx"
    with pytest.raises(ModelError, match=r"tools/train_detector\.py"):
        detector_path(DetectorChoice.parse("detect/emo2_2m"))
    with pytest.raises(ModelError, match="part of the embedded"):
        detector_path(DetectorChoice.parse("detect/blaze_full"))
    with pytest.raises(ModelError, match="does not exist"):
        detector_path(DetectorChoice.parse(str(tmp_path / "none.onnx")))
    with pytest.raises(ModelError, match="not a face detector of this program"):
        open_detector(DetectorChoice.parse(str(model_path("matte/selfie"))))
    path.write_bytes(b"\x08\x07nonsense")
    with pytest.raises(MissingError, match="can't be opened"):
        open_tracker(DetectorChoice.parse(str(path)))


def test_the_option_is_checked_and_reaches_the_tracker(tmp_path: Path) -> None:
    for choice in ("embedded", "insightface", "auto", SHIPPED, "a/b.onnx"):
        assert RenderOptions.from_values({"detector": choice}).input.detector == choice
        assert str(DetectorChoice.parse(choice)) == choice
    for wrong in ("yolo", "detect/", "model.pth"):
        with pytest.raises(UsageError, match="detect/NAME"):
            RenderOptions.from_values({"detector": wrong})
        with pytest.raises(ValueError, match="detect/NAME"):
            DetectorChoice.parse(wrong)
    options = RenderOptions.from_values({"detector": SHIPPED})
    tracker = Resources().tracker(options.input.finder)
    assert isinstance(tracker._detectors["own"], OnnxDetector)
    assert "own" not in Resources().tracker(EMBEDDED)._detectors
    with pytest.raises(MissingError, match="does not exist"):
        Resources().tracker(DetectorChoice.parse(str(tmp_path / "x.onnx")))


def test_a_detector_is_exported_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript (extra 'onnx') is not installed")
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    from detection.export import export_detector

    import models
    from models.detection.network import Deployed
    from models.export import disagreement

    torch.manual_seed(0)
    network = models.create("detect/osa_nano").eval()
    picture = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    whole = export_detector(network, tmp_path / "whole.onnx", 64)
    assert disagreement(Deployed(network, 64), whole, (picture,)) < 1e-5
    half = export_detector(network, tmp_path / "half.onnx", 64, half=True)
    assert disagreement(Deployed(network, 64), half, (picture,)) < 5e-3
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    assert OnnxDetector(half).size == 64
