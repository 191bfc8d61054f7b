"""The database of a journal: opened, brought to the newest schema, and its errors made ours.

SQLite by default, PostgreSQL for teams. SQLAlchemy is imported by whoever imports this module, so only commands that
use a journal do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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
    make_url,
    select,
    text,
    update,
)
from sqlalchemy import exc as sa

from reconciler.errors import JournalError, UsageError

BUSY_SECONDS: Final = 15.0
"""How long a transaction waits for the one of another process. None takes longer than a moment."""
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


def _entries_and_intents(connection: Connection) -> None:
    _tables.create_all(connection, tables=[entries, open_intents])


def _locks(connection: Connection) -> None:
    _tables.create_all(connection, tables=[locks])


MIGRATIONS: Final[Sequence[Callable[[Connection], None]]] = (_entries_and_intents, _locks)
"""The step to version 1, to version 2, and so on. Steps that were published are never changed."""


_REMEDY: Final = "Mend that, then run again: nothing is sent to WeChat Pay that was not written down before."
_DAMAGED_REMEDY: Final = (
    "Move it away, or let the next apply do so: nothing but looking things up depends on it."
)


class Database:
    """An open journal database. One connection, used by one thread; ``another`` gives one for a second thread.

    Raises JournalError wherever the database does not do what it is asked.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self.where = where
        self._engine = engine
        self._connection: Connection | None = None

    @property
    def is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of it or nothing, durable at its end, and alone: others wait for its end before they begin theirs."""
        with self._translated():
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                yield self._connection

    def another(self) -> Database:
        return Database(self._engine, self.where)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def upgrade(self) -> None:
        """Bring the schema to the newest version. Raises JournalError if it is newer than we know."""
        with self.transaction() as connection:
            if self.is_postgresql:
                connection.execute(select(func.pg_advisory_xact_lock(number_for("schema"))))
            _tables.create_all(connection, tables=[schema])
            version = connection.execute(select(schema.c.version)).scalar()
            if version is None:
                version = 0
                connection.execute(insert(schema).values(version=0))
            self._refuse_newer(version)
            for step in MIGRATIONS[version:]:
                step(connection)
            if version < len(MIGRATIONS):
                connection.execute(update(schema).values(version=len(MIGRATIONS)))

    def _refuse_newer(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise JournalError(
                f"the journal in {self.where} has version {version}, and this paygift knows {len(MIGRATIONS)}.",
                remedy="Use the newer paygift that wrote it.",
            )

    def begun(self) -> bool:
        """Whether there is a journal in it. Changes nothing. Raises JournalError if it is newer than we know."""
        with self.transaction() as connection:
            if not inspect(connection).has_table(schema.name):
                return False
            version = connection.execute(select(schema.c.version)).scalar() or 0
            self._refuse_newer(version)
            return version > 0

    def look(self) -> None:
        """Raises JournalError if a PostgreSQL database can be no journal, or is too new a one. Changes nothing."""
        with self.transaction() as connection:
            if inspect(connection).has_table(schema.name):
                self._refuse_newer(connection.execute(select(schema.c.version)).scalar() or 0)
            elif not connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")):
                raise JournalError(
                    f"the journal in {self.where} cannot be begun: its user may not make tables there.",
                    remedy="GRANT CREATE ON SCHEMA public TO that user, or name a database that belongs to it.",
                )

    def check(self) -> None:
        """Raises JournalError for a damaged SQLite file. A server looks after its own."""
        if self.is_postgresql:
            return
        with self.transaction() as connection:
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
            said = " ".join(str(cause).split()) or type(cause).__name__
            damaged = getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
            raise JournalError(
                f"the journal in {self.where} cannot be used: {said.rstrip('.?')}.",
                remedy=_DAMAGED_REMEDY if damaged else _REMEDY,
                damaged=damaged,
            ) from error


def number_for(*names: str) -> int:
    """The signed 64-bit number that stands for ``names`` in PostgreSQL's advisory locks."""
    digest = hashlib.sha256("\0".join(("paygift", *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def open_sqlite(file: Path) -> Database:
    """The journal in ``file``, which is made if it is missing. Raises JournalError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the folder {file.parent} cannot be made: {error.strerror}.", remedy="Make it writable."
        ) from error
    return _opened(_sqlite(file))


def _sqlite(file: Path) -> Database:
    engine = create_engine(
        URL.create("sqlite", database=str(file)), poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _as_we_need_it)
    event.listen(engine, "begin", _begin_alone)
    return Database(engine, str(file))


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
    try:
        parsed = make_url(url)
    except sa.ArgumentError as error:
        raise UsageError("PAYGIFT_JOURNAL_URL is no URL.", remedy=_URL_REMEDY) from error
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise UsageError(f"PAYGIFT_JOURNAL_URL names a {parsed.drivername} database.", remedy=_URL_REMEDY)
    try:
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={} if "connect_timeout" in parsed.query else {"connect_timeout": CONNECT_SECONDS},
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            "A journal in PostgreSQL needs psycopg.",
            remedy="Install it: pip install 'paygift-reconciler[postgresql]'.",
        ) from error
    # Never the URL itself, which may hold a password.
    return Database(engine, f"PostgreSQL ({parsed.host or 'local'}/{parsed.database or ''})")


_URL_REMEDY: Final = (
    "Write postgresql://USER:PASSWORD@HOST/DATABASE, or unset it for the file .paygift/journal.db."
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
    """WAL with an fsync for every commit: what was written down survives the machine."""
    connection.isolation_level = None  # or sqlite3 would begin transactions by itself, and too late
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_alone(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def set_aside(file: Path, suffix: str) -> Path:
    """Move a damaged SQLite journal, and what belongs to it, out of the way. Returns where it is now."""
    target = file.with_name(f"{file.name}.{suffix}")
    for part in ("-wal", "-shm", ""):
        here = file.with_name(file.name + part)
        if here.exists():
            here.replace(target.with_name(target.name + part))
    return target
