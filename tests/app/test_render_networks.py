"""Official weights (of the right form, by the recipe) imported and used from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.media.images import read_image, write_image
from app.media.reader import open_clip

pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")


@pytest.fixture(scope="module")
def imported(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Model folder with the weights imported by the command line; those of humans serve as those of animals."""
    from app.cli.main import main

    animals = weights_folder / "liveportrait_animals" / "base_models_v1.1"
    animals.parent.mkdir(exist_ok=True)
    if not animals.exists():
        animals.symlink_to(weights_folder / "liveportrait" / "base_models", target_is_directory=True)
    mine = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAIT_MODELS", str(mine))
        assert main(["models", "import", str(weights_folder), "--model", "liveportrait/human", "--link"]) == 0
        for file in (weights_folder / "liveportrait" / "base_models").iterdir():
            target = mine / "liveportrait_animals" / "base_models_v1.1" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
        yield mine


@pytest.fixture
def tiny(here: Path, head: np.ndarray, imported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two frames of a face: in/two/."""
    monkeypatch.setenv("PORTRAIT_MODELS", str(imported))
    (here / "in" / "two").mkdir()
    for i, picture in enumerate((head, np.ascontiguousarray(head[:, ::-1]))):
        write_image(here / "in" / "two" / f"{i}.png", picture)
    return here


def pixels(path: str) -> np.ndarray:
    return np.asarray(read_image(Path(path)).rgb, np.int16)


def test_photo_by_a_clip_with_everything_on(tiny: Path, run_cli: Callable) -> None:
    done = run_cli(
        "in/photo.jpg", "in/two", "--engine", "torch", "--device", "cpu", "--precision", "fp32", "--lips-from",
        "in/other.jpg", "--sliders", "smile=0.5", "--eye-retargeting", "--lip-retargeting", "--normalize-lip",
        "--reference", "first", "--smooth", "0", "-o", "a-%d.png", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert (result["engine"], result["frames"]) == ("torch", 2)
    first, second = pixels("a-1.png"), pixels("a-2.png")
    assert first.shape == pixels("in/photo.jpg").shape
    assert np.abs(first - second).mean() > 0.2
    corner = np.s_[:4, :4]
    np.testing.assert_array_equal(first[corner], pixels("in/photo.jpg")[corner])


def test_clip_by_a_photo(tiny: Path, run_cli: Callable) -> None:
    done = run_cli("in/two", "in/other.jpg", "--engine", "torch", "--device", "cpu", "--source-eye-normalize",
                   "--official", "--audio", "none", "-o", "a.mp4")  # fmt: skip
    assert done.code == 0, done.err
    with open_clip(Path("a.mp4")) as clip:
        assert sum(1 for _ in clip) == 2


def test_template_of_the_networks_drives_the_networks_only(tiny: Path, run_cli: Callable) -> None:
    made = run_cli("template", "make", "in/other.jpg", "--engine", "torch", "--device", "cpu", "-o", "t.motion", "-q")
    assert made.code == 0, made.err
    assert json.loads(run_cli("template", "show", "t.motion", "--json").out)["family"] == "liveportrait21"
    wrong = run_cli("in/photo.jpg", "t.motion", "--engine", "mesh")
    assert wrong.code == 2
    assert "21 keypoints" in wrong.err or "liveportrait21" in wrong.err
    assert run_cli("in/photo.jpg", "t.motion", "--engine", "torch", "--device", "cpu", "-o", "a.png", "-q").code == 0


def test_edit_and_retouch(tiny: Path, run_cli: Callable) -> None:
    common = ("--engine", "torch", "--device", "cpu", "--no-paste-back", "-q")
    assert run_cli("edit", "in/photo.jpg", "--yaw", "20", "--eyes", "0.1", *common, "-o", "a.png").code == 0
    assert run_cli("retouch", "in/photo.jpg", "--lips", "silent", *common, "-o", "b.png").code == 0
    a, b = pixels("a.png"), pixels("b.png")
    assert a.shape == b.shape == (512, 512, 3)
    assert np.abs(a - b).mean() > 0.5


def test_animals_by_square_and_by_points(tiny: Path, run_cli: Callable, listing: Callable) -> None:
    """The room shows no face at all; a square, or nine points, are enough."""
    networks = ("--engine", "torch", "--device", "cpu", "--precision", "fp32")
    common = ("in/empty_room.jpg", "in/other.jpg", "--animals", *networks, "-q")
    lost = run_cli(*common, "-o", "a.png")
    assert lost.code == 2
    assert "an animal needs a crop set by hand" in lost.err
    assert "CUDA" in lost.err
    points = [(110, 60), (104, 60), (86, 60), (80, 60), (95, 75), (88, 88), (102, 88), (95, 92), (95, 98)]
    Path("nine.txt").write_text("# eyes, nose, mouth\n" + "\n".join(f"{x} {y}" for x, y in points))
    assert run_cli(*common, "--points", "nine.txt", "-o", "b.png").code == 0
    tilted = run_cli(*common, "--crop", "95,80,100,15", "--no-paste-back", "-o", "tilted.png")
    assert tilted.code == 0, tilted.err
    for text, words in (("1 2", "there are 1"), ("a b", "two numbers")):
        Path("bad.txt").write_text(text)
        wrong = run_cli(*common, "--points", "bad.txt", "-o", "c.png")
        assert (wrong.code, words in wrong.err) == (2, True), wrong.err
    assert run_cli(*common, "--points", "none.txt", "-o", "c.png").code == 1
    assert listing() == ["b.png", "bad.txt", "nine.txt", "tilted.png"]
    assert pixels("b.png").shape == pixels("in/empty_room.jpg").shape


def test_wrong_weights_are_one_line(tiny: Path, run_cli: Callable, imported: Path, tmp_path: Path) -> None:
    """A pointer, a half file and one of another network: named as what they are, and nothing is written."""
    import shutil

    mine = tmp_path / "mine"
    shutil.copytree(imported, mine, symlinks=True)
    victim = mine / "liveportrait" / "base_models" / "appearance_feature_extractor.pth"
    good = victim.read_bytes()
    other = (mine / "liveportrait/retargeting_models/stitching_retargeting_module.pth").read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 3\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAIT_MODELS", str(mine))
        for content in (pointer, good[: len(good) // 2], other, b"", b"<!DOCTYPE html><html>no</html>"):
            victim.unlink()
            victim.write_bytes(content)
            done = run_cli("in/photo.jpg", "in/other.jpg", "--engine", "torch", "--device", "cpu", "-o", "a.png")
            assert done.code == 6, done.err
            assert "appearance_feature_extractor" in done.lines[-1]
            assert "Internal error" not in done.err
            assert not Path("a.png").exists()
