"""A clip as a camera: paced by its own time stamps or a rate, looped, late frames left out; on the test's own clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import MediaError
from app.media.camera import CameraError, Shot
from app.media.filecamera import FileCamera
from app.media.writer import ClipWriter

COUNT, RATE = 10, Fraction(25)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, _: threading.Event, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten grey pictures, each 20 brighter than the one before, the left half black."""
    path = tmp_path_factory.mktemp("camera") / "grey.mkv"
    with ClipWriter(path, (64, 32), RATE, quality=100) as writer:
        for i in range(COUNT):
            picture = np.full((32, 64, 3), 20 + 20 * i, np.uint8)
            picture[:, :32] = 0
            writer.write(picture)
        writer.finish()
    return path


@pytest.fixture
def make(clip: Path) -> Iterator[Any]:
    made = []

    def camera(**how: Any) -> tuple[FileCamera, Clock]:
        clock = Clock()
        cam = FileCamera(clip, clock=clock, wait=clock.wait, **how)
        cam.open()
        made.append(cam)
        return cam, clock

    yield camera
    for cam in made:
        cam.close()


def number(shot: Shot) -> int:
    return round((int(shot.rgb[16, 48, 0]) - 20) / 20)


def take(cam: FileCamera, count: int) -> list[Shot]:
    shots = [cam.read() for _ in range(count)]
    assert None not in shots
    return shots  # type: ignore[return-value]


def test_plays_in_real_time_and_starts_over(make: Any) -> None:
    cam, _ = make()
    shots = take(cam, 2 * COUNT + 3)
    assert [number(s) for s in shots] == [i % COUNT for i in range(2 * COUNT + 3)]
    assert [s.index for s in shots] == [i % COUNT for i in range(2 * COUNT + 3)]
    assert [s.time for s in shots] == pytest.approx([i / 25 for i in range(2 * COUNT + 3)])
    assert [i for i, s in enumerate(shots) if s.jump] == [0, COUNT, 2 * COUNT]
    assert cam.missed == 0
    assert cam.facts.measured.rate == pytest.approx(25)
    assert (cam.facts.reported.width, cam.facts.reported.rate) == (64, 25)


def test_other_rate_shows_what_is_on_screen_then(make: Any) -> None:
    cam, _ = make(rate=Fraction(50))
    shots = take(cam, 4 * COUNT)
    assert [s.time for s in shots] == pytest.approx([i / 50 for i in range(4 * COUNT)])
    assert [number(s) for s in shots] == [i // 2 % COUNT for i in range(4 * COUNT)]
    assert [i for i, s in enumerate(shots) if s.jump] == [0, 2 * COUNT]
    cam, _ = make(rate=Fraction(30))
    shots = take(cam, 24)
    assert [number(s) for s in shots] == [i * 25 // 30 % COUNT for i in range(24)]
    assert cam.facts.measured.rate == pytest.approx(30)


def test_late_frames_are_left_out(make: Any) -> None:
    cam, clock = make()
    take(cam, 2)
    clock.now = 0.2  # frame 2 was due at 0.08, frame 5 is on screen
    shot = cam.read()
    assert number(shot) in (4, 5)
    assert cam.missed in (2, 3)
    take(cam, 3)
    assert clock.now < 0.4


def test_goes_on_after_a_long_sleep(make: Any) -> None:
    cam, clock = make()
    take(cam, 2)
    clock.now += 1000
    assert [number(s) for s in take(cam, 3)] == [2, 3, 4]
    assert clock.now == pytest.approx(1000.04 + 0.08)


def test_without_loop_the_last_picture_stays(make: Any) -> None:
    cam, clock = make(loop=False)
    shots = take(cam, COUNT)
    assert number(shots[-1]) == COUNT - 1
    before = clock.now
    assert cam.read() is None
    assert clock.now > before + 60  # it waited until somebody cancelled


def test_mirror(make: Any) -> None:
    cam, _ = make(mirror=True)
    shot = cam.read()
    assert shot.rgb[16, 16, 0] > 10 > shot.rgb[16, 48, 0]


def test_cancel_and_reopen(make: Any) -> None:
    cam, _ = make()
    take(cam, 3)
    cam.open()
    assert number(cam.read()) == 0
    cam.cancel()
    assert cam.read() is None
    cam.close()
    with pytest.raises(CameraError):
        cam.read()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"none\.mp4"):
        FileCamera(tmp_path / "none.mp4").open()
