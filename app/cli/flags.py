"""Build typer commands from the declared options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

import typer
import typer.core

import portrait_animate
from app.addresses import STANDARD, local_name
from app.cli.layout import text_of
from app.errors import CancelledError, UsageError
from app.live_options import live_options
from app.options import OptionInfo, all_options, show_value
from app.speech_options import LIVELY

Parameter = inspect.Parameter
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
    "background": "WORD|COLOUR|PICTURE",
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


class Command(typer.core.TyperCommand):
    """A command whose help has the layout of app.cli.help, even where typer prints it itself (-qh)."""

    def get_help(self, ctx: Any) -> str:
        """The help text."""
        return text_of(self, str(ctx.command_path)).rstrip()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; flags given without their optional value get its default."""
        return super().parse_args(ctx, _numbered(args))


def _numbered(args: Sequence[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    whole: list[str] = []
    for index, word in enumerate(args):
        whole.append(word)
        following = args[index + 1] if index + 1 < end else ""
        if index < end and word in BARE and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", following, re.IGNORECASE):
            whole.append(BARE[word])
    return whole


class Group(typer.core.TyperGroup):
    """The same for a command with sub-commands."""

    get_help = Command.get_help


def make_app(help_text: str) -> typer.Typer:
    """A typer application that leaves errors to app.cli.main."""
    return typer.Typer(
        cls=Group,
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def argument(name: str, metavar: str, help_text: str) -> Parameter:
    """A positional argument; file names stay text so that undecodable bytes in them survive."""
    info = typer.Argument(..., metavar=metavar, help=help_text, show_default=False)
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=info, annotation=str)


def optional_argument(name: str, metavar: str, help_text: str) -> Parameter:
    """An optional positional argument; None if it is left out."""
    info = typer.Argument(None, metavar=metavar, help=help_text, show_default=False)
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=info, annotation=Optional[str])  # noqa: UP045


def text_flag(name: str, flags: Sequence[str], metavar: str, help_text: str, panel: str) -> Parameter:
    """A flag with a value that isn't one of the declared options; None if it isn't given."""
    info = typer.Option(None, *flags, metavar=metavar, help=help_text, rich_help_panel=panel, show_default=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=info, annotation=Optional[str])  # noqa: UP045


def switch(name: str, flags: Sequence[str], help_text: str, panel: str) -> Parameter:
    """An on/off flag that isn't one of the declared options."""
    info = typer.Option(False, *flags, help=help_text, rich_help_panel=panel, show_default=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=info, annotation=bool)


def option_flag(option: OptionInfo, help_text: str = "") -> Parameter:
    """The flag of a declared option; None if it isn't given, so that values from files and presets apply.

    Args:
        option: Its declaration.
        help_text: Help for this command, if it differs from the declaration's.
    """
    option = replace(option, help=help_text or option.help)
    shown = show_value(option.default) if option.default != "" else False
    if option.kind is bool:
        long = option.flags[-1]
        flags = [*option.flags[:-1], f"{long}/--no-{long[2:]}"]
        info = typer.Option(None, *flags, help=option.help, rich_help_panel=option.group, show_default=shown)
        return Parameter(option.name, Parameter.KEYWORD_ONLY, default=info, annotation=Optional[bool])  # noqa: UP045
    info = typer.Option(
        None, *option.flags, metavar=metavar(option), help=option.help, rich_help_panel=option.group, show_default=shown
    )
    if option.repeat:
        return Parameter(option.name, Parameter.KEYWORD_ONLY, default=info, annotation=Optional[list[str]])  # noqa: UP045
    # text on purpose: OptionInfo.check converts it and raises the right error
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=info, annotation=Optional[str])  # noqa: UP045


Work = Callable[[Mapping[str, Any]], int]


def command(
    app: typer.Typer,
    parameters: Sequence[Parameter],
    work: Work,
    *,
    standard: Sequence[str] = (),
    armed: bool = False,
    **how: Any,
) -> None:
    """Add a command.

    Args:
        app: Application to add it to.
        parameters: Its arguments and flags. File names among them may be file:// URLs.
        work: Receives all values by name and returns the exit code.
        standard: Arguments that accept "-" for standard input.
        armed: Whether signals still end the program immediately while ``work`` runs: it creates nothing that needs
            cleanup, or handles signals itself (stop_on_signals) once it does.
        how: Name and help, passed to typer.
    """
    declared = {info.name for info in (*all_options(), *live_options())}  # OptionInfo.check handles these
    files = {
        p.name: next((flag for flag in getattr(p.default, "param_decls", ()) or () if flag.startswith("--")), "")
        for p in parameters
        if p.name not in declared and (p.default.metavar in FILES or p.name in ("preset", "base"))
    }

    def local(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [local(name, one) for one in value] or None
        if name not in files or not isinstance(value, str):
            return value
        if value == STANDARD and name not in standard:
            word = files[name] or {p.name: p.default.metavar for p in parameters}[name]
            raise UsageError(f"{word}: standard input and output can't be used here.", "Name a file.")
        return local_name(value, files[name])

    def run(**values: Any) -> int:
        if not armed:
            portrait_animate.disarm()
        try:
            return work({name: local(name, value) for name, value in values.items()})
        except KeyboardInterrupt:  # typer would exit with its own code
            raise CancelledError("Stopped.") from None

    run.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command(**{"cls": Command, "help": app.info.help, **how})(run)


def metavar(option: OptionInfo) -> str:
    """Placeholder for the value of an option in help texts."""
    if option.choices:
        words = "|".join(word for word in option.choices if "," not in word)
        return f"{words},..." if option.several else words
    word = {int: "N", float: "NUMBER"}.get(option.kind, "TEXT")
    if option.kind in (int, float) and option.minimum is not None and option.maximum is not None:
        return f"{option.minimum:g}..{option.maximum:g}"
    return PLACEHOLDERS.get(option.name, word)
