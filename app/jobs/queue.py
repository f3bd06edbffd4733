"""The queue: jobs in an SQLite file that many processes may open and that a kill at any moment leaves whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, MediaError, UsageError
from app.jobs.alive import is_alive, machine
from app.jobs.hashes import content_hash, input_files, joint_hash, option_hash
from app.jobs.record import STATES, JobRecord, State, record_of, restored, stored
from app.jobs.spec import Entry
from app.jobs.target import Files, open_target

LEASE: Final = 30.0  # seconds without a sign of life after which a worker counts as dead
CRASHES: Final = 3  # how often a job may take its worker down with it
VERSION: Final = 1
MOST_VALUES: Final = 500  # that are named in one query
TABLES: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, batch NOT NULL, position INTEGER NOT NULL, source NOT NULL, driving NOT NULL,
    output NOT NULL UNIQUE, options TEXT NOT NULL, numbered INTEGER NOT NULL, expression TEXT, origin NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
    error NOT NULL DEFAULT '', exit_code INTEGER NOT NULL DEFAULT 0, input_hash TEXT NOT NULL DEFAULT '',
    option_hash TEXT NOT NULL, created REAL NOT NULL, started REAL, finished REAL, seconds REAL NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, worker TEXT NOT NULL DEFAULT '', pid INTEGER NOT NULL DEFAULT 0,
    host TEXT NOT NULL DEFAULT '', files TEXT NOT NULL DEFAULT '[]', staged TEXT NOT NULL DEFAULT '[]',
    stop INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, position);
CREATE TABLE IF NOT EXISTS workers (
    name TEXT PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, beat REAL NOT NULL, folder NOT NULL);
CREATE TABLE IF NOT EXISTS hashes (
    path PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL, inode INTEGER NOT NULL, hash TEXT NOT NULL);
"""
# A worker goes on with its portrait; a new one takes a portrait and a clip that nobody works on.
NEXT: Final = """
SELECT * FROM jobs WHERE state = 'queued' {only} ORDER BY source = :last DESC,
    source IN (SELECT source FROM jobs WHERE state = 'running'), driving IN (SELECT driving FROM jobs WHERE state =
    'running'), position, id LIMIT 1
"""


def default_path() -> Path:
    """The user's own queue; $PORTRAIT_ANIMATE_QUEUE names another."""
    chosen = os.environ.get("PORTRAIT_ANIMATE_QUEUE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_state_path

    return user_state_path("portrait-animate", appauthor=False) / "queue.sqlite3"


@dataclass(frozen=True)
class Added:
    """What :meth:`Queue.add` made of some jobs.

    Attributes:
        ids: Their numbers, in order.
        queued: How many are to be rendered.
        kept: How many are done already, with the same inputs and options.
        cancelled: How many were cancelled before and stay so.
    """

    ids: tuple[int, ...]
    queued: int
    kept: int
    cancelled: int


class Queue:
    """Jobs on disk. Safe between threads and processes; use it in a ``with`` statement or call ``close``.

    Args:
        path: SQLite file, made if it is not there; the user's own queue by default. Not on a network drive: for
            several machines there is app.jobs.cluster.

    Raises:
        MediaError: It can't be opened or is no queue.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(os.path.abspath(path if path is not None else default_path()))
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self._change():
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version > VERSION:
                    raise MediaError(f"{self.path} was made by a newer version.", "Update the program.")
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise MediaError(f"{self.path} can't be used as a queue: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process comes between."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # ---- what callers do with jobs ----------------------------------------------------------------------------------
    def add(self, entries: Iterable[Entry], batch: str = "", *, replace: bool = False) -> Added:
        """Put jobs into the queue; a job is known by its output.

        One that is done with the same inputs and options, and whose result is still there, stays done; a cancelled one
        stays cancelled; every other one is queued.

        Args:
            entries: The jobs.
            batch: Whom they belong to.
            replace: Remove queued jobs of the batch that are no longer among them.

        Raises:
            UsageError: One of the outputs is being rendered just now from other inputs or with other options.
        """
        entries = list(entries)
        kept = {entry.output: self._is_done(entry) for entry in entries}
        ids: list[int] = []
        counts = {"queued": 0, "done": 0, "cancelled": 0}
        with self._change() as db:
            last = db.execute("SELECT COALESCE(MAX(position), 0) FROM jobs").fetchone()[0]
            for position, entry in enumerate(entries, last + 1):
                number, state = self._put(db, entry, batch, position, kept[entry.output])
                ids.append(number)
                counts[state] += 1
            if replace:
                gone = db.execute(
                    "SELECT id FROM jobs WHERE batch = ? AND state = 'queued'", (stored(batch),)
                ).fetchall()
                present = set(ids)
                db.executemany("DELETE FROM jobs WHERE id = ?", [(r["id"],) for r in gone if r["id"] not in present])
        return Added(tuple(ids), counts["queued"], counts["done"], counts["cancelled"])

    def _put(self, db: sqlite3.Connection, entry: Entry, batch: str, position: int, done: bool) -> tuple[int, str]:
        hashed = option_hash(entry.values, entry.numbered, entry.expression)
        row = db.execute("SELECT * FROM jobs WHERE output = ?", (stored(entry.output),)).fetchone()
        fields: dict[str, Any] = {
            "batch": stored(batch),
            "position": position,
            "source": stored(entry.source),
            "driving": stored(entry.driving),
            "options": json.dumps(dict(entry.values)),
            "numbered": int(entry.numbered),
            "expression": None if entry.expression is None else json.dumps(dict(entry.expression)),
            "origin": stored(entry.where),
            "option_hash": hashed,
        }
        if row is None:
            fields |= {"output": stored(entry.output), "state": "queued", "created": time.time()}
            names = ", ".join(fields)
            marks = ", ".join(f":{name}" for name in fields)
            return int(db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", fields).lastrowid or 0), "queued"  # noqa: S608
        known = record_of(row)
        same = (known.source, known.driving, known.option_hash) == (entry.source, entry.driving, hashed)
        state = "queued"
        if known.state == "running":
            if not same:
                raise UsageError(
                    f"{entry.output} is being rendered just now, as job {known.id} of {known.batch}, from other inputs "
                    "or with other options.",
                    "Wait for it, or cancel it: animate jobs cancel.",
                )
            fields = {"batch": fields["batch"]}
        elif done or (known.state == "cancelled" and same):
            fields, state = {"batch": fields["batch"], "position": position}, known.state
        elif same and known.state == "queued":
            fields["stop"] = 0
        else:
            fields |= {"state": "queued", "attempts": 0, "crashes": 0, "error": "", "exit_code": 0, "stop": 0}
        setting = ", ".join(f"{name} = :{name}" for name in fields)
        db.execute(f"UPDATE jobs SET {setting} WHERE id = :id", {**fields, "id": known.id})  # noqa: S608
        return known.id, state

    def _is_done(self, entry: Entry) -> bool:
        rows = self._rows("SELECT * FROM jobs WHERE output = ? AND state = 'done'", (stored(entry.output),))
        if not rows:
            return False
        known = record_of(rows[0])
        if (known.source, known.driving) != (entry.source, entry.driving):
            return False
        if known.option_hash != option_hash(entry.values, entry.numbered, entry.expression):
            return False
        if known.input_hash != self.input_hash(entry.source, entry.driving, entry.values):
            return False
        try:
            return open_target(known.output, known.numbered).holds(known.files)
        except AppError:
            return False

    def jobs(self, *, batch: str | None = None, states: Iterable[str] = (), ids: Iterable[int] = ()) -> list[JobRecord]:
        """Jobs in the order of work, all or those of a batch, of some states, of some numbers.

        Raises:
            UsageError: There is no such state or number.
        """
        wanted, numbers = list(states), list(ids)
        for state in wanted:
            if state not in STATES:
                raise UsageError(f"{state!r} is not one of {', '.join(STATES)}.")
        only: list[str] = []
        values: list[Any] = []
        if batch is not None:
            only.append("batch = ?")
            values.append(stored(batch))
        if wanted:
            only.append(f"state IN ({', '.join('?' * len(wanted))})")
            values += wanted
        few = len(numbers) <= MOST_VALUES
        if numbers and few:
            only.append(f"id IN ({', '.join('?' * len(numbers))})")
            values += numbers
        clause = f"WHERE {' AND '.join(only)}" if only else ""
        rows = self._rows(f"SELECT * FROM jobs {clause} ORDER BY position, id", values)  # noqa: S608
        present = set(numbers)
        found = [record_of(row) for row in rows if few or row["id"] in present]
        missing = present - {job.id for job in found}
        missing -= {row["id"] for row in self._rows("SELECT id FROM jobs")} if missing else set()
        if missing:
            raise UsageError(f"There is no job {min(missing)} in {self.path}.", "See animate jobs list.")
        return found

    def find(self, number: int) -> list[JobRecord]:
        """The job of a number, nothing if somebody has cleared it meanwhile."""
        return [record_of(row) for row in self._rows("SELECT * FROM jobs WHERE id = ?", (number,))]

    def get(self, number: int) -> JobRecord:
        """The job of a number.

        Raises:
            UsageError: There is none.
        """
        return self.jobs(ids=[number])[0]

    def counts(self, batch: str | None = None) -> dict[str, int]:
        """Number of jobs by state."""
        only, values = ("WHERE batch = ?", (stored(batch),)) if batch is not None else ("", ())
        rows = self._rows(f"SELECT state, COUNT(*) AS n FROM jobs {only} GROUP BY state", values)  # noqa: S608
        return dict.fromkeys(STATES, 0) | {row["state"]: row["n"] for row in rows}

    def cancel(self, ids: Iterable[int]) -> int:
        """Cancel queued jobs at once and running ones at their next frame; returns how many that are."""
        count = 0
        with self._change() as db:
            for number in ids:
                count += db.execute(
                    "UPDATE jobs SET state = 'cancelled', finished = ?, error = '' WHERE id = ? AND state = 'queued'",
                    (time.time(), number),
                ).rowcount
                count += db.execute("UPDATE jobs SET stop = 1 WHERE id = ? AND state = 'running'", (number,)).rowcount
        return count

    def retry(self, ids: Iterable[int]) -> int:
        """Queue finished jobs again; those that are done are rendered anew. Returns how many that are."""
        with self._change() as db:
            return sum(
                db.execute(
                    "UPDATE jobs SET state = 'queued', attempts = 0, crashes = 0, error = '', exit_code = 0, stop = 0 "
                    "WHERE id = ? AND state NOT IN ('queued', 'running')",
                    (number,),
                ).rowcount
                for number in ids
            )

    def clear(self, ids: Iterable[int]) -> int:
        """Forget jobs that are not running; their results stay. Returns how many that are."""
        with self._change() as db:
            return sum(
                db.execute("DELETE FROM jobs WHERE id = ? AND state != 'running'", (number,)).rowcount for number in ids
            )

    def move_first(self, ids: Sequence[int]) -> None:
        """Put jobs before all others, in this order."""
        with self._change() as db:
            first = db.execute("SELECT COALESCE(MIN(position), 0) FROM jobs").fetchone()[0] - len(ids)
            db.executemany("UPDATE jobs SET position = ? WHERE id = ?", [(first + i, n) for i, n in enumerate(ids)])

    # ---- what workers do with jobs ----------------------------------------------------------------------------------
    def join(self, worker: str, folder: Path, pid: int | None = None) -> None:
        """Announce a worker and its folder for scratch files."""
        with self._change() as db:
            values = (worker, os.getpid() if pid is None else pid, machine(), time.time(), stored(folder))
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)", values)

    def beat(self, worker: str) -> set[int]:
        """Give a sign of life; returns the jobs of this worker that somebody wants to stop."""
        with self._change() as db:
            db.execute("UPDATE workers SET beat = ? WHERE name = ?", (time.time(), worker))
            rows = db.execute("SELECT id FROM jobs WHERE worker = ? AND state = 'running' AND stop", (worker,))
            return {row["id"] for row in rows}

    def claim(self, worker: str, batch: str | None = None, last: Path | None = None) -> JobRecord | None:
        """Take the next job; None if none is left.

        Args:
            worker: Who takes it (see :meth:`join`).
            batch: Only jobs of this batch.
            last: Source of the job before; jobs with the same are preferred.
        """
        only = "AND batch = :batch" if batch is not None else ""
        values = {"last": "" if last is None else stored(last), "batch": stored(batch or "")}
        with self._change() as db:
            row = db.execute(NEXT.format(only=only), values).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ?, finished = NULL, stop = 0, "
                "worker = ?, pid = (SELECT pid FROM workers WHERE name = ?), host = ?, staged = '[]' WHERE id = ?",
                (time.time(), worker, worker, machine(), row["id"]),
            )
            return record_of(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())

    def _update(self, job: JobRecord, **fields: Any) -> bool:
        """Change a job that is still claimed; False if it no longer is."""
        setting = ", ".join(f"{name} = :{name}" for name in fields)
        query = f"UPDATE jobs SET {setting} WHERE id = :_id AND worker = :_worker AND attempts = :_attempts"  # noqa: S608
        values = {**fields, "_id": job.id, "_worker": job.worker, "_attempts": job.attempts}
        with self._change() as db:
            return db.execute(f"{query} AND state = 'running'", values).rowcount == 1

    def staged(self, job: JobRecord, what: Files, **facts: Any) -> bool:
        """Note what a finished render consists of, before it gets its names.

        Args:
            job: The claimed job.
            what: Its files.
            facts: input_hash, frames, seconds, error, exit_code.

        Returns:
            False if the claim no longer holds: the result must be thrown away.
        """
        return self._update(job, staged=json.dumps(what), **facts)

    def done(self, job: JobRecord, what: Files) -> bool:
        """Note that a result stands under its name."""
        return self._update(job, state="done", files=json.dumps(what), staged="[]", finished=time.time())

    def failed(self, job: JobRecord, error: str, exit_code: int, state: State = "failed", **facts: Any) -> bool:
        """Note why a job was not done; ``state`` may also be skipped or cancelled."""
        now = time.time()
        return self._update(job, state=state, error=stored(error), exit_code=exit_code, finished=now, **facts)

    def give_back(self, job: JobRecord) -> bool:
        """Queue a claimed job again, as if it had not been started."""
        return self._update(job, state="queued", attempts=job.attempts - 1, started=None)

    def leave(self, worker: str) -> None:
        """Take a worker off the list; its scratch files go."""
        rows = self._rows("SELECT folder FROM workers WHERE name = ? AND host = ?", (worker, machine()))
        for row in rows:
            shutil.rmtree(restored(row["folder"]), ignore_errors=True)
        with self._change() as db:
            db.execute("DELETE FROM workers WHERE name = ?", (worker,))

    # ---- after a crash ----------------------------------------------------------------------------------------------
    def recover(self, dead: Iterable[str] = (), *, blame: bool = False, reason: str = "") -> list[JobRecord]:
        """Bring the jobs of dead workers in order: complete what only lacked its name, queue the rest again.

        Args:
            dead: Workers known to be dead; others are found out.
            blame: The workers died of their jobs; a job that does so too often fails.
            reason: How they died, for the error of such a job.

        Returns:
            The jobs, as they stand now.
        """
        known, now = set(dead), time.time()
        for row in self._rows("SELECT * FROM workers"):
            here = row["host"] == machine()
            if (here and not is_alive(row["pid"])) or now - row["beat"] > LEASE:
                known.add(row["name"])
        present = {row["name"] for row in self._rows("SELECT name FROM workers")} - known
        found = []
        for row in self._rows("SELECT * FROM jobs WHERE state = 'running'"):
            if row["worker"] not in present:
                self._repair(row, blame and row["worker"] in dead, reason)
                found.append(row["id"])
        for worker in known:
            self.leave(worker)
        return [job for number in found for job in self.find(number)]

    def _repair(self, row: sqlite3.Row, blame: bool, reason: str) -> None:
        job = record_of(row)
        staged: Files = tuple((name, size, stamp) for name, size, stamp in json.loads(row["staged"]))
        try:
            target = open_target(job.output, job.numbered)
            if staged and target.publish(tag(job), staged):
                target.drop(job.files, staged)
                self.done(job, staged)
                return
            target.clean(tag(job))
        except (AppError, OSError):  # the place is gone for now; the next attempt says so
            pass
        crashes = row["crashes"] + blame
        if row["stop"]:
            self.failed(job, "", 4, "cancelled")
        elif crashes >= CRASHES:
            self.failed(job, f"The worker died {crashes} times over this job{reason}.", 1, crashes=crashes)
        else:
            self._update(job, state="queued", crashes=crashes, staged="[]")

    # ---- hashes -----------------------------------------------------------------------------------------------------
    def input_hash(self, source: Path, driving: Path, values: Mapping[str, Any]) -> str:
        """Hash of the content of all inputs; files that did not change are not read again."""
        return joint_hash(self.file_hash(path) for path in input_files(source, driving, values))

    def file_hash(self, path: Path) -> str:
        """Hash of one input, see app.jobs.hashes.content_hash."""
        return content_hash(path, self._known_hash, self._keep_hash)

    def _known_hash(self, path: str, size: int, changed: int, inode: int) -> str | None:
        query = "SELECT hash FROM hashes WHERE path = ? AND size = ? AND changed = ? AND inode = ?"
        rows = self._rows(query, (stored(path), size, changed, inode))
        return str(rows[0]["hash"]) if rows else None

    def _keep_hash(self, path: str, size: int, changed: int, inode: int, digest: str) -> None:
        with self._change() as db:
            values = (stored(path), size, changed, inode, digest)
            db.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", values)


def tag(job: JobRecord) -> str:
    """Name of the hidden folder of one attempt; it also tells jobs of several queues apart."""
    return f"{job.id}-{job.attempts}-{hashlib.sha256(os.fsencode(job.output)).hexdigest()[:8]}"
