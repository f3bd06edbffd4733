"""Live: several faces of a portrait move together, and parts of the face follow clips of their own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_stubs import WAIT, Context, Shown, StubResources
from posed_films import write_vowel

import assets
from app.choices import Subject
from app.errors import CancelledError
from app.events import CancelToken, EventStream
from app.frames.channels import opened_driver, read_channel
from app.frames.voices import Manner, open_track
from app.live import LiveFrame, LiveSession, file_source
from app.live.parts import PartDrivers, PartLoader
from app.media.images import write_image
from app.options import RenderOptions
from app.render import Job, render
from liveportrait import DrivingChannel, driving
from liveportrait.engines import load_engine
from liveportrait.expression import Expression
from liveportrait.placed import centred_handles
from liveportrait.placed_file import PlacedFile
from models.tracker import FaceTracker

SAMPLE = Path(str(assets.__file__)).parent / "sample"


@pytest.fixture(scope="module")
def head(astronaut: np.ndarray) -> np.ndarray:
    return cv2.resize(astronaut[0:270, 90:360], (224, 224), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def files(head: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rest.png, open.png (mouth open), talk/ (rest, then open), pair.png (two faces)."""
    folder = tmp_path_factory.mktemp("parts")
    write_image(folder / "rest.png", head)
    options = RenderOptions.from_values({"output": str(folder / "open.png"), "sliders": "lip_open=0.8"})
    render(Job(folder / "rest.png", Path(), options), EventStream(), CancelToken())
    (folder / "talk").mkdir()
    for number in range(6):
        name = "rest.png" if number < 3 else "open.png"
        (folder / "talk" / f"{number}.png").write_bytes((folder / name).read_bytes())
    write_image(folder / "pair.png", np.concatenate([head, head[:, ::-1]], axis=1))
    return folder


def moved(frame: LiveFrame, where: tuple[slice, ...] = ()) -> float:
    return float(np.abs(frame.picture[where].astype(int) - frame.source[where]).mean())


def test_faces_of_a_portrait_move_together(files: Path) -> None:
    left, right = np.s_[:, :224], np.s_[:, 224:]
    shown = Shown()
    with LiveSession(RenderOptions.from_values({"face": "all"})) as session:
        session.add_sink(shown)
        session.add_portrait("pair", files / "pair.png")
        session.set_driver(file_source(files / "open.png"))
        session.start()
        frame = shown.wait(lambda f: f.seen)
        assert moved(frame, left) > 1
        assert moved(frame, right) > 1
        session.set_options(RenderOptions.from_values({"face": "left"}))
        shown.wait(lambda f: moved(f, left) > 1 and moved(f, np.s_[:, 336:]) < 0.1)
        assert session.draw_error is None


def test_a_portrait_with_a_face_placed_by_hand(files: Path, tmp_path: Path) -> None:
    """On a wall no face is found; a placed one moves, also in the smaller picture of a live session."""
    write_image(tmp_path / "wall.png", np.full((300, 400, 3), (190, 170, 140), np.uint8))
    placed = tmp_path / "wall.landmarks.json"
    placed.write_text(PlacedFile(400, 300, centred_handles(200, 150, 260)).to_text(), encoding="utf-8")
    shown = Shown()
    with LiveSession(RenderOptions.from_values({"smooth": 0, "mark": "metadata"})) as session:
        session.add_sink(shown)
        session.add_portrait("wall", tmp_path / "wall.png", subject=Subject(landmarks=placed))
        session.add_portrait("clip", files / "talk", subject=Subject(landmarks=placed))
        session.set_live(replace(session.live, picture_size=200))
        session.set_expression(Expression({"lip_open": 1.0}))
        session.start()
        frame = shown.wait(lambda f: f.source.shape[:2] == (150, 200) and moved(f) > 0.1)
        assert moved(frame, np.s_[:, :50]) == 0
        assert session.wait_for(lambda: session.portrait("clip").status == "failed", WAIT)
        assert "is for photos, and talk is a clip" in str(session.portrait("clip").error)


def test_lips_from_another_clip(files: Path) -> None:
    """The driver is at rest; the lips follow a clip once it is read, and the driver again when it is taken away."""
    mouth = np.s_[125:150, 95:130]
    shown = Shown()
    with LiveSession(RenderOptions.from_values({"smooth": 0, "reference": "first"})) as session:
        session.add_sink(shown)
        session.add_portrait("one", files / "rest.png")
        session.set_driver(file_source(SAMPLE / "driving.mp4"))
        session.set_options(
            RenderOptions.from_values(
                {"region": "lip", "lips_from": str(files / "talk"), "smooth": 0, "reference": "first"}
            )
        )
        session.start()
        shown.wait(lambda f: f.seen)
        parts = session.parts
        assert session.wait_for(lambda: parts.current is not None, WAIT)
        shown.wait(lambda f: moved(f, mouth) > 6)
        session.set_options(RenderOptions.from_values({"region": "lip", "smooth": 0, "reference": "first"}))
        assert session.settle()
        assert parts.current is None


def test_parts_are_joined_by_time(files: Path, tmp_path: Path) -> None:
    engine, tracker = load_engine("mesh"), FaceTracker()
    options = RenderOptions.from_values({"smooth": 0, "reference": "first"})

    def channel(name: str) -> DrivingChannel:
        with opened_driver(files / name, options, engine, further=True) as clip:
            return read_channel(files / name, clip, engine, tracker, options, CancelToken(), further=True)

    talk, still = channel("talk"), channel("rest.png")
    voice = open_track(write_vowel(tmp_path / "voice.wav", 0.24, start=0.1))
    assert voice is not None
    parts = PartDrivers(engine, {"lip": talk}, {voice.path: voice.opened()})
    rest = still.track.motion(0)
    lips = np.asarray(engine.regions["lip"], bool)
    opened, spoken = [], []
    for number in range(8):
        joined, own = parts.join(driving.Shown(rest, rest), 50.0 + number / 25, Manner(idle=0.0))
        np.testing.assert_array_equal(joined.motion.delta[0][~lips], rest.delta[0][~lips])
        opened.append(float(np.abs(joined.motion.delta[0][lips] - joined.reference.delta[0][lips]).max()))
        spoken.append(own[voice.path].expression)
        assert joined.expression is None  # the voice is another face's
    assert opened[0] == opened[6] == 0  # it starts over
    assert spoken[6:] == spoken[:2]
    assert spoken[5].lip_ratio > 0.1 > spoken[0].lip_ratio
    assert max(opened[:3]) < 0.3 * min(opened[3:6])
    assert talk.track.duration == Fraction(6, 25)
    talk.close()


def test_what_can_not_be_read_is_told_and_the_rest_goes_on(files: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no clip" * 99)
    context = Context(resources=StubResources(FaceTracker))
    loader = PartLoader(context)
    values = {"lips_from": str(tmp_path / "text.mp4"), "eyes_from": str(files / "open.png")}
    loader.want(load_engine("mesh"), RenderOptions.from_values(values))
    assert context.renewed.wait(WAIT)
    assert len(context.said) == 1
    assert context.said[0].startswith("Lips from text.mp4: ")
    assert loader.current is not None
    loader.task.cancel()


def test_reading_stops_when_it_is_told_to(files: Path) -> None:
    token = CancelToken()
    token.cancel()
    options, engine = RenderOptions(), load_engine("mesh")
    with opened_driver(files / "talk", options, engine) as clip, pytest.raises(CancelledError):
        read_channel(files / "talk", clip, engine, FaceTracker(), options, token)


def test_drivers_of_parts_are_told_by_region() -> None:
    options = RenderOptions.from_values({"pose_from": "a", "lips_from": "b"})
    assert options.input.part_drivers == {"pose": Path("a"), "lip": Path("b")}
