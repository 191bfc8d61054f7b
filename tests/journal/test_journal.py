"""The journal: what is written stays, in order and unaltered; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, make_url, text, update

from reconciler.journal import tables
from reconciler.journal.chain import audit_line, verify
from reconciler.journal.database import Database, open_postgresql, open_sqlite
from reconciler.journal.entry import (
    NO_HASH,
    Entry,
    Intent,
    LockTakenOver,
    OperationFinished,
    RunEnded,
    RunStarted,
    read_entry,
    sealed,
)
from reconciler.journal.history import HistoryFilter, history
from reconciler.journal.journal import Journal
from reconciler.journal.location import JournalLocation, journal_location
from reconciler.journal.reader import all_entries, audit_lines
from reconciler.journal.tables import MIGRATIONS
from reconciler.model.errors import JournalError, UsageError
from reconciler.model.report import OutcomeStatus, Rejection
from tests.support.samples import NAMESPACE, NOW

MCHID = "1900000001"
INTENT = Intent("create", "spring", "", "liangpin_spring_g1_3f9a1c20b7d4", '{"x":"良品"}')
DONE = OperationFinished("create", "spring", OutcomeStatus.DONE, "20406354", INTENT.request_no, (1,))


@pytest.fixture
def database(place: JournalLocation) -> Iterator[Database]:
    opened = place.open()
    yield opened
    opened.close()


def book(database: Database, clock: Callable[[], datetime] = lambda: NOW, namespace: str = NAMESPACE) -> Journal:
    return Journal(database, mchid=MCHID, namespace=namespace, clock=clock)


def append(written: Journal, *whats: Any) -> list[Entry]:
    return [written.append(what, run="r1", token=None) for what in whats]


# -- entries and their chain -------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(database: Database) -> None:
    rejected = replace(
        DONE,
        status=OutcomeStatus.PARTIAL,
        rejections=(Rejection("1600000009", "商户与活动创建方不具备父子关系"),),
        http_status=200,
        tries=2,
        seconds=0.3,
        request_id="08F5-269",
        path="images/0.png",
        resumed=True,
    )
    whats = (
        RunStarted("ab" * 32, 3, "alice", "host", 12, "c0ffee", "https://ci", "0.1.0"),
        INTENT,
        rejected,
        RunEnded({"done": 2, "partial": 1}, interrupted=True),
        LockTakenOver("bob on host, process 1", "its process had ended", "alice"),
    )
    written = append(book(database), *whats)
    assert list(all_entries(database, NAMESPACE)) == written
    assert [entry.what for entry in written] == list(whats)
    assert [entry.seq for entry in written] == [1, 2, 3, 4, 5]
    assert {entry.at for entry in written} == {NOW}


def test_each_entry_carries_the_hash_of_the_one_before(database: Database) -> None:
    first, second = append(book(database), INTENT, DONE)
    assert first.previous == NO_HASH
    assert second.previous == first.hash
    assert book(database).head() == (2, second.hash)


def test_the_journals_of_namespaces_do_not_mix(database: Database) -> None:
    append(book(database), INTENT)
    (other,) = append(book(database, namespace="another"), INTENT)
    assert other.seq == 1
    assert [entry.namespace for entry in all_entries(database, "another")] == ["another"]
    assert list(verify([*audit_lines(database, NAMESPACE), *audit_lines(database, "another")])) == []


@given(st.integers(0, 999_999))
def test_an_instant_of_any_precision_verifies(microseconds: int) -> None:
    """Lines hold milliseconds, and what is read again must be what was sealed."""
    entry = Entry(MCHID, NAMESPACE, 1, NOW.replace(microsecond=microseconds), "r1", INTENT)
    line, hash_ = sealed(entry)
    assert list(verify([audit_line(line, hash_)])) == []


def lines(database: Database) -> list[str]:
    append(book(database), INTENT, DONE, INTENT, RunEnded({}))
    return list(audit_lines(database, NAMESPACE))


def test_an_untouched_file_verifies(database: Database) -> None:
    assert list(verify(lines(database))) == []


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_removed_line_is_found(database: Database, number: int) -> None:
    whole = lines(database)
    (found, *_) = verify(whole[:number] + whole[number + 1 :])
    assert found.line == number + 1
    assert "follows where entry" in found.reason


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_an_altered_line_is_found(database: Database, number: int) -> None:
    whole = lines(database)
    data = json.loads(whole[number])
    whole[number] = json.dumps({**data, "run": "r2"})
    (found, *_) = verify(whole)
    assert (found.line, "was altered" in found.reason) == (number + 1, True)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_line_that_was_sealed_anew_is_found(database: Database) -> None:
    whole = lines(database)
    forged = replace(read_entry(whole[1]), run="r2")
    line, hash_ = sealed(forged)
    whole[1] = audit_line(line, hash_)
    (found,) = verify(whole)
    assert (found.line, "does not continue entry 2" in found.reason) == (3, True)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_lines_cut_off_at_the_end_show_by_the_head(database: Database) -> None:
    whole = lines(database)
    _, head = book(database).head()
    assert list(verify(whole, heads=[head])) == []
    assert list(verify(whole[:-1])) == []
    (found,) = verify(whole[:-1], heads=[head])
    assert "missing at the end" in found.reason


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"seq": 1}', "{", "\x00", '{"entry":"other"}'])
def test_a_line_that_is_no_entry_is_found(line: str) -> None:
    (found,) = verify([line])
    assert found.line == 1
    assert "not an entry of a journal" in found.reason


# -- intents -----------------------------------------------------------------------------------------------------------


def test_an_intent_is_open_until_an_outcome_names_it(database: Database) -> None:
    written = book(database)
    first, second = append(written, INTENT, replace(INTENT, key="summer"))
    assert written.open_intents() == [first, second]
    append(written, replace(DONE, intents=(first.seq,)))
    assert written.open_intents() == [second]
    append(written, replace(DONE, intents=(second.seq,)))
    assert written.open_intents() == []


def test_what_could_not_be_written_whole_is_not_there(database: Database) -> None:
    written = book(database)
    with database.transaction() as connection:
        connection.execute(insert(tables.open_intents).values(mchid=MCHID, namespace=NAMESPACE, seq=1))
    with pytest.raises(JournalError, match="cannot be used"):
        append(written, INTENT)
    assert written.head() == (0, NO_HASH)


# -- history -----------------------------------------------------------------------------------------------------------


def told(*whats: Any) -> list[Entry]:
    return [
        Entry(MCHID, NAMESPACE, number, NOW + timedelta(seconds=number), "r1", what)
        for number, what in enumerate(whats, start=1)
    ]


def test_history_joins_requests_and_outcomes_and_tells_who() -> None:
    begun = RunStarted("ab" * 32, 1, who="alice", commit="c0ffee")
    (row,) = history(told(begun, INTENT, replace(DONE, intents=(2,))))
    assert (row.key, row.status, row.who, row.commit, row.plan_digest) == (
        "spring",
        "done",
        "alice",
        "c0ffee",
        "ab" * 32,
    )
    assert row.bodies == (INTENT.body,)
    assert row.at == NOW + timedelta(seconds=3)


def test_a_request_without_an_outcome_is_told_as_open() -> None:
    (row,) = history(told(RunStarted("", 1, who="alice"), INTENT))
    assert (row.status, row.who, row.request_no) == ("open", "alice", INTENT.request_no)


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (HistoryFilter(), ["a", "b", "c"]),
        (HistoryFilter(key="b"), ["b"]),
        (HistoryFilter(activity_id="1"), ["a"]),
        (HistoryFilter(outcomes=frozenset({"failed", "open"})), ["b", "c"]),
        (HistoryFilter(since=NOW + timedelta(seconds=2)), ["b", "c"]),
        (HistoryFilter(until=NOW + timedelta(seconds=2)), ["a"]),
        (HistoryFilter(key="a", outcomes=frozenset({"failed"})), []),
    ],
)
def test_history_shows_what_is_wanted(wanted: HistoryFilter, keys: list[str]) -> None:
    entries = told(
        OperationFinished("create", "a", OutcomeStatus.DONE, "1"),
        OperationFinished("create", "b", OutcomeStatus.FAILED, "2"),
        replace(INTENT, key="c"),
    )
    assert [row.key for row in history(entries, wanted)] == keys


# -- the database ------------------------------------------------------------------------------------------------------


def test_an_older_journal_is_brought_up_to_date(place: JournalLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(tables, "MIGRATIONS", MIGRATIONS[:1])
        first = place.open()
        append(book(first), INTENT)
        first.close()
    newer = place.open()
    assert [entry.what for entry in all_entries(newer, NAMESPACE)] == [INTENT]
    assert book(newer).lock.break_() is None, "the table of locks is there"
    newer.close()


def test_a_newer_journal_is_refused(place: JournalLocation) -> None:
    first = place.open()
    with first.transaction() as connection:
        connection.execute(update(tables.schema).values(version=len(MIGRATIONS) + 1))
    first.close()
    with pytest.raises(JournalError, match=r"version 4, and this paygift knows 3\. Use the newer paygift"):
        place.open()


def test_a_commit_is_durable(memory_path: Path) -> None:
    opened = open_sqlite(memory_path / "journal.db")
    with opened.transaction() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2, "FULL"
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    opened.close()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 40, b"short"])
def test_a_file_that_is_no_database_is_set_aside(memory_path: Path, content: bytes) -> None:
    file = memory_path / "journal.db"
    file.write_bytes(content)
    with pytest.raises(JournalError, match="Move it away, or let the next apply do so") as caught:
        JournalLocation(file).open()
    assert caught.value.damaged
    moved: list[Path] = []
    opened = JournalLocation(file).open_to_write(moved.append)
    assert list(all_entries(opened, NAMESPACE)) == []
    opened.close()
    (aside,) = moved
    assert aside.read_bytes() == content
    assert aside.name.startswith("journal.db.damaged-")


def test_a_journal_that_lost_its_end_is_set_aside(memory_path: Path) -> None:
    file = memory_path / "journal.db"
    opened = open_sqlite(file)
    append(book(opened), *[replace(INTENT, body="x" * 900)] * 40)
    opened.close()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2 + 100])
    moved: list[Path] = []
    JournalLocation(file).open_to_write(moved.append).close()
    assert len(moved) == 1


def test_trouble_that_is_no_damage_sets_nothing_aside(memory_path: Path) -> None:
    file = memory_path / "journal.db"
    file.mkdir()
    with pytest.raises(JournalError, match="is a folder, and not a file") as caught:
        JournalLocation(file).open_to_write(lambda _: pytest.fail("it was set aside"))
    assert not caught.value.damaged


def test_a_folder_that_cannot_be_made_says_so(memory_path: Path) -> None:
    (memory_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be made"):
        JournalLocation(memory_path / "file/journal.db").open()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "holds no address"),
        ("mysql://u:secret@h/d", "does not begin with postgresql://"),
        ("sqlite:///x.db", "does not begin with postgresql://"),
        ("postgresql://u:secret@h/d?plugin=secret", "has an option after its"),
        ("postgresql://u:sec@ret@h/d", "does not tell where its host begins"),
        ("postgresql://u:p#secret@h/d", "holds a #"),
        ("postgresql://u:p/secret@h/d", "an @ after its host"),
        ("postgresql://u:p@h:secret/d", "a port that is not a number"),
    ],
)
def test_a_url_that_names_no_postgresql_is_a_usage_error(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        open_postgresql(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(JournalError, match=r"PostgreSQL \(127\.0\.0\.1\) cannot be reached") as caught:
        open_postgresql("postgresql://u:secret@127.0.0.1:1/d")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(JournalLocation(Path("x"), "postgresql://u:secret@h/d"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"database": "Zq7secret"}, "it has no such database"),
        ({"username": "Zq7secret"}, "it has no such user"),
        ({"query": {"host": "/nowhere/Zq7secret"}}, "no server listens at that socket"),
        ({"query": {"host": "127.0.0.1", "port": "1"}}, "it refused the connection"),
        ({"query": {"host": "127.0.0.1", "connect_timeout": "Zq7secret"}}, "an option after the ?"),
        ({"query": {"host": ["/nowhere/Zq7secret", "/nowhere/other"]}}, "no server listens at that socket"),
    ],
)
def test_why_a_server_lets_nobody_in_is_said_without_a_word_of_the_url(
    changes: dict[str, Any], told: str, postgresql: str
) -> None:
    url = make_url(postgresql).set(drivername="postgresql", **changes).render_as_string(hide_password=False)
    with pytest.raises(JournalError, match=re.escape(told)) as caught:
        open_postgresql(url)
    assert "Zq7secret" not in str(caught.value)
    assert "PAYGIFT_JOURNAL_URL" in caught.value.remedy


def test_the_sandbox_has_a_journal_of_its_own(tmp_path: Path) -> None:
    url = "postgresql://h/d"
    assert journal_location(tmp_path, url) == JournalLocation(tmp_path / ".paygift/journal.db", url)
    assert journal_location(tmp_path, url, use_sandbox=True) == JournalLocation(
        tmp_path / ".paygift/sandbox/journal.db"
    )


def test_looking_does_not_make_a_journal(tmp_path: Path) -> None:
    assert not JournalLocation(tmp_path / "journal.db").exists
    assert JournalLocation(tmp_path / "journal.db", "postgresql://h/d").exists
