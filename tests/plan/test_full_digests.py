"""Twelve digits of a digest are not the terms: two specs that share them are two specs, wherever something is written.

A script finds such a pair within a minute, over one free text: here a goods tag.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.identity import merchants_digest, number_of, terms_digest, terms_sha256
from reconciler.model.operations import CreateActivity, TerminateActivity
from reconciler.model.plan import Plan
from reconciler.model.report import OutcomeStatus
from reconciler.plan import plan_digest
from reconciler.plan.fitness import unfit
from reconciler.plan.stale import effects, staleness
from reconciler.plan.successors import pairs
from tests.apply.test_apply import spec
from tests.plan.test_stale import plan
from tests.support.project import Project
from tests.support.remote import Remote
from tests.support.samples import NAMESPACE, NOW, ONGOING, TERMINATED, desired, live

DEAR = desired(transaction_amount_minimum=5000, goods_tags=("batch-abgokf",))
CHEAP = desired(transaction_amount_minimum=1, goods_tags=("batch-ac64jk",))


def codes(made: Plan) -> list[str]:
    return [each.code for each in made.findings]


def test_the_two_specs_have_one_number_and_two_digests() -> None:
    assert terms_digest(DEAR.terms) == terms_digest(CHEAP.terms) == "8f0a088f854b"
    assert number_of(NAMESPACE, DEAR) == number_of(NAMESPACE, CHEAP)
    assert terms_sha256(DEAR.terms) != terms_sha256(CHEAP.terms)
    assert all(terms_sha256(each.terms).startswith("8f0a088f854b") for each in (DEAR, CHEAP))


def test_a_plan_of_one_is_not_a_plan_of_the_other() -> None:
    reviewed, fresh = plan([DEAR], []), plan([CHEAP], [])
    assert plan_digest(reviewed) != plan_digest(fresh)
    assert {(each.code, each.kind) for each in staleness(reviewed, fresh, [], now=NOW)} >= {
        ("appeared", "create"),
        ("vanished", "create"),
    }


@pytest.mark.parametrize("status", [ONGOING, TERMINATED])
def test_what_was_made_of_one_does_not_show_that_the_other_is_done(status: str) -> None:
    """Both files were reviewed in a plan for two keys; then somebody's create under the same number was seen."""
    reviewed = plan([DEAR], [])
    lives = [live(CHEAP, status=status)]
    found = staleness(reviewed, plan([], lives), lives, now=NOW)
    assert ("vanished", "create") in {(each.code, each.kind) for each in found}


def test_every_digest_that_an_operation_carries_is_whole() -> None:
    running = desired(transaction_amount_minimum=1, begin_time=NOW - timedelta(days=1))
    fewer = live(replace(DEAR, key="shops", merchants=("1900000001", "1900000002")), "2")
    made = plan([desired(transaction_amount_minimum=5), replace(DEAR, key="shops")], [live(running), fewer])
    checked = [each for step in made.operations if (each := getattr(step, "precondition", None)) is not None]
    assert len(checked) == 2
    assert all(len(each.terms_digest) == 64 for each in checked)
    assert {len(each.merchants_digest) for each in checked} == {0, 64}
    assert len(merchants_digest(["1"])) == 64
    creates = [each for each in effects(made) if each.kind == "create"]
    assert [len(each.what) for each in creates] == [64]


def test_an_end_that_was_planned_for_one_is_not_an_end_of_the_other() -> None:
    reviewed, fresh = plan([], [live(DEAR)]), plan([], [live(CHEAP)])
    found = staleness(reviewed, fresh, [live(CHEAP)], now=NOW)
    assert [(each.code, each.kind) for each in found] == [("changed", "terminate")]


def test_a_live_activity_with_the_number_and_other_terms_is_not_the_spec() -> None:
    made = plan([CHEAP], [live(DEAR)])
    assert codes(made) == ["LIVE_TERMS_DIFFER"]
    assert (made.operations, made.unchanged) == ((), 0)


def test_of_two_the_one_with_the_terms_is_kept_and_not_the_one_with_the_number() -> None:
    """Adopted: the very terms of the spec. Under its number: the other terms."""
    spec = replace(CHEAP, adopt="77")
    made = plan([spec], [live(None, "77", terms=CHEAP.terms, merchants=CHEAP.merchants), live(DEAR, "78")])
    ended = [each.activity_id for each in made.operations if isinstance(each, TerminateActivity)]
    assert (codes(made), ended) == ([], ["78"])


def test_a_successor_with_the_number_and_other_terms_is_not_fit() -> None:
    number = str(number_of(NAMESPACE, DEAR))
    assert unfit(live(DEAR), number, NOW, DEAR.terms) == ""
    assert "transaction_amount_minimum" in unfit(live(CHEAP), number, NOW, DEAR.terms)


def test_a_renamed_spec_with_the_same_digits_and_other_terms_was_not_renamed() -> None:
    new = replace(CHEAP, key="new")
    started = plan([new], []).changes
    (pair,) = pairs(started, {"spring": [live(DEAR)]}, {"new": new}, {})
    assert not pair.same


# -- apply, through the real client ------------------------------------------------------------------------------------


def test_an_apply_that_meets_the_other_under_its_number_neither_fills_it_nor_ends_for_it() -> None:
    """Planned before the other came, so that the create meets it; and an end waits for that create. The sandbox takes
    uploaded pictures only, so that the two have one number because we say so.
    """
    old, dear, cheap = (spec("spring", transaction_amount_minimum=fen) for fen in (300, 5000, 1))
    remote = Remote()
    remote.converge([old])
    made = remote.plan([replace(dear, merchants=("1900000001", "1900000002"))])
    create, end = made.operations[-2:]
    assert isinstance(create, CreateActivity)
    assert isinstance(end, TerminateActivity)
    other = replace(create, terms=cheap.terms, merchants=("1900000001",))
    remote.apply(replace(made, changes=(replace(made.changes[0], operations=(other,)),)))
    first, second = remote.ids()
    report = remote.apply(made)
    assert [each.status for each in report.outcomes[-2:]] == [OutcomeStatus.FAILED, OutcomeStatus.NOT_STARTED]
    assert "transaction_amount_minimum" in report.outcomes[-2].reason
    assert remote.effects() == [f"created {first}", f"created {second}"]
    assert [remote.merchants(each) for each in (first, second)] == [["1900000001"]] * 2


COLLIDING = """\
activity_base_info:
  activity_name: 良品铺子回馈活动
  activity_second_title: 海飞丝的券
  merchant_logo_url: https://wxpaylogo.qpic.cn/wxpaylogo/logo/0
  background_color: Color020
  begin_time: 2026-12-01T00:00:00+08:00
  end_time: 2026-12-31T23:59:59+08:00
  delivery_purpose: OFF_LINE_PAY
award_send_rule:
  transaction_amount_minimum: {fen}
  send_content: SINGLE_COUPON
  award_list:
    - {{stock_id: "98065001", original_image_url: https://wxpaylogo.qpic.cn/wxpaylogo/picture/0}}
  merchant_id_list: ["1900000001"]
advanced_setting:
  goods_tags: [{tag}]
"""


def test_a_reviewed_file_of_one_is_not_applied_to_the_other(project: Project) -> None:
    """Reviewed: 50 yuan. Merged: one fen, under the same number."""
    file = project.root / "plan.json"
    project.write("spring", COLLIDING.format(fen=5000, tag="batch-abgokf"))
    assert project.run("--sandbox", "plan", "--out", str(file))[0] == 0
    assert "liangpin_spring_g1_8f0a088f854b" in file.read_text(encoding="utf-8")
    project.write("spring", COLLIDING.format(fen=1, tag="batch-ac64jk"))
    assert "liangpin_spring_g1_8f0a088f854b" in project.run("--sandbox", "plan")[1]
    code, _, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 6
    assert "create liangpin_spring_g1_8f0a088f854b: new, nobody has reviewed it" in err
