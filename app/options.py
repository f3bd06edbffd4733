"""Options of input, output and program, and the one list of all options.

Together with ``liveportrait.options`` each option is declared once: type, default, bounds, unit, title, help, group.
Declarations are read and checked in ``app.option_info``.
:func:`all_options` provides the declarations for the command line, the window, presets, job files and the
documentation. This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

from app.choices import Background, Subject
from app.clip_options import ClipOptions
from app.driver_options import DriverOptions
from app.errors import UsageError
from app.option_info import RUN_ONLY, OptionInfo, declared, show_value
from app.option_parsers import parse_colour, parse_rate, parse_reference
from app.speech_options import SpeechOptions
from liveportrait.options import AnimationOptions, option
from models.choices import DetectorChoice, FaceChoice
from models.messages import msg

__all__ = [
    "RUN_ONLY",
    "SECTIONS",
    "InputOptions",
    "OptionInfo",
    "OutputOptions",
    "ProgramOptions",
    "RenderOptions",
    "all_options",
    "check_values",
    "declared",
    "find_option",
    "idle_options",
    "json_schema",
    "notes_on",
    "options_table",
    "parse_colour",
    "parse_rate",
    "parse_reference",
    "show_value",
]

Audio = Literal["driving", "source", "none"]
Length = Literal["shortest", "source", "driving", "loop", "pingpong"]
Hardware = Literal["auto", "none"]
Mark = Literal["full", "metadata", "off"]
Label = Literal["corner", "none"]
OutputFit = Literal["contain", "cover"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Codec = Literal["auto", "h264", "hevc", "av1", "vp9", "prores", "gif", "png"]


@dataclass(frozen=True)
class InputOptions(ClipOptions, DriverOptions, SpeechOptions):
    """Options for the source and the driving files."""

    face: str = option(
        "largest",
        title="Source face",
        group="Input",
        help="Which face of the source is animated: largest, left, right, centre, a number counted from 1 in order of "
        "size, or x,y: the face at that pixel. Also all, or several joined by +, such as 1+2.",
    )
    driving_face: str = option(
        "largest",
        title="Driving face",
        group="Input",
        help="Which face of the driving file is followed; the same choices as for the source.",
    )
    detector: str = option(
        "embedded",
        title="Face detector",
        group="Input",
        advanced=True,
        help="Face detector: embedded, insightface (if you have installed its models), auto (insightface if "
        "installed), detect/NAME, such as detect/osa_nano, or the path of an .onnx file from "
        "tools/train_detector.py. If it finds no face, the embedded one is tried.",
    )
    crop: str = option(
        "",
        title="Source crop",
        group="Input",
        advanced=True,
        help="Animate this square crop of the source, given as x,y,size[,angle]: centre and side in pixels, angle "
        "in degrees clockwise. Without it the crop is found from the face.",
    )
    points: str = option(
        "",
        title="Animal points",
        group="Input",
        advanced=True,
        help="Text file with the nine points of an animal's face in the source, x and y in pixels on each line, in the "
        "order that docs/liveportrait.md shows.",
    )
    landmarks: str = option(
        "",
        title="Face placed by hand",
        group="Input",
        advanced=True,
        help="File with a face that was placed by hand on the source, a photo that shows a pet, a doll or a drawing. "
        "`animate landmarks PHOTO` writes a first guess.",
    )
    expression: str = option(
        "",
        title="Saved expression",
        group="Expression",
        help="Expression on top of the motion: the name of a saved one (`animate expression list`) or a file.",
    )
    sliders: str = option(
        "",
        title="Sliders",
        group="Expression",
        help="Sliders on top of the motion, such as smile=0.5,yaw=10; `animate expression sliders` lists them. "
        "eyes=0.3 (or left_eye, right_eye) and lips=0 hold a ratio.",
    )
    length: Length = option(
        "shortest",
        title="Length",
        group="Input",
        help=msg(
            "Length of the result if source and driving file are both clips: {setting:shortest} ends with the shorter "
            "one, {setting:source} with the source, {setting:driving} with the driving file, and {setting:loop} with "
            "the longer one while the other repeats. Frames are paired by time. With a photo, {setting:loop} blends "
            "the end into the beginning, for clips that repeat, and {setting:pingpong} plays the motion forward and "
            "then backward."
        ),
    )
    fps: str = option(
        "",
        title="Frame rate",
        group="Input",
        unit="1/s",
        help="Frame rate of the result, such as 25, 29.97 or 30000/1001. Without it every frame keeps the time stamp "
        "that it has in the input.",
    )

    @cached_property
    def subject(self) -> Subject:
        """The part of the source that is animated."""
        return Subject.parse(self.face, self.crop, self.driver_for, self.landmarks)

    @cached_property
    def followed(self) -> FaceChoice:
        """The face of the driving file that is followed."""
        return FaceChoice.parse(self.driving_face)

    @cached_property
    def finder(self) -> DetectorChoice:
        """The face detector."""
        return DetectorChoice.parse(self.detector)


@dataclass(frozen=True)
class OutputOptions:
    """Options for the result."""

    output: str = option(
        "",
        title="Output file",
        group="Output",
        flag="-o --output",
        help="File or folder to write. {source}, {driving}, {engine} and {date} are filled in; the extension selects "
        "the format: mp4, mkv, mov, webm, gif, png, jpg, webp. Default: {source}--{driving} in the current folder.",
    )
    overwrite: bool = option(
        False, title="Overwrite", group="Output", help="Replace an existing file instead of stopping with an error."
    )
    size: str = option(
        "",
        title="Size",
        group="Output",
        unit="px",
        help="Width and height of the result, such as 1080x1920. Without it the result has the size of the source.",
    )
    fit: OutputFit = option(
        "contain",
        title="Fit",
        group="Output",
        help=msg(
            "How the image fits into {option:size}: {setting:contain} shows all of it, with borders in the fill "
            "colour; {setting:cover} fills the size and crops the edges."
        ),
    )
    max_side: int = option(
        0,
        title="Longest side",
        group="Output",
        unit="px",
        minimum=0,
        maximum=16384,
        step=16,
        help="Scale a larger result down until its longer side has this many pixels; 0 keeps its size.",
    )
    side_by_side: bool = option(
        False,
        title="Side by side",
        group="Output",
        help="Also write a clip that shows driving, source and result next to each other.",
    )
    audio: Audio = option(
        "driving",
        title="Sound",
        group="Output",
        help=msg(
            "Whose sound the result gets: {setting:driving}, {setting:source} or {setting:none}. If the selected file "
            "has no sound, the other one's is used."
        ),
    )
    codec: Codec = option(
        "auto",
        title="Codec",
        group="Output",
        advanced=True,
        help=msg(
            "Video codec; {setting:auto} uses {setting:h264} for mp4, mov and mkv, {setting:vp9} for webm, and "
            "{setting:prores} for mov with transparency."
        ),
    )
    quality: int = option(
        80,
        title="Quality",
        group="Output",
        minimum=0,
        maximum=100,
        step=1,
        help="Image quality; 100 is the best and gives the largest file.",
    )
    hardware: Hardware = option(
        "none",
        title="Hardware encoder",
        group="Output",
        advanced=True,
        help=msg(
            "Encode on the graphics card: {setting:auto} uses its encoder if one works here, {setting:none} never does."
        ),
    )
    background: str = option(
        "keep",
        title="Background",
        group="Output",
        help=msg(
            "Background behind the people: {setting:keep} (the source's own), {setting:blur} (the source's own, out of "
            "focus), a colour as #rrggbb, the name of an image, or {setting:transparent}, which not every format "
            "supports. All except {setting:keep} cut the people out."
        ),
    )
    fill: str = option(
        "",
        title="Fill colour",
        group="Output",
        advanced=True,
        help=msg(
            "Colour of borders, and of transparent parts if the output has no transparency, as #rrggbb. Default: the "
            "colour given by {option:background}, green (#00ff00) if that is transparent, and white otherwise."
        ),
    )
    mark: Mark = option(
        "full",
        title="Mark as made by AI",
        group="Output",
        help=msg(
            "How the result is marked as made by AI: {setting:full} uses every way listed in docs/provenance.md, "
            "{setting:metadata} only the file's metadata, with the same bytes in every run, and {setting:off} none."
        ),
    )
    label: Label = option(
        "none",
        title="Visible label",
        group="Output",
        help=msg(
            "Label the image visibly as made by AI: {setting:corner} puts the letters AI into the lower right corner."
        ),
    )
    signing_cert: str = option(
        "",
        title="Certificate",
        group="Output",
        advanced=True,
        help="PEM file with the certificate that signs the result, yours first, then those above it. Without it a key "
        "of this installation signs, which others see as an unknown signer.",
    )
    signing_key: str = option(
        "", title="Key", group="Output", advanced=True, help="PEM file with the private key of the certificate."
    )

    @cached_property
    def behind(self) -> Background:
        """The background behind the people."""
        return Background.parse(self.background)

    @property
    def fill_colour(self) -> tuple[int, int, int]:
        """(red, green, blue) of borders and of transparent parts if the output has no transparency."""
        if self.fill:
            return parse_colour(self.fill)
        return KEY_COLOUR if self.behind.kind == "transparent" else self.behind.colour


@dataclass(frozen=True)
class ProgramOptions:
    """Options for the program itself."""

    engine: str = option(
        "auto",
        title="Engine",
        group="Program",
        help="Animation engine: auto uses the best one that works here; `animate doctor` lists them.",
    )
    device: str = option(
        "auto",
        title="Device",
        group="Program",
        help="Where the engine runs: auto, cpu, or a device that `animate doctor` names.",
    )
    precision: Precision = option(
        "auto",
        title="Precision",
        group="Program",
        advanced=True,
        help=msg(
            "Arithmetic of the LivePortrait networks: {setting:auto} uses half precision on a graphics card and full "
            "precision on the CPU. Half precision is used only if a self-test finds that it draws the same image."
        ),
    )
    animals: bool = option(
        False,
        title="Animals",
        group="Program",
        help=msg(
            "The source is an animal: use LivePortrait's weights for animals. Set its crop by hand, for example with "
            "{option:crop}; the official detector of animal faces needs a CUDA build and is not part of this program."
        ),
    )
    threads: int = option(
        0,
        title="Threads",
        group="Program",
        minimum=0,
        maximum=1024,
        step=1,
        advanced=True,
        help="CPU threads for the engine; 0 lets it choose.",
    )
    max_crop: int = option(
        0,
        title="Largest crop",
        group="Program",
        unit="px",
        minimum=0,
        maximum=4096,
        step=128,
        advanced=True,
        help="Largest side of the crop that the engine animates, in source pixels; larger is sharper on large images, "
        "and slower. 0 lets the engine choose; LivePortrait networks have a fixed size.",
    )
    json_lines: bool = option(
        False,
        title="JSON lines",
        group="Program",
        flag="--json",
        help="Print every event as one line of JSON on standard output.",
    )
    quiet: bool = option(False, title="Quiet", group="Program", flag="-q --quiet", help="Print only errors.")


@dataclass(frozen=True)
class RenderOptions:
    """All options that determine the result of one run."""

    input: InputOptions = field(default_factory=InputOptions)
    animation: AnimationOptions = field(default_factory=AnimationOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    program: ProgramOptions = field(default_factory=ProgramOptions)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str = "") -> RenderOptions:
        """Check values by option name and build the options.

        Args:
            values: Option name -> value; options that are not named keep their default.
            where: Where the values come from, for the message of an error.

        Raises:
            UsageError: An unknown name or a value out of bounds.
        """
        parts: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        for name, value in check_values(values, where).items():
            parts[find_option(name).section][name] = value
        return cls(**{name: kind(**parts[name]) for name, kind in SECTIONS.items()})

    def values(self) -> dict[str, Any]:
        """Option name -> value, in the order of :func:`all_options`."""
        return {info.name: getattr(getattr(self, info.section), info.name) for info in all_options()}


KEY_COLOUR: Final = (0, 255, 0)  # behind cut-out people if the output has no transparency
SECTIONS: Final[dict[str, Any]] = {
    "input": InputOptions,
    "animation": AnimationOptions,
    "output": OutputOptions,
    "program": ProgramOptions,
}


# ---- the list of all options ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def all_options() -> tuple[OptionInfo, ...]:
    """Every option, grouped, in the order of help and documentation."""
    return tuple(info for section, kind in SECTIONS.items() for info in declared(section, kind))


def find_option(name: str, where: str = "") -> OptionInfo:
    """Find an option by name; dashes may stand for underscores.

    Raises:
        UsageError: There is no such option; the message suggests the nearest one.
    """
    wanted = name.replace("-", "_")
    for info in all_options():
        if info.name == wanted:
            return info
    near = get_close_matches(wanted, [info.name for info in all_options()], 1)
    place = f"{where}: there" if where else "There"
    raise UsageError(
        msg("{place} is no option named {name!r}.", place, name), msg("Did you mean {near}?", near[0]) if near else ""
    )


def check_values(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Check values by option name; see :meth:`RenderOptions.from_values`."""
    checked = {}
    for name, value in values.items():
        info = find_option(name, where)
        checked[info.name] = info.check(value, f"{where}: {info.name}" if where else info.name)
    return checked


def json_schema() -> dict[str, Any]:
    """JSON schema of the options for presets and job files, from the declarations that `OptionInfo.check` uses."""
    properties = {info.name: info.json_schema() for info in all_options()}
    return {"title": "Options", "type": "object", "properties": properties, "additionalProperties": False}


def options_table(infos: Iterable[OptionInfo] | None = None) -> str:
    """The options as Markdown, one table per group (docs/options.md)."""
    groups: dict[str, list[OptionInfo]] = {}
    for info in all_options() if infos is None else infos:
        groups.setdefault(info.group, []).append(info)
    lines = []
    for group, members in groups.items():
        lines += ["", f"## {group}", ""]
        lines += ["| flag | name in files | values | default | meaning |", "| --- | --- | --- | --- | --- |"]
        for info in members:
            flag = ", ".join(f"`{f}`" for f in info.flags)
            if info.kind is bool:
                flag += f", `--no-{info.flags[-1][2:]}`"
            values = info.bounds or ({int: "whole number", float: "number"}.get(info.kind, "text"))
            lines.append(f"| {flag} | `{info.name}` | {values} | {show_value(info.default)} | {info.help} |")
    return "\n".join(lines).strip() + "\n"


def notes_on(options: RenderOptions) -> list[str]:
    """Sentences about options that are set but have no effect in combination with others."""
    values = options.values()
    rest = {info.name: info.default for info in all_options()} | {"hardware": "none"}
    return [sentence for name, sentence in idle_options(options).items() if values[name] != rest[name]]


def idle_options(options: RenderOptions) -> dict[str, str]:
    """Options that have no effect in combination with others, each with the reason."""
    motion = options.animation
    idle: dict[str, str] = {}
    if not motion.relative:
        idle["reference"] = msg("The neutral reference has no effect on absolute motion ({option:relative=off}).")
    if motion.relative and not options.program.animals:
        idle["driving_option"] = msg(
            "{option:driving_option} has no effect on relative motion, as in the official release."
        )
    if options.program.animals and motion.relative and motion.official:
        idle["region"] = msg(
            "The official rules of animals know no regions; {option:region} has no effect with {option:official}."
        )
    if options.input.landmarks:
        idle["face"] = msg("{option:landmarks} sets the only face; {option:face} has no effect.")
    if not options.output.size:
        idle["fit"] = msg("{option:fit} has no effect without {option:size}.")
    if not motion.paste_back and not options.output.size:
        idle["fill"] = msg("The fill colour has no effect on the bare crop ({option:paste_back=off}).")
    if options.output.codec in ("vp9", "prores"):
        idle["hardware"] = msg(
            "There is no hardware encoder for {codec}; {option:hardware} has no effect.", options.output.codec
        )
    return idle
