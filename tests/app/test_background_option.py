"""--background: people cut out of photo and clip, with what is laid behind them following the animated head."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.choices import Background
from app.errors import AppError, UsageError
from app.frames.backgrounds import out_of_focus
from app.frames.scene import SceneMaker
from app.frames.timings import Timings
from app.jobs.hashes import settled
from app.media.clip import Frame
from app.media.images import read_image, write_image
from app.option_files import named_files
from app.options import RenderOptions, find_option
from app.presets import read_settings
from app.provenance.mark import UNMARKED
from app.render.output import PictureWriter
from liveportrait.animator import Animator, Scene
from liveportrait.engines.mesh.engine import MeshEngine
from liveportrait.expression import Expression
from models.tracker import FaceTracker

SIZE = 320
HEAD = 190  # rows of it that show head and neck
MAGENTA, GREEN = (230, 20, 230), (0, 255, 0)
TURNED = Expression({"yaw": 20.0, "roll": 8.0})


class Plain(MeshEngine):
    """An engine that draws no alpha, like the networks."""

    alpha = False

    def render(self, portrait: Any, x_d: Any) -> Any:
        return super().render(portrait, x_d)[..., :3]


MESH, TRACKER = MeshEngine(), FaceTracker()  # they load at first use


def scene_of(picture: np.ndarray, engine: MeshEngine = MESH, **values: Any) -> tuple[Scene, list[str]]:
    alpha = picture[..., 3] if picture.shape[2] == 4 else None
    maker = SceneMaker(engine, TRACKER, RenderOptions.from_values(values), "photo")
    return maker.still(Frame(0, Fraction(0), np.ascontiguousarray(picture[..., :3]), alpha)), maker.notes


def turned(scene: Scene, engine: MeshEngine = MESH) -> np.ndarray:
    return Animator(engine, expression=TURNED).frame(scene)


@pytest.fixture(scope="module")
def head(astronaut: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE, 3) head and shoulders."""
    return np.ascontiguousarray(cv2.resize(astronaut[:340, 60:400], (SIZE, SIZE), interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def cut(head: np.ndarray) -> np.ndarray:
    """The same with its person cut out."""
    return scene_of(head, background="transparent")[0].picture


@pytest.fixture(scope="module")
def before_magenta(cut: np.ndarray) -> np.ndarray:
    """The person before a background whose colour nothing else has."""
    share = cut[..., 3:] / 255
    return np.rint(cut[..., :3] * share + (1 - share) * MAGENTA).astype(np.uint8)


def like(picture: np.ndarray, colour: tuple[int, int, int], near: int = 60) -> np.ndarray:
    """(H, W) where a picture is of about a colour."""
    return np.abs(picture[..., :3].astype(int) - colour).max(axis=2) < near


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("keep", "keep"),
        ("blur", "blur"),
        ("transparent", "transparent"),
        ("#00FF00", "colour"),
        ("b/sky.png", "image"),
    ],
)
def test_words_of_the_option(text: str, kind: str) -> None:
    assert find_option("background").check(text) == text
    assert Background.parse(text).kind == kind
    named = named_files(RenderOptions.from_values({"background": text}).values())
    assert named == ([Path(text)] if kind == "image" else [])  # so that no result replaces it


@pytest.mark.parametrize("text", ["bluur", "#12345", "-", "https://example.org/sky.png"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="background"):
        RenderOptions.from_values({"background": text})


@pytest.mark.parametrize(
    ("values", "colour"),
    [
        ({}, (255, 255, 255)), ({"background": "#102030"}, (16, 32, 48)), ({"background": "transparent"}, GREEN),
        ({"background": "transparent", "fill": "#0000ff"}, (0, 0, 255)), ({"background": "blur"}, (255, 255, 255)),
    ],
)  # fmt: skip
def test_colour_of_borders_and_clear_parts(values: dict[str, Any], colour: tuple[int, int, int]) -> None:
    assert RenderOptions.from_values(values).output.fill_colour == colour


@pytest.mark.parametrize("engine", [MeshEngine, Plain])
def test_nothing_of_the_background_stays_at_a_turned_head(before_magenta: np.ndarray, engine: type[MeshEngine]) -> None:
    """Neither a rim of its colour around the hair, nor the outline of the head at rest."""
    used = engine()
    scene, notes = scene_of(before_magenta, used, background="#00ff00")
    assert notes == []
    assert scene.picture.shape == (SIZE, SIZE, 3)
    for shown in (scene.picture, turned(scene, used)):
        red, green, blue = (shown[:HEAD, :, channel].astype(int) for channel in range(3))
        assert ((red - green > 70) & (blue - green > 70)).sum() <= 0.003 * HEAD * SIZE
        assert like(shown, GREEN)[:60, :60].all()
    left, right = (like(one, GREEN) for one in (scene.picture, turned(scene, used)))
    assert (left & ~right).sum() > 150  # the head is somewhere else now,
    assert (right & ~left).sum() > 150  # and where it was is free


def test_alpha_follows_the_head(head: np.ndarray, cut: np.ndarray) -> None:
    scene, _ = scene_of(head, background="transparent")
    shown = turned(scene)
    assert shown.shape == (SIZE, SIZE, 4)
    assert (shown[..., 3] == 255).mean() == pytest.approx((cut[..., 3] == 255).mean(), abs=0.05)
    assert (np.abs(shown[..., 3].astype(int) - cut[..., 3]) > 128).sum() > 300
    soft = (cut[..., 3] > 10) & (cut[..., 3] < 245)
    assert 0.005 < soft.mean() < 0.2  # hair has an edge that is neither hard nor a veil


def test_person_stays_as_the_photo_shows_it(head: np.ndarray, cut: np.ndarray) -> None:
    scene, _ = scene_of(head, background="#00ff00")
    whole = cut[..., 3] == 255
    assert np.array_equal(scene.picture[whole], head[whole])
    assert np.array_equal(Animator(MESH).frame(scene), scene.picture)


def test_background_out_of_focus_shows_nobody(cut: np.ndarray) -> None:
    grey = cut.copy()
    clear = cut[..., 3] == 0
    grey[..., :3][clear] = (120, 130, 140)
    soft = out_of_focus(grey)
    assert np.abs(soft.astype(int) - (120, 130, 140)).max() <= 3


def test_picture_fills_the_frame(tmp_path: Path, before_magenta: np.ndarray) -> None:
    behind = np.zeros((40, 160, 3), np.uint8)
    behind[:, 60:100] = (10, 60, 200)
    write_image(tmp_path / "sky.png", behind)
    scene, _ = scene_of(before_magenta, background=str(tmp_path / "sky.png"))
    assert like(scene.picture, (10, 60, 200), 12)[:40, :40].all()
    with pytest.raises(AppError, match=r"gone\.png"):
        scene_of(before_magenta, background=str(tmp_path / "gone.png"))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UsageError, match=r"--background: .*text\.png is not an image"):
        scene_of(before_magenta, background=str(tmp_path / "text.png"))


def test_source_with_clear_parts_was_cut_out_already(cut: np.ndarray) -> None:
    scene, _ = scene_of(cut, background="#0000ff")
    clear = cut[..., 3] == 0
    assert (scene.picture[clear] == (0, 0, 255)).all()
    assert scene_of(cut)[0].picture.shape[2] == 4  # kept by default


@pytest.mark.parametrize(("word", "channels"), [("#00ff00", 3), ("transparent", 4)])
def test_frame_without_anybody_shows_what_is_behind(head: np.ndarray, word: str, channels: int) -> None:
    """A clip may show nobody for a while; its frames stay of one kind."""
    empty = np.full_like(head, (90, 110, 130))
    maker = SceneMaker(MESH, TRACKER, RenderOptions.from_values({"background": word}), "clip")
    frames = [(Fraction(i), Frame(i, Fraction(i), rgb)) for i, rgb in enumerate((head, empty))]
    seen, bare = (scene for _, scene in maker.moving(frames, Timings()))
    assert seen.faces
    assert not bare.faces
    assert seen.picture.shape == bare.picture.shape == (SIZE, SIZE, channels)
    assert like(bare.picture, GREEN).all() if channels == 3 else not bare.picture[..., 3].any()


def test_picture_is_found_from_elsewhere(tmp_path: Path) -> None:
    """Of a job that is carried out in another folder, and of a preset that it lies beside."""
    assert settled({"background": "sky.png"}, tmp_path)["background"] == str(tmp_path / "sky.png")
    assert settled({"background": "blur"}, tmp_path)["background"] == "blur"
    write_image(tmp_path / "sky.png", np.zeros((4, 4, 3), np.uint8))
    preset = tmp_path / "studio.toml"
    preset.write_text('schema_version = 1\n[options]\nbackground = "sky.png"\n')
    assert read_settings(preset, preset=True).values["background"] == str(tmp_path / "sky.png")


@pytest.mark.parametrize(("name", "kept"), [("a.png", True), ("a.webp", True), ("a.jpg", False)])
def test_picture_without_transparency_says_so(tmp_path: Path, name: str, kept: bool, cut: np.ndarray) -> None:
    writer = PictureWriter(tmp_path / name, 90, GREEN, False, UNMARKED)
    writer.write(np.ascontiguousarray(cut[..., :3]), alpha=np.ascontiguousarray(cut[..., 3]))
    writer.finish()
    assert any("transparency" in note for note in writer.notes) is not kept
    seen = read_image(tmp_path / name)
    assert seen.alpha is not None if kept else like(seen.rgb, GREEN, 8)[:40, :40].all()
