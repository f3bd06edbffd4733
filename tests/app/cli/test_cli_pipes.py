"""``-`` for standard input and standard output, through real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.cli import streams
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.reader import open_clip

ROOT = Path(__file__).resolve().parents[3]
RUN = (sys.executable, "-c", "import sys; from app.cli.main import main; sys.exit(main())")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def piped(*words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    stdin = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    return subprocess.run([*RUN, *words], check=False, capture_output=True, env=ENVIRONMENT, timeout=120, **stdin)


def frames(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    with open_clip(path) as clip:
        return [(frame.time, frame.rgb) for frame in clip]


def test_clip_in_and_clip_out(run_cli: Callable, here: Path) -> None:
    """The same frames, times and sound as with files, in fragments, and nothing but the clip."""
    done = piped("in/photo.jpg", "-", "-o", "-", data=(here / "in/clip.mp4").read_bytes())
    assert done.returncode == 0, done.stderr
    assert b"Wrote standard output (12 frames" in done.stderr
    assert done.stdout[4:8] == b"ftyp"
    assert b"moof" in done.stdout
    (here / "piped.mp4").write_bytes(done.stdout)
    assert run_cli("in/photo.jpg", "in/clip.mp4", "-o", "file.mp4").code == 0
    ours, theirs = frames(here / "piped.mp4"), frames(here / "file.mp4")
    assert [time for time, _ in ours] == [time for time, _ in theirs]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(ours, theirs, strict=True))
    assert AudioSource("piped.mp4").present


def test_pictures_go_through_as_png(run_cli: Callable, here: Path) -> None:
    done = piped("-", "in/other.jpg", "-o", "-", "-q", data=(here / "in/photo.jpg").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    (here / "piped.png").write_bytes(done.stdout)
    assert read_image("piped.png").format == "PNG"
    assert run_cli("in/photo.jpg", "in/other.jpg", "-o", "file.png").code == 0
    np.testing.assert_array_equal(read_image("piped.png").rgb, read_image("file.png").rgb)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["in/photo.jpg", "-", "-o", "-", "--codec", "gif"], b"GIF89a"),
        (["retouch", "-", "-o", "-"], b"\x00\x00\x00\x1cftyp"),
        (["in/photo.jpg", "-", "-o", "-", "--codec", "prores"], b"\x00\x00\x00\x14ftypqt"),
    ],
    ids=["gif", "mp4", "mov"],
)
def test_formats_of_standard_output(here: Path, words: list[str], start: bytes) -> None:
    done = piped(*words, "-q", data=(here / "in/clip.mp4").read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(start)


def test_templates_come_in_by_pipe(listing: Callable, here: Path) -> None:
    assert piped("template", "make", "-", data=(here / "in/clip.mp4").read_bytes()).returncode == 0
    assert listing() == ["stdin.motion"]
    data = (here / "stdin.motion").read_bytes()
    done = piped("in/photo.jpg", "-", "-o", "-", data=data)
    assert done.returncode == 0, done.stderr
    assert b"moof" in done.stdout


@pytest.mark.parametrize(
    ("words", "data", "code", "text"),
    [
        (["-", "-"], b"x", 2, "only once"),
        (["in/photo.jpg", "-"], b"", 1, "Standard input is empty"),
        (["in/photo.jpg", "-"], b"no clip at all", 1, "standard input "),
        (["in/photo.jpg", "in/clip.mp4", "-o", "-", "--json"], None, 2, "--json and -o -"),
        (["in/photo.jpg", "in/clip.mp4", "-o", "-", "--side-by-side"], None, 2, "--side-by-side"),
        (["in/photo.jpg", "in/clip.mp4", "-o", "-", "--codec", "png"], None, 2, "--codec"),
        (["in/photo.jpg", "in/clip.mp4", "--lips-from", "-"], None, 2, "--lips-from"),
        (["in/photo.jpg", "in/clip.mp4", "--config", "-"], None, 2, "--config"),
        (["template", "make", "in/clip.mp4", "-o", "-"], None, 2, "--output"),
        (["template", "show", "-"], None, 2, "FILE"),
        (["live", "-", "--no-window"], None, 2, "PHOTO"),
        (["live", "in/photo.jpg", "--no-window", "--camera", "-"], None, 2, "--camera"),
        (["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--record", "-"], None, 2, "--record"),
        (["batch", "--sources", "-", "--drivings", "in/clip.mp4"], None, 2, "--sources"),
        (["batch", "--sources", "in/photo.jpg", "--drivings", "in/clip.mp4", "-o", "-"], None, 2, "--output"),
    ],
)  # fmt: skip
def test_what_can_not_be_piped_gets_one_sentence(
    listing: Callable, words: list[str], data: bytes | None, code: int, text: str
) -> None:
    done = piped(*words, data=data)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.decode().splitlines()) == 1
    assert text in done.stderr.decode()
    assert str(Path.cwd()) not in done.stderr.decode()
    assert "portrait-animate-" not in done.stderr.decode()
    assert listing() == []


def test_a_long_input_has_a_limit(
    run_cli: Callable, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streams, "LIMIT", 1 << 20)
    (tmp_path / "long").write_bytes(bytes(3 << 20))
    with (tmp_path / "long").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        done = run_cli("in/photo.jpg", "-")
    assert (done.code, done.err) == (
        1, "animate: error: Standard input is longer than 1 MiB. Save it as a file and name that.\n"
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("driving", ["in/clip.mp4", "in/other.jpg"])
def test_a_reader_that_goes_ends_the_work_without_a_word(here: Path, listing: Callable, driving: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*RUN, "in/photo.jpg", driving, "-o", "-", "-q"],
            check=False, stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=120,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (4, b"")
    assert listing() == []


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals of POSIX")
def test_terminals_are_no_files(here: Path) -> None:
    control, terminal = os.openpty()
    try:
        for words, text in ((("in/photo.jpg", "-"), b"input"), (("in/photo.jpg", "in/clip.mp4", "-o", "-"), b"output")):
            done = subprocess.run(
                [*RUN, *words], check=False, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=ENVIRONMENT,
                timeout=120,
            )  # fmt: skip
            assert done.returncode == 2, done.stderr
            assert b"Standard " + text + b" is a terminal" in done.stderr
    finally:
        os.close(control)
        os.close(terminal)
