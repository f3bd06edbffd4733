"""What the program is called, and what it says to words that are misspelt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.program import called
from app.errors import brief
from app.live_options import live_options
from app.options import all_options

ROOT = Path(__file__).resolve().parents[3]


def as_called(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = {name!r}\n"
    code += "from app.cli.main import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["doktor"], "Did you mean animate doctor?"),
        (["Template", "make", "x"], "Did you mean animate template?"),
        (["btach", "--help"], "Did you mean animate batch?"),
        (["models", "lst"], "Did you mean 'list'?"),
        (["in/photo.jpg", "in/clip.mp4", "--ovewrite"], "Did you mean --overwrite?"),
        (["edit", "in/photo.jpg", "--smlie", "1"], "Did you mean --smile?"),
        (["batch", "--worker", "1"], "Did you mean --workers?"),
        (["in/photo.jpg", "in/clip.mp4", "--codec", "h265"], "Did you mean h264?"),
        (["live", "in/photo.jpg", "--vcam-fit", "contian"], "Did you mean contain?"),
        (["gui", "--theme", "drak"], "Did you mean dark?"),
        (["retouch", "in/clip.mp4", "--lips", "Closd"], "Did you mean closed?"),
        (["jobs", "list", "--format", "tabel"], "Did you mean table?"),
        (["jobs", "list", "--state", "dnoe"], "Did you mean done?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_misspelt_word_is_told_the_nearest(run_cli: Callable, here: Path, words: list[str], meant: str) -> None:
    if words[0] == "jobs":
        words = [*words, "--queue", str(here / "q.sqlite3")]
    done = run_cli(*words)
    assert done.code == 2, done.err
    assert meant in done.err
    assert len(done.err.splitlines()) == 1


def test_a_file_is_no_misspelt_command(run_cli: Callable, here: Path) -> None:
    (here / "doktor").write_bytes((here / "in/photo.jpg").read_bytes())
    assert run_cli("doktor", "in/other.jpg", "-o", "out.png").code == 0
    done = run_cli("doctor.jpg", "in/other.jpg")
    assert (done.code, "Did you mean" in done.err) == (1, False)


def test_the_name_that_was_called_is_printed() -> None:
    own = as_called("/opt/bin/portrait-animate", "doktor")
    assert own.stderr == (
        "portrait-animate: error: There is no command and no file 'doktor'. Did you mean portrait-animate doctor?\n"
    )
    assert as_called("portrait-animate", "--version").stdout.startswith("portrait-animate 0.")
    assert "See portrait-animate edit --help." in as_called("portrait-animate", "edit", "a", "--badly").stderr
    text = as_called("portrait-animate.exe", "--help").stdout
    assert text.startswith("Usage: portrait-animate [OPTIONS] SOURCE [DRIVING]")
    assert "  portrait-animate batch " in text
    assert "animate many pairs of files" in text
    assert "portrait-animate many" not in text
    assert as_called("animate", "doktor").stderr.startswith("animate: error: ")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/animate", "animate"),
        ("portrait-animate-gui", "portrait-animate"),
        ("Portrait-Animate.EXE", "portrait-animate"),
        ("/x/app/cli/main.py", "animate"),
    ],
)
def test_other_names_stand_for_the_first(monkeypatch: pytest.MonkeyPatch, path: str, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [path])
    assert called() == name


LONG = "x" * 3000
VALUES = {info.flags[-1]: info for info in (*all_options(), *live_options()) if info.kind is not bool}


@pytest.mark.parametrize("flag", sorted(VALUES))
def test_a_long_value_is_not_repeated_whole(run_cli: Callable, here: Path, flag: str) -> None:
    """Whatever option it is given to, by a flag or in a file."""
    live = VALUES[flag] in live_options()
    words = ["live", "in/photo.jpg", "--no-window"] if live else ["in/photo.jpg", "in/clip.mp4"]
    for text in (LONG, f"{LONG} {LONG}", f"{LONG}={LONG}.onnx"):
        done = run_cli(*words, flag, text)
        assert done.code in (1, 2, 6), done.err
        assert 0 < len(done.err) < 700, done.err[:200]
        assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        [LONG, "in/clip.mp4"],
        ["in/photo.jpg", LONG],
        ["in/photo.jpg", "in/clip.mp4", f"--{LONG}"],
        ["in/photo.jpg", "in/clip.mp4", LONG],
        ["in/photo.jpg", "in/clip.mp4", "--preset", LONG],
        ["in/photo.jpg", "in/clip.mp4", "--config", LONG],
        ["edit", "in/photo.jpg", "--smile", LONG],
        ["retouch", "in/clip.mp4", "--lips", LONG],
        ["live", "in/photo.jpg", "--no-window", "--seconds", LONG],
        ["jobs", "show", LONG],
        ["jobs", "list", "--state", LONG],
        ["jobs", LONG],
        ["models", "verify", LONG],
        ["expression", "show", LONG],
        ["expression", "save", "a", LONG],
        ["batch", "--sources", LONG, "--drivings", "in/clip.mp4"],
        ["batch", "jobs.toml", "--workers", LONG],
        ["gui", "--size", LONG],
        ["help", LONG],
    ],
    ids=lambda words: " ".join(word[:20] for word in words),
)
def test_other_long_words_are_cut_too(run_cli: Callable, here: Path, words: list[str]) -> None:
    done = run_cli(*words)
    assert done.code in (1, 2), done.err
    assert 0 < len(done.err) < 700, done.err[:300]


def test_ordinary_words_and_paths_stay_whole() -> None:
    path = "/" + "/".join(["a folder of some length"] * 14) + "/clip.mp4"
    text = f"{path} can't be read: it isn't there, and 'a short word' isn't, the file's gone; it doesn't matter."
    assert brief(text) == text
    text = f"'a.' stands beside {'many words ' * 20}and './b'."
    assert brief(text) == text
    assert brief(f"'{'y' * 81}' is wrong.") == f"'{'y' * 40}'... is wrong."
