"""Signed credentials: written by every writer that can, read back, and missing without harm."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections import namedtuple
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media_clips import SIZE, picture

from app.cli import main as cli
from app.errors import UsageError
from app.media import files
from app.media.images import write_image
from app.media.writer import ClipWriter
from app.provenance import credentials, keys
from app.provenance.inspect import inspect
from app.provenance.mark import FULL, Marking

INSTALLED = not credentials.missing()
needs_c2pa = pytest.mark.skipif(not INSTALLED, reason=f"{credentials.missing()} is not installed")
NAMES = ["a.mp4", "a.mov", "a.gif", "a.png", "a.jpg", "a.webp", "a.tif", "a.mkv", "a.webm"]


@pytest.fixture(autouse=True)
def _config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path_factory.mktemp("config")))


def write(path: Path, marking: Marking = FULL, **options: Any) -> ClipWriter:
    stills = (".png", ".jpg", ".webp", ".tif")
    with ClipWriter(path, SIZE, Fraction(25), hardware="none", marking=marking, **options) as writer:
        for k in range(1 if path.suffix in stills and "%" not in path.name else 3):
            writer.write(picture(k, SIZE))
        writer.finish()
    return writer


@needs_c2pa
@pytest.mark.parametrize("name", NAMES)
def test_every_writer_signs_and_one_changed_bit_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write(path).notes == []
    beside = path.suffix in credentials.BESIDE
    found = inspect(path)
    assert found.credentials is not None
    assert (found.credentials.state, found.credentials.beside, found.credentials.trusted) == ("valid", beside, False)
    assert found.credentials.says_ai
    assert found.metadata.says_ai
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, *([f"{name}.c2pa"] if beside else [])]
    data = bytearray(path.read_bytes())
    at = data.rfind(b"mdat") + 8 if b"ftyp" in data[:12] else len(data) - 60  # not in the manifest's own padding
    data[at] ^= 1
    path.write_bytes(data)
    assert inspect(path).altered
    assert cli.main(["inspect", str(path)]) == 5


@needs_c2pa
def test_nothing_private_is_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "secret-folder-name"
    folder.mkdir()
    path = folder / "secret-file-name.mp4"
    write(path, Marking(engine="mesh"))
    data = path.read_bytes()
    assert b"secret" not in data
    assert str(Path.home()).encode() not in data
    assert len(data) < 20_000  # three small frames and the manifest: no thumbnail
    signer = keys.own_folder() / keys.SIGNER
    assert b"PRIVATE KEY" in signer.read_bytes()
    if os.name != "nt":
        assert stat.S_IMODE(signer.stat().st_mode) == 0o600


@needs_c2pa
def test_credentials_of_the_source_are_kept(tmp_path: Path) -> None:
    import c2pa

    write(tmp_path / "photo.jpg")
    write(tmp_path / "out.png", Marking(source=tmp_path / "photo.jpg"))
    with (tmp_path / "out.png").open("rb") as stream:
        report = json.loads(c2pa.Reader("image/png", stream).json())
    active = report["manifests"][report["active_manifest"]]
    assert [one["relationship"] for one in active["ingredients"]] == ["parentOf"]
    actions = active["assertions"][0]["data"]["actions"]
    assert [one["action"] for one in actions] == ["c2pa.opened", "c2pa.edited"]
    assert len(report["manifests"]) == 2
    assert inspect(tmp_path / "out.png").credentials.state == "valid"  # type: ignore[union-attr]


@needs_c2pa
def test_own_certificate(tmp_path: Path) -> None:
    chain, key = keys.make_pair()
    (tmp_path / "c.pem").write_bytes(chain)
    (tmp_path / "k.pem").write_bytes(key)
    write(tmp_path / "a.png", Marking(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem")))
    assert inspect(tmp_path / "a.png").credentials.state == "valid"  # type: ignore[union-attr]
    assert not keys.own_folder().exists()


@pytest.mark.parametrize(
    ("marking", "words"),
    [
        (Marking(certificate="c.pem"), "--signing-key is missing"),
        (Marking(key="k.pem", certificate="none.pem"), "none.pem can't be read"),
        (Marking(certificate=__file__, key=__file__), "not a PEM file"),
    ],
)
def test_own_certificate_is_checked_first(tmp_path: Path, marking: Marking, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        write(tmp_path / "a.mp4", marking)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["c2pa", "cryptography"])
def test_without_the_package_the_metadata_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "signed.png")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))
    assert write(tmp_path / "a.mp4").notes == []
    assert inspect(tmp_path / "a.mp4").metadata.says_ai
    assert inspect(tmp_path / "a.mp4").credentials is None
    if INSTALLED and package == "c2pa":
        assert cli.main(["inspect", str(tmp_path / "signed.png")]) == 0
        assert "needs the package c2pa-python" in capsys.readouterr().out


@needs_c2pa
@pytest.mark.parametrize("fault", ["no room", "no key", "c2pa refuses"])
def test_what_goes_wrong_is_one_sentence_and_the_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    usage = namedtuple("usage", "total used free")
    if fault == "no room":
        monkeypatch.setattr(credentials.shutil, "disk_usage", lambda _: usage(1, 1, 0))
    elif fault == "no key":
        (tmp_path / "config").write_text("a file where a folder is needed")
        monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "config"))
    else:
        monkeypatch.setattr(keys, "signing_pair", lambda _: (b"no certificate", b"no key"))
    notes = write(tmp_path / "a.mp4").notes
    assert len(notes) == 1
    assert "metadata say that AI made" in notes[0]
    assert ("the signing key can't be kept in" in notes[0]) == (fault == "no key")
    assert inspect(tmp_path / "a.mp4").metadata.says_ai
    told: list[str] = []
    write_image(tmp_path / "a.png", picture(0, SIZE), marking=FULL, notes=told)
    assert len(told) == 1
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@needs_c2pa
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_signing_leaves_no_half_file_and_the_next_run_tidies_up(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from fractions import Fraction
import numpy as np
from app.media.writer import ClipWriter
from app.provenance import credentials
credentials._checked = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with ClipWriter({str(tmp_path / "a.mp4")!r}, (64, 64), Fraction(25), hardware="none") as writer:
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.finish()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    left = [p.name for p in tmp_path.iterdir()]
    assert len(left) == 2  # the clip and its signed copy, both hidden
    assert all(files.SCRATCH.fullmatch(name) for name in left)
    write(tmp_path / "a.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@needs_c2pa
def test_no_connection_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    write(tmp_path / "a.mp4")
    assert inspect(tmp_path / "a.mp4").marked


@needs_c2pa
def test_an_old_sidecar_goes_with_its_clip(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv")
    assert credentials.sidecar(tmp_path / "a.mkv").is_file()
    write(tmp_path / "a.mkv", Marking("metadata"), overwrite=True)
    assert not credentials.sidecar(tmp_path / "a.mkv").exists()
