"""Playing of clips and templates: every knob shows exactly the frame that it names; on the test's own clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stubs import StubEngine

from app.clip_options import WHOLE, Part
from app.errors import AppError, UsageError
from app.media.images import write_image
from app.media.writer import ClipWriter
from app.sources.named import file_source, source_from_text
from app.sources.playback import Playback
from app.sources.player import ClipFrames, Player, TemplateFrames
from app.sources.sample import Sample
from liveportrait.template import save_track
from liveportrait.track import MotionTrack

COUNT, RATE = 72, Fraction(30000, 1001)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Knobs(Playback):
    """A playback whose waiting takes no time: it moves the clock, or lets the test turn a knob."""

    def __init__(self, clock: Clock, **how: Any) -> None:
        super().__init__(**how)
        self.clock = clock
        self.later: list[Any] = []

    def wait(self, seconds: float | None, stop: threading.Event) -> None:
        if seconds is None:
            assert self.later, "it stands still for ever"
            self.later.pop(0)()
        else:
            self.clock.now += seconds


@pytest.fixture(scope="module", params=[".mkv", ".mp4"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that hold their number as brightness, 2.4 seconds."""
    path = Path(tmp_path_factory.mktemp("player") / f"numbers{request.param}")
    with ClipWriter(path, (64, 32), RATE, quality=100) as writer:
        for i in range(COUNT):
            writer.write(np.full((32, 64, 3), 20 + 3 * i, np.uint8))
        writer.finish()
    return path


@pytest.fixture
def play(clip: Path) -> Iterator[Any]:
    made = []

    def make(part: Part = WHOLE, rate: Fraction | None = None, **how: Any) -> tuple[Player, Knobs, Clock]:
        clock = Clock()
        knobs = Knobs(clock, **how)
        player = Player(lambda: ClipFrames(clip, part, rate), knobs, clock)
        player.open()
        made.append(player)
        return player, knobs, clock

    yield make
    for player in made:
        player.close()


def number(captured: Sample | None) -> int:
    """Which frame of the clip it is, by its brightness."""
    assert captured is not None
    assert captured.rgb is not None
    return round((float(captured.rgb.mean()) - 20) / 3)


def test_plays_at_its_pace_over_and_over(play: Any) -> None:
    player, knobs, clock = play()
    seen = [(number(player.read()), clock.now) for _ in range(COUNT + 3)]
    assert [n for n, _ in seen] == [*range(COUNT), 0, 1, 2]
    assert seen[COUNT - 1][1] == pytest.approx(float((COUNT - 1) / RATE), abs=1e-3)
    assert seen[COUNT][1] == pytest.approx(float(COUNT / RATE), abs=2e-3)  # the last frame has its full time
    assert knobs.place.time == pytest.approx(float(2 / RATE), abs=1e-3)
    assert float(knobs.place.duration) == pytest.approx(float(COUNT / RATE), abs=0.04)


def test_another_rate_shows_what_is_on_screen_then(play: Any) -> None:
    player, knobs, clock = play(rate=Fraction(10))
    seen = [(number(player.read()), clock.now) for _ in range(30)]
    shown = [int(k * RATE / 10) for k in range(25)]
    assert [n for n, _ in seen] == [*[n for n in shown if n < COUNT], *shown[: 30 - sum(n < COUNT for n in shown)]]
    assert [at for _, at in seen[:24]] == pytest.approx([k / 10 for k in range(24)])
    knobs.seek(Fraction(1, 2))
    assert number(player.read()) == int(RATE / 2)


def test_a_still_is_given_once_and_held(tmp_path: Path) -> None:
    write_image(tmp_path / "face.png", np.full((8, 8, 3), 90, np.uint8))
    source = file_source(tmp_path / "face.png")
    player = source.make(lambda: 0.0, StubEngine())
    player.open()
    sample = player.read()
    assert sample is not None and sample.place == 0 and sample.rgb is not None  # noqa: PT018
    assert (source.kind, source.file, int(sample.rgb.mean())) == ("still", tmp_path / "face.png", 90)
    player.cancel()
    assert player.read() is None


def test_a_clip_that_is_named_has_a_neutral_frame_to_be_found(clip: Path) -> None:
    source = source_from_text(str(clip))
    player = source.make(lambda: 0.0, StubEngine())
    player.open()
    sample = player.read()
    player.close()
    assert sample is not None
    assert (source.kind, source.file, sample.place) == ("video", clip, 0)


@pytest.mark.parametrize("wanted", [0, 1, 17, 61, 66, COUNT - 1])
def test_seek_shows_exactly_that_frame(play: Any, wanted: int) -> None:
    player, knobs, _ = play()
    player.read()
    knobs.pause(True)
    knobs.seek(wanted / RATE)
    captured = player.read()
    assert number(captured) == wanted
    assert captured is not None
    assert captured.jump
    assert round(knobs.place.time * RATE) == wanted


def test_seek_beyond_the_end_shows_the_last_frame(play: Any) -> None:
    player, knobs, _ = play()
    player.read()
    knobs.pause(True)
    knobs.seek(999)
    assert number(player.read()) == COUNT - 1


def test_of_many_seeks_the_last_one_counts_and_playing_goes_on_from_it(play: Any) -> None:
    player, knobs, clock = play()
    player.read()
    for wish in (10, 50, 30):
        knobs.seek(wish / RATE)
    before = clock.now
    assert [number(player.read()) for _ in range(3)] == [30, 31, 32]
    assert clock.now - before == pytest.approx(2 / float(RATE), abs=2e-3)


def test_steps_go_frame_by_frame_and_stand_still(play: Any) -> None:
    player, knobs, _ = play()
    for _ in range(5):
        last = number(player.read())
    seen = []
    for step in (1, 1, -1, -1, -1, 3, -2):
        knobs.step(step)
        seen.append(number(player.read()))
    assert seen == [last + n for n in (1, 2, 1, 0, -1, 2, 0)]
    assert knobs.paused
    knobs.seek(0)
    assert number(player.read()) == 0
    knobs.step(-1)  # there is nothing before it: it stands still until something else is asked for
    knobs.later.append(lambda: knobs.step(1))
    assert number(player.read()) == 1


def test_steps_within_a_late_part(play: Any) -> None:
    player, knobs, _ = play()
    player.read()
    knobs.pause(True)
    knobs.seek(70 / RATE)
    assert number(player.read()) == 70
    for wanted in (69, 68, 67):
        knobs.step(-1)
        assert number(player.read()) == wanted


def test_pause_stands_still_and_goes_on_without_a_leap(play: Any) -> None:
    player, knobs, clock = play()
    assert [number(player.read()) for _ in range(3)] == [0, 1, 2]
    knobs.pause(True)

    def go_on() -> None:
        clock.now += 100.0
        knobs.pause(False)

    knobs.later.append(go_on)
    assert [number(player.read()) for _ in range(3)] == [3, 4, 5]


def test_without_a_loop_it_ends_on_the_last_frame_and_plays_again_from_the_first(play: Any) -> None:
    player, knobs, _ = play(loop=False)
    for _ in range(COUNT):
        last = number(player.read())
    assert last == COUNT - 1
    knobs.later.append(lambda: knobs.pause(False))
    assert number(player.read()) == 0
    assert not knobs.paused
    assert number(player.read()) == 1


FIRST, LAST = 30, 45  # a part: its first frame, and the one after its last


def a_part(first: int | None = FIRST, last: int | None = LAST) -> Part:
    """Between the stamps of frames, as people type times."""
    return (None if first is None else (first - Fraction(1, 2)) / RATE, None if last is None else last / RATE)


def test_a_part_plays_over_and_over_on_a_time_line_of_its_own(play: Any) -> None:
    player, knobs, clock = play(a_part())
    seen = [(number(player.read()), clock.now) for _ in range(LAST - FIRST + 3)]
    assert [n for n, _ in seen] == [*range(FIRST, LAST), FIRST, FIRST + 1, FIRST + 2]
    assert seen[LAST - FIRST][1] == pytest.approx(float((LAST - FIRST) / RATE), abs=2e-3)
    assert knobs.place.time == pytest.approx(float(2 / RATE), abs=1e-3)
    assert float(knobs.place.duration) == pytest.approx(float((LAST - FIRST) / RATE), abs=2e-3)


def test_the_knobs_stay_within_a_part(play: Any) -> None:
    player, knobs, _ = play(a_part())
    player.read()
    knobs.pause(True)
    for wanted, shown in ((0, FIRST), (7, FIRST + 7), (999, LAST - 1)):
        knobs.seek(wanted / RATE)
        assert number(player.read()) == shown
    knobs.step(-1)
    assert number(player.read()) == LAST - 2
    knobs.seek(2 / RATE)
    assert number(player.read()) == FIRST + 2
    seen = []
    for _ in range(2):
        knobs.step(-1)
        seen.append(number(player.read()))
    assert seen == [FIRST + 1, FIRST]


def test_without_a_loop_a_part_ends_on_its_last_frame(play: Any) -> None:
    player, knobs, _ = play(a_part(), loop=False)
    seen = [number(player.read()) for _ in range(LAST - FIRST)]
    knobs.later.append(lambda: knobs.pause(False))
    assert [*seen, number(player.read())] == [*range(FIRST, LAST), FIRST]


@pytest.mark.parametrize(("first", "last", "shown"), [(60, None, range(60, COUNT)), (None, 5, range(5)),
                                                      (60, 999, range(60, COUNT))])  # fmt: skip
def test_a_part_may_have_one_end(play: Any, first: int | None, last: int | None, shown: range) -> None:
    player, knobs, _ = play(a_part(first, last))
    assert [number(player.read()) for _ in range(len(shown) + 1)] == [*shown, shown[0]]
    assert float(knobs.place.duration) == pytest.approx(float(len(shown) / RATE), abs=0.04)


def test_a_part_behind_the_end_is_told(clip: Path) -> None:
    player = Player(lambda: ClipFrames(clip, (Fraction(100), None)), Playback(), lambda: 0.0)
    with pytest.raises(AppError, match="has no frame from 100 s on"):
        player.open()
    player.close()


def test_a_part_of_a_template(tmp_path: Path) -> None:
    engine = StubEngine()
    path = tmp_path / "a.motion"
    track = MotionTrack()
    for k in range(20):
        track.append(Fraction(k, 10), engine._motion(float(k)) if k != 5 else None)
    save_track(path, track, Fraction(10), reference=2)
    track.close()
    source = TemplateFrames(path, engine, (Fraction(45, 100), Fraction(1)))  # frames 5 to 9
    assert (source.duration, source.rate) == (Fraction(1, 2), 10)
    assert [time for time, _ in source.frames(Fraction(0))] == [Fraction(k, 10) for k in range(5)]
    assert [time for time, _ in source.frames(Fraction(3, 10))] == [Fraction(3, 10), Fraction(4, 10)]
    with pytest.raises(UsageError, match="the template has no frame from 3 s"):
        TemplateFrames(path, engine, (Fraction(3), None))


@pytest.mark.parametrize("late", [0.25, 5.0])
def test_without_a_loop_it_ends_on_the_last_frame_however_late(play: Any, late: float) -> None:
    player, knobs, clock = play(loop=False)
    for _ in range(COUNT - 3):
        player.read()
    clock.now += late
    while (seen := number(player.read())) < COUNT - 1:
        assert seen >= COUNT - 3
    knobs.later.append(lambda: knobs.pause(False))
    assert number(player.read()) == 0  # it stood still and began anew
    assert number(player.read()) == 1


def test_late_frames_are_left_out_and_a_long_sleep_is_forgotten(play: Any) -> None:
    player, _, clock = play()
    player.read()
    clock.now += 10 / float(RATE)
    assert number(player.read()) > 5
    clock.now += 60.0
    following = number(player.read())
    assert number(player.read()) == following + 1


def test_cancel_ends_a_player_that_stands_still(clip: Path) -> None:
    knobs = Playback()
    player = Player(lambda: ClipFrames(clip), knobs, lambda: 0.0)
    player.open()
    assert number(player.read()) == 0
    knobs.pause(True)
    got: list[Sample | None] = []
    thread = threading.Thread(target=lambda: got.append(player.read()))
    thread.start()
    player.cancel()
    thread.join(60)
    assert got == [None]
    assert player.cancelled
    player.close()
