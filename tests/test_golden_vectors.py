"""The formats that outlive a version: what is on an account, in a repository or in an archive must be read and written
as before, to the byte.

A digest that changes makes every live activity look edited. A plan that was reviewed must be the plan that is applied,
a journal must continue the one of last year, and programs of others read reports. So there is nothing here that writes
the expected values anew: whoever changes one does it by hand and on purpose, and says in CHANGELOG.md what becomes of
files of before. All inputs are written out below; no clock and no randomness takes part.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from reconciler.journal.chain import verify
from reconciler.journal.entry import Intent, LockTakenOver, OperationFinished, Remembered, RunEnded, RunStarted
from reconciler.journal.journal import Journal
from reconciler.journal.location import JournalLocation
from reconciler.journal.reader import all_entries, audit_lines
from reconciler.model.activity import Award, DayWindow, DesiredActivity, Image, LiveActivity, Source, Terms, Window
from reconciler.model.identity import (
    add_request_no,
    delete_request_no,
    merchants_digest,
    number_of,
    terms_digest,
    terms_sha256,
)
from reconciler.model.operations import Operation
from reconciler.model.plan import Plan
from reconciler.model.policy import Freeze, Policy
from reconciler.model.report import Outcome, OutcomeStatus, Rejection, Report
from reconciler.plan import make_plan, plan_digest
from reconciler.plan.plan_file import read_plan
from reconciler.render.json_ import dumps, plan_json, report_json

VECTORS = Path(__file__).parent / "golden/vectors"

NAMESPACE = "liangpin"
MCHID = "1900000001"
NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
RUN = "6949f3a3"
HEAD = "4b7b6e60d82a160cabfdce3141a03fec587f13a184eff777406d617e89bf2dcb"
"""The hash of the last entry of this account, and so of all before it."""
OTHER_HEAD = "e9dc031d412862d04e783c0d7d95bf99f652833f0125a00a75e5f60c73687dab"
OTHER_ACCOUNT = "1900000009"
LOGO = Image(url="https://wxpaylogo.qpic.cn/wxpaylogo/logo/0")
LOCAL = Image(sha256="ab" * 32, path="images/gift.png")

PLAIN = Terms(
    activity_name="良品铺子回馈活动",
    activity_second_title="海飞丝的券",
    merchant_logo_url=LOGO,
    background_color="Color020",
    begin_time=datetime(2026, 11, 30, 16, tzinfo=UTC),
    end_time=datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC),
    available_time=(),
    available_day_time=(),
    delivery_purpose="OFF_LINE_PAY",
    mini_programs_appid="",
    mini_programs_path="",
    transaction_amount_minimum=100,
    send_content="SINGLE_COUPON",
    award_type="BUSIFAVOR",
    award_list=(Award("98065001", LOGO),),
    merchant_option="MANUAL_INPUT_MERCHANT",
    delivery_user_category="DELIVERY_ALL_PERSON",
    merchant_member_appid="",
    goods_tags=(),
)
FULL = replace(
    PLAIN,
    merchant_logo_url=LOCAL,
    available_time=(
        Window(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 3, tzinfo=UTC)),
        Window(datetime(2026, 12, 24, tzinfo=UTC), datetime(2026, 12, 26, 23, 59, 59, tzinfo=UTC)),
    ),
    available_day_time=(DayWindow("110000", "135959"), DayWindow("180000", "200000")),
    delivery_purpose="JUMP_MINI_APP",
    mini_programs_appid="wx23232232323",
    mini_programs_path="/pages/index/index",
    transaction_amount_minimum=1_000_000_000,
    send_content="GIFT_PACKAGE",
    award_list=(
        Award("98065001", LOGO, LOCAL),
        Award("98065002", LOCAL, LOGO),
        Award("98065003", LOGO, LOGO),
    ),
    delivery_user_category="DELIVERY_MEMBER_PERSON",
    merchant_member_appid="wx99",
    goods_tags=("gift", "tea"),
)
BEIJING = timezone(timedelta(hours=8))


def spec(key: str, merchants: tuple[str, ...] = (MCHID,), terms: Terms = PLAIN, **own: Any) -> DesiredActivity:
    return replace(DesiredActivity(key, terms, merchants, Source(f"specs/{key}.yaml", 1)), **own)


def live(activity_id: str, of: DesiredActivity, status: str = "CREATE_ACT_STATUS") -> LiveActivity:
    return LiveActivity(
        activity_id,
        str(number_of(NAMESPACE, of)),
        status,
        of.terms,
        of.merchants,
        create_time=datetime(2026, 11, 20, tzinfo=UTC),
    )


# -- digests and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "digest"),
    [
        (PLAIN, "2d7c6470bc9820b8fca8c284b2390b9fdce76e7152b7a2923828c2529f599649"),
        (FULL, "e76dc6acac59cf8e6e602b74227c9c0fc02d6868ffa1bc0c085b8a968eff862b"),
        (
            replace(PLAIN, background_color=None),
            "a7e7a2bbe867b9375d9b61ea372e9dfd08f789e39c9024cb0724c58147e906ed",
        ),
        (
            replace(PLAIN, goods_tags=("tea",)),
            "753ebcc06959e4df55973e3f8c4e7c0184b239122e63cef03493db2c5d140c39",
        ),
        (
            replace(PLAIN, begin_time=PLAIN.begin_time.astimezone(BEIJING)),
            "2d7c6470bc9820b8fca8c284b2390b9fdce76e7152b7a2923828c2529f599649",
        ),
        (
            replace(PLAIN, end_time=PLAIN.end_time.replace(microsecond=500_000)),
            "cb6afe9f4d2b26b3dd49c21b1a4430414d810eeafd3351df5446b78b6078fc4f",
        ),
        (
            replace(PLAIN, activity_name='“\\"/\u2028🎁', transaction_amount_minimum=1),
            "f8106680da15dc9279f0803e15b04377f8e8a3c768b2736cfcc2ee0e23aee05d",
        ),
        (
            replace(PLAIN, merchant_logo_url=replace(LOCAL, path="elsewhere/gift.png")),
            "c4190593034169e450d73cda0d516ba61dd68545135abea034c00d2d429df538",
        ),
    ],
    ids=["plain", "full", "no colour", "tag", "other zone", "milliseconds", "characters", "local image"],
)
def test_terms_have_the_digest_they_always_had(terms: Terms, digest: str) -> None:
    assert terms_sha256(terms) == digest
    assert terms_digest(terms) == digest[:12]


@pytest.mark.parametrize(
    ("desired", "number"),
    [
        (spec("spring"), "liangpin_spring_g1_2d7c6470bc98"),
        (spec("spring", ("1", "2")), "liangpin_spring_g1_2d7c6470bc98"),
        (spec("spring", generation=12), "liangpin_spring_g12_2d7c6470bc98"),
        (spec("spring", protect=True), "liangpin_spring_p1_2d7c6470bc98"),
        (spec("autumn-2026", terms=FULL), "liangpin_autumn-2026_g1_e76dc6acac59"),
    ],
    ids=["plain", "other merchants", "generation", "protected", "full"],
)
def test_a_spec_has_the_request_number_it_always_had(desired: DesiredActivity, number: str) -> None:
    assert str(number_of(NAMESPACE, desired)) == number


def test_merchants_and_their_changes_have_the_digests_they_always_had() -> None:
    assert merchants_digest(("2", "1", "2")) == "cc3f2a1ffd63c4db19e0114b93a94b774e4a2d07a2a5ec5b193303ac1387d633"
    assert add_request_no("20406354", ("2", "1"), ("3",), NOW) == "20406354_a_926b3bf33edd"
    assert delete_request_no("20406354", ("2", "1"), ("3",), NOW) == "20406354_d_926b3bf33edd"


# -- plans -------------------------------------------------------------------------------------------------------------


def planned(merchants: tuple[str, ...] = ("1600000001", "1600000002")) -> Plan:
    """Every kind of operation, a finding of each severity that plans have, one of them waived and one open."""
    grown, guarded = spec("grown", ("1", "3")), spec("guarded", protect=True)
    cheaper = replace(PLAIN, begin_time=NOW - timedelta(days=3))
    spring_festival = Window(datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 2, 7, tzinfo=UTC))
    return make_plan(
        [
            spec("created", merchants, FULL),
            grown,
            replace(guarded, state="terminated"),
            spec("over", terms=replace(cheaper, end_time=NOW - timedelta(days=1))),
            spec("replaced", terms=replace(PLAIN, transaction_amount_minimum=200)),
            spec("used"),
        ],
        [
            live("10028001", replace(grown, merchants=("1", "2"))),
            live("10028002", spec("gone", ("4",))),
            live("10028003", guarded),
            live("10028004", spec("replaced", terms=cheaper), "ONGOING_ACT_STATUS"),
            live("10028005", spec("used"), "TERMINATE_ACT_STATUS"),
        ],
        namespace=NAMESPACE,
        mchid=MCHID,
        now=NOW,
        policy=Policy(
            max_terminations=2,
            freeze=(Freeze(spring_festival, "春节"),),
            allow=frozenset({"NUMBER_USED:used"}),
        ),
    )


def test_a_plan_has_the_digest_it_always_had() -> None:
    assert plan_digest(planned()) == "3cf52220de53e126ce85ff10294cf22f2a67b2cb95599d9762b577fc02741656"


def test_a_plan_of_more_merchants_than_one_call_takes_has_the_digest_it_always_had() -> None:
    assert (
        plan_digest(planned(tuple(str(1600000001 + number) for number in range(501))))
        == "97a3d04e16976d9b148c89e09b22b16839516c3d0cf0b0f79cd66dea1db0c2a7"
    )


def test_a_plan_file_is_written_as_it_always_was() -> None:
    assert dumps(plan_json(planned())) == (VECTORS / "plan.json").read_text(encoding="utf-8")


def test_a_plan_file_is_read_as_it_always_was() -> None:
    """The facts of its findings are of the moment when it was made: they are told again as they stand there."""
    text = (VECTORS / "plan.json").read_text(encoding="utf-8")
    found, made = read_plan(json.loads(text)), planned()
    assert replace(found, findings=()) == replace(made, findings=())
    assert dumps(plan_json(found)) == text


# -- reports -----------------------------------------------------------------------------------------------------------


def taken(operation: Operation, status: OutcomeStatus, activity_id: str, **own: Any) -> Outcome:
    """An outcome that took a second and a quarter."""
    moments: dict[str, Any] = {"started_at": NOW, "finished_at": NOW + timedelta(seconds=1, milliseconds=250)}
    return Outcome(operation, status, activity_id, **moments, **own)


def reported() -> Report:
    """Every status, a rejected merchant, a failure in the server's words, and what a refusal held."""
    plan = planned()
    upload, create, add, delete, successor, end, gone, guarded = plan.operations
    answer: dict[str, Any] = {"request_id": "08F5-269", "http_status": 200, "tries": 1}
    rejected = Rejection("1600000002", "商户与活动创建方不具备父子关系")
    words: dict[str, Any] = {"reason": "它说：“不行”", "request_id": "08F5-270", "http_status": 403}
    outcomes = (
        Outcome(upload, OutcomeStatus.ALREADY_DONE),
        taken(create, OutcomeStatus.PARTIAL, "20406354", rejections=(rejected,), **answer),
        taken(add, OutcomeStatus.DONE, "10028001", by_reading=True, tries=3),
        taken(delete, OutcomeStatus.FAILED, "10028001", **words),
        taken(successor, OutcomeStatus.UNVERIFIED, "20406355", **answer),
        Outcome(end, OutcomeStatus.NOT_STARTED, "10028004"),
        taken(gone, OutcomeStatus.UNKNOWN, "10028002", tries=2),
        Outcome(guarded, OutcomeStatus.NOT_STARTED, "10028003", held_by=("PROTECTED:guarded",)),
    )
    return Report(
        plan,
        outcomes,
        NOW,
        NOW + timedelta(seconds=9),
        interrupted=True,
        run=RUN,
        journal_head=HEAD,
        remarks=("磁盘满了。",),
        held=plan.refusals,
    )


def test_a_report_is_written_as_it_always_was() -> None:
    assert {outcome.status for outcome in reported().outcomes} == {*OutcomeStatus}
    assert dumps(report_json(reported())) == (VECTORS / "report.json").read_text(encoding="utf-8")


# -- the journal -------------------------------------------------------------------------------------------------------

NUMBER = "liangpin_spring_g1_e4189abb75a5"

WRITTEN = (
    RunStarted(
        "0f" * 32,
        3,
        "alice",
        "build-7",
        4711,
        "c0ffee",
        "https://ci.example/jobs/1",
        "0.1.0",
        {"10028002": "spring"},
        "1e" * 32,
    ),
    Remembered(("guarded",), {"10028001": "grown"}),
    Intent("upload_image", "", "", "", '{"filename":"gift.png","sha256":"abab"}'),
    Intent("create", "spring", "", NUMBER, '{"activity_name":"良品 \\"\u2028🎁"}'),
    OperationFinished(
        "create",
        "spring",
        OutcomeStatus.PARTIAL,
        "20406354",
        NUMBER,
        (4,),
        "它说：“不行”",
        200,
        "08F5-269",
        2,
        0.3,
        (Rejection("1600000002", "商户与活动创建方不具备父子关系"),),
    ),
    LockTakenOver("bob on build-8, process 1", "its process had ended", "alice"),
    OperationFinished("upload_image", "", OutcomeStatus.DONE, path="images/gift.png", intents=(3,), resumed=True),
    Intent("terminate", "gone", "10028002", "", "{}"),
    RunEnded({"done": 1, "partial": 1, "not started": 1}, interrupted=True, held_by=("PROTECTED:guarded",)),
)
"""Every kind of entry, with every field somewhere. The last intent stays open."""


def moments() -> Iterator[datetime]:
    """A quarter of a second apart, so that lines have whole seconds and milliseconds."""
    for number in range(1000):
        yield NOW + number * timedelta(milliseconds=250)


def write_journals(place: JournalLocation) -> None:
    """The journals of two accounts in one database."""
    clock = moments()
    with closing(place.open()) as database:
        for mchid, entries in ((MCHID, WRITTEN), (OTHER_ACCOUNT, WRITTEN[2:4])):
            journal = Journal(database, mchid=mchid, namespace=NAMESPACE, clock=lambda: next(clock))
            for each in entries:
                journal.append(each, run=RUN, token=None)


def rows(file: Path) -> str:
    """Every table of a journal as SQL, the same whatever SQLite and SQLAlchemy do with spaces."""
    lines = []
    with closing(sqlite3.connect(file)) as database:
        for name, table in database.execute("SELECT name, sql FROM sqlite_master WHERE sql <> '' ORDER BY name"):
            lines.append(f"{' '.join(table.split())};")
            for row in database.execute(f"SELECT * FROM {name}"):
                values = ",".join(database.execute("SELECT quote(?)", (each,)).fetchone()[0] for each in row)
                lines.append(f"INSERT INTO {name} VALUES({values});")
    return "".join(f"{line}\n" for line in lines)


def test_a_journal_is_written_as_it_always_was(tmp_path: Path) -> None:
    place = JournalLocation(tmp_path / "journal.db")
    write_journals(place)
    assert rows(place.file) == (VECTORS / "journal.sql").read_text(encoding="utf-8")


def test_a_journal_of_before_is_read_verified_and_gone_on_with(tmp_path: Path) -> None:
    place = JournalLocation(tmp_path / "journal.db")
    with closing(sqlite3.connect(place.file)) as database:
        database.executescript((VECTORS / "journal.sql").read_text(encoding="utf-8"))
    with closing(place.open()) as opened:
        found = list(all_entries(opened, NAMESPACE))
        assert [each.what for each in found] == [*WRITTEN, *WRITTEN[2:4]]
        assert [each.at for each in found] == list(moments())[: len(found)]
        assert list(verify(audit_lines(opened, NAMESPACE), heads=[HEAD, OTHER_HEAD])) == []
        journal = Journal(opened, mchid=MCHID, namespace=NAMESPACE, clock=lambda: NOW)
        assert [each.seq for each in journal.open_intents()] == [8]
        assert journal.applied() == "c0ffee"
        added = journal.append(WRITTEN[-1], run=RUN, token=None)
        assert (added.seq, added.previous) == (10, HEAD)
        assert list(verify(audit_lines(opened, NAMESPACE), heads=[added.hash, OTHER_HEAD])) == []


def test_an_audit_file_is_written_as_it_always_was(tmp_path: Path) -> None:
    place = JournalLocation(tmp_path / "journal.db")
    write_journals(place)
    with closing(place.open()) as opened:
        text = "".join(f"{line}\n" for line in audit_lines(opened, NAMESPACE))
    assert text.encode() == (VECTORS / "audit.jsonl").read_bytes()


def test_an_audit_file_of_before_is_verified() -> None:
    lines = (VECTORS / "audit.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert list(verify(lines, heads=[HEAD, OTHER_HEAD])) == []
    assert [each.line for each in verify([lines[0].replace("alice", "mallory"), *lines[1:]])] == [1]
