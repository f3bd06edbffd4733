"""`animate inspect`: whether a file is marked as made by AI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from app.cli.flags import argument, command, make_app, switch
from app.cli.output import say
from app.errors import ExitCode

NOTHING_FOUND: Final = 4
CHANGED: Final = 5  # after it was signed

app = make_app("Show whether an image or clip is marked as made by AI: credentials, metadata and watermark.")


def inspect_file(values: Mapping[str, Any]) -> int:
    """Show whether an image or clip is marked as made by AI.

    The exit code is 0 if it is, 4 if nothing was found, and 5 if it was changed after it was signed.
    """
    from app.provenance.inspect import inspect

    found = inspect(values["file"])
    say(json.dumps(found.to_json()) if values["as_json"] else "\n".join(found.sentences()))
    if found.altered:
        return CHANGED
    return int(ExitCode.OK) if found.marked else NOTHING_FOUND


command(
    app,
    [
        argument("file", "FILE", "Image or clip, of this program or any other."),
        switch("as_json", ["--json"], "Print one JSON object.", "Output"),
        switch("debug", ["--debug"], "Show the traceback of an error.", "Output"),
    ],
    inspect_file,
    armed=True,
    help=inspect_file.__doc__,
)
