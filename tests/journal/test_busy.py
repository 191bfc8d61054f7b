"""SQLite: a process that was stopped in the middle of a write, a file that went away, a file system without WAL."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from reconciler.commands.runs import open_run
from reconciler.journal import busy, sqlite
from reconciler.journal import lock as locks
from reconciler.journal.chain import verify
from reconciler.journal.database import Database, open_sqlite
from reconciler.journal.entry import LockTakenOver
from reconciler.journal.holder import Holder
from reconciler.journal.journal import Journal, Run, locked
from reconciler.journal.location import FILE, SANDBOX_FILE, JournalLocation
from reconciler.journal.lock import Taken, locks_in
from reconciler.journal.process import Process
from reconciler.journal.read_only_file import read_sqlite
from reconciler.journal.reader import all_entries, audit_lines
from reconciler.model.errors import BusyError, JournalError, LockLostError
from reconciler.model.witness import Witness
from reconciler.system.origin import Origin
from tests.journal.test_journal import INTENT, MCHID
from tests.journal.test_lock import Time
from tests.support.project import Project
from tests.support.samples import NAMESPACE, NOW

STOPPED = """
import sys
from pathlib import Path
from reconciler.journal.journal import Journal
from reconciler.journal.database import open_sqlite
from reconciler.journal.holder import Holder
from reconciler.journal.process import Process
from tests.support.samples import NAMESPACE, NOW
from tests.journal.test_journal import INTENT, MCHID

database = open_sqlite(Path(sys.argv[1]))
book = Journal(database, mchid=MCHID, namespace=NAMESPACE, clock=lambda: NOW)
me = Holder("alice", Process.this(), "2026-11-25 10:00:00 Beijing time")
book.lock.try_take(me)
book.append(INTENT, run="r1", token=me.token)
if sys.argv[2] == "writing":
    database._connected().begin()
print("ready", flush=True)
for line in sys.stdin:
    try:
        if database._connection.in_transaction():
            database._connection.commit()
        book.append(INTENT, run="r1", token=me.token)
        print("written", flush=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
"""


class Other:
    """Another process that holds the lock, and was stopped: in the middle of a write, or between two."""

    def __init__(self, file: Path, where: str) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-c", STOPPED, str(file), where],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def goes_on(self) -> str:
        """What comes of its next write."""
        assert self._process.stdin is not None
        os.kill(self.pid, signal.SIGCONT)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def stopped(file: Path, where: str) -> Iterator[Other]:
    other = Other(file, where)
    try:
        yield other
    finally:
        other.end()


@contextmanager
def opened(file: Path) -> Iterator[Database]:
    database = open_sqlite(file)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def file(memory_path: Path) -> Path:
    return memory_path / "journal.db"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(busy, "STILL_BUSY_SECONDS", 0.1)


def book(database: Database) -> Journal:
    return Journal(database, mchid=MCHID, namespace=NAMESPACE, clock=lambda: NOW)


def holder(who: str) -> Holder:
    return Holder(who, Process.this(), "now")


def whats(database: Database) -> list[object]:
    return [entry.what for entry in all_entries(database, NAMESPACE)]


# -- stopped in the middle of a write ----------------------------------------------------------------------------------


def test_who_is_kept_from_writing_is_told_by_whom_and_what_to_do(file: Path) -> None:
    with stopped(file, "writing") as other, opened(file) as database:
        with pytest.raises(BusyError) as caught:
            book(database).lock.try_take(holder("bob"))
        said = str(caught.value)
        assert f"The lock is held by alice on {Process.this().host}, process {other.pid}, since" in said
        assert f"That process is stopped: `kill -CONT {other.pid}` lets it go on" in said


def test_who_only_looks_is_not_kept_from_it(file: Path) -> None:
    with stopped(file, "writing"):
        reader = read_sqlite(file)
        assert reader is not None
        assert reader is not None
        assert [each.who for _, each in locks_in(reader, NAMESPACE)] == ["alice"]
        assert len(list(audit_lines(reader, NAMESPACE))) == 1
        assert isinstance(book(reader).witness(), Witness)
        assert len(book(reader).open_intents()) == 1
        reader.close()


def test_an_apply_waits_for_it_as_long_as_it_may(file: Path) -> None:
    with stopped(file, "writing"), opened(file) as database:
        told, time = list[str](), Time()
        with pytest.raises(BusyError, match="alice"):
            enter(database, told, time, timeout=3)
        assert time.now >= 3
        (sentence,) = told
        assert sentence.startswith("Waiting: the journal in ")


@pytest.mark.parametrize("where", ["writing", "between"])
def test_unlock_takes_the_lock_from_a_stopped_process_and_loses_nothing(file: Path, where: str) -> None:
    with stopped(file, where) as other, opened(file) as database:
        displaced = book(database).lock.break_()
        assert displaced is not None
        assert displaced.process.pid == other.pid
        assert whats(database) == [INTENT]
        bob = holder("bob")
        assert book(database).lock.try_take(bob) == Taken()
        asyncio.run(Run(book(database), bob, "r2").intend(INTENT))
        said = other.goes_on()
        assert said.startswith("LockLostError: "), said
        assert whats(database) == [INTENT, INTENT]
        assert list(verify(audit_lines(database, NAMESPACE))) == []
        asyncio.run(Run(book(database), bob, "r2").require())
        book(database).lock.release(bob)
    assert not list(file.parent.glob("*.new*"))


def test_a_process_that_dies_in_the_middle_of_a_write_blocks_nobody(file: Path) -> None:
    with stopped(file, "writing") as other, opened(file) as database:
        other.end()
        told: list[str] = []
        enter(database, told, Time(), timeout=0)
        (sentence,) = told
        assert sentence.endswith("that process has ended.")
        assert whats(database)[0] == INTENT


def test_the_command_unlocks_a_stopped_process(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGIFT_MCHID", MCHID)
    file = project.root / FILE
    with stopped(file, "writing") as other:
        code, out, err = project.run("unlock", "--yes")
        assert (code, err) == (0, "")
        assert f"The lock was taken from alice on {Process.this().host}, process {other.pid}" in out
        assert "LockLostError" in other.goes_on()
    with opened(file) as database:
        assert [type(what) for what in whats(database)] == [type(INTENT), LockTakenOver]
        assert locks_in(database, NAMESPACE) == []


@pytest.mark.usefixtures("short_pauses_between_reads")
def test_the_command_unlocks_who_was_stopped_in_the_sandbox(project: Project) -> None:
    with stopped(project.root / SANDBOX_FILE, "writing"):
        code, out, _ = project.run("unlock", "--sandbox", "--yes")
        assert (code, "The lock was taken from alice" in out) == (0, True)
        code, _, err = project.run("apply", "--sandbox", "--yes")
        assert code == 0, err


# -- stopped between two writes ----------------------------------------------------------------------------------------


def test_a_takeover_from_a_stopped_process_does_not_say_that_it_has_ended(file: Path) -> None:
    with stopped(file, "between") as other, opened(file) as database:
        told, time = list[str](), Time()
        enter(database, told, time, timeout=60)
        assert time.now >= locks.SILENCE_SECONDS
        waiting, taken = told
        assert waiting.startswith("Waiting for another apply: alice")
        assert taken.endswith(
            "it has given no sign of life for 20 s. If it is still running, it can send nothing more."
        )
        (entry,) = [what for what in whats(database) if isinstance(what, LockTakenOver)]
        assert entry.reason == "it had given no sign of life for 20 s"
        assert "LockLostError" in other.goes_on()


def test_who_gives_up_is_told_that_the_holder_is_stopped(file: Path) -> None:
    with stopped(file, "between") as other, opened(file) as database:
        advice = rf"That process is stopped: `kill -CONT {other.pid}`"
        with pytest.raises(JournalError, match=advice):
            enter(database, [], Time(), timeout=0)


def test_a_process_is_stopped_until_it_goes_on(file: Path) -> None:
    with stopped(file, "between") as other, opened(file) as database:
        ((_, alice),) = locks_in(database, NAMESPACE)
        assert alice.process.pid == other.pid
        assert (alice.process.is_stopped, alice.process.is_gone) == (True, False)
        assert other.goes_on() == "written"
        assert not alice.process.is_stopped
        other.end()
        assert (alice.process.is_stopped, alice.process.is_gone) == (False, True)
        assert not Process.this().is_stopped


def enter(database: Database, told: list[str], time: Time, *, timeout: float) -> None:
    async def work() -> None:
        waiting = locked(
            book(database),
            holder("bob"),
            timeout_seconds=timeout,
            tell=told.append,
            monotonic=time,
            sleep=time.sleep,
        )
        async with waiting:
            pass

    asyncio.run(work())


# -- a file that went away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_a_file_that_was_removed_is_a_lost_lock(file: Path, name: str) -> None:
    with opened(file) as first:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        file.with_name(name).unlink()
        with pytest.raises(LockLostError, match="its file was removed or replaced while it was in use"):
            asyncio.run(Run(book(first), alice, "r1").require())


def test_who_waits_goes_on_with_the_file_that_is_there_now(file: Path) -> None:
    with opened(file) as first, opened(file) as second:
        alice, bob = holder("alice"), holder("bob")
        book(first).lock.try_take(alice)
        book(second).lock.try_take(bob)
        for part in file.parent.iterdir():
            part.unlink()
        assert book(second).lock.try_take(bob) == Taken()
        asyncio.run(Run(book(second), bob, "r1").intend(INTENT))
        with pytest.raises(LockLostError):
            asyncio.run(Run(book(first), alice, "r1").intend(INTENT))
        book(second).lock.release(bob)


def test_the_journal_of_who_writes_for_long_does_not_change_by_itself(file: Path) -> None:
    """Checkpoints, and others that come and go, leave the files what they are."""
    with opened(file) as first:
        alice = holder("alice")
        book(first).lock.try_take(alice)
        run = Run(book(first), alice, "r1")
        for number in range(60):
            asyncio.run(run.intend(INTENT))
            if number % 10 == 0:
                with opened(file) as other, closing(sqlite3.connect(file)) as foreign:
                    book(other).open_intents()
                    foreign.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        asyncio.run(run.require())


# -- a file system without WAL -----------------------------------------------------------------------------------------


@pytest.fixture
def _no_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without shared memory: SQLite answers that the journal mode is another."""

    def url(file: Path) -> URL:
        return URL.create("sqlite", database=f"file:{file}", query={"vfs": "unix-dotfile", "uri": "true"})

    monkeypatch.setattr(sqlite, "_sqlite_url", url)


@pytest.mark.usefixtures("_no_wal")
def test_a_file_system_without_wal_is_told_and_as_durable(file: Path) -> None:
    told: list[str] = []

    async def work() -> None:
        run_of = open_run(
            JournalLocation(file),
            mchid=MCHID,
            namespace=NAMESPACE,
            clock=lambda: NOW,
            lock_timeout=0,
            remark=told.append,
            origin=Origin("ann", "here", 1),
        )
        async with run_of as run:
            await run.intend(INTENT)
            assert len(await run.open_intents()) == 1

    asyncio.run(work())
    (sentence,) = told
    assert "cannot have a write-ahead log (SQLite's journal mode is 'delete')" in sentence
    with opened(file) as database, database.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3, "EXTRA"


def test_a_file_system_with_wal_is_nothing_to_tell(file: Path) -> None:
    with opened(file) as database:
        assert database.remark == ""
