"""`animate edit` and `animate retouch`."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.media.images import read_image
from app.media.reader import open_clip


def pictures(name: str) -> np.ndarray:
    with open_clip(Path(name), rate=Fraction(25)) as clip:
        return np.stack([frame.rgb.astype(np.int16) for frame in clip])


def test_edit_a_photo(run_cli: Callable, listing: Callable) -> None:
    done = run_cli("edit", "in/photo.jpg", "--lip-open", "0.9", "-o", "a.png")
    assert done.code == 0, done.err
    assert "Wrote a.png (1 image" in done.out
    before, after = (np.asarray(read_image(p).rgb, np.int16) for p in (Path("in/photo.jpg"), Path("a.png")))
    assert np.abs(after - before)[98:145, 84:138].mean() > 5
    assert run_cli("edit", "in/photo.jpg", "--sliders", "lip_open=0.9", "-o", "b.png", "-q").code == 0
    assert run_cli("edit", "in/photo.jpg", "--expression", "a", "-o", "c.png", "-q").code == 0
    same = [read_image(Path(name)).rgb for name in ("a.png", "b.png", "c.png")]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], same[2])
    assert run_cli("edit", "in/photo.jpg", "--yaw", "8", "--eyes", "0.05").code == 0
    assert listing() == ["a.png", "b.png", "c.png", "photo--edited.jpg"]


def test_edit_at_rest_is_the_photo(run_cli: Callable) -> None:
    assert run_cli("edit", "in/cutout.png", "-o", "a.png", "--mark", "metadata").code == 0
    before, after = read_image(Path("in/cutout.png")), read_image(Path("a.png"))
    np.testing.assert_array_equal(before.rgb, after.rgb)
    np.testing.assert_array_equal(before.alpha, after.alpha)


def test_edit_a_clip_keeps_time_and_sound(run_cli: Callable) -> None:
    done = run_cli("edit", "in/clip.mp4", "--left-eye", "0.02", "-o", "a.mp4", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["frames"] == 12
    from app.media.audio import AudioSource

    assert AudioSource(Path("a.mp4")).present
    with open_clip(Path("a.mp4")) as new, open_clip(Path("in/clip.mp4")) as old:
        assert new.info.rate == old.info.rate
        assert [frame.time for frame in new] == [frame.time for frame in old]


def test_bare_square_of_an_edit(run_cli: Callable) -> None:
    assert run_cli("edit", "in/photo.jpg", "--smile", "1", "--no-paste-back", "-o", "a.png").code == 0
    shape = read_image(Path("a.png")).rgb.shape
    assert shape[0] == shape[1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--smile", "9"], "--smile: '9' is out of bounds, it must be -0.3 to 1.3"),
        (["--yaw", "left"], "--yaw: 'left' is not a number from -25 to 25"),
        (["--lips", "2"], "--lips: '2' is out of bounds, it must be 0 to 1"),
        (["--sliders", "smirk=1"], "there is no slider named 'smirk'"),
        (["--expression", "smlie"], "Did you mean Smile?"),
        (["-o", "a.mp4"], "the result is a single image"),
        (["-o", "in/other.jpg"], "already exists"),
        (["-o", "in/photo.jpg", "--overwrite"], "input"),
        (["--face", "4"], "Face 4 does not exist"),
        (["--points", "in/text.mp4"], "Add --animals"),
    ],
)
def test_wrong_edits_are_one_line(run_cli: Callable, listing: Callable, flags: list[str], words: str) -> None:
    done = run_cli("edit", "in/photo.jpg", *flags, "-q")
    assert done.code == 2, done.err
    assert words in done.err
    assert len(done.lines) == 1
    assert listing() == []


@pytest.mark.parametrize(("source", "code"), [("in/empty_room.jpg", 3), ("in/text.jpg", 1), ("in/none.jpg", 1)])
def test_edit_of_a_bad_source(run_cli: Callable, listing: Callable, source: str, code: int) -> None:
    done = run_cli("edit", source, "-q")
    assert done.code == code
    assert len(done.lines) == 1
    assert listing() == []


def test_retouch_closes_lips_and_leaves_the_rest(run_cli: Callable) -> None:
    """The astronaut smiles with open lips; shut, they change, and the upper half of the picture does not."""
    for lips in ("closed", "0.5", "silent"):
        done = run_cli("retouch", "in/slow.mp4", "--lips", lips, "-o", f"{lips}-%02d.png", "-q", "--mark", "metadata")
        assert done.code == 0, done.err
    before = pictures("in/slow.mp4")
    results = {lips: pictures(f"{lips}-%02d.png") for lips in ("closed", "0.5", "silent")}
    for lips, after in results.items():
        assert len(after) == 6
        assert np.abs(after - before)[:, 98:145, 84:138].mean() > 3, lips
        assert np.abs(after - before)[:, :70].mean() < 1.2, lips
    assert np.abs(results["closed"] - results["0.5"]).mean() > 0.5


def test_retouch_of_frames_without_a_face(run_cli: Callable) -> None:
    done = run_cli("retouch", "in/gap.mp4", "--lips", "closed", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert (result["frames"], result["source_lost"]) == (12, 3)
    assert Path("gap--retouched.mp4").is_file()


def test_names_and_notes_of_an_edit(run_cli: Callable, listing: Callable) -> None:
    """Fields are filled in as they are in results of the main command, and what was adapted is told."""
    done = run_cli("edit", "in/gap.mp4", "--smile", "0.5", "-o", "{source}-{engine}.mp4", "--codec", "vp9")
    assert done.code == 0, done.err
    assert listing() == ["gap-auto.mp4"]
    assert "in/gap.mp4: no face was found in 3 of 12 frames; they were left unchanged." in done.err
    refused = run_cli("edit", "in/photo.jpg", "--smile", "0.5", "-o", "{driving}.jpg")
    assert refused.code == 2
    assert "there is no field {driving}; known are {source}, {engine}, {date}" in refused.err
    assert run_cli("template", "make", "in/slow.mp4", "-o", "{driving}-{engine}.motion").code == 0
    assert listing() == ["gap-auto.mp4", "slow-auto.motion"]


def test_a_clip_without_a_face_is_no_edit(run_cli: Callable, listing: Callable) -> None:
    for words in (("retouch", "in/no_face.mp4"), ("edit", "in/no_face.mp4", "--smile", "0.5")):
        refused = run_cli(*words)
        assert refused.code == 3
        assert "in/no_face.mp4: no face was found in any of its 3 frames" in refused.err
    assert listing() == []


def test_rate_of_an_edit(run_cli: Callable) -> None:
    """A clip of 6 frames at 10 a second; numbered pictures have the rate that is given, or 25."""
    for source, rate, frames in (("in/slow.mp4", "20", 12), ("in/slow.mp4", "5", 3), ("in/shots", "5", 3)):
        done = run_cli("edit", source, "--smile", "0.5", "--fps", rate, "-o", "out.mp4", "--overwrite", "--json")
        assert done.code == 0, done.err
        with open_clip("out.mp4") as clip:
            assert (clip.info.rate, sum(1 for _ in clip)) == (int(rate), frames), source
        last = [e for e in map(json.loads, done.out.splitlines()) if e["event"] == "progress"][-1]
        assert last["done"] == last["total"] == frames


def test_help_speaks_of_the_command_itself(run_cli: Callable) -> None:
    for words, right, wrong in (
        (("edit", "--help"), "--edited", "{driving}"),
        (("retouch", "--help"), "--retouched", "{driving}"),
        (("template", "make", "--help"), "{driving}.motion", "{source}"),
    ):
        text = run_cli(*words).out
        assert right in text
        assert wrong not in text


@pytest.mark.parametrize("lips", ["shut", "-1", "nan", "2"])
def test_wrong_lips(run_cli: Callable, lips: str) -> None:
    done = run_cli("retouch", "in/slow.mp4", "--lips", lips)
    assert done.code == 2
    assert "is not closed, silent or a ratio from 0 to 1" in done.err
