"""PostgreSQL: the lock belongs to a session, and no session is no lock; whatever the server's defaults are."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import make_url, text

from reconciler.journal import busy
from reconciler.journal.database import Database, open_postgresql
from reconciler.journal.holder import Holder
from reconciler.journal.journal import Journal, Run
from reconciler.journal.location import look_at
from reconciler.journal.lock import Seen, Taken
from reconciler.journal.process import Process
from reconciler.journal.worker import Worker
from reconciler.model.errors import BusyError, JournalError, LockLostError
from tests.journal.test_journal import INTENT, MCHID
from tests.support.pooler import pooled
from tests.support.postgres import connected, fresh_database
from tests.support.samples import NAMESPACE, NOW


@pytest.fixture
def url(postgresql: str) -> str:
    return fresh_database(postgresql)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = open_postgresql(url)
    try:
        yield database
    finally:
        database.close()


def book(database: Database) -> Journal:
    return Journal(database, mchid=MCHID, namespace=NAMESPACE, clock=lambda: NOW)


def holder(who: str) -> Holder:
    return Holder(who, Process.this(), "now")


def execute(url: str, *statements: str, **options: str) -> None:
    with connected(url, isolation_level="AUTOCOMMIT", **options) as connection:
        for statement in statements:
            connection.execute(text(statement))


# -- the session is the lock -------------------------------------------------------------------------------------------


def test_a_session_that_was_ended_is_a_lost_lock_and_stays_one(url: str) -> None:
    with opened(url) as database:
        me = holder("alice")
        assert book(database).lock.try_take(me) == Taken()
        run = Run(book(database), me, "r1")
        end_others(url)
        for _ in range(3):
            with pytest.raises(LockLostError, match="session with its server that held the lock has ended"):
                asyncio.run(run.require())
            with pytest.raises(LockLostError, match="nothing more was sent"):
                asyncio.run(run.intend(INTENT))
        with opened(url) as other:
            assert isinstance(book(other).lock.try_take(holder("bob")), Taken)
            assert book(other).open_intents() == []


def test_a_session_that_ended_while_we_waited_costs_only_the_look(url: str) -> None:
    """Nothing is held yet, so the next look may be through another session."""
    with opened(url) as first, opened(url) as second:
        alice, bob = holder("alice"), holder("bob")
        book(first).lock.try_take(alice)
        assert isinstance(book(second).lock.try_take(bob), Seen)
        end_others(url, but=pid_of(first))
        with pytest.raises(JournalError, match="cannot be used"):
            book(second).lock.try_take(bob)
        assert isinstance(book(second).lock.try_take(bob), Seen)
        book(first).lock.release(alice)
        assert isinstance(book(second).lock.try_take(bob), Taken)


def end_others(url: str, *, but: int = 0) -> None:
    execute(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), {but})",
    )


def pid_of(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


# -- pools -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("in_turn", [False, True])
def test_a_pool_that_gives_each_transaction_a_session_is_refused(url: str, warm: int, in_turn: bool) -> None:
    with pooled(url, in_turn=in_turn) as (pooler, through):
        pooler.warm(warm)
        with opened(through) as database:
            for _ in range(2):
                with pytest.raises(JournalError, match=r"through a pool.*Nothing was written.*pool_mode=session"):
                    book(database).lock.try_take(holder("alice"))
        with pytest.raises(JournalError, match="through a pool"):
            look_at(through)  # and `doctor` says so


def test_who_comes_through_a_pool_displaces_nobody(url: str) -> None:
    with pooled(url) as (_, through), opened(url) as direct:
        alice = holder("alice")
        book(direct).lock.try_take(alice)
        with opened(through) as database, pytest.raises(JournalError, match="through a pool"):
            book(database).lock.try_take(holder("bob"))
        asyncio.run(Run(book(direct), alice, "r1").require())


def test_a_pool_in_session_mode_is_as_good_as_the_server(url: str) -> None:
    with pooled(url, per_client=True) as (_, through), opened(through) as first, opened(through) as second:
        alice, bob = holder("alice"), holder("bob")
        assert book(first).lock.try_take(alice) == Taken()
        assert isinstance(book(second).lock.try_take(bob), Seen)
        asyncio.run(Run(book(first), alice, "r1").intend(INTENT))
        book(first).lock.release(alice)
        assert book(second).lock.try_take(bob) == Taken()


def test_a_pool_that_changes_its_ways_under_a_held_lock_is_noticed(url: str) -> None:
    with pooled(url, per_client=True) as (pooler, through), opened(through) as database:
        alice = holder("alice")
        assert book(database).lock.try_take(alice) == Taken()
        pooler.per_client = False
        run = Run(book(database), alice, "r1")
        asyncio.run(run.require())  # the last transaction in the session of the lock
        taken = pooler.take()
        with pytest.raises(LockLostError, match="does not belong to the session"):
            asyncio.run(run.require())
        pooler.give(taken)


def test_a_lock_that_our_own_session_holds_for_somebody_else_is_not_ours(url: str) -> None:
    """A session may take its advisory lock twice: then there are two owners, of whom one is us."""
    with opened(url) as database:
        lock = book(database).lock
        assert isinstance(lock.try_take(holder("alice")), Taken)
        assert isinstance(lock.try_take(holder("bob")), Seen)


# -- the server's defaults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["serializable", "repeatable read", "read committed"])
def test_six_first_opens_at_once_succeed_under_any_default_isolation(url: str, level: str) -> None:
    name = make_url(url).database
    execute(url, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")

    def open_and_write(number: int) -> int:
        with opened(url) as database:
            other = Journal(database, mchid=MCHID, namespace=f"n{number}", clock=lambda: NOW)
            return other.append(INTENT, run="r1", token=None).seq

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(open_and_write, range(6))) == [1] * 6
    with opened(url) as database, database.transaction() as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"


@pytest.mark.parametrize(
    ("setting", "default", "ours"),
    [
        ("synchronous_commit", "off", "on"),
        ("synchronous_commit", "remote_apply", "remote_apply"),
        ("idle_in_transaction_session_timeout", "1s", "0"),
        ("idle_session_timeout", "1s", "0"),
        ("lock_timeout", "0", f"{busy.BUSY_SECONDS:g}s"),
    ],
)
def test_what_the_journal_needs_is_set_whatever_the_default_is(url: str, setting: str, default: str, ours: str) -> None:
    execute(url, f"ALTER DATABASE {make_url(url).database} SET {setting} = '{default}'")
    with opened(url) as database:
        for each in (database, database.another()):
            with each.transaction() as connection:
                assert connection.scalar(text(f"SHOW {setting}")) == ours
            each.close()


# -- unlock ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def roles(url: str) -> Iterator[dict[str, str]]:
    """URLs of two roles that may both use the tables; alice owns them."""
    name = f"r{os.urandom(4).hex()}"
    alice, bob = f"{name}_alice", f"{name}_bob"
    execute(
        url,
        f"CREATE ROLE {alice} LOGIN",
        f"CREATE ROLE {bob} LOGIN",
        f"GRANT CREATE ON SCHEMA public TO {alice}",
    )
    urls = {who: make_url(url).set(username=role).render_as_string() for who, role in (("alice", alice), ("bob", bob))}
    with opened(urls["alice"]):
        execute(urls["alice"], f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {bob}")
    yield {**urls, "other": bob, "owner": alice}
    execute(url, f"DROP OWNED BY {alice}, {bob}", f"DROP ROLE {alice}, {bob}")


def test_unlock_by_a_role_that_may_not_end_the_session_says_so_and_changes_nothing(
    roles: dict[str, str],
) -> None:
    with opened(roles["alice"]) as first, opened(roles["bob"]) as second:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        with pytest.raises(JournalError, match="Nothing was changed") as caught:
            book(second).lock.break_()
        said = str(caught.value)
        assert f"role {roles['owner']!r}" in said
        assert f"SELECT pg_terminate_backend({pid_of(first)})" in said
        asyncio.run(Run(book(first), alice, "r1").require())


def test_unlock_by_another_role_that_may_works(url: str, roles: dict[str, str]) -> None:
    execute(url, f"GRANT pg_signal_backend TO {roles['other']}")
    with opened(roles["alice"]) as first, opened(roles["bob"]) as second:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        assert book(second).lock.break_() == alice
        with pytest.raises(LockLostError):
            asyncio.run(Run(book(first), alice, "r1").require())
        bob = holder("bob")
        assert took(second, bob)


def test_unlock_works_though_the_holder_was_stopped_in_the_middle_of_a_write(url: str) -> None:
    with opened(url) as first, opened(url) as second:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        with suppress(JournalError), first.transaction() as connection:  # which cannot be ended any more
            book(first).lock.require(connection, alice.token)  # keeps the row
            started = time.monotonic()
            assert book(second).lock.break_() == alice
            assert time.monotonic() - started < busy.BUSY_SECONDS / 2
        assert took(second, holder("bob"))


def took(database: Database, me: Holder) -> bool:
    """Whether the lock comes to be ours: a session that is ended takes a moment to give back what it held."""
    for _ in range(200):
        if isinstance(book(database).lock.try_take(me), Taken):
            return True
        time.sleep(0.01)
    return False


def test_unlock_does_not_wait_for_ever_for_a_row_that_somebody_else_keeps(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy, "BUSY_SECONDS", 0.1)
    with opened(url) as first, opened(url) as second, first.transaction() as connection:
        connection.execute(text("LOCK TABLE paygift_locks"))
        with pytest.raises(BusyError, match="is busy"):
            book(second).lock.break_()


# -- a server that does not answer -------------------------------------------------------------------------------------


def test_who_is_kept_from_writing_is_told_that_the_journal_is_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "BUSY_SECONDS", 0.1)
    with opened(url) as first, opened(url) as second, first.transaction() as connection:
        connection.execute(text("LOCK TABLE paygift_entries"))
        with pytest.raises(BusyError, match="is busy: another process has been in the middle of writing"):
            book(second).append(INTENT, run="r1", token=None)


def test_a_server_that_stops_answering_is_told_in_time(url: str) -> None:
    with opened(url) as database:
        me = holder("alice")
        book(database).lock.try_take(me)
        backend = pid_of(database)
        worker = Worker(database.where, deadline_seconds=0.2)
        run = Run(book(database), me, "r1", worker=worker)
        os.kill(backend, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(JournalError, match=r"journal in PostgreSQL \(.*has not answered for 0\.2 s"):
                asyncio.run(run.require())
            assert time.monotonic() - started < 2
        finally:
            os.kill(backend, signal.SIGCONT)
        worker.stop()
