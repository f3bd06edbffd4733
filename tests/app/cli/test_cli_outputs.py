"""Addresses, pipes, links and names of inputs on the command line: refused in one sentence, nothing is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

POSIX = pytest.mark.skipif(os.name == "nt", reason="pipes and links need rights on Windows")

WEB = "https://example.org/a/x"


@pytest.mark.parametrize(
    "words",
    [
        [f"{WEB}.jpg", "in/clip.mp4"],
        ["in/photo.jpg", f"{WEB}.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "-o", f"{WEB}.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "--pose-from", f"{WEB}.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "--driver-for", f"left={WEB}.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "--config", f"{WEB}.toml"],
        ["in/photo.jpg", "in/clip.mp4", "--preset", f"{WEB}.toml"],
        ["in/photo.jpg", "in/clip.mp4", "--expression", f"{WEB}.json"],
        ["edit", f"{WEB}.jpg", "--smile", "1"],
        ["edit", "in/photo.jpg", "-o", f"{WEB}.png"],
        ["retouch", f"{WEB}.mp4"],
        ["template", "make", f"{WEB}.mp4"],
        ["template", "make", "in/clip.mp4", "-o", f"{WEB}.motion"],
        ["template", "show", f"{WEB}.motion"],
        ["live", f"{WEB}.jpg", "--no-window"],
        ["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--record", f"{WEB}.mp4"],
        ["batch", f"{WEB}.toml"],
        ["batch", "--sources", f"{WEB}.jpg", "--drivings", "in/clip.mp4", "--dry-run"],
        ["batch", "--sources", "in/photo.jpg", "--drivings", f"{WEB}*.mp4", "--dry-run"],
        ["gui", f"{WEB}.jpg"],
        ["models", "import", WEB],
        ["expression", "save", "a", "smile=1", "-o", f"{WEB}.json"],
    ],
    ids=" ".join,
)
def test_an_address_gets_one_sentence(run_cli: Callable, listing: Callable, words: list[str]) -> None:
    done = run_cli(*words)
    assert done.code == 2, done.err
    assert len(done.err.splitlines()) == 1
    assert f"{WEB}" in done.err
    assert "is a URL, and URLs can't be" in done.err
    assert listing() == []


def test_file_addresses_are_files(run_cli: Callable, listing: Callable, here: Path) -> None:
    source, driving = ((here / "in" / name).as_uri() for name in ("photo.jpg", "other.jpg"))
    assert run_cli(source, driving, "-o", (here / "a b.png").as_uri()).code == 0
    (here / "jobs.toml").write_text(f'source = "{source}"\ndriving = "{driving}"\noutput = "{here.as_uri()}/c.png"\n')
    done = run_cli("batch", "jobs.toml", "--dry-run")
    assert done.code == 0, done.err
    assert done.out.strip().endswith("photo.jpg + in/other.jpg -> c.png".replace("/", os.sep))
    assert listing() == ["a b.png", "jobs.toml"]


@POSIX
@pytest.mark.parametrize("kind", ["pipe", "dangling", "link", "device"])
@pytest.mark.parametrize(
    "words",
    [
        ["in/photo.jpg", "in/clip.mp4", "-o", "{}.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "-o", "{}.gif"],
        ["in/photo.jpg", "in/other.jpg", "-o", "{}.png"],
        ["in/photo.jpg", "in/clip.mp4", "-o", "{}-%05d.png"],
        ["edit", "in/photo.jpg", "-o", "{}.png"],
        ["retouch", "in/clip.mp4", "-o", "{}.mp4"],
        ["template", "make", "in/clip.mp4", "-o", "{}.motion"],
        ["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--record", "{}.mp4"],
        ["expression", "save", "a", "smile=1", "-o", "{}.json"],
    ],
    ids=" ".join,
)
def test_what_is_no_plain_file_is_never_replaced(run_cli: Callable, here: Path, words: list[str], kind: str) -> None:
    name = words[-1].format("out")
    path = here / name.replace("%05d", "00003")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        if words[0] == "expression":
            pytest.skip("a link to a device is one of the links")
        path.symlink_to(os.devnull)
    else:
        path.symlink_to(here / "target")
        if kind == "link":
            (here / "target").write_bytes(b"kept")
    before = os.lstat(path)
    done = run_cli(*words[:-1], name, "--overwrite")
    if words[0] == "expression" and kind == "link":  # settings are often links into another folder: they stay
        assert done.code == 0
        assert path.is_symlink()
        return
    assert done.code == 2, done.err
    assert len(done.err.splitlines()) == 1
    assert path.name in done.err
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert not (here / "target").exists() or (here / "target").read_bytes() == b"kept"


@POSIX
@pytest.mark.parametrize("way", ["hard", "soft", "folder"])
@pytest.mark.parametrize(
    "words",
    [
        ["in/photo.jpg", "own.mp4"],
        ["own.mp4", "in/clip.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "--pose-from", "own.mp4"],
        ["edit", "own.mp4", "--smile", "1"],
        ["live", "in/photo.jpg", "--no-window", "--camera", "own.mp4"],
    ],
    ids=" ".join,
)
def test_an_input_under_another_name_is_kept(run_cli: Callable, here: Path, words: list[str], way: str) -> None:
    own = here / "own.mp4"
    own.write_bytes((here / "in" / "clip.mp4").read_bytes())
    (here / "there").symlink_to(here)
    output = {"hard": "hard.mp4", "soft": "soft.mp4", "folder": "there/own.mp4"}[way]
    if way == "hard":
        os.link(own, output)
    elif way == "soft":
        Path(output).symlink_to(own)
    before = own.read_bytes()
    done = run_cli(*words, "--record" if words[0] == "live" else "-o", output, "--overwrite")
    assert done.code == 2, done.err
    assert "is an input" in done.err
    assert own.read_bytes() == before
    assert os.path.samefile(output, own)


SETTINGS = "[options]\nquality = 70\n"
POINTS = "".join(f"{x} {x}\n" for x in range(10, 100, 10))
FACES = '{"sliders": {"smile": 0.5}}'


@POSIX
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["in/photo.jpg", "in/other.jpg", "--config", "own"], SETTINGS),
        (["in/photo.jpg", "in/other.jpg", "--preset", "own.toml"], SETTINGS),
        (["in/photo.jpg", "in/other.jpg", "--points", "own"], POINTS),
        (["in/photo.jpg", "in/other.jpg", "--expression", "own"], FACES),
        (["in/photo.jpg", "in/other.jpg", "--mask", "own.onnx"], "network"),
        (["in/photo.jpg", "in/other.jpg", "--detector", "own.onnx"], "network"),
        (["edit", "in/photo.jpg", "--points", "own"], POINTS),
        (["edit", "in/photo.jpg", "--expression", "own"], FACES),
        (["retouch", "in/photo.jpg", "--points", "own"], POINTS),
        (["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--config", "own"], SETTINGS),
        (["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--expression", "own"], FACES),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_file_that_options_name_or_come_from_is_an_input(
    run_cli: Callable, here: Path, words: list[str], text: str
) -> None:
    own = here / words[-1]
    own.write_text(text)
    output = "out.mp4" if words[0] == "live" else "out.png"
    os.link(own, output)
    done = run_cli(*words, "--record" if words[0] == "live" else "-o", output, "--overwrite")
    assert done.code == 2, done.err
    assert len(done.err.splitlines()) == 1
    assert f"{output} is an input and can't be the output as well" in done.err
    assert own.read_text() == text
    assert os.path.samefile(own, output)


@POSIX
@pytest.mark.parametrize(
    ("kept", "words", "text"),
    [
        ("config.toml", [], SETTINGS),
        ("presets/mine.toml", ["--preset", "mine"], SETTINGS),
        ("expressions/Mine.json", ["--expression", "mine"], FACES),
    ],
)
@pytest.mark.parametrize("verb", ["", "edit", "template make"])
def test_the_users_own_settings_are_inputs_too(
    run_cli: Callable, here: Path, monkeypatch: pytest.MonkeyPatch, verb: str, kept: str, words: list[str], text: str
) -> None:
    if (verb and "--preset" in words) or (words and verb == "template make"):
        pytest.skip("it has no such flag")
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(here / "own"))
    own = here / "own" / kept
    own.parent.mkdir(parents=True)
    own.write_text(text)
    output = "out.motion" if verb.startswith("template") else "out.png"
    os.link(own, output)
    files = ["in/photo.jpg", "in/other.jpg"] if not verb else ["in/photo.jpg"]
    done = run_cli(*verb.split(), *files, *words, "-o", output, "--overwrite")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert f"{output} is an input" in done.err
    assert own.read_text() == text


@POSIX
@pytest.mark.parametrize("name", ["jobs.toml", "rows.csv", "own.toml", "points.txt"])
def test_batches_keep_the_files_that_they_are_read_from(run_cli: Callable, here: Path, name: str) -> None:
    (here / "jobs.toml").write_text('csv = "rows.csv"\npreset = "own.toml"\n[options]\npoints = "points.txt"\n')
    (here / "rows.csv").write_text("source,driving,output\nin/photo.jpg,in/other.jpg,out.png\n")
    (here / "own.toml").write_text(SETTINGS)
    (here / "points.txt").write_text(POINTS)
    os.link(here / name, "out.png")
    done = run_cli("batch", "jobs.toml", "--overwrite", "--queue", "q.sqlite3")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "out.png is an input" in done.err


@POSIX
def test_batches_keep_inputs_under_other_names(run_cli: Callable, here: Path) -> None:
    """Also those of other jobs."""
    own = here / "own.mp4"
    own.write_bytes((here / "in" / "clip.mp4").read_bytes())
    os.link(own, "hard.mp4")
    (here / "jobs.toml").write_text(
        '[[jobs]]\nsource = "in/photo.jpg"\ndriving = "own.mp4"\noutput = "a.mp4"\n'
        '[[jobs]]\nsource = "in/photo.jpg"\ndriving = "in/clip.mp4"\noutput = "hard.mp4"\n'
    )
    done = run_cli("batch", "jobs.toml", "--overwrite", "--queue", "q.sqlite3")
    assert done.code == 2, done.err
    assert "hard.mp4 is an input" in done.err
    assert own.read_bytes() == (here / "in" / "clip.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".mp4", "is an extension without a name. Write name.mp4."),
        ("sub/.png", "is an extension without a name"),
        ("x%0999999999d.png", "at most 9 digits"),
        ("x%12d.png", "at most 9 digits"),
        ("x" * 300 + ".mp4", "longer than file systems allow"),
        ("a\0b.mp4", "NUL"),
        ("x.", "has no extension"),
    ],
)
def test_odd_names_get_one_sentence(run_cli: Callable, listing: Callable, name: str, words: str) -> None:
    for verb in (["in/photo.jpg", "in/clip.mp4"], ["edit", "in/clip.mp4"]):
        done = run_cli(*verb, "-o", name)
        assert done.code == 2, done.err
        assert len(done.err.splitlines()) == 1
        assert words in done.err
    assert listing() == []


def test_patterns_of_inputs_have_a_width_too(run_cli: Callable) -> None:
    done = run_cli("in/photo.jpg", "in/x%0999999999d.png")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "at most 9 digits" in done.err


def test_hidden_names_are_taken_as_typed(run_cli: Callable, here: Path) -> None:
    (here / ".face.jpg").write_bytes((here / "in" / "photo.jpg").read_bytes())
    assert run_cli(".face.jpg", "in/other.jpg").code == 0
    assert (here / "face--other.jpg").is_file()
    assert run_cli(".face.jpg", "in/other.jpg", "-o", ".out.png").code == 0
    assert (here / ".out.png").is_file()


@pytest.mark.parametrize(("kind", "word"), [("pipe", "a pipe"), ("link", "a link to"), ("input", "is an input")])
@pytest.mark.skipif(os.name == "nt", reason="named pipes and links of this kind are POSIX")
def test_a_picture_of_the_window_replaces_nothing_odd(run_cli: Callable, here: Path, kind: str, word: str) -> None:
    pytest.importorskip("PySide6")
    shot = here / "shot.png"
    photo = here / "in/photo.jpg"
    before = photo.read_bytes()
    if kind == "pipe":
        os.mkfifo(shot)
    elif kind == "link":
        shot.symlink_to(photo)
    else:
        shot.hardlink_to(photo)
    files = ["in/photo.jpg"] if kind == "input" else []
    done = run_cli("gui", *files, "--screenshot", str(shot))
    assert (done.code, word in done.err, len(done.err.splitlines())) == (2, True, 1), done.err
    assert photo.read_bytes() == before
