"""The SQLite file behind the queue: its location, tables, transactions, and upgrades of older files."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.errors import MediaError
from app.jobs.hashes import input_files, joint_hash
from app.jobs.record import stored
from app.media.contents import content_hash
from app.media.files import reason
from models.messages import msg

VERSION: Final = 3
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
SECOND: Final = """
ALTER TABLE jobs ADD COLUMN lane TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN progress TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN details NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN lane TEXT NOT NULL DEFAULT ''
"""
THIRD: Final = "ALTER TABLE jobs ADD COLUMN token TEXT NOT NULL DEFAULT ''"
UPGRADES: Final = ((1, TABLES), (2, SECOND), (3, THIRD))  # resulting version, statements


LONGEST: Final = 256 << 20  # bytes of one value
LIMIT_LENGTH: Final = 0  # SQLite's number for the limit on values
COLUMNS: Final = {
    "jobs": {
        "id", "batch", "position", "source", "driving", "output", "options", "numbered", "expression", "origin",
        "state", "attempts", "crashes", "error", "exit_code", "input_hash", "option_hash", "created", "started",
        "finished", "seconds", "frames", "worker", "pid", "host", "files", "staged", "stop", "lane", "progress",
        "notes", "details", "token",
    },
    "workers": {"name", "pid", "host", "beat", "folder", "lane"},
    "hashes": {"path", "size", "changed", "inode", "hash"},
}  # fmt: skip


def _text(data: bytes) -> str:
    """Decode text from the database; bytes that are not UTF-8 are preserved, as in file names."""
    return data.decode("utf-8", "surrogateescape")


def _plain(error: Exception) -> str:
    """Describe a database error; sqlite3's own message may fail to decode."""
    return msg("the database is damaged") if isinstance(error, UnicodeDecodeError) else str(error).rstrip(".")


def default_path() -> Path:
    """The user's own queue; $PORTRAIT_ANIMATE_QUEUE overrides it."""
    chosen = os.environ.get("PORTRAIT_ANIMATE_QUEUE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_state_path

    return user_state_path("portrait-animate", appauthor=False) / "queue.sqlite3"


class Store:
    """An open queue file. Thread-safe; use it in a ``with`` statement or call ``close``.

    Args:
        path: SQLite file, created if it does not exist; the user's own queue by default.

    Raises:
        MediaError: It can't be opened or is not a queue.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(os.path.abspath(path if path is not None else default_path()))
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = _text
            self._db.execute("PRAGMA trusted_schema = OFF")
            if hasattr(self._db, "setlimit"):  # Python 3.11
                self._db.setlimit(LIMIT_LENGTH, LONGEST)
            self._check_schema()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self.change():
                self._upgrade()
            self._check_columns()
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
            why = reason(error)[0] if isinstance(error, OSError) else _plain(error)
            raise MediaError(
                msg("{path} can't be used as a queue: {why}.", self.path, why),
                msg("Choose another file with --queue or the variable PORTRAIT_ANIMATE_QUEUE."),
            ) from error

    def _check_schema(self) -> None:
        """Check that it is new or our queue; views and triggers of another database could run foreign code.

        Raises:
            MediaError: It is another database.
        """
        rows = self._db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        found = {(row["type"], row["name"]) for row in rows}
        ours = {("table", "jobs"), ("table", "workers"), ("table", "hashes"), ("index", "jobs_by_state")}
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found - ours or (version and found != ours) or (found and not version):
            self._db.close()
            raise MediaError(
                msg("{path} is not a queue but another database.", self.path), msg("Choose another file with --queue.")
            )

    def _check_columns(self) -> None:
        """Check that the tables have the required columns.

        Raises:
            MediaError: Columns are missing.
        """
        for table, wanted in COLUMNS.items():
            columns = {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}
            if not wanted <= columns:
                self._db.close()
                raise MediaError(
                    msg("{path} is damaged: it lacks columns.", self.path), msg("Choose another file with --queue.")
                )

    def _upgrade(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise MediaError(msg("{path} was made by a newer version.", self.path), "Update the program.")
        for number, statements in UPGRADES:
            if version < number:
                for statement in statements.split(";"):
                    self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def stamp(self) -> tuple[int, int]:
        """Numbers that change whenever the file changes; fast."""
        return int(self.rows("PRAGMA data_version")[0][0]), self._db.total_changes

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One exclusive transaction.

        Raises:
            MediaError: The file is damaged, locked for a minute, or the disk is full.
        """
        with self._lock, self._worded_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query.

        Raises:
            MediaError: See change.
        """
        with self._lock, self._worded_errors():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _worded_errors(self) -> Iterator[None]:
        """Convert database errors to MediaError."""
        try:
            yield
        except sqlite3.ProgrammingError:  # a closed queue, or a bug
            raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise MediaError(
                msg("{path} can't be used as a queue: {error}.", self.path, _plain(error)),
                msg("Choose another file with --queue or the variable PORTRAIT_ANIMATE_QUEUE."),
            ) from error

    # ---- hashes -----------------------------------------------------------------------------------------------------
    def input_hash(self, source: Path, driving: Path | None, values: Mapping[str, Any]) -> str:
        """Hash of the content of all inputs; unchanged files are not read again."""
        return joint_hash(self.file_hash(path) for path in input_files(source, driving, values))

    def file_hash(self, path: Path) -> str:
        """Hash of one input, see app.media.contents.content_hash."""
        return content_hash(path, self._known_hash, self._keep_hash)

    def _known_hash(self, path: str, size: int, changed: int, inode: int) -> str | None:
        query = "SELECT hash FROM hashes WHERE path = ? AND size = ? AND changed = ? AND inode = ?"
        rows = self.rows(query, (stored(path), size, changed, inode))
        return str(rows[0]["hash"]) if rows else None

    def _keep_hash(self, path: str, size: int, changed: int, inode: int, digest: str) -> None:
        with self.change() as db:
            values = (stored(path), size, changed, inode, digest)
            db.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", values)
