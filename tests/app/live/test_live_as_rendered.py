"""What the preview of a clip shows is what a render writes: the same neutral frame, the same drivers of faces."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stubs import Context
from posed_films import write_films, write_vowel

from app.choices import Subject
from app.events import Event, EventStream
from app.frames.motion_cache import MotionCache
from app.frames.resources import Resources
from app.live import DriverSource, LiveFrame, LiveSession, PreviewSink, file_source
from app.live.channel import ChannelLoader
from app.live.parts import PartLoader
from app.media.images import read_image
from app.options import RenderOptions
from app.render.job import Job
from app.render.pipeline import render
from app.sources.named import source_from_text
from app.sources.playback import Playback
from liveportrait.channel import ChannelPlayer
from liveportrait.engines import load_engine
from liveportrait.engines.base import Engine

WAIT = 60.0
FILM = ("open", "open", "rest", "rest", "nod", "open")
SAME = 30.0  # dB; the tracker comes from another frame than in the file, which is worth a little
OTHER = ("rest", "nod", "open", "open", "rest", "nod")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("mesh")


@pytest.fixture(scope="module")
def files(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.png, pair.png (two faces), and the clips film and other, of which film does not begin neutral."""
    return write_films(tmp_path_factory.mktemp("same"), astronaut, {"film": FILM, "other": OTHER})


class Shown(PreviewSink):
    """The newest frame, and a way to wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.frame: LiveFrame | None = None
        super().__init__(self._came)

    def _came(self, frame: LiveFrame) -> None:
        with self._changed:
            self.frame = frame
            self._changed.notify_all()

    def wait(self, good: Callable[[LiveFrame], bool]) -> LiveFrame:
        with self._changed:
            assert self.comes(good, WAIT)
            assert self.frame is not None
            return self.frame

    def comes(self, good: Callable[[LiveFrame], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.frame is not None and good(self.frame), seconds)


@pytest.fixture
def live(engine: Engine) -> Iterator[Callable[..., tuple[LiveSession, Shown]]]:
    """Begins sessions that look for neutral frames at once."""
    made = []

    def make(options: RenderOptions, events: list[Event] | None = None) -> tuple[LiveSession, Shown]:
        stream = EventStream() if events is None else EventStream(events.append)
        session, shown = LiveSession(options, engine=engine, events=stream), Shown()
        session.channel.delay = 0.0
        session.add_sink(shown)
        made.append(session)
        return session, shown

    yield make
    for session in made:
        session.close()


def settle(playback: Playback, number: int, shown: Shown, good: Callable[[LiveFrame], bool]) -> None:
    """Seek a frame until it is shown well: the face is followed from the frame before, at last from the same one."""
    for _ in range(round(WAIT)):
        playback.seek(frame_number(number))
        if shown.comes(good, 1.0):
            return
    assert shown.frame is not None
    raise AssertionError(f"frame {number}: seen {shown.frame.seen}, fresh {shown.frame.fresh}, {shown.frame.index}")


def standing(path: Path, playback: Playback) -> DriverSource:
    """A clip as the window plays it."""
    return file_source(path, playback=playback)


def rendered(source: Path, driving: Path, folder: Path, **values: object) -> list[np.ndarray]:
    folder.mkdir()
    options = RenderOptions.from_values({"output": str(folder / "%02d.png"), **values})
    render(Job(source, driving, options))
    return [read_image(path).rgb for path in sorted(folder.iterdir())]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.mean((a.astype(float) - b) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def frame_number(number: int) -> float:
    return float(Fraction(number, 25)) + 0.004


@pytest.mark.parametrize("reference", ["auto", "first", "4"])
def test_frames_of_a_clip_look_as_rendered(files: Path, tmp_path: Path, live: Callable, reference: str) -> None:
    """Each frame, gone to in a pause, is that of the file; the clip's first frame has an open mouth."""
    wanted = rendered(files / "one.png", files / "film", tmp_path / "out", reference=reference)
    playback = Playback()
    playback.pause(True)
    session, shown = live(RenderOptions.from_values({"reference": reference}))
    session.add_portrait("one", files / "one.png")
    session.set_driver(standing(files / "film", playback))
    session.start()
    shown.wait(lambda frame: frame.seen)
    for number in (0, 4, 5, 2):
        picture = read_image(files / "film" / f"{number}.png").rgb

        def there(frame: LiveFrame, picture: np.ndarray = picture, wanted: np.ndarray = wanted[number]) -> bool:
            same = frame.driver is not None and np.array_equal(frame.driver, picture)
            return same and psnr(frame.picture, wanted) > SAME

        settle(playback, number, shown, there)
    if reference != "first":
        other = rendered(files / "one.png", files / "film", tmp_path / "other", reference="first")
        assert max(psnr(other[number], wanted[number]) for number in (0, 2, 5)) < 25  # of another reference
    session.channel.task.join(WAIT)
    assert session.channel.current is not None


def test_a_frame_that_stands_still_takes_the_neutral_frame_when_it_is_known(
    files: Path, tmp_path: Path, live: Callable
) -> None:
    """The way to it is seen on one frame: measured from itself first, then from the neutral one."""
    wanted = rendered(files / "one.png", files / "film", tmp_path / "out", mouth="relative")
    playback = Playback()
    playback.pause(True)
    session, shown = live(RenderOptions.from_values({"mouth": "relative"}))
    session.channel.delay = 3600.0
    session.add_portrait("one", files / "one.png")
    session.set_driver(standing(files / "film", playback))
    session.start()
    before = shown.wait(lambda frame: frame.seen)
    assert psnr(before.picture, before.source) > 40  # the open mouth counts as neutral
    session.channel.delay = 0.0
    session.set_options(RenderOptions.from_values({"mouth": "relative", "driving_face": "1"}))  # it is read now
    after = shown.wait(lambda frame: psnr(frame.picture, wanted[0]) > SAME)
    assert not after.fresh


def test_a_voice_is_shown_as_rendered_and_follows_options_in_a_pause(
    files: Path, tmp_path: Path, live: Callable
) -> None:
    """Lips, head and lids at the same time of the sound; the mouth of a frame that stands still shuts when told to."""
    voice = write_vowel(tmp_path / "voice.wav", 0.24, start=0.1)
    wanted = rendered(files / "one.png", voice, tmp_path / "out", idle="1", fps="25")
    assert len(wanted) == 6
    playback = Playback()
    playback.pause(True)
    session, shown = live(RenderOptions.from_values({"idle": "1"}))
    session.add_portrait("one", files / "one.png")
    session.set_driver(source_from_text(str(voice)))
    session.start()
    shown.wait(lambda frame: frame.seen and session.stats().captured > 2)  # plays
    session.set_driver(standing(voice, playback))
    for number in (5, 2, 4):
        settle(playback, number, shown, lambda frame, goal=wanted[number]: psnr(frame.picture, goal) > 45)
    assert playback.place.duration == Fraction(6, 25)
    assert psnr(wanted[0], wanted[4]) < 40
    session.set_options(RenderOptions.from_values({"idle": "0", "speech_gain": 0}))
    shown.wait(lambda frame: not frame.fresh and psnr(frame.picture, wanted[4]) < 40)


def test_a_channel_is_read_again_when_file_or_rules_change(files: Path, tmp_path: Path, engine: Engine) -> None:
    clip = tmp_path / "clip.png"
    clip.write_bytes((files / "rest.png").read_bytes())
    context = Context(resources=Resources(MotionCache(tmp_path / "cache")))
    loader = ChannelLoader(context)

    def channel(**values: object) -> ChannelPlayer | None:
        loader.want(engine, file_source(clip), RenderOptions.from_values(values))
        loader.task.join(WAIT)
        return loader.current

    first = channel()
    assert first is not None
    assert channel() is first
    assert channel(smooth=9) not in (None, first)
    assert context.resources.read == 1  # the motion is kept
    clip.write_bytes((files / "nod.png").read_bytes())
    os.utime(clip, (1, 1))
    assert channel() is not None
    assert context.resources.read == 2
    assert channel(driving_face="2") is None
    assert "does not exist" in context.said[-1]
    loader.cancel()


def test_reading_ends_when_it_is_told_to(files: Path, engine: Engine) -> None:
    loader = ChannelLoader(Context())
    loader.delay = 3600.0
    loader.want(engine, file_source(files / "film"), RenderOptions())
    assert [thread for thread in threading.enumerate() if thread.name == "live-channel"]
    loader.want(engine, None, RenderOptions())
    assert not [thread for thread in threading.enumerate() if thread.name == "live-channel"]


def test_a_new_neutral_pose_replaces_that_of_the_clip(files: Path, live: Callable) -> None:
    playback = Playback()
    session, shown = live(RenderOptions.from_values({"mouth": "relative"}))
    session.add_portrait("one", files / "one.png")
    session.set_driver(standing(files / "film", playback))
    session.start()
    shown.wait(lambda frame: frame.seen and session.channel.current is not None)
    playback.pause(True)
    settle(playback, 0, shown, lambda frame: psnr(frame.picture, frame.source) < 30)  # an open mouth
    session.recentre(0.0)
    settle(playback, 0, shown, lambda frame: psnr(frame.picture, frame.source) > 40)  # which is neutral from now on


def test_a_bad_choice_of_the_neutral_frame_is_told_and_used(
    files: Path, engine: Engine, live: Callable, messages: Any
) -> None:
    session, shown = live(RenderOptions.from_values({"reference": "first"}), messages)
    session.add_portrait("one", files / "one.png")
    session.set_driver(standing(files / "film", Playback()))
    session.start()
    shown.wait(lambda frame: "Driving frame 0, the neutral reference, is far from neutral" in messages.text)
    assert "frame 2 is the most neutral one" in messages.text or "frame 3 is the most neutral one" in messages.text
    session.set_options(RenderOptions())
    shown.wait(lambda frame: session.channel.current is not None)
    assert messages.text.count("far from neutral") == 1


def test_each_face_follows_its_own_driver_as_in_the_file(files: Path, tmp_path: Path, live: Callable) -> None:
    """The left face follows the film, the right one another clip: the preview has the pixels of the file."""
    own = f"right={files / 'other'}"
    values = {"driver_for": own, "face": "left", "reference": "first"}
    wanted = rendered(files / "pair.png", files / "film", tmp_path / "out", **values)
    playback = Playback()
    playback.pause(True)
    session, shown = live(RenderOptions.from_values({"reference": "first"}))
    session.add_portrait("pair", files / "pair.png", subject=Subject.parse("left", driver_for=own))
    session.set_driver(standing(files / "film", playback))
    session.start()
    for number in (1, 4, 2):
        goal = wanted[number]
        settle(playback, number, shown, lambda frame, goal=goal: frame.seen and psnr(frame.picture, goal) > SAME)
    assert psnr(wanted[1][:, 224:], wanted[2][:, 224:]) < 40
    session.add_portrait("pair", files / "pair.png", subject=Subject.parse("left"))  # taken away: the right face rests
    session.select_portrait("pair")
    shown.wait(lambda frame: psnr(frame.picture[:, 300:], frame.source[:, 300:]) > 60)
    assert session.draw_error is None


def test_a_driver_that_plays_is_not_read_again_when_another_joins(files: Path, engine: Engine) -> None:
    context = Context()
    loader = PartLoader(context)
    loader.want(engine, RenderOptions(), [files / "other"])
    assert context.renewed.wait(WAIT)
    first = loader.current
    assert first is not None
    context.renewed.clear()
    loader.want(engine, RenderOptions.from_values({"lips_from": str(files / "rest.png")}), [files / "other"])
    assert context.renewed.wait(WAIT)
    assert loader.current is not None
    assert first.channels[0] in loader.current.channels
    assert len(loader.current.channels) == 2
    loader.task.cancel()
