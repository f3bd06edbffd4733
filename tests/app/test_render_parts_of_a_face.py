"""Several drivers, several faces, sliders on top: what the options of one render do to the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import MediaError, UsageError
from app.media.images import write_image
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, render


def job(source: str, driving: str, output: str, **values: object) -> Job:
    options = {"output": output, "audio": "none", "quality": 100, **values}
    return Job(Path("in") / source, Path("in") / driving, RenderOptions.from_values(options))


def frames(name: str) -> np.ndarray:
    """(N, H, W, 3) pictures of a file or a numbered pattern."""
    with open_clip(Path(name), rate=Fraction(25)) as clip:
        return np.stack([frame.rgb.astype(np.int16) for frame in clip])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@pytest.fixture
def drivers(here: Path, head: np.ndarray, make_clip) -> Path:
    """in/still.mp4: a face at rest; in/talk.mp4: the same, opening its mouth from frame 2 on."""
    from app.events import CancelToken, EventStream

    make_clip(here / "in" / "nod.mp4", head, 5)
    write_image(here / "in" / "rest.png", head)
    options = RenderOptions.from_values({"output": "in/open.png", "sliders": "lip_open=0.8"})
    render(Job(Path("in/rest.png"), Path(), options), EventStream(), CancelToken())
    (here / "in" / "talk").mkdir()
    (here / "in" / "rest").mkdir()
    for i in range(5):
        name = "open.png" if i >= 2 else "rest.png"
        (here / "in" / "talk" / f"{i}.png").write_bytes((here / "in" / name).read_bytes())
        (here / "in" / "rest" / f"{i}.png").write_bytes((here / "in" / "rest.png").read_bytes())
    return here


def test_lips_from_another_clip(drivers: Path) -> None:
    """Pose from a nodding clip, lips from a talking one: each part comes from its owner, whoever is named first."""
    common = {"smooth": 0, "reference": "first"}
    render(job("photo.jpg", "nod.mp4", "nod-%02d.png", **common))
    render(job("photo.jpg", "talk", "talk-%02d.png", **common))
    render(job("photo.jpg", "nod.mp4", "both-%02d.png", lips_from="in/talk", **common))
    render(job("photo.jpg", "talk", "swapped-%02d.png", pose_from="in/nod.mp4", eyes_from="in/nod.mp4",
               exp_from="in/nod.mp4", lips_from="in/talk", **common))  # fmt: skip
    nod, talk, both, swapped = (frames(f"{name}-%02d.png") for name in ("nod", "talk", "both", "swapped"))
    assert len(both) == 5
    assert difference(both[:2], nod[:2]) < 0.8
    assert difference(both[3:], nod[3:]) > 1
    assert difference(both[3:], talk[3:]) > 1
    mouth = np.s_[3:, 98:145, 84:138]
    assert difference(both[mouth], nod[mouth]) > 8
    assert difference(both[:, :90], nod[:, :90]) < 1
    assert difference(both, swapped) < 0.5


def test_an_owner_of_everything_leaves_nothing_of_the_main_driver(drivers: Path) -> None:
    parts = dict.fromkeys(("pose_from", "exp_from", "lips_from", "eyes_from"), "in/nod.mp4")
    render(job("photo.jpg", "rest", "a-%02d.png", **parts))
    render(job("photo.jpg", "nod.mp4", "b-%02d.png"))
    assert difference(frames("a-%02d.png"), frames("b-%02d.png")) < 0.5


def test_a_template_drives_a_part(drivers: Path) -> None:
    from app.events import CancelToken, EventStream
    from app.render.template import make_template

    make_template(Path("in/talk"), RenderOptions.from_values({"output": "t.motion"}), EventStream(), CancelToken())
    render(job("photo.jpg", "nod.mp4", "a-%02d.png", lips_from="t.motion", fps="25"))
    render(job("photo.jpg", "nod.mp4", "b-%02d.png", lips_from="in/talk", fps="25"))
    assert difference(frames("a-%02d.png"), frames("b-%02d.png")) < 0.2


@pytest.mark.parametrize("name", ["missing.mp4", "text.mp4", "zero.mp4"])
def test_a_bad_part_is_told_before_any_work(here: Path, name: str) -> None:
    with pytest.raises(MediaError, match=name):
        render(job("photo.jpg", "slow.mp4", "a-%02d.png", eyes_from=f"in/{name}"))
    assert not Path("a-%02d.png").exists()


def test_the_result_never_replaces_a_part(here: Path) -> None:
    with pytest.raises(UsageError, match="input"):
        render(job("photo.jpg", "slow.mp4", "in/clip.mp4", lips_from="in/clip.mp4", overwrite=True))
    with open_clip(Path("in/clip.mp4")) as clip:
        assert sum(1 for _ in clip) == 12


def test_faces_of_a_photo_move_together(here: Path) -> None:
    """Each of both faces looks as if it were animated alone."""
    for face in ("1", "2", "all", "1+2", "2+1+largest"):
        render(job("pair.jpg", "other.jpg", f"{face}.png", face=face, sliders="smile=1,lip_open=0.6"))
    one, two, both = (frames(f"{face}.png")[0] for face in ("1", "2", "all"))
    np.testing.assert_array_equal(frames("1+2.png")[0], both)
    np.testing.assert_array_equal(frames("2+1+largest.png")[0], both)
    np.testing.assert_array_equal(both[:, :200], one[:, :200])
    np.testing.assert_array_equal(both[:, 260:], two[:, 260:])
    assert difference(one[:, :200], two[:, :200]) > 1
    assert difference(one[:, 260:], two[:, 260:]) > 1


@pytest.fixture
def pair_clip(here: Path, head: np.ndarray) -> Path:
    """in/pair: eight frames of two people, (224, 448); the right one is away in frames 3 and 4."""
    (here / "in" / "pair").mkdir()
    other = (head[:, ::-1] * np.linspace(0.3, 1, 224)[:, None, None]).astype(np.uint8)
    for i in range(8):
        picture = np.full((224, 448, 3), 128, np.uint8)
        picture[:, :224] = head
        if i not in (3, 4):
            picture[:, 224:] = other
        write_image(here / "in" / "pair" / f"{i}.png", picture)
    return here


def test_faces_of_a_clip_move_together(pair_clip: Path) -> None:
    """Each looks as if it were animated alone; where one is away the other goes on."""
    for face in ("left", "right", "all", "left+right"):
        values = {"face": face, "sliders": "smile=1,lip_open=0.6", "reference": "first", "smooth": 0}
        render(job("pair", "slow.mp4", f"{face}-%02d.png", length="source", **values))
    left, right, both, named = (frames(f"{face}-%02d.png") for face in ("left", "right", "all", "left+right"))
    source = frames("in/pair")
    np.testing.assert_array_equal(named, both)
    np.testing.assert_array_equal(both[:3, :, :140], left[:3, :, :140])
    assert difference(both[:, :, :140], left[:, :, :140]) < 0.6
    there = [0, 1, 2, 5, 6, 7]
    np.testing.assert_array_equal(both[:3, :, 320:], right[:3, :, 320:])
    for i in range(8):
        assert difference(both[i, :, :200], source[i, :, :200]) > 1
        assert (difference(both[i, :, 248:], source[i, :, 248:]) > 1) == (i in there)


@pytest.mark.parametrize("source", ["pair.jpg", "pair"])
def test_each_face_has_its_driver(pair_clip: Path, drivers: Path, source: str) -> None:
    """The left face nods with the driving file, the right one talks with a clip of its own; photo and clip."""
    common = {"smooth": 0, "reference": "first", "fps": "25", "length": "driving"}
    render(job(source, "nod.mp4", "nod-%02d.png", face="all", **common))
    render(job(source, "talk", "talk-%02d.png", face="all", **common))
    render(job(source, "nod.mp4", "both-%02d.png", face="left", driver_for="right=in/talk", **common))
    render(job(source, "talk", "swapped-%02d.png", driver_for="left = in/nod.mp4", face="all", **common))
    nod, talk, both, swapped = (frames(f"{name}-%02d.png") for name in ("nod", "talk", "both", "swapped"))
    np.testing.assert_array_equal(both, swapped)
    assert difference(both[:, :, :200], nod[:, :, :200]) < 0.05
    assert difference(both[:, :, 260:], talk[:, :, 260:]) < 0.05
    assert difference(nod[2:3, :, 260:], talk[2:3, :, 260:]) > 0.3


def test_faces_and_drivers_that_do_not_fit(here: Path, drivers: Path) -> None:
    for source in ("pair.jpg", "clip.mp4"):
        with pytest.raises(UsageError, match="Face 3 does not exist"):
            render(job(source, "slow.mp4", "a-%02d.png", face="1+3"))
        with pytest.raises(UsageError, match=r"--driver-for: .*Face 3 does not exist"):
            render(job(source, "slow.mp4", "a-%02d.png", driver_for="3=in/talk"))
    with pytest.raises(UsageError, match="left and 1 are the same face"):
        render(job("pair.jpg", "slow.mp4", "a-%02d.png", driver_for="left=in/talk\n1=in/nod.mp4"))
    with pytest.raises(UsageError, match="--crop sets the only crop"):
        render(job("pair.jpg", "slow.mp4", "a-%02d.png", driver_for="left=in/talk", crop="100,100,180"))
    with pytest.raises(UsageError, match="input"):
        render(job("pair.jpg", "slow.mp4", "in/nod.mp4", driver_for="left=in/nod.mp4", overwrite=True))
    for name in ("missing.mp4", "text.mp4"):
        with pytest.raises(MediaError, match=name):
            render(job("pair.jpg", "slow.mp4", "a-%02d.png", driver_for=f"left=in/{name}"))
    for bad in ("left", "left=", "=in/nod.mp4", "nobody=in/nod.mp4", "left=a\nleft=b"):
        with pytest.raises(UsageError, match="driver_for"):
            RenderOptions.from_values({"driver_for": bad})


@pytest.mark.parametrize("source", ["photo.jpg", "slow.mp4"])
def test_sliders_and_saved_expressions_on_photo_and_clip(here: Path, source: str) -> None:
    render(job(source, "slow.mp4", "plain-%02d.png"))
    render(job(source, "slow.mp4", "wide-%02d.png", sliders="lip_open=0.9"))
    render(job(source, "slow.mp4", "saved-%02d.png", expression="A"))  # lip_open 0.9 under a name
    plain, wide, saved = (frames(f"{name}-%02d.png") for name in ("plain", "wide", "saved"))
    assert difference(plain, wide) > 1
    np.testing.assert_array_equal(wide, saved)
    assert all(difference(a, b) > 0.5 for a, b in zip(plain, wide, strict=True))


def test_every_flag_alone_and_all_together(here: Path) -> None:
    """None of them breaks the render or freezes the motion, nor do all at once."""
    flags: list[dict[str, object]] = [
        {"eye_retargeting": True}, {"lip_retargeting": True}, {"normalize_lip": True}, {"source_eye_normalize": True},
        {"stitching": False}, {"official": True}, {"driving_option": "expression-friendly"},
        {"sliders": "smile=0.4,eyes=0.3"}, {"lips_from": "in/gap.mp4"}, {"eye_gain": 1.5}, {"lip_gain": 1.5},
    ]  # fmt: skip
    together: dict[str, object] = {}
    for flag in flags:
        together |= flag
    several = [together, {**together, "relative": False}, {**together, "official": False}]
    for values in [*flags, *several]:
        for source in ("photo.jpg", "slow.mp4") if values in several else ("photo.jpg",):
            render(job(source, "slow.mp4", "a-%02d.png", overwrite=True, **values))
            shown = frames("a-%02d.png")
            assert len(shown) == 6, values
            frozen = values.get("official") and values.get("eye_retargeting") and values.get("relative", True)
            if source == "photo.jpg" and frozen:  # as in the release, which discards the driving motion there
                assert difference(shown[0], shown[3]) < 0.5
            else:
                assert difference(shown[0], shown[3]) > 0.5, values


def test_official_rules_paste_back_the_whole_square(here: Path, head: np.ndarray) -> None:
    big = cv2.resize(head, (448, 448), interpolation=cv2.INTER_CUBIC)
    write_image(here / "in" / "big.png", big)
    render(job("big.png", "other.jpg", "a.png", official=True, sliders="smile=0.5"))
    render(job("big.png", "other.jpg", "b.png", sliders="smile=0.5"))
    ours, official = frames("b.png")[0], frames("a.png")[0]
    assert ours.shape == official.shape == big.shape
    assert difference(ours, official) > 0.05
    np.testing.assert_array_equal(official[:4, :4], ours[:4, :4])


def test_animals_need_networks_and_a_square(here: Path) -> None:
    from app.errors import MissingError

    with pytest.raises(MissingError, match="it supports human faces only"):
        render(job("photo.jpg", "slow.mp4", "a-%02d.png", animals=True, engine="mesh"))
    with pytest.raises(UsageError, match="Add --animals"):
        render(job("photo.jpg", "slow.mp4", "a-%02d.png", points="in/text.jpg"))
