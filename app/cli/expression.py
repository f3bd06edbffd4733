"""`animate expression`: saved expressions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.addresses import local_name
from app.cli.flags import argument, command, make_app, switch, text_flag
from app.cli.output import complain, say, show_path
from app.errors import ExitCode, UsageError
from app.expressions import expression_from, find_expression, list_expressions, save_expression
from models.messages import msg

DEBUG: Final = switch("debug", ["--debug"], "Show the traceback of an error.", "Output")
AS_JSON: Final = switch("as_json", ["--json"], "Print JSON.", "Output")

app = make_app("Slider values under a name, for --expression of other commands.")


def list_(values: Mapping[str, Any]) -> int:
    """Show the saved expressions, including the built-in ones."""
    saved, faults = list_expressions()
    for one in saved:
        if values["as_json"]:
            path = None if one.path is None else str(one.path)
            say(json.dumps({"name": one.name, "path": path, **one.expression.to_dict()}, ensure_ascii=False))
        else:
            own = "" if one.path is None else f" ({show_path(one.path)})"
            say(f"{one.name:<12} {_text(one.expression.to_dict())}{own}")
    for fault in faults:
        complain(fault, "warning")
    return int(ExitCode.OK)


def sliders(values: Mapping[str, Any]) -> int:
    """Show all sliders with their ranges."""
    from liveportrait.expression import SLIDERS

    for slider in SLIDERS.values():
        if values["as_json"]:
            say(json.dumps({
                "name": slider.name, "minimum": slider.minimum, "maximum": slider.maximum, "default": slider.default,
                "unit": slider.unit, "group": slider.group, "help": slider.help,
            }))  # fmt: skip
        else:
            say(f"{slider.name:<14} {f'{slider.minimum:g} to {slider.maximum:g}':<14} {slider.help}")
    return int(ExitCode.OK)


def save(values: Mapping[str, Any]) -> int:
    """Save sliders under NAME."""
    expression = expression_from(values["base"] or "", values["sliders"])
    if expression is None:
        raise UsageError("SLIDERS is empty.", "Write for example smile=0.5,blink=0.1.")
    out = Path(local_name(values["output"], "--output")) if values["output"] else None
    if out is None:
        known = {one.name.lower() for one in list_expressions()[0]}
        if values["name"].lower() in known and not values["overwrite"]:
            raise UsageError(f"There is already an expression {values['name']!r}.", "Add --overwrite to replace it.")
    elif out.exists() and not values["overwrite"]:
        raise UsageError(
            msg("{out} already exists.", out), msg("Add {option:overwrite} to replace it, or choose another name.")
        )
    say(show_path(save_expression(values["name"], expression, out)))
    return int(ExitCode.OK)


def show(values: Mapping[str, Any]) -> int:
    """Show one expression, by name or file."""
    data = find_expression(values["name"]).to_dict()
    say(json.dumps(data) if values["as_json"] else _text(data))
    return int(ExitCode.OK)


def _text(data: Mapping[str, Any]) -> str:
    """Sliders and eye and lip ratios in the syntax of --sliders."""
    parts = [f"{name}={value:g}" for name, value in data["sliders"].items()]
    for name, value in zip(("left_eye", "right_eye"), data.get("eye_ratio", ()), strict=False):
        parts += [] if value is None else [f"{name}={value:g}"]
    if "lip_ratio" in data:
        parts.append(f"lips={data['lip_ratio']:g}")
    return ",".join(parts) or "at rest"


OVERWRITE: Final = switch("overwrite", ["--overwrite"], "Replace one of the same name.", "Output")
command(app, [AS_JSON, DEBUG], list_, name="list", help=list_.__doc__)
command(app, [AS_JSON, DEBUG], sliders, name="sliders", help=sliders.__doc__)
command(app, [argument("name", "NAME", "Name or file."), AS_JSON, DEBUG], show, name="show", help=show.__doc__)
command(
    app,
    [
        argument("name", "NAME", "Name to save under."),
        argument("sliders", "SLIDERS", "Sliders with values, such as smile=0.5,yaw=10."),
        text_flag("base", ["--expression"], "NAME|FILE", "Start from this expression.", "Input"),
        text_flag("output", ["-o", "--output"], "FILE", "File to write instead of one among your own.", "Output"),
        OVERWRITE,
        DEBUG,
    ],
    save,
    name="save",
    help=save.__doc__,
)
