"""The journal as second witness: what it knows of an account beside what the account shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from reconciler.journal.chain import audit_line, verify
from reconciler.journal.database import Database
from reconciler.journal.entry import (
    Content,
    Entry,
    Intent,
    LockTakenOver,
    OperationFinished,
    Remembered,
    RunEnded,
    RunStarted,
    read_entry,
    sealed,
)
from reconciler.journal.history import history
from reconciler.journal.journal import Journal
from reconciler.journal.location import JournalLocation
from reconciler.journal.reader import read_witness
from reconciler.journal.witness import remembered, witness_of
from reconciler.live.reader import SECOND_LOOK_SECONDS, LiveRead, read_live
from reconciler.model.activity import LiveActivity
from reconciler.model.errors import ApiError, IncompleteReadError, JournalError
from reconciler.model.report import OutcomeStatus, Rejection
from reconciler.model.witness import NO_WITNESS, Witness
from tests.apply.test_apply import created, spec
from tests.support.project import SPEC, Project
from tests.support.remote import Remote
from tests.support.samples import NAMESPACE, NOW, desired

DONE, FAILED, PARTIAL = OutcomeStatus.DONE, OutcomeStatus.FAILED, OutcomeStatus.PARTIAL
ALREADY, UNKNOWN, NOT_STARTED = OutcomeStatus.ALREADY_DONE, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_STARTED
MCHID = "1900000001"
NUMBER = "liangpin_spring_g1_3f9a1c20b7d4"
HOUR = timedelta(hours=1)


def entries(*whats: Content) -> list[Entry]:
    """One entry each hour, numbered from 1."""
    return [Entry(MCHID, NAMESPACE, seq, NOW + seq * HOUR, "r1", what) for seq, what in enumerate(whats, start=1)]


def told(*whats: Content) -> Witness:
    """What the entries tell, after they were written to lines and read again."""
    return witness_of(read_entry(sealed(entry)[0]) for entry in entries(*whats))


def create_intent(*merchants: str, number: str = NUMBER) -> Intent:
    body = json.dumps({"award_send_rule": {"merchant_id_list": merchants}})
    return Intent("create", "spring", "", number, body)


def change_intent(operation: str, *merchants: str, activity_id: str = "1") -> Intent:
    body = json.dumps({"merchant_id_list": merchants})
    return Intent(operation, "spring", activity_id, f"{activity_id}_x", body)


def outcome(
    operation: str, status: OutcomeStatus, *intents: int, rejected: Iterable[str] = (), **more: Any
) -> OperationFinished:
    rejections = tuple(Rejection(mchid, "no") for mchid in rejected)
    return OperationFinished(
        operation,
        "spring",
        status,
        more.pop("activity_id", "1"),
        NUMBER,
        intents,
        rejections=rejections,
        **more,
    )


MADE = (create_intent("a", "b"), outcome("create", DONE, 1))
"""Activity 1, with the merchants a and b: entries 1 and 2."""


# -- what lives, and what was ended ------------------------------------------------------------------------------------


def test_an_empty_journal_knows_nothing() -> None:
    assert told() == told(RunStarted("d", 1), RunEnded({}), LockTakenOver("x", "y")) == NO_WITNESS


def test_what_was_created_is_known_by_its_number_and_when() -> None:
    witness = told(*MADE)
    assert witness.created == {"1": NUMBER}
    assert witness.last_create == NOW + HOUR
    assert (witness.terminated, witness.merchants) == (frozenset(), {"1": frozenset("ab")})


@pytest.mark.parametrize("status", [PARTIAL, UNKNOWN, FAILED, ALREADY])
def test_an_id_that_was_given_out_may_live_whatever_became_of_the_rest(status: OutcomeStatus) -> None:
    assert told(create_intent("a"), outcome("create", status, 1)).created == {"1": NUMBER}


def test_a_create_that_gave_no_id_is_nothing() -> None:
    assert told(create_intent("a"), outcome("create", FAILED, 1, activity_id="")) == NO_WITNESS
    assert told(create_intent("a"), outcome("create", NOT_STARTED, 1, activity_id="", resumed=True)) == NO_WITNESS
    assert told(create_intent("a")) == NO_WITNESS


def test_what_was_ended_is_no_longer_asked_for() -> None:
    end = (Intent("terminate", "spring", "1", "", ""), outcome("terminate", DONE, 3))
    witness = told(*MADE, *end)
    assert (witness.created, witness.terminated) == ({}, frozenset("1"))
    found_out = replace(end[1], resumed=True, request_no="")
    assert told(*MADE, end[0], found_out).terminated == frozenset("1")


def test_what_had_ended_before_was_not_ended_by_us() -> None:
    witness = told(*MADE, outcome("terminate", ALREADY))
    assert (witness.created, witness.terminated) == ({}, frozenset())


@pytest.mark.parametrize("status", [FAILED, UNKNOWN, NOT_STARTED])
def test_an_end_that_is_not_proven_is_none(status: OutcomeStatus) -> None:
    end = Intent("terminate", "spring", "1", "", "")
    assert told(*MADE, end, outcome("terminate", status, 3)).created == {"1": NUMBER}
    assert told(*MADE, end).created == {"1": NUMBER}


def test_only_a_create_that_made_something_new_proves_that_the_account_creates() -> None:
    again = (create_intent("a"), outcome("create", DONE, 3))
    assert told(*MADE, *again).last_create == NOW + HOUR
    assert told(outcome("create", ALREADY)).last_create is None
    assert told(create_intent("a"), outcome("create", ALREADY, 1)).last_create is None
    assert told(create_intent("a"), outcome("create", FAILED, 1)).last_create is None
    other = (create_intent("c", number="n"), outcome("create", DONE, 3, activity_id="2"))
    assert told(*MADE, *other).last_create == NOW + 3 * HOUR


def test_a_create_that_was_found_out_later_was_made_when_it_was_sent() -> None:
    found_out = outcome("create", DONE, 1, resumed=True)
    assert told(create_intent("a"), RunEnded({}), found_out).last_create == NOW + HOUR


# -- the merchants that were left --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ([change_intent("add_merchants", "c"), outcome("add_merchants", DONE, 3)], "abc"),
        ([change_intent("delete_merchants", "a"), outcome("delete_merchants", DONE, 3)], "b"),
        (
            [change_intent("add_merchants", "c", "d"), outcome("add_merchants", PARTIAL, 3, rejected="d")],
            "abc",
        ),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", FAILED, 3, rejected="c")], "ab"),
        (
            [
                change_intent("delete_merchants", "a", "b"),
                outcome("delete_merchants", PARTIAL, 3, rejected="b"),
            ],
            "b",
        ),
        # Nothing was sent: it was stale, or not begun.
        ([outcome("add_merchants", FAILED)], "ab"),
        ([outcome("add_merchants", NOT_STARTED)], "ab"),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", NOT_STARTED, 3, resumed=True)], "ab"),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", DONE, 3, resumed=True)], "abc"),
        # Nobody knows: sent without an outcome, or with a doubtful one; or somebody else did it.
        ([change_intent("add_merchants", "c")], None),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", UNKNOWN, 3)], None),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", FAILED, 3)], None),
        ([change_intent("add_merchants", "c"), outcome("add_merchants", PARTIAL, 3, resumed=True)], None),
        ([outcome("add_merchants", ALREADY)], None),
        ([outcome("delete_merchants", ALREADY)], None),
        ([Intent("add_merchants", "spring", "1", "x", "no JSON"), outcome("add_merchants", DONE, 3)], None),
        # The same number again: those are there, and nothing was taken away.
        ([create_intent("a", "c"), outcome("create", DONE, 3)], "abc"),
        ([create_intent("a"), outcome("create", UNKNOWN, 3)], None),
    ],
)
def test_what_was_left_is_what_was_verified(more: Sequence[Content], left: str | None) -> None:
    assert told(*MADE, *more).merchants.get("1") == (None if left is None else frozenset(left))


def test_a_create_may_need_several_requests() -> None:
    align = [change_intent("add_merchants", "c"), change_intent("delete_merchants", "x")]
    witness = told(create_intent("a", "c"), *align, outcome("create", DONE, 1, 2, 3))
    assert witness.merchants == {"1": frozenset("ac")}


@pytest.mark.parametrize("rejected", ["", "a"])
def test_an_activity_that_was_there_before_has_nobody_knows_whom(rejected: str) -> None:
    assert told(create_intent("a"), outcome("create", ALREADY, 1, rejected=rejected)).merchants == {}


def test_what_became_doubtful_stays_so_until_it_is_made_anew() -> None:
    doubtful: list[Content] = [*MADE, outcome("add_merchants", ALREADY)]
    add: list[Content] = [change_intent("add_merchants", "d"), outcome("add_merchants", DONE, 4)]
    assert told(*doubtful, *add).merchants == {}
    other: list[Content] = [create_intent("e", number="n"), outcome("create", DONE, 6, activity_id="2")]
    assert told(*doubtful, *add, *other).merchants == {"2": frozenset("e")}


# -- what must outlast the files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [OutcomeStatus.UNVERIFIED, OutcomeStatus.UNKNOWN])
def test_what_could_not_be_read_back_is_known_once_the_next_run_has_asked(status: OutcomeStatus) -> None:
    unread = (create_intent("a", "b"), outcome("create", status, 1))
    found = replace(outcome("create", DONE, 1), resumed=True)
    assert (told(*unread).created, told(*unread).merchants) == ({"1": NUMBER}, {})
    assert told(*unread, found).merchants == {"1": frozenset("ab")}


@pytest.mark.parametrize("status", [OutcomeStatus.UNVERIFIED, OutcomeStatus.UNKNOWN])
def test_rejections_of_what_could_not_be_read_back_do_not_make_it_known(status: OutcomeStatus) -> None:
    doubted = (change_intent("add_merchants", "c", "d"), outcome("add_merchants", status, 3, rejected="d"))
    assert told(*MADE, *doubted).merchants == {}


def memory(*protected: str, **adopted: str) -> Remembered:
    return Remembered(protected, {activity_id.removeprefix("a"): key for activity_id, key in adopted.items()})


@pytest.mark.parametrize(
    ("before", "specs", "after"),
    [
        (memory(), [desired("spring")], memory()),
        (memory(), [desired("spring", protect=True, adopt="7")], memory("spring", a7="spring")),
        (memory("spring"), [desired("spring")], memory()),
        (memory("spring", a7="spring"), [], memory("spring", a7="spring")),
        (memory("spring", a7="spring"), [desired("summer")], memory("spring", a7="spring")),
        (memory("gone"), [desired("b", protect=True), desired("a", protect=True)], memory("a", "b", "gone")),
        (memory(a7="spring"), [desired("spring")], memory()),
        (memory(a7="spring"), [desired("spring", adopt="8")], memory(a8="spring")),
        (memory(a7="gone"), [desired("spring", adopt="7")], memory(a7="spring")),
        # The activity's number carries the former key, whatever its file is called by now.
        (memory("old"), [desired("new", renamed_from=("old",), protect=True)], memory("new", "old")),
        (memory("old"), [desired("new", renamed_from=("old",))], memory()),
    ],
)
def test_a_spec_decides_while_it_is_there_and_is_remembered_when_it_is_gone(
    before: Remembered, specs: list[Any], after: Remembered
) -> None:
    assert remembered(before, specs) == after
    assert remembered(after, specs) == after


def test_the_last_memory_holds() -> None:
    witness = told(memory("a"), *MADE, memory("b", a7="b"))
    assert (witness.protected, witness.adopted) == (frozenset("b"), {"7": "b"})


def test_a_journal_with_memories_can_be_looked_up_exported_and_verified(database: Database) -> None:
    book = Journal(database, mchid=MCHID, namespace=NAMESPACE, clock=lambda: NOW)
    assert book.memory() == Remembered()
    decoy = Intent("create", "spring", "", NUMBER, json.dumps({"entry": "remembered", "award_send_rule": {}}))
    written = [book.append(what, run="r1", token=None) for what in (*MADE, memory("a"), memory("b", a7="b"), decoy)]
    assert book.memory() == memory("b", a7="b")
    assert book.witness() == replace(told(*MADE, memory("b", a7="b")), last_create=NOW)
    assert list(verify([audit_line(*sealed(entry)) for entry in written])) == []
    assert [row.operation for row in history(written)] == ["create", "create"]


@pytest.fixture
def database(place: JournalLocation) -> Iterator[Database]:
    opened = place.open()
    yield opened
    opened.close()


# -- looking makes nothing ---------------------------------------------------------------------------------------------


def test_looking_makes_no_journal(tmp_path: Path) -> None:
    place = JournalLocation(tmp_path / "sub/journal.db")
    assert read_witness(place, mchid=MCHID, namespace=NAMESPACE) == NO_WITNESS
    assert list(tmp_path.iterdir()) == []


def test_looking_begins_no_journal_in_an_empty_database(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.touch()
    assert read_witness(JournalLocation(file), mchid=MCHID, namespace=NAMESPACE) == NO_WITNESS
    assert inspect(create_engine(f"sqlite:///{file}")).get_table_names() == []


def test_looking_begins_no_journal(place: JournalLocation) -> None:
    for _ in range(2):
        assert read_witness(place, mchid=MCHID, namespace=NAMESPACE) == NO_WITNESS
        assert place.open_to_read() is None


def test_a_journal_that_is_none_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_bytes(b"no database" * 100)
    with pytest.raises(JournalError):
        read_witness(JournalLocation(file), mchid=MCHID, namespace=NAMESPACE)


# -- what the list hides -----------------------------------------------------------------------------------------------


@pytest.fixture
def remote() -> Remote:
    return Remote()


def look(remote: Remote, witness: Witness, *specs: Any, during_pause: Any = None) -> LiveRead:
    """A read with what the journal knows, which never sleeps."""

    async def pause(seconds: float) -> None:
        remote.pauses.append(seconds)
        if during_pause is not None:
            during_pause()

    return remote.call(
        lambda api: read_live(api, namespace=NAMESPACE, desired=specs, now=remote.now, witness=witness, sleep=pause)
    )


def hide(remote: Remote, *ids: str, count: int = 0) -> None:
    remote.world.add_fault({"kind": "row_hidden", "ids": list(ids) or None, "count": count})


def by_id(read: LiveRead) -> dict[str, LiveActivity]:
    return {live.activity_id: live for live in read.activities}


def test_what_lives_and_is_not_listed_makes_the_read_incomplete(remote: Remote) -> None:
    spring, summer = created(remote, spec("spring"), spec("summer", activity_name="别的"))
    hide(remote, spring)
    with pytest.raises(IncompleteReadError) as caught:
        look(remote, Witness(created={spring: "n1", summer: "n2"}), spec("spring"))
    assert (caught.value.found, caught.value.announced) == (1, 2)
    assert f"{spring} (liangpin_spring_g1_" in caught.value.message
    assert summer not in caught.value.message
    assert "merchant platform" in caught.value.remedy
    assert remote.pauses == [SECOND_LOOK_SECONDS]


def test_a_row_that_is_listed_a_moment_later_is_read_whole(remote: Remote) -> None:
    (spring,) = created(remote, spec("spring"))
    hide(remote, count=1)
    read = look(remote, Witness(created={spring: "n"}), spec("spring"))
    assert by_id(read)[spring].merchants == ("1900000001",)


def test_what_ended_is_read_and_nothing_is_waited_for(remote: Remote) -> None:
    (spring,) = created(remote, spec("spring"))
    remote.converge([spec("spring", state="terminated")])
    hide(remote)
    read = look(remote, Witness(created={spring: "n"}))
    assert by_id(read)[spring].activity_status == "TERMINATE_ACT_STATUS"
    assert remote.pauses == []


def test_what_does_not_exist_is_absent(remote: Remote) -> None:
    assert look(remote, Witness(created={"404": "n"})) == LiveRead(())


@pytest.mark.parametrize("status", [400, 403])
def test_what_may_not_be_looked_at_is_no_absence(remote: Remote, status: int) -> None:
    (spring,) = created(remote, spec("spring"))
    hide(remote)
    remote.world.add_fault({"kind": "refused", "route": "detail", "status": status})
    with pytest.raises(IncompleteReadError, match=rf"{spring} \(n\).*HTTP {status}"):
        look(remote, Witness(created={spring: "n"}))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refused", "status": 404, "signed": False},
        {"kind": "refused", "status": 401},
        {"kind": "rate_limited"},
    ],
)
def test_an_answer_that_proves_nothing_is_an_error(remote: Remote, fault: dict[str, Any]) -> None:
    (spring,) = created(remote, spec("spring"))
    hide(remote)
    remote.world.add_fault({"route": "detail", "count": 0, **fault})
    with pytest.raises(ApiError):
        look(remote, Witness(created={spring: "n"}))


def test_an_adopted_activity_that_may_not_be_looked_at_is_told_with_the_reason(remote: Remote) -> None:
    (spring,) = created(remote, spec("spring"))
    remote.world.add_fault({"kind": "refused", "route": "detail", "message": "不是你的"})
    read = look(remote, NO_WITNESS, spec("spring"), desired("other", adopt="77"))
    assert read.unreadable == {"77": "HTTP 403 NO_AUTH: 不是你的"}
    assert list(by_id(read)) == [spring]


# -- from the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def applied(project: Project) -> Project:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    return project


def activity_id(project: Project) -> str:
    with project.sandbox() as sandbox:
        (found,) = sandbox.activities()
        return str(found["activity_id"])


def test_a_hidden_row_whose_spec_was_deleted_does_not_run_on_unseen(applied: Project) -> None:
    hidden = activity_id(applied)
    (applied.root / "activities/spring.yaml").unlink()
    applied.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    assert applied.run("sandbox", "fault", "add", "row_hidden", f"ids={hidden}", "--count", "0")[0] == 0
    for command in (["plan"], ["apply", "--yes"], ["status"], ["drift"], ["show", "summer"]):
        code, _, err = applied.run("--sandbox", *command)
        assert (code, hidden in err) == (1, True), (command, err)
    assert applied.run("sandbox", "fault", "clear")[0] == 0
    code, out, _ = applied.run("--sandbox", "plan", "--json")
    (change,) = json.loads(out)["changes"]
    assert [step["key"] for step in change["operations"]] == ["summer", "spring"]


@pytest.mark.usefixtures("short_pauses_between_reads")
@pytest.mark.parametrize("edited", [False, True])
def test_a_creation_that_the_list_never_shows_is_not_done_again_and_none_runs_beside_it(
    project: Project, edited: bool
) -> None:
    project.run("sandbox", "fault", "add", "row_hidden", "--count", "0")
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    if edited:
        project.edit("spring", "1000", "2000")
    code, _, err = project.run("--sandbox", "apply", "--yes")
    assert (code, activity_id(project) in err) == (1, True)


def test_a_journal_of_another_account_or_namespace_knows_nothing_of_this_one(applied: Project) -> None:
    hidden = activity_id(applied)
    (applied.root / "paygift.yaml").write_text("namespace: another\n")
    applied.run("sandbox", "fault", "add", "row_hidden", f"ids={hidden}", "--count", "0")
    assert applied.run("--sandbox", "plan")[0] == 0


def remembered_by(project: Project) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Every memory in the sandbox's journal, in the order of writing."""
    code, _, _ = project.run("--sandbox", "history", "export", str(project.root / "audit.jsonl"))
    assert code == 0
    whats = [read_entry(line).what for line in (project.root / "audit.jsonl").read_text().splitlines()]
    return [(what.protected, dict(what.adopted)) for what in whats if isinstance(what, Remembered)]


def test_protect_is_remembered_from_the_apply_after_it_was_written(applied: Project) -> None:
    assert remembered_by(applied) == []
    applied.write("spring", f"protect: true\n{SPEC}")
    assert applied.run("--sandbox", "plan", "--detailed-exitcode")[0] == 0
    assert remembered_by(applied) == [], "a plan writes nothing"
    for _ in range(2):
        assert applied.run("--sandbox", "apply", "--yes")[0] == 0
        assert remembered_by(applied) == [(("spring",), {})]
    assert applied.run("--sandbox", "history", "verify", str(applied.root / "audit.jsonl"))[0] == 0
    assert applied.run("--sandbox", "history")[0] == 0
    applied.write("spring")
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    assert remembered_by(applied) == [(("spring",), {}), ((), {})]


def test_adopt_is_remembered_with_its_key(applied: Project) -> None:
    adopted = activity_id(applied)
    applied.write("spring", f'adopt: "{adopted}"\n{SPEC}')
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    assert remembered_by(applied) == [((), {adopted: "spring"})]


def test_an_apply_that_is_refused_remembers_nothing(applied: Project) -> None:
    applied.write("spring", f"protect: true\n{SPEC}")
    applied.write("summer", f'adopt: "404"\n{SPEC.replace("春日回馈", "夏日回馈")}')
    assert applied.run("--sandbox", "apply", "--yes")[0] == 5
    assert remembered_by(applied) == []


def test_a_journal_that_cannot_be_read_is_told(applied: Project) -> None:
    file = applied.root / ".paygift/sandbox/journal.db"
    for part in ("-wal", "-shm"):
        file.with_name(file.name + part).unlink(missing_ok=True)
    file.write_bytes(b"no database" * 1000)
    code, out, err = applied.run("--sandbox", "plan", "--json")
    assert [(each["code"], each["severity"]) for each in json.loads(out)["findings"]] == [
        ("JOURNAL_NOT_READ", "warning")
    ]
    assert code == 0
    for command in (["status"], ["drift"], ["show", "spring"]):
        code, _, err = applied.run("--sandbox", *command)
        assert "Warning: the journal in" in err, command


def test_an_adopted_activity_that_may_not_be_looked_at_stops_its_own_key_only(project: Project) -> None:
    project.write("summer", f'adopt: "77"\n{SPEC.replace("春日回馈", "夏日回馈")}')
    project.run("sandbox", "fault", "add", "refused", "--route", "detail", "--count", "0", "message=不是你的")
    code, out, _ = project.run("--sandbox", "plan", "--json")
    made = json.loads(out)
    assert code == 0
    assert [(each["code"], each["key"], each["severity"]) for each in made["findings"]] == [
        ("ADOPT_NOT_READABLE", "summer", "refusal")
    ]
    assert "不是你的" in made["findings"][0]["text"]
    assert [change["key"] for change in made["changes"]] == ["spring"]
    project.run("sandbox", "fault", "clear")
    project.run("sandbox", "fault", "add", "refused", "--route", "detail")
    assert project.run("--sandbox", "apply", "--yes", "--allow", "ADOPT_NOT_READABLE:summer")[0] == 0


def now_of(project: Project) -> datetime:
    with project.sandbox() as sandbox:
        return sandbox.now()


def test_the_witness_of_a_real_run_is_exact(applied: Project) -> None:
    applied.edit("spring", '["1900000001"]', '["1900000001", "1900000002", "1900000003"]')
    assert applied.run("sandbox", "reject", "1900000003")[0] == 0
    assert applied.run("--sandbox", "apply", "--yes")[0] == 7
    place = JournalLocation(applied.root / ".paygift/sandbox/journal.db")
    with applied.sandbox() as sandbox:
        mchid, (found,) = sandbox.mchid, sandbox.activities()
    witness = read_witness(place, mchid=mchid, namespace="liangpin")
    assert witness.created == {found["activity_id"]: found["out_request_no"]}
    assert witness.merchants == {found["activity_id"]: frozenset(found["merchants"])}
    assert witness.last_create is not None
    assert timedelta() < now_of(applied) - witness.last_create < timedelta(minutes=5)
    applied.edit("spring", "1000", "2000")
    assert applied.run("sandbox", "reject", "1900000003", "--again")[0] == 0
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    with applied.sandbox() as sandbox:
        old, new = sandbox.activities()
    witness = read_witness(place, mchid=mchid, namespace="liangpin")
    assert (set(witness.created), witness.terminated) == (
        {new["activity_id"]},
        frozenset([old["activity_id"]]),
    )
    assert witness.merchants[new["activity_id"]] == frozenset(new["merchants"])
