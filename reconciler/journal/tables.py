"""The tables of a journal, and the steps that bring an older one up to date. Published steps never change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, Text, insert, select, update

_tables: Final = MetaData()

schema: Final = Table("paygift_schema", _tables, Column("version", Integer, nullable=False))
"""One row."""

entries: Final = Table(
    "paygift_entries",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""Append-only. ``record`` is the sealed line, ``hash`` its SHA-256."""

open_intents: Final = Table(
    "paygift_open_intents",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
)
"""Which entries are intents that no outcome names: what the next run must ask about."""

locks: Final = Table(
    "paygift_locks",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("token", String(32), nullable=False),
    Column("holder", Text, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
"""Who may write. ``holder`` is JSON for people, ``beats`` a count that grows while the holder lives."""

queue: Final = Table(
    "paygift_queue",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("token", String(32), primary_key=True),
    Column("ticket", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
"""Who waits for the lock; the lowest ``ticket`` is next. ``beats`` grows with every look of theirs at the lock."""

applied: Final = Table(
    "paygift_applied",
    _tables,
    Column("mchid", String(32), primary_key=True),
    Column("namespace", String(24), primary_key=True),
    Column("commit_id", String(64), nullable=False),
)
"""The commit whose files were applied last, or begun to be: an older one must not follow it."""


def _entries_and_intents(connection: Connection) -> None:
    _tables.create_all(connection, tables=[entries, open_intents])


def _locks(connection: Connection) -> None:
    _tables.create_all(connection, tables=[locks])


def _queue_and_applied(connection: Connection) -> None:
    """What was applied last is in the lines that there are already."""
    _tables.create_all(connection, tables=[queue, applied])
    kind = entries.c.record.contains('"entry":"begun"', autoescape=True)
    query = select(entries.c.mchid, entries.c.namespace, entries.c.record).where(kind)
    begun = connection.execute(query.order_by(entries.c.seq)).all()
    last = {(row.mchid, row.namespace): json.loads(row.record).get("commit", "") for row in begun}
    for (mchid, namespace), commit in last.items():
        if commit:
            values = {"mchid": mchid, "namespace": namespace, "commit_id": commit}
            connection.execute(insert(applied).values(**values))


MIGRATIONS: Final[Sequence[Callable[[Connection], None]]] = (_entries_and_intents, _locks, _queue_and_applied)
"""The step to version 1, to version 2, and so on. Steps that were published are never changed."""


def upgrade(connection: Connection, version: int | None) -> None:
    """Bring a schema of ``version`` (``None``: there is none yet) to the newest one."""
    if version is None:
        _tables.create_all(connection, tables=[schema])
        connection.execute(insert(schema).values(version=0))
    for step in MIGRATIONS[version or 0 :]:
        step(connection)
    connection.execute(update(schema).values(version=len(MIGRATIONS)))
