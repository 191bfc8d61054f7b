"""The database of a journal: opened, brought to the newest schema, and its errors made ours.

SQLite by default, PostgreSQL for teams. SQLAlchemy is imported by whoever imports this module, so only commands that
use a journal do.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import exc as sa

from reconciler.journal.holder import Holder
from reconciler.journal.unreachable import not_connected
from reconciler.model.errors import BusyError, JournalError, LockLostError, UsageError
from reconciler.system.environment import DATABASE, checked_address, invalid
from reconciler.system.paygift_folder import check, make

BUSY_SECONDS: Final = 8.0
"""How long a transaction waits for the one of another process. None takes longer than a moment, so this is told before
the deadline for a journal that does not answer at all."""
STILL_BUSY_SECONDS: Final = 0.5
"""The same after somebody has waited that long in vain, until it is free again."""
CONNECT_SECONDS: Final = 10
"""How long each address of a PostgreSQL server is given to answer, unless the URL says ``connect_timeout``."""

_tables: Final = MetaData()

schema: Final = Table("paygift_schema", _tables, Column("version", Integer, nullable=False))
"""One row."""

entries: Final = Table(
    "paygift_entries",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""Append-only. ``record`` is the sealed line, ``hash`` its SHA-256."""

open_intents: Final = Table(
    "paygift_open_intents",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
)
"""Which entries are intents that no outcome names: what the next run must ask about."""

locks: Final = Table(
    "paygift_locks",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("token", String(32), nullable=False),
    Column("holder", Text, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
"""Who may write. ``holder`` is JSON for people, ``beats`` a count that grows while the holder lives."""

queue: Final = Table(
    "paygift_queue",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("token", String(32), primary_key=True),
    Column("ticket", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
"""Who waits for the lock; the lowest ``ticket`` is next. ``beats`` grows with every look of theirs at the lock."""

applied: Final = Table(
    "paygift_applied",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("commit_id", String(64), nullable=False),
)
"""The commit whose files were applied last, or begun to be: an older one must not follow it."""


def _entries_and_intents(connection: Connection) -> None:
    _tables.create_all(connection, tables=[entries, open_intents])


def _locks(connection: Connection) -> None:
    _tables.create_all(connection, tables=[locks])


def _queue_and_applied(connection: Connection) -> None:
    """What was applied last is in the lines that there are already."""
    _tables.create_all(connection, tables=[queue, applied])
    kind = entries.c.record.contains('"entry":"begun"', autoescape=True)
    query = select(entries.c.mchid, entries.c.namespace, entries.c.record).where(kind)
    begun = connection.execute(query.order_by(entries.c.seq)).all()
    last = {(row.mchid, row.namespace): json.loads(row.record).get("commit", "") for row in begun}
    for (mchid, namespace), commit in last.items():
        if commit:
            values = {"mchid": mchid, "namespace": namespace, "commit_id": commit}
            connection.execute(insert(applied).values(**values))


MIGRATIONS: Final[Sequence[Callable[[Connection], None]]] = (_entries_and_intents, _locks, _queue_and_applied)
"""The step to version 1, to version 2, and so on. Steps that were published are never changed."""


_REMEDY: Final = "Fix that, then run again: nothing is sent to WeChat Pay that was not written down before."
_DAMAGED_REMEDY: Final = (
    "Move it away, or let the next apply do so: nothing but looking things up depends on it."
)
_LOST_REMEDY: Final = "Run apply again: it finds out what became of this run, and does the rest."
_Identity = tuple[int, int]


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
        self._files: dict[Path, _Identity] = {}
        self._pinned = False
        self._pid = 0
        self._is_no_pool = False
        self._busy = False
        self._alone = threading.Lock()

    @property
    def is_postgresql(self) -> bool:
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
                self._wait_for_others(connection, busy=False)

    def _wait_for_others(self, connection: Connection, *, busy: bool) -> None:
        """Not as long for each of many writes, once one has shown that it does not help."""
        self._busy = busy
        seconds = STILL_BUSY_SECONDS if busy else BUSY_SECONDS
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            if self._pinned:
                raise self._lost("the session with its server that held the lock has ended")
            self.close()
        if self._connection is None:
            self._connection = self._opened_connection()
            self._files = {}
            if self._file is not None and not self.remark:
                self.remark = _wal_remark(self._connection, self.where)
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
                remedy=_CONNECT_REMEDY,
            ) from error

    def _check_files(self) -> None:
        """The files are those that were opened: what is written to a removed one nobody else sees. SQLite makes the one
        of the write-ahead log with the first transaction, and removes it with the last connection.
        """
        if self._file is None:
            return
        found = _identities(self._file)
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
        if self._file is None or self._files.items() <= _identities(self._file).items():
            return
        self.close()
        _make_folder(self._file)
        self.upgrade()

    def pin(self) -> None:
        """Bind it to the session or file that it has now."""
        if self.is_postgresql:
            self._pid = self._session()
        self._pinned = True

    def unpin(self) -> None:
        self._pinned = False

    def check_session(self, connection: Connection, number: int) -> None:
        """Raise LockLostError unless the session is still the pinned one, and holds the advisory lock ``number``."""
        if self.is_postgresql and not connection.scalar(
            text(_STILL_HELD), {"pid": self._pid, "number": number}
        ):
            raise self._lost("the lock does not belong to the session with its server any more")

    def refuse_pool(self) -> None:
        """Raise JournalError if transactions of one connection end up in different sessions of the server: something in
        between pools them, and a lock that belongs to a session would belong to everybody.
        """
        if not self.is_postgresql or self._is_no_pool:
            return
        mine, other = self._session(), self.another()
        try:
            # A pool that gives out the session that was free last, or has only one, gives ours to the next who asks. In
            # one that gives them out in turn, those of two transactions change places after both were open at once.
            self._is_no_pool = other._session() != mine and all(
                self._after(first, last) == mine for first, last in ((other, self), (self, other))
            )
        finally:
            other.close()
        if self._is_no_pool:
            return
        raise JournalError(
            f"the journal in {self.where} is reached through a pool that gives every transaction another session, "
            "and the lock belongs to a session. Nothing was written.",
            remedy="Connect to the server itself, or through a pool in session mode (pgbouncer: pool_mode=session).",
        )

    def _session(self) -> int:
        with self.transaction() as connection:
            return int(connection.scalar(text(_SESSION)) or 0)

    def _after(self, first: Database, last: Database) -> int:
        """Our session once both were in a transaction at the same time, and ``first`` was the first to leave it."""
        with last.transaction() as outer:
            outer.scalar(text(_SESSION))
            first._session()
        return self._session()

    def _lost(self, why: str) -> LockLostError:
        return LockLostError(
            f"the lock of this run is lost, and nothing more was sent: {why} (journal in {self.where}).",
            remedy=_LOST_REMEDY,
        )

    def another(self) -> Database:
        return Database(self._engine, self.where, self._file)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._files, self._busy = {}, False
        if connection is not None:
            connection.close()

    def replace_file(self) -> None:
        """Go on with a copy of all that was committed, in place of the SQLite file: somebody was stopped in the middle
        of a transaction, and nobody can write to the old one. Whoever has that open finds out before its next write.
        """
        assert self._file is not None  # noqa: S101 - only a file is ever busy
        draft = self._file.with_name(f"{self._file.name}.new")
        try:
            draft.unlink(missing_ok=True)
            with (
                closing(sqlite3.connect(_read_only(self._file), uri=True)) as old,
                closing(sqlite3.connect(draft)) as new,
            ):
                old.backup(new)
            self.close()
            # A write-ahead log is not tied to its file: the copy must not find the old one's.
            for suffix in ("-wal", "-shm"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
            draft.replace(self._file)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"the journal in {self.where} is busy, and cannot be replaced by a copy of itself: {error}.",
                remedy="End the process that is writing to it, then run `paygift unlock` again.",
            ) from error

    def upgrade(self) -> None:
        """Bring the schema to the newest version. Raises JournalError if it is newer than we know."""
        with self.reading() as connection:
            if self._version(connection) == len(MIGRATIONS):
                return
        with self.transaction() as connection:
            if self.is_postgresql:
                connection.execute(select(func.pg_advisory_xact_lock(number_for("schema"))))
            version = self._version(connection)
            if version is None:
                _tables.create_all(connection, tables=[schema])
                connection.execute(insert(schema).values(version=0))
            for step in MIGRATIONS[version or 0 :]:
                step(connection)
            connection.execute(update(schema).values(version=len(MIGRATIONS)))

    def _version(self, connection: Connection) -> int | None:
        """Of the schema, ``None`` before the first. Raises JournalError if it is newer than we know."""
        if not inspect(connection).has_table(schema.name):
            return None
        version: int | None = connection.execute(select(schema.c.version)).scalar()
        self._refuse_newer(version or 0)
        return version

    def _refuse_newer(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise JournalError(
                f"the journal in {self.where} has version {version}, and this paygift knows {len(MIGRATIONS)}.",
                remedy="Use the newer paygift that wrote it.",
            )

    def begun(self) -> bool:
        """Whether there is a journal in it. Changes nothing. Raises JournalError if it is newer than we know."""
        with self.reading() as connection:
            return bool(self._version(connection))

    def look(self) -> None:
        """Raises JournalError if a PostgreSQL database can be no journal, or is too new a one. Changes nothing."""
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
            raise JournalError(
                f"the journal in {self.where} is damaged: {said}.", damaged=True, remedy=_DAMAGED_REMEDY
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.SQLAlchemyError as error:
            cause = error.orig if isinstance(error, sa.DBAPIError) else error
            said = (" ".join(str(cause).split()) or type(cause).__name__).rstrip(".?")
            if self._pinned and isinstance(error, sa.DBAPIError) and error.connection_invalidated:
                raise self._lost(
                    f"the session with its server that held the lock has ended ({said})"
                ) from error
            name = getattr(cause, "sqlite_errorname", "")
            if self._file is not None and name.startswith("SQLITE_BUSY"):
                if self._connection is not None:
                    self._wait_for_others(self._connection, busy=True)
                raise _busy(self._file, self.where) from error
            if getattr(cause, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
                raise BusyError(_busy_text(self.where, said), remedy=_BUSY_REMEDY) from error
            damaged = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
            raise JournalError(
                f"the journal in {self.where} cannot be used: {said}.",
                remedy=_DAMAGED_REMEDY if damaged else _REMEDY,
                damaged=damaged,
            ) from error


_BUSY_REMEDY: Final = "Wait for that process or end it, then run again; `paygift unlock` takes the lock away."
_LOCK_NOT_AVAILABLE: Final = "55P03"
_SESSION: Final = "SELECT pg_backend_pid()"
_STILL_HELD: Final = """
SELECT pg_backend_pid() = :pid AND EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = :number
)
"""


def _identities(file: Path) -> dict[Path, _Identity]:
    """Which files are there under the names of the journal and of its write-ahead log."""
    found = {}
    for path in (file, file.with_name(f"{file.name}-wal")):
        try:
            status = path.stat()
        except OSError:  # gone, or out of our reach: nobody can tell any more whether it is the same
            continue
        found[path] = (status.st_dev, status.st_ino)
    return found


def _read_only(file: Path) -> str:
    return f"{file.absolute().as_uri()}?mode=ro"


def _busy(file: Path, where: str) -> BusyError:
    """Whose transaction it is nobody can see; who holds the lock is in what was committed before it."""
    try:
        with closing(sqlite3.connect(_read_only(file), uri=True, timeout=0)) as connection:
            rows = connection.execute(f"SELECT token, holder FROM {locks.name}").fetchall()  # noqa: S608 - ours
        holders = [Holder.from_row(token, holder) for token, holder in rows]
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        holders = []
    held = f" The lock is held by {'; '.join(map(str, holders))}." if holders else ""
    conditions = " ".join(filter(None, (holder.condition for holder in holders)))
    return BusyError(_busy_text(where, "database is locked") + held, remedy=conditions or _BUSY_REMEDY)


def _busy_text(where: str, said: str) -> str:
    return (
        f"the journal in {where} is busy: another process has been in the middle of writing to it for over "
        f"{BUSY_SECONDS:g} s ({said})."
    )


def _wal_remark(connection: Connection, where: str) -> str:
    """SQLite answers with the mode that it has, whatever it was asked for."""
    mode = connection.connection.driver_connection.execute("PRAGMA journal_mode").fetchone()[0]  # type: ignore[union-attr]
    if mode == "wal":
        return ""
    return (
        f"The file system of {where} cannot have a write-ahead log (SQLite's journal mode is {mode!r}). What is "
        "written is as durable, but takes longer, and who only looks may have to wait. A local disk is better."
    )


def number_for(*names: str) -> int:
    """The signed 64-bit number that stands for ``names`` in PostgreSQL's advisory locks."""
    digest = hashlib.sha256("\0".join(("paygift", *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def open_sqlite(file: Path) -> Database:
    """The journal in ``file``, which is made if it is missing. Raises JournalError."""
    _make_folder(file)
    return _opened(_sqlite(file))


def check_file(file: Path) -> bool:
    """Whether there is a journal in ``file``. Raises JournalError if it, or what SQLite keeps beside it, is a link or
    anything else than a file: SQLite would follow it."""
    with _as_journal_error():
        for suffix in ("-wal", "-shm", "-journal"):
            check(file.with_name(f"{file.name}{suffix}"), remedy="Remove it.")
        return check(file, remedy="Remove it.")


def _make_folder(file: Path) -> None:
    with _as_journal_error():
        make(file.parent)
    check_file(file)


@contextmanager
def _as_journal_error() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise JournalError(error.message, remedy=error.remedy) from error


def _sqlite(file: Path) -> Database:
    engine = create_engine(
        _sqlite_url(file),
        poolclass=NullPool,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _as_we_need_it)
    event.listen(engine, "begin", _begin)
    return Database(engine, str(file), file)


def _sqlite_url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))


def open_postgresql(url: str) -> Database:
    """The journal in the PostgreSQL database that ``url`` names, which is begun if there is none yet.

    Raises JournalError, UsageError for a URL that names no database.
    """
    return _opened(_postgresql(url))


def reading_postgresql(url: str) -> Database | None:
    """The journal in the PostgreSQL database that ``url`` names, or ``None`` if none was begun there.

    Raises JournalError, UsageError for a URL that names no database.
    """
    return _only_begun(_postgresql(url))


def look_at_postgresql(url: str) -> str:
    """Where the journal of ``url`` is, if it could be used; changes nothing. Raises what ``open_postgresql`` does."""
    database = _postgresql(url)
    try:
        database.look()
    finally:
        database.close()
    return database.where


def _postgresql(url: str) -> Database:
    address = checked_address(_VARIABLE, url, DATABASE)
    try:
        from psycopg.pq import Conninfo  # noqa: PLC0415 - only those who share a journal have it
    except ImportError as error:
        raise UsageError(
            "A journal in PostgreSQL needs psycopg.",
            remedy="Install it: pip install 'paygift-reconciler[postgresql]'.",
        ) from error
    options = {option for option, _ in address.options}
    if not options <= {option.keyword.decode() for option in Conninfo.get_defaults()}:
        raise invalid(_VARIABLE, "has an option after its ? that PostgreSQL does not know", _URL_REMEDY)
    parsed = URL.create(
        "postgresql+psycopg",
        username=address.user or None,
        password=address.password or None,
        host=address.host or None,
        port=address.port,
        database=unquote(address.path.removeprefix("/")) or None,
    ).update_query_pairs(address.options, append=True)
    try:
        engine = create_engine(
            parsed,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",  # what the code is written for, whatever the server's default is
            connect_args={} if "connect_timeout" in options else {"connect_timeout": CONNECT_SECONDS},
        )
    except (sa.ArgumentError, ValueError):
        raise invalid(_VARIABLE, "has an option after its ? that is invalid", _URL_REMEDY) from None
    event.listen(engine, "connect", _as_we_need_the_session)
    # Never more of the URL, which may hold a password.
    return Database(engine, f"PostgreSQL ({address.host or 'local'})")


_VARIABLE: Final = "PAYGIFT_JOURNAL_URL"
_URL_REMEDY: Final = (
    "Write postgresql://USER:PASSWORD@HOST/DATABASE, or unset it for the file .paygift/journal.db."
)
_CONNECT_REMEDY: Final = (
    f"Check {_VARIABLE}, and that the server runs and lets this machine in; then run again: nothing is sent to WeChat "
    "Pay that was not written down before."
)


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


def _as_we_need_it(connection: Any, _record: object) -> None:
    """WAL with an fsync for every commit: what was written down survives the machine. Without WAL, that takes one more
    for the folder.
    """
    connection.isolation_level = None  # or sqlite3 would begin transactions by itself, and too late
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(f"PRAGMA synchronous={'FULL' if mode == 'wal' else 'EXTRA'}")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("paygift_reading"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql(
        "SELECT 1 FROM sqlite_master LIMIT 1"
    ).close()  # now, and not with the first look


def _as_we_need_the_session(connection: Any, _record: object) -> None:
    """A commit is on the disk when it returns, and the server does not end a session that waits for a person."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{BUSY_SECONDS:g}s",))
        cursor.execute(_SETTINGS)
    connection.commit()


_SETTINGS: Final = """
SELECT set_config(name, CASE name WHEN 'synchronous_commit' THEN 'on' ELSE '0' END, false) FROM pg_settings
WHERE name = 'synchronous_commit' AND setting = 'off'
OR name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') AND setting <> '0'
"""


def set_aside(file: Path, suffix: str) -> Path:
    """Move a damaged SQLite journal, and what belongs to it, out of the way. Returns where it is now."""
    target = file.with_name(f"{file.name}.{suffix}")
    for part in ("-wal", "-shm", ""):
        here = file.with_name(file.name + part)
        if here.exists():
            here.replace(target.with_name(target.name + part))
    return target
