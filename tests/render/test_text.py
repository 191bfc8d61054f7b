"""What reviewers read, word for word, and what text from elsewhere may not do to it.

The golden files are the text for one plan and one report that hold everything there is. To change them on purpose:
``PAYGIFT_UPDATE_GOLDEN=1 pytest tests/render/test_text.py``, and read the difference.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import Award, DayWindow, Image, Window
from reconciler.model.characters import safe
from reconciler.model.findings import Finding, Severity
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.model.report import Outcome, OutcomeStatus, Rejection, Report
from reconciler.plan import make_plan, plan_digest, undos_of, ways_back
from reconciler.render import messages as wording
from reconciler.render.json_ import plan_json, report_json, show_json
from reconciler.render.text import listing_text, plan_text, report_text, table
from reconciler.render.values import sample, span, value, yuan
from reconciler.render.views.finding import finding_text
from reconciler.render.views.plan import plan_view
from reconciler.render.views.report import report_view
from reconciler.render.views.show import show_view
from reconciler.render.views.status import status_rows, status_view
from tests.support.samples import (
    LOCAL,
    NAMESPACE,
    NOW,
    ONGOING,
    PAUSED,
    PICTURE,
    TERMINATED,
    desired,
    live,
    mchids,
    terms,
)

GOLDEN = Path(__file__).parents[1] / "golden"
RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}


def everything() -> Plan:
    """A plan with every kind of change, operation, finding severity and clock."""
    package = (Award("1", PICTURE, PICTURE), Award("2", PICTURE, PICTURE), Award("3", LOCAL, PICTURE))
    window = Window(terms().begin_time, terms().begin_time + timedelta(days=2))
    wanted = [
        desired(
            "create",
            merchants=mchids(1200),
            available_time=(window,),
            available_day_time=(DayWindow("110000", "135959"),),
            award_list=package,
            send_content="GIFT_PACKAGE",
        ),
        desired("begun", **RUNNING),
        desired("ended", end_time=NOW - timedelta(days=1), begin_time=NOW - timedelta(days=9)),
        desired("merchants", merchants=mchids(5, start=1600000003)),
        desired("paused", merchants=mchids(2)),
        desired("replaced", transaction_amount_minimum=200, goods_tags=("tea",)),
        desired(
            "gap",
            merchants=mchids(3, start=1600000002),
            replace="terminate_first",
            begin_time=NOW + timedelta(minutes=30),
        ),
        desired("protected", protect=True, state="terminated"),
        desired("used"),
    ]
    lives = [
        live(desired("merchants", merchants=mchids(4)), "1"),
        live(desired("paused"), "2", status=PAUSED),
        live(desired("replaced", goods_tags=("nuts",)), "3"),
        live(desired("gap", merchants=mchids(3), **RUNNING), "4", status=ONGOING),
        live(desired("protected"), "5"),
        live(desired("used"), "6", status=TERMINATED),
        live(desired("gone", activity_name="离场", merchants=mchids(2, start=1700000001)), "7"),
        live(activity_id="8"),
    ]
    return make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(allow=frozenset({"NUMBER_USED"})))


def everything_happened() -> Report:
    """A report with every status, rejected merchants, and reasons of several kinds."""
    plan = replace(everything(), findings=())
    statuses = [*OutcomeStatus, *OutcomeStatus]
    outcomes = [
        Outcome(
            operation,
            status,
            activity_id="20406354",
            reason="它说：不行" if status is OutcomeStatus.FAILED else "",
            request_id="08F5-269",
            rejections=(Rejection("1600000009", "商户与活动创建方不具备父子关系"),)
            if status is OutcomeStatus.PARTIAL
            else (),
            http_status=200,
            tries=3 if status is OutcomeStatus.PARTIAL else 1,
            started_at=None if status is OutcomeStatus.NOT_STARTED else NOW,
            finished_at=None if status is OutcomeStatus.NOT_STARTED else NOW + timedelta(seconds=1.25),
        )
        for operation, status in zip(plan.operations, statuses, strict=False)
    ]
    return Report(
        plan,
        tuple(outcomes),
        NOW,
        NOW + timedelta(seconds=9),
        interrupted=True,
        run="6949f3a3",
        journal_head="3f9a1c20b7d4" * 5 + "3f9a",
        remarks=("磁盘满了。",),
    )


def compare(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("PAYGIFT_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_a_plan_reads_as_it_always_did() -> None:
    plan = everything()
    compare("plan.txt", plan_text(plan_view(plan), digest=plan_digest(plan), notes=True))


def test_what_would_take_changes_back_is_said_when_it_is_asked_for() -> None:
    view = plan_view(everything())
    plain, told = (plan_text(view, digest="d", undo=undo).splitlines() for undo in (False, True))
    assert [line.strip() for line in told if line not in plain] == [
        wording.UNDO[code] for change in everything().changes for code in undos_of(change.operations)
    ]
    assert [line for line in told if line in plain] == plain


def test_a_report_reads_as_it_always_did() -> None:
    compare("report.txt", report_text(report_view(everything_happened())))


def test_a_report_says_once_of_what_happened_how_to_take_it_back() -> None:
    report = everything_happened()
    said = [line.text for line in report_view(report).undo]
    assert said == [wording.UNDO[code] for code in ways_back(report.outcomes)]
    assert len(said) == len(set(said)) > 1
    untouched = replace(
        report,
        outcomes=tuple(replace(each, status=OutcomeStatus.FAILED, rejections=()) for each in report.outcomes),
    )
    assert report_view(untouched).undo == ()


def test_a_plan_as_json_is_as_it_always_was() -> None:
    compare("plan.json", json.dumps(plan_json(everything()), ensure_ascii=False, indent=1) + "\n")


def test_a_report_as_json_names_every_operation_and_its_outcome() -> None:
    report = everything_happened()
    data = report_json(report)
    outcomes: Any = data["outcomes"]
    assert data["complete"] is False
    assert [each["status"] for each in outcomes] == [each.status.value for each in report.outcomes]
    assert json.loads(json.dumps(data, ensure_ascii=False)) == data


def test_colour_adds_nothing_but_colour() -> None:
    plan = everything()
    plain = plan_text(plan_view(plan), digest="d", notes=True)
    coloured = plan_text(plan_view(plan), digest="d", notes=True, colour=True)
    assert coloured != plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    report = report_view(everything_happened())
    assert re.sub(r"\x1b\[\d+m", "", report_text(report, colour=True)) == report_text(report)


def test_refusals_come_first_and_the_summary_last() -> None:
    text = plan_text(plan_view(everything()), digest="d")
    assert text.startswith("refusal PROTECTED protected")
    assert text.splitlines()[-1].startswith("Apply would stop at 2 refusals. Plan: 2 to create")
    assert text.index("refusal") < text.index("warning") < text.index("+ begun")


def test_an_empty_plan_is_one_line() -> None:
    empty = Plan(NAMESPACE, NOW, managed=1200, unchanged=1200, unmanaged=3)
    assert plan_text(plan_view(empty), digest="d") == "No changes. 1,200 unchanged, 3 unmanaged.\n"


def test_nothing_applied_is_said() -> None:
    report = Report(Plan(NAMESPACE, NOW), (), NOW, NOW)
    assert report_text(report_view(report)) == "Nothing to apply.\n"


@pytest.mark.parametrize("code", wording.FINDINGS)
def test_every_finding_makes_a_sentence_from_its_facts(code: str) -> None:
    facts = {
        "activity_id": "1",
        "answer": "HTTP 403 NO_AUTH: 商户未被授权",
        "activity_ids": ["1", "2"],
        "activity_status": "S",
        "activity_type": "T",
        "begin_time": NOW,
        "fate": "ends once the new one is seen",
        "fields": ["activity_base_info.end_time"],
        "namespace": "another",
        "of": 10,
        "owner": "summer",
        "reasons": "coupon 1 could not be read",
        "windows": ["180000–200000"],
        "doubts": "coupon 1 ends at the same second as the activity",
        "end_time": NOW,
        "kept_id": "2",
        "live": ["https://live"],
        "uploaded": ["https://uploaded"],
        "why": "activity 2 is STOP_ACT_STATUS",
        "former": "old",
        "generation": 1,
        "managed": 3,
        "mchid": "1900000001",
        "next_generation": 2,
        "unknown": "coupon 1 could not be read: HTTP 403 NO_AUTH: 商户未被授权",
        "waiver": "PROTECTED:spring",
        "allowed": 1,
        "before": 10,
        "count": 7,
        "keys": ["spring"],
        "percent": 30,
        "problem": "the journal in x cannot be used: it is a folder.",
        "problems": "coupon 1 is STOPED",
        "reason": "双十一",
    }
    text = finding_text(Finding(code, Severity.NOTE, "spring", facts))
    assert "{" not in text
    assert text.endswith(".")


def test_a_change_of_an_adopted_activity_says_which_one_it_takes_over() -> None:
    """Its number is not ours, and nothing else in the plan tells that the activity was made elsewhere."""
    spec = desired("spring", adopt="20406366", merchants=("1900000001", "1900000002"))
    there = replace(live(spec, "20406366", out_request_no="by hand"), merchants=("1900000001",))
    for number, headline in (
        ("by hand", "merchants 1 → 2 of the adopted activity 20406366"),
        (live(spec, "20406366").out_request_no, "merchants 1 → 2"),
    ):
        made = make_plan([spec], [replace(there, out_request_no=number)], namespace=NAMESPACE, now=NOW)
        assert [block.headline for block in plan_view(made).blocks] == [headline]


# -- text from elsewhere -----------------------------------------------------------------------------------------------


@given(st.text())
def test_nothing_that_moves_or_hides_gets_through(text: str) -> None:
    assert not any(unicodedata.category(character) in ("Cc", "Cf") for character in safe(text))


def test_what_is_harmless_stays_as_it_is() -> None:
    assert safe("良品铺子 ¥1.00 – “ok”") == "良品铺子 ¥1.00 – “ok”"
    assert safe("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"


EVIL = "\x1b[2J\x07\u202e"


def test_no_name_from_the_remote_reaches_a_terminal_unescaped() -> None:
    evil = live(desired("gone", activity_name=EVIL), EVIL, status=EVIL, out_request_no="x")
    adopting = desired("spring", adopt=EVIL, activity_name="other", generation=2)
    plan = make_plan([adopting], [replace(evil, merchants=(EVIL,))], namespace=NAMESPACE, now=NOW)
    report = Report(
        plan,
        (Outcome(plan.operations[-1], OutcomeStatus.FAILED, EVIL, EVIL, EVIL, (Rejection(EVIL, EVIL),)),),
        NOW,
        NOW,
    )
    rows = status_rows([("gone", evil), (None, evil)], [], plan, everything=True)
    shown = [
        plan_text(plan_view(plan), digest="d", notes=True),
        report_text(report_view(report)),
        listing_text(status_view(rows, plan)),
        listing_text(show_view(adopting, [evil], {EVIL: [EVIL]}, now=NOW)),
    ]
    for text in shown:
        assert not set(EVIL) & set(text) - set("[2J")


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fen", "shown"), [(1, "¥0.01"), (100, "¥1.00"), (123_456_789, "¥1,234,567.89")])
def test_money_is_shown_in_yuan(fen: int, shown: str) -> None:
    assert yuan(fen) == shown
    assert value("award_send_rule.transaction_amount_minimum", fen) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (8, "8 s"),
        (60, "1 min"),
        (11_520, "3 h 12 min"),
        (86_400 * 5 + 3600 * 14 + 60, "5 d 14 h"),
        (0, "0 s"),
    ],
)
def test_spans_are_shown_in_their_two_largest_units(seconds: int, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, "(none)"),
        ("", "(none)"),
        ((), "(none)"),
        (NOW, "2026-11-25 10:00:00"),
        (NOW + timedelta(milliseconds=5), "2026-11-25 10:00:00.005"),
        (LOCAL, "images/logo.png"),
        (Image(url="https://a/b"), "https://a/b"),
        (DayWindow("110000", "135959"), "11:00:00–13:59:59"),
        (("a", "b"), "a, b"),
        (7, "7"),
        (Window(NOW, NOW), "2026-11-25 10:00:00 – 2026-11-25 10:00:00"),
        (Award("1", LOCAL, PICTURE), "1 (images/logo.png)"),
        (Award("1", PICTURE), "1"),
        ({"shiny": "1", "other": None}, "shiny 1"),
    ],
)
def test_values_are_shown_in_human_units(content: object, shown: str) -> None:
    assert value("x", content) == shown


def test_a_long_list_is_shown_by_its_first_few() -> None:
    assert sample(("a", "b", "c")) == "a, b, c"
    assert sample(("a", "b", "c", "d")) == "a, b, c and 1 more"
    assert sample(("a", "b", "c"), total=1200) == "a, b, c and 1,197 more"


def test_columns_stand_in_line_under_chinese_names() -> None:
    text = table(("NAME", "ID"), [("良品铺子", "1"), ("tea", "22")])
    assert text == "NAME      ID\n良品铺子  1\ntea       22"


# -- show ------------------------------------------------------------------------------------------------------------


def test_show_says_when_terms_cannot_be_read() -> None:
    text = listing_text(show_view(None, [live(activity_id="8", terms=None)], {}, now=NOW))
    assert "its terms cannot be read; see --json" in text
    assert show_json(None, [], {})["desired"] is None
