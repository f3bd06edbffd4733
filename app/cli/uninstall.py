"""`animate uninstall-data`: list and remove the data that the program keeps."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from app.cli.flags import command, make_app, switch
from app.cli.output import complain, say, show_path
from app.errors import CancelledError, ExitCode, UsageError

app = make_app("List and remove the settings, weights, queue and caches that the program keeps.")


def uninstall_data(values: Mapping[str, Any]) -> int:
    """List what the program keeps, ask, and remove it. Results that you made are never touched."""
    from app.user_data import check_nobody_works, data_folders, elsewhere, remove

    found, as_json = data_folders(), values["as_json"]
    if not as_json:
        for one in found:
            say(f"{show_path(one.path)}  {one.size / 1e6:.1f} MB  {one.what}")
        for variable, what, path in elsewhere():
            say(f"{show_path(path)}  {what}; set by {variable}, stays")
        if not found:
            say("Nothing is kept.")
    if found and not values["yes"]:
        _ask(as_json)
    if found:
        check_nobody_works()
    removed = []
    for one in found:
        size = one.size
        remove(one)
        removed.append({"path": str(one.path), "bytes": size})
    if as_json:
        say(json.dumps({"removed": removed}))
    elif removed:
        say("Removed. The program itself is removed by pip, pipx or uv.")
    return int(ExitCode.OK)


def _ask(as_json: bool) -> None:
    """Ask for confirmation on the terminal.

    Raises:
        UsageError: There is no terminal to ask on.
        CancelledError: The answer is no.
    """
    if as_json or not sys.stdin or not sys.stdin.isatty():
        raise UsageError("Nothing was removed.", "Add --yes to remove all of it.")
    complain("All of this will be removed, weights and presets too.", "warning")
    if input("Remove it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CancelledError("Nothing was removed.")


command(
    app,
    [switch("yes", ["--yes"], "Remove without asking.", "Program"),
     switch("as_json", ["--json"], "Print one JSON object.", "Output"),
     switch("debug", ["--debug"], "Show the traceback of an error.", "Output")],
    uninstall_data,
)  # fmt: skip
