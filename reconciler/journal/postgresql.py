"""A journal in a PostgreSQL database: the engine for its URL, and what is asked of a session of its server."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy import exc as sa

from reconciler.journal import busy
from reconciler.model.errors import UsageError
from reconciler.system.environment import DATABASE, checked_address, invalid

CONNECT_SECONDS: Final = 10
"""How long each address of a PostgreSQL server is given to answer, unless the URL says ``connect_timeout``."""
_VARIABLE: Final = "PAYGIFT_JOURNAL_URL"
_URL_REMEDY: Final = "Write postgresql://USER:PASSWORD@HOST/DATABASE, or unset it for the file .paygift/journal.db."
CONNECT_REMEDY: Final = (
    f"Check {_VARIABLE}, and that the server runs and lets this machine in; then run again: nothing is sent to WeChat "
    "Pay that was not written down before."
)
LOCK_NOT_AVAILABLE: Final = "55P03"
SESSION: Final = "SELECT pg_backend_pid()"
STILL_HELD: Final = """
SELECT pg_backend_pid() = :pid AND EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = :number
)
"""


def engine_for(url: str) -> tuple[Engine, str]:
    """An engine for the database that ``url`` names, and where that is, for people: of the URL, which may hold a
    password, at most the host.

    Raises UsageError for a URL that names no database, and where psycopg is not installed.
    """
    address = checked_address(_VARIABLE, url, DATABASE)
    try:
        from psycopg.pq import Conninfo  # noqa: PLC0415 - only those who share a journal have it
    except ImportError as error:
        raise UsageError(
            "A journal in PostgreSQL needs psycopg.",
            remedy="Install it: pip install 'paygift-reconciler[postgresql]'.",
        ) from error
    options = {option for option, _ in address.options}
    if not options <= {option.keyword.decode() for option in Conninfo.get_defaults()}:
        raise invalid(_VARIABLE, "has an option after its ? that PostgreSQL does not know", _URL_REMEDY)
    parsed = URL.create(
        "postgresql+psycopg",
        username=address.user or None,
        password=address.password or None,
        host=address.host or None,
        port=address.port,
        database=unquote(address.path.removeprefix("/")) or None,
    ).update_query_pairs(address.options, append=True)
    try:
        engine = create_engine(
            parsed,
            poolclass=NullPool,  # a pool would keep the session of a closed connection, and its locks
            isolation_level="READ COMMITTED",  # what the code is written for, whatever the server's default is
            connect_args={} if "connect_timeout" in options else {"connect_timeout": CONNECT_SECONDS},
        )
    except (sa.ArgumentError, ValueError):
        # From None: the library's words may quote the password.
        raise invalid(_VARIABLE, "has an option after its ? that is invalid", _URL_REMEDY) from None
    event.listen(engine, "connect", _as_we_need_the_session)
    return engine, f"PostgreSQL ({address.host or 'local'})"


def number_for(*names: str) -> int:
    """The signed 64-bit number that stands for ``names`` in PostgreSQL's advisory locks."""
    # Not hash(), which differs from process to process.
    digest = hashlib.sha256("\0".join(("paygift", *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _as_we_need_the_session(connection: Any, _record: object) -> None:
    """A commit is on the disk when it returns, and the server does not end a session that waits for a person."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{busy.BUSY_SECONDS:g}s",))
        cursor.execute(_SETTINGS)
    # A rollback would take the settings back.
    connection.commit()


# From pg_settings, since older servers do not know all of them.
_SETTINGS: Final = """
SELECT set_config(name, CASE name WHEN 'synchronous_commit' THEN 'on' ELSE '0' END, false) FROM pg_settings
WHERE name = 'synchronous_commit' AND setting = 'off'
OR name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') AND setting <> '0'
"""
