"""Project files: everything that a session holds, with the files that it names relative to the project. No Qt."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.choices import FaceDriver
from app.errors import UsageError
from app.gui.session import SCHEMA_VERSION, Session, missing_files
from app.gui.store import write_text
from app.option_files import FILES, background_file
from liveportrait.limits import parse_json, read_limited
from models.messages import msg

SUFFIX: Final = ".portraits"
VERSION: Final = 1
KIND: Final = "portrait-animate project"
MAX_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Project:
    """An opened project.

    Attributes:
        session: What it holds.
        missing: Files that it names and that are not there; they are left out.
    """

    session: Session
    missing: tuple[str, ...] = ()


def write_project(path: Path, session: Session) -> Path:
    """Write a session as a project; the file is complete or as it was, whatever happens.

    Raises:
        UsageError: It can't be written.
    """
    base = path.absolute().parent

    def relative(name: str) -> str:
        if not os.path.isabs(name):
            return name
        try:
            return Path(os.path.relpath(name, base)).as_posix()
        except ValueError:  # on another drive
            return name

    data = {"kind": KIND, "version": VERSION, "session": _mapped(session.to_dict(), relative)}
    return write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_project(path: Path) -> Project:
    """Read a project.

    Raises:
        UsageError: It can't be read, is no project, or comes from a newer version of the program.
    """
    try:
        data = parse_json(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise UsageError(msg("{path} can't be read: {reason}.", path, error.strerror)) from None
    except ValueError:
        data = None
    if not isinstance(data, dict) or data.get("kind") != KIND or not isinstance(data.get("session"), dict):
        raise UsageError(msg("{path} is not a project.", path), msg("Choose a file that ends in {ending}.", SUFFIX))
    inner = data["session"]
    if data.get("version") != VERSION or inner.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            msg("{path} was written by another version of this program.", path), "Update the program to open it."
        )
    base = path.absolute().parent

    def absolute(name: str) -> str:
        return os.path.normpath(base / name)

    try:
        settled = _mapped(inner, absolute)
        return Project(Session.from_dict(settled), tuple(missing_files(settled)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UsageError(
            msg("{path} is not a project.", path), msg("Choose a file that ends in {ending}.", SUFFIX)
        ) from None


def _mapped(data: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A saved session in which all file names are changed."""

    def named(values: dict[str, Any]) -> dict[str, Any]:
        found = dict(values)
        for name in (*FILES, "landmarks", "path"):
            text = found.get(name)
            if text and (name != "expression" or Path(text).suffix):  # or the name of a saved expression
                found[name] = change(text)
        if (behind := background_file(found)) is not None:
            found["background"] = change(str(behind))
        if found.get("driver_for"):
            own = FaceDriver.parse(found["driver_for"])
            found["driver_for"] = "\n".join(f"{one.face}={change(str(one.path))}" for one in own)
        return found

    driver = dict(data["driver"])
    if driver["kind"] in ("file", "still", "template") and driver["source"]:
        driver["source"] = change(driver["source"])
    return {
        **data,
        "portraits": [named(one) for one in data["portraits"]],
        "values": named(data["values"]),
        "driver": driver,
    }
