"""Turn the JSON of a request into a job: its inputs, checked options and sliders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, not_one_of
from app.jobs.spec import Entry, changed_values
from app.option_info import READ
from app.options import RenderOptions, find_option
from app.presets import BUILT_IN, resolve
from app.render.job import stem_of
from app.server.files import FileStore
from app.server.limits import RequestError
from models.messages import msg

FORMATS: Final = ("mp4", "mov", "mkv", "webm", "gif", "png", "jpg", "webp")
STILLS: Final = ("png", "jpg", "webp")
FIELDS: Final = ("source", "driving", "options", "preset", "expression", "format", "key")
# The server names results, reports progress and owns the files of the machine.
REFUSED: Final = frozenset(
    {"output", "overwrite", "json_lines", "quiet", "driver_for", "expression", "signing_cert", "signing_key"}
)
WORDS_OR_FILE: Final = frozenset({"background"})  # options that take words or a file


def read_options(files: FileStore, options: Any, preset: Any = "") -> RenderOptions:
    """Check the options of a request; those that name files take references to uploads.

    Args:
        files: Inputs that may be named.
        options: Option name -> value.
        preset: Name of a built-in preset, or empty.

    Raises:
        AppError: A name or a value is not accepted.
    """
    if not isinstance(options, Mapping) or not isinstance(preset, str):
        raise RequestError(422, "options must be an object of names and values, preset a name.")
    if preset and preset not in BUILT_IN:
        raise not_one_of("preset", preset, tuple(BUILT_IN))
    given = {}
    for name, value in options.items():
        info = find_option(str(name))
        if info.name in REFUSED:
            raise RequestError(422, msg("The option {name} can't be set by a request.", info.name))
        if isinstance(value, Mapping):
            if info.name not in READ:
                raise RequestError(422, msg("The option {name} doesn't name a file.", info.name))
            given[info.name] = os.fspath(files.find(value, info.name))
            continue
        if info.name in READ - WORDS_OR_FILE and value not in ("", None):
            raise RequestError(422, msg('The option {name} takes {{"file": ID}} of an upload.', info.name))
        if isinstance(value, str) and ({"/", "\\"} & set(value) or Path(value).is_file()):
            raise RequestError(422, msg("The value of {name} can't name a file of the server.", info.name))
        given[info.name] = value
    return resolve(given, preset=preset).options


def read_expression(values: Any) -> Mapping[str, Any] | None:
    """Check sliders: ``{"sliders": {NAME: VALUE}, "eye_ratio": [L, R], "lip_ratio": X}``; None for none.

    Raises:
        RequestError: A name or a value is not accepted.
    """
    from liveportrait.expression import Expression

    if values is None:
        return None
    try:
        if not isinstance(values, Mapping):
            raise ValueError("it must be an object.")
        return Expression.from_dict(values).to_dict()
    except ValueError as error:
        raise RequestError(422, msg("expression: {error}", error)) from None


def read_job(files: FileStore, request: Any, folder: Path) -> Entry:
    """The job that a request describes.

    Args:
        files: Inputs that may be named.
        request: The JSON object.
        folder: Folder for its result.

    Raises:
        AppError: Something in it is not accepted.
    """
    if not isinstance(request, Mapping):
        raise RequestError(422, "A job must be a JSON object.")
    for name in request:
        if name not in FIELDS:
            raise not_one_of("", str(name), FIELDS)
    source = files.find(request.get("source"), "source")
    driving = files.find(request["driving"], "driving") if request.get("driving") is not None else None
    options = read_options(files, request.get("options") or {}, request.get("preset") or "")
    expression = read_expression(request.get("expression"))
    kind = files.check(source).kind
    if kind not in ("image", "clip"):
        raise RequestError(422, "source must be an image or a clip.")
    moving = driving is not None and files.check(driving).kind != "image"
    if driving is None and expression is None and not (options.input.voice or options.input.idle):
        raise RequestError(
            422, "Nothing moves the portrait.", "Name driving, an expression, or the option idle or voice."
        )
    still = kind == "image" and not moving and not (options.input.voice or options.input.idle)
    ending = request.get("format") or ("png" if still else "mp4")
    if ending not in FORMATS:
        raise not_one_of("format", str(ending), FORMATS)
    if ending in STILLS and not still and ending != "webp":
        raise RequestError(422, msg("A clip can't be written as {ending}.", ending), "Choose mp4, webm or gif.")
    name = stem_of(source) + ("" if driving is None else f"--{stem_of(driving)}")
    return Entry(
        source, driving, os.fspath(folder / f"{name}.{ending}"), changed_values(options), "", False, expression
    )


def told(error: AppError) -> dict[str, str]:
    """An error as JSON."""
    return {"error": str(error.message), "hint": str(error.hint)}
