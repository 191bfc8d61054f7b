"""Where a journal is kept: a file beside the project, or a database that a team shares.

Known to every command that has a project, and opened by few: SQLAlchemy is imported when it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.model.errors import JournalError
from reconciler.system.environment import stripped
from reconciler.system.paygift_folder import NAME

if TYPE_CHECKING:
    from reconciler.journal.database import Database


FILE: Final = Path(NAME) / "journal.db"
SANDBOX_FILE: Final = Path(NAME) / "sandbox" / "journal.db"


@dataclass(frozen=True, slots=True)
class JournalLocation:
    """``url`` names a PostgreSQL database, and may hold its password; empty, the journal is in ``file``."""

    file: Path
    url: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """For people: the file, or that it is in PostgreSQL, without the password that ``url`` may hold."""
        return "PostgreSQL" if self.url else str(self.file)

    @property
    def exists(self) -> bool:
        """Whether there may be a journal to read."""
        return bool(self.url) or os.path.lexists(self.file)

    def open(self) -> Database:
        """Raises JournalError, UsageError for a URL that is invalid."""
        from reconciler.journal.database import open_postgresql, open_sqlite  # noqa: PLC0415

        return open_postgresql(self.url) if self.url else open_sqlite(self.file)

    def open_to_read(self) -> Database | None:
        """As ``open``, but ``None`` where there is no journal: none is made, and none is brought up to date.

        Nor need the folder of a file be writable.
        """
        from reconciler.journal.database import reading_postgresql  # noqa: PLC0415
        from reconciler.journal.read_only_file import read_sqlite  # noqa: PLC0415

        return reading_postgresql(self.url) if self.url else read_sqlite(self.file)

    def open_to_write(self, on_damage: Callable[[Path], None]) -> Database:
        """As ``open``, but a damaged file is moved out of the way, and told of, rather than in the way of an apply.

        The account says what has happened (concepts.md#identity). Only what the journal alone remembered is lost.
        """
        from reconciler.journal.sqlite import set_aside  # noqa: PLC0415

        inode = _inode(self.file)
        try:
            return self.open()
        except JournalError as error:
            # Not the new one that another process has just put there.
            if not error.damaged or _inode(self.file) != inode:
                raise
        on_damage(set_aside(self.file, f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
        return self.open()


def look_at(url: str) -> str:
    """Where the journal of ``url`` is, if it could be used; changes nothing. Raises JournalError, UsageError."""
    from reconciler.journal.database import look_at_postgresql  # noqa: PLC0415

    return look_at_postgresql(url)


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def journal_location(root: Path, url: str = "", *, use_sandbox: bool = False) -> JournalLocation:
    """Where the journal of the project in ``root`` is. The sandbox's is kept away from that of the real account."""
    return JournalLocation(root / SANDBOX_FILE) if use_sandbox else JournalLocation(root / FILE, stripped(url))
