"""What a journal tells people afterwards: its entries, its lines, what it knows of an account. Needs no account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from reconciler.journal.chain import audit_line
from reconciler.journal.database import Database
from reconciler.journal.entry import Entry, read_entry
from reconciler.journal.history import EVERYTHING, HistoryFilter, Row, history
from reconciler.journal.location import JournalLocation
from reconciler.journal.tables import entries
from reconciler.journal.witness import witness_of
from reconciler.model.errors import JournalError, UsageError
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.system.input_files import read_input


def read_history(location: JournalLocation, namespace: str, wanted: HistoryFilter = EVERYTHING) -> list[Row]:
    """What has been done to the activities of ``namespace``; nothing where there is no journal. Raises JournalError."""
    with opened(location.open_to_read()) as database:
        return [] if database is None else history(all_entries(database, namespace), wanted)


def read_audit_lines(location: JournalLocation, namespace: str) -> list[str]:
    """The journal of ``namespace`` as the lines of an audit file. Raises JournalError."""
    with opened(location.open_to_read()) as database:
        return [] if database is None else list(audit_lines(database, namespace))


def read_witness(location: JournalLocation, *, mchid: str, namespace: str) -> Witness:
    """What the journal knows of an account beside what the account shows; nothing where there is no journal.

    Raises JournalError, UsageError for a URL that is invalid.
    """
    with opened(location.open_to_read() if location.exists else None) as database:
        if database is None:
            return NO_WITNESS
        return witness_in(database, mchid=mchid, namespace=namespace)


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
def opened(database: Database | None) -> Iterator[Database | None]:
    """``database``, closed at the end; ``None`` where there is none."""
    try:
        yield database
    finally:
        if database is not None:
            database.close()


def all_entries(database: Database, namespace: str) -> Iterator[Entry]:
    """Every entry of the accounts of ``namespace``, in the order of accounts and then of writing."""
    for seq, record, hash_ in _records(database, namespace):
        yield replace(stored_entry(record, seq), hash=hash_)


def witness_in(database: Database, *, mchid: str, namespace: str) -> Witness:
    """What the journal in ``database`` knows of one account and namespace. Raises JournalError."""
    ours = (entries.c.mchid == mchid) & (entries.c.namespace == namespace)
    with database.reading() as connection:
        rows = connection.execute(select(entries.c.record, entries.c.seq).where(ours).order_by(entries.c.seq)).all()
    return witness_of(stored_entry(row.record, row.seq) for row in rows)


def audit_lines(database: Database, namespace: str) -> Iterator[str]:
    """The same as the lines of an audit file; damaged ones too, since it is for ``verify`` to tell."""
    for _, record, hash_ in _records(database, namespace):
        yield audit_line(record, hash_)


def stored_entry(record: str, seq: int) -> Entry:
    """The entry of a row. Raises JournalError that names it."""
    try:
        return read_entry(record)
    except JournalError as error:
        raise JournalError(
            f"entry {seq} of the journal cannot be read: {error.message}.",
            remedy="`paygift history verify` tells which entries are not as they were written. Keep the journal, and "
            "move it away to go on without it.",
        ) from error


def _records(database: Database, namespace: str) -> list[tuple[int, str, str]]:
    query = select(entries.c.seq, entries.c.record, entries.c.hash).where(entries.c.namespace == namespace)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(entries.c.mchid, entries.c.seq)).all()
    return [(row.seq, str(row.record), str(row.hash)) for row in rows]  # SQLite keeps any type in any column
