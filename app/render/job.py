"""One job: source, driving file, options; the name of its result, and whether it can be done."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.addresses import STANDARD, address_error, is_address
from app.errors import UsageError
from app.expressions import find_saved
from app.media.files import write_error
from app.media.outnames import check_name, check_plain
from app.media.streams import STDOUT
from app.option_files import named_files
from app.options import RenderOptions
from models.messages import Option, msg

if TYPE_CHECKING:
    from liveportrait.expression import Expression
    from liveportrait.retouch import Lips

STILL_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
FORMATS: Final = (*STILL_SUFFIXES, ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".motion")
DEFAULT_NAME: Final = "{source}--{driving}"
EDITED, RETOUCHED = "{source}--edited", "{source}--retouched"  # without a driver
SIDE_BY_SIDE: Final = "--side-by-side"
ENDINGS: Final = {"gif": ".gif", "prores": ".mov"}  # default extensions of clips that can't be .mp4
LONGEST_NAME: Final = 220  # bytes; file systems allow 255, and names of additional results need some of them


@dataclass(frozen=True)
class Job:
    """What to animate, and how.

    Attributes:
        source: Photo, video, image sequence or pattern.
        driving: The same, or a motion template; Path() if no file drives the source.
        options: All options.
        expression: Sliders on top of the driving motion, or None.
        lips: How to hold the lips of the source, in place of all motion and sliders; None animates it.
        target: File to write, overriding the name in the options; None uses theirs.
        settings: Files that the options were read from.
    """

    source: Path
    driving: Path
    options: RenderOptions
    expression: Expression | None = None
    target: Path | None = None
    settings: tuple[Path, ...] = ()
    lips: Lips | None = None

    @property
    def posed(self) -> bool:
        """Whether nothing drives the source: sliders pose it, or its lips are held."""
        wanted = self.options.input
        picture = self.target is not None and self.target.suffix.lower() in STILL_SUFFIXES and not is_numbered(self)
        return self.driving == Path() and (picture or not (wanted.voice or wanted.liveliness is not None))

    def files(self) -> tuple[Path, ...]:
        """Files that are read and must not be written to."""
        driving = () if self.driving == Path() else (self.driving,)
        return self.source, *driving, *files_of(self.options), *self.settings


def files_of(options: RenderOptions) -> list[Path]:
    """Files named by options, and the file of a saved expression."""
    named = options.input.expression
    saved = find_saved(named) if named else None
    return [*named_files(options.values()), *([saved.path] if saved is not None and saved.path is not None else [])]


def stem_of(path: Path) -> str:
    """Name of an input for output names: without folder and extension; the folder's name for image sequences."""
    if re.search(r"%0?\d*d", path.name) and not os.path.exists(path):
        stem = re.sub(r"[\W_]*%0?\d*d.*$", "", path.name)
        stem = stem or path.resolve().parent.name
    elif path.name in ("", ".", "..") or os.path.isdir(path):
        stem = path.resolve().name
    else:
        stem = path.stem
    return stem.lstrip(".") or path.name.lstrip(".") or "root"  # the result of a hidden file is not hidden


def fill_name(pattern: str, fields: dict[str, str]) -> str:
    """Fill an output name template.

    Args:
        pattern: Text with {source}, {driving}, {engine} or {date}; doubled braces stand for single ones. Values are
            inserted literally: braces and percent signs in them have no meaning.
        fields: Value of each field.

    Raises:
        UsageError: An unknown field, or a single brace.
    """

    def fill(match: re.Match[str]) -> str:
        text = match.group(0)
        if text in ("{{", "}}"):
            return text[0]
        name = match.group(1)
        if name is None:
            raise UsageError(
                msg("{option:output}: a single {text!r} in {pattern!r}.", text, pattern),
                msg("Write {text} for the character itself.", text * 2),
            )
        if name not in fields:
            near = get_close_matches(name, fields, 1)
            raise UsageError(
                msg(
                    "{option:output}: there is no field {{{name}}}; known are {names}.",
                    name, ", ".join(f"{{{f}}}" for f in fields)
                ),
                msg("Did you mean {{{near}}}?", near[0])
                if near
                else msg("Write {{{{{name}}}}} for the text itself.", name)
            )  # fmt: skip
        return fields[name]

    return re.sub(r"\{\{|\}\}|\{([^{}]*)\}|[{}]", fill, pattern)


def name_fields(source: Path | None = None, driving: Path | None = None, *, engine: str = "") -> dict[str, str]:
    """Fields of output names with their values; those of inputs that a command does not have are omitted."""
    named = {"source": source, "driving": driving}
    fields = {name: "idle" if path == Path() else stem_of(path) for name, path in named.items() if path is not None}
    return {**fields, "engine": engine, "date": datetime.now(timezone.utc).astimezone().strftime("%Y-%m-%d")}


def default_name(pattern: str, fields: dict[str, str], ending: str) -> str:
    """Default name of a result: the filled pattern, with long names of inputs shortened."""
    short = {name: value for name, value in fields.items() if f"{{{name}}}" in pattern}
    while len(os.fsencode(name := fill_name(pattern, short) + ending)) > LONGEST_NAME and any(short.values()):
        longest = max(short, key=lambda field: len(os.fsencode(short[field])))
        short[longest] = short[longest][:-1]
    return name


def is_numbered(job: Job) -> bool:
    """Whether numbered images are requested as output; a pattern in the name of an input does not count."""
    return re.search(r"%0?\d*d", job.options.output.output) is not None


def ending_of(job: Job, *, still: bool, alpha: bool) -> str:
    """Default extension of a result; for an image that of the source, if suitable.

    Args:
        job: The job.
        still: Whether the result is one picture.
        alpha: Whether the result has transparency.
    """
    output, own = job.options.output, job.source.suffix.lower()
    if still:
        return own if own in ((".png", ".webp") if alpha else (".png", ".jpg", ".jpeg", ".webp")) else ".png"
    if output.codec == "auto" and output.behind.kind == "transparent":
        return ".webm"
    return ENDINGS.get(output.codec, ".mp4")


def output_path(job: Job, *, still: bool, alpha: bool, engine: str = "") -> Path:
    """Path of the result of a job; see ``result_path``.

    Args:
        job: The job.
        still: Whether the result is one image.
        alpha: Whether the result has transparency.
        engine: Name of the engine, for {engine}.
    """
    wanted, ending = job.options.output.output, ending_of(job, still=still, alpha=alpha)
    if job.posed:
        name = EDITED if job.lips is None else RETOUCHED
        return result_path(wanted, name_fields(job.source, engine=engine), name, ending)
    driving = job.driving if job.driving != Path() else Path(job.options.input.voice)  # an empty text is Path() again
    return result_path(wanted, name_fields(job.source, driving, engine=engine), DEFAULT_NAME, ending)


def result_path(wanted: str, fields: dict[str, str], pattern: str, ending: str) -> Path:
    """Path of a result: the given name, or the default name in the given or current folder.

    Args:
        wanted: The option "output".
        fields: Fields of names with their values.
        pattern: Default name.
        ending: Its extension.

    Returns:
        The path; STDOUT for standard output.

    Raises:
        UsageError: The name has an unknown field or no extension of a known format, or is a URL.
    """
    default = default_name(pattern, fields, ending)
    if not wanted:
        return Path(default)
    if wanted == STANDARD:
        return STDOUT
    filled = fill_name(wanted, fields)
    if is_address(filled):
        raise address_error(filled, Option("output"))
    path = Path(filled)
    check_name(path)
    if names_folder(wanted) or os.path.isdir(path):
        return path / default
    check_ending(path, ending)
    return path


def check_ending(path: Path, ending: str) -> None:
    """Check that the name of an output has an extension.

    Args:
        path: The output.
        ending: A suitable extension.

    Raises:
        UsageError: It has none, is an extension without a name, or is not a file.
    """
    if path.suffix.strip("."):
        return
    check_name(path)
    check_plain(path)
    if path.name.lower() in FORMATS:
        raise UsageError(
            msg("{option:output}: {path} is an extension without a name.", path),
            msg("Write {path}{name}.", path.with_name("name"), path.name),
        )
    raise UsageError(
        msg("{option:output}: {path} has no extension that determines the format.", path),
        msg("Write {path}{ending}, or {path2}{sep} for a folder.", str(path).rstrip("."), ending, path, os.sep),
    )


def side_by_side_path(output: Path) -> Path:
    """Name of the comparison clip beside a result."""
    return output.with_name(f"{output.stem}{SIDE_BY_SIDE}{output.suffix}")


def names_folder(wanted: str) -> bool:
    """Whether a name refers to a folder, existing or not."""
    return wanted.endswith(("/", os.sep))


def make_folder(path: Path, wanted: str) -> None:
    """Create the folder of a result if the name in the options refers to one.

    Args:
        path: File of the result.
        wanted: The given name.

    Raises:
        MediaError: It can't be created.
    """
    if names_folder(wanted):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(path.parent, error) from error


@dataclass(frozen=True)
class Plan:
    """What a job will do, as far as it is known in advance.

    Attributes:
        output: File that will be written.
        side_by_side: Comparison clip, or None.
        engine: Name of the engine.
        device: Device that it runs on.
        size: Width and height of the result in pixels.
        rate: Frame rate as text, empty for a still.
        frames: Number of frames, None if not known in advance.
        audio: "driving", "source" or "none".
        notes: Sentences for the user.
    """

    output: Path
    side_by_side: Path | None
    engine: str
    device: str
    size: tuple[int, int]
    rate: str
    frames: int | None
    audio: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        return {
            "output": str(self.output),
            "side_by_side": None if self.side_by_side is None else str(self.side_by_side),
            "engine": self.engine,
            "device": self.device,
            "width": self.size[0],
            "height": self.size[1],
            "rate": self.rate or None,
            "frames": self.frames,
            "audio": self.audio,
            "notes": list(self.notes),
        }
