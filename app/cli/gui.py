"""`animate gui`: the window."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.cli.flags import arguments, command, make_app, switch, text_flag
from app.environment import qt_install
from app.errors import MissingError, UsageError, not_one_of
from app.media.outnames import check_name, check_not_inputs, check_plain

app = make_app("Open the window: portraits, drivers, sliders, live and rendered output.")
PANEL = "Window"


def gui(values: Mapping[str, Any]) -> int:
    """Run the verb; 6 if there is no display or no PySide6."""
    if find_spec("PySide6") is None:
        raise MissingError(
            "The window needs PySide6, which is not installed; the command line works without it.",
            f"Install it: {qt_install()}",
        )
    files = tuple(Path(name) for name in values["files"] or ())
    shot = _picture(values["screenshot"], files)
    try:
        window: Any = importlib.import_module("app.gui.main")
    except ImportError as error:
        raise MissingError(f"The window can't start: {error}.", "The command line works without it.") from None
    return int(
        window.main(
            window.Start(
                files=files,
                screenshot=shot,
                size=_size(values["size"]),
                scheme=_one_of("--theme", values["theme"], ("light", "dark")),
                language=_one_of("--language", values["language"], ("en", "de")),
            )
        )
    )


def _picture(text: str | None, files: tuple[Path, ...]) -> Path | None:
    """The file for --screenshot; links, pipes, devices and the files to open are never replaced.

    Raises:
        UsageError: It is one of these.
        OSError: The system denies access.
    """
    if not text:
        return None
    path = Path(text)
    check_name(path)
    check_not_inputs([path], files)
    check_plain(path)
    return path


def _size(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{3,5})x(\d{3,5})", text)
    if match is None:
        raise UsageError(f"--size: {text!r} is not a size such as 1280x800.")
    return int(match.group(1)), int(match.group(2))


def _one_of(flag: str, text: str | None, known: tuple[str, ...]) -> str:
    if text and text not in known:
        raise not_one_of(flag, text, known)
    return text or ""


command(
    app,
    [arguments("files", "[FILE]...", "Portraits and drivers to open."),
     text_flag("size", ["--size"], "WxH", "Size of the window.", PANEL),
     text_flag("theme", ["--theme"], "light|dark", "Colours, instead of the ones chosen in the window.", PANEL),
     text_flag("language", ["--language"], "en|de", "Language, instead of the one chosen in the window.", PANEL),
     text_flag("screenshot", ["--screenshot"], "FILE", "Save a screenshot of the window and exit.", PANEL),
     switch("debug", ["--debug"], "Show the traceback of an error.", PANEL)],
    gui,
)  # fmt: skip
