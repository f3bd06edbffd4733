"""A job as it stands in the queue."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

State = Literal["queued", "running", "done", "failed", "cancelled", "skipped"]
STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True)
class JobRecord:
    """One job.

    Attributes:
        id: Its number, never used again.
        batch: Whom it belongs to: a job file, a command line, a name of the caller's.
        position: Place in the order of work.
        source: Source file.
        driving: Driving file.
        output: File or address of the result.
        values: Option name -> value of those that are not at their default.
        numbered: Whether the output stands for numbered pictures.
        expression: Sliders on top of the motion (Expression.to_dict), or None.
        where: Where it was written down.
        state: queued, running, done, failed, cancelled or skipped.
        attempts: How often it was started.
        error: One line for failed and skipped jobs, and for done ones whose input broke off.
        exit_code: What a run of this job alone would have ended with.
        input_hash: Hash of both inputs as they were rendered.
        option_hash: Hash of what the options ask for.
        created: Seconds since 1970.
        started: The same, or None.
        finished: The same, or None.
        seconds: Time that the render took.
        frames: Frames written.
        worker: Who runs it or ran it last.
        pid: Process of the worker.
        host: Machine of the worker.
        files: Files of the result: name, size and time of change in nanoseconds.
    """

    id: int
    batch: str
    position: int
    source: Path
    driving: Path
    output: str
    values: Mapping[str, Any]
    numbered: bool
    expression: Mapping[str, Any] | None
    where: str
    state: State
    attempts: int
    error: str
    exit_code: int
    input_hash: str
    option_hash: str
    created: float
    started: float | None
    finished: float | None
    seconds: float
    frames: int
    worker: str
    pid: int
    host: str
    files: tuple[tuple[str, int, int], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The job as a JSON object (docs/batch.md describes it)."""
        return {
            "id": self.id,
            "batch": self.batch,
            "state": self.state,
            "source": str(self.source),
            "driving": str(self.driving),
            "output": self.output,
            "options": dict(self.values),
            "where": self.where,
            "attempts": self.attempts,
            "error": self.error,
            "exit_code": self.exit_code,
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "worker": self.worker,
            "pid": self.pid,
            "host": self.host,
            "input_hash": self.input_hash,
            "option_hash": self.option_hash,
        }


def stored(path: str | os.PathLike[str]) -> str | bytes:
    """A file name as the database takes it: text, or bytes if it is no text."""
    name = os.fspath(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def restored(value: str | bytes) -> str:
    """A file name out of the database."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def record_of(row: sqlite3.Row) -> JobRecord:
    """The record of a database row."""
    return JobRecord(
        id=row["id"],
        batch=restored(row["batch"]),
        position=row["position"],
        source=Path(restored(row["source"])),
        driving=Path(restored(row["driving"])),
        output=restored(row["output"]),
        values=json.loads(row["options"]),
        numbered=bool(row["numbered"]),
        expression=None if row["expression"] is None else json.loads(row["expression"]),
        where=restored(row["origin"]),
        state=row["state"],
        attempts=row["attempts"],
        error=restored(row["error"]),
        exit_code=row["exit_code"],
        input_hash=row["input_hash"],
        option_hash=row["option_hash"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        seconds=row["seconds"],
        frames=row["frames"],
        worker=row["worker"],
        pid=row["pid"],
        host=row["host"],
        files=tuple((name, size, stamp) for name, size, stamp in json.loads(row["files"])),
    )
