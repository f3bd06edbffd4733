"""The job as a library call: reports, notes, cancelling, memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import gui
from app.errors import CancelledError, ExitCode, NoFaceError
from app.events import CancelToken, Event, EventStream
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, plan, render


def job(here: Path, source: str, driving: str, **values: object) -> Job:
    options = RenderOptions.from_values({"output": str(here / "out.mp4"), **values})
    return Job(here / "in" / source, here / "in" / driving, options)


def test_report(here: Path) -> None:
    report = render(job(here, "photo.jpg", "gap.mp4"))
    assert (report.status, report.exit_code) == ("done", ExitCode.OK)
    assert (report.frames, report.lost, report.source_lost, report.size) == (12, 3, 0, (224, 224))
    assert any("no face was found in 3 of 12 frames" in note for note in report.notes)
    assert report.seconds > 0
    for name in ("decode", "track", "render", "compose", "encode"):
        assert report.stages[name].count == 12
        assert 0 < report.stages[name].median <= report.stages[name].p95
    assert report.stages["motion"].count == 9
    assert report.to_json()["stages"]["render"]["count"] == 12


def test_plan_does_not_write(here: Path) -> None:
    what = plan(job(here, "gap.mp4", "slow.mp4", side_by_side=True, length="driving"))
    assert (what.frames, what.rate, what.size, what.audio) == (6, "10", (224, 224), "none")
    assert what.side_by_side == here / "out--side-by-side.mp4"
    assert sorted(p.name for p in here.iterdir()) == ["in"]


def test_cancelled_from_a_sink(here: Path) -> None:
    """A window cancels from an event; what was written stays as a playable file."""
    token = CancelToken()

    def sink(event: Event) -> None:
        if event.phase == "render" and event.done >= 4:
            token.cancel()

    report = render(job(here, "photo.jpg", "clip.mp4"), EventStream(sink, interval=0), token)
    assert report.status == "cancelled"
    assert report.output == here / "out.partial.mp4"
    with open_clip(report.output) as clip:
        assert sum(1 for _ in clip) == report.frames == 4
    assert sorted(p.name for p in here.iterdir()) == ["in", "out.partial.mp4"]


def test_cancelled_before_anything_was_written(here: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError, match="nothing was written"):
        render(job(here, "photo.jpg", "clip.mp4"), token=token)
    with pytest.raises(CancelledError):
        render(job(here, "no_face.mp4", "clip.mp4"), token=token)
    assert sorted(p.name for p in here.iterdir()) == ["in"]


def test_motion_between_frames(here: Path) -> None:
    """At twice the rate every second frame is the one of the input, and those between lie between."""
    render(job(here, "photo.jpg", "slow.mp4", output=str(here / "a-%02d.png")))
    render(job(here, "photo.jpg", "slow.mp4", fps="20", output=str(here / "b-%02d.png")))
    slow = [frame.rgb.astype(int) for frame in open_clip(here / "a-%02d.png", rate=Fraction(10))]
    fast = [frame.rgb.astype(int) for frame in open_clip(here / "b-%02d.png", rate=Fraction(20))]
    assert (len(slow), len(fast)) == (6, 12)
    for index in range(6):
        np.testing.assert_array_equal(fast[2 * index], slow[index])
    change = [np.abs(b - a).mean() for a, b in itertools.pairwise(slow)]
    half = [np.abs(fast[2 * i + 1] - slow[i]).mean() for i in range(5)]
    assert all(0 < h < c for h, c in zip(half, change, strict=True))


def test_same_job_twice_gives_the_same_file(here: Path) -> None:
    first, second = (
        render(job(here, "photo.jpg", "slow.mp4", output=str(here / name), mark="metadata")).output.read_bytes()
        for name in ("a.mp4", "b.mp4")
    )
    assert first == second


def test_no_face_names_the_file(here: Path) -> None:
    with pytest.raises(NoFaceError, match=r"empty_room.jpg: no face"):
        render(job(here, "empty_room.jpg", "clip.mp4"))


def test_window_that_is_not_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "app.gui.main", None)
    monkeypatch.setattr(sys, "argv", ["animate-gui"])
    assert gui() == ExitCode.MISSING
    assert capsys.readouterr().err.startswith("animate: error: The window can't start")


PEAK = """
import resource, sys
from pathlib import Path
from app.options import RenderOptions
from app.render import Job, render
folder = Path(sys.argv[1])
options = RenderOptions.from_values({"output": str(folder / "out.mp4"), "overwrite": True})
render(Job(folder / "photo.png", folder / sys.argv[2], options))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of Unix")
def test_memory_does_not_grow_with_the_clip(tmp_path: Path, head: np.ndarray, make_clip: Callable) -> None:
    """Ten times the frames, at most a tenth more memory."""
    import cv2

    from app.media.images import write_image

    small = cv2.resize(head, (128, 128), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "photo.png", small)
    peaks = []
    for count in (60, 600):
        make_clip(tmp_path / f"{count}.mp4", small, count)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path), f"{count}.mp4"], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0], peaks
