"""One apply at a time for an account and namespace.

Whoever holds the lock has its token in the table ``locks``, and appends to the journal only while it stands there: a
process that was put out, or slept through its own displacement, can write nothing down any more, and so send nothing.

On PostgreSQL an advisory lock of the session says whether the holder lives. On SQLite it is a lease: the holder counts
its heartbeats, and whoever waits and sees them stand still for a while takes over. Clocks are never compared.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text, update

from reconciler.errors import JournalError
from reconciler.journal.database import Database, locks, number_for
from reconciler.journal.process import Process

BEAT_SECONDS: Final = 5.0
"""How often the holder of a lease shows that it lives."""
SILENCE_SECONDS: Final = 20.0
"""How long its heartbeat must have been seen standing still before somebody else takes over."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or wants, the lock: ``who`` runs it, ``since`` is when, as text for people."""

    who: str
    process: Process
    since: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def __str__(self) -> str:
        return (
            f"{self.who or 'somebody'} on {self.process.host}, process {self.process.pid}, since {self.since}"
        )

    def to_json(self) -> str:
        return json.dumps({"who": self.who, "since": self.since, "process": asdict(self.process)})

    @classmethod
    def from_row(cls, token: str, text_: str) -> Holder:
        data: Mapping[str, Any] = json.loads(text_)
        return cls(str(data["who"]), Process(**data["process"]), str(data["since"]), token)


@dataclass(frozen=True, slots=True)
class Seen:
    """The lock as it was found in somebody's hands."""

    holder: Holder
    beats: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is ours. ``displaced`` is the dead holder whose it was."""

    displaced: Holder | None = None


class Lock:
    """The lock of one account and namespace in ``database``."""

    def __init__(self, database: Database, mchid: str, namespace: str) -> None:
        self._database = database
        self._mchid = mchid
        self._namespace = namespace
        self._where = (locks.c.mchid == mchid) & (locks.c.namespace == namespace)
        self._number = number_for("apply", mchid, namespace)
        self._beating: _Heartbeat | None = None

    def try_take(self, me: Holder, *, silent: Seen | None = None) -> Taken | Seen:
        """Take the lock, if it is free or its holder dead; or tell who has it.

        ``silent`` is how a lease was seen long enough ago to call its holder dead if nothing has changed since.
        """
        with self._database.transaction() as connection:
            found = self._find(connection)
            if self._database.is_postgresql:
                if not connection.execute(select(func.pg_try_advisory_lock(self._number))).scalar():
                    return found or Seen(Holder("", Process("", 0), "just now", token=""), 0)
            elif found is not None and not (found.holder.process.is_gone or found == silent):
                return found
            connection.execute(delete(locks).where(self._where))
            mine = {"mchid": self._mchid, "namespace": self._namespace, "beats": 0}
            connection.execute(insert(locks).values(token=me.token, holder=me.to_json(), **mine))
        if not self._database.is_postgresql:
            self._beating = _Heartbeat(self._database.another(), self._mine(me.token))
        return Taken(found.holder if found is not None else None)

    def release(self, me: Holder) -> None:
        """Give the lock back, if it is still ours."""
        if self._beating is not None:
            self._beating.stop()
        with self._database.transaction() as connection:
            connection.execute(delete(locks).where(self._mine(me.token)))
            if self._database.is_postgresql:
                connection.execute(select(func.pg_advisory_unlock(self._number)))

    def break_(self) -> Holder | None:
        """Take the lock from whoever holds it, and tell who that was. It is free afterwards."""
        with self._database.transaction() as connection:
            found = self._find(connection)
            connection.execute(delete(locks).where(self._where))
            if self._database.is_postgresql:
                connection.execute(text(_END_HOLDER), {"number": self._number})
        return found.holder if found is not None else None

    def require(self, connection: Connection, token: str) -> None:
        """Raise JournalError unless the lock is still the one that ``token`` was taken with."""
        # The row stays as it is until the transaction ends: nobody is put out between this look and the append.
        found = self._find(connection, keep=True)
        if found is None or found.holder.token != token:
            now = f"by {found.holder}" if found is not None else "and is free now"
            raise JournalError(
                f"the lock of this run was taken away, {now}; nothing more was sent.",
                remedy="Run apply again: it finds out what became of this run, and does the rest.",
            )

    def _find(self, connection: Connection, *, keep: bool = False) -> Seen | None:
        query = select(locks.c.token, locks.c.holder, locks.c.beats).where(self._where)
        row = connection.execute(query.with_for_update(read=True) if keep else query).first()
        return None if row is None else Seen(Holder.from_row(row.token, row.holder), row.beats)

    def _mine(self, token: str) -> Any:
        return self._where & (locks.c.token == token)


def locks_in(database: Database, namespace: str) -> list[tuple[str, Holder]]:
    """Who holds the locks of ``namespace``, by account."""
    query = select(locks.c.mchid, locks.c.token, locks.c.holder).where(locks.c.namespace == namespace)
    with database.transaction() as connection:
        rows = connection.execute(query.order_by(locks.c.mchid)).all()
    return [(row.mchid, Holder.from_row(row.token, row.holder)) for row in rows]


_END_HOLDER: Final = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND ((classid::bigint << 32) | objid::bigint) = :number
"""


class _Heartbeat:
    """Counts in a thread of its own, since a person who is asked a question keeps the event loop waiting."""

    def __init__(self, database: Database, mine: Any) -> None:
        self._database = database
        self._mine = mine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="paygift-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                with self._database.transaction() as connection:
                    connection.execute(update(locks).where(self._mine).values(beats=locks.c.beats + 1))
            except JournalError:
                # A full disk, perhaps. Nothing is lost by it: whoever takes over because of our silence also makes
                # our next append fail, and with it the request that it was for.
                continue
        self._database.close()
