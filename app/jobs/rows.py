"""Validation of rows of the queue's tables; a queue file may come from anywhere."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from liveportrait.limits import check_nesting, first_fault, parse_json
from models.messages import msg, revived

State = Literal["queued", "running", "paused", "done", "failed", "cancelled", "skipped"]
STATES: Final[tuple[State, ...]] = get_args(State)
MOST_FILES: Final = 1_000_000  # of one result
LONGEST: Final = 1 << 16  # characters of a text
EMPTY: Final[dict[type, str]] = {dict: "{}", list: "[]"}
HUGE: Final = 256 << 20  # bytes of a JSON column


def plain_name(name: str) -> bool:
    """Whether a name is a plain file name that can't lead out of its folder."""
    return bool(name) and name not in (".", "..") and not any(mark in name for mark in "/\\\0")


@lru_cache(maxsize=1)
def _model() -> Any:
    from typing import Annotated

    from pydantic import BaseModel, ConfigDict, Field

    text = Annotated[str, Field(max_length=LONGEST)] | Annotated[bytes, Field(max_length=LONGEST)]
    name = Annotated[str, Field(min_length=1, max_length=LONGEST)] | Annotated[bytes, Field(min_length=1)]
    count = Annotated[int, Field(ge=0, lt=1 << 62)]
    moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # seconds since 1970, or a duration

    class JobRow(BaseModel):
        """A row of the table jobs."""

        model_config = ConfigDict(strict=True, extra="ignore")
        id: Annotated[int, Field(ge=1)]
        batch: text
        position: int
        source: name
        driving: text
        output: name
        options: str
        numbered: Literal[0, 1]
        expression: str | None
        origin: text
        state: State
        attempts: Annotated[int, Field(ge=0, lt=1 << 31)]
        crashes: count
        error: text
        exit_code: Annotated[int, Field(ge=0, le=255)]
        input_hash: str
        option_hash: str
        created: moment
        started: moment | None
        finished: moment | None
        seconds: moment
        frames: count
        worker: Annotated[str, Field(max_length=200)]
        pid: count
        host: Annotated[str, Field(max_length=1000)]
        files: str
        staged: str
        lane: Annotated[str, Field(max_length=1000)]
        progress: Annotated[str, Field(max_length=LONGEST)]
        notes: str
        details: Annotated[str, Field(max_length=1 << 22)] | Annotated[bytes, Field(max_length=1 << 22)]
        stop: int
        token: Annotated[str, Field(max_length=200)]

    return JobRow


def checked(row: sqlite3.Row) -> dict[str, Any]:
    """Values of a row of the table jobs, with its JSON columns read.

    Raises:
        ValueError: A column is not valid; the text is the rest of a sentence.
    """
    from pydantic import ValidationError

    try:
        values: dict[str, Any] = dict(_model().model_validate(dict(row)))
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    values["options"] = _json(values, "options", dict)
    if values["expression"] is not None:
        values["expression"] = _json(values, "expression", dict)
    for column in ("files", "staged"):
        values[column] = _files(values[column])
    values["notes"] = tuple(revived(note) for note in _json(values, "notes", list))
    values["progress"] = _progress(values["progress"])
    return values


def _json(values: dict[str, Any], column: str, kind: type) -> Any:
    if values[column] == EMPTY[kind]:  # most are
        return kind()
    try:
        found = parse_json(values[column], limit=HUGE, count=4 * MOST_FILES)
    except ValueError as error:
        raise ValueError(msg("its field {column!r}: {error}", column, error)) from None
    if not isinstance(found, kind):
        raise ValueError(msg("its field {column!r} is not a {what}", column, "table" if kind is dict else "list"))
    return found


def _files(text: str) -> tuple[tuple[str, int, int], ...]:
    """Files of a result; their times may have more digits than other numbers."""
    if text == EMPTY[list]:
        return ()
    try:
        check_nesting(text, 2)
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) > MOST_FILES:
        raise ValueError("its list of files is not valid")
    return tuple(_file(one) for one in found)


def _file(one: Any) -> tuple[str, int, int]:
    whole = isinstance(one, list) and [type(part) for part in one] == [str, int, int]
    if not whole or not plain_name(one[0]) or not all(0 <= n < 1 << 63 for n in one[1:]):
        raise ValueError("it names a result file that can't be one")
    return one[0], one[1], one[2]


def _progress(text: str) -> list[Any] | None:
    if not text:
        return None
    found = parse_json(text)
    kinds = (str, int, (int, type(None)), (int, float), (int, float, type(None)), str)
    if not isinstance(found, list) or len(found) != len(kinds):
        raise ValueError("its field 'progress' is not valid")
    if not all(isinstance(part, kind) for part, kind in zip(found, kinds, strict=True)):  # type: ignore[arg-type]
        raise ValueError("its field 'progress' is not valid")
    return found
