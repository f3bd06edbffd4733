"""Build click commands from the declared options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

import portrait_animate
from app.addresses import STANDARD, local_name
from app.cli.layout import text_of
from app.errors import CancelledError, UsageError
from app.live_options import live_options
from app.options import OptionInfo, all_options, show_value
from app.speech_options import LIVELY

PLACEHOLDERS = {
    "output": "FILE",
    "record": "FILE",
    "stream": "ADDRESS",
    "camera": "CAMERA|FILE|URL",
    "fps": "RATE",
    "start": "TIME",
    "end": "TIME",
    "duration": "TIME",
    "source_start": "TIME",
    "source_end": "TIME",
    "source_duration": "TIME",
    "crop": "X,Y,SIZE",
    "face": "FACE",
    "driving_face": "FACE",
    "background": "WORD|COLOUR|IMAGE",
    "fill": "COLOUR",
    "size": "WxH",
    "reference": "FRAME",
    "points": "FILE",
    "signing_cert": "FILE",
    "signing_key": "FILE",
    "landmarks": "FILE",
    "pose_from": "CLIP",
    "exp_from": "CLIP",
    "lips_from": "CLIP",
    "eyes_from": "CLIP",
    "voice": "FILE",
    "idle": "[0..1]",
    "driver_for": "FACE=CLIP",
    "expression": "NAME|FILE",
    "sliders": "NAME=VALUE,...",
    "engine": "NAME",
    "device": "NAME",
}

BARE = {"--idle": LIVELY}  # flags whose value may be left out, and the value they then have
FILES = ("SOURCE", "DRIVING", "PHOTO", "VIDEO", "JOBS", "GLOB", "FILE", "[FILE]...", "FOLDER")  # file placeholders


class Flag(click.Option):
    """A flag.

    Args:
        name: Name of its value.
        flags: Its forms.
        panel: Heading under which help texts list it.
        shown: Its default in help texts, or empty.
        how: Passed to click.
    """

    def __init__(self, name: str, flags: Sequence[str], panel: str, shown: str = "", **how: Any) -> None:
        super().__init__([name, *flags], **how)
        self.panel, self.shown = panel, shown


class Argument(click.Argument):
    """A positional argument with a help text; file names stay text so that undecodable bytes in them survive."""

    def __init__(self, name: str, metavar: str, help_text: str, **how: Any) -> None:
        super().__init__([name], metavar=metavar, **how)
        self.help = help_text


class Command(click.Command):
    """A command whose help has the layout of app.cli.help, even where click prints it itself (-qh)."""

    def get_help(self, ctx: Any) -> str:
        """The help text."""
        return text_of(self, str(ctx.command_path)).rstrip()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; flags given without their optional value get its default."""
        return super().parse_args(ctx, _numbered(args))


def number_of(
    text: str | None, flag: str, low: float, high: float, default: float = 0.0, *, whole: bool = False
) -> float:
    """The number that a flag gives.

    Args:
        text: What was given, or None.
        flag: The flag, for the message.
        low: Smallest number allowed.
        high: Largest number allowed.
        default: Number if none was given.
        whole: Whether it must be a whole one.

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high or (whole and number != int(number)):
        kind = "whole number" if whole else "number"
        raise UsageError(f"{flag}: {text!r} is not a {kind} from {low:g} to {high:g}.")
    return number


def _numbered(args: Sequence[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    whole: list[str] = []
    for index, word in enumerate(args):
        whole.append(word)
        following = args[index + 1] if index + 1 < end else ""
        if index < end and word in BARE and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", following, re.IGNORECASE):
            whole.append(BARE[word])
    return whole


class Group(click.Group):
    """The same for a command with sub-commands; that of a module with a single command has the name ""."""

    get_help = Command.get_help


HELP_FLAGS = {"help_option_names": ["-h", "--help"]}


def make_app(help_text: str) -> Group:
    """The command group of a module."""
    return Group(help=help_text, context_settings=HELP_FLAGS)


def argument(name: str, metavar: str, help_text: str) -> Argument:
    """A positional argument."""
    return Argument(name, metavar, help_text)


def optional_argument(name: str, metavar: str, help_text: str) -> Argument:
    """An optional positional argument; None if it is left out."""
    return Argument(name, metavar, help_text, required=False)


def arguments(name: str, metavar: str, help_text: str, *, required: bool = False) -> Argument:
    """Any number of positional arguments; None if there are none."""
    return Argument(name, metavar, help_text, nargs=-1, required=required)


def text_flag(name: str, flags: Sequence[str], metavar: str, help_text: str, panel: str, **how: Any) -> Flag:
    """A flag with a value that isn't one of the declared options; None if it isn't given."""
    return Flag(name, flags, panel, metavar=metavar, help=help_text, **how)


def switch(name: str, flags: Sequence[str], help_text: str, panel: str) -> Flag:
    """An on/off flag that isn't one of the declared options."""
    return Flag(name, flags, panel, is_flag=True, default=False, help=help_text)


def option_flag(option: OptionInfo, help_text: str = "") -> Flag:
    """The flag of a declared option; None if it isn't given, so that values from files and presets apply.

    Args:
        option: Its declaration.
        help_text: Help for this command, if it differs from the declaration's.
    """
    shown = show_value(option.default) if option.default != "" else ""
    how: dict[str, Any] = {"help": help_text or option.help, "default": None}
    if option.kind is bool:
        long = option.flags[-1]
        return Flag(option.name, [*option.flags[:-1], f"{long}/--no-{long[2:]}"], option.group, shown, **how)
    # text on purpose: OptionInfo.check converts it and raises the right error
    return Flag(option.name, option.flags, option.group, shown, metavar=metavar(option), multiple=option.repeat, **how)


Work = Callable[[Mapping[str, Any]], int]


def command(
    app: Group,
    parameters: Sequence[Flag | Argument],
    work: Work,
    *,
    standard: Sequence[str] = (),
    armed: bool = False,
    name: str = "",
    help: str | None = None,
) -> None:
    """Add a command.

    Args:
        app: Application to add it to.
        parameters: Its arguments and flags. File names among them may be file:// URLs.
        work: Receives all values by name and returns the exit code.
        standard: Arguments that accept "-" for standard input.
        armed: Whether signals still end the program immediately while ``work`` runs: it creates nothing that needs
            cleanup, or handles signals itself (stop_on_signals) once it does.
        name: Its name; empty for the single command of a module.
        help: Its help text; that of the application by default.
    """
    declared = {info.name for info in (*all_options(), *live_options())}  # OptionInfo.check handles these
    files = {
        str(p.name): next((flag for flag in p.opts if flag.startswith("--")), str(p.metavar))
        for p in parameters
        if p.name not in declared and (p.metavar in FILES or p.name in ("preset", "base"))
    }

    def local(name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return [local(name, one) for one in value] or None
        if name not in files or not isinstance(value, str):
            return value
        if value == STANDARD and name not in standard:
            raise UsageError(f"{files[name]}: standard input and output can't be used here.", "Give a file name.")
        return local_name(value, files[name] if files[name].startswith("--") else "")

    def run(**values: Any) -> int:
        if not armed:
            portrait_animate.disarm()
        try:
            return work({name: local(name, value) for name, value in values.items()})
        except KeyboardInterrupt:
            raise CancelledError("Stopped.") from None

    app.commands[name] = Command(
        name, params=list(parameters), callback=run, help=help or app.help, context_settings=HELP_FLAGS
    )


def metavar(option: OptionInfo) -> str:
    """Placeholder for the value of an option in help texts."""
    if option.choices:
        words = "|".join(word for word in option.choices if "," not in word)
        return f"{words},..." if option.several else words
    word = {int: "N", float: "NUMBER"}.get(option.kind, "TEXT")
    if option.kind in (int, float) and option.minimum is not None and option.maximum is not None:
        return f"{option.minimum:g}..{option.maximum:g}"
    return PLACEHOLDERS.get(option.name, word)
