"""The memory on disk: every accepted write is durable before its answer leaves, and survives ``kill -9``.

Two SQLite files. ``memory.db`` is locked by the process that uses it, since the server answers from its own memory
and two of them would soon disagree. ``log.db`` keeps the requests; it is flushed by the system when it likes, so that
reads cost no fsync.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from reconciler.model.errors import SandboxError
from reconciler.sandbox.memory import KINDS, Effect, Entity, GlobalState, Transaction, values
from reconciler.system.paygift_folder import check

FORMAT: Final = 1
LOG_ROWS: Final = 10_000
"""How many requests the log keeps."""
_TRIM_EVERY: Final = 500
PATIENCE_SECONDS = 2.0
"""How long to wait for another process to let go of a directory."""


class Store:
    """``directory`` is ``None`` for a memory that ends with the process. Waits two seconds for another
    process to let go of the files; raises SandboxError if it does not, or if they cannot be read, UsageError if they
    are links."""

    def __init__(self, directory: Path | None, *, log_rows: int = LOG_ROWS) -> None:
        self._log_rows = log_rows
        where = [":memory:"] * 2 if directory is None else _files(directory)
        self._memory = _connect(where[0])
        try:
            self._memory.execute("PRAGMA locking_mode=EXCLUSIVE")
            _prepare(self._memory, "FULL", _MEMORY_TABLES)
            self._log = _connect(where[1])
            _prepare(self._log, "NORMAL", _LOG_TABLES)
        except sqlite3.Error as error:
            self._memory.close()
            raise _unusable(directory, error) from error
        # Also with the last reference: a world without a server, as tests have thousands of, is closed by nobody.
        self._finalize = weakref.finalize(self, _close, self._memory, self._log)

    def close(self) -> None:
        """Let go of the files; another process may use them then."""
        self._finalize()

    def entities(self) -> Iterator[Entity]:
        """All that is remembered, in the order in which it first came."""
        for kind, text in self._memory.execute("SELECT kind, content FROM entities ORDER BY rowid"):
            yield KINDS[kind](**json.loads(text))

    def commit(self, transaction: Transaction) -> None:
        """Write all of ``transaction``, or nothing."""
        if not (transaction.entities or transaction.effects):
            return
        # A with of sqlite3 ends a transaction, but begins none in this mode.
        self._memory.execute("BEGIN IMMEDIATE")
        with self._memory:
            self._memory.executemany(_PUT, [_row(entity) for entity in transaction.entities])
            self._memory.executemany(
                "INSERT INTO history (content) VALUES (?)",
                [(_history(each),) for each in transaction.effects],
            )
            if transaction.blob is not None:
                self._memory.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", transaction.blob)

    def empty(self, ledger: GlobalState) -> None:
        """Forget everything but ``ledger``."""
        self._memory.execute("BEGIN IMMEDIATE")
        with self._memory:
            for table in ("entities", "history", "blobs"):
                self._memory.execute(f"DELETE FROM {table}")  # noqa: S608 (the names stand above)
            self._memory.execute(_PUT, _row(ledger))
        self._log.execute("DELETE FROM log")

    def blob(self, url: str) -> bytes | None:
        """The bytes of an uploaded image, if there is one with that URL."""
        row = self._memory.execute("SELECT content FROM blobs WHERE url = ?", (url,)).fetchone()
        return None if row is None else bytes(row[0])

    def history(self) -> list[dict[str, Any]]:
        """Every effect, oldest first."""
        rows = self._memory.execute("SELECT n, content FROM history ORDER BY n")
        return [{"n": n, **json.loads(text)} for n, text in rows]

    def record(self, number: int, line: dict[str, Any]) -> None:
        """Log one request. Request numbers never repeat, so they also make the Request-ID."""
        self._log.execute("INSERT INTO log VALUES (?, ?)", (number, _json(line)))
        if number % _TRIM_EVERY == 0:
            self._log.execute("DELETE FROM log WHERE n <= ?", (number - self._log_rows,))

    def log(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest ``limit`` requests, oldest first."""
        rows = self._log.execute(
            "SELECT n, content FROM log ORDER BY n DESC LIMIT ?",
            (self._log_rows if limit is None else limit,),
        )
        return [{"n": n, **json.loads(text)} for n, text in reversed(rows.fetchall())]

    def last_request(self) -> int:
        """The highest number that ever was logged, forgotten requests included."""
        row = self._log.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return int(row[0]) if row else 0


_MEMORY_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS entities (kind TEXT, id TEXT, content TEXT NOT NULL, UNIQUE (kind, id))",
    "CREATE TABLE IF NOT EXISTS history (n INTEGER PRIMARY KEY, content TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS blobs (url TEXT PRIMARY KEY, content BLOB NOT NULL)",
)
# AUTOINCREMENT, since a number must not come again after its row was trimmed.
_LOG_TABLES: Final = ("CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL)",)
# Not INSERT OR REPLACE: that gives a new rowid, and with it another place in every list.
_PUT: Final = """INSERT INTO entities (kind, id, content) VALUES (?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET content = excluded.content"""


def _files(directory: Path) -> list[str]:
    """Where both databases are. Raises UsageError for links and the like, which SQLite would follow."""
    files = [directory / "memory.db", directory / "log.db"]
    for file in files:
        for suffix in ("", "-wal", "-shm", "-journal"):
            check(file.with_name(f"{file.name}{suffix}"))
    return list(map(str, files))


def _close(*connections: sqlite3.Connection) -> None:
    for connection in connections:
        connection.close()


def _connect(where: str) -> sqlite3.Connection:
    # Made in one thread and used in another, by one at a time: the server's.
    return sqlite3.connect(where, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, synchronous: str, tables: tuple[str, ...]) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, FORMAT):
        raise sqlite3.DatabaseError(f"its format is {version}, not {FORMAT}")
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for table in tables:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version={FORMAT}")


def _unusable(directory: Path | None, error: sqlite3.Error) -> SandboxError:
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return SandboxError(
            f"The sandbox in {directory} is in use by another process.",
            remedy="Wait for it to end, or choose another directory.",
        )
    return SandboxError(
        f"The sandbox's memory in {directory} cannot be used: {error}.",
        remedy="Remove memory.db and log.db there to start with an empty one.",
    )


def _row(entity: Entity) -> tuple[str, str, str]:
    return entity.kind, entity.id, _json(values(entity))


def _history(effect: Effect) -> str:
    return _json(asdict(effect))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
