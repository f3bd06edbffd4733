"""Start of the window as a process: without a display, with wrong arguments, and up to a picture of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from app.errors import ExitCode, MissingError
from app.gui import main as gui_main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "DISPLAY", "WAYLAND"))}
    code = "import sys; from app.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, "gui", *arguments], cwd=ROOT, env={**kept, **environment}, check=False,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named in variables only there")
@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":4711"}])
def test_without_a_display_a_plain_sentence(display: dict[str, str]) -> None:
    done = run(**display)
    assert done.returncode == ExitCode.MISSING
    assert done.stderr.count("\n") == 1
    assert "display" in done.stderr
    assert "command line" in done.stderr


@pytest.mark.smoke
def test_window_shows_the_sample_alive_at_the_first_start(tmp_path: Path) -> None:
    shot = tmp_path / "window.png"
    done = run(
        "--screenshot", str(shot), "--size", "1000x640", "--theme", "light",
        QT_QPA_PLATFORM="offscreen", PORTRAIT_ANIMATE_CONFIG=str(tmp_path / "config"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image = QImage(str(shot))
    assert (image.width(), image.height()) == (1000, 640)
    middle = {image.pixel(x, y) for x in range(400, 600, 7) for y in range(150, 450, 7)}
    assert len(middle) > 200  # a photo, not an empty stage
    assert (tmp_path / "config" / "window.ini").is_file()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--size", "big"), "--size"), (("--theme", "pink"), "--theme"), (("--language", "xx"), "--language"),
     (("no-such-file.jpg",), "no-such-file.jpg")],
)  # fmt: skip
@pytest.mark.smoke
def test_wrong_arguments(arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    done = run(*arguments, QT_QPA_PLATFORM="offscreen", PORTRAIT_ANIMATE_CONFIG=str(tmp_path))
    assert done.returncode == ExitCode.USAGE
    assert word in done.stderr


def test_a_build_that_loses_references_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gui_main._check_references()
    counts = iter([5000, 4900])
    monkeypatch.setattr(sys, "getrefcount", lambda _: next(counts))
    with pytest.raises(MissingError, match="PySide6"):
        gui_main._check_references()
