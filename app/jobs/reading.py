"""Queries on the queue; app.jobs.queue adds changes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Any, Final

from app.errors import UsageError, not_one_of
from app.jobs.record import JobRecord, record_of, stored
from app.jobs.rows import STATES
from app.jobs.store import Store
from app.processes import is_alive, machine
from models.messages import msg

LEASE: Final = 30.0  # seconds without a heartbeat after which a worker counts as dead
MOST_VALUES: Final = 500  # in one query
WAITING: Final = "('queued', 'paused')"
# Running and waiting jobs in processing order, then the last ended ones.
RECENT: Final = f"""
SELECT * FROM jobs ORDER BY state = 'running' DESC, state IN {WAITING} DESC,
    CASE WHEN state IN {WAITING} THEN position ELSE -COALESCE(finished, created) END, id LIMIT ?
"""  # noqa: S608 - names of states


class Reader:
    """Queries on the jobs of an open queue file.

    Invalid rows are skipped; ``damaged`` lists them.

    Args:
        store: The file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def records(self, rows: Iterable[sqlite3.Row]) -> list[JobRecord]:
        """Records of the valid rows."""
        found = []
        for row in rows:
            try:
                found.append(record_of(row))
            except ValueError:
                continue
        return found

    def damaged(self) -> dict[int, str]:
        """Number of each damaged row -> why, as the rest of a sentence."""
        found: dict[int, str] = {}
        for row in self._store.rows("SELECT * FROM jobs ORDER BY id"):
            try:
                record_of(row)
            except ValueError as error:
                found[row["id"]] = str(error)
        return found

    def jobs(
        self,
        *,
        batch: str | None = None,
        states: Iterable[str] = (),
        ids: Iterable[int] = (),
        lane: str | None = None,
    ) -> list[JobRecord]:
        """Jobs in processing order, all or filtered by batch, states, numbers or queue name.

        Raises:
            UsageError: There is no such state or number.
        """
        wanted, numbers = list(states), list(ids)
        for state in wanted:
            if state not in STATES:
                raise not_one_of("", state, STATES)
        only: list[str] = []
        values: list[Any] = []
        if batch is not None:
            only.append("batch = ?")
            values.append(stored(batch))
        if lane is not None:
            only.append("lane = ?")
            values.append(lane)
        if wanted:
            only.append(f"state IN ({', '.join('?' * len(wanted))})")
            values += wanted
        few = len(numbers) <= MOST_VALUES
        if numbers and few:
            only.append(f"id IN ({', '.join('?' * len(numbers))})")
            values += numbers
        clause = f"WHERE {' AND '.join(only)}" if only else ""
        rows = self._store.rows(f"SELECT * FROM jobs {clause} ORDER BY position, id", values)  # noqa: S608
        present = set(numbers)
        found = self.records(row for row in rows if few or row["id"] in present)
        missing = present - {job.id for job in found}
        missing -= {row["id"] for row in self._store.rows("SELECT id FROM jobs")} if missing else set()
        if missing:
            raise UsageError(
                msg("There is no job {missing} in {path}.", min(missing), self._store.path), "See animate jobs list."
            )
        return found

    def recent(self, limit: int) -> list[JobRecord]:
        """Running and waiting jobs and the last ended ones, at most ``limit``, in processing order."""
        found = self.records(self._store.rows(RECENT, (limit,)))
        return sorted(found, key=lambda job: (job.position, job.id))

    def find(self, number: int) -> list[JobRecord]:
        """The job with a number, or nothing if it has been cleared in the meantime."""
        return self.records(self._store.rows("SELECT * FROM jobs WHERE id = ?", (number,)))

    def get(self, number: int) -> JobRecord:
        """The job with a number.

        Raises:
            UsageError: There is none.
        """
        found = self.jobs(ids=[number])
        if not found:
            raise UsageError(
                msg("Job {number} in {path} is damaged.", number, self._store.path), "See animate jobs list."
            )
        return found[0]

    def counts(self, batch: str | None = None, lane: str | None = None) -> dict[str, int]:
        """Number of jobs by state."""
        rows = self._store.rows(
            "SELECT state, COUNT(*) AS n FROM jobs WHERE (:batch IS NULL OR batch = :batch) AND "
            "(:lane IS NULL OR lane = :lane) GROUP BY state",
            {"batch": None if batch is None else stored(batch), "lane": lane},
        )
        return dict.fromkeys(STATES, 0) | {row["state"]: row["n"] for row in rows if row["state"] in STATES}

    def workers(self, lane: str | None = None) -> list[str]:
        """Names of the live workers, all or those of a queue name."""
        rows = self._store.rows("SELECT * FROM workers WHERE :lane IS NULL OR lane = :lane", {"lane": lane})
        return [row["name"] for row in rows if not is_dead(row, time.time())]

    def left_alone(self, lane: str) -> list[int]:
        """Numbers of jobs that the runner of a queue name does not take itself: paused ones, and queued ones of others.

        Queued ones of others are excluded while workers of another queue name or batch are active.
        """
        others = set(self.workers()) - set(self.workers(lane))
        query = (
            "SELECT id FROM jobs WHERE state = 'paused' OR (state = 'queued' AND lane != ? AND ?) ORDER BY position, id"
        )
        return [row["id"] for row in self._store.rows(query, (lane, not others))]


def is_dead(row: sqlite3.Row, now: float) -> bool:
    """Whether a worker has ended, has sent no heartbeat for long, or is not one of ours."""
    kinds = (row["name"], str), (row["pid"], int), (row["beat"], (int, float)), (row["host"], str)
    if not all(isinstance(value, kind) for value, kind in kinds) or not 0 < row["pid"] < 1 << 31:
        return True
    here = row["host"] == machine()
    return bool((here and not is_alive(row["pid"])) or now - row["beat"] > LEASE)
