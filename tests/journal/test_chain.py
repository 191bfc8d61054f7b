"""Audit files: every alteration shows, of the bytes too, and each account's journal has its own end."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.journal.chain import Break, audit_line, verify
from reconciler.journal.entry import NO_HASH, Entry, Intent, OperationFinished, RunEnded, read_entry, sealed
from reconciler.journal.reader import lines_of
from reconciler.model.errors import JournalError, UsageError
from reconciler.model.report import OutcomeStatus, Rejection
from tests.support.processes import paygift, without_rights_over_files
from tests.support.project import Project
from tests.support.samples import NAMESPACE, NOW

OLD = Path(__file__).parents[1] / "golden/audit.jsonl"
"""Written before the hash moved to the end of a line."""
ODD = "商户\u2028与\x85\u2029活\x1c动\r\x0b\x0c"
INTENT = Intent("create", "spring", "", "liangpin_spring_g1_3f9a1c20b7d4", '{"x":"良品"}')
PARTIAL = OperationFinished(
    "create",
    "spring",
    OutcomeStatus.PARTIAL,
    intents=(1,),
    rejections=(Rejection("1900000002", ODD),),
    reason=ODD,
    seconds=0.1,
)
APPLY = ("--sandbox", "apply", "--yes")


def chain(mchid: str, count: int = 4) -> tuple[list[str], str]:
    """The lines of an account's journal, and its head."""
    previous, lines = NO_HASH, []
    whats: list[Intent | OperationFinished | RunEnded] = [
        INTENT,
        PARTIAL,
        INTENT,
        RunEnded({}),
        INTENT,
        INTENT,
    ]
    for seq, what in enumerate(whats[:count], start=1):
        line, hash_ = sealed(Entry(mchid, NAMESPACE, seq, NOW, "r1", what, previous))
        lines.append(audit_line(line, hash_))
        previous = hash_
    return lines, previous


LINES, HEAD = chain("1900000001")
OTHERS, OTHER_HEAD = chain("1900000009", 2)


def spaced(line: str) -> str:
    return line.replace(",", ", ", 1)


def twice(line: str) -> str:
    return line.replace('{"', '{"run":"forged","', 1)


def twice_within(line: str) -> str:
    return line.replace('"hash"', '"seq":9,"hash"')


def escaped(line: str) -> str:
    return line.replace("r1", "\\u00721")


def reordered(line: str) -> str:
    data = json.loads(line)
    return json.dumps(dict(reversed(data.items())), ensure_ascii=False, separators=(",", ":"))


def carriage_return(line: str) -> str:
    return line + "\r"


def trailing_space(line: str) -> str:
    return line + " "


def other_hash_case(line: str) -> str:
    return line[:-70] + line[-70:].upper()


ALTERATIONS = [
    spaced,
    twice,
    twice_within,
    escaped,
    reordered,
    carriage_return,
    trailing_space,
    other_hash_case,
]


@pytest.mark.parametrize("lines", [LINES, OLD.read_text(encoding="utf-8").split("\n")[:4]], ids=["new", "old"])
@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_line_that_was_altered_in_any_byte_shows(lines: list[str], alter: Callable[[str], str], number: int) -> None:
    altered = [alter(line) if at == number else line for at, line in enumerate(lines)]
    assert altered != lines
    assert number + 1 in [each.line for each in verify(altered)]


def unreadable(line: str) -> str:
    return line[:-10]


def other_account(line: str) -> str:
    return line.replace("1900000001", "1900000002")


def other_place(line: str) -> str:
    return line.replace('"seq":', '"seq":1')


def other_hash(line: str) -> str:
    return line[:-10] + line[-10:].translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))


@pytest.mark.parametrize("alter", [*ALTERATIONS, unreadable, other_account, other_place, other_hash])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_no_line_is_named_for_what_was_done_to_another(alter: Callable[[str], str], number: int) -> None:
    altered = [alter(line) if at == number else line for at, line in enumerate(LINES)]
    assert altered != LINES
    mixed = [OTHERS[0], *altered, OTHERS[1]]
    assert [each.line for each in verify(mixed)] == [number + 2]


def test_an_altered_line_does_not_hide_that_another_is_gone() -> None:
    six, _ = chain("1900000001", 6)
    altered = [six[0], six[1], unreadable(six[3]), *six[4:]]
    assert [each.line for each in verify(altered)] == [3, 4]
    altered = [six[0], six[1], spaced(six[3]), *six[4:]]
    assert [each.line for each in verify(altered)] == [3, 4]


@given(st.data())
def test_whatever_is_changed_shows(data: st.DataObject) -> None:
    text = "\n".join(LINES)
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda each: each != text[at]))
    assert list(verify((text[:at] + character + text[at + 1 :]).split("\n"), heads=[HEAD]))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, "9" * 5_000, '"\\ud800"', '{"seq":true}'])
def test_a_hostile_line_is_no_entry(line: str) -> None:
    (found,) = verify([line])
    assert "not an entry of a journal" in found.reason


@pytest.mark.parametrize("seq", ["true", '"1"', "1.0", "null"])
def test_a_number_that_is_none_is_no_number(seq: str) -> None:
    (found, *_) = verify([LINES[0].replace('"seq":1', f'"seq":{seq}')])
    assert "not an entry of a journal" in found.reason


def test_a_key_that_is_written_twice_is_read_by_nobody() -> None:
    line, _ = sealed(Entry("1900000001", NAMESPACE, 1, NOW, "r1", INTENT))
    with pytest.raises(JournalError, match="a key is written twice"):
        read_entry(twice(line))


def test_half_a_character_from_a_server_is_sealed_and_read_back() -> None:
    entry = Entry("1900000001", NAMESPACE, 1, NOW, "r1", replace(PARTIAL, reason="\ud83d!"))
    line, hash_ = sealed(entry)
    line.encode()
    assert list(verify([audit_line(line, hash_)], heads=[hash_])) == []
    assert read_entry(line) == entry


def test_an_entry_of_a_newer_paygift_counts() -> None:
    line, _ = sealed(Entry("1900000001", NAMESPACE, 1, NOW, "r1", INTENT))
    assert '"entry":"intent"' in line
    newer = line.replace('"entry":"intent"', '"entry":"pondered"')
    assert list(verify([audit_line(newer, sha256(newer.encode()).hexdigest())])) == []


def test_what_stands_in_a_damaged_journal_is_exported_as_it_stands() -> None:
    line, hash_ = sealed(Entry("1900000001", NAMESPACE, 1, NOW, "r1", INTENT))
    for damaged in (line[:-1] + "]", line[:-1], line + "}", " " + line, line.replace(",", ", ", 1), ""):
        assert list(verify([audit_line(damaged, hash_)])), damaged
    assert list(verify([audit_line(line, hash_)])) == []


def test_old_audit_files_verify_and_show_alterations() -> None:
    lines = lines_of(OLD)
    heads = [json.loads(lines[3])["hash"], json.loads(lines[5])["hash"]]
    assert list(verify(lines, heads=heads)) == []
    assert [each.line for each in verify([lines[0].replace("alice", "mallory"), *lines[1:]])] == [1]


def test_what_breaks_lines_elsewhere_breaks_none_here(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8", newline="")
    assert any(odd in file.read_text(encoding="utf-8") for odd in "\u2028\x85")
    assert lines_of(file) == LINES
    file.write_text("\n".join(LINES), encoding="utf-8", newline="")  # without the last line feed
    assert lines_of(file) == LINES
    file.write_text("", encoding="utf-8")
    assert lines_of(file) == []
    file.write_text("\n", encoding="utf-8")
    assert lines_of(file) == [""]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"{}\n\xff")
    with pytest.raises(UsageError, match="it is not UTF-8 from byte 3 on"):
        lines_of(file)


# -- heads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [[*LINES, *OTHERS], [*OTHERS, *LINES]])
def test_each_account_has_a_head(lines: list[str]) -> None:
    for heads in ([HEAD, OTHER_HEAD], [HEAD], [OTHER_HEAD], []):
        assert list(verify(lines, heads=heads)) == []


def interleaved() -> Iterator[str]:
    for own, other in zip(LINES, [*OTHERS, "", ""], strict=True):
        yield own
        if other:
            yield other


def test_accounts_may_take_turns() -> None:
    assert list(verify(interleaved(), heads=[HEAD, OTHER_HEAD])) == []


@pytest.mark.parametrize("lines", [OTHERS, [], [*LINES[:-1], *OTHERS], [*OTHERS, *LINES[:-1]]])
def test_an_end_that_is_missing_shows_by_its_head_and_so_does_a_whole_account(lines: list[str]) -> None:
    (found,) = verify(lines, heads=[HEAD])
    assert found == Break(
        0,
        f"no journal ends in the entry whose hash is {HEAD}: entries are missing at the end of one, or all of one is",
    )


def test_what_was_added_after_a_head_shows_as_that() -> None:
    longer, _ = chain("1900000001", 6)
    assert longer[:4] == LINES
    (found,) = verify([*longer, *OTHERS], heads=[HEAD, OTHER_HEAD])
    assert found.line == 4
    assert "goes on after this entry" in found.reason


def test_the_same_account_in_another_namespace_is_another_chain() -> None:
    line, hash_ = sealed(replace(read_entry(LINES[0]), namespace="another"))
    assert list(verify([*LINES, audit_line(line, hash_)], heads=[HEAD, hash_])) == []


@pytest.mark.parametrize("head", ["", "abc", "0" * 63, "A" * 64])
def test_a_head_that_is_none_does_not_pass_for_none(project: Project, head: str) -> None:
    assert project.run(*APPLY)[0] == 0
    code, _, err = project.run("--sandbox", "history", "verify", "--head", head)
    assert (code, "takes a hash of 64 hex digits" in err) == (1, True)


def test_a_report_tells_the_head_of_its_account(project: Project) -> None:
    report = project.root / "report.json"
    assert project.run(*APPLY, "--report", str(report))[0] == 0
    head = json.loads(report.read_text())["journal_head"]
    file = project.root / "audit.jsonl"
    assert project.run("--sandbox", "history", "export", str(file))[0] == 0
    with file.open("a", encoding="utf-8", newline="") as opened:
        opened.writelines(f"{line}\n" for line in OTHERS)
    verify_ = ("history", "verify", str(file))
    assert project.run(*verify_, "--head", head, "--head", OTHER_HEAD)[:2] == (
        0,
        "8 entries, each as it was written.\n",
    )
    assert project.run(*verify_, "--head", head, "--head", HEAD)[0] == 1
    file.write_text("".join(f"{line}\n" for line in OTHERS), encoding="utf-8", newline="")
    assert project.run(*verify_)[0] == 0
    assert project.run(*verify_, "--head", head)[0] == 1


def test_a_journal_that_was_altered_in_spacing_shows(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    with sqlite3.connect(project.root / ".paygift/sandbox/journal.db") as database:
        database.execute("UPDATE paygift_entries SET record = replace(record, ',', ', ') WHERE seq = 2")
    database.close()
    code, out, _ = project.run("--sandbox", "history", "verify")
    assert (code, out.splitlines()[0]) == (
        1,
        "line 2: entry 2 was altered: its hash does not fit what it says",
    )


# -- read-only places --------------------------------------------------------------------------------------------------


def closed(journal: Path) -> None:
    """Nothing beside the file, as a run leaves it."""


def died(journal: Path) -> None:
    """Its last lines are in the -wal file only."""
    _write_and_die(journal)
    journal.with_name("journal.db-shm").unlink()


def lives(journal: Path) -> None:
    """With all that SQLite has beside a file that is in use."""
    _write_and_die(journal)


def _write_and_die(journal: Path) -> None:
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('DELETE FROM paygift_locks'); c.execute('PRAGMA wal_autocheckpoint=0');"
        "c.execute('CREATE TABLE late(x)'); c.execute('PRAGMA user_version=7'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(journal)], check=True)
    assert journal.with_name("journal.db-wal").stat().st_size


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("left", [closed, died, lives])
@pytest.mark.parametrize("command", [("history",), ("history", "--json"), ("history", "verify"), ("history", "export")])
def test_a_journal_in_a_read_only_folder_is_read(
    project: Project, command: tuple[str, ...], left: Callable[[Path], None]
) -> None:
    assert project.run(*APPLY)[0] == 0
    expected = project.run("--sandbox", *command)[:2]
    assert expected[1].strip()
    folder = project.root / ".paygift/sandbox"
    left(folder / "journal.db")
    before = sorted(each.name for each in folder.iterdir())
    for part in folder.glob("journal.db*"):
        part.chmod(0o444)
    folder.chmod(0o555)
    try:
        found = paygift(project.root, "--sandbox", *command, preexec_fn=without_rights_over_files)
        assert (found.returncode, found.stdout) == expected, found.stderr
        assert sorted(each.name for each in folder.iterdir()) == before
    finally:
        folder.chmod(0o755)


def test_a_journal_file_that_may_only_be_read_is_read(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    (project.root / ".paygift/sandbox/journal.db").chmod(0o444)
    found = paygift(project.root, "--sandbox", "history", "verify", preexec_fn=without_rights_over_files)
    assert found.returncode == 0, found.stderr


def test_a_journal_that_may_not_be_read_is_said_to_be_unreadable(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    (project.root / ".paygift/sandbox/journal.db").chmod(0)
    found = paygift(project.root, "--sandbox", "history", preexec_fn=without_rights_over_files)
    assert (found.returncode, "journal.db cannot be used: unable to open database file" in found.stderr) == (
        1,
        True,
    )


def test_history_brings_no_journal_up_to_date(project: Project) -> None:
    journal = project.root / ".paygift/sandbox/journal.db"
    assert project.run(*APPLY)[0] == 0
    with sqlite3.connect(journal) as database:
        database.execute("DROP TABLE paygift_locks")
        database.execute("UPDATE paygift_schema SET version = 1")
    database.close()
    assert project.run("--sandbox", "history")[0] == 0
    with sqlite3.connect(journal) as database:
        assert database.execute("SELECT version FROM paygift_schema").fetchone() == (1,)
        database.execute("UPDATE paygift_schema SET version = 99")
    database.close()
    code, _, err = project.run("--sandbox", "history")
    assert (code, "has version 99" in err) == (1, True)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be none" * 30])
def test_a_file_that_is_no_journal_is_told_apart(project: Project, content: bytes) -> None:
    assert project.run(*APPLY)[0] == 0
    (project.root / ".paygift/sandbox/journal.db").write_bytes(content)
    code, out, err = project.run("--sandbox", "history")
    assert (code, out, "cannot be used" in err) == (
        (1, "", True) if content else (0, "Nothing in the journal.\n", False)
    )
