"""One apply at a time for an account and namespace, in the order in which they came.

Whoever holds the lock has its token in the table ``locks``, and appends to the journal only while it stands there: a
process that was put out, or slept through its own displacement, can write nothing down any more, and so send nothing.
Whoever waits has a ticket in the table ``queue``; the lock goes to the lowest one whose process lives.

On PostgreSQL an advisory lock of the session says whether the holder lives, and another one whether who waits does. On
SQLite it is a lease: the holder counts its heartbeats, and whoever waits and sees them stand still for a while takes
over. Who waits counts its looks at the lock. Clocks are never compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy import exc as sa

from reconciler.journal.database import Database
from reconciler.journal.holder import Holder as Holder  # noqa: PLC0414 - whoever imports the lock wants it
from reconciler.journal.postgresql import number_for
from reconciler.journal.process import Process
from reconciler.journal.tables import locks, queue
from reconciler.model.errors import BusyError, JournalError, LockLostError

BEAT_SECONDS: Final = 5.0
"""How often the holder of a lease shows that it lives."""
SILENCE_SECONDS: Final = 20.0
"""How long its heartbeat must have been seen standing still before somebody else takes over."""
ENDING_SECONDS: Final = 10.0
"""How long a session of the server may take to end once it was told to."""
_PAUSE_SECONDS: Final = 0.02

Beat = tuple[str, int]
"""The token of somebody who holds the lock or waits for it, and how often they have shown that they live."""

ENDED: Final = "its process had ended"
SILENT: Final = f"it had given no sign of life for {SILENCE_SECONDS:g} s"
SESSION_ENDED: Final = "its session with PostgreSQL had ended"


@dataclass(frozen=True, slots=True)
class Seen:
    """Who is before us: the holder of the lock, or while it is free the next who ``waits`` for it. ``before`` are the
    beats of all of them.
    """

    holder: Holder
    beats: int
    waits: bool = False
    before: tuple[Beat, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is ours. ``displaced`` is the holder whose it was, and ``reason`` why it was taken for dead."""

    displaced: Holder | None = None
    reason: str = ""


class Lock:
    """The lock of one account and namespace in ``database``."""

    def __init__(self, database: Database, mchid: str, namespace: str) -> None:
        self._database = database
        self._ours = {"mchid": mchid, "namespace": namespace}
        self._where = (locks.c.mchid == mchid) & (locks.c.namespace == namespace)
        self._waiting = (queue.c.mchid == mchid) & (queue.c.namespace == namespace)
        self._number = number_for("apply", mchid, namespace)
        self._beating: _Heartbeat | None = None
        self._taken = False

    def try_take(self, me: Holder, *, silent: Collection[Beat] = ()) -> Taken | Seen:
        """Take the lock, if it is free or its holder dead, and nobody came before us; or stand in the queue, and tell
        who is before us.

        ``silent`` are beats that were seen long enough ago to call their owner dead if nothing has changed since.
        Raises JournalError, also where nothing can be a lock.
        """
        # While we waited, unlock may have put a copy in place of the file.
        self._database.refresh()
        self._database.refuse_pool()
        with self._database.transaction() as connection:
            found = self._find(connection)
            reason = self._dead(connection, found, silent)
            before = list(self._before(connection, me, silent))
            if found is not None and not reason:
                before.insert(0, found)
            if before or not self._is_free(connection):
                self._stand_in_queue(connection, me)
                first = before[0] if before else Seen(Holder("", Process("", 0), "just now", token=""), 0)
                return replace(first, before=tuple((seen.holder.token, seen.beats) for seen in before))
            connection.execute(delete(locks).where(self._where))
            connection.execute(insert(locks).values(token=me.token, holder=me.to_json(), beats=0, **self._ours))
            self._leave(connection, me)
        self._taken = True
        # From here on another session, or another file, means a lost lock, and nothing reconnects.
        self._database.pin()
        if not self._database.is_postgresql:
            # A second connection, so that it does not wait while the run's is in use.
            self._beating = _Heartbeat(self._database.another(), self._mine(me.token))
        return Taken(found.holder if found is not None else None, reason)

    def give_up(self, me: Holder) -> None:
        """Wait no longer; and give back what was taken while nobody waited for the answer any more."""
        with self._database.transaction() as connection:
            self._leave(connection, me)
        if self._taken:
            self.release(me)

    def release(self, me: Holder) -> None:
        """Give the lock back, if it is still ours."""
        if self._beating is not None:
            self._beating.stop()
        with self._database.transaction() as connection:
            connection.execute(delete(locks).where(self._mine(me.token)))
        if self._database.is_postgresql:
            # Apart, since it takes effect at once: whoever sees the row without the lock takes us for dead.
            with self._database.transaction() as connection:
                connection.execute(select(func.pg_advisory_unlock(self._number)))
        self._taken = False
        self._database.unpin()

    def break_(self) -> Holder | None:
        """Take the lock from whoever holds it, and tell who that was. It is free afterwards.

        Raises JournalError if it cannot be taken away; then nothing was changed.
        """
        try:
            return self._break()
        except BusyError:
            if self._database.is_postgresql:
                raise
            # Who was stopped in a transaction keeps SQLite's write lock, and is not ours to kill.
            self._database.replace_file()
        return self._break()

    def _break(self) -> Holder | None:
        with self._database.transaction() as connection:
            found = self._find(connection)
            if self._database.is_postgresql:
                self._end_sessions(connection)  # first: one that was stopped in the middle of a write keeps the row
            if found is not None:  # and nobody else: whoever waited may have taken it as soon as that session ended
                connection.execute(delete(locks).where(self._mine(found.holder.token)))
        return found.holder if found is not None else None

    def require(self, connection: Connection, token: str) -> None:
        """Raise LockLostError unless the lock is still the one that ``token`` was taken with."""
        self._database.check_session(connection, self._number)
        # The row stays as it is until the transaction ends: nobody is put out between this look and the append.
        found = self._find(connection, keep=True)
        if found is None or found.holder.token != token:
            now = f"by {found.holder}" if found is not None else "and is free now"
            raise LockLostError(
                f"the lock of this run was taken away, {now}; nothing more was sent.",
                remedy="Run apply again: it finds out what became of this run, and does the rest.",
            )

    def _find(self, connection: Connection, *, keep: bool = False) -> Seen | None:
        query = select(locks.c.token, locks.c.holder, locks.c.beats).where(self._where)
        # SQLite has no FOR SHARE, and needs none: BEGIN IMMEDIATE keeps all other writers out.
        row = connection.execute(query.with_for_update(read=True) if keep else query).first()
        return None if row is None else _seen(row)

    def _mine(self, token: str) -> Any:
        return self._where & (locks.c.token == token)

    # -- who lives -----------------------------------------------------------------------------------------------------

    def _dead(self, connection: Connection, found: Seen | None, silent: Collection[Beat]) -> str:
        """Why the holder that was found is taken for dead, or nothing."""
        if found is None:
            return ""
        if self._database.is_postgresql:
            # PostgreSQL knows who lives, so no process and no beat is asked.
            return "" if _is_held(connection, self._number) else SESSION_ENDED
        if found.holder.process.is_gone:
            return ENDED
        return SILENT if (found.holder.token, found.beats) in silent else ""

    def _is_free(self, connection: Connection) -> bool:
        """Whether nothing but the tables stands against taking the lock; on PostgreSQL it is taken by asking."""
        if not self._database.is_postgresql:
            return True
        # A session may take its own lock twice: it would be somebody else's, through a pool.
        return not _is_held(connection, self._number) and bool(
            connection.scalar(select(func.pg_try_advisory_lock(self._number)))
        )

    # -- the queue -----------------------------------------------------------------------------------------------------

    def _before(self, connection: Connection, me: Holder, silent: Collection[Beat]) -> Iterator[Seen]:
        """Who came before us and waits too. Whoever is dead loses their place."""
        tickets = select(queue.c.token, queue.c.holder, queue.c.beats).where(self._waiting)
        for row in connection.execute(tickets.order_by(queue.c.ticket, queue.c.token)).all():
            if row.token == me.token:
                return
            seen = replace(_seen(row), waits=True)
            if self._waits(connection, seen) and (row.token, row.beats) not in silent:
                yield seen
            else:
                connection.execute(delete(queue).where(self._place(row.token)))

    def _waits(self, connection: Connection, seen: Seen) -> bool:
        if self._database.is_postgresql:
            return _is_held(connection, _waiting_number(seen.holder))
        return not seen.holder.process.is_gone

    def _stand_in_queue(self, connection: Connection, me: Holder) -> None:
        """Take a ticket, or show that the owner of ours lives."""
        mine = update(queue).where(self._place(me.token)).values(beats=queue.c.beats + 1)
        if connection.execute(mine).rowcount:
            return
        if self._database.is_postgresql:
            connection.execute(select(func.pg_advisory_lock(_waiting_number(me))))
        last = connection.scalar(select(func.max(queue.c.ticket)).where(self._waiting)) or 0
        ticket = {"ticket": last + 1, "token": me.token, "holder": me.to_json(), "beats": 0}
        connection.execute(insert(queue).values(**ticket, **self._ours))

    def _leave(self, connection: Connection, me: Holder) -> None:
        left = connection.execute(delete(queue).where(self._place(me.token))).rowcount
        if left and self._database.is_postgresql:
            connection.execute(select(func.pg_advisory_unlock(_waiting_number(me))))

    def _place(self, token: str) -> Any:
        return self._waiting & (queue.c.token == token)

    # -- unlock --------------------------------------------------------------------------------------------------------

    def _end_sessions(self, connection: Connection) -> None:
        """End the sessions that hold the advisory lock. Raises JournalError, and rolls back, if we may not, or if one
        has not ended after ``ENDING_SECONDS``.
        """
        holding = _holding(connection, self._number)
        for pid, role in holding.items():
            try:
                connection.execute(select(func.pg_terminate_backend(pid)))
            except sa.DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") != "42501":  # insufficient_privilege
                    raise
                raise JournalError(
                    f"the lock cannot be taken away: it belongs to a session of the PostgreSQL role {role!r} "
                    f"(process {pid} of the server), which the role of this journal's URL may not end. Nothing was "
                    "changed.",
                    remedy=f"Run `paygift unlock` as {role!r}, or have an administrator run "
                    f"`SELECT pg_terminate_backend({pid})` or `GRANT pg_signal_backend TO` your role.",
                ) from error
        self._wait_for_end(connection, set(holding))

    def _wait_for_end(self, connection: Connection, pids: set[int]) -> None:
        """A session that was told to end holds its locks until it has ended."""
        ends = time.monotonic() + ENDING_SECONDS
        while left := pids & _holding(connection, self._number).keys():
            if time.monotonic() >= ends:
                pid = min(left)
                raise JournalError(
                    f"the lock cannot be taken away: the session that holds it (process {pid} of the PostgreSQL "
                    f"server) has not ended within {ENDING_SECONDS:g} s after it was told to.",
                    remedy="Run `paygift unlock` again in a moment. If it does not help, have an administrator look "
                    f"at process {pid} on the server.",
                )
            time.sleep(_PAUSE_SECONDS)


def locks_in(database: Database, namespace: str) -> list[tuple[str, Holder]]:
    """Who holds the locks of ``namespace``, by account."""
    query = select(locks.c.mchid, locks.c.token, locks.c.holder).where(locks.c.namespace == namespace)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(locks.c.mchid)).all()
    return [(row.mchid, Holder.from_row(row.token, row.holder)) for row in rows]


def _seen(row: Any) -> Seen:
    return Seen(Holder.from_row(row.token, row.holder), row.beats)


def _waiting_number(holder: Holder) -> int:
    return number_for("waiting", holder.token)


def _is_held(connection: Connection, number: int) -> bool:
    """Whether any session holds the advisory lock ``number``, our own included."""
    return bool(_holding(connection, number))


def _holding(connection: Connection, number: int) -> dict[int, str]:
    """The sessions that hold the advisory lock ``number`` at this moment, and their roles."""
    return {row.pid: row.usename for row in connection.execute(text(_SESSIONS), {"number": number})}


# A key of 64 bits stands in two halves, with objsubid 1; and keys of other databases are others.
_SESSIONS: Final = """
SELECT l.pid, a.usename FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND ((l.classid::bigint << 32) | l.objid::bigint) = :number
"""


class _Heartbeat:
    """Counts in a thread of its own, since a person who is asked a question keeps the event loop waiting."""

    def __init__(self, database: Database, mine: Any) -> None:
        self._database = database
        self._mine = mine
        self._over = threading.Event()
        # A daemon: a process that was interrupted must not live on for its heartbeat.
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
