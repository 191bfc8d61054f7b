"""The journal wired to an account and a project: the lock, what died before, what happened, who holds the lock.

Imported by the commands that keep or read a journal only, since it imports SQLAlchemy.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler import __version__
from reconciler.activity import BEIJING
from reconciler.apply import Patience, Writer
from reconciler.apply import resume as ask
from reconciler.change import Plan, Report
from reconciler.errors import JournalError
from reconciler.journal.book import Book, Run, all_entries, locked
from reconciler.journal.book import audit_lines as lines_in
from reconciler.journal.database import Database
from reconciler.journal.entry import Begun, Concluded, Displaced, Ended
from reconciler.journal.history import Row, Wanted, history
from reconciler.journal.lock import Holder, locks_in
from reconciler.journal.place import Place
from reconciler.journal.process import Process
from reconciler.load import read_namespace
from reconciler.origin import Origin
from reconciler.plan import plan_digest
from reconciler.wechatpay.api import PayGiftApi

Clock = Callable[[], datetime]


def begun(root: Path, made: Plan) -> Begun:
    """What the journal says of a run that is about to apply ``made`` for the project in ``root``."""
    here = Origin.of(os.environ, root)
    return Begun(
        plan_digest(made),
        len(made.operations),
        who=here.who,
        host=here.host,
        pid=here.pid,
        commit=here.commit,
        job_url=here.job_url,
        version=__version__,
    )


def ended(run: Run, happened: Report) -> Report:
    """The report with its place in the journal. That the last line could not be written changes nothing else of it."""
    counts = Counter(outcome.status.value for outcome in happened.outcomes)
    try:
        head = run.end(Ended(dict(counts), interrupted=happened.interrupted))
    except JournalError as error:
        unwritten = f"The end of this run could not be written down: {error}"
        return replace(happened, run=run.run, remarks=(*happened.remarks, unwritten))
    return replace(happened, run=run.run, journal_head=head)


@asynccontextmanager
async def exclusive_run(
    place: Place,
    *,
    root: Path,
    mchid: str,
    namespace: str,
    clock: Clock,
    lock_timeout: float,
    tell: Callable[[str], None],
) -> AsyncIterator[Run]:
    """The lock of the account ``mchid`` and ``namespace``, with the journal in ``place`` that is written under it.

    Waits up to ``lock_timeout`` seconds for another apply. ``tell`` is given sentences for people: for whom it waits,
    that a damaged journal was set aside. Raises LockedError, JournalError.
    """

    def tell_damage(moved_to: Path) -> None:
        tell(
            f"The journal was damaged. It was moved to {moved_to}, and a new one begun. What was done can no longer be "
            "looked up there; nothing else depends on it."
        )

    here = Origin.of(os.environ, root)
    since = f"{datetime.now(UTC).astimezone(BEIJING):%Y-%m-%d %H:%M:%S} Beijing time"
    me = Holder(here.who, Process.this(), since)
    database = place.open_to_write(tell_damage)
    try:
        book = Book(database, mchid=mchid, namespace=namespace, clock=clock)
        async with locked(book, me, timeout_seconds=lock_timeout, tell=tell) as run:
            yield run
    finally:
        database.close()


async def resume(
    api: PayGiftApi, run: Run, *, clock: Clock, patience: Patience | None = None
) -> list[Concluded]:
    """Find out what became of the requests of runs that died, and write it down (design §8).

    Raises RemoteError if WeChat Pay could not be asked: then they stay open.
    """
    interrupted = run.book.open_intents()
    if not interrupted:
        return []
    writer = Writer(api, clock=clock, patience=patience or Patience(), record=run)
    found = await ask(writer, interrupted)
    for outcome in found:
        run.conclude(outcome)
    return found


def history_of(root: Path, place: Place, wanted: Wanted) -> list[Row]:
    """What has been done to the activities of the project in ``root``. Raises JournalError, ProjectError."""
    namespace = read_namespace(root)
    with _reading(place) as database:
        return [] if database is None else history(all_entries(database, namespace), wanted)


def audit_lines(root: Path, place: Place) -> list[str]:
    """The journal of the project in ``root`` as the lines of an audit file."""
    namespace = read_namespace(root)
    with _reading(place) as database:
        return [] if database is None else list(lines_in(database, namespace))


def locks_of(root: Path, place: Place) -> list[tuple[str, Holder]]:
    """Who holds the locks of the project in ``root``, by account."""
    namespace = read_namespace(root)
    with _reading(place) as database:
        return [] if database is None else locks_in(database, namespace)


def break_lock(
    root: Path, place: Place, environ: Mapping[str, str], *, mchid: str, clock: Clock
) -> Holder | None:
    """Take the lock from whoever holds it, write that down, and tell who it was; ``None`` if it was free by then."""
    with _reading(place) as database:
        if database is None:
            return None
        book = Book(database, mchid=mchid, namespace=read_namespace(root), clock=clock)
        displaced = book.lock.break_()
        if displaced is not None:
            who = Origin.of(environ, root).who
            book.append(Displaced(str(displaced), "by `paygift unlock`", who), run="", token=None)
        return displaced


@contextmanager
def _reading(place: Place) -> Iterator[Database | None]:
    """The journal, if there is one. Looking does not make it."""
    if not place.exists:
        yield None
        return
    database = place.open()
    try:
        yield database
    finally:
        database.close()
