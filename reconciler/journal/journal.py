"""The journal of one account and namespace: append, read, and hold the lock.

A ``Journal`` blocks; a ``Run`` does not.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, select, update

from reconciler.journal.database import Database
from reconciler.journal.entry import (
    NO_HASH,
    Applied,
    Content,
    Entry,
    Intent,
    LockTakenOver,
    OperationFinished,
    Remembered,
    RunEnded,
    RunStarted,
    sealed,
)
from reconciler.journal.holder import Holder
from reconciler.journal.lock import ENDED, SESSION_ENDED, SILENCE_SECONDS, SILENT, Beat, Lock, Seen, Taken
from reconciler.journal.reader import stored_entry, witness_in
from reconciler.journal.tables import applied, entries, open_intents
from reconciler.journal.worker import READING_SECONDS, Worker
from reconciler.model.clock import Clock
from reconciler.model.errors import BusyError, InterruptedRunError, JournalError, LockedError
from reconciler.model.witness import Witness

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0
_LEAVING_SECONDS: Final = 1.0
"""How long somebody who leaves in a hurry waits for the lock to be given back."""


class Journal:
    """Appends to, and reads, the journal of ``mchid`` and ``namespace``. ``clock`` gives aware instants."""

    def __init__(self, database: Database, *, mchid: str, namespace: str, clock: Clock) -> None:
        self._database = database
        self._mchid = mchid
        self._namespace = namespace
        self._clock = clock
        self.lock = Lock(database, mchid, namespace)

    def append(self, what: Content, *, run: str, token: str | None) -> Entry:
        """Write one entry; it is durable when this returns. ``token`` is the one that the lock was taken with, or
        ``None`` for an entry about the lock itself. Raises JournalError, and then nothing was written.
        """
        with self._database.transaction() as connection:
            if token is not None:
                # The fence: in one transaction with the line, so a run that was put out cannot write, nor send.
                self.lock.require(connection, token)
            seq, previous = self._head(connection)
            draft = Entry(self._mchid, self._namespace, seq + 1, self._now(), run, what, previous)
            line, hash_ = sealed(draft)
            connection.execute(insert(entries).values(**self._at(draft.seq), record=line, hash=hash_))
            if isinstance(what, Intent):
                # A table of its own, or each run would read years of lines to find what is open.
                connection.execute(insert(open_intents).values(**self._at(draft.seq)))
            elif isinstance(what, OperationFinished) and what.answers:
                ours = self._ours(open_intents) & open_intents.c.seq.in_(what.intents)
                connection.execute(delete(open_intents).where(ours))
            # At the start: an older commit must not take back half of a newer one either.
            elif isinstance(what, RunStarted) and what.commit:
                self._applies(connection, what.commit)
        return replace(draft, hash=hash_)

    def require(self, token: str) -> None:
        """Raise LockLostError unless the lock is still the one that ``token`` was taken with."""
        with self._database.transaction() as connection:
            self.lock.require(connection, token)

    def applied(self) -> str:
        """The commit whose files were applied last, or begun to be; empty if none is known."""
        with self._database.reading() as connection:
            return str(connection.scalar(select(applied.c.commit_id).where(self._ours(applied))) or "")

    def up_to_date(self, commit: str, *, token: str) -> None:
        """Write down that nothing had to be done for the files of ``commit``. Raises JournalError."""
        with self._database.transaction() as connection:
            self.lock.require(connection, token)
            self._applies(connection, commit)

    def head(self) -> tuple[int, str]:
        """The last entry's number and hash; 0 and ``NO_HASH`` for an empty journal."""
        with self._database.reading() as connection:
            return self._head(connection)

    def open_intents(self) -> list[Entry]:
        """The intents without an outcome, oldest first."""
        both = and_(*(entries.c[name] == open_intents.c[name] for name in ("mchid", "namespace", "seq")))
        query = (
            select(entries.c.seq, entries.c.record, entries.c.hash)
            .join(open_intents, both)
            .where(self._ours(open_intents))
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(entries.c.seq)).all()
        return [replace(stored_entry(row.record, row.seq), hash=row.hash) for row in rows]

    def witness(self) -> Witness:
        """What the whole journal knows of the account. Raises JournalError."""
        return witness_in(self._database, mchid=self._mchid, namespace=self._namespace)

    def applications(self, digest: str) -> list[Applied]:
        """The runs that left nothing to do of the reviewed plan with ``digest``, oldest first. Raises JournalError."""
        begun = {
            each.run: each.what.commit
            for each in self._containing(f'"reviewed":"{digest}"')
            if isinstance(each.what, RunStarted) and each.what.reviewed == digest
        }
        if not begun:
            return []
        return [
            Applied(each.run, each.at, begun[each.run])
            for each in self._containing('"entry":"ended"')
            if isinstance(each.what, RunEnded) and each.run in begun and each.what.complete
        ]

    def _containing(self, text: str) -> list[Entry]:
        found = entries.c.record.contains(text, autoescape=True)
        query = select(entries.c.record, entries.c.seq).where(self._ours(entries), found)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(entries.c.seq)).all()
        return [stored_entry(row.record, row.seq) for row in rows]

    def memory(self) -> Remembered:
        """What was written down last of what must outlast the files. Raises JournalError."""
        # JSON escapes quotes within text, so that this never finds somebody's words.
        kind = entries.c.record.contains('"entry":"remembered"', autoescape=True)
        query = select(entries.c.record, entries.c.seq).where(self._ours(entries), kind)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).first()
        what = stored_entry(row.record, row.seq).what if row is not None else None
        return what if isinstance(what, Remembered) else Remembered()

    def _applies(self, connection: Connection, commit: str) -> None:
        # No upsert: SQLite and PostgreSQL have dialects of it, and the lock keeps others away.
        ours = update(applied).where(self._ours(applied)).values(commit_id=commit)
        if not connection.execute(ours).rowcount:
            mine = {"mchid": self._mchid, "namespace": self._namespace, "commit_id": commit}
            connection.execute(insert(applied).values(**mine))

    def _now(self) -> datetime:
        """Whole milliseconds, as lines have them."""
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _head(self, connection: Connection) -> tuple[int, str]:
        query = select(entries.c.seq, entries.c.hash).where(self._ours(entries))
        row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).first()
        return (0, NO_HASH) if row is None else (row.seq, row.hash)

    def _at(self, seq: int) -> dict[str, object]:
        return {"mchid": self._mchid, "namespace": self._namespace, "seq": seq}

    def _ours(self, table: Table) -> ColumnElement[bool]:
        return (table.c.mchid == self._mchid) & (table.c.namespace == self._namespace)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of apply, which holds the lock and writes under it. ``displaced`` is the dead holder it took over from.

    Everything is done by ``worker``, so that the event loop never waits for a disk or a server. Every method raises
    JournalError where nothing could be written or nothing answered in time, a lock that was taken away included.
    """

    journal: Journal
    holder: Holder
    run: str
    displaced: Holder | None = None
    worker: Worker = field(default_factory=Worker, repr=False, compare=False)

    async def begin(self, what: RunStarted) -> None:
        """Write down that the run begins."""
        await self._append(what)

    async def intend(self, what: Intent) -> int:
        """Write down what is about to be sent. Returns the entry's number, for ``OperationFinished.intents``."""
        return (await self._append(what)).seq

    async def conclude(self, what: OperationFinished) -> None:
        """Write down what one operation came to."""
        await self._append(what)

    async def require(self) -> None:
        """Raise JournalError unless the lock is still ours: asked before every try of a write."""
        await self.worker.do(partial(self.journal.require, self.holder.token))

    async def remember(self, what: Remembered) -> None:
        """Write down what of the specs must outlast their files."""
        await self._append(what)

    async def end(self, what: RunEnded) -> str:
        """Write down that the run is over. Returns the hash of this entry, which stands for all before it."""
        return (await self._append(what)).hash

    async def up_to_date(self, commit: str) -> None:
        """Write down that nothing had to be done for the files of ``commit``."""
        await self.worker.do(partial(self.journal.up_to_date, commit, token=self.holder.token))

    async def applied(self) -> str:
        """The commit whose files were applied last, or begun to be; empty if none is known."""
        return await self.worker.do(self.journal.applied)

    async def open_intents(self) -> list[Entry]:
        """The intents without an outcome, oldest first."""
        return await self.worker.do(self.journal.open_intents, deadline_seconds=READING_SECONDS)

    async def witness(self) -> Witness:
        """What the whole journal knows of the account."""
        return await self.worker.do(self.journal.witness, deadline_seconds=READING_SECONDS)

    async def applications(self, digest: str) -> list[Applied]:
        """The runs that left nothing to do of the reviewed plan with ``digest``, oldest first."""
        look = partial(self.journal.applications, digest)
        return await self.worker.do(look, deadline_seconds=READING_SECONDS)

    async def memory(self) -> Remembered:
        """What was written down last of what must outlast the files."""
        return await self.worker.do(self.journal.memory, deadline_seconds=READING_SECONDS)

    async def _append(self, what: Content) -> Entry:
        return await self.worker.do(partial(self.journal.append, what, run=self.run, token=self.holder.token))


@asynccontextmanager
async def locked(
    journal: Journal,
    me: Holder,
    *,
    timeout_seconds: float,
    worker: Worker | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
    monotonic: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Run]:
    """A run under the lock of ``journal``; waits for it up to ``timeout_seconds``, behind those who came before.

    A holder that is dead is displaced: at once where its process or session is known to have ended, else after its
    heartbeat stood still for ``SILENCE_SECONDS``. ``worker`` is where the journal was opened, if it is to stay there.
    ``tell`` is given a sentence for people about whom we wait for, whom we take over from, and a lock that could not be
    given back. Raises LockedError when the time is over.
    """
    own = worker or Worker()
    deadline: float | None = None
    try:
        try:
            taken = await _wait(journal.lock, me, own, timeout_seconds, tell, monotonic, sleep)
        except BaseException:
            # Cancelled as well: the ticket of a process that lives would hold up everybody behind it.
            await _leave(partial(journal.lock.give_up, me), own)
            raise
        run = Run(journal, me, secrets.token_hex(4), taken.displaced, own)
        try:
            if taken.displaced is not None:
                await run._append(LockTakenOver(str(taken.displaced), taken.reason))
                tell(f"The lock was taken over from {taken.displaced}: {_NOW[taken.reason]}")
            yield run
        except (asyncio.CancelledError, InterruptedRunError):
            # The second signal: a journal that does not answer must not keep the process.
            deadline = _LEAVING_SECONDS
            raise
        finally:
            await _give_back(partial(journal.lock.release, me), own, tell, deadline)
    finally:
        if worker is None:
            own.stop()


_NOW: Final[Mapping[str, str]] = {
    ENDED: "that process has ended.",
    SESSION_ENDED: "its session with PostgreSQL has ended.",
    SILENT: f"it has given no sign of life for {SILENCE_SECONDS:g} s. If it is still running, it can send nothing "
    "more.",
}


async def _give_back(
    release: Callable[[], None], worker: Worker, tell: Callable[[str], None], deadline: float | None
) -> None:
    """What the run came to matters more than this, and must not be lost over it."""
    try:
        await worker.do(release, deadline_seconds=deadline)
    except JournalError as error:
        worker.later(release)
        tell(f"The lock could not be given back: {error} The next apply takes it over from this process.")


async def _leave(give_up: Callable[[], None], worker: Worker) -> None:
    """Wait no longer. What cannot be given up now is as soon as it can be, or is lost with our process."""
    try:
        await worker.do(give_up, deadline_seconds=_LEAVING_SECONDS)
    except JournalError:
        worker.later(give_up)


async def _wait(
    lock: Lock,
    me: Holder,
    worker: Worker,
    timeout_seconds: float,
    tell: Callable[[str], None],
    monotonic: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Taken:
    started = monotonic()
    since: Mapping[Beat, float] = {}
    told = False
    pause = _FIRST_PAUSE_SECONDS
    while True:
        now = monotonic()
        silent = frozenset(beat for beat, at in since.items() if now - at >= SILENCE_SECONDS)
        try:
            found = await worker.do(partial(lock.try_take, me, silent=silent))
        except BusyError as error:
            if now - started >= timeout_seconds:
                raise
            waiting_for = f"Waiting: {error}"
        else:
            if isinstance(found, Taken):
                return found
            if now - started >= timeout_seconds:
                raise _locked(found)
            waiting_for = f"Waiting for another apply: {found.holder}."
            # By our own monotonic time: clocks of two machines are never compared.
            since = {beat: since.get(beat, now) for beat in found.before}
        if not told:
            tell(waiting_for)
        told = True
        await sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)


def _locked(found: Seen) -> LockedError:
    remedy = "Wait for it, or give it up to `--lock-timeout` seconds. If it is dead, run `paygift unlock`."
    does = "waits for" if found.waits else "holds"
    return LockedError(
        f"another apply {does} the lock of this account and namespace: {found.holder}.",
        remedy=found.holder.condition or remedy,
    )
