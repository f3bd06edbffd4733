"""`animate models import FOLDER`: an official tree is recognised, checked and remembered."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from app.cli.main import main
from app.errors import ExitCode
from models.registry import ModelError, get_model
from models.weights import AbsentError, find_model, import_folder, import_model, verify

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder."""
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "mine"))
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "config"))
    return tmp_path / "mine"


def put(path: Path, word: str) -> None:
    """A small file with the form of a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", word)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """pretrained_weights with human weights, and both releases for animals."""
    root = tmp_path / "there" / "pretrained_weights"
    for model in ("liveportrait/human", "liveportrait/animals"):
        for file in get_model(model).files:
            put(root / file.name, file.name)
    for file in get_model("liveportrait/human").files[:4]:
        put(root / "liveportrait_animals/base_models" / Path(file.name).name, "the first release")
    return root


@pytest.mark.parametrize("link", [False, True])
def test_official_tree(tree: Path, folder: Path, link: bool) -> None:
    taken, faults = import_folder(tree, link)
    assert set(taken) == {"liveportrait/human", "liveportrait/animals"}
    assert faults == {}
    for model in taken:
        for file, path in zip(get_model(model).files, find_model(model), strict=True):
            assert path == folder / file.name
            assert path.is_symlink() == link
            assert zipfile.ZipFile(path).read("data.pkl").decode() == file.name
        assert all(status.ok and "unchanged since it was installed" in status.message for status in verify(model))
    assert not list(folder.rglob("*.part"))


def test_a_file_that_changes_later_is_found_out(tree: Path, folder: Path) -> None:
    import_folder(tree)
    path = find_model("liveportrait/human")[1]
    put(path, "something else, as whole as before")
    states = {status.path: status for status in verify("liveportrait/human")}
    assert states[path].state == "wrong hash"
    assert "changed since it was installed" in states[path].message
    assert sum(not status.ok for status in states.values()) == 1
    import_folder(tree)
    assert all(status.ok for status in verify("liveportrait/human"))


def test_a_damaged_record_is_no_obstacle(tree: Path, folder: Path) -> None:
    import_folder(tree)
    for text in ("", "[]", "{", json.dumps({get_model("liveportrait/human").files[0].name: {"size": "x"}})):
        (folder / "hashes.json").write_text(text)
        assert all(status.ok for status in verify("liveportrait/human"))


def test_flat_folders_are_human(tree: Path, folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for file in get_model("liveportrait/human").files:
        put(flat / Path(file.name).name, file.name)
    assert set(import_folder(flat)[0]) == {"liveportrait/human"}


def test_animals_alone_are_not_taken_for_human(tree: Path, folder: Path) -> None:
    for file in get_model("liveportrait/human").files[:4]:
        (tree / file.name).unlink()
    assert set(import_folder(tree)[0]) == {"liveportrait/animals"}
    with pytest.raises(ModelError):
        find_model("liveportrait/human")


def test_what_is_broken_is_told_and_the_rest_taken(tree: Path, folder: Path) -> None:
    (tree / "liveportrait/base_models/warping_module.pth").write_bytes(POINTER)
    taken, faults = import_folder(tree)
    assert set(taken) == {"liveportrait/animals"}
    assert "Git LFS pointer" in faults["liveportrait/human"]
    (tree / "liveportrait/base_models/warping_module.pth").unlink()
    assert "no file warping_module.pth" in import_folder(tree)[1]["liveportrait/human"]


def test_folders_without_models(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="contains none of the models"):
        import_folder(tmp_path)
    with pytest.raises(ModelError, match="is not a folder"):
        import_folder(tmp_path / "none")
    with pytest.raises(AbsentError, match="has no file"):
        import_model("liveportrait/animals", tmp_path)


def test_import_verb(tree: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "liveportrait/base_models/warping_module.pth").write_bytes(POINTER)
    assert main(["models", "import", str(tree)]) == ExitCode.ERROR
    shown = capsys.readouterr()
    assert "liveportrait/animals: 5 files" in shown.out
    assert "liveportrait/human was not imported" in shown.err
    assert "Git LFS pointer" in shown.err
    assert main(["models", "import", str(tree), "--model", "liveportrait/human"]) == ExitCode.MISSING
    put(tree / "liveportrait/base_models/warping_module.pth", "x")
    assert main(["models", "import", str(tree), "--link"]) == ExitCode.OK
    capsys.readouterr()
    assert main(["models", "where", "liveportrait/*"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("mine")
    assert len(lines) == 11
    assert main(["models", "list", "liveportrait/human"]) == ExitCode.OK
    assert "here    liveportrait/human" in capsys.readouterr().out
    assert main(["models", "import", str(tree.parent.parent / "none")]) == ExitCode.MISSING
