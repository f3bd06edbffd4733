"""The same clip by command line, queue, Python, live session and the window's source: the same frames to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from posed_films import write_films, write_vowel

from app.cli.main import main
from app.events import CancelToken, EventStream
from app.expressions import expression_from
from app.gui.live_source import live_source
from app.gui.session import Driver, Session
from app.jobs import Entry, Queue
from app.jobs.renderer import JobRenderer
from app.live import DriverSource, LiveFrame, LiveSession, PreviewSink, Sample, Source
from app.live_options import LiveOptions
from app.media.images import read_image
from app.media.reader import open_clip
from app.media.sound import Voice, sound_of
from app.options import RenderOptions
from app.provenance.watermark import finishing
from app.sources.playback import Playback
from liveportrait import Animator, DrivingChannel, DrivingReader, MotionMix, MotionTrack
from liveportrait.engines import load_engine
from liveportrait.engines.base import Engine
from liveportrait.speech import speaking_track
from models.face import select_face
from models.tracker import FaceTracker

WAIT = 60.0
CLIPS = {"film": ("rest", "open", "nod"), "other": ("nod", "rest", "open")}
PLAIN = {"engine": "mesh"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("mesh")


@pytest.fixture(scope="module")
def files(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.png, pair.png (two faces), the clips film and other, and voice.wav."""
    folder = write_films(tmp_path_factory.mktemp("frames"), astronaut, CLIPS)
    write_vowel(folder / "voice.wav", 0.2, start=0.05)
    return folder


CASES = {
    "sliders and a voice": ("one.png", {"sliders": "smile=0.6,yaw=6", "lips_from": "voice.wav"}),
    "parts": ("one.png", {"lips_from": "other", "pose_from": "nod.png"}),
    "faces": ("pair.png", {"face": "left", "driver_for": "right=other"}),
    "official": ("one.png", {"official": "yes"}),
    "camera": ("one.png", {"smooth": "0", "reference": "first"}),  # live, the clip drives as a camera does
}


def given(files: Path, case: str) -> tuple[Path, dict[str, str]]:
    """Source and option values of a case, with whole paths."""
    source, values = CASES[case]
    whole = {
        k: str(files / v) if k.endswith("_from") else v.replace("=other", f"={files / 'other'}")
        for k, v in values.items()
    }
    return files / source, {**{k: str(v) for k, v in PLAIN.items()}, **whole}


def pictures(folder: Path) -> list[np.ndarray]:
    return [read_image(path).rgb for path in sorted(folder.rglob("*.png"))]


def by_command(files: Path, case: str, folder: Path) -> list[np.ndarray]:
    source, values = given(files, case)
    flags = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value) if word != "yes"]
    assert main([str(source), str(files / "film"), "--output", str(folder / "%02d.png"), "--quiet", *flags]) == 0
    return pictures(folder)


def by_queue(files: Path, case: str, folder: Path) -> list[np.ndarray]:
    source, values = given(files, case)
    with Queue(folder / "queue.sqlite3") as queue:
        checked = RenderOptions.from_values(values).values()
        queue.add([Entry(source, files / "film", str(folder / "%02d.png"), checked, numbered=True)])
        queue.register("w", folder / "scratch")
        job = queue.claim("w")
        assert job is not None
        outcome = JobRenderer(folder / "cache").render(job, EventStream(), CancelToken())
    assert outcome.state == "done", outcome.error
    return pictures(folder)  # hidden until the queue names them


def read(path: Path, engine: Engine, *, steady: bool) -> MotionTrack:
    reader, tracker, track = DrivingReader(engine), FaceTracker(), MotionTrack()
    tracker.steady = steady
    with open_clip(path, film=True) as clip:
        for frame in clip:
            face = tracker.track(frame.rgb)
            track.append(frame.time, None if face is None else reader.read(frame.rgb, face))
    track.duration = len(track) * Fraction(1, 25)
    return track


def by_python(files: Path, case: str, engine: Engine) -> list[np.ndarray]:
    source, values = given(files, case)
    options = RenderOptions.from_values(values)
    tracker, photo = FaceTracker(), read_image(source).rgb
    tracker.steady = not options.animation.official
    expression, finish = expression_from("", options.input.sliders), finishing(options.output.mark)
    animator = Animator(engine, options.animation, expression, finish=finish)
    found = tracker.detect(photo)
    size = photo.shape[1], photo.shape[0]
    subject = options.input.subject
    wanted = [subject.faces.first, *(driver.face for driver in subject.drivers)]
    chosen = [select_face(found, choice, size) for choice in wanted]

    def channel(path: Path, *, further: bool = False) -> DrivingChannel:
        track = read(path, engine, steady=not options.animation.official)
        return DrivingChannel.of(track, engine, options.animation, further=further)

    scene = animator.scene(photo, chosen)
    parts = options.input.part_drivers
    voice = {region: path for region, path in parts.items() if path.suffix == ".wav"}
    others = {region: channel(path, further=True) for region, path in parts.items() if region not in voice}
    spoken = None
    if voice:
        said = Voice(sound_of(voice["lip"]))
        smile = engine.own_smile(scene.faces[0].portrait)
        spoken = speaking_track(said.visemes, 1.0, 0.0, said.seed, smile).without({"smile"})
    mixes = [MotionMix(engine, channel(files / "film"), others, track=spoken, resting=voice)]
    mixes += [MotionMix(engine, channel(one.path, further=True)) for one in subject.drivers]
    frames = []
    for number in range(3):
        shown = [mix.at(Fraction(number, 25)) for mix in mixes]
        squares = [one[0] for one in animator.draw(scene, animator.pose(scene, shown))]
        frames.append(animator.compose(scene, squares).whole())
    return frames


class Stepped(Source):
    """A clip whose next frame comes when the one before has been shown."""

    def __init__(self, path: Path) -> None:
        self._path, self.go, self._stop = path, threading.Semaphore(0), False

    def open(self) -> None:
        self._clip = open_clip(self._path, film=True)
        self._frames = iter(self._clip)

    def read(self) -> Sample | None:
        self.go.acquire()
        frame = None if self._stop else next(self._frames, None)
        return (
            None
            if frame is None
            else Sample(frame.index, float(frame.time), frame.rgb, jump=frame.index == 0, place=frame.time)
        )

    def close(self) -> None:
        self._clip.close()

    def cancel(self) -> None:
        self._stop = True
        self.go.release()


def shown_live(
    files: Path, case: str, engine: Engine, source: DriverSource, step: Callable[[], None], *, plays: bool = False
) -> list[np.ndarray]:
    """Finished frames of the whole clip, each after the one before."""
    photo, values = given(files, case)
    options = RenderOptions.from_values(values)
    came, frames = threading.Condition(), dict[int, LiveFrame]()
    wanted = [read_image(path).rgb for path in sorted((files / "film").iterdir())]

    def take(frame: LiveFrame) -> None:
        with came:
            if frame.driver is not None and frame.fresh:
                frames[next(i for i, one in enumerate(wanted) if np.array_equal(one, frame.driver))] = frame
                came.notify_all()

    with LiveSession(options, LiveOptions(adapt=False), engine=engine) as session:
        session.set_expression(expression_from("", options.input.sliders))
        session.add_portrait("a", photo)
        assert session.wait_for(lambda: session.portrait("a").status != "waiting", WAIT)
        session.add_sink(PreviewSink(take))
        if options.input.part_drivers or options.input.subject.drivers:
            session.start()
            assert session.settle()
            session.parts.task.join(WAIT)
            assert session.parts.current is not None
        session.channel.delay = 0.0
        session.set_driver(source)
        session.start()
        assert session.settle()
        if source.file is not None:
            session.channel.task.join(WAIT)
            assert session.channel.current is not None
            with came:  # a player shows its first frame by itself, perhaps before the channel is known
                assert not plays or came.wait_for(lambda: 0 in frames, WAIT)
                frames.clear()
        for number in range(len(wanted)):
            step()
            with came:
                assert came.wait_for(lambda number=number: number in frames, WAIT)
        assert session.draw_error is None
    return [frames[number].picture for number in range(len(wanted))]


def by_live(files: Path, case: str, engine: Engine) -> list[np.ndarray]:
    stepped = Stepped(files / "film")
    file = None if case == "camera" else files / "film"
    source = DriverSource("video", "film", lambda *_: stepped, file)
    return shown_live(files, case, engine, source, stepped.go.release)


def by_window(files: Path, case: str, engine: Engine) -> list[np.ndarray]:
    playback = Playback()
    playback.pause(True)
    session = Session(driver=Driver("file", str(files / "film")), values=given(files, case)[1])
    source = live_source(session, playback)
    assert source is not None
    steps = iter((lambda: playback.seek(0.0), *[lambda: playback.step(1)] * 2))
    return shown_live(files, case, engine, source, lambda: next(steps)(), plays=True)  # noqa: PLW0108 - another one each time


@pytest.mark.parametrize("case", list(CASES))
def test_every_way_gives_the_same_frames(files: Path, tmp_path: Path, engine: Engine, case: str) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "queue").mkdir()
    wanted = by_command(files, case, tmp_path / "cli")
    assert len(wanted) == 3
    assert max(np.abs(one.astype(int) - wanted[0]).max() for one in wanted) > 20
    ways = {
        "queue": by_queue(files, case, tmp_path / "queue"), "python": by_python(files, case, engine),
        "live": by_live(files, case, engine),
    } | ({} if case == "camera" else {"window": by_window(files, case, engine)})  # fmt: skip
    for way, got in ways.items():
        assert [np.array_equal(ours, one) for ours, one in zip(got, wanted, strict=True)] == [True] * 3, way


def test_an_edit_gives_the_same_picture_every_way(files: Path, tmp_path: Path, engine: Engine) -> None:
    """Without a driver: `animate edit`, a job of the queue, Python, and a session in which only sliders pose."""
    photo, values = files / "pair.png", {"sliders": "smile=0.7,yaw=8", "face": "all", "engine": "mesh"}
    flags = ["--sliders", values["sliders"], "--face", "all", "--engine", "mesh", "--quiet"]
    assert main(["edit", str(photo), "--output", str(tmp_path / "edited.png"), *flags]) == 0
    wanted = read_image(tmp_path / "edited.png").rgb

    with Queue(tmp_path / "queue.sqlite3") as queue:
        checked = RenderOptions.from_values(values).values()
        queue.add([Entry(photo, None, str(tmp_path / "queue" / "one.png"), checked)])
        queue.register("w", tmp_path / "scratch")
        (tmp_path / "queue").mkdir()
        job = queue.claim("w")
        assert job is not None
        assert JobRenderer(tmp_path / "cache").render(job, EventStream(), CancelToken()).state == "done"
    (queued,) = pictures(tmp_path / "queue")

    options, sliders = RenderOptions.from_values(values), expression_from("", values["sliders"])
    animator = Animator(engine, options.animation, sliders, finish=finishing(options.output.mark))
    picture = read_image(photo).rgb
    python = animator.frame(animator.scene(picture, FaceTracker().detect(picture)))

    frames: list[LiveFrame] = []
    with LiveSession(options, LiveOptions(adapt=False), engine=engine) as session:
        session.set_expression(sliders)
        session.add_portrait("a", photo)
        assert session.wait_for(lambda: session.portrait("a").status != "waiting", WAIT)
        came = threading.Event()
        session.add_sink(PreviewSink(lambda frame: (frames.append(frame), came.set())))
        session.start()
        assert came.wait(WAIT)
        assert session.settle()
    assert np.abs(wanted.astype(int) - picture).max() > 20
    for way, got in {"queue": queued, "python": python, "live": frames[-1].picture}.items():
        assert np.array_equal(got, wanted), way
