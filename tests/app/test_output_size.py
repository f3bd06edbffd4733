"""Size of the result: --size, --fit, --max-side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.errors import UsageError
from app.events import CancelToken, EventStream
from app.media.images import read_image
from app.media.reader import open_clip
from app.media.sizing import Sizing, scale_to
from app.options import OutputOptions, RenderOptions, notes_on
from app.render import Job, plan, render
from liveportrait.patched import Patch, Patched


def job(source: str, driving: str, output: str, **values: object) -> Job:
    options = {"output": output, "quality": 100, **values}
    return Job(Path("in") / source, Path("in") / driving, RenderOptions.from_values(options))


@pytest.mark.parametrize(
    ("options", "native", "size", "inner"),
    [
        (OutputOptions(), (601, 400), (601, 400), (601, 400)),
        (OutputOptions(max_side=1000), (601, 400), (601, 400), (601, 400)),
        (OutputOptions(max_side=300), (601, 400), (300, 200), (300, 200)),
        (OutputOptions(max_side=300), (400, 601), (200, 300), (200, 300)),
        (OutputOptions(size="1080x1920"), (600, 600), (1080, 1920), (1080, 1080)),
        (OutputOptions(size="1080x1920", fit="cover"), (600, 600), (1080, 1920), (1920, 1920)),
        (OutputOptions(size="100X50"), (601, 400), (100, 50), (75, 50)),
    ],
)
def test_sizes(options: OutputOptions, native: tuple[int, int], size: tuple[int, int], inner: tuple[int, int]) -> None:
    found = Sizing.of(options, native)
    assert (found.size, found.inner) == (size, inner)


@pytest.mark.parametrize("text", ["big", "1080", "0x100", "100x", "8x8", "20000x100", "-5x5", "1.5x2"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"size: .* is not a size such as 1080x1920"):
        RenderOptions.from_values({"size": text})


def test_frames_that_fit_are_left_alone() -> None:
    picture = Patched(np.zeros((40, 60, 3), np.uint8), (Patch(3, 4, np.ones((5, 5, 3), np.uint8)),))
    assert Sizing.of(OutputOptions(), (60, 40)).apply(picture) is picture


def test_borders_have_the_background_colour_and_edges_are_cut_in_the_middle() -> None:
    base = np.zeros((40, 60, 3), np.uint8)
    base[:, 20:40] = (0, 200, 0)
    within = Sizing.of(OutputOptions(size="60x80", background="#0000ff"), (60, 40)).apply(Patched(base)).whole()
    assert within.shape == (80, 60, 3)
    assert (within[:20] == (0, 0, 255)).all()
    assert (within[60:] == (0, 0, 255)).all()
    assert np.array_equal(within[20:60], base)
    cut = Sizing.of(OutputOptions(size="20x40", fit="cover"), (60, 40)).apply(Patched(base)).whole()
    assert cut.shape == (40, 20, 3)
    assert (cut == (0, 200, 0)).all()


def test_borders_of_clear_pictures_are_clear_and_colours_do_not_bleed() -> None:
    base = np.zeros((40, 40, 4), np.uint8)
    base[:, :20] = (250, 10, 10, 255)
    base[:, 20:] = (0, 255, 0, 0)  # clear, with a colour that must not be seen
    out = Sizing.of(OutputOptions(size="20x40"), (40, 40)).apply(Patched(base)).whole()
    assert out.shape == (40, 20, 4)
    assert out[0, 0, 3] == out[39, 19, 3] == 0
    seen = out[out[..., 3] > 0]
    assert seen[:, 0].min() >= 248
    assert seen[:, 1].max() <= 12


def test_scaling_keeps_mean_and_size() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    small = scale_to(rgb, (30, 20))
    assert small.shape == (20, 30, 3)
    assert abs(float(small.mean()) - float(rgb.mean())) < 1


def test_both_sizes_are_refused_before_the_work(here: Path) -> None:
    with pytest.raises(UsageError, match="--size and --max-side both set"):
        plan(job("photo.jpg", "clip.mp4", "o.mp4", size="100x100", max_side=50))


def test_fit_without_size_is_said() -> None:
    assert notes_on(RenderOptions.from_values({"fit": "cover"})) == ["--fit has no effect without --size."]
    assert notes_on(RenderOptions.from_values({"fit": "cover", "size": "100x100"})) == []


def test_result_has_the_size(here: Path) -> None:
    what = plan(job("photo.jpg", "slow.mp4", "o.mp4", size="90x160"))
    assert what.size == (90, 160)
    report = render(job("photo.jpg", "slow.mp4", "o.mp4", size="90x160", background="#000000", side_by_side=True))
    assert report.size == (90, 160)
    with open_clip(here / "o.mp4") as clip:
        frames = [frame.rgb for frame in clip]
    assert {frame.shape for frame in frames} == {(160, 90, 3)}
    assert frames[0][:30].max() < 20
    assert frames[0][60:100].mean() > 40
    with open_clip(here / "o--side-by-side.mp4") as clip:
        assert clip.info.height == 160
        assert clip.info.width > 250


def test_pictures_edits_and_bare_squares(here: Path) -> None:
    render(job("photo.jpg", "other.jpg", "o.png", max_side=112))
    assert read_image(here / "o.png").rgb.shape == (112, 112, 3)
    options = RenderOptions.from_values({"output": "e.png", "sliders": "smile=0.3", "size": "120x60"})
    render(Job(here / "in" / "photo.jpg", Path(), options), EventStream(), CancelToken())
    assert read_image(here / "e.png").rgb.shape == (60, 120, 3)
    render(job("photo.jpg", "slow.mp4", "b-%02d.png", paste_back=False, max_side=64))
    assert read_image(here / "b-01.png").rgb.shape == (64, 64, 3)
