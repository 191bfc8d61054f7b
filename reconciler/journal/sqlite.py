"""A journal in a SQLite file: opened, checked, moved out of the way, and replaced by a copy of itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from reconciler.journal import busy
from reconciler.journal.holder import Holder
from reconciler.journal.tables import locks
from reconciler.model.errors import BusyError, JournalError, UsageError
from reconciler.system.paygift_folder import check, make

Identity = tuple[int, int]
"""The device and the number of a file: a file that replaced another one under its name has others."""


def check_file(file: Path) -> bool:
    """Whether there is a journal in ``file``. Raises JournalError if it, or what SQLite keeps beside it, is a link or
    anything else than a file: SQLite would follow it."""
    with _as_journal_error():
        for suffix in ("-wal", "-shm", "-journal"):
            check(file.with_name(f"{file.name}{suffix}"), remedy="Remove it.")
        return check(file, remedy="Remove it.")


def make_folder(file: Path) -> None:
    """Make the folder of a journal that is to be in ``file``. Raises JournalError."""
    with _as_journal_error():
        make(file.parent)
    check_file(file)


@contextmanager
def _as_journal_error() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise JournalError(error.message, remedy=error.remedy) from error


def engine_for(file: Path) -> Engine:
    """An engine for the journal in ``file``, which is made with the first connection."""
    engine = create_engine(
        _sqlite_url(file),
        poolclass=NullPool,
        # Worker and heartbeat are threads; Database lets one at a time use a connection.
        connect_args={"timeout": busy.BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _as_we_need_it)
    event.listen(engine, "begin", _begin)
    return engine


def _sqlite_url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))


def _as_we_need_it(connection: Any, _record: object) -> None:
    """WAL with an fsync for every commit: what was written down survives the machine. Without WAL, that takes one more
    for the folder.
    """
    connection.isolation_level = None  # or sqlite3 would begin transactions by itself, and too late
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(f"PRAGMA synchronous={'FULL' if mode == 'wal' else 'EXTRA'}")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("paygift_reading"):
        # A deferred one fails at once, without waiting, if somebody wrote after its first read.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").close()  # now, and not with the first look


def identities(file: Path) -> dict[Path, Identity]:
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


def busy_file(file: Path, where: str) -> BusyError:
    """Whose transaction it is nobody can see; who holds the lock is in what was committed before it."""
    try:
        # It is for the message only: we have waited long enough.
        with closing(sqlite3.connect(_read_only(file), uri=True, timeout=0)) as connection:
            rows = connection.execute(f"SELECT token, holder FROM {locks.name}").fetchall()  # noqa: S608 - ours
        holders = [Holder.from_row(token, holder) for token, holder in rows]
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        holders = []
    held = f" The lock is held by {'; '.join(map(str, holders))}." if holders else ""
    conditions = " ".join(filter(None, (holder.condition for holder in holders)))
    return busy.busy_error(where, "database is locked", held=held, remedy=conditions)


def replace_by_copy(file: Path, where: str) -> None:
    """Put a copy of all that was committed in place of ``file``: somebody was stopped in the middle of a transaction,
    and nobody can write to the old one. Whoever has that open finds out before its next write. Raises JournalError.
    """
    draft = file.with_name(f"{file.name}.new")
    try:
        # One that was killed here may have left it.
        draft.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(_read_only(file), uri=True)) as old,
            closing(sqlite3.connect(draft)) as new,
        ):
            old.backup(new)
        # A write-ahead log is not tied to its file: the copy must not find the old one's.
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        draft.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"the journal in {where} is busy, and cannot be replaced by a copy of itself: {error}.",
            remedy="End the process that is writing to it, then run `paygift unlock` again.",
        ) from error


def wal_remark(connection: Connection, where: str) -> str:
    """SQLite answers with the mode that it has, whatever it was asked for."""
    mode = connection.connection.driver_connection.execute("PRAGMA journal_mode").fetchone()[0]  # type: ignore[union-attr]
    if mode == "wal":
        return ""
    return (
        f"The file system of {where} cannot have a write-ahead log (SQLite's journal mode is {mode!r}). What is "
        "written is as durable, but takes longer, and who only looks may have to wait. A local disk is better."
    )


def set_aside(file: Path, suffix: str) -> Path:
    """Move a damaged SQLite journal, and what belongs to it, out of the way. Returns where it is now."""
    target = file.with_name(f"{file.name}.{suffix}")
    # The file last: a new one must never find the log of the old one.
    for part in ("-wal", "-shm", ""):
        here = file.with_name(file.name + part)
        if here.exists():
            here.replace(target.with_name(target.name + part))
    return target
