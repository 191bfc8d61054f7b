"""A journal file that is only read: nothing is made, nothing is brought up to date, no folder need be writable.

SQLite in WAL mode wants to write beside the file even to read it. Where it may not, the file is read as one that nobody
changes; if a run that died has left its last lines beside the file, a copy of both is read.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from reconciler.journal.busy import BUSY_SECONDS
from reconciler.journal.database import Database
from reconciler.journal.sqlite import check_file
from reconciler.model.errors import JournalError


def read_sqlite(file: Path) -> Database | None:
    """The journal in ``file`` as it is; ``None`` if there is none.

    Raises JournalError if it is damaged, cannot be read, or is newer than we know.
    """
    if not check_file(file):
        return None
    try:
        return _begun(Database(_engine(file, "mode=ro"), str(file)))
    except JournalError as error:
        if not _wanted_to_write(error):
            raise
    # Immutable would pass over the log, and what was committed last is only there.
    if any(part.stat().st_size for part in _left_beside(file)):
        return _begun(_Copy(file))
    return _begun(Database(_engine(file, "mode=ro&immutable=1"), str(file)))


class _Copy(Database):
    """A copy that lasts until it is closed. Messages name the file that it was made of."""

    def __init__(self, file: Path) -> None:
        try:
            self._folder = TemporaryDirectory(prefix="paygift-")
            for part in (file, *_left_beside(file)):
                shutil.copy(part, self._folder.name)
        except OSError as error:
            raise JournalError(
                f"the journal in {file} cannot be copied to be read: {error.strerror}.",
                remedy="Its last lines are beside it, and its folder is read-only. Make either its folder or a folder "
                "for temporary files (TMPDIR) writable.",
            ) from error
        super().__init__(_engine(Path(self._folder.name) / file.name, "mode=rw"), str(file))

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


def _left_beside(file: Path) -> list[Path]:
    """What a process that ended in the middle has not moved into ``file``."""
    parts = (file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-journal"))
    return [part for part in parts if part.exists()]


def _engine(file: Path, how: str) -> Engine:
    def connect() -> sqlite3.Connection:
        uri = f"{file.absolute().as_uri()}?{how}"
        # No isolation level, or sqlite3 would begin transactions by itself.
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begun(database: Database) -> Database | None:
    try:
        if database.begun():
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    return None


def _wanted_to_write(error: JournalError) -> bool:
    """Whether SQLite could not do beside the file what it needs to do."""
    cause = getattr(error.__cause__, "orig", None)
    return getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
