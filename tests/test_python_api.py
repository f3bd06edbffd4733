"""The public names, and the examples of docs/python_api.md run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import liveportrait
from app.media.images import read_image
from app.media.reader import open_clip

ROOT = Path(__file__).resolve().parents[1]


def test_names_are_there() -> None:
    assert set(liveportrait.__all__) <= set(dir(liveportrait))
    for name in liveportrait.__all__:
        assert getattr(liveportrait, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = liveportrait.nothing


def test_page_names_what_is_there() -> None:
    page = (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8")
    table = page.partition("| name | what it is |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table)) - {
        "detect",
        "track",
        "scene",
        "frame",
        "pose",
        "draw",
        "compose",
    }
    assert named == set(liveportrait.__all__)


def test_import_is_light() -> None:
    code = "import sys, liveportrait; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "cv2", "torch", "onnxruntime"} & set(done.stdout.split())


def test_examples_run(tmp_path: Path) -> None:
    """All code of the page, in order, as one script without a guard."""
    page = (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL))
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PORTRAIT_ANIMATE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["25 portrait.mp4 ", "1 []"]
    for name in ("talk.mp4", "portrait.mp4", "out/portrait--talk.mp4"):
        with open_clip(tmp_path / name) as clip:
            assert sum(1 for _ in clip) == 25
            assert (clip.info.width, clip.info.height) == (640, 800)
    assert (tmp_path / "smile.png").exists()


def test_pictures_may_be_rgb_rgba_or_grey() -> None:
    """As the page says; alpha changes nothing, the result has the channels of the source."""
    photo = read_image(ROOT / "assets" / "sample" / "portrait.jpg").rgb
    alpha = np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])
    grey = photo.mean(axis=2).astype(np.uint8)
    tracker, engine = liveportrait.FaceTracker(), liveportrait.load_engine("mesh")
    (face,) = tracker.detect(photo)
    np.testing.assert_array_equal(tracker.detect(alpha)[0].points, face.points)
    for picture in (grey, grey[..., None]):
        assert np.abs(tracker.detect(picture)[0].box - face.box).max() < 0.03 * face.size
    tracker.reset()
    followed = tracker.track(alpha)
    assert followed is not None
    tracker.reset()
    assert tracker.track(grey) is not None
    reader = liveportrait.DrivingReader(engine)
    for picture, channels in ((photo, 3), (alpha, 4), (grey, 3)):
        assert np.isfinite(reader.read(picture, face).rotation).all()
        animator = liveportrait.Animator(engine, expression=liveportrait.Expression({"smile": 0.5}))
        assert animator.frame(animator.scene(picture, [face])).shape == (*photo.shape[:2], channels)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8, 3)), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8, 3), np.uint8)])
def test_other_pictures_get_one_sentence(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"An image must be uint8, \(height, width, 3 or 4\)"):
        liveportrait.FaceTracker().detect(wrong)
