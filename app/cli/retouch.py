"""`animate retouch`: hold the lips of a clip and leave everything else unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from app.cli.edit import DEBUG, HELP, USED, shared_options
from app.cli.flags import argument, command, make_app, option_flag, text_flag
from app.cli.streams import read_standard_input
from app.errors import UsageError
from app.options import all_options
from models.messages import msg

LEFT_OUT: Final = ("expression", "sliders")
WORDS: Final = ("closed", "silent")  # that --lips accepts besides numbers

app = make_app("Keep the lips of a clip closed or still; everything else stays as it is.")


def retouch(values: Mapping[str, Any]) -> int:
    """Keep the lips in VIDEO closed, at a fixed ratio, or silent (neutral, without talking)."""
    from app.cli.animate import run_job
    from app.render import Job
    from liveportrait.retouch import Lips

    lips, resolved = Lips(_ratio(values["lips"])), shared_options(values)
    with ExitStack() as stack:
        (source,) = read_standard_input(stack, values["source"])
        return run_job(Job(source, Path(), resolved.options, settings=resolved.files, lips=lips))


def _ratio(text: str | None) -> float | None:
    """Lip ratio for the word or number; None for silent lips."""
    if text in ("silent", None):
        return None
    if text == "closed":
        return 0.0
    from difflib import get_close_matches

    try:
        ratio = float(str(text))
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        near = get_close_matches(str(text).lower(), WORDS, 1)
        raise UsageError(
            f"--lips: {text!r} is not closed, silent or a ratio from 0 to 1.",
            msg("Did you mean {near}?", near[0]) if near else "",
        )
    return ratio


command(
    app,
    [
        argument("source", "VIDEO", "Clip or photo."),
        text_flag(
            "lips",
            ["--lips"],
            "closed|silent|0..1",
            "closed brings the lips together in every frame; a number is a lip ratio, 0.3 is wide open; "
            "silent keeps the mouth neutral. [silent]",
            "Retouch",
        ),
        *(
            option_flag(info, HELP.get(info.name, ""))
            for info in all_options()
            if info.name in USED and info.name not in LEFT_OUT
        ),
        DEBUG,
    ],
    retouch,
    standard=("source",),
    armed=True,
    help=retouch.__doc__,
)
