"""What belongs to whom: adoption, other namespaces, other specs, and what ``protect`` keeps (concepts.md#identity)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import Award, DayWindow, DesiredActivity, Image, LiveActivity
from reconciler.model.identity import number_of
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.model.witness import Witness
from reconciler.plan import make_plan
from tests.support.samples import NAMESPACE, NOW, ONGOING, PICTURE, TERMINATED, desired, live, mchids, terms

DAY = timedelta(days=1)
RUNNING: dict[str, Any] = {"begin_time": NOW - 3 * DAY, "end_time": NOW + 10 * DAY}
WEB = "20406354"


def plan(
    wanted: list[DesiredActivity], lives: list[LiveActivity], *, witness: Witness | None = None, **policy: Any
) -> Plan:
    asked: dict[str, Any] = {"witness": witness} if witness else {}
    return make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy), **asked)


def elsewhere(**changes: Any) -> LiveActivity:
    """A running activity that somebody made on the web page, with other terms where ``changes`` says so."""
    found = terms(**{**RUNNING, **changes})
    return live(activity_id=WEB, status=ONGOING, merchants=("1900000001",), terms=found)


def foreign(*, protect: bool = False) -> LiveActivity:
    number = number_of("another", desired("theirs", protect=protect, **RUNNING))
    return replace(elsewhere(), out_request_no=str(number))


def codes(made: Plan) -> list[str]:
    return [each.code for each in made.findings]


ADOPTING = desired(adopt=WEB, **RUNNING)


# -- what is not ours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize(
    "spec",
    [
        ADOPTING,
        replace(ADOPTING, state="terminated"),
        desired(adopt=WEB, transaction_amount_minimum=7, **RUNNING),
        desired(adopt=WEB, begin_time=NOW - 9 * DAY, end_time=NOW - DAY),
    ],
)
def test_the_activity_of_another_namespace_is_never_touched(spec: DesiredActivity, protect: bool) -> None:
    for allow in (frozenset[str](), frozenset({"ADOPT_FOREIGN"})):
        made = plan([spec], [foreign(protect=protect)], allow=allow)
        assert made.empty
        assert codes(made) == ["ADOPT_FOREIGN"]
        assert made.unmanaged == 1


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("amount", [100, 7])
def test_the_activity_of_another_living_spec_stays_that_specs(amount: int, protect: bool) -> None:
    owner = desired("owner", protect=protect, **RUNNING)
    thief = desired("thief", adopt="1", transaction_amount_minimum=amount, **RUNNING)
    made = plan([owner, thief], [live(owner, "1", status=ONGOING)])
    assert made.empty
    assert [(each.code, each.key) for each in made.refusals] == [("ADOPT_OWNED", "thief")]


def test_what_lost_its_spec_can_be_adopted_by_another() -> None:
    made = plan([desired("heir", adopt="1", **RUNNING)], [live(desired("gone", **RUNNING), "1", status=ONGOING)])
    assert made.empty
    assert not made.refusals


# -- what is to end is checked too -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        replace(ADOPTING, state="terminated"),
        desired(adopt=WEB, begin_time=NOW - 9 * DAY, end_time=NOW - DAY),
    ],
)
@pytest.mark.parametrize(
    ("lives", "code"),
    [
        ([], "ADOPT_NOT_FOUND"),
        ([replace(elsewhere(), terms=None, activity_type="STEP_SEND_ACT_TYPE")], "ADOPT_NOT_FULL_SEND"),
        ([replace(elsewhere(), activity_type="SPECIFIC_SEND_ACT_TYPE")], "ADOPT_NOT_FULL_SEND"),
        ([replace(elsewhere(), terms=None)], "TERMS_UNREADABLE"),
    ],
)
def test_an_adoption_is_checked_before_anything_ends(
    spec: DesiredActivity, lives: list[LiveActivity], code: str
) -> None:
    made = plan([spec], lives)
    assert made.empty
    assert [each.code for each in made.refusals] == [code]


def test_an_adopted_activity_ends_when_its_spec_says_so_and_only_once() -> None:
    spec = replace(ADOPTING, state="terminated")
    assert [each.operation for each in plan([spec], [elsewhere()]).operations] == ["terminate"]
    done = plan([spec], [replace(elsewhere(), activity_status=TERMINATED)])
    assert done.empty
    assert not done.refusals


def test_an_adopted_activity_that_cannot_be_read_is_a_finding_of_its_key() -> None:
    made = make_plan(
        [ADOPTING, desired("other")],
        [],
        namespace=NAMESPACE,
        now=NOW,
        unreadable={WEB: "HTTP 403 NO_AUTH: 商户未被授权"},
    )
    assert [each.key for each in made.operations if each.operation == "create"] == ["other"]
    (refusal,) = made.refusals
    assert (refusal.code, refusal.key) == ("ADOPT_NOT_READABLE", "spring")
    assert "NO_AUTH" in str(refusal.facts["reason"])


# -- what a spec cannot say --------------------------------------------------------------------------------------------

MEMBERS = {"delivery_user_category": "DELIVERY_MEMBER_PERSON"}
PACKAGE = tuple(Award(str(stock), PICTURE, PICTURE) for stock in range(6))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transaction_amount_minimum": 0}, "award_send_rule.transaction_amount_minimum"),
        ({"transaction_amount_minimum": 1_000_000_001}, "award_send_rule.transaction_amount_minimum"),
        (
            {"delivery_purpose": "JUMP_MINI_APP", "mini_programs_appid": "wx1"},
            "activity_base_info.mini_programs_path",
        ),
        ({"merchant_option": "IN_SEVICE_COUPON_MERCHANT"}, "award_send_rule.merchant_option"),
        ({"end_time": NOW + 100 * DAY}, "activity_base_info.end_time"),
        ({"activity_name": "春" * 11}, "activity_base_info.activity_name"),
        ({"activity_second_title": ""}, "activity_base_info.activity_second_title"),
        ({"award_list": PACKAGE, "send_content": "GIFT_PACKAGE"}, "award_send_rule.award_list"),
        ({"send_content": "NEW_CONTENT"}, "award_send_rule.send_content"),
        (MEMBERS, "advanced_setting.merchant_member_appid"),
    ],
)
def test_what_a_spec_cannot_say_does_not_end_what_it_adopts(changes: dict[str, Any], field: str) -> None:
    jump = {"delivery_purpose": "JUMP_MINI_APP", "mini_programs_appid": "wx1", "mini_programs_path": "/p"}
    close = {name: value for name, value in changes.items() if name in ("delivery_purpose", "delivery_user_category")}
    spec = desired(
        adopt=WEB,
        **{**RUNNING, **(jump if "delivery_purpose" in close else {}), **close},
        **({"merchant_member_appid": "wx9"} if close == MEMBERS else {}),
    )
    made = plan([spec], [elsewhere(**changes)])
    assert made.empty
    (refusal,) = made.refusals
    assert refusal.code == "ADOPT_NOT_EXPRESSIBLE"
    fields = refusal.facts["fields"]
    assert isinstance(fields, list)
    assert field in fields
    raised = plan([replace(spec, generation=2)], [elsewhere(**changes)])
    assert [each.operation for each in raised.operations] == ["create", "terminate"]


def test_what_a_spec_can_say_and_says_otherwise_is_replaced() -> None:
    made = plan([desired(adopt=WEB, activity_name="别的", **RUNNING)], [elsewhere()])
    assert [each.operation for each in made.operations] == ["create", "terminate"]


@pytest.mark.parametrize(
    ("spec", "live_terms"),
    [
        ({}, {"end_time": RUNNING["end_time"] + timedelta(milliseconds=999)}),
        ({"end_time": RUNNING["end_time"] + timedelta(milliseconds=999)}, {}),
        (
            {"available_day_time": (DayWindow("000000", "015959"), DayWindow("220000", "235959"))},
            {"available_day_time": (DayWindow("220000", "015959"),)},
        ),
        ({"background_color": None}, {"background_color": "#B48EAD"}),
        (
            {"merchant_logo_url": Image(sha256="ab" * 32, path="x.png")},
            {"merchant_logo_url": Image(url="http://x/0")},
        ),
    ],
)
def test_what_means_the_same_is_adopted_as_it_is(spec: dict[str, Any], live_terms: dict[str, Any]) -> None:
    made = plan([desired(adopt=WEB, **{**RUNNING, **spec})], [elsewhere(**live_terms)])
    assert made.empty
    assert not made.refusals


# -- protect -----------------------------------------------------------------------------------------------------------

LIVE = live(desired(**RUNNING), "1", status=ONGOING)
OTHER = live(desired("other"), "2")
REMEMBERS = Witness(protected=frozenset({"spring"}))


def test_the_journal_remembers_a_protection_that_came_after_creation() -> None:
    made = plan([desired("other")], [LIVE, OTHER], witness=REMEMBERS)
    assert [each.code for each in made.refusals] == ["PROTECTED"]
    assert not plan([desired("other")], [LIVE, OTHER]).refusals


def test_a_protection_that_nothing_remembers_is_told() -> None:
    spec = desired(protect=True, **RUNNING)
    assert codes(plan([spec], [LIVE])) == ["PROTECT_NOT_MARKED"]
    assert codes(plan([spec], [LIVE], witness=REMEMBERS)) == []
    assert codes(plan([spec], [live(spec, "1", status=ONGOING)])) == []


@pytest.mark.parametrize(
    ("activity", "witness"),
    [(live(desired(protect=True, **RUNNING), "1", status=ONGOING), Witness()), (LIVE, REMEMBERS)],
)
def test_removing_a_protection_and_ending_in_one_change_is_told(activity: LiveActivity, witness: Witness) -> None:
    made = plan([desired(state="terminated", **RUNNING)], [activity], witness=witness)
    assert codes(made) == ["PROTECTION_REMOVED"]
    assert not made.refusals


ADOPTED = Witness(adopted={WEB: "spring"})


def test_giving_up_an_adopted_activity_is_told_where_the_journal_knows_it() -> None:
    lives = [elsewhere(), OTHER]
    assert codes(plan([desired("other")], lives, witness=ADOPTED)) == ["ADOPTION_GIVEN_UP"]
    refused = plan([desired("other")], lives, witness=ADOPTED, on_removed="refuse")
    assert [(each.code, each.key) for each in refused.refusals] == [("REMOVED_SPEC", "spring")]
    assert refused.empty
    assert codes(plan([desired("other")], lives)) == []
    over = [replace(elsewhere(), activity_status=TERMINATED), OTHER]
    assert codes(plan([desired("other")], over, witness=ADOPTED)) == []
    assert codes(plan([desired("new", adopt=WEB, **RUNNING), desired("other")], lives, witness=ADOPTED)) == []


# -- live terms that contradict their number ---------------------------------------------------------------------------


def test_nothing_is_changed_of_what_is_not_as_it_seems() -> None:
    seeming = replace(LIVE, terms=terms(transaction_amount_minimum=999, **RUNNING), merchants=mchids(3))
    other = replace(
        seeming, activity_id="3", out_request_no=str(number_of(NAMESPACE, desired(generation=3, **RUNNING)))
    )
    made = plan([desired(merchants=mchids(40), **RUNNING)], [seeming, other])
    assert made.empty
    assert codes(made) == ["LIVE_TERMS_DIFFER"]
    assert made.findings[0].facts["fields"] == ["award_send_rule.transaction_amount_minimum"]


def test_of_several_one_that_is_as_its_number_says_is_kept() -> None:
    seeming = replace(LIVE, terms=terms(transaction_amount_minimum=999, **RUNNING))
    true = live(desired(**RUNNING), "2", status=ONGOING)
    made = plan([desired(**RUNNING)], [seeming, true])
    assert [getattr(each, "activity_id", "") for each in made.operations] == ["1"]
