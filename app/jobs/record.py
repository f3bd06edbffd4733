"""A job's record in the queue."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.events import Event
from app.jobs.rows import State, checked
from models.messages import Message, revived, stored_message

ENDED: Final[tuple[State, ...]] = ("done", "failed", "cancelled", "skipped")
AS_STORED: Final = (  # columns copied unchanged into a record
    "id", "position", "expression", "state", "attempts", "exit_code", "input_hash", "option_hash", "created", "started",
    "finished", "seconds", "frames", "worker", "pid", "host", "files", "lane", "notes", "token",
)  # fmt: skip
READING: Final = 1 / 3  # share of a job attributed to reading the motion


@dataclass(frozen=True)
class Progress:
    """Progress of a running job.

    Attributes:
        phase: "track" (reading the motion) or "render".
        done: Frames done in this phase.
        total: Frames of this phase, None if not known.
        fps: Frames per second.
        eta: Remaining seconds in this phase, or None.
        title: Display name of the phase.
    """

    phase: str = ""
    done: int = 0
    total: int | None = None
    fps: float = 0.0
    eta: float | None = None
    title: str = ""

    @classmethod
    def of(cls, event: Event) -> Progress:
        """Progress from an event of kind "phase" or "progress"."""
        return cls(event.phase, event.done, event.total, event.fps, event.eta, event.message)

    @property
    def share(self) -> float:
        """Fraction of the job that is done, 0 to 1: a third for reading the motion, the rest for rendering."""
        part = min(1.0, self.done / self.total) if self.total else 0.0
        if self.phase == "track":
            return part * READING
        return READING + part * (1 - READING) if self.phase == "render" else 0.0

    def to_text(self) -> str:
        """The progress as stored in the queue."""
        return json.dumps([self.phase, self.done, self.total, round(self.fps, 3), self.eta, self.title])


@dataclass(frozen=True)
class JobRecord:
    """One job.

    Attributes:
        id: Its number, never reused.
        batch: Its batch: a job file, a command line, or a name chosen by the caller.
        position: Position in the processing order.
        source: Source file.
        driving: Driving file, or None: sliders pose the source.
        output: File or URL of the result.
        values: Option name -> value, only those that differ from the default.
        numbered: Whether the output is a pattern for numbered images.
        expression: Sliders on top of the motion (Expression.to_dict), or None.
        where: Where it was defined.
        state: queued, running, paused, done, failed, cancelled or skipped.
        attempts: How often it was started.
        error: One line for failed and skipped jobs, and for done ones whose input was truncated.
        exit_code: Exit code of running this job alone.
        input_hash: Hash of both inputs as they were rendered.
        option_hash: Hash of the options.
        created: Seconds since 1970.
        started: The same, or None.
        finished: The same, or None.
        seconds: Duration of the render.
        frames: Frames written.
        worker: Worker that runs it or ran it last.
        pid: Process of the worker.
        host: Machine of the worker.
        files: Files of the result: name, size and modification time in nanoseconds.
        lane: Queue name that it is assigned to; empty for workers of its batch.
        progress: Progress while it runs, None if not known.
        notes: Notes collected during the run.
        details: Traceback of a failure, for a report.
        token: Random text that distinguishes the job from those of other queues.
    """

    id: int
    batch: str
    position: int
    source: Path
    driving: Path | None
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
    lane: str = ""
    progress: Progress | None = None
    notes: tuple[str, ...] = ()
    details: str = ""
    token: str = ""

    @property
    def share(self) -> float:
        """Fraction of it that is done, 0 to 1."""
        if self.state == "done":
            return 1.0
        return self.progress.share if self.state == "running" and self.progress is not None else 0.0

    def failure(self) -> dict[str, Any]:
        """Facts about a failed job for summaries."""
        facts = self.to_json()
        return {name: facts[name] for name in ("id", "source", "driving", "output", "error")}

    def to_json(self) -> dict[str, Any]:
        """The job as a JSON object (docs/batch.md describes it)."""
        return {
            "id": self.id,
            "batch": self.batch,
            "state": self.state,
            "source": str(self.source),
            "driving": driver_name(self.driving),
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
            "progress": round(self.share, 4),
            "notes": list(self.notes),
        }


def driver_name(driving: Path | None) -> str:
    """A driving file as text; sliders have none."""
    return "" if driving is None else str(driving)


def stored(path: str | os.PathLike[str]) -> str | bytes:
    """A file name for the database: text, or bytes if it can't be decoded."""
    name = os.fspath(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def restored(value: str | bytes) -> str:
    """A file name from the database."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def stored_sentence(text: str) -> str | bytes:
    """A sentence for the database: JSON of its template and values, or text."""
    return json.dumps(text.to_json()) if isinstance(text, Message) else stored(text)


def restored_sentence(value: str | bytes) -> str:
    """A sentence from the database."""
    text = restored(value)
    try:
        return revived(json.loads(text)) if text.startswith('{"message_id"') else text
    except ValueError:
        return text


def stored_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a render for the table."""
    found = dict(facts)
    if "notes" in found:
        found["notes"] = json.dumps([stored_message(note) for note in found["notes"]])
    if "error" in found:
        found["error"] = stored_sentence(found["error"])
    if "details" in found:
        found["details"] = stored(found["details"])
    return found


def record_of(row: sqlite3.Row) -> JobRecord:
    """The record of a database row.

    Raises:
        ValueError: The row is not valid; the text is the rest of a sentence.
    """
    return record_from(checked(row))


def record_from(values: Mapping[str, Any]) -> JobRecord:
    """The record of a row's checked values, see app.jobs.rows.checked."""
    return JobRecord(
        batch=restored(values["batch"]),
        source=Path(restored(values["source"])),
        driving=Path(restored(values["driving"])) if values["driving"] else None,
        output=restored(values["output"]),
        values=values["options"],
        numbered=bool(values["numbered"]),
        where=restored(values["origin"]),
        error=restored_sentence(values["error"]),
        progress=None if values["progress"] is None else Progress(*values["progress"]),
        details=restored(values["details"]),
        **{name: values[name] for name in AS_STORED},
    )
