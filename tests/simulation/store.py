"""The journal's database of a simulated life: SQLite in memory, in the role of either database.

As PostgreSQL it has advisory locks that belong to sessions; a session that was lost fails its next statement, after
which SQLAlchemy connects anew, as it does to the real one. As SQLite, another's transaction can keep it busy too long.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, update
from sqlalchemy.engine import ExceptionContext

from reconciler.journal import lock as lock_module
from reconciler.journal.database import Database
from reconciler.journal.postgresql import number_for
from reconciler.journal.tables import locks
from reconciler.journal.worker import Worker
from reconciler.model.errors import JournalError
from tests.support.samples import NAMESPACE
from tests.support.signed import keys

if TYPE_CHECKING:
    from tests.simulation.process import Process

T = TypeVar("T")
_CALL_SECONDS = 0.002
_LOCK = number_for("apply", keys().mchid, NAMESPACE)
_LOST = "server closed the connection unexpectedly"
_numbers = itertools.count(1)


class _Session(sqlite3.Connection):
    """A connection that can be lost, and fail because of others."""

    server: Server
    pid = 0
    lost = False
    trouble = ""

    def close(self) -> None:
        self.server.lose(self)
        super().close()

    def cursor(self, factory: Any = None) -> Any:
        made = super().cursor(_Cursor)
        made.session = self
        return made


class _Cursor(sqlite3.Cursor):
    session: _Session

    def execute(self, sql: str, *parameters: Any) -> Any:
        trouble, self.session.trouble = self.session.trouble, ""
        if trouble:
            raise sqlite3.OperationalError(trouble)
        if self.session.lost:
            raise sqlite3.OperationalError(_LOST)
        return super().execute(sql, *parameters)


class Server:
    """The database that all processes of a life share, and who holds the lock in truth."""

    def __init__(self, *, postgresql: bool) -> None:
        self.postgresql = postgresql
        self._uri = f"file:life{next(_numbers)}?mode=memory&cache=shared"
        self._keeper = sqlite3.connect(self._uri, uri=True, isolation_level=None)
        self._advisory: dict[int, _Session] = {}
        self._open: set[_Session] = set()
        self.opened: list[Database] = []
        setup = _AsSqlite(self)
        setup.upgrade()
        setup.close()

    def open(self, process: Process) -> JournalOf:
        return JournalOf(self, process)

    def someone(self) -> Shared:
        """The database for a command that no script strikes."""
        return Shared(self)

    def close(self) -> None:
        """What the dead have left open is closed, too."""
        for database in self.opened:
            database.close()
        for session in self._open:
            session.close()
        self._keeper.close()

    def token(self) -> str:
        """Whose token stands in the table."""
        # All rows: a statement that is not read to its end keeps the others from writing.
        rows = self._keeper.execute(f"SELECT token FROM {locks.name}").fetchall()
        return rows[0][0] if rows else ""

    def holds(self, sessions: set[_Session], token: str) -> bool:
        """Whether the process with these sessions and this token has the lock."""
        if self.token() != token or not token:
            return False
        return not self.postgresql or self._advisory.get(_LOCK) in sessions

    def lose(self, session: _Session) -> None:
        """As after ``pg_terminate_backend``: its advisory locks are free at once."""
        session.lost = True
        self._advisory = {number: each for number, each in self._advisory.items() if each is not session}

    def connect(self) -> _Session:
        """A new connection to this database."""
        session = sqlite3.connect(self._uri, uri=True, isolation_level=None, factory=_Session)
        session.server, session.pid = self, next(_numbers)
        self._open.add(session)
        self._functions(session)
        return session

    def _functions(self, session: _Session) -> None:
        """What PostgreSQL has and SQLite does not, as far as the journal asks for it."""

        def take(number: int) -> int:
            return int(self._advisory.setdefault(number, session) is session)

        def give(number: int) -> int:
            return int(self._advisory.get(number) is session and self._advisory.pop(number) is session)

        def holder(number: int) -> int | None:
            found = self._advisory.get(number)
            return found.pid if found is not None else None

        def end(pid: int) -> int:
            for each in [each for each in self._open if each.pid == pid]:
                self.lose(each)
            return 1

        session.create_function("pg_backend_pid", 0, lambda: session.pid)
        session.create_function("pg_try_advisory_lock", 1, take)
        session.create_function("pg_advisory_lock", 1, take)
        session.create_function("pg_advisory_unlock", 1, give)
        session.create_function("pg_terminate_backend", 1, end)
        session.create_function("holder_of", 1, holder)
        session.create_function("still_held", 2, lambda pid, number: int(pid == session.pid and holder(number) == pid))


def _begin(connection: Connection) -> None:
    """Transactions of SQLite that write are alone from their beginning; those of PostgreSQL only meet in rows."""
    session: Any = connection.connection.driver_connection
    alone = not (session.server.postgresql or connection.get_execution_options().get("paygift_reading"))
    connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")


def _disconnected(context: ExceptionContext) -> None:
    if _LOST in str(context.original_exception):
        context.is_disconnect = True


def _rewritten(
    conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> tuple[str, Any]:
    """What is asked of PostgreSQL's own tables."""
    if "pg_locks" not in statement:
        return statement, parameters
    if "pg_backend_pid" in statement:
        return "SELECT still_held(?, ?)", tuple(parameters)
    return "SELECT holder_of(?1) AS pid, 'life' AS usename WHERE holder_of(?1) IS NOT NULL", tuple(parameters)


_connecting: list[Shared] = []
"""Whose connection the engine makes now."""


def _connected() -> _Session:
    return _connecting[-1].connected()


@cache
def _engine() -> Engine:
    """One for all lives: an engine remembers what it has compiled."""
    engine = create_engine("sqlite://", creator=_connected, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _disconnected)
    event.listen(engine, "before_cursor_execute", _rewritten, retval=True)
    return engine


class Shared(Database):
    """The database as one command sees it; ``sessions`` are its connections so far."""

    def __init__(self, server: Server) -> None:
        super().__init__(_engine(), "the journal")
        self.sessions: set[_Session] = set()
        self._server = server
        server.opened.append(self)

    @property
    def is_postgresql(self) -> bool:
        return self._server.postgresql

    def connected(self) -> _Session:
        session = self._server.connect()
        self.sessions.add(session)
        return session

    def another(self) -> Database:
        other = Shared(self._server)
        other.sessions = self.sessions
        return other

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._connecting(), super().transaction() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._connecting(), super().reading() as connection:
            yield connection

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        _connecting.append(self)
        try:
            yield
        finally:
            _connecting.pop()


class _AsSqlite(Shared):
    """For making the tables, which are the same in both."""

    @property
    def is_postgresql(self) -> bool:
        return False


class JournalOf(Shared):
    """The database as one process sees it. Every transaction is a point where the script may strike."""

    def __init__(self, server: Server, process: Process) -> None:
        super().__init__(server)
        self._process = process

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        after = self._process.about_to_write_down()
        with super().transaction() as connection:
            yield connection
        after()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        after = self._process.about_to_write_down()
        with super().reading() as connection:
            yield connection
        after()

    def another(self) -> Database:
        other = _Unseen(self._server, self._process)
        other.sessions = self.sessions
        return other

    def busy(self) -> None:
        """The next statement finds that somebody else has not ended a transaction in time."""
        for session in self.sessions:
            session.trouble = "database is locked"

    def lose_session(self) -> None:
        for session in self.sessions:
            self._server.lose(session)


class _Unseen(Shared):
    """One more connection of a process, which the script does not count: a heartbeat's."""

    def __init__(self, server: Server, process: Process) -> None:
        super().__init__(server)
        self._process = process

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self._process.refuse_the_dead()
        with super().transaction() as connection:
            yield connection


class Heartbeat:
    """What the journal's heartbeat does, on the virtual clock: it stands still while its process does."""

    def __init__(self, database: Database, mine: Any) -> None:
        self._database, self._mine = database, mine
        self._over = False
        self._again()

    def stop(self) -> None:
        self._over = True

    def _again(self) -> None:
        asyncio.get_running_loop().call_later(lock_module.BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        if self._over:
            return
        # As the real one: a beat that fails is told by nobody, and the next one follows.
        with suppress(JournalError), self._database.transaction() as connection:
            connection.execute(update(locks).where(self._mine).values(beats=locks.c.beats + 1))
        self._again()


class InTurn(Worker):
    """What the journal's thread does, without a thread: one call after another, each a moment after it was asked for,
    so that others make their steps in between."""

    def __init__(self, where: str = "this project", *, deadline_seconds: float = 0.0) -> None:
        super().__init__(where)
        self._turn = asyncio.Lock()

    async def do(self, call: Callable[[], T], *, deadline_seconds: float | None = None) -> T:
        async with self._turn:
            await asyncio.sleep(_CALL_SECONDS)
            return call()

    def later(self, call: Callable[[], object]) -> None:
        def made() -> None:
            with suppress(JournalError):
                call()

        asyncio.get_running_loop().call_later(_CALL_SECONDS, made)

    def stop(self) -> None:
        """There is no thread."""
