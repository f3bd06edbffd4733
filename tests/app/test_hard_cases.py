"""Cases that users of such tools suffered from, end to end with the embedded engine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liveportrait.animator import Animator
from liveportrait.driving import Shown
from liveportrait.engines.mesh import MeshEngine
from liveportrait.expression import Expression
from liveportrait.options import AnimationOptions
from models.tracker import FaceTracker

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"


@pytest.fixture(scope="module")
def engine() -> MeshEngine:
    return MeshEngine()


def shut_eyes(engine: MeshEngine, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eye ratios in a photo and in the same photo with the blink slider at its end."""
    face = FaceTracker().detect(photo)[0]
    animator = Animator(engine, AnimationOptions(), Expression({"blink": 1.0}))
    result = animator.frame(animator.scene(photo, [face]))
    assert result.shape == photo.shape
    tracker = FaceTracker()
    tracker.start(face)
    after = tracker.track(result)
    assert after is not None
    return face.eye_ratios, after.eye_ratios


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_38_sideways_and_upside_down_heads_come_alive(engine, astronaut, turns):
    before, after = shut_eyes(engine, np.ascontiguousarray(np.rot90(astronaut, turns)))
    assert (after < 0.55 * before).all()


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_19_face_that_fills_the_picture_comes_alive(engine, astronaut, margin):
    x0, y0, x1, y1 = FaceTracker().detect(astronaut)[0].box
    m = margin * (x1 - x0)
    tight = np.ascontiguousarray(astronaut[int(y0 - m) : int(y1 + m), int(x0 - m) : int(x1 + m)])
    before, after = shut_eyes(engine, tight)
    assert (after < 0.55 * before).all()


def test_34_unmoved_parts_of_a_large_photo_stay_sharp(engine, astronaut):
    """A face larger than any crop: what doesn't move is the photo's own, pixel for pixel."""
    large = np.ascontiguousarray(np.kron(astronaut[:300, 90:390], np.ones((6, 6, 1), np.uint8)))
    animator = Animator(engine, AnimationOptions())
    scene = animator.scene(large, FaceTracker().detect(large)[:1])
    motion = scene.faces[0].portrait.motion
    still = animator.frame(scene, Shown(motion, motion))
    assert np.array_equal(still, large)
    moved = replace(motion, translation=motion.translation + np.float32([0.02, 0, 0]))
    turned = animator.frame(scene, Shown(moved, motion))
    assert np.array_equal(turned[:, :8], large[:, :8])


def test_62_commands_run_without_a_display():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    for words in (["--version"], ["doctor", "--json"]):
        run = subprocess.run(
            [sys.executable, "-m", "app.cli.main", *words], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr


MEMORY = """
import resource, sys
from pathlib import Path
from app.options import RenderOptions
from app.render import Job, render

for number in range(5):
    values = {"output": sys.argv[3], "overwrite": True, "engine": "mesh", "duration": 0.4}
    options = RenderOptions.from_values(values)
    render(Job(Path(sys.argv[1]), Path(sys.argv[2]), options))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource module on Windows")
def test_37_fifth_job_needs_no_more_memory_than_the_first(tmp_path):
    output = tmp_path / "o.mp4"
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *(str(SAMPLE / name) for name in ("portrait.jpg", "driving.mp4")), str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    peaks = [int(line) for line in run.stdout.split() if line.isdigit()]
    assert len(peaks) == 5
    assert peaks[-1] < 1.15 * peaks[0]
