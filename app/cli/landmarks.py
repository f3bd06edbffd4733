"""`animate landmarks`: write a first guess of a face to place by hand, where none is found."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.cli.flags import argument, command, make_app, option_flag, switch
from app.cli.output import choose_sink, say, show_path
from app.cli.program import PROGRAM
from app.cli.streams import read_standard_input
from app.errors import ExitCode, UsageError
from app.options import find_option
from app.presets import resolve

if TYPE_CHECKING:
    from app.options import RenderOptions
    from app.placed_faces import Guess
    from app.render.job import Job

USED: Final = ("output", "overwrite", "landmarks", "face", "crop", "detector", "json_lines", "quiet")
HELP: Final = {
    "output": "File or folder to write; {source} and {date} are filled in. Default: {source}.landmarks.json in the "
    "current folder. A name that ends in .png or .jpg writes the photo with the handles drawn on it.",
    "landmarks": "Take the face of this file instead of a first guess.",
    "face": "Which face to start from, if any are found: largest, left, right, centre, a number counted from 1 in "
    "order of size, or x,y: the face at that pixel.",
    "crop": "Square around the face, given as x,y,size[,angle]: centre and side in pixels, angle in degrees clockwise. "
    "If no face is found, the first guess is in its middle.",
}

GUESSES: Final = {
    "face": "the face that was found",
    "likeness": "no face was found, but something that looks like one",
    "middle": "no face was found, so it lies in the middle",
    "file": "the face of --landmarks",
}

app = make_app("Create a face to place by hand on a photo of a pet, a doll or a drawing.")


def landmarks(values: Mapping[str, Any]) -> int:
    """Write a file with a face to place by hand on PHOTO.

    It starts from a face, or from something that looks like one, else in the middle. Move its handles
    in the window (Crop and face), or edit the numbers in the file. --landmarks FILE uses it.
    """
    with ExitStack() as stack:
        return _landmarks(values, stack)


def _landmarks(values: Mapping[str, Any], stack: ExitStack) -> int:
    from app.events import Event, EventStream
    from app.render.job import Job

    (photo,) = read_standard_input(stack, values["photo"])
    resolved = resolve({name: values[name] for name in USED if values[name] is not None})
    options, program = resolved.options, resolved.options.program
    job = Job(photo, Path(), options, settings=resolved.files)
    path, guess = _write(job, options)
    if program.json_lines:
        sink = choose_sink(json_lines=True, quiet=program.quiet)
        EventStream(sink).emit(Event("result", data={"output": str(path), "guess": guess}))
        sink.close()
    elif not program.quiet:
        say(f"Wrote {show_path(path)} ({GUESSES[guess]}).")
    if path.suffix.lower() == ".json" and not (program.json_lines or program.quiet):
        say(
            "Move its handles in the window (Crop and face, Place the face by hand) or in the file, then run: "
            f"{PROGRAM} {_quoted(photo)} DRIVING --landmarks {_quoted(path)}"
        )
    return int(ExitCode.OK)


def _quoted(path: Path) -> str:
    """A file name quoted for the shell."""
    return shlex.quote(show_path(path))


def _write(job: Job, options: RenderOptions) -> tuple[Path, Guess]:
    """Write a placed face, or an image of it; returns the path and how the face was found.

    Raises:
        AppError: Nothing was written.
    """
    from app.expressions import write_text
    from app.frames.resources import open_tracker
    from app.media.images import write_image
    from app.media.outnames import check_free
    from app.media.reader import open_clip
    from app.media.writer import check_picture
    from app.placed_faces import drawn, first_guess, handles_on, read_placed_face
    from app.render.job import STILL_SUFFIXES
    from liveportrait.crop import Box, Crop
    from liveportrait.placed_file import PlacedFile

    path, named = _path(job), options.input.landmarks
    picture = path.suffix.lower() in STILL_SUFFIXES
    check = check_picture if picture else check_free
    with open_clip(job.source) as reader:
        if reader.info.kind in ("video", "sequence") and reader.info.frames != 1:
            raise UsageError(
                f"{job.source} is a clip, and a face placed by hand would not follow it.",
                "Save one of its frames as an image and animate that.",
            )
        check(path, options.output.overwrite, job.files())
        rgb = next(iter(reader)).rgb
    crop = None
    if (square := options.input.subject.square) is not None:
        crop = Crop.of_box(Box(square.x, square.y, square.side, math.radians(square.angle)))
    faces = options.input.subject.faces
    if len(faces.choices) != 1:
        raise UsageError("--face: one face is placed at a time.", "Name one of them.")
    height, width = rgb.shape[:2]
    guess: Guess = "file"
    if named:
        handles = handles_on(read_placed_face(Path(named)), Path(named), width, height)
    else:
        try:
            handles, guess = first_guess(rgb, open_tracker(options.input.finder), faces.first, crop)
        except ValueError as error:
            raise UsageError(f"--face: {job.source}: {error}") from None
    if picture:
        return write_image(path, drawn(rgb, handles)), guess
    return write_text(path, PlacedFile(width, height, handles).to_text()), guess


def _path(job: Job) -> Path:
    """The output path: the name given, or SOURCE.landmarks.json in the given or current folder."""
    from app.media.streams import STDOUT
    from app.render.job import make_folder, name_fields, result_path
    from liveportrait.placed_file import SUFFIX

    wanted = job.options.output.output
    path = result_path(wanted, name_fields(job.source), "{source}", SUFFIX)
    if path == STDOUT:
        raise UsageError("--output: standard output can't be used here.", "Give a file name.")
    make_folder(path, wanted)
    return path


command(
    app,
    [
        argument("photo", "PHOTO", "Photo of the subject to animate."),
        *(option_flag(find_option(name), HELP.get(name, "")) for name in USED),
        switch("debug", ["--debug"], "Show the traceback of an error.", "Program"),
    ],
    landmarks,
    standard=("photo",),
    armed=True,
    help=landmarks.__doc__,
)
