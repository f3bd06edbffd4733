"""Part of a clip, loops, motion that turns back, several regions at once."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.errors import MediaError, UsageError
from app.events import CancelToken, EventStream
from app.media.reader import open_clip
from app.media.timeline import turning_times
from app.option_parsers import parse_regions, parse_time
from app.options import RenderOptions
from app.render import Job, plan, render
from app.render.template import make_template

NTSC = Fraction(1001, 30000)  # seconds of a frame of clip.mp4


def job(source: str, driving: str, output: str, **values: object) -> Job:
    options = {"output": output, "audio": "none", "quality": 100, "smooth": 0, "reference": "first", **values}
    return Job(Path("in") / source, Path("in") / driving, RenderOptions.from_values(options))


def read(name: str) -> tuple[list[Fraction], np.ndarray]:
    """Times and pictures (N, H, W, 3) of a clip or a numbered pattern."""
    with open_clip(Path(name), rate=Fraction(25)) as clip:
        found = [(frame.time, frame.rgb.astype(np.int16)) for frame in clip]
    return [time for time, _ in found], np.stack([rgb for _, rgb in found])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2.5", Fraction(5, 2)), ("1:02.5", Fraction(125, 2)), ("1:00:00", 3600), ("0:05", 5), ("1/3", Fraction(1, 3)),
     ("", None)],
)  # fmt: skip
def test_times(text: str, seconds: Fraction | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "1:60", "1:2:3:4", "nan", "inf", "1e99", "1.5:10", ":", "1:-3"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="start: "):
        RenderOptions.from_values({"start": text})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"start": "2", "end": "1"}, "--end: 1 is not after the start, 2."),
        ({"end": "2", "duration": "1"}, "--end and --duration both set the end of the clip."),
        ({"source_end": "0"}, "--source-end: 0 is not after the start, 0."),
        ({"source_duration": "0"}, "--source-duration: A duration of 0 s contains no frame."),
        ({"start": "9"}, "has no frame from 9 s on"),
    ],
)
def test_parts_that_can_not_be(here: Path, values: dict[str, str], text: str) -> None:
    with pytest.raises((UsageError, MediaError), match=text):
        render(job("photo.jpg", "clip.mp4", "o.mp4", **values))
    assert not (here / "o.mp4").exists()


def test_part_of_the_driving_clip(here: Path) -> None:
    """Frames 3 to 7 of 12, with the motion that they have in the whole clip and times from 0 on."""
    render(job("photo.jpg", "clip.mp4", "whole-%02d.png"))
    part = {"start": str(3 * NTSC), "duration": str(5 * NTSC)}
    assert plan(job("photo.jpg", "clip.mp4", "o.mp4", **part)).frames == 5
    report = render(job("photo.jpg", "clip.mp4", "part.mkv", codec="vp9", **part))
    render(job("photo.jpg", "clip.mp4", "part-%02d.png", **part))
    assert report.frames == 5
    times, _ = read("part.mkv")
    assert [round(float(time / NTSC)) for time in times] == [0, 1, 2, 3, 4]
    _, pictures = read("part-%02d.png")
    assert len(pictures) == 5
    with open_clip(here / "in" / "photo.jpg") as photo:
        rest = next(iter(photo)).rgb.astype(np.int16)
    assert difference(pictures[0], rest) < difference(pictures[4], rest)  # measured from the part's own first frame


def test_sound_of_the_part(here: Path) -> None:
    """The tone lasts .5 s; of a part from .2 s to .3 s it gives a tenth."""
    from app.media.audio import AudioSource

    render(job("photo.jpg", "clip.mp4", "o.mp4", start="0.2", end="0.3", audio="driving"))
    assert AudioSource(here / "o.mp4").present
    import av

    with av.open(str(here / "o.mp4")) as clip:
        seconds = sum(frame.samples / frame.sample_rate for frame in clip.decode(audio=0))
    assert 0.08 < seconds < 0.18


def test_part_of_a_source_clip(here: Path) -> None:
    report = render(job("gap.mp4", "photo.jpg", "o.mp4", source_start="0.24", source_end="0.40"))
    assert report.frames == 4
    assert report.source_lost == 0  # frames 3 to 5 have no face
    edited = render(
        Job(here / "in" / "gap.mp4", Path(), RenderOptions.from_values({"output": "e.mp4", "source_start": "0.24"})),
        EventStream(), CancelToken(),
    )  # fmt: skip
    assert (edited.frames, edited.source_lost) == (6, 0)


def test_part_of_a_template(here: Path) -> None:
    make_template(
        here / "in" / "slow.mp4", RenderOptions.from_values({"output": "t.motion"}), EventStream(), CancelToken()
    )
    whole = Job(here / "in" / "photo.jpg", here / "t.motion", RenderOptions.from_values({"output": "o.mp4"}))
    assert render(whole).frames == 6
    values = {"output": "p.mp4", "start": "0.2", "end": "0.5"}
    part = Job(whole.source, whole.driving, RenderOptions.from_values(values))
    assert plan(part).frames == 3
    assert render(part).frames == 3
    made = make_template(
        here / "in" / "slow.mp4", RenderOptions.from_values({"output": "q.motion", "start": "0.2", "end": "0.5"}),
        EventStream(), CancelToken(),
    )  # fmt: skip
    assert made.frames == 3
    late = Job(whole.source, whole.driving, RenderOptions.from_values({"output": "l.mp4", "start": "7"}))
    with pytest.raises(UsageError, match="the template has no frame from 7 s"):
        render(late)


def test_other_drivers_stay_whole(here: Path) -> None:
    """The part is one of the driving clip; a clip that drives the lips begins with its own first frame."""
    one = render(job("photo.jpg", "clip.mp4", "a-%02d.png", start="0.2", lips_from="in/slow.mp4"))
    assert one.frames == 6  # frames 6 to 11 begin at .2 s or later


def test_turning_times() -> None:
    assert list(turning_times([Fraction(0), Fraction(1), Fraction(3)])) == [0, 1, 3, 5]
    assert list(turning_times([Fraction(0)])) == [0]
    assert list(turning_times([Fraction(0), Fraction(1)])) == [0, 1]


def test_pingpong_plays_backward_and_meets_its_beginning(here: Path) -> None:
    want = plan(job("photo.jpg", "vfr.mp4", "o.mp4", length="pingpong")).frames
    report = render(job("photo.jpg", "vfr.mp4", "o-%02d.png", length="pingpong"))
    _, pictures = read("o-%02d.png")
    assert report.frames == len(pictures) == 22
    assert want is not None
    assert abs(want - 22) <= 1
    for i in range(1, 11):
        assert difference(pictures[i], pictures[22 - i]) < 0.01
    steps = [difference(a, b) for a, b in itertools.pairwise(pictures)]
    assert difference(pictures[-1], pictures[0]) <= max(steps)
    render(job("photo.jpg", "vfr.mp4", "o.mp4", length="pingpong", audio="driving"))
    times, _ = read("o.mp4")
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 22
    assert [float(g) for g in gaps[11:]] == pytest.approx([float(g) for g in reversed(gaps[1:11])], abs=1e-3)


def test_loop_of_a_photo_meets_its_beginning(here: Path) -> None:
    """The clip ends far from where it began; as a loop its last frame is a step from the first one."""
    render(job("photo.jpg", "clip.mp4", "once-%02d.png", end="0.33"))
    render(job("photo.jpg", "clip.mp4", "loop-%02d.png", end="0.33", length="loop"))
    (_, once), (_, loop) = read("once-%02d.png"), read("loop-%02d.png")
    assert len(once) == len(loop)
    steps = [difference(a, b) for a, b in itertools.pairwise(loop)]
    assert difference(loop[-1], loop[0]) <= max(steps)
    assert difference(once[-1], once[0]) > 2 * difference(loop[-1], loop[0])
    assert difference(once[0], loop[0]) < 0.01


def test_pingpong_of_a_source_clip_is_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="pingpong needs a photo as the source"):
        plan(job("clip.mp4", "slow.mp4", "o.mp4", length="pingpong"))


@pytest.mark.parametrize(
    ("text", "regions"),
    [("eyes,lip", "lip,eyes"), ("lip+lip", "lip"), ("exp, lip", "exp"), ("pose,exp", "all"), ("lip,all", "all"),
     ("eyes,pose,lip", "pose,lip,eyes")],
)  # fmt: skip
def test_regions(text: str, regions: str) -> None:
    assert parse_regions(text) == regions
    assert RenderOptions.from_values({"region": text}).animation.region == regions


@pytest.mark.parametrize("text", ["", "lip,", "nose", "lip,nose"])
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(UsageError, match=r"region: .* is not one of all, exp, pose, lip, eyes"):
        RenderOptions.from_values({"region": text})


def test_regions_together_move_what_each_moves(here: Path) -> None:
    """Lips and eyes together are lips alone in the lower face and eyes alone in the upper one."""
    from liveportrait.engines import load_engine
    from liveportrait.rules import moves, region_mask

    engine = load_engine("mesh")
    both, lip, eyes = (region_mask(engine, name, restricted=False) for name in ("lip,eyes", "lip", "eyes"))
    assert np.array_equal(both, np.maximum(lip, eyes))
    assert not region_mask(engine, "pose", restricted=False).any()
    assert np.array_equal(region_mask(engine, "pose,lip", restricted=False), lip)
    assert moves("pose,lip", "pose")
    assert moves("exp", "lip")
    assert not moves("lip,eyes", "pose")
    assert not moves("exp", "pose")
