"""`animate template`: motion templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.flags import argument, command, make_app, option_flag, switch
from app.cli.output import choose_sink, complain, say, show_path
from app.cli.streams import read_standard_input
from app.errors import ExitCode
from app.options import find_option
from app.presets import resolve

if TYPE_CHECKING:
    from liveportrait.expression_track import ExpressionTrack

MAKE_OPTIONS = (
    "output", "overwrite", "driving_face", "reference", "start", "end", "duration", "fps", "engine", "device",
    "idle", "speech_gain", "json_lines", "quiet",
)  # fmt: skip
HELP = {
    "output": "File or folder to write; {driving}, {engine} and {date} are filled in. Default: {driving}.motion, of "
    "sound {driving}.speech, in the current folder.",
    "fps": "Frame rate of numbered images, as 25, 29.97 or 30000/1001; clips have their own.",
}
DEBUG = switch("debug", ["--debug"], "Show the traceback of an error.", "Program")

app = make_app("Save the motion of a clip as a small file that can drive any source later.")


def make(values: Mapping[str, Any]) -> int:
    """Read the motion of DRIVING into a .motion file, or what a voice says into a .speech file."""
    with ExitStack() as stack:
        return _make(values, stack)


def _make(values: Mapping[str, Any], stack: ExitStack) -> int:
    from app.cli.animate import stop_on_signals
    from app.events import CancelToken, Event, EventStream
    from app.render.speech_template import make_speech, speech_driver
    from app.render.template import make_template

    (driving,) = read_standard_input(stack, values["driving"])
    given = {name: values[name] for name in MAKE_OPTIONS if values[name] is not None}
    resolved = resolve(given)
    options = resolved.options
    program = options.program
    sink = choose_sink(json_lines=program.json_lines, quiet=program.quiet)
    events, token = EventStream(sink), CancelToken()
    try:
        with stop_on_signals(token):
            spoken = speech_driver(driving, options)
            if spoken is not None:
                report = make_speech(spoken, options, events, token, resolved.files)
            else:
                report = make_template(driving, options, events, token, resolved.files)
    finally:
        sink.close()
    if program.json_lines:
        events.emit(Event("result", message=report.message, data=report.to_json()))
    elif not program.quiet:
        say(f"Wrote {show_path(report.output)} ({report.frames} frames).")
    if report.message:
        complain(report.message, "warning")
    return int(report.exit_code)


def show(values: Mapping[str, Any]) -> int:
    """Show what a template contains."""
    from app.frames.templates import open_template
    from app.frames.voices import open_track

    track = open_track(Path(values["file"]))
    if track is not None and track.track is not None:
        return _show_track(track.track, as_json=values["as_json"])
    template = open_template(Path(values["file"]))
    facts: dict[str, Any] = {
        "frames": len(template),
        "rate": str(template.rate),
        "seconds": round(float(template.duration), 3),
        "family": template.family,
        "keypoints": template.keypoints,
        "lost": int((~template.found).sum()),
        "reference": template.reference,
        "source": dict(template.source),
    }
    if values["as_json"]:
        say(json.dumps(facts))
    else:
        facts["source"] = ", ".join(f"{k} {v}" for k, v in template.source.items())
        say("\n".join(f"{key:<10} {value}" for key, value in facts.items()))
    return int(ExitCode.OK)


def _show_track(track: ExpressionTrack, *, as_json: bool) -> int:
    """Print what an expression track contains."""
    facts: dict[str, Any] = {
        "seconds": round(track.duration, 3),
        "keys": max((len(channel.times) for channel in track.channels.values()), default=0),
        "channels": sorted(track.channels),
    }
    if as_json:
        say(json.dumps(facts))
    else:
        facts["channels"] = ", ".join(facts["channels"])
        say("\n".join(f"{key:<10} {value}" for key, value in facts.items()))
    return int(ExitCode.OK)


command(
    app,
    [
        argument("driving", "DRIVING", "Video, photo, GIF or image sequence that shows a face; or a sound file."),
        *(option_flag(find_option(name), HELP.get(name, "")) for name in MAKE_OPTIONS),
        DEBUG,
    ],
    make,
    standard=("driving",),
    armed=True,
    name="make",
    help=make.__doc__,
)
command(
    app,
    [
        argument("file", "FILE", "A .motion or .speech file, keyframes, or an official .pkl template."),
        switch("as_json", ["--json"], "Print one JSON object.", "Output"),
        DEBUG,
    ],
    show,
    name="show",
    help=show.__doc__,
)
