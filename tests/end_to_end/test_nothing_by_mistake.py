"""The same from the command line: what a team sees when a campaign could end by mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import Window
from reconciler.model.policy import Freeze, Policy
from reconciler.plan import coupon_findings, make_plan, plan_digest, with_findings
from reconciler.plan.staleness import staleness
from tests.support.images import png
from tests.support.project import SPEC, Project
from tests.support.samples import NAMESPACE, NOW, desired, live

IN_DECEMBER = "2026-12-05T10:00:00+08:00"
NEXT_WEEK = "2026-12-14T10:00:00+08:00"


@pytest.fixture
def applied(project: Project) -> Project:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.run("sandbox", "clock", IN_DECEMBER)
    return project


def found(project: Project, *arguments: str) -> dict[str, Any]:
    code, out, err = project.run("--sandbox", "plan", "--json", *arguments)
    assert code == 0, err
    made: dict[str, Any] = json.loads(out)
    return made


def codes(project: Project, severity: str = "refusal") -> list[str]:
    return [each["code"] for each in found(project)["findings"] if each["severity"] == severity]


def activity_id(project: Project) -> str:
    with project.sandbox() as sandbox:
        return str(sandbox.activities()[0]["activity_id"])


# -- terminate_first ---------------------------------------------------------------------------------------------------


def test_what_runs_does_not_end_for_a_create_that_nothing_proves(applied: Project) -> None:
    applied.run("sandbox", "clock", NEXT_WEEK)
    applied.edit("spring", "1000\n", "2000\n")
    applied.write("spring", "replace: terminate_first\n" + (applied.root / "activities/spring.yaml").read_text("utf-8"))
    assert codes(applied) == ["CREATE_UNPROVEN"]
    assert applied.run("--sandbox", "apply", "--yes")[0] == 5
    applied.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    assert applied.run("--sandbox", "apply", "--yes", "--allow", "CREATE_UNPROVEN")[0] == 0
    applied.edit("spring", "2000\n", "3000\n")
    assert codes(applied) == []  # this account has just created something


def test_a_coupon_that_ends_in_the_same_second_is_no_certainty(applied: Project) -> None:
    applied.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    stock = {
        "stock_id": "98065001",
        "stock_name": "券",
        "belong_merchant": "1900000001",
        "goods_name": "券",
        "stock_type": "NORMAL",
        "coupon_code_mode": "WECHATPAY_MODE",
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": "2026-11-01T00:00:00+08:00",
                "available_end_time": "2026-12-31T23:59:59+08:00",
            },
            "fixed_normal_coupon": {"discount_amount": 100, "transaction_minimum": 100},
            "use_method": "OFF_LINE",
        },
        "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 1},
    }
    with applied.sandbox() as sandbox:
        sandbox.seed([stock])
    applied.write("spring", "replace: terminate_first\n" + SPEC.replace("1000\n", "2000\n"))
    assert codes(applied) == ["CREATE_UNPROVEN"]


# -- protect and adopt are remembered ----------------------------------------------------------------------------------


def test_a_protection_that_came_later_outlasts_its_file(applied: Project) -> None:
    applied.write("spring", "protect: true\n" + SPEC)
    applied.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    assert "PROTECT_NOT_MARKED" in codes(applied, "note")
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    assert "PROTECT_NOT_MARKED" not in codes(applied, "note")
    (applied.root / "activities/spring.yaml").unlink()
    assert codes(applied) == ["PROTECTED"]
    applied.write("spring", SPEC)
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    (applied.root / "activities/spring.yaml").unlink()
    assert codes(applied) == []


def test_an_adopted_activity_is_given_up_and_not_ended(applied: Project) -> None:
    with applied.sandbox() as sandbox:
        (ours,) = sandbox.activities()
        base = {**ours["item"]["activity_base_info"], "out_request_no": "web-1"}
        web = sandbox.insert_activity({**ours["item"], "activity_base_info": base}, ["1900000001"])
    applied.write("lunch", f'adopt: "{web}"\n' + SPEC)
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    (applied.root / "activities/lunch.yaml").unlink()
    made = found(applied)
    assert made["changes"] == []
    assert [(each["code"], each["key"]) for each in made["findings"]] == [("ADOPTION_GIVEN_UP", "lunch")]
    (applied.root / "paygift.yaml").write_text("namespace: liangpin\npolicy: {on_removed: refuse}\n")
    assert codes(applied) == ["REMOVED_SPEC"]


# -- what differs ------------------------------------------------------------------------------------------------------


def test_one_image_that_changed_is_one_line(project: Project) -> None:
    (project.root / "images/other.png").write_bytes(png(1))
    (project.root / "images/small.png").write_bytes(png(2))
    awards = "".join(
        f'    - {{stock_id: "9806500{number}", original_image_url: images/other.png, '
        "thumbnail_url: images/small.png}\n"
        for number in (1, 2, 3)
    )
    old = '    - {stock_id: "98065001", original_image_url: images/logo.png}\n'
    project.write("spring", SPEC.replace(old, awards).replace("SINGLE_COUPON", "GIFT_PACKAGE"))
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    (project.root / "images/new.png").write_bytes(png(3))
    project.edit(
        "spring",
        '"98065002", original_image_url: images/other.png',
        '"98065002", original_image_url: images/new.png',
    )
    (change,) = found(project)["changes"]
    assert [each["path"] for each in change["differences"]] == ["award_send_rule.award_list[1].original_image_url"]
    assert change["differences"][0]["desired"]["path"] == "images/new.png"
    assert not change["differences"][0]["unproven"]


# -- drift is what was changed outside ---------------------------------------------------------------------------------


def drifted(project: Project) -> list[tuple[str, bool]]:
    code, out, err = project.run("--sandbox", "drift", "--json")
    assert code in (0, 2), err
    items = json.loads(out)["items"]
    assert (code == 2) == bool(items)
    return [(each["code"], each["pending"]) for each in items]


def test_our_own_edit_is_pending_and_somebody_elses_is_drift(applied: Project) -> None:
    assert drifted(applied) == []
    applied.edit("spring", '["1900000001"]', '["1900000001", "1900000002"]')
    assert drifted(applied) == [("MERCHANTS_DIFFER", True)]
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    with applied.sandbox() as sandbox:
        (ours,) = sandbox.activities()
        item = {**ours["item"], "activity_id": ours["activity_id"]}
        sandbox.insert_activity(item, ["1900000001", "1900777777"])
    code, out, _ = applied.run("--sandbox", "drift")
    assert code == 2
    assert "1900777777" in out
    assert "1900000002" in out
    assert drifted(applied) == [("MERCHANTS_DIFFER", False)]


def test_what_paygift_ended_was_not_ended_by_hand(applied: Project) -> None:
    applied.write("spring", "state: terminated\n" + SPEC)
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    applied.write("spring", SPEC)
    assert drifted(applied) == [("REFUSED", True)]


# -- freeze and waivers ------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def frozen(begin: timedelta, end: timedelta) -> tuple[Freeze, ...]:
    return (Freeze(Window(NOW + begin, NOW + end), "双十一"),)


def planned(now: timedelta, *freezes: Freeze, allow: frozenset[str] = frozenset({"FROZEN"})) -> Any:
    policy = Policy(freeze=tuple(freezes), allow=allow)
    return make_plan([desired()], [], namespace=NAMESPACE, now=NOW + now, policy=policy)


def test_a_waiver_is_for_the_freeze_that_it_was_given_for() -> None:
    first, second = *frozen(-HOUR, HOUR), *frozen(2 * HOUR, 4 * HOUR)
    reviewed = planned(timedelta(), first, second)
    again, later = planned(HOUR / 2, first, second), planned(3 * HOUR, first, second)
    assert not later.refusals
    assert plan_digest(again) == plan_digest(reviewed)
    assert plan_digest(later) != plan_digest(reviewed)
    assert [each.code for each in staleness(reviewed, later, [], now=NOW + 3 * HOUR)] == ["waived"]
    assert staleness(reviewed, again, [], now=NOW + HOUR / 2) == ()


@pytest.mark.parametrize(
    ("now", "stops"),
    [(HOUR, True), (HOUR + timedelta(milliseconds=999), True), (HOUR + timedelta(seconds=1), False)],
)
def test_the_last_second_of_a_freeze_is_frozen(now: timedelta, stops: bool) -> None:
    made = planned(now, *frozen(-HOUR, HOUR), allow=frozenset())
    assert bool(made.refusals) == stops


def test_a_waiver_of_what_is_found_later_is_not_called_unused() -> None:
    policy = Policy(allow=frozenset({"COUPON_UNUSABLE:spring", "PROTECTED"}))
    made = make_plan([desired()], [], namespace=NAMESPACE, now=NOW, policy=policy)
    judged = with_findings(made, coupon_findings(made, {}), policy)
    assert not judged.refusals
    assert [each.facts["waiver"] for each in judged.findings if each.code == "WAIVER_UNUSED"] == ["PROTECTED"]
    assert with_findings(judged, (), policy) == judged


def test_a_window_that_is_frozen_stops_nothing_that_is_in_sync() -> None:
    spec = desired()
    policy = Policy(freeze=frozen(-HOUR, HOUR))
    assert not make_plan([spec], [live(spec)], namespace=NAMESPACE, now=NOW, policy=policy).findings
    paused = replace(live(spec), activity_status="STOP_ACT_STATUS")
    assert not make_plan([spec], [paused], namespace=NAMESPACE, now=NOW, policy=policy).refusals
