"""`animate models`: weight files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.cli.flags import argument, command, make_app, optional_argument, switch, text_flag
from app.cli.output import complain, say, show_path
from app.errors import ExitCode, MissingError, UsageError
from models.weights import user_folder

app = make_app("List, verify, import or download weight files. Nothing is downloaded unless you ask for it here.")
DEBUG = switch("debug", ["--debug"], "Show the traceback of an error.", "Output")
AS_JSON = switch("as_json", ["--json"], "Print one JSON object per line.", "Output")
WHICH = optional_argument("pattern", "MODEL", "Name or pattern such as liveportrait/*; all by default.")


def list_(values: Mapping[str, Any]) -> int:
    """Show every known model: whether it is here, its licence, and what it is for; with a pattern, networks too."""
    from models.networks import list_architectures
    from models.registry import get_model, list_models
    from models.weights import locate

    pattern = values["pattern"]
    networks = list_architectures(pattern) if pattern else []
    with_weights = list_models(pattern) if networks else _matching(pattern)
    for name in with_weights:
        spec = get_model(name)
        here = all(locate(file) for file in spec.files)
        if values["as_json"]:
            say(json.dumps({
                "name": name, "task": spec.task, "licence": spec.licence, "commercial_ok": spec.commercial_ok,
                "source": spec.source, "present": here, "note": spec.note,
                "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in spec.files],
            }))  # fmt: skip
        else:
            terms = spec.licence if spec.commercial_ok else f"{spec.licence}; no commercial use"
            say(f"{'here   ' if here else 'missing'} {name:<26} {spec.task} ({terms})")
    for name in [name for name in networks if name not in with_weights]:
        _say_network(name, values["as_json"])
    return int(ExitCode.OK)


def _say_network(name: str, as_json: bool) -> None:
    from models.networks import get_architecture

    net = get_architecture(name)
    on = net.backbone
    if as_json:
        say(json.dumps({"name": name, "task": net.group.task, "channels": on.channels, "strides": on.reductions,
                        "needs": on.needs or "torch"}))  # fmt: skip
    else:
        maps = ", ".join(f"{c} at 1/{r}" for c, r in zip(on.channels, on.reductions, strict=True))
        say(f"network {name:<34} {net.group.task}: {maps} (no weights; needs the extra {on.needs or 'torch'})")


def verify(values: Mapping[str, Any]) -> int:
    """Check that files are present and undamaged; exit code 1 if one is damaged, 6 if a named one is missing."""
    from models.weights import verify as check

    named = values["pattern"] is not None
    code = ExitCode.OK
    for name in _matching(values["pattern"]):
        statuses = check(name)
        for status in statuses:
            if values["as_json"]:
                say(json.dumps({"model": name, "file": status.file.name, "path": str(status.path),
                                "state": status.state, "message": status.message}))  # fmt: skip
            elif status.state != "missing" or named:
                say(f"{status.state:<8} {status.message}")
        missing = [s for s in statuses if s.state == "missing"]
        if missing and not named and not values["as_json"]:
            say(f"missing  {name} ({len(missing)} of {len(statuses)} files)")
        if any(s.state not in ("ok", "missing") for s in statuses):
            code = ExitCode.ERROR
        elif missing and named and code == ExitCode.OK:
            code = ExitCode.MISSING
    if not _verify_converted(None if not named else _files(values["pattern"]), values["as_json"]):
        code = ExitCode.ERROR
    return int(code)


def _verify_converted(sources: list[Path] | None, as_json: bool) -> bool:
    """Report on the conversions of these files (None: all); returns whether all are intact."""
    from models.converted import list_converted

    whole = True
    for one in list_converted():
        if sources is not None and not set(one.sources) & set(sources):
            continue
        origin = ", ".join(show_path(path) for path in one.sources) or "an unknown file"
        state = "ok" if one.whole else "damaged"
        message = f"{show_path(one.path)} is the conversion of {origin}."
        if not one.whole:
            message = f"{message[:-1]}, and damaged. It is made again when that model is loaded."
        if as_json:
            fields = {"model": "", "file": one.path.name, "path": str(one.path), "state": state, "message": message}
            say(json.dumps(fields))
        else:
            say(f"{state:<8} {message}")
        whole = whole and one.whole
    return whole


def _files(pattern: str | None) -> list[Path]:
    """Files of the installed models, links resolved."""
    from models.registry import get_model
    from models.weights import locate

    found = [locate(file) for name in _matching(pattern) for file in get_model(name).files]
    return [path.resolve() for path in found if path is not None]


def import_(values: Mapping[str, Any]) -> int:
    """Import the weights found in FOLDER, such as an official pretrained_weights tree; each file is checked."""
    from models.registry import ModelError
    from models.weights import import_folder, import_model

    folder, named = Path(values["folder"]), values["model"]
    faults: dict[str, str] = {}
    try:
        if named:
            _matching(named)
            taken = {named: import_model(named, folder, values["link"])}
        else:
            taken, faults = import_folder(folder, values["link"])
    except ModelError as error:
        raise MissingError(f"{error}") from None
    for name, paths in taken.items():
        say(f"{name}: {len(paths)} files in {show_path(user_folder())}")
    for name, fault in faults.items():
        complain(f"{name} was not imported: {fault}", "warning")
    if not taken:
        raise MissingError("Nothing was imported.")
    return int(ExitCode.ERROR if faults else ExitCode.OK)


def where(values: Mapping[str, Any]) -> int:
    """Show the folder where weights are kept, and each file in it, including conversions."""
    from models.converted import converted_of
    from models.registry import get_model
    from models.weights import locate

    say(show_path(user_folder()))
    for name in _matching(values["pattern"]):
        for file in get_model(name).files:
            path = locate(file)
            if path is None:
                continue
            say(f"{name:<26} {show_path(path)}")
            if (kept := converted_of(path)) is not None:
                say(f"{'':<26} {show_path(kept)} (converted from it, loads faster)")
    return int(ExitCode.OK)


def download(values: Mapping[str, Any]) -> int:
    """Download a model's files from their source."""
    from models.download import download_model
    from models.registry import ModelError, get_model

    _matching(values["model"])
    spec = get_model(values["model"])
    say(f"{spec.name}: {spec.task}. Licence: {spec.licence}. Source: {spec.source}. {spec.note}")
    try:
        paths = download_model(spec, accept_licence=values["accept_licence"])
    except ModelError as error:
        hint = "Add --accept-licence if its terms suit you." if not spec.commercial_ok else ""
        raise MissingError(f"{error}", hint) from None
    for path in paths:
        say(show_path(path))
    return int(ExitCode.OK)


def _matching(pattern: str | None) -> list[str]:
    from models.registry import list_models

    names = list_models(pattern or "*")
    if not names:
        raise UsageError(f"There is no model {pattern!r}.", "See animate models list.")
    return names


command(app, [WHICH, AS_JSON, DEBUG], list_, name="list", help=list_.__doc__)
command(app, [WHICH, DEBUG], where, name="where", help=where.__doc__)
command(app, [WHICH, AS_JSON, DEBUG], verify, name="verify", help=verify.__doc__)
command(
    app,
    [argument("folder", "FOLDER", "Folder to search, including its subfolders."),
     text_flag("model", ["--model"], "MODEL", "Only this model; all that are found by default.", "Input"),
     switch("link", ["--link"], "Link to the files instead of copying them; they must stay there.", "Input"), DEBUG],
    import_, name="import", help=import_.__doc__,
)  # fmt: skip
command(
    app,
    [argument("model", "MODEL", "Name of the model."),
     switch("accept_licence", ["--accept-licence"], "Accept a licence that forbids commercial use.", "Terms"), DEBUG],
    download, name="download", help=download.__doc__,
)  # fmt: skip
