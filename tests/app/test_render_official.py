"""--official under a source clip: what the frames get, one by one, is what the release computes for the whole clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.events import CancelToken, EventStream
from app.options import RenderOptions
from app.render import Job, render
from app.render.inputs import Inputs
from app.render.pipeline import Run
from liveportrait.official import official_transfer
from liveportrait.rules import TransferRules
from liveportrait.transfer import steady_eye_target


def rendered(here: Path, source: str, driving: str, **values: object) -> tuple[Any, list[np.ndarray], Any, Any]:
    """Options, keypoints of each frame, the scenes' portraits, the driving motion (all frames)."""
    options = RenderOptions.from_values({"output": "a.mp4", "official": True, "audio": "none", **values})
    job = Job(Path("in") / source, Path("in") / driving, options)
    events, token = EventStream(), CancelToken()
    with Inputs(job, events, token) as inputs:
        run = Run(inputs, events, token)
        run.read_motion()
        from app.render.stages import Stages

        stages = Stages(inputs, run.track, run.mixes, run.timings, overlap=False)
        steps = inputs.steps(run.track, run.timings)
        pairs = list(stages._posed(stages._scenes(steps, 1)))
        driving_motion = run.track.rows(0, run.track.found)
        run.close()
        portraits = [step.scene.faces[0].portrait for step, _ in pairs]
        return inputs.engine, [x_d for _, faces in pairs for x_d in faces], portraits, driving_motion


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("smooth", [0.0, 0.3, 30.0])
def test_smoothing_of_source_and_driver_together(here: Path, relative: bool, smooth: float) -> None:
    engine, got, portraits, driving = rendered(here, "clip.mp4", "clip.mp4", relative=relative, smooth=smooth)
    options = RenderOptions.from_values({"official": True, "relative": relative, "smooth": smooth}).animation
    rules = TransferRules(official=True, expression_friendly=False)
    wanted = official_transfer(
        engine, portraits, driving, options, rules, steady_eye_target(portraits[0].motion)
    )  # fmt: skip
    assert len(got) == len(wanted) == 12
    np.testing.assert_allclose(np.concatenate(got), wanted, atol=2e-5)


def test_the_default_stands_for_the_official_setting(here: Path) -> None:
    _, default, _, _ = rendered(here, "clip.mp4", "slow.mp4")
    _, official, _, _ = rendered(here, "clip.mp4", "slow.mp4", smooth=0.3)
    np.testing.assert_array_equal(np.concatenate(default), np.concatenate(official))
    _, calm, _, _ = rendered(here, "clip.mp4", "slow.mp4", smooth=50)
    assert np.abs(np.concatenate(calm) - np.concatenate(official)).max() > 1e-3


def test_a_driving_picture_is_not_smoothed(here: Path) -> None:
    _, a, _, _ = rendered(here, "clip.mp4", "other.jpg", smooth=30.0)
    _, b, _, _ = rendered(here, "clip.mp4", "other.jpg", smooth=0.0)
    np.testing.assert_array_equal(np.concatenate(a), np.concatenate(b))


def test_lost_source_frames_and_sliders(here: Path) -> None:
    """Frames without a face pass in their place, whatever waits for smoothing."""
    _, plain, _, _ = rendered(here, "clip.mp4", "gap.mp4", smooth=30.0)
    _, wide, _, _ = rendered(here, "clip.mp4", "gap.mp4", smooth=30.0, sliders="smile=1")
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(plain, wide, strict=True))
    from app.media.reader import open_clip
    from app.render import render

    options = RenderOptions.from_values({"output": "g-%02d.png", "official": True, "length": "source", "fps": "25"})
    render(Job(Path("in/gap.mp4"), Path("in/clip.mp4"), options))
    with open_clip(Path("g-%02d.png")) as ours, open_clip(Path("in/gap.mp4")) as source:
        for number, (got, given) in enumerate(zip(ours, source, strict=True)):
            moved = float(np.abs(got.rgb.astype(int) - given.rgb).mean())
            assert (moved < 0.01) == (3 <= number < 6), (number, moved)


def test_an_edit_pastes_back_as_the_release_does(here: Path, head: np.ndarray) -> None:
    values = {"output": "a.png", "sliders": "smile=1,yaw=8"}
    for name, official in (("a.png", True), ("b.png", False)):
        options = RenderOptions.from_values({**values, "output": name, "official": official})
        render(Job(Path("in/photo.jpg"), Path(), options), EventStream(), CancelToken())
    from app.media.images import read_image

    a, b = (read_image(Path(name)).rgb.astype(int) for name in ("a.png", "b.png"))
    assert 0.05 < np.abs(a - b).mean() < 20
