"""The database of a journal: opened, brought to the newest schema, and its errors made ours.

SQLite by default, PostgreSQL for teams. SQLAlchemy is imported by whoever imports this module, so only commands that
use a journal do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, inspect, select, text
from sqlalchemy import exc as sa

from reconciler.journal import busy, postgresql, sqlite, tables
from reconciler.journal.unreachable import not_connected
from reconciler.model.errors import JournalError, LockLostError

_REMEDY: Final = "Fix that, then run again: nothing is sent to WeChat Pay that was not written down before."
_DAMAGED_REMEDY: Final = "Move it away, or let the next apply do so: nothing but looking things up depends on it."
_LOST_REMEDY: Final = "Run apply again: it finds out what became of this run, and does the rest."


class Database:
    """An open journal database. One connection, for one transaction at a time, whichever thread it is in; ``another``
    gives a second one.

    ``pin`` binds it to the session, or to the file, that it has now, since the lock belongs to that: from then on
    nothing reconnects, and whatever is no longer the same raises LockLostError. ``remark`` is a sentence for people
    about the place that the journal is in, or nothing. Raises JournalError wherever the database does not do what it is
    asked.
    """

    def __init__(self, engine: Engine, where: str, file: Path | None = None) -> None:
        self.where = where
        self.remark = ""
        self._engine = engine
        self._file = file
        self._connection: Connection | None = None
        self._files: dict[Path, sqlite.Identity] = {}
        self._pinned = False
        self._pid = 0
        self._keeps_session = False
        self._busy = False
        self._alone = threading.Lock()

    @property
    def is_postgresql(self) -> bool:
        """Whether it is a server's, and not a file."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of it or nothing, durable at its end, and alone: others wait for its end before they begin theirs."""
        with self._begun(reading=False) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """What was there when it began, for looking only: nobody waits for it, and it waits for nobody."""
        with self._begun(reading=True) as connection:
            yield connection

    @contextmanager
    def _begun(self, *, reading: bool) -> Iterator[Connection]:
        with self._alone, self._translated():
            connection = self._connected().execution_options(paygift_reading=reading)
            with connection.begin():
                self._check_files()
                yield connection
            if self._busy:
                self._wait_for_others(connection, in_vain=False)

    def _wait_for_others(self, connection: Connection, *, in_vain: bool) -> None:
        """Not as long for each of many writes, once one has shown that it does not help."""
        self._busy = in_vain
        seconds = busy.STILL_BUSY_SECONDS if in_vain else busy.BUSY_SECONDS
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            # Not a reconnect: the new session would write on without the lock.
            if self._pinned:
                raise self._lost("the session with its server that held the lock has ended")
            self.close()
        if self._connection is None:
            self._connection = self._opened_connection()
            self._files = {}
            if self._file is not None and not self.remark:
                self.remark = sqlite.wal_remark(self._connection, self.where)
        return self._connection

    def _opened_connection(self) -> Connection:
        """What PostgreSQL's library says of a failure may quote any part of the URL, so it is said in our words."""
        try:
            return self._engine.connect()
        except sa.DBAPIError as error:
            if not self.is_postgresql:
                raise
            raise JournalError(
                f"the journal in {self.where} cannot be reached: {not_connected(error.orig)}.",
                remedy=postgresql.CONNECT_REMEDY,
            ) from error

    def _check_files(self) -> None:
        """The files are those that were opened: what is written to a removed one nobody else sees. SQLite makes the one
        of the write-ahead log with the first transaction, and removes it with the last connection.
        """
        if self._file is None:
            return
        found = sqlite.identities(self._file)
        if self._files.items() <= found.items():
            self._files = found
            return
        if self._pinned:
            raise self._lost("its file was removed or replaced while it was in use")
        raise JournalError(
            f"the journal in {self.where} was removed or replaced while it was in use.", remedy="Run again."
        )

    def refresh(self) -> None:
        """Open the file anew if it is no longer the one that is open. For who waits, and holds nothing."""
        if self._file is None or self._files.items() <= sqlite.identities(self._file).items():
            return
        self.close()
        sqlite.make_folder(self._file)
        self.upgrade()

    def pin(self) -> None:
        """Bind it to the session or file that it has now."""
        if self.is_postgresql:
            self._pid = self._session()
        self._pinned = True

    def unpin(self) -> None:
        """Let it reconnect again: no lock depends on its session or file any more."""
        self._pinned = False

    def check_session(self, connection: Connection, number: int) -> None:
        """Raise LockLostError unless the session is still the pinned one, and holds the advisory lock ``number``."""
        if self.is_postgresql and not connection.scalar(
            text(postgresql.STILL_HELD), {"pid": self._pid, "number": number}
        ):
            raise self._lost("the lock does not belong to the session with its server any more")

    def refuse_pool(self) -> None:
        """Raise JournalError if transactions of one connection end up in different sessions of the server: something in
        between pools them, and a lock that belongs to a session would belong to everybody.
        """
        if not self.is_postgresql or self._keeps_session:
            return
        mine, other = self._session(), self.another()
        try:
            # A pool that gives out the session that was free last, or has only one, gives ours to the next who asks. In
            # one that gives them out in turn, those of two transactions change places after both were open at once.
            self._keeps_session = other._session() != mine and all(
                self._after(first, last) == mine for first, last in ((other, self), (self, other))
            )
        finally:
            other.close()
        if self._keeps_session:
            return
        raise JournalError(
            f"the journal in {self.where} is reached through a pool that gives every transaction another session, "
            "and the lock belongs to a session. Nothing was written.",
            remedy="Connect to the server itself, or through a pool in session mode (pgbouncer: pool_mode=session).",
        )

    def _session(self) -> int:
        with self.transaction() as connection:
            return int(connection.scalar(text(postgresql.SESSION)) or 0)

    def _after(self, first: Database, last: Database) -> int:
        """Our session once both were in a transaction at the same time, and ``first`` was the first to leave it."""
        with last.transaction() as outer:
            outer.scalar(text(postgresql.SESSION))
            first._session()
        return self._session()

    def _lost(self, why: str) -> LockLostError:
        return LockLostError(
            f"the lock of this run is lost, and nothing more was sent: {why} (journal in {self.where}).",
            remedy=_LOST_REMEDY,
        )

    def another(self) -> Database:
        """A second connection to the same database."""
        return Database(self._engine, self.where, self._file)

    def close(self) -> None:
        """End the connection. The next transaction makes a new one."""
        connection, self._connection = self._connection, None
        self._files, self._busy = {}, False
        if connection is not None:
            connection.close()

    def replace_file(self) -> None:
        """Go on with a copy of all that was committed, in place of the SQLite file: somebody was stopped in the middle
        of a transaction, and nobody can write to the old one. Whoever has that open finds out before its next write.
        """
        assert self._file is not None  # noqa: S101 - only a file is ever busy
        file = self._file
        self.close()
        sqlite.replace_by_copy(file, self.where)

    def upgrade(self) -> None:
        """Bring the schema to the newest version. Raises JournalError if it is newer than we know."""
        with self.reading() as connection:
            # Reading waits for nobody, and hardly ever is there anything to bring up to date.
            if self._version(connection) == len(tables.MIGRATIONS):
                return
        with self.transaction() as connection:
            if self.is_postgresql:
                # Two who begin a journal at once would both make its tables.
                connection.execute(select(func.pg_advisory_xact_lock(postgresql.number_for("schema"))))
            # Asked again: somebody else may have done it since the look above.
            tables.upgrade(connection, self._version(connection))

    def _version(self, connection: Connection) -> int | None:
        """Of the schema, ``None`` before the first. Raises JournalError if it is newer than we know."""
        if not inspect(connection).has_table(tables.schema.name):
            return None
        version: int | None = connection.execute(select(tables.schema.c.version)).scalar()
        self._refuse_newer(version or 0)
        return version

    def _refuse_newer(self, version: int) -> None:
        if version > len(tables.MIGRATIONS):
            raise JournalError(
                f"the journal in {self.where} has version {version}, and this paygift knows {len(tables.MIGRATIONS)}.",
                remedy="Use the newer paygift that wrote it.",
            )

    def begun(self) -> bool:
        """Whether there is a journal in it. Changes nothing. Raises JournalError if it is newer than we know."""
        with self.reading() as connection:
            return bool(self._version(connection))

    def look(self) -> None:
        """Raises JournalError if a PostgreSQL database cannot be a journal, or is too new a one. Changes nothing."""
        self.refuse_pool()
        with self.reading() as connection:
            if self._version(connection) is None and not connection.scalar(
                text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            ):
                raise JournalError(
                    f"the journal in {self.where} cannot be begun: its user may not make tables there.",
                    remedy="GRANT CREATE ON SCHEMA public TO that user, or name a database that belongs to it.",
                )

    def check(self) -> None:
        """Raises JournalError for a damaged SQLite file. A server looks after its own."""
        if self.is_postgresql:
            return
        with self.reading() as connection:
            said = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        if said != "ok":
            raise JournalError(f"the journal in {self.where} is damaged: {said}.", damaged=True, remedy=_DAMAGED_REMEDY)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.SQLAlchemyError as error:
            cause = error.orig if isinstance(error, sa.DBAPIError) else error
            said = (" ".join(str(cause).split()) or type(cause).__name__).rstrip(".?")
            if self._pinned and isinstance(error, sa.DBAPIError) and error.connection_invalidated:
                raise self._lost(f"the session with its server that held the lock has ended ({said})") from error
            name = getattr(cause, "sqlite_errorname", "")
            # Extended codes as well, such as SQLITE_BUSY_SNAPSHOT.
            if self._file is not None and name.startswith("SQLITE_BUSY"):
                if self._connection is not None:
                    self._wait_for_others(self._connection, in_vain=True)
                raise sqlite.busy_file(self._file, self.where) from error
            if getattr(cause, "sqlstate", "") == postgresql.LOCK_NOT_AVAILABLE:
                raise busy.busy_error(self.where, said) from error
            damaged = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
            raise JournalError(
                f"the journal in {self.where} cannot be used: {said}.",
                remedy=_DAMAGED_REMEDY if damaged else _REMEDY,
                damaged=damaged,
            ) from error


def open_sqlite(file: Path) -> Database:
    """The journal in ``file``, which is made if it is missing. Raises JournalError."""
    sqlite.make_folder(file)
    return _opened(Database(sqlite.engine_for(file), str(file), file))


def open_postgresql(url: str) -> Database:
    """The journal in the PostgreSQL database that ``url`` names, which is begun if there is none yet.

    Raises JournalError, UsageError for a URL that names no database.
    """
    return _opened(Database(*postgresql.engine_for(url)))


def reading_postgresql(url: str) -> Database | None:
    """The journal in the PostgreSQL database that ``url`` names, or ``None`` if none was begun there.

    Raises JournalError, UsageError for a URL that names no database.
    """
    return _only_begun(Database(*postgresql.engine_for(url)))


def look_at_postgresql(url: str) -> str:
    """Where the journal of ``url`` is, if it could be used; changes nothing. Raises what ``open_postgresql`` does."""
    database = Database(*postgresql.engine_for(url))
    try:
        database.look()
    finally:
        database.close()
    return database.where


def _opened(database: Database) -> Database:
    try:
        database.check()
        database.upgrade()
    except BaseException:
        database.close()
        raise
    return database


def _only_begun(database: Database) -> Database | None:
    try:
        begun = database.begun()
    except BaseException:
        database.close()
        raise
    if not begun:
        database.close()
    return database if begun else None
