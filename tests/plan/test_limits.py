"""What a plan may not do without asking: the team's limits, and what WeChat Pay would refuse anyway."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.commands.planning import policy_of
from reconciler.model.activity import DesiredActivity, LiveActivity, Window
from reconciler.model.coupon import Coupon
from reconciler.model.errors import ProjectError
from reconciler.model.findings import Severity
from reconciler.model.plan import Plan
from reconciler.model.policy import Freeze, Policy
from reconciler.plan import coupon_findings, make_plan, stocks_named, with_findings
from reconciler.spec import load_project
from tests.support.samples import NAMESPACE, NOW, ONGOING, desired, live, mchids, terms

RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}


def plan(wanted: list[DesiredActivity], lives: list[LiveActivity], **policy: Any) -> Plan:
    return make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy))


def refused(made: Plan) -> list[str]:
    return [f"{each.code}:{each.key}" if each.key else each.code for each in made.refusals]


def named(count: int) -> list[DesiredActivity]:
    return [desired(f"k{index:02}", activity_name=f"活动{index}") for index in range(count)]


@pytest.mark.parametrize(("managed", "removed", "stops"), [(3, 1, False), (3, 2, True), (10, 2, False), (10, 3, True)])
def test_a_fifth_of_what_lives_may_end_in_one_plan_and_always_one(managed: int, removed: int, stops: bool) -> None:
    specs = named(managed)
    lives = [live(each, str(index)) for index, each in enumerate(specs)]
    made = plan(specs[removed:], lives)
    assert refused(made) == (["TOO_MANY_TERMINATIONS"] if stops else [])
    assert len(made.operations) == removed


def test_a_team_sets_its_own_limit() -> None:
    specs = named(3)
    lives = [live(each, str(index)) for index, each in enumerate(specs)]
    assert refused(plan(specs[2:], lives, max_terminations=2)) == []
    assert refused(plan(specs[1:], lives, max_terminations=0)) == ["TOO_MANY_TERMINATIONS"]


def test_what_has_a_successor_does_not_count_as_ended() -> None:
    specs = [replace(each, terms=replace(each.terms, transaction_amount_minimum=7)) for each in named(4)]
    lives = [live(each, str(index)) for index, each in enumerate(named(4))]
    assert refused(plan(specs, lives, max_terminations=0)) == []
    assert refused(plan(specs, [*lives, *(live(each, f"n{each.key}") for each in specs)], max_terminations=0)) == []


@pytest.mark.parametrize(
    ("before", "after", "limit", "stops"),
    [(10, 7, 30, False), (10, 6, 30, True), (9, 1, 30, False), (100, 1, 100, False), (20, 19, 0, True)],
)
def test_a_large_part_of_the_merchants_may_not_go_unseen(before: int, after: int, limit: int, stops: bool) -> None:
    lives = [live(desired(merchants=mchids(before)))]
    made = plan([desired(merchants=mchids(after))], lives, max_merchant_deletions=limit)
    assert refused(made) == (["TOO_MANY_DELETIONS:spring"] if stops else [])


def test_replacing_what_runs_can_be_forbidden() -> None:
    lives = [live(desired(**RUNNING), status=ONGOING)]
    wanted = [desired(transaction_amount_minimum=7, **RUNNING)]
    assert refused(plan(wanted, lives, allow_replace_running=False)) == ["REPLACE_RUNNING:spring"]
    assert refused(plan([desired(transaction_amount_minimum=7)], [live(desired())], allow_replace_running=False)) == []


def test_nothing_is_written_while_it_is_frozen() -> None:
    freeze = (Freeze(Window(NOW - timedelta(hours=1), NOW + timedelta(hours=1)), "双十一"),)
    made = plan([desired()], [], freeze=freeze)
    assert refused(made) == ["FROZEN"]
    assert made.refusals[0].facts["reason"] == "双十一"
    assert refused(plan([desired()], [live(desired())], freeze=freeze)) == []
    over = (Freeze(Window(NOW - timedelta(hours=2), NOW - timedelta(hours=1))),)
    assert refused(plan([desired()], [], freeze=over)) == []


SOON: dict[str, Any] = {**RUNNING, "end_time": NOW + timedelta(days=2)}


@pytest.mark.parametrize(
    ("successor", "warned"),
    [
        (None, True),
        (desired("next", begin_time=NOW + timedelta(days=2, hours=1)), False),
        (desired("next", begin_time=NOW + timedelta(days=5)), True),
        (desired("next", begin_time=NOW, merchants=("1999999999",)), True),
    ],
)
def test_a_campaign_that_ends_with_nothing_after_it_is_named(successor: DesiredActivity | None, warned: bool) -> None:
    wanted = [desired(**SOON), *([successor] if successor else [])]
    made = plan(wanted, [live(desired(**SOON), status=ONGOING)])
    codes = [each.code for each in made.findings if each.severity is Severity.WARNING]
    assert codes == (["ENDS_SOON"] if warned else [])
    assert not plan(wanted, [live(desired(**SOON), status=ONGOING)], warn_before_end=1).findings


# -- paygift.yaml ------------------------------------------------------------------------------------------------------


def project(tmp_path: Path, policy: str) -> Policy:
    (tmp_path / "paygift.yaml").write_text(f"namespace: liangpin\npolicy: {policy}\n", encoding="utf-8")
    (tmp_path / "activities").mkdir(exist_ok=True)
    return policy_of(load_project(tmp_path, now=NOW))


def test_the_policy_is_read_from_the_project_file(tmp_path: Path) -> None:
    found = project(
        tmp_path,
        "{max_terminations: 4, max_merchant_deletions: 50%, allow_replace_running: false, warn_before_end: 0,"
        " freeze: [{begin_time: 2026-11-10T00:00:00, end_time: 2026-11-12T00:00:00, reason: 双十一}]}",
    )
    assert (found.max_terminations, found.max_merchant_deletions, found.warn_before_end) == (4, 50, 0)
    assert found.allow_replace_running is False
    (freeze,) = found.freeze
    assert freeze.window.begin_time.isoformat() == "2026-11-09T16:00:00+00:00"
    assert freeze.reason == "双十一"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{max_terminations: -1}", "not a whole number from 0"),
        ("{max_merchant_deletions: 101%}", "not a percentage"),
        (
            "{freeze: [{begin_time: 2026-11-12T00:00:00, end_time: 2026-11-10T00:00:00}]}",
            "not later than begin_time",
        ),
        (
            "{freeze: [{begin_time: 2026-11-11T00:00:00, end_time: 2026-11-10T15:00:00Z}]}",
            r"end_time: 2026-11-10 23:00:00 is not later than begin_time 2026-11-11 00:00:00",
        ),
        (
            "{freeze: [{begin_time: 2026-11-10T23:00:00-05:00, end_time: 2026-11-11T00:00:00}]}",
            r"end_time: 2026-11-11 00:00:00 is not later than begin_time 2026-11-11 12:00:00",
        ),
        (
            "{freeze: [{begin_time: 2026-11-11T00:00:00, end_time: 2026-11-10T16:00:00Z}]}",
            "not later than begin_time",
        ),
        ("{freeze: [{begin_time: 2026-11-12T00:00:00}]}", "required"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_told_with_its_place(tmp_path: Path, policy: str, said: str) -> None:
    with pytest.raises(ProjectError, match=rf"paygift.yaml:2:\d+: policy\..*{said}"):
        project(tmp_path, policy)


def test_a_freeze_of_mixed_offsets_is_compared_as_instants(tmp_path: Path) -> None:
    found = project(tmp_path, "{freeze: [{begin_time: 2026-11-11T00:00:00, end_time: 2026-11-10T16:00:00.001Z}]}")
    (freeze,) = found.freeze
    assert freeze.window.end_time - freeze.window.begin_time == timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (
            "begin_time: 2026-03-08T02:30:00, end_time: 2026-03-09T00:00:00",
            "begin_time: 2026-03-08 02:30:00 happens never",
        ),
        (
            "begin_time: 2026-10-31T00:00:00, end_time: 2026-11-01T01:30:00",
            "end_time: 2026-11-01 01:30:00 happens twice",
        ),
    ],
)
def test_a_freeze_at_a_change_of_clocks_needs_an_offset(tmp_path: Path, span: str, said: str) -> None:
    (tmp_path / "activities").mkdir()
    policy = f"policy: {{freeze: [{{{span}}}]}}"
    (tmp_path / "paygift.yaml").write_text(f"namespace: a\ntimezone: America/New_York\n{policy}\n")
    with pytest.raises(ProjectError, match=rf"paygift.yaml:3:\d+: policy\.freeze\[0\]\.{said}"):
        load_project(tmp_path, now=NOW)


# -- coupons -----------------------------------------------------------------------------------------------------------

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
GOOD = Coupon(
    stock_id="98065001",
    begin_time=terms().begin_time - DAY,
    end_time=terms().end_time + DAY,
    stock_state="RUNNING",
    coupon_code_mode="WECHATPAY_MODE",
    belong_merchant="1900000001",
    max_coupons=100,
    max_coupons_per_user=1,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"begin_time": terms().begin_time + 4 * DAY},
            "begins 2026-12-05 00:00:00; the activity begins 2026-12-01 00:00:00, 4 d earlier",
        ),
        (
            {"end_time": terms().end_time - 12 * DAY + SECOND},
            "ends 2026-12-20 00:00:00; the activity ends 2026-12-31 23:59:59, 11 d 23 h later",
        ),
        ({"stock_state": "STOPED"}, "STOPED, not RUNNING"),
        ({"coupon_code_mode": "MERCHANT_API"}, "MERCHANT_API"),
        ({"coupon_code_mode": "MERCHANT_UPLOAD", "codes_left": 0}, "no uploaded codes"),
    ],
)
def test_a_coupon_that_wechat_pay_would_refuse_is_found_before_anything_is_written(
    changes: dict[str, Any], said: str
) -> None:
    made = plan([desired()], [])
    assert list(coupon_findings(made, {"98065001": GOOD})) == []
    (finding,) = coupon_findings(made, {"98065001": replace(GOOD, **changes)})
    assert finding.code == "COUPON_UNUSABLE"
    assert said in str(finding.facts["problems"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"begin_time": terms().begin_time}, ["begins at the same second as the activity"]),
        ({"end_time": terms().end_time}, ["ends at the same second as the activity"]),
        ({"begin_time": terms().begin_time - SECOND, "end_time": terms().end_time + SECOND}, []),
    ],
)
def test_a_coupon_that_wechat_pay_may_refuse_is_a_warning(changes: dict[str, Any], said: list[str]) -> None:
    found = list(coupon_findings(plan([desired()], []), {"98065001": replace(GOOD, **changes)}))
    assert {(each.code, each.severity) for each in found} <= {("COUPON_TIME_EQUAL", Severity.WARNING)}
    assert [str(each.facts["doubts"]) for each in found] == [f"coupon 98065001 {words}" for words in said]


def test_a_coupon_that_is_not_there_is_named() -> None:
    (finding,) = coupon_findings(plan([desired()], []), {})
    assert "coupon 98065001 does not exist" in str(finding.facts["problems"])


def test_an_update_asks_for_no_coupons() -> None:
    assert stocks_named(plan([desired(merchants=mchids(2))], [live(desired())])) == []


def test_a_coupon_problem_is_a_refusal_that_can_be_waived() -> None:
    policy = Policy(allow=frozenset({"COUPON_UNUSABLE:spring"}))
    made = make_plan([desired()], [], namespace=NAMESPACE, now=NOW, policy=policy)
    assert with_findings(made, coupon_findings(made, {}), Policy()).refusals
    assert not with_findings(made, coupon_findings(made, {}), policy).refusals
