"""tools/quality.py: every figure sees the fault that it is named after, and not an undamaged picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.media.images import read_image, write_image
from liveportrait import AnimationOptions, Animator, Expression, load_engine
from models.matte import PersonMatte
from models.topology import LIPS_INNER
from models.tracker import FaceTracker

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "assets" / "sample"
sys.path.append(str(ROOT / "tools"))

import quality  # noqa: E402
from measuring import eyes, motion, mouth, pairs, pictures, same, stillness, tables, turning  # noqa: E402
from measuring.clips import Track, frame_at, part_of, read  # noqa: E402
from measuring.heads import Head  # noqa: E402
from measuring.program import Program  # noqa: E402


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_image(SAMPLE / "portrait.jpg").rgb


@pytest.fixture(scope="module")
def head(photo: np.ndarray) -> Head:
    return Head(FaceTracker().detect(photo)[0])


def painted(
    picture: np.ndarray, head: Head, part: tuple[slice, slice], colour: tuple[float, float, float]
) -> np.ndarray:
    """The picture with a part of the inside of the mouth, in shares of its box, in another colour."""
    lips = head.points[list(LIPS_INNER)]
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(lips).astype(np.int32)], 1)
    low, size = lips.min(0), np.ptp(lips, 0)
    box = np.zeros_like(inside)
    rows, columns = part
    y0, y1, x0, x1 = (
        round(float(low[axis] + share * size[axis]))
        for axis, share in ((1, rows.start), (1, rows.stop), (0, columns.start), (0, columns.stop))
    )
    box[y0:y1, x0:x1] = 1
    out = picture.copy()
    out[(inside & box) > 0] = colour
    return out


def test_slab_and_teeth(photo: np.ndarray, head: Head) -> None:
    """The sample smiles with teeth."""
    lip = mouth.upper_lip(head)
    clean = mouth.inside(photo, head, lip)
    x, y = np.round(head.points[50]).astype(int)
    gum = tuple(0.8 * photo[y, x] * (1.0, 0.75, 0.75))
    broken = mouth.inside(painted(photo, head, (slice(0, 0.75), slice(0, 1)), gum), head, lip)
    assert clean.teeth_share > 0.25
    assert clean.slab < 0.03
    assert broken.slab > 0.1
    assert broken.teeth_share < 0.6 * clean.teeth_share


def test_wedge(photo: np.ndarray, head: Head) -> None:
    lip = mouth.upper_lip(head)
    clean = mouth.inside(photo, head, lip)
    for side in (slice(0, 0.4), slice(0.6, 1)):
        broken = mouth.inside(painted(photo, head, (slice(0, 1), side), (20, 10, 12)), head, lip)
        assert broken.wedge > clean.wedge + 0.05


def test_shut_lips_have_no_inside() -> None:
    picture = frame_at(SAMPLE / "driving.mp4", 0)
    shut = Head(FaceTracker().detect(picture)[0])
    assert mouth.inside(picture, shut, mouth.upper_lip(shut)).area == 0


def test_pair_figures_are_in_excess_of_the_driver(head: Head) -> None:
    teeth = mouth.Inside(height=0.1, area=0.03, teeth=0.015, slab=0.02, wedge=0.02)
    sights = [eyes.Eyes(np.zeros(2), np.full(2, 0.3), 0.0)] * 8
    driver = Track([head] * 8, [teeth] * 8, sights, 0.05)
    assert pairs.compare(driver, driver).numbers["slab"] == 0
    bad = replace(teeth, slab=0.3, wedge=0.2, teeth=0.006)
    result = pairs.compare(driver, Track([head] * 8, [teeth] * 5 + [bad] * 3, sights, 0.05))
    assert result.numbers["slab"] > 0.2
    assert result.numbers["wedge"] > 0.15
    assert result.worst["slab"] == 5
    assert result.numbers["teeth_ratio"] == pytest.approx((5 * 0.015 + 3 * 0.006) / (8 * 0.015))


def looking(gain: tuple[float, float], left: float, yaw: float) -> list[eyes.Eyes]:
    """Forty frames that look about and blink; the left eye stays open by that share."""
    out = []
    for i in range(40):
        gaze = np.array([0.3 * np.sin(i / 3) * gain[0], 0.2 * np.cos(i / 4) * gain[1]])
        blink = i % 10 == 0
        out.append(eyes.Eyes(gaze, np.array([0.3 * left, 0.02]) if blink else np.full(2, 0.3), yaw))
    return out


def test_gaze_and_lids() -> None:
    driver, result = looking((1, 1), 0.05, 0), looking((0.5, 1.2), 0.7, 24)
    assert eyes.gaze_gain(driver, result) == pytest.approx((0.5, 1.2))
    still = [replace(one, gaze=np.zeros(2)) for one in driver]
    assert eyes.gaze_gain(still, result) == (None, None)
    left = eyes.lids(driver, result)
    assert left["left 20+"] == (pytest.approx((0.7 * 0.3 - eyes.READ_SHUT) / (0.3 - eyes.READ_SHUT)), 4)
    assert left["right 20+"][0] < 0.1
    assert "left 0-10" not in left


def turned(head: Head, yaw: float, gap: float) -> Head:
    """The head turned by so many degrees about its own axis, the lower half of the lips dropped by so many pixels."""
    points = head.face.points.copy()
    points[[14, 87, 317]] += (0, gap, 0)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    middle = points.mean(0)
    spin = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return Head(replace(head.face, points=((points - middle) @ spin.T + middle).astype(np.float32)))


def test_motion(head: Head) -> None:
    swing = [(10 * np.sin(i / 4), 6 + 6 * np.cos(i / 3)) for i in range(40)]
    driver = [turned(head, yaw, gap) for yaw, gap in swing]
    exact = motion.compare(driver, driver)
    assert exact["corr_lip"] == pytest.approx(1)
    assert exact["gain_head"] == pytest.approx(1)
    assert exact["rot_err_p95"] < 0.1
    weak = motion.compare(driver, [turned(head, 0.5 * yaw, 0.5 * gap) for yaw, gap in swing])
    assert weak["gain_head"] == pytest.approx(0.5, abs=0.1)
    assert weak["gain_lip"] == pytest.approx(0.5, abs=0.1)
    assert 4 < weak["rot_err_p95"] < 6
    late = motion.compare(driver, [turned(head, *swing[max(0, i - 6)]) for i in range(40)])
    assert late["corr_lip"] < 0.5
    assert late["corr_head"] < 0.5
    assert motion.compare(driver, [None] * 40)["corr_lip"] is None


def test_lids_are_read_from_pictures(photo: np.ndarray, head: Head) -> None:
    animator = Animator(load_engine("mesh"), AnimationOptions(), Expression({"wink_left": 1.0}))
    wink = Head(FaceTracker().detect(animator.frame(animator.scene(photo, [head.face])))[0])
    left, right = eyes.Eyes.of(wink).opening
    assert left < 0.5 * right


def test_mouths_beside_each_other(photo: np.ndarray, head: Head) -> None:
    exact = mouth.alike(photo, photo, head)
    assert (exact.l1, exact.detail) == (0, 1)
    assert exact.ssim == pytest.approx(1)
    soft = mouth.alike(photo, cv2.GaussianBlur(photo, (0, 0), 4), head)
    assert soft.detail < 0.6
    assert soft.ssim < 0.95
    toothless = mouth.alike(photo, painted(photo, head, (slice(0, 1), slice(0, 1)), (40, 20, 20)), head)
    assert toothless.ssim < 0.97
    assert toothless.l1 > 3


def test_background_inside_the_face(photo: np.ndarray, head: Head) -> None:
    matte = PersonMatte()(photo)
    colours = pictures.Palette.of(photo, head, matte)
    assert colours.foreign(photo, head) < 0.005
    torn = photo.copy()
    x, y = np.round(head.points[205]).astype(int)
    torn[y - 25 : y + 25, x - 15 : x + 15] = np.median(photo[matte < 0.02], axis=0)
    assert colours.foreign(torn, head) > 0.01
    whole, broken = (turning.inside_face(photo, head, picture, head) for picture in (photo, torn))
    assert whole["psnr"] > broken["psnr"] + 5
    assert whole["ssim"] > broken["ssim"]


def test_still_face() -> None:
    rest = np.tile(np.random.default_rng(1).uniform(0, 300, (1, 478, 2)), (30, 1, 1))
    assert stillness.wander(rest) == (0, 0, 0)
    shaken = rest + np.random.default_rng(2).normal(0, 0.3, rest.shape)
    mean, worst, step = stillness.wander(shaken)
    assert 0.8 < mean < worst
    assert step > 0.3


def test_still_background(photo: np.ndarray, head: Head) -> None:
    matte = PersonMatte()(photo)
    texture = (
        np.random.default_rng(1).uniform(-60, 60, (photo.shape[0] // 8, photo.shape[1] // 8, 1)).astype(np.float32)
    )
    pattern = cv2.resize(texture, photo.shape[1::-1])[..., None]
    wall = np.clip(photo + (1 - matte[..., None]) * pattern, 0, 255).astype(np.uint8)
    still = pictures.Still(wall, head, matte)
    assert still.change(wall) == 0
    assert still.shift(wall) < 0.1
    moved = np.roll(wall, 2, axis=1)
    assert still.change(moved) > 3
    assert still.shift(moved) == pytest.approx(2, abs=0.4)


def test_still_driver_is_the_same_each_time(tmp_path: Path) -> None:
    stillness.FRAMES, frames = 3, stillness.FRAMES
    try:
        one, two = (stillness.still_driver(SAMPLE / "driving.mp4", 0, 2.0, tmp_path / n, seed=1) for n in "ab")
    finally:
        stillness.FRAMES = frames
    first = [read_image(path).rgb.astype(int) for path in sorted(one.iterdir())]
    assert np.abs(first[0] - first[1]).std() > 1
    assert all(
        (a.read_bytes() == b.read_bytes()) for a, b in zip(sorted(one.iterdir()), sorted(two.iterdir()), strict=True)
    )


def test_open_frame(tmp_path: Path) -> None:
    track = read(part_of(SAMPLE, "driving@0-40", tmp_path))
    index = same.source_frame(track, "open")
    assert track.lips[index] == pytest.approx(np.nanmax(track.lips), abs=0.05)
    assert same.source_frame(track, "first") == 0
    assert len(track.heads) == 40


def test_tables() -> None:
    rows = [("a", {"x": 1.0, "y": None}), ("b", {"x": 2.0, "y": 3.0})]
    text = tables.table(rows, {"x": 1, "y": 2}, groups={"role": rows[:1]})
    means = ["| **role, mean of 1** | **1.0** | **-** |", "| **mean of 2** | **1.5** | **3.00** |"]
    assert text.splitlines()[2:] == ["| a | 1.0 | - |", "| b | 2.0 | 3.00 |", *means]
    pooled = tables.pool([{"left 0-10": (0.2, 1)}, {"left 0-10": (0.5, 2), "right 20+": (1.0, 1)}])
    assert pooled["left 0-10"] == (pytest.approx(0.4), 3)
    assert tables.lid_table(pooled).splitlines()[2:] == ["| left | 0.40 (3) | - |", "| right | - | 1.00 (1) |"]


def test_seeded_portraits_and_the_former_command(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i:03d}.jpg").touch()
    line = ["turns", "--portraits", str(tmp_path), "--count", "4", "--seed", "7"]
    drawn = quality.drawn(quality.parse(line))
    assert drawn == quality.drawn(quality.parse(line))
    assert len(drawn) == 4
    assert {path.stem[-1] for path in drawn} <= set("78")
    former = quality.parse(["--score", "s.py", "--sources", "a", "--drivings", "b", "--pairs", "s0:d3", "--limit", "5"])
    assert (former.command, former.limit, former.pairs) == ("pairs", 5, "s0:d3")


def test_a_pair_from_end_to_end(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "me.jpg", cv2.resize(photo, (320, 400), interpolation=cv2.INTER_AREA))
    out = tmp_path / "out"
    quality.main(
        ["pairs", "--sources", str(tmp_path / "photos"), "--drivings", str(SAMPLE), "--pairs", "me:driving@10-18",
         "--out", str(out), "--jobs", "1"]
    )  # fmt: skip
    figures = json.loads((out / "quality.json").read_text(encoding="utf-8"))["rows"]["me x driving@10-18"]
    assert figures["read"] == 1
    assert set(pairs.COLUMNS) <= set(figures)


def test_a_failed_command_is_told() -> None:
    with Program() as program, pytest.raises(RuntimeError, match="ended with 2"):
        program("edit", "--no-such-flag")
