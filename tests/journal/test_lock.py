"""One apply at a time: who waits, who takes over from the dead, and what somebody who was put out can still do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from reconciler.journal import lock as locks
from reconciler.journal.database import Database
from reconciler.journal.entry import LockTakenOver
from reconciler.journal.journal import Journal, Run, locked
from reconciler.journal.location import JournalLocation
from reconciler.journal.lock import SILENCE_SECONDS, Holder, Lock, Seen, Taken, locks_in
from reconciler.journal.process import Process
from reconciler.journal.reader import all_entries
from reconciler.model.errors import JournalError, LockedError, LockLostError
from tests.journal.test_journal import INTENT, MCHID
from tests.support.postgres import fresh_database
from tests.support.samples import NAMESPACE, NOW

DEAD = Process(Process.this().host, 2**22 + 1, f"{Process.this().birth.rpartition('/')[0]}/1")
ELSEWHERE = Process("another-host", 1, "boot/pid:[1]/1")


ENDED_SESSION = "the session with its server that held the lock has ended"


def holder(who: str = "alice", process: Process | None = None) -> Holder:
    return Holder(who, process or Process.this(), "2026-11-25 10:00:00 Beijing time")


@contextmanager
def opened(place: JournalLocation) -> Iterator[Database]:
    database = place.open()
    try:
        yield database
    finally:
        database.close()


def book(database: Database, namespace: str = NAMESPACE) -> Journal:
    return Journal(database, mchid=MCHID, namespace=namespace, clock=lambda: NOW)


class Time:
    """Seconds that pass only while somebody sleeps. ``on_sleep`` happens after each sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def enter(waiting: Journal, me: Holder, *, timeout: float = 0.0, time: Time | None = None) -> Run:
    """Take the lock and give it back at once."""
    time = time or Time()

    async def work() -> Run:
        async with locked(waiting, me, timeout_seconds=timeout, monotonic=time, sleep=time.sleep) as run:
            return run

    return asyncio.run(work())


def test_the_lock_is_given_back(place: JournalLocation) -> None:
    with opened(place) as database:
        for who in ("alice", "bob"):
            assert enter(book(database), holder(who)).displaced is None
        assert locks_in(database, NAMESPACE) == []


def test_a_second_apply_is_told_who_holds_the_lock(place: JournalLocation) -> None:
    with opened(place) as first, opened(place) as second:
        assert book(first).lock.try_take(holder("alice")) == Taken()
        with pytest.raises(LockedError, match=rf"alice on .*, process {os.getpid()}, since .*paygift unlock"):
            enter(book(second), holder("bob"))
        book(first).lock.release(holder("alice"))


def test_another_namespace_is_not_kept_waiting(place: JournalLocation) -> None:
    with opened(place) as first, opened(place) as second:
        alice = holder("alice")
        held = book(first).lock
        held.try_take(alice)
        assert enter(book(second, "another"), holder("bob")).displaced is None
        held.release(alice)


def test_who_waits_gets_the_lock_once_it_is_free(place: JournalLocation) -> None:
    with opened(place) as first, opened(place) as second:
        alice, held, time, told = holder("alice"), book(first).lock, Time(), list[str]()
        held.try_take(alice)

        async def work() -> None:
            async def until_free(seconds: float) -> None:
                await time.sleep(seconds)
                if time.now > 5:
                    held.release(alice)

            bob = locked(
                book(second),
                holder("bob"),
                timeout_seconds=60,
                monotonic=time,
                sleep=until_free,
                tell=told.append,
            )
            async with bob as run:
                assert run.displaced is None

        asyncio.run(work())
        assert 5 < time.now < 10
        assert len(told) == 1, "it is told once"
    assert told[0].startswith("Waiting for another apply: alice on ")


def test_a_process_that_has_ended_is_displaced_at_once(memory_path: Path) -> None:
    with opened(JournalLocation(memory_path / "journal.db")) as database:
        dead = holder("alice", DEAD)
        book(database).lock.try_take(dead)
        run = enter(book(database), holder("bob"))
        assert run.displaced == dead
        (entry,) = [each for each in entries(database) if isinstance(each, LockTakenOver)]
        assert "alice" in entry.holder


def entries(database: Database) -> list[object]:
    return [entry.what for entry in all_entries(database, NAMESPACE)]


def test_a_holder_on_another_host_is_displaced_once_its_heart_stands_still(memory_path: Path) -> None:
    with opened(JournalLocation(memory_path / "journal.db")) as database:
        far = holder("alice", ELSEWHERE)
        book(database).lock.try_take(far)
        time = Time()
        assert enter(book(database), holder("bob"), timeout=60, time=time).displaced == far
        assert SILENCE_SECONDS <= time.now < SILENCE_SECONDS + 2


def test_a_holder_on_another_host_whose_heart_beats_is_waited_for(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    with (
        opened(JournalLocation(memory_path / "journal.db")) as first,
        opened(JournalLocation(memory_path / "journal.db")) as second,
    ):
        far = holder("alice", ELSEWHERE)
        held = book(first).lock
        held.try_take(far)
        bob = holder("bob")
        beats = wait_for_beat(second, bob, far, 0)
        wait_for_beat(second, bob, far, beats)
        found = book(second).lock.try_take(bob, silent={(far.token, beats)})
        assert isinstance(found, Seen)
        assert found.holder == far
        held.release(far)


def wait_for_beat(database: Database, me: Holder, of: Holder, after: int) -> int:
    for _ in range(1000):
        seen = book(database).lock.try_take(me)
        assert isinstance(seen, Seen)
        assert seen.holder == of
        if seen.beats > after:
            return seen.beats
    raise AssertionError("no heartbeat")


def test_who_was_put_out_can_write_nothing_down_any_more(place: JournalLocation) -> None:
    with opened(place) as first, opened(place) as second:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        run = Run(book(first), alice, "r1")
        asyncio.run(run.intend(INTENT))
        assert book(second).lock.break_() == alice
        free = "was taken away, and is free now; nothing more was sent"
        for _ in range(2):
            with pytest.raises(LockLostError, match=ENDED_SESSION if second.is_postgresql else free):
                asyncio.run(run.intend(INTENT))
        bob = holder("bob")
        book(second).lock.try_take(bob)
        with pytest.raises(LockLostError, match=ENDED_SESSION if second.is_postgresql else "taken away, by bob"):
            asyncio.run(run.intend(INTENT))
        book(second).lock.release(bob)
        assert len(entries(second)) == 1


def test_breaking_a_lock_ends_the_session_that_holds_it(memory_path: Path, postgresql: str) -> None:
    where = JournalLocation(memory_path / "unused", fresh_database(postgresql))
    with opened(where) as first, opened(where) as second:
        book(first).lock.try_take(holder("alice"))
        bob = holder("bob")
        assert isinstance(book(second).lock.try_take(bob), Seen)
        book(second).lock.break_()
        assert isinstance(book(second).lock.try_take(bob), Taken), "the advisory lock went with its session"
        book(second).lock.release(bob)


@contextmanager
def stopped_session(first: Database) -> Iterator[int]:
    """The server's process for the session of ``first``, which takes no notice of a signal until it goes on."""
    with first.reading() as connection:
        pid = int(connection.scalar(text("SELECT pg_backend_pid()")))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_breaking_a_lock_waits_until_the_session_that_holds_it_has_ended(memory_path: Path, postgresql: str) -> None:
    where = JournalLocation(memory_path / "unused", fresh_database(postgresql))
    with opened(where) as first, opened(where) as second:
        alice, bob = holder("alice"), holder("bob")
        book(first).lock.try_take(alice)
        with stopped_session(first) as pid:
            goes_on = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
            goes_on.start()
            assert book(second).lock.break_() == alice
            assert isinstance(book(second).lock.try_take(bob), Taken), "it is free afterwards"
            goes_on.join()
        book(second).lock.release(bob)


def test_a_lock_whose_session_does_not_end_is_not_said_to_be_free(
    memory_path: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ENDING_SECONDS", 0.1)
    where = JournalLocation(memory_path / "unused", fresh_database(postgresql))
    with opened(where) as first, opened(where) as second:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        with stopped_session(first) as pid:
            with pytest.raises(JournalError, match=rf"process {pid} .* has not ended .*Run `paygift unlock`"):
                book(second).lock.break_()
            assert locks_in(second, NAMESPACE) == [(MCHID, alice)]
        monkeypatch.undo()
        assert book(second).lock.break_() == alice
        assert locks_in(second, NAMESPACE) == []


def test_breaking_a_lock_leaves_alone_who_took_it_meanwhile(
    memory_path: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody waits, and is served as soon as the session of the dead one has ended."""
    where = JournalLocation(memory_path / "unused", fresh_database(postgresql))
    with opened(where) as first, opened(where) as second, opened(where) as third:
        alice, bob = holder("alice"), holder("bob")
        book(first).lock.try_take(alice)
        end = Lock._end_sessions

        def end_and_be_slow(self: Lock, connection: Connection) -> None:
            end(self, connection)
            assert isinstance(book(third).lock.try_take(bob), Taken)

        monkeypatch.setattr(Lock, "_end_sessions", end_and_be_slow)
        assert book(second).lock.break_() == alice
        assert locks_in(second, NAMESPACE) == [(MCHID, bob)]
        book(third).lock.release(bob)


def test_a_session_that_died_frees_the_lock_and_is_told(memory_path: Path, postgresql: str) -> None:
    where = JournalLocation(memory_path / "unused", fresh_database(postgresql))
    alice = holder("alice")
    with opened(where) as first:
        book(first).lock.try_take(alice)
    with opened(where) as second:
        assert enter(book(second), holder("bob")).displaced == alice


def test_a_lock_that_cannot_be_given_back_costs_nobody_the_report(memory_path: Path) -> None:
    with (
        opened(JournalLocation(memory_path / "journal.db")) as database,
        opened(JournalLocation(memory_path / "journal.db")) as next_,
    ):
        told: list[str] = []

        async def work() -> str:
            async with locked(book(database), holder("alice"), timeout_seconds=0, tell=told.append):
                with database.transaction() as connection:
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                return "the report"

        assert asyncio.run(work()) == "the report"
        (sentence,) = told
        assert sentence.startswith("The lock could not be given back: ")
        assert [each.who for _, each in locks_in(next_, NAMESPACE)] == ["alice"]


# -- processes ---------------------------------------------------------------------------------------------------------


def test_this_process_lives() -> None:
    assert not Process.this().is_gone


def test_a_process_is_gone_once_it_has_ended() -> None:
    script = (
        "from reconciler.journal.process import Process;"
        "this = Process.this(); print(this.pid, this.birth, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        pid, birth = child.stdout.readline().split()
        other = Process(Process.this().host, int(pid), birth)
        assert not other.is_gone
        child.communicate("\n")
    assert other.is_gone


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    this = Process.this()
    boot, _, ticks = this.birth.rpartition("/")
    assert replace(this, birth=f"{boot}/{int(ticks) - 1}").is_gone


@pytest.mark.parametrize("elsewhere", [replace(DEAD, host="another"), replace(DEAD, birth="another-boot/pid:[1]/1")])
def test_of_processes_elsewhere_nobody_can_tell(elsewhere: Process) -> None:
    assert not elsewhere.is_gone


def test_without_a_birth_only_the_number_tells() -> None:
    assert replace(DEAD, birth="").is_gone
    assert not replace(Process.this(), birth="").is_gone
