"""A journal with an entry that is not what was written: said with its number, and never a traceback."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.model.errors import EXIT_PARTIAL
from tests.support.project import SPEC, Project

COMMANDS = [
    ["history"], ["history", "--json"], ["history", "--since", "2026-01-01"],
    ["history", "verify"], ["history", "export"],
    ["--sandbox", "plan"], ["--sandbox", "status"], ["--sandbox", "drift"], ["--sandbox", "show", "spring"],
    ["unlock", "--yes"], ["--sandbox", "apply", "--yes"],
]  # fmt: skip
ENVELOPE = {"mchid": "1900000001", "namespace": "liangpin", "run": "r", "previous": "0" * 64}
RECORDS: dict[str, object] = {
    "empty object": "{}",
    "list": "[]",
    "null": "null",
    "deep": "[" * 100_000,
    "number instead of text": 7,
    "bytes": b"\xff\x00",
    "surrogate": '{"entry": "\\ud800"}',
    "of the future": json.dumps({**ENVELOPE, "seq": 1, "at": "2026-11-25T10:00:00Z", "entry": "prophecy"}),
    "no time zone": json.dumps({**ENVELOPE, "seq": 1, "at": "2026-11-25T10:00:00", "entry": "ended", "counts": {}}),
    "year 9999": json.dumps({**ENVELOPE, "seq": 1, "at": "9999-12-31T23:59:59Z", "entry": "ended", "counts": {}}),
}


def journal(project: Project) -> Path:
    return project.root / ".paygift/sandbox/journal.db"


def execute(project: Project, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(journal(project))) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_an_entry_that_is_none_is_named(project: Project, record: object) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    execute(project, "UPDATE paygift_entries SET record = ? WHERE seq = 2", record)
    for command in COMMANDS:
        code, out, err = project.run("--sandbox", *command)
        assert "unexpectedly" not in err, (command, err)
        assert "Traceback" not in out + err
        if command[0] == "history" and command[-1] not in ("verify", "export"):
            assert code == 1
            assert "entry 2 of the journal cannot be read" in err


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("body", ["{}", "[]", "", "null", '{"merchant_id_list": 7}', "[" * 100_000])
def test_a_request_that_does_not_say_what_it_asked_for_is_unknown(project: Project, body: str) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000002"]'))
    assert project.run("--sandbox", "apply", "--yes")[0] in (0, EXIT_PARTIAL)
    with closing(sqlite3.connect(journal(project))) as connection:
        rows = connection.execute("SELECT mchid, namespace, seq, record FROM paygift_entries ORDER BY seq").fetchall()
    mchid, namespace, seq, record = next(row for row in rows if '"operation":"add_merchants"' in row[3])
    changed = json.dumps({**json.loads(record), "body": body})
    execute(project, "UPDATE paygift_entries SET record = ? WHERE seq = ?", changed, seq)
    execute(project, "INSERT INTO paygift_open_intents VALUES (?, ?, ?)", mchid, namespace, seq)
    for command in (["history"], ["history", "--json"], ["--sandbox", "plan"]):
        assert project.run("--sandbox", *command)[0] in (0, 1)
    code, _, err = project.run("--sandbox", "apply", "--yes")
    assert code == 0, err
    assert "spring add_merchants" in err
    assert "unknown" in err
    assert (
        f"Entry {seq} of the journal does not say which merchants" in project.run("--sandbox", "history", "--json")[1]
    )


@pytest.mark.parametrize("holder", ["{}", "[]", "", "null", "7", '{"process": {"pid": "x"}, "who": 1}', "[" * 100_000])
def test_a_lock_whose_holder_cannot_be_read_can_be_taken_away(project: Project, holder: str) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    with closing(sqlite3.connect(journal(project))) as connection:
        (mchid,) = connection.execute("SELECT mchid FROM paygift_entries").fetchone()
    execute(project, "INSERT INTO paygift_locks VALUES (?, 'liangpin', 't', ?, 0)", mchid, holder)
    code, out, err = project.run("--sandbox", "unlock", "--yes")
    assert (code, err) == (0, "")
    assert "an unknown host" in out
