"""`animate edit`: a photo, or every frame of a clip, posed by sliders."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from app.cli.flags import argument, command, make_app, option_flag, switch, text_flag
from app.cli.streams import read_standard_input
from app.errors import UsageError
from app.options import all_options
from app.presets import Resolved, resolve
from liveportrait.expression import POSE_SLIDERS, SLIDERS, Expression

OPENINGS: Final = {
    "eyes": "Set both eyes to this ratio: 0 is closed, about 0.35 is open.",
    "left_eye": "The same for the eye on the left of the image.",
    "right_eye": "The same for the eye on the right of the image.",
    "lips": "Set the lips to this ratio: 0 is closed.",
}
USED: Final = (
    "face", "crop", "points", "landmarks", "expression", "sliders", "source_start", "source_end", "source_duration",
    "fps", "stitching", "official", "crop_scale", "crop_x", "crop_y", "crop_rotate", "paste_back", "output",
    "overwrite", "size", "fit", "max_side", "audio", "codec", "quality", "hardware", "background", "fill", "mark",
    "label", "signing_cert", "signing_key",
    "engine", "device", "precision", "animals", "threads", "max_crop", "json_lines", "quiet",
)  # fmt: skip
HELP: Final = {
    "output": "File or folder to write; {source}, {engine} and {date} are filled in; the extension selects the format: "
    "mp4, mkv, mov, webm, gif, png, jpg, webp. Default: {source}--edited, or --retouched, in the current folder.",
    "audio": "Whether a clip keeps its sound: driving and source keep it, none does not.",
}
OFFICIAL_SCALE: Final = 2.5  # crop size relative to the face in the official editor
DEBUG: Final = switch("debug", ["--debug"], "Show the traceback of an error.", "Program")

app = make_app("Pose the face in SOURCE with sliders: a photo, or every frame of a clip.")


def edit(values: Mapping[str, Any]) -> int:
    """Pose the face in SOURCE with sliders; those you don't name stay neutral. --expression adds a saved expression."""
    expression = _expression(values)
    if values["official"] and values["crop_scale"] is None:
        values = {**values, "crop_scale": OFFICIAL_SCALE}
    from app.cli.animate import run_job
    from app.render import Job

    resolved = shared_options(values)
    with ExitStack() as stack:
        (source,) = read_standard_input(stack, values["source"])
        return run_job(Job(source, Path(), resolved.options, expression, settings=resolved.files))


def shared_options(values: Mapping[str, Any]) -> Resolved:
    """Options from the flags given."""
    given = {name: values[name] for name in USED if values.get(name) is not None}
    return resolve(given)


def _expression(values: Mapping[str, Any]) -> Expression:
    """Expression from the slider flags.

    Raises:
        UsageError: A value is not a number or out of range.
    """
    from app.option_parsers import expression_of

    numbers: dict[str, float] = {}
    for name in (*SLIDERS, *OPENINGS):
        text = values[name]
        if text is None:
            continue
        flag = "--" + name.replace("_", "-")
        try:
            numbers[name] = float(text)
            expression_of({name: numbers[name]})
        except ValueError as error:
            bounds = f"{SLIDERS[name].minimum:g} to {SLIDERS[name].maximum:g}" if name in SLIDERS else "0 to 1"
            known = name in numbers and numbers[name] == numbers[name]
            fault = "is out of bounds, it must be" if known else "is not a number from"
            raise UsageError(f"{flag}: {text!r} {fault} {bounds}.") from error
    return expression_of(numbers)


def _sliders() -> list[Any]:
    flags = []
    for name in (*POSE_SLIDERS, *(n for n in SLIDERS if n not in POSE_SLIDERS)):
        slider = SLIDERS[name]
        unit = " degrees" if slider.unit == "deg" else ""
        bounds = f"{slider.minimum:g}..{slider.maximum:g}"
        text = f"{slider.help} {slider.default:g}{unit} is neutral."
        flags.append(text_flag(name, ["--" + name.replace("_", "-")], bounds, text, slider.group))
    for name, text in OPENINGS.items():
        flags.append(text_flag(name, ["--" + name.replace("_", "-")], "0..1", text, "Openings"))
    return flags


command(
    app,
    [
        argument("source", "SOURCE", "Photo or clip."),
        *_sliders(),
        *(option_flag(info, HELP.get(info.name, "")) for info in all_options() if info.name in USED),
        DEBUG,
    ],
    edit,
    standard=("source",),
    armed=True,
    help=edit.__doc__,
)
