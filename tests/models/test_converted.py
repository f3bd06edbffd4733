"""Checkpoints are converted once they have proved right, and found again by what they hold."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from liveportrait.networks.loading import load_networks  # noqa: E402
from models.converted import converted_folder, converted_of, find_converted, list_converted, save_converted  # noqa: E402
from models.registry import ModelError, get_model  # noqa: E402
from models.weights import record_loaded, recorded, verify  # noqa: E402

NAMES = ("stitching", "lip", "eye")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "converted"


@pytest.fixture
def checkpoint(tmp_path: Path, state: Callable[[str], dict[str, Any]]) -> Path:
    """The official stitching file: three small networks."""
    parts = zip(("retarget_shoulder", "retarget_mouth", "retarget_eye"), NAMES, strict=True)
    path = tmp_path / "own" / "stitching_retargeting_module.pth"
    path.parent.mkdir()
    torch.save({part: {f"module.{k}": v for k, v in state(name).items()} for part, name in parts}, path)
    return path


def load(path: Path) -> dict[str, Any]:
    return load_networks(dict.fromkeys(NAMES, path), convert=True)


def assert_right(networks: dict[str, Any], state: Callable[[str], dict[str, Any]]) -> None:
    assert tuple(networks) == NAMES
    for name in NAMES:
        got, wanted = networks[name].state_dict(), state(name)
        assert list(got) == list(wanted)
        assert all(torch.equal(got[key], value) for key, value in wanted.items())


def refuse_torch(*_: object, **__: object) -> None:
    raise AssertionError("the original was read")


def test_the_second_load_reads_the_conversion(
    cache: Path, checkpoint: Path, state: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint.read_bytes(), checkpoint.stat().st_mtime_ns
    assert find_converted(checkpoint) is None
    assert_right(load(checkpoint), state)
    kept = converted_of(checkpoint)
    assert kept is not None
    assert kept.parent == cache == converted_folder()
    assert sorted(p.name for p in cache.iterdir()) == sorted([kept.name, "sources.json"])
    monkeypatch.setattr(torch, "load", refuse_torch)
    assert_right(load(checkpoint), state)
    copy = checkpoint.with_name("copy.pth")  # another file of the same content has the same conversion
    copy.write_bytes(before[0])
    assert_right(load(copy), state)
    assert (checkpoint.read_bytes(), checkpoint.stat().st_mtime_ns) == before
    assert len(list_converted()) == 1
    assert set(list_converted()[0].sources) == {checkpoint, copy}


@pytest.mark.parametrize("fault", ["flipped", "cut", "empty"])
def test_a_damaged_conversion_is_made_again(cache: Path, checkpoint: Path, state: Callable, fault: str) -> None:
    load(checkpoint)
    kept = converted_of(checkpoint)
    assert kept is not None
    good = kept.read_bytes()
    bad = bytearray(good)
    bad[len(good) // 2] ^= 4
    kept.write_bytes({"flipped": bytes(bad), "cut": good[: len(good) // 2], "empty": b""}[fault])
    assert not list_converted()[0].whole
    assert_right(load(checkpoint), state)
    assert converted_of(checkpoint) == kept
    assert kept.read_bytes() == good
    assert list_converted()[0].whole


def test_what_another_version_left_is_not_believed(cache: Path, checkpoint: Path, state: Callable) -> None:
    """A conversion that is whole, but holds something else, yields to the original."""
    from safetensors.torch import save_file

    load(checkpoint)
    save_converted(checkpoint, lambda part: save_file({"lip/mlp.0.weight": torch.zeros(3)}, part))
    for old in list_converted():
        if old.path.stat().st_size > 1000:
            old.path.unlink()
    assert_right(load(checkpoint), state)


def test_a_changed_checkpoint_is_converted_anew(cache: Path, checkpoint: Path, state: Callable) -> None:
    load(checkpoint)
    first = converted_of(checkpoint)
    content = torch.load(checkpoint, weights_only=True)
    content["retarget_mouth"]["module.mlp.0.bias"] += 1
    torch.save(content, checkpoint)
    bias = load(checkpoint)["lip"].state_dict()["mlp.0.bias"]
    assert torch.equal(bias, state("lip")["mlp.0.bias"] + 1)
    second = converted_of(checkpoint)
    assert second != first
    assert [one.path for one in list_converted()] == [second]  # nobody holds the old content any more


def test_a_bad_checkpoint_is_never_converted(cache: Path, checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["retarget_mouth"]["module.mlp.0.bias"][0] = float("nan")
    torch.save(content, checkpoint)
    with pytest.raises(ModelError, match="not numbers"):
        load(checkpoint)
    assert not list_converted()


def test_nowhere_to_write(checkpoint: Path, state: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "file"))
    assert_right(load(checkpoint), state)
    assert list_converted() == []


def test_a_disk_that_fills_up_leaves_nothing(cache: Path, checkpoint: Path) -> None:
    def fails(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    assert save_converted(checkpoint, fails) is None
    assert [p.name for p in cache.iterdir()] == ["sources.json"]


def test_leftovers_of_a_dead_process_go(cache: Path, checkpoint: Path) -> None:
    cache.mkdir(parents=True)
    for name, age in ((".1-1.part", 7200), (".2-2.part", 10)):
        (cache / name).write_bytes(b"half")
        when = (cache / name).stat().st_mtime - age
        os.utime(cache / name, (when, when))
    load(checkpoint)
    assert sorted(p.name for p in cache.glob(".*")) == [".2-2.part"]


def test_without_safetensors(cache: Path, checkpoint: Path, state: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert_right(load(checkpoint), state)
    assert list_converted() == []
    weights = checkpoint.with_suffix(".safetensors")
    weights.write_bytes(b"\2\0\0\0\0\0\0\0{}")
    with pytest.raises(ModelError, match="needs the package safetensors"):
        load(weights)


def test_hashes_of_installed_files_are_noted_when_they_load(cache: Path, checkpoint: Path) -> None:
    """Files that somebody put into the folder by hand, without import."""
    file = next(f for f in get_model("liveportrait/human").files if "stitching" in f.name)
    target = cache.parent / file.name
    target.parent.mkdir(parents=True)
    target.write_bytes(checkpoint.read_bytes())
    assert recorded(file) is None
    load(target)
    assert recorded(file) is not None
    target.write_bytes(checkpoint.read_bytes()[:-1] + b"!")
    record_loaded([target])  # the first record stays
    states = {status.file.name: status.state for status in verify("liveportrait/human")}
    assert states[file.name] in ("wrong hash", "truncated")


def test_the_command_line_shows_conversions(cache: Path, checkpoint: Path, capsys: pytest.CaptureFixture) -> None:
    from app.cli.main import main

    file = next(f for f in get_model("liveportrait/human").files if "stitching" in f.name)
    target = cache.parent / file.name
    target.parent.mkdir(parents=True)
    target.symlink_to(checkpoint)
    load(target)
    kept = converted_of(target)
    assert kept is not None
    assert main(["models", "where", "liveportrait/*"]) == 0
    assert kept.name in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    assert f"{kept.name} is the conversion of" in capsys.readouterr().out
    kept.write_bytes(kept.read_bytes()[:-1])
    assert main(["models", "verify", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines if line["file"] == kept.name] == ["damaged"]
    assert main(["models", "verify", "detect/*"]) == 0  # of other models
