"""The queue: jobs in an SQLite file that many processes can open and that stays intact if killed at any time."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import AppError, UsageError
from app.jobs import scratch
from app.jobs.hashes import option_hash
from app.jobs.reading import WAITING, Reader, is_dead
from app.jobs.record import JobRecord, Progress, record_from, record_of, stored, stored_facts, stored_sentence
from app.jobs.rows import State, checked
from app.jobs.spec import Entry
from app.jobs.store import Store
from app.jobs.target import Files, open_target
from app.processes import is_alive, machine
from models.messages import msg

GRACE: Final = 1.5  # seconds that a silent worker with a live process gets for a heartbeat
CRASHES: Final = 3  # how often a job may crash its worker
# A worker continues with its portrait; a new one takes a portrait and a clip that are not in use.
NEXT: Final = """
SELECT * FROM jobs WHERE state = 'queued' {only} ORDER BY source = :last DESC,
    source IN (SELECT source FROM jobs WHERE state = 'running'), driving IN (SELECT driving FROM jobs WHERE state =
    'running'), position, id LIMIT 1
"""
# Rows not written by one of our workers.
NO_WORKERS: Final = """
DELETE FROM workers WHERE typeof(name) != 'text' OR typeof(host) != 'text' OR typeof(pid) != 'integer' OR pid <= 0
    OR pid >= 2147483648 OR typeof(beat) NOT IN ('real', 'integer')
"""
FIRST: Final = "SELECT * FROM jobs WHERE state = 'queued' {only} ORDER BY position, id LIMIT 1"


@dataclass(frozen=True)
class Added:
    """Result of :meth:`Queue.add`.

    Attributes:
        ids: Their numbers, in order.
        queued: Number of jobs to be rendered.
        kept: Number of jobs already done with the same inputs and options.
        cancelled: Number of jobs that were cancelled before and stay so.
    """

    ids: tuple[int, ...]
    queued: int
    kept: int
    cancelled: int


class Queue:
    """Jobs on disk. Safe across threads and processes; use it in a ``with`` statement or call ``close``.

    Args:
        path: SQLite file, created if it does not exist; the user's own queue by default. Not on a network drive; for
            several machines, use app.jobs.cluster.

    Attributes:
        store: The file.
        reader: Queries on it.

    Raises:
        MediaError: It can't be opened or is not a queue.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.store = Store(path)
        self.reader = Reader(self.store)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.store.path

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what callers do with jobs ----------------------------------------------------------------------------------
    def add(
        self, entries: Iterable[Entry], batch: str = "", *, replace: bool = False, lane: str = "", fresh: bool = False
    ) -> Added:
        """Add jobs to the queue; a job is identified by its output.

        A job that is done with the same inputs and options, and whose result still exists, stays done; a cancelled one
        stays cancelled; all others are queued.

        Args:
            entries: The jobs.
            batch: Name of their batch.
            replace: Remove waiting jobs of the batch that are no longer among them.
            lane: Queue name that they are assigned to, see :meth:`claim`.
            fresh: They are new requests: cancelled ones are queued too, and none may use the output of a waiting one.

        Raises:
            UsageError: One of the outputs is being rendered from other inputs or with other options, or with ``fresh``
                another job is waiting to write it.
        """
        entries = list(entries)
        kept = {entry.output: self._is_done(entry) for entry in entries}
        ids: list[int] = []
        counts = {"queued": 0, "done": 0, "cancelled": 0}
        with self.store.change() as db:
            last = db.execute("SELECT COALESCE(MAX(position), 0) FROM jobs").fetchone()[0]
            for position, entry in enumerate(entries, last + 1):
                number, state = self._put(db, entry, batch, position, lane, kept[entry.output], fresh)
                ids.append(number)
                counts[state] += 1
            if replace:
                gone = db.execute(
                    f"SELECT id FROM jobs WHERE batch = ? AND state IN {WAITING}",  # noqa: S608
                    (stored(batch),),
                ).fetchall()
                present = set(ids)
                db.executemany("DELETE FROM jobs WHERE id = ?", [(r["id"],) for r in gone if r["id"] not in present])
        return Added(tuple(ids), counts["queued"], counts["done"], counts["cancelled"])

    def _put(
        self, db: sqlite3.Connection, entry: Entry, batch: str, position: int, lane: str, done: bool, fresh: bool
    ) -> tuple[int, str]:
        hashed = option_hash(entry.values, entry.numbered, entry.expression)
        row = db.execute("SELECT * FROM jobs WHERE output = ?", (stored(entry.output),)).fetchone()
        fields: dict[str, Any] = {
            "batch": stored(batch),
            "position": position,
            "source": stored(entry.source),
            "driving": "" if entry.driving is None else stored(entry.driving),
            "options": json.dumps(dict(entry.values)),
            "numbered": int(entry.numbered),
            "expression": None if entry.expression is None else json.dumps(dict(entry.expression)),
            "origin": stored(entry.where),
            "option_hash": hashed,
            "lane": lane,
        }
        if row is None:
            fields |= {"output": stored(entry.output), "state": "queued", "created": time.time()}
            fields["token"] = secrets.token_hex(8)
            names = ", ".join(fields)
            marks = ", ".join(f":{name}" for name in fields)
            return int(db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", fields).lastrowid or 0), "queued"  # noqa: S608
        try:
            known = record_of(row)
        except ValueError as error:
            raise UsageError(
                msg("{output} is the output of job {row}, which is damaged: {error}.", entry.output, row["id"], error),
                msg("Remove it: animate jobs clear {row}.", row["id"]),
            ) from None
        same = (known.source, known.driving, known.option_hash) == (entry.source, entry.driving, hashed)
        state = "queued"
        if known.state == "running":
            if not same:
                raise UsageError(
                    msg(
                        "{output} is being rendered as job {id} of {batch}, from other inputs or with other options.",
                        entry.output, known.id, known.batch
                    ),
                    "Wait for it, or cancel it: animate jobs cancel."
                )  # fmt: skip
            fields = {"batch": fields["batch"]}
        elif known.state == "queued" and not same and known.batch != batch and self.reader.workers():
            raise UsageError(
                msg(
                    "{output} is the output of job {id} of {batch}, which another process is rendering from other "
                    "inputs or with other options.",
                    entry.output, known.id, known.batch
                ),
                "Wait for them, cancel it (animate jobs cancel), or choose another name."
            )  # fmt: skip
        elif fresh and known.state in ("queued", "paused"):
            raise UsageError(
                msg("{output} is the output of waiting job {id}.", entry.output, known.id),
                "Choose another name.",
            )
        elif done or (known.state == "cancelled" and same and not fresh):
            fields, state = {"batch": fields["batch"], "position": position}, known.state
        elif same and known.state == "queued":
            fields["stop"] = 0
        else:
            fields |= {
                "state": "queued",
                "attempts": 0,
                "crashes": 0,
                "error": "",
                "details": "",
                "exit_code": 0,
                "stop": 0,
            }
        setting = ", ".join(f"{name} = :{name}" for name in fields)
        db.execute(f"UPDATE jobs SET {setting} WHERE id = :id", {**fields, "id": known.id})  # noqa: S608
        return known.id, state

    def _is_done(self, entry: Entry) -> bool:
        rows = self.store.rows("SELECT * FROM jobs WHERE output = ? AND state = 'done'", (stored(entry.output),))
        if not (records := self.reader.records(rows)):
            return False
        known = records[0]
        if (known.source, known.driving) != (entry.source, entry.driving):
            return False
        if known.option_hash != option_hash(entry.values, entry.numbered, entry.expression):
            return False
        if known.input_hash != self.store.input_hash(entry.source, entry.driving, entry.values):
            return False
        try:
            return open_target(known.output, known.numbered).holds(known.files)
        except AppError:
            return False

    def cancel(self, ids: Iterable[int]) -> int:
        """Cancel waiting jobs at once and running ones at their next frame; returns their number."""
        count = 0
        waits = f"UPDATE jobs SET state = 'cancelled', finished = ?, error = '' WHERE id = ? AND state IN {WAITING}"  # noqa: S608
        with self.store.change() as db:
            for number in ids:
                count += db.execute(waits, (time.time(), number)).rowcount
                count += db.execute("UPDATE jobs SET stop = 1 WHERE id = ? AND state = 'running'", (number,)).rowcount
        return count

    def retry(self, ids: Iterable[int], lane: str | None = None) -> int:
        """Queue finished jobs again; done ones are rendered again. Returns their number.

        Args:
            ids: Their numbers.
            lane: Queue name to assign them to; None leaves it unchanged.
        """
        with self.store.change() as db:
            return sum(
                db.execute(
                    "UPDATE jobs SET state = 'queued', attempts = 0, crashes = 0, error = '', details = '', "
                    "exit_code = 0, stop = 0, lane = COALESCE(?, lane) WHERE id = ? AND state NOT IN "
                    "('queued', 'running')",
                    (lane, number),
                ).rowcount
                for number in ids
            )

    def pause(self, ids: Iterable[int]) -> int:
        """Pause queued jobs until :meth:`resume`; running ones continue. Returns their number."""
        with self.store.change() as db:
            query = "UPDATE jobs SET state = 'paused' WHERE id = ? AND state = 'queued'"
            return sum(db.execute(query, (number,)).rowcount for number in ids)

    def resume(self, ids: Iterable[int], lane: str | None = None) -> int:
        """Queue paused jobs again; waiting ones change their queue name. See :meth:`retry`."""
        query = f"UPDATE jobs SET state = 'queued', lane = COALESCE(?, lane) WHERE id = ? AND state IN {WAITING}"  # noqa: S608
        with self.store.change() as db:
            return sum(db.execute(query, (lane, number)).rowcount for number in ids)

    def hold(self, lane: str) -> int:
        """Pause the queued jobs of a queue name that has no workers; returns their number."""
        if self.reader.workers(lane):
            return 0
        return self.pause(job.id for job in self.reader.jobs(states=["queued"], lane=lane))

    def clear(self, ids: Iterable[int]) -> int:
        """Remove jobs that are not running; their results stay. Returns their number."""
        with self.store.change() as db:
            return sum(
                db.execute("DELETE FROM jobs WHERE id = ? AND state != 'running'", (number,)).rowcount for number in ids
            )

    def clear_damaged(self, ids: Iterable[int] | None = None) -> int:
        """Remove damaged rows, all or those with some numbers; returns their number."""
        damaged = set(self.reader.damaged())
        gone = damaged if ids is None else damaged & set(ids)
        with self.store.change() as db:
            return sum(db.execute("DELETE FROM jobs WHERE id = ?", (number,)).rowcount for number in gone)

    def move(self, number: int, by: int) -> bool:
        """Move a waiting job up (negative) or down, past other waiting ones only; returns whether it was moved."""
        with self.store.change() as db:
            query = f"SELECT id, position FROM jobs WHERE state IN {WAITING} ORDER BY position, id"  # noqa: S608
            rows = db.execute(query).fetchall()
            places = {row["id"]: place for place, row in enumerate(rows)}
            if number not in places or not 0 <= places[number] + by < len(rows):
                return False
            order = [row["id"] for row in rows]
            order.insert(places[number] + by, order.pop(places[number]))
            for row, one in zip(rows, order, strict=True):
                if row["id"] != one:
                    db.execute("UPDATE jobs SET position = ? WHERE id = ?", (row["position"], one))
        return True

    def move_first(self, ids: Sequence[int]) -> None:
        """Move jobs before all others, in this order."""
        with self.store.change() as db:
            first = db.execute("SELECT COALESCE(MIN(position), 0) FROM jobs").fetchone()[0] - len(ids)
            db.executemany("UPDATE jobs SET position = ? WHERE id = ?", [(first + i, n) for i, n in enumerate(ids)])

    def take_over(self, ids: Iterable[int], batch: str) -> int:
        """Assign queued jobs to a batch whose runner waits for them while no worker is left; returns their number."""
        query = "UPDATE jobs SET batch = ? WHERE id = ? AND state = 'queued'"
        with self.store.change() as db:
            return sum(db.execute(query, (stored(batch), number)).rowcount for number in ids)

    # ---- what workers do with jobs ----------------------------------------------------------------------------------
    def register(self, worker: str, folder: Path, pid: int | None = None, lane: str = "") -> None:
        """Register a worker, its folder for scratch files, and the queue name that it serves."""
        with self.store.change() as db:
            values = (worker, os.getpid() if pid is None else pid, machine(), time.time(), stored(folder), lane)
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?)", values)

    def heartbeat(self, worker: str, job: int = 0, progress: Progress | None = None) -> set[int]:
        """Record a heartbeat; returns the jobs of this worker that are to be stopped.

        Args:
            worker: Its name.
            job: Its current job, 0 for none.
            progress: Progress of that job.
        """
        with self.store.change() as db:
            db.execute("UPDATE workers SET beat = ? WHERE name = ?", (time.time(), worker))
            if job and progress is not None:
                query = "UPDATE jobs SET progress = ? WHERE id = ? AND worker = ? AND state = 'running'"
                db.execute(query, (progress.to_text(), job, worker))
            rows = db.execute("SELECT id FROM jobs WHERE worker = ? AND state = 'running' AND stop", (worker,))
            return {row["id"] for row in rows}

    def claim(
        self,
        worker: str,
        batch: str | None = None,
        last: Path | None = None,
        *,
        lane: str | None = None,
        in_order: bool = False,
    ) -> JobRecord | None:
        """Take the next job; None if none is left.

        Args:
            worker: Name of the worker (see :meth:`join`).
            batch: Only jobs of this batch.
            last: Source of the previous job; jobs with the same source are preferred.
            lane: Only jobs assigned to this queue name.
            in_order: Strictly follow the order of the queue, even if it is slower.
        """
        only = "AND (:lane IS NULL OR lane = :lane)" + (" AND batch = :batch" if batch is not None else "")
        values = {"last": "" if last is None else stored(last), "batch": stored(batch or ""), "lane": lane}
        with self.store.change() as db:
            while True:
                row = db.execute((FIRST if in_order else NEXT).format(only=only), values).fetchone()
                if row is None:
                    return None
                try:
                    record_of(row)
                except ValueError as error:
                    self._give_up(db, row, str(error))
                    continue
                break
            db.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ?, finished = NULL, stop = 0, "
                "progress = '', worker = ?, pid = (SELECT pid FROM workers WHERE name = ?), host = ?, staged = '[]' "
                "WHERE id = ?",
                (time.time(), worker, worker, machine(), row["id"]),
            )
            return record_of(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())

    def _give_up(self, db: sqlite3.Connection, row: sqlite3.Row, why: str) -> None:
        """Mark a damaged row as failed, so that it is not taken again; files that it names are not touched."""
        db.execute(
            "UPDATE jobs SET state = 'failed', error = ?, exit_code = 1, finished = ? WHERE id = ?",
            (f"Job {row['id']} of the queue is damaged: {why}.", time.time(), row["id"]),
        )

    def _update(self, job: JobRecord, **fields: Any) -> bool:
        """Change a job that is still claimed; False if it no longer is."""
        setting = ", ".join(f"{name} = :{name}" for name in fields)
        query = f"UPDATE jobs SET {setting} WHERE id = :_id AND worker = :_worker AND attempts = :_attempts"  # noqa: S608
        values = {**fields, "_id": job.id, "_worker": job.worker, "_attempts": job.attempts}
        with self.store.change() as db:
            return db.execute(f"{query} AND state = 'running'", values).rowcount == 1

    def staged(self, job: JobRecord, what: Files, **facts: Any) -> bool:
        """Record the files of a finished render before they get their names.

        Args:
            job: The claimed job.
            what: Its files.
            facts: input_hash, frames, seconds, error, exit_code, notes.

        Returns:
            False if the claim no longer holds; the result must be discarded.
        """
        return self._update(job, staged=json.dumps(what), **stored_facts(facts))

    def done(self, job: JobRecord, what: Files) -> bool:
        """Record that a result has its final name."""
        return self._update(job, state="done", files=json.dumps(what), staged="[]", finished=time.time())

    def failed(self, job: JobRecord, error: str, exit_code: int, state: State = "failed", **facts: Any) -> bool:
        """Record why a job was not done; ``state`` may also be skipped or cancelled."""
        now = time.time()
        return self._update(
            job, state=state, error=stored_sentence(error), exit_code=exit_code, finished=now, **stored_facts(facts)
        )

    def give_back(self, job: JobRecord) -> bool:
        """Queue a claimed job again, as if it had not been started."""
        return self._update(job, state="queued", attempts=job.attempts - 1, started=None)

    def unregister(self, worker: str) -> None:
        """Unregister a worker and remove its scratch files."""
        if self.store.rows("SELECT name FROM workers WHERE name = ? AND host = ?", (worker, machine())):
            scratch.discard(worker)
        with self.store.change() as db:
            db.execute("DELETE FROM workers WHERE name = ?", (worker,))

    # ---- after a crash ----------------------------------------------------------------------------------------------
    def recover(self, dead: Iterable[str] = (), *, blame: bool = False, reason: str = "") -> list[JobRecord]:
        """Recover the jobs of dead workers: complete those that only lacked their names, queue the rest again.

        Args:
            dead: Workers known to be dead; others are detected.
            blame: The jobs crashed the workers; a job that does so too often fails.
            reason: How they died, for the error of such a job.

        Returns:
            The jobs in their new state.
        """
        running = self.store.rows(
            "SELECT * FROM jobs WHERE state = 'running'"
        )  # first, since a worker registers before it claims
        with self.store.change() as db:
            db.execute(NO_WORKERS)
        known, now = set(dead), time.time()
        workers = self.store.rows("SELECT * FROM workers")
        silent = [row for row in workers if is_dead(row, now)]
        if any(row["host"] == machine() and is_alive(row["pid"]) for row in silent):
            time.sleep(GRACE)  # the machine may have slept, and its workers wake up at the same time
            beats = {row["name"]: row["beat"] for row in self.store.rows("SELECT * FROM workers")}
            silent = [row for row in silent if beats.get(row["name"]) == row["beat"]]
        known |= {row["name"] for row in silent}
        present = {row["name"] for row in workers} - known
        lost = [row for row in running if row["worker"] not in present]
        found = [row["id"] for row in lost if self._repair(row, blame and row["worker"] in dead, reason)]
        for worker in known:
            self.unregister(worker)
        return [job for number in found for job in self.reader.find(number)]

    def crashed(self, job: JobRecord, reason: str) -> None:
        """Record that a claimed job crashed its worker: it is queued again, or fails if this happens too often.

        Args:
            job: The job.
            reason: How the worker died, in brackets.
        """
        query = "SELECT * FROM jobs WHERE id = ? AND worker = ? AND attempts = ? AND state = 'running'"
        for row in self.store.rows(query, (job.id, job.worker, job.attempts)):
            self._repair(row, True, reason)

    def _repair(self, row: sqlite3.Row, blame: bool, reason: str) -> bool:
        """Recover one job; False if it has ended in the meantime."""
        try:
            values = checked(row)
        except ValueError as error:
            with self.store.change() as db:
                self._give_up(db, row, str(error))
            return False
        job, staged = record_from(values), values["staged"]
        try:
            target = open_target(job.output, job.numbered)
            if staged and target.publish(tag(job), staged):
                target.drop(job.files, staged)
                return self.done(job, staged)
            target.clean(tag(job))
        except (AppError, OSError):  # the location is not available now; the next attempt reports it
            pass
        crashes = row["crashes"] + blame
        if row["stop"]:
            return self.failed(job, "", 4, "cancelled")
        if crashes >= CRASHES:
            return self.failed(
                job, msg("The worker crashed {crashes} times on this job{reason}.", crashes, reason), 1, crashes=crashes
            )
        return self._update(job, state="queued", crashes=crashes, staged="[]")


def tag(job: JobRecord) -> str:
    """Name of the hidden folder of one attempt; unique across queues."""
    mark = hashlib.sha256(os.fsencode(job.output) + job.token.encode()).hexdigest()[:12]
    return f"{job.id}-{job.attempts}-{mark}"
