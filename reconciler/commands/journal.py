"""What the journal tells people afterwards: history, audit files, who holds the lock. Needs no account.

Imported by the commands that read a journal only, since it imports SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reconciler.journal.database import Database
from reconciler.journal.entry import LockTakenOver
from reconciler.journal.history import HistoryFilter, Row, history
from reconciler.journal.journal import Journal, all_entries, witness_in
from reconciler.journal.journal import audit_lines as lines_in
from reconciler.journal.lock import Holder, locks_in
from reconciler.journal.place import Place
from reconciler.model.clock import Clock
from reconciler.model.errors import UsageError
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.spec import read_namespace
from reconciler.system.input_files import read_input
from reconciler.system.origin import who_runs


def history_of(root: Path, place: Place, wanted: HistoryFilter) -> list[Row]:
    """What has been done to the activities of the project in ``root``. Raises JournalError, ProjectError."""
    namespace = read_namespace(root)
    with _opened(place.open_to_read()) as database:
        return [] if database is None else history(all_entries(database, namespace), wanted)


def audit_lines(root: Path, place: Place) -> list[str]:
    """The journal of the project in ``root`` as the lines of an audit file."""
    namespace = read_namespace(root)
    with _opened(place.open_to_read()) as database:
        return [] if database is None else list(lines_in(database, namespace))


def witness_of(place: Place, *, mchid: str, namespace: str) -> Witness:
    """What the journal knows of an account beside what the account shows; nothing where there is no journal.

    Raises JournalError, UsageError for a URL that is none.
    """
    database = place.open_to_read() if place.exists else None
    if database is None:
        return NO_WITNESS
    try:
        return witness_in(database, mchid=mchid, namespace=namespace)
    finally:
        database.close()


def locks_of(root: Path, place: Place) -> list[tuple[str, Holder]]:
    """Who holds the locks of the project in ``root``, by account."""
    namespace = read_namespace(root)
    with _to_write(place) as database:
        return [] if database is None else locks_in(database, namespace)


def break_lock(
    root: Path, place: Place, environ: Mapping[str, str], *, mchid: str, clock: Clock
) -> Holder | None:
    """Take the lock from whoever holds it, write that down, and tell who it was; ``None`` if it was free by then."""
    with _to_write(place) as database:
        if database is None:
            return None
        book = Journal(database, mchid=mchid, namespace=read_namespace(root), clock=clock)
        displaced = book.lock.break_()
        if displaced is not None:
            what = LockTakenOver(str(displaced), "by `paygift unlock`", who_runs(environ))
            book.append(what, run="", token=None)
        return displaced


def lines_of(file: Path) -> list[str]:
    """The lines of an audit file, to the byte; only a line feed ends one. Raises UsageError if it cannot be read."""
    try:
        lines = read_input(file).decode().split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} cannot be read: it is not UTF-8 from byte {error.start} on.",
            remedy="Name an audit file.",
        ) from error
    return lines if lines[-1] else lines[:-1]


@contextmanager
def _to_write(place: Place) -> Iterator[Database | None]:
    """The journal, if there is one. Looking does not make it."""
    with _opened(place.open() if place.exists else None) as database:
        yield database


@contextmanager
def _opened(database: Database | None) -> Iterator[Database | None]:
    try:
        yield database
    finally:
        if database is not None:
            database.close()
