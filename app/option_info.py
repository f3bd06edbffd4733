"""Declaration, parsing and validation of a single option; the options themselves are in ``app.options``.

This module deliberately imports nothing heavy: the command line needs it for ``--help``. So options are
described and checked here, without pydantic, whose import alone takes as long as that of all options (60 ms). pydantic
validates the data that it describes: templates, placed faces, rows of a queue.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import Any, Final, Literal, get_args, get_origin

from app.addresses import STANDARD, is_address, local_name
from app.choices import Background, FaceDriver, Faces, Square, driver_address
from app.errors import UsageError, not_one_of
from app.option_parsers import (
    parse_colour,
    parse_mask,
    parse_rate,
    parse_reference,
    parse_regions,
    parse_share,
    parse_size,
    parse_sliders,
    parse_time,
)
from app.stream_targets import parse_targets
from liveportrait.limits import shown
from models.choices import DetectorChoice, FaceChoice
from models.messages import Option, about, msg

# Options of a single run, which make no sense in a preset.
RUN_ONLY: Final = frozenset({"output", "overwrite", "json_lines", "quiet", "crop", "points", "landmarks", "driver_for"})


# Options that name files: inputs, and outputs.
READ: Final = frozenset(
    {"pose_from", "exp_from", "lips_from", "eyes_from", "voice", "points", "landmarks", "expression", "camera"}
) | {"signing_cert", "signing_key", "background"}
WRITTEN: Final = frozenset({"record"})


@dataclass(frozen=True)
class OptionInfo:
    """Declaration of one option.

    Attributes:
        name: Name in presets and job files, unique among all options.
        section: Field of RenderOptions that holds it.
        kind: bool, int, float or str.
        choices: Allowed words, empty if any value within the bounds is.
        default: Value if it is not set.
        minimum: Smallest number, inclusive, or None.
        maximum: Largest number, inclusive, or None.
        step: Step of a slider, or None.
        unit: Unit of a number, may be empty.
        title: Short display name.
        help: One or two sentences.
        group: Heading under which it is listed.
        flags: Command-line flags.
        advanced: Hidden in the window by default.
        run_only: Not allowed in presets.
        repeat: May be given several times; the value holds one entry per line.
        several: Several regions may be joined by commas; the choices include the combinations.
    """

    name: str
    section: str
    kind: type
    choices: tuple[str, ...]
    default: Any
    minimum: float | None
    maximum: float | None
    step: float | None
    unit: str
    title: str
    help: str
    group: str
    flags: tuple[str, ...]
    advanced: bool
    run_only: bool
    repeat: bool = False
    several: bool = False

    @property
    def label(self) -> Option:
        """Its name in errors."""
        return Option(self.name, self.flags[-1])

    @property
    def bounds(self) -> str:
        """Allowed values in words: "0 to 3", "all, exp, pose, lip or eyes", "yes or no"."""
        if self.choices:
            words = [word for word in self.choices if "," not in word]
            joined = ", or several joined by commas" if self.several else ""
            return f"{', '.join(words[:-1])} or {words[-1]}{joined}"
        if self.kind is bool:
            return "yes or no"
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}{' ' + self.unit if self.unit else ''}"
        return ""

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of its value."""
        kind = {bool: "boolean", int: "integer", float: "number", str: "string"}[self.kind]
        form: dict[str, Any] = {"type": kind}
        if self.repeat:
            form = {"anyOf": [form, {"type": "array", "items": form}]}
        bounds = {"enum": list(self.choices) or None, "minimum": self.minimum, "maximum": self.maximum}
        about = {"title": self.title, "description": str.__str__(self.help), "default": self.default}
        rest = {"unit": self.unit, "group": self.group}
        return form | about | {name: bound for name, bound in bounds.items() if bound is not None} | rest

    def check(self, value: Any, label: str | Option = "") -> Any:
        """Convert a value from a file, a flag or a widget to the option's type and check it.

        Args:
            value: Text from the command line, or a value of a TOML or JSON file.
            label: Name of the option in errors; its own name by default.

        Raises:
            UsageError: The value is not valid; the message names option, value and bounds.
        """
        label = label or self.name
        if self.repeat and isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            value = "\n".join(value)
        given = shown(value).strip("'") if isinstance(value, str) else shown(value)
        if self.kind is bool:
            value = _to_bool(value)
        elif self.kind in (int, float):
            value = _to_number(value, self.kind)
        elif not isinstance(value, str):
            value = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        if value is None:
            wanted = {bool: msg("yes or no"), int: msg("a whole number"), float: msg("a number"), str: "text"}[
                self.kind
            ]
            if self.kind in (int, float) and self.bounds:
                wanted = msg("{wanted} from {bounds}", wanted, self.bounds)
            raise UsageError(about(label, msg("{given!r} is not {wanted}.", given, wanted)))
        if self.several:
            try:
                value = parse_regions(value)
            except ValueError as error:
                raise UsageError(about(label, str(error))) from None
        if self.choices and value not in self.choices:
            raise not_one_of(label, value, self.choices)
        too_small = self.minimum is not None and value < self.minimum
        if too_small or (self.maximum is not None and value > self.maximum):
            raise UsageError(about(label, msg("{given} is out of bounds, it must be {bounds}.", given, self.bounds)))
        parse = PARSERS.get(self.name)
        if parse is not None and value != self.default:
            try:
                parse(value)
            except ValueError as error:
                raise UsageError(about(label, str(error))) from None
        return self._local(value, label) if isinstance(value, str) else value

    def _local(self, value: str, label: str | Option) -> str:
        """The value with file:// URLs converted to paths, if it names files."""
        if self.name == "driver_for":
            pairs = (line.partition("=") for line in value.splitlines())
            return "\n".join(f"{face}={_read(name.strip(), label)}" if name else face for face, _, name in pairs)
        if self.name == "output":  # the results of batches may go to a URL
            return local_name(value, label) if value.lower().startswith("file:") else value
        if self.name == "background" and value and Background.parse(value).kind != "image":
            return value
        if self.name == "camera" and value != self.default:
            try:
                if driver_address(value) is not None:
                    return value
            except ValueError as error:
                raise UsageError(about(label, str(error))) from None
        if self.name in READ or (self.name == "detector" and is_address(value)):
            return _read(value, label)
        if self.name in WRITTEN and value == STANDARD:
            raise UsageError(about(label, msg("standard output can't be used here.")), "Give a file name.")
        return local_name(value, label) if self.name in WRITTEN else value


def _read(name: str, label: str | Option) -> str:
    """The path of an input that an option names.

    Raises:
        UsageError: It is a URL, or standard input.
    """
    if name == STANDARD:
        raise UsageError(about(label, msg("standard input is not read here.")), "Save it as a file and give its name.")
    return local_name(name, label)


def _to_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "yes": True, "on": True, "1": True,
                "false": False, "no": False, "off": False, "0": False}.get(value.strip().lower())  # fmt: skip
    return value if isinstance(value, bool) else None


def _to_number(value: Any, kind: type) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if kind is float:
        return number
    return int(number) if number == int(number) else None


PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "fps": parse_rate,
    "start": parse_time,
    "end": parse_time,
    "duration": parse_time,
    "source_start": parse_time,
    "source_end": parse_time,
    "source_duration": parse_time,
    "size": parse_size,
    "camera_size": parse_size,
    "vcam_size": parse_size,
    "face": Faces.parse,
    "driving_face": FaceChoice.parse,
    "crop": Square.parse,
    "driver_for": FaceDriver.parse,
    "detector": DetectorChoice.parse,
    "mask": parse_mask,
    "reference": parse_reference,
    "background": Background.parse,
    "fill": parse_colour,
    "sliders": parse_sliders,
    "idle": parse_share,
    "stream": parse_targets,
}


def _info(section: str, spec: Field[Any], hint: Any) -> OptionInfo:
    data = spec.metadata
    choices = tuple(get_args(hint)) if get_origin(hint) is Literal else ()
    flags = tuple(data["flag"].split()) or ("--" + spec.name.replace("_", "-"),)
    return OptionInfo(
        name=spec.name,
        section=section,
        kind=str if choices else hint,
        choices=choices,
        default=spec.default,
        minimum=data["minimum"],
        maximum=data["maximum"],
        step=data["step"],
        unit=data["unit"],
        title=data["title"],
        help=data["help"],
        group=data["group"],
        flags=flags,
        advanced=data["advanced"],
        run_only=spec.name in RUN_ONLY,
        repeat=data["repeat"],
        several=data["several"],
    )


def declared(section: str, kind: Any) -> tuple[OptionInfo, ...]:
    """Declarations of a dataclass of options."""
    hints = typing.get_type_hints(kind)
    own = sorted(fields(kind), key=lambda spec: spec.name not in kind.__annotations__)  # inherited options come last
    return tuple(_info(section, spec, hints[spec.name]) for spec in own)


def show_value(value: Any) -> str:
    """Format a value as a user would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "none"
