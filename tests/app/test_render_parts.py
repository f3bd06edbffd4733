"""Parts of the render pipeline that need no face: tracks on disk, names, timings, pairing."""

from __future__ import annotations

import os
from array import array
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.errors import UsageError
from app.frames.timings import LIMIT, Timings, percentile
from app.media.sizing import Sizing
from app.media.timeline import resample
from app.options import OutputOptions, RenderOptions
from app.render.job import Job, fill_name, output_path, side_by_side_path, stem_of
from app.render.output import Outputs, Target, fit
from liveportrait.channel import MotionSampler, smooth_track
from liveportrait.motion import Motion
from liveportrait.noise import NoiseHold
from liveportrait.patched import Patched
from liveportrait.smoothing import smooth_motion
from liveportrait.track import MotionTrack


def motion(value: float, points: int = 4) -> Motion:
    """One frame whose numbers all follow from a value."""
    angle = value / 10
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
    return Motion(
        rotation=turn[None],
        translation=np.full((1, 3), value, np.float32),
        scale=np.full((1, 1), 1 + value / 100, np.float32),
        delta=np.full((1, points, 3), value, np.float32),
        eye_ratio=np.full((1, 2), np.nan, np.float32),
        lip_ratio=np.full((1, 1), 0.1, np.float32),
        engine="test",
        extra={"gaze": np.full((1, 2), value, np.float32)},
    )


def make_track(path: Path, values: list[float | None]) -> MotionTrack:
    track = MotionTrack(Fraction(len(values), 25))
    for index, value in enumerate(values):
        track.append(Fraction(index, 25), None if value is None else motion(value))
    return track


def test_track_gives_back_what_it_got(tmp_path: Path) -> None:
    track = make_track(tmp_path / "t", [None, 1.0, None, None, 3.0])
    assert (len(track), track.found, track.lost) == (5, 2, 3)
    assert [track.seen(i) for i in range(5)] == [False, True, False, False, True]
    held = [float(track.motion(i).delta[0, 0, 0]) for i in range(5)]
    assert held == [1.0, 1.0, 1.0, 1.0, 3.0], "the last face is held, the first one stands in before it"
    back = track.motion(4)
    want = motion(3.0)
    assert back.engine == "test"
    for name in ("rotation", "translation", "scale", "delta", "eye_ratio", "lip_ratio"):
        np.testing.assert_array_equal(getattr(back, name), getattr(want, name))
    np.testing.assert_array_equal(back.extra["gaze"], want.extra["gaze"])
    track.close()


def test_sampler_interpolates_between_seen_frames_only(tmp_path: Path) -> None:
    track = make_track(tmp_path / "t", [0.0, 1.0, None, 4.0])
    sample = MotionSampler(track, loop=False)

    def at(time: Fraction) -> float | None:
        got = sample(time)[0]
        return None if got is None else float(got.delta[0, 0, 0])

    assert at(Fraction(1, 25)) == 1.0
    assert at(Fraction(1, 50)) == pytest.approx(0.5)
    assert at(Fraction(3, 50)) == 1.0, "no face to go to"
    assert at(Fraction(2, 25)) is None
    assert at(Fraction(10)) == 4.0, "the end is held"
    assert float(MotionSampler(track, loop=True)(Fraction(5, 25))[0].delta[0, 0, 0]) == 1.0  # type: ignore[union-attr]


def test_smoothing_in_pieces_is_smoothing_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = [float(v) for v in np.cumsum(rng.normal(0, 0.01, 700))]
    track = make_track(tmp_path / "t", list(values))
    hold = NoiseHold({})
    whole = smooth_motion(Motion.concatenate([hold(track.motion(i)) for i in range(700)]), 1e-4)
    smoothed = smooth_track(track, 1e-4, {})
    for index in (0, 1, 255, 256, 257, 511, 512, 699):
        np.testing.assert_allclose(smoothed.motion(index).delta[0], whole.delta[index], atol=1e-6)
    assert np.abs(whole.delta[:, 0, 0] - values).max() > 1e-3, "there was something to smooth"
    smoothed.close()


def test_names_are_filled_in_as_they_are() -> None:
    fields = {"source": "{driving}%04d", "driving": "b", "engine": "mesh"}
    assert fill_name("{source}--{driving}.mp4", fields) == "{driving}%04d--b.mp4"
    assert fill_name("{{x}}{driving}", fields) == "{x}b"
    for wrong in ("{sorce}", "{", "a}b", "{}"):
        with pytest.raises(UsageError, match="--output"):
            fill_name(wrong, fields)


@pytest.mark.parametrize("letter", ["n", "\u65e5"])
def test_long_names_of_inputs_are_cut(letter: str) -> None:
    """Two names that the file system allows make a default name that it allows too; ends of both stay apart."""
    source, driving = Path("s" + letter * 80 + ".jpg"), Path(letter * (250 if letter == "n" else 80) + ".mp4")
    name = output_path(Job(source, driving, RenderOptions()), still=False, alpha=False).name
    assert len(os.fsencode(name)) <= 220
    assert name.startswith("s" + letter * 30)
    assert f"{letter * 10}--{letter * 10}" in name
    assert name.endswith(f"{letter}.mp4")
    short = output_path(Job(Path("a.jpg"), Path("b.mp4"), RenderOptions()), still=False, alpha=False)
    assert short == Path("a--b.mp4")


def test_stems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    (tmp_path / "real_%04d.png").write_bytes(b"x")
    names = {
        "a/b.c.mp4": "b.c",
        "shots": "shots",
        "shots/": "shots",
        "take_%04d.png": "take",
        "real_%04d.png": "real_%04d",
    }
    assert {name: stem_of(Path(name)) for name in names} == names
    assert stem_of(Path("shots/%04d.png")) == "shots"
    assert stem_of(Path()) == tmp_path.name


def test_output_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def name(output: str, *, still: bool = False, alpha: bool = False, source: str = "me.jpg") -> str:
        job = Job(Path(source), Path("in/talk.mov"), RenderOptions.from_values({"output": output}))
        return output_path(job, still=still, alpha=alpha, engine="mesh").as_posix()

    assert name("") == "me--talk.mp4"
    assert name("", still=True) == "me--talk.jpg"
    assert name("", still=True, source="me.bmp") == "me--talk.png"
    assert name("", still=True, alpha=True, source="me.jpg") == "me--talk.png"
    assert name("", still=True, alpha=True, source="me.webp") == "me--talk.webp"
    assert name("new/") == "new/me--talk.mp4"
    (tmp_path / "there").mkdir()
    assert name("there") == "there/me--talk.mp4"
    assert name("{engine}/{driving}.mkv") == "mesh/talk.mkv"
    assert side_by_side_path(Path("a/b.mp4")) == Path("a/b--side-by-side.mp4")
    with pytest.raises(UsageError, match="no extension"):
        name("out")


def test_resample_shows_the_frame_on_screen() -> None:
    frames = [(Fraction(k, 10), k) for k in range(4)]
    times = [Fraction(k, 25) for k in range(20)]
    got = list(resample(frames, times, hold=False, step=Fraction(1, 10)))
    assert [frame for _, frame in got] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    held = list(resample(frames, times, hold=True, step=Fraction(1, 10)))
    assert len(held) == 20
    assert held[-1][1] == 3
    assert list(resample([], times, hold=True, step=Fraction(1, 10))) == []


def test_timings_stay_small_and_right() -> None:
    timings = Timings()
    for index in range(3 * LIMIT):
        timings.add("render", (index % 100) / 1000)
    stage = timings.report()["render"]
    assert stage.count == 3 * LIMIT
    assert stage.median == pytest.approx(49.5, abs=3)
    assert stage.p95 == pytest.approx(94, abs=3)
    assert stage.total == pytest.approx(sum((i % 100) / 1000 for i in range(3 * LIMIT)))
    assert len(timings._samples["render"]) <= LIMIT


def test_percentile() -> None:
    assert percentile(array("d", [1, 2, 3, 4]), 0.5) == 2.5
    assert percentile(array("d", [5]), 0.95) == 5
    assert percentile(array("d"), 0.5) == 0


def test_fit_keeps_shape() -> None:
    picture = np.full((40, 20, 3), 200, np.uint8)
    shown = fit(picture, 100, 100)
    assert shown.shape == (100, 100, 3)
    assert (shown[:, 25:75] > 190).all()
    assert (shown[:, :24] == 0).all()
    assert fit(picture, 20, 40) is picture


def test_a_comparison_that_fails_leaves_the_result(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    target = Target(
        path=tmp_path / "a.mp4", comparison=tmp_path / "b.mp4", sizing=Sizing((32, 32), (32, 32)),
        rate=Fraction(25), time_base=None, alpha=False, picture=False, panels=(32,),
    )  # fmt: skip
    with Outputs(target, OutputOptions(side_by_side=True), None, ()) as outputs:
        outputs.write(Fraction(0), Patched(picture), [picture])
        (tmp_path / "b.mp4").write_bytes(b"somebody's")
        with pytest.raises(
            UsageError, match=r"b.mp4 was created in the meantime. The result itself is complete: .*a.mp4."
        ):
            outputs.finish(None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b-2.mp4", "b.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == b"somebody's"
