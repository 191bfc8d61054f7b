"""First come, first served: applies queue, read their files in their turn, and an older commit never follows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from reconciler.journal import busy, tables
from reconciler.journal.database import Database
from reconciler.journal.entry import RunStarted
from reconciler.journal.holder import Holder
from reconciler.journal.journal import Journal, locked
from reconciler.journal.location import SANDBOX_FILE, JournalLocation
from reconciler.journal.lock import SILENCE_SECONDS, Seen, Taken
from reconciler.journal.process import Process
from reconciler.journal.tables import MIGRATIONS
from reconciler.model.errors import StaleError
from reconciler.system.origin import Origin, age_remark
from tests.journal.test_journal import MCHID
from tests.journal.test_lock import DEAD, ELSEWHERE, Time
from tests.support.project import SPEC, Project
from tests.support.samples import NAMESPACE, NOW
from tests.support.signed import keys

ROOT = Path(__file__).parents[2]


@contextmanager
def opened(place: JournalLocation, many: int) -> Iterator[list[Database]]:
    databases = [place.open() for _ in range(many)]
    try:
        yield databases
    finally:
        for database in databases:
            database.close()


def book(database: Database, mchid: str = MCHID) -> Journal:
    return Journal(database, mchid=mchid, namespace=NAMESPACE, clock=lambda: NOW)


def holder(who: str, process: Process | None = None) -> Holder:
    return Holder(who, process or Process.this(), "now")


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_the_lock_goes_to_who_came_first_however_often_others_ask(place: JournalLocation) -> None:
    with opened(place, 4) as databases:
        who = [holder(name) for name in ("alice", "bob", "carol", "dave")]
        locks = [book(database).lock for database in databases]
        assert locks[0].try_take(who[0]) == Taken()
        for number in (1, 2, 3):
            assert isinstance(locks[number].try_take(who[number]), Seen)
        for now, later in ((0, (1, 2, 3)), (1, (2, 3)), (2, (3,))):
            locks[now].release(who[now])
            for number in reversed(later[1:]):
                found = locks[number].try_take(who[number])
                assert isinstance(found, Seen)
                assert (found.holder, found.waits) == (who[later[0]], True), "not in whose turn it is not"
            assert locks[later[0]].try_take(who[later[0]]) == Taken()
        locks[3].release(who[3])


def test_a_newcomer_does_not_overtake_who_waits(place: JournalLocation) -> None:
    with opened(place, 3) as (first, second, third):
        alice, bob, carol = holder("alice"), holder("bob"), holder("carol")
        held = book(first).lock
        held.try_take(alice)
        book(second).lock.try_take(bob)
        held.release(alice)
        found = book(third).lock.try_take(carol)
        assert isinstance(found, Seen)
        assert found.holder == bob
        assert book(second).lock.try_take(bob) == Taken()


@pytest.mark.parametrize("many", [6])
def test_applies_that_wait_are_served_in_the_order_in_which_they_came(place: JournalLocation, many: int) -> None:
    with opened(place, many + 1) as (first, *others):
        alice, held, served = holder("alice"), book(first).lock, list[int]()
        held.try_take(alice)

        async def wait(number: int, database: Database) -> None:
            async with locked(book(database), holder(str(number)), timeout_seconds=60, sleep=briefly):
                served.append(number)

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for number, database in enumerate(others):
                    group.create_task(wait(number, database))
                    while waiting_in(first) <= number:  # noqa: ASYNC110 - it happens in another thread
                        await asyncio.sleep(0.01)
                held.release(alice)

        asyncio.run(all_of_them())
        assert served == list(range(many))
        assert waiting_in(first) == 0


async def briefly(_seconds: float) -> None:
    await asyncio.sleep(0.005)


def waiting_in(database: Database) -> int:
    with database.reading() as connection:
        return len(connection.execute(select(tables.queue.c.token)).all())


def test_who_gives_up_leaves_the_queue(place: JournalLocation) -> None:
    with opened(place, 3) as (first, second, third):
        alice, held = holder("alice"), book(first).lock
        held.try_take(alice)

        async def wait() -> None:
            async with locked(book(second), holder("bob"), timeout_seconds=60, sleep=briefly):
                pass

        async def gives_up() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.1)

        asyncio.run(gives_up())
        assert waiting_in(first) == 0
        held.release(alice)
        assert book(third).lock.try_take(holder("carol")) == Taken()


def test_a_lock_that_comes_too_late_for_who_has_given_up_is_given_back(place: JournalLocation) -> None:
    """Whoever is cancelled does not hear that the call which was under way has taken the lock."""
    with opened(place, 2) as (first, second):
        waiting, bob = book(first).lock, holder("bob")
        assert waiting.try_take(bob) == Taken()
        waiting.give_up(bob)
        assert book(second).lock.try_take(holder("carol")) == Taken()


def test_who_died_while_waiting_keeps_nobody(memory_path: Path) -> None:
    with opened(JournalLocation(memory_path / "journal.db"), 3) as (first, second, third):
        alice, held = holder("alice"), book(first).lock
        held.try_take(alice)
        book(second).lock.try_take(holder("dead", DEAD))
        held.release(alice)
        assert book(third).lock.try_take(holder("carol")) == Taken()


def test_who_waited_in_a_session_that_ended_keeps_nobody(memory_path: Path, postgresql: str) -> None:
    from tests.support.postgres import fresh_database  # noqa: PLC0415 - for the servers that it starts

    with opened(JournalLocation(memory_path / "none", fresh_database(postgresql)), 3) as (
        first,
        second,
        third,
    ):
        alice, held = holder("alice"), book(first).lock
        held.try_take(alice)
        book(second).lock.try_take(holder("bob", ELSEWHERE))
        held.release(alice)
        carol = holder("carol")
        assert isinstance(book(third).lock.try_take(carol), Seen), "bob lives"
        second.close()
        assert took_soon(third, carol)


def took_soon(database: Database, me: Holder) -> bool:
    for _ in range(200):
        if isinstance(book(database).lock.try_take(me), Taken):
            return True
        time.sleep(0.01)
    return False


def test_who_waits_elsewhere_and_shows_no_sign_of_life_loses_the_place(place: JournalLocation) -> None:
    with opened(place, 3) as (first, second, third):
        alice, held, clock = holder("alice"), book(first).lock, Time()
        held.try_take(alice)
        book(second).lock.try_take(holder("silent", ELSEWHERE))
        held.release(alice)

        async def work() -> None:
            waiting = locked(book(third), holder("carol"), timeout_seconds=60, monotonic=clock, sleep=clock.sleep)
            async with waiting:
                assert SILENCE_SECONDS <= clock.now < SILENCE_SECONDS + 2

        asyncio.run(work())


def test_who_waits_elsewhere_and_looks_again_keeps_the_place(place: JournalLocation) -> None:
    with opened(place, 3) as (first, second, third):
        alice, bob, carol, held = holder("alice"), holder("bob", ELSEWHERE), holder("carol"), book(first).lock
        held.try_take(alice)
        book(second).lock.try_take(bob)
        seen = book(third).lock.try_take(carol)
        assert isinstance(seen, Seen)
        book(second).lock.try_take(bob)
        held.release(alice)
        found = book(third).lock.try_take(carol, silent=seen.before)
        assert isinstance(found, Seen)
        assert found.holder == bob


def test_accounts_have_queues_of_their_own(place: JournalLocation) -> None:
    with opened(place, 3) as (first, second, third):
        book(first).lock.try_take(holder("alice"))
        book(second).lock.try_take(holder("bob"))
        assert book(third, mchid="1900000002").lock.try_take(holder("carol")) == Taken()


# -- which commit was applied last -------------------------------------------------------------------------------------


def test_a_journal_of_before_knows_what_was_applied_last(
    place: JournalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(tables, "MIGRATIONS", MIGRATIONS[:2])
        older.setattr(Journal, "_applies", lambda *_: None)
        with opened(place, 1) as (database,):
            for commit in ("c1", "c2"):
                book(database).append(RunStarted("", 1, commit=commit), run="r1", token=None)
    with opened(place, 1) as (database,):
        assert book(database).applied() == "c2"
        assert book(database, mchid="1900000002").applied() == ""


def test_the_last_commit_is_that_of_the_run_that_began_last(place: JournalLocation) -> None:
    with opened(place, 1) as (database,):
        written = book(database)
        assert written.applied() == ""
        for commit, known in (("c1", "c1"), ("c2", "c2"), ("", "c2")):
            written.append(RunStarted("", 1, commit=commit), run="r1", token=None)
            assert written.applied() == known


# -- git ---------------------------------------------------------------------------------------------------------------


@dataclass
class Repository:
    """A project in a git repository."""

    root: Path

    def git(self, *arguments: str) -> str:
        names = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        ran = subprocess.run(
            ["git", "-C", str(self.root), *arguments],
            env={**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def commit(self) -> str:
        """All that is there, as a commit whose hash is returned."""
        self.git("add", "--all", "--", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        return self.git("rev-parse", "HEAD")


def repository(root: Path) -> Repository:
    made = Repository(root)
    made.git("init", "--quiet")
    (root / ".gitignore").write_text(".paygift/\n")
    return made


@pytest.fixture
def history(tmp_path: Path) -> tuple[Repository, str, str]:
    """A repository with a file, and two commits of it; the newer one is checked out."""
    made = repository(tmp_path)
    (tmp_path / "file").write_text("1")
    older = made.commit()
    (tmp_path / "file").write_text("2")
    return made, older, made.commit()


def test_an_ancestor_is_refused_and_both_are_named(history: tuple[Repository, str, str]) -> None:
    repo, older, newer = history
    repo.git("checkout", "--quiet", older)
    with pytest.raises(StaleError) as caught:
        age_remark(repo.root, older, newer)
    assert older in str(caught.value)
    assert newer in str(caught.value)
    assert "Nothing was written" in str(caught.value)


def test_the_same_commit_a_newer_one_and_one_beside_it_may_follow(
    history: tuple[Repository, str, str],
) -> None:
    repo, older, newer = history
    assert age_remark(repo.root, newer, newer) == ""
    assert age_remark(repo.root, newer, older) == ""
    assert age_remark(repo.root, newer, "") == ""
    repo.git("checkout", "--quiet", older)
    (repo.root / "file").write_text("3")
    assert age_remark(repo.root, repo.commit(), newer) == ""


@pytest.mark.parametrize("unknown", ["f" * 40, "c0ffee00c0ffee00", "--help", "HEAD", "main"])
def test_a_commit_that_git_does_not_have_is_said_and_no_hindrance(
    history: tuple[Repository, str, str], unknown: str
) -> None:
    repo, _, newer = history
    said = age_remark(repo.root, newer, unknown)
    assert "cannot be known: git does not have both here" in said
    assert unknown in said
    assert newer in said


def test_files_that_were_changed_since_are_said_and_no_hindrance(
    history: tuple[Repository, str, str],
) -> None:
    repo, older, newer = history
    repo.git("checkout", "--quiet", older)
    (repo.root / "file").write_text("mine")
    assert "these files were changed since" in age_remark(repo.root, older, newer)


def test_without_git_it_is_said_and_no_hindrance(
    history: tuple[Repository, str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repo, older, newer = history
    assert "they are of no commit" in age_remark(repo.root, "", newer)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "cannot be known" in age_remark(repo.root, older, newer)
    assert Origin.of({"GITHUB_SHA": "c0ffee"}, repo.root).commit == "c0ffee", "what CI says, where git says nothing"


def test_the_commit_is_that_of_the_files_and_not_what_ci_was_started_for(
    history: tuple[Repository, str, str],
) -> None:
    repo, older, newer = history
    assert Origin.of({"GITHUB_SHA": older}, repo.root).commit == newer


# -- the command -------------------------------------------------------------------------------------------------------

SUMMER = SPEC.replace("春日回馈", "夏日回馈").replace("1900000001", "1900000002")


def test_an_older_commit_does_not_take_back_what_a_newer_one_did(project: Project) -> None:
    repo = repository(project.root)
    older = repo.commit()
    project.write("summer", SUMMER)
    newer = repo.commit()
    assert project.run("apply", "--sandbox", "--yes")[0] == 0
    repo.git("checkout", "--quiet", older)
    code, out, err = project.run("apply", "--sandbox", "--yes", "--report", str(project.root / "report.json"))
    assert (code, out) == (6, "")
    assert older in err
    assert newer in err
    assert json.loads((project.root / "report.json").read_text())["exit_code"] == 6
    assert len(live(project)) == 2
    repo.git("checkout", "--quiet", newer)
    assert project.run("apply", "--sandbox", "--yes")[0] == 0


def test_an_older_commit_does_not_follow_a_newer_one_that_had_nothing_to_do(project: Project) -> None:
    repo = repository(project.root)
    repo.commit()
    assert project.run("apply", "--sandbox", "--yes")[0] == 0
    project.write("summer", SUMMER)
    middle = repo.commit()
    (project.root / "activities/summer.yaml").unlink()
    repo.commit()
    code, out, err = project.run("apply", "--sandbox", "--yes")
    assert code == 0, (out, err)
    repo.git("checkout", "--quiet", middle)
    assert project.run("apply", "--sandbox", "--yes")[0] == 6
    assert len(live(project)) == 1


def live(project: Project) -> list[str]:
    with project.sandbox() as sandbox:
        return [each["activity_id"] for each in sandbox.activities()]


class Waiting:
    """`paygift apply` in a process of its own, which waits for the lock that we hold."""

    def __init__(self, project: Project, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "reconciler",
                "-C",
                str(project.root),
                "apply",
                "--sandbox",
                "--yes",
                *options,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.said = self._process.stderr.readline()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> tuple[int, str, str]:
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out, self.said + err


@pytest.fixture
def let_go(project: Project) -> Iterator[Callable[[], None]]:
    """The lock of the project's sandbox is held until this is called."""
    with opened(JournalLocation(project.root / SANDBOX_FILE), 1) as (database,):
        me = holder("somebody else")
        lock = Journal(database, mchid=keys().mchid, namespace="liangpin", clock=lambda: NOW).lock
        assert lock.try_take(me) == Taken()
        yield lambda: lock.release(me)


def test_files_are_read_when_the_lock_is_held(project: Project, let_go: Callable[[], None]) -> None:
    waiting = Waiting(project)
    assert waiting.said.startswith("Waiting for another apply: somebody else"), waiting.said
    project.write("summer", SUMMER)
    let_go()
    code, out, err = waiting.ended()
    assert code == 0, err
    assert "summer" in out
    assert len(live(project)) == 2


def test_mistakes_that_were_made_meanwhile_stop_it(project: Project, let_go: Callable[[], None]) -> None:
    waiting = Waiting(project)
    project.write("spring", SPEC.replace("OFF_LINE_PAY", "NOWHERE"))
    let_go()
    code, _, err = waiting.ended()
    assert code == 3, err
    assert live(project) == []


def test_a_namespace_that_was_changed_meanwhile_stops_it(project: Project, let_go: Callable[[], None]) -> None:
    waiting = Waiting(project)
    (project.root / "paygift.yaml").write_text("namespace: another\n")
    let_go()
    code, _, err = waiting.ended()
    assert code == 6, err
    assert "The namespace was liangpin when this run asked for the lock, and is another now" in err


def test_who_waits_answers_a_signal_at_once_though_others_write_to_the_journal(
    project: Project, let_go: Callable[[], None]
) -> None:
    waiting = Waiting(project)
    with closing(sqlite3.connect(project.root / SANDBOX_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.2)  # by now it has looked again, and is kept from it
        started = time.monotonic()
        waiting.interrupt()
        code, _, err = waiting.ended()
        assert code == 130, err
        assert time.monotonic() - started < busy.BUSY_SECONDS / 2
        other.execute("ROLLBACK")
    let_go()


def test_mistakes_are_told_before_anybody_waits(project: Project, let_go: Callable[[], None]) -> None:
    project.write("spring", SPEC.replace("OFF_LINE_PAY", "NOWHERE"))
    assert project.run("apply", "--sandbox", "--yes")[0] == 3
    let_go()


def test_an_older_commit_that_waited_does_not_end_what_a_newer_one_created(
    project: Project, let_go: Callable[[], None]
) -> None:
    """A checkout of CI that stands at the older commit, and waits while the newer one is applied."""
    repo = repository(project.root)
    older = repo.commit()
    project.write("summer", SUMMER)
    newer = repo.commit()
    let_go()
    assert project.run("apply", "--sandbox", "--yes")[0] == 0
    with opened(JournalLocation(project.root / SANDBOX_FILE), 1) as (database,):
        me = holder("the newer one")
        lock = Journal(database, mchid=keys().mchid, namespace="liangpin", clock=lambda: NOW).lock
        lock.try_take(me)
        repo.git("checkout", "--quiet", older)
        waiting = Waiting(project)
        lock.release(me)
    code, _, err = waiting.ended()
    assert code == 6, err
    assert newer in err
    assert len(live(project)) == 2
