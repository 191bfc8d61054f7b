"""The table of concepts.md#plan, line by line: what the spec says against what lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import Award, DayWindow, DesiredActivity, Image, LiveActivity, Terms, Window
from reconciler.model.findings import Severity
from reconciler.model.identity import merchants_digest, number_of, terms_sha256
from reconciler.model.operations import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.plan import ChangeKind, Coverage, Difference, MerchantCoverage, Plan, Timing
from reconciler.model.policy import Policy
from reconciler.plan import make_plan, plan_digest
from tests.support.samples import (
    CREATED,
    FAILED,
    LOCAL,
    NAMESPACE,
    NOW,
    ONGOING,
    OVER_TIME,
    PAUSED,
    PICTURE,
    TERMINATED,
    UPLOADED,
    any_terms,
    desired,
    live,
    mchids,
    terms,
)


def plan(
    wanted: Sequence[DesiredActivity],
    lives: Sequence[LiveActivity] = (),
    *,
    now: datetime = NOW,
    **policy: Any,
) -> Plan:
    return make_plan(wanted, lives, namespace=NAMESPACE, now=now, policy=Policy(**policy))


def steps(made: Plan) -> list[str]:
    """The operations as short words: ``create spring``, ``terminate 10028001`` …"""
    return [word(operation) for operation in made.operations]


def word(operation: Operation) -> str:
    match operation:
        case UploadImage():
            return f"upload {operation.path}"
        case CreateActivity():
            return f"create {operation.key}"
        case AddMerchants():
            return f"add {len(operation.merchants)} to {operation.activity_id or 'new'}"
        case DeleteMerchants():
            return f"delete {len(operation.merchants)} from {operation.activity_id}"
        case TerminateActivity():
            return f"terminate {operation.activity_id}"


def codes(made: Plan) -> list[str]:
    return [finding.code for finding in made.findings]


# -- running specs -----------------------------------------------------------------------------------------------------


def test_a_spec_that_nothing_fulfils_is_created() -> None:
    made = plan([desired()])
    assert steps(made) == ["create spring"]
    assert made.changes[0].kind is ChangeKind.CREATE
    assert made.changes[0].clocks == (Timing("begins", terms().begin_time),)
    assert not made.findings


def test_a_spec_that_is_fulfilled_needs_nothing() -> None:
    made = plan([desired()], [live(desired())])
    assert made.empty
    assert (made.managed, made.unchanged, made.unmanaged) == (1, 1, 0)


def test_merchants_are_added_before_others_are_deleted() -> None:
    made = plan([desired(merchants=mchids(3))], [live(desired(merchants=mchids(3, start=1600000002)))])
    assert steps(made) == ["add 1 to 10028001", "delete 1 from 10028001"]
    assert made.changes[0].kind is ChangeKind.UPDATE
    assert (made.changes[0].merchants_before, made.changes[0].merchants_after) == (3, 3)


def test_a_call_takes_five_hundred_merchants_at_most() -> None:
    made = plan([desired(merchants=mchids(1200))])
    assert steps(made) == ["create spring", "add 500 to new", "add 200 to new"]
    made = plan([desired(merchants=mchids(1101))], [live(desired(merchants=mchids(100)))])
    assert steps(made) == ["add 500 to 10028001", "add 500 to 10028001", "add 1 to 10028001"]


def test_each_call_expects_the_merchants_that_the_one_before_leaves() -> None:
    before, after = mchids(10), mchids(600, start=1700000001)
    made = plan([desired(merchants=after)], [live(desired(merchants=before))])
    first, second, last = made.operations
    assert isinstance(first, AddMerchants)
    assert isinstance(second, AddMerchants)
    assert isinstance(last, DeleteMerchants)
    assert first.precondition is not None
    assert second.precondition is not None
    assert last.precondition is not None
    assert first.precondition.merchants_digest == merchants_digest(before)
    assert second.precondition.merchants_digest == merchants_digest((*before, *after[:500]))
    assert last.precondition.merchants_digest == merchants_digest((*before, *after))


def test_other_terms_are_a_replacement_that_creates_first() -> None:
    made = plan([desired(transaction_amount_minimum=200)], [live(desired())])
    assert steps(made) == ["create spring", "terminate 10028001"]
    assert made.changes[0].kind is ChangeKind.REPLACE
    assert made.changes[0].differences == (Difference("award_send_rule.transaction_amount_minimum", 100, 200),)


def test_a_replacement_can_terminate_first() -> None:
    made = plan([desired(transaction_amount_minimum=200, replace="terminate_first")], [live(desired())])
    assert steps(made) == ["terminate 10028001", "create spring"]


def test_replacing_what_has_begun_is_called_irreversible() -> None:
    begun = desired(begin_time=NOW - timedelta(days=1))
    made = plan([replace(begun, terms=replace(begun.terms, send_content="X"))], [live(begun, status=ONGOING)])
    assert codes(made) == ["REPLACES_RUNNING"]


def test_terminations_carry_what_must_still_be_so() -> None:
    (operation,) = plan([desired(state="terminated")], [live(desired(), status=ONGOING)]).operations
    assert isinstance(operation, TerminateActivity)
    assert operation.reason == "state"
    assert operation.precondition.activity_status == ONGOING
    assert operation.precondition.terms_digest == terms_sha256(terms())


def test_of_several_the_one_with_the_right_number_stays() -> None:
    old, new = desired(transaction_amount_minimum=1), desired()
    made = plan([new], [live(old, "1"), live(new, "2"), live(replace(old, generation=2), "3")])
    assert steps(made) == ["terminate 1", "terminate 3"]
    assert {step.reason for step in made.operations if isinstance(step, TerminateActivity)} == {"superseded"}


def test_of_several_with_the_same_terms_the_exact_number_stays_then_the_oldest() -> None:
    spec = desired(protect=False)
    marked = live(replace(spec, protect=True), "1", create_time=NOW - timedelta(days=9))
    assert steps(plan([spec], [marked, live(spec, "2")])) == ["terminate 1"]
    young, old = (
        live(activity_id="1", create_time=NOW),
        live(activity_id="2", create_time=NOW - timedelta(days=1)),
    )
    renamed = desired("spring", renamed_from=("spring-old",))
    young = replace(young, out_request_no=str(number_of(NAMESPACE, desired(generation=3))))
    other = replace(old, out_request_no=str(number_of(NAMESPACE, desired("spring-old", generation=7))))
    made = plan([renamed], [replace(young, merchants=("1900000001",)), replace(other, merchants=("1900000001",))])
    assert steps(made) == ["terminate 1"]


def test_of_several_none_of_which_fits_all_are_replaced() -> None:
    lives = [live(desired(transaction_amount_minimum=n), str(n)) for n in (1, 2)]
    assert steps(plan([desired()], lives)) == ["create spring", "terminate 1", "terminate 2"]


@pytest.mark.parametrize("gone", [True, False])
def test_a_terminated_or_removed_spec_ends_what_lives(gone: bool) -> None:
    wanted = [desired("other")] + ([] if gone else [desired(state="terminated")])
    lives = [live(desired(), "1"), live(desired(generation=2), "2"), live(desired("other"), "3")]
    made = plan(wanted, lives)
    assert steps(made) == ["terminate 1", "terminate 2"]
    assert made.changes[0].kind is ChangeKind.TERMINATE
    assert (made.changes[0].source is None) == gone


@pytest.mark.parametrize("state", ["running", "terminated"])
def test_what_has_ended_and_should_have_needs_nothing(state: str) -> None:
    spec = desired(state=state)
    later = terms().end_time + timedelta(seconds=1)
    assert plan([spec], [live(spec, status=ONGOING)], now=later).empty
    assert plan([desired(state="terminated")], [live(desired(), status=TERMINATED)]).empty


def test_a_spec_whose_time_has_passed_is_not_created() -> None:
    made = plan([desired()], now=terms().end_time + timedelta(seconds=1))
    assert made.empty
    assert codes(made) == ["SPEC_ENDED"]


def test_what_runs_longer_than_its_spec_says_is_ended() -> None:
    early = desired(begin_time=NOW - timedelta(days=9), end_time=NOW - timedelta(days=2))
    made = plan([early], [live(desired())])
    assert steps(made) == ["terminate 10028001"]


# -- numbers are spent for ever ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [TERMINATED, OVER_TIME])
def test_what_was_ended_does_not_come_back_by_accident(status: str) -> None:
    made = plan([desired()], [live(desired(), status=status)])
    assert made.empty
    assert [finding.code for finding in made.refusals] == ["NUMBER_USED"]
    assert made.refusals[0].facts["next_generation"] == 2


def test_a_failed_creation_is_named_as_such() -> None:
    assert codes(plan([desired()], [live(desired(), status=FAILED)])) == ["CREATION_FAILED"]


def test_the_generation_to_raise_to_is_one_that_was_never_used() -> None:
    lives = [live(desired(generation=g), str(g), status=TERMINATED) for g in (1, 2, 3)]
    assert plan([desired(generation=2)], lives).refusals[0].facts["next_generation"] == 4
    assert steps(plan([desired(generation=4)], lives)) == ["create spring"]


def test_the_mark_of_protection_does_not_make_a_spent_number_new() -> None:
    assert codes(plan([desired(protect=True)], [live(desired(), status=TERMINATED)])) == ["NUMBER_USED"]


def test_going_back_to_terms_that_were_replaced_is_refused_and_ends_nothing() -> None:
    first, second = desired(), desired(transaction_amount_minimum=2)
    made = plan([first], [live(first, "1", status=TERMINATED), live(second, "2")])
    assert made.empty
    assert codes(made) == ["NUMBER_USED"]


def test_a_generation_that_is_not_needed_yet_changes_nothing() -> None:
    made = plan([desired(generation=2)], [live(desired())])
    assert made.empty
    assert codes(made) == ["GENERATION_NOT_NEEDED"]


# -- ownership ---------------------------------------------------------------------------------------------------------


def test_what_is_not_ours_is_counted_and_never_touched() -> None:
    others = [live(activity_id="1"), live(activity_id="2", status=TERMINATED)]
    foreign = live(desired(), "3", out_request_no=str(number_of("another", desired())))
    made = plan([], [*others, foreign])
    assert made.empty
    assert made.unmanaged == 3
    assert not made.findings


def test_an_activity_made_elsewhere_is_taken_over_by_its_id() -> None:
    made = plan([desired(adopt="20406354")], [live(activity_id="20406354", merchants=mchids(1))])
    assert steps(made) == ["add 1 to 20406354", "delete 1 from 20406354"]
    assert made.managed == 1


def test_a_local_picture_is_no_reason_to_end_an_adopted_campaign() -> None:
    adopted = live(activity_id="20406354", merchants=("1900000001",))
    assert plan([desired(adopt="20406354", merchant_logo_url=LOCAL)], [adopted]).empty


def test_an_adopted_activity_with_other_terms_is_replaced_once() -> None:
    spec = desired(adopt="20406354", transaction_amount_minimum=7)
    adopted = live(activity_id="20406354", merchants=("1900000001",))
    assert steps(plan([spec], [adopted])) == ["create spring", "terminate 20406354"]
    assert plan([spec], [replace(adopted, activity_status=TERMINATED), live(spec, "2")]).empty


@pytest.mark.parametrize(
    ("lives", "code"),
    [
        ([], "ADOPT_NOT_FOUND"),
        ([live(activity_id="20406354", status=TERMINATED)], "ADOPT_ENDED"),
        (
            [live(activity_id="20406354", terms=None, activity_type="STEP_SEND_ACT_TYPE", status=ONGOING)],
            "ADOPT_NOT_FULL_SEND",
        ),
        ([live(activity_id="20406354", terms=None, status=ONGOING)], "TERMS_UNREADABLE"),
    ],
)
def test_an_adoption_that_fails_creates_nothing(lives: list[LiveActivity], code: str) -> None:
    made = plan([desired(adopt="20406354")], lives)
    assert made.empty
    assert [finding.code for finding in made.refusals] == [code]


def test_giving_up_an_adopted_activity_does_not_end_it() -> None:
    assert plan([desired("other")], [live(activity_id="20406354"), live(desired("other"), "2")]).empty


def test_a_renamed_spec_keeps_its_activity() -> None:
    before, after = desired("spring"), desired("spring-sale", renamed_from=("spring",))
    assert plan([after], [live(before)]).empty
    changed = desired("spring-sale", renamed_from=("spring",), transaction_amount_minimum=5)
    assert steps(plan([changed], [live(before)])) == ["create spring-sale", "terminate 10028001"]


def test_a_renamed_spec_does_not_bring_back_what_ended_under_its_former_key() -> None:
    after = desired("spring-sale", renamed_from=("spring",))
    assert codes(plan([after], [live(desired("spring"), status=TERMINATED)])) == ["NUMBER_USED"]


# -- refusals, policy, oddities ----------------------------------------------------------------------------------------


def test_a_protected_spec_refuses_to_be_replaced_or_terminated() -> None:
    spec = desired(protect=True, transaction_amount_minimum=9)
    made = plan([spec], [live(desired(protect=True))])
    assert steps(made) == ["create spring", "terminate 10028001"]
    assert [finding.code for finding in made.refusals] == ["PROTECTED"]
    assert codes(plan([desired(protect=True, state="terminated")], [live(desired())])) == ["PROTECTED"]


def test_protection_outlives_the_file() -> None:
    made = plan([desired("other")], [live(desired(protect=True)), live(desired("other"), "2")])
    assert [finding.code for finding in made.refusals] == ["PROTECTED"]


def test_a_spec_that_gives_up_protection_is_believed() -> None:
    made = plan([desired(state="terminated", protect=False)], [live(desired(protect=True))])
    assert not made.refusals


@pytest.mark.parametrize("waiver", ["PROTECTED", "PROTECTED:spring"])
def test_a_refusal_is_waived_by_name(waiver: str) -> None:
    made = plan([desired(protect=True, state="terminated")], [live(desired())], allow=frozenset({waiver}))
    assert not made.refusals
    assert made.findings[0].waived


def test_a_waiver_for_another_key_waives_nothing() -> None:
    made = plan([desired(protect=True, state="terminated")], [live(desired())], allow=frozenset({"PROTECTED:other"}))
    assert made.refusals
    assert codes(made) == ["PROTECTED", "WAIVER_UNUSED"]


def test_a_waiver_that_waives_nothing_is_named() -> None:
    made = plan([desired()], [live(desired())], allow=frozenset({"PROTECTED:spring"}))
    (finding,) = made.findings
    assert (finding.code, finding.facts) == ("WAIVER_UNUSED", {"waiver": "PROTECTED:spring"})


def test_an_adoption_that_is_over_is_named() -> None:
    assert codes(plan([desired(adopt="404")], [live(desired())])) == ["ADOPT_NOT_NEEDED"]


def test_an_empty_repository_does_not_end_everything() -> None:
    made = plan([], [live(desired())])
    assert [finding.code for finding in made.refusals] == ["NO_SPECS"]
    assert not plan([], [live(desired())], on_removed="ignore").refusals
    assert not plan([], [live(desired(), status=TERMINATED)]).findings


def test_a_file_that_was_only_renamed_does_not_end_its_campaign() -> None:
    made = plan([desired("spring-sale")], [live(desired("spring"))])
    assert steps(made) == ["create spring-sale", "terminate 10028001"]
    (refusal,) = made.refusals
    assert (refusal.code, refusal.key) == ("LOOKS_RENAMED", "spring-sale")
    assert (refusal.facts["former"], refusal.facts["activity_ids"]) == ("spring", ["10028001"])


def test_removed_specs_can_be_refused_or_ignored() -> None:
    lives = [live(desired()), live(desired("other"), "2")]
    refused = plan([desired("other")], lives, on_removed="refuse")
    assert codes(refused) == ["REMOVED_SPEC"]
    assert steps(refused) == ["terminate 10028001"]
    ignored = plan([desired("other")], lives, on_removed="ignore")
    assert ignored.empty
    assert codes(ignored) == ["REMOVED_SPEC_IGNORED"]


def test_a_paused_activity_is_left_and_named() -> None:
    made = plan([desired()], [live(desired(), status=PAUSED, pause_time=NOW)])
    assert made.empty
    assert codes(made) == ["PAUSED"]


@pytest.mark.parametrize("status", ["ACT_STATUS_UNKNOWN", "BRAND_NEW_STATUS"])
def test_an_unknown_status_is_taken_for_live_and_named(status: str) -> None:
    made = plan([desired()], [live(desired(), status=status)])
    assert made.empty
    assert codes(made) == ["STATUS_UNKNOWN"]


def test_live_terms_that_contradict_their_number_are_named_and_left() -> None:
    made = plan([desired()], [live(desired(), terms=terms(transaction_amount_minimum=999))])
    assert made.empty
    assert codes(made) == ["LIVE_TERMS_DIFFER"]
    raised = plan([desired(generation=2)], [live(desired(), terms=terms(transaction_amount_minimum=999))])
    assert steps(raised) == ["create spring", "terminate 10028001"]


def test_refusals_come_first() -> None:
    lives = [live(desired(), status=PAUSED), live(desired("used"), "2", status=TERMINATED)]
    made = plan([desired(), desired("used")], lives)
    assert [finding.severity for finding in made.findings] == [Severity.REFUSAL, Severity.WARNING]


def test_merchants_that_were_not_read_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="merchants of activity 10028001 were not read"):
        plan([desired()], [live(desired(), merchants=None)])


# -- terms, one field at a time ----------------------------------------------------------------------------------------

OTHER_VALUES: dict[str, Any] = {
    "activity_name": "春节回馈",
    "activity_second_title": "年货",
    "merchant_logo_url": PICTURE,
    "background_color": "Color100",
    "begin_time": terms().begin_time + timedelta(hours=1),
    "end_time": terms().end_time - timedelta(hours=1),
    "available_time": (Window(terms().begin_time, terms().begin_time + timedelta(days=1)),),
    "available_day_time": (DayWindow("110000", "135959"),),
    "delivery_purpose": "JUMP_MINI_APP",
    "mini_programs_appid": "wx23232232323",
    "mini_programs_path": "/pages/index/index",
    "transaction_amount_minimum": 200,
    "send_content": "GIFT_PACKAGE",
    "award_type": "OTHER",
    "award_list": (Award("98065002", PICTURE),),
    "merchant_option": "IN_SEVICE_COUPON_MERCHANT",
    "delivery_user_category": "DELIVERY_MEMBER_PERSON",
    "merchant_member_appid": "wx99",
    "goods_tags": ("tea",),
}


def test_no_field_of_the_terms_is_left_out_of_the_next_test() -> None:
    assert OTHER_VALUES.keys() == {field.name for field in fields(Terms)}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_changing_any_one_field_replaces_the_activity_and_names_that_field(name: str) -> None:
    made = plan([desired(**{name: OTHER_VALUES[name]})], [live(desired())])
    assert steps(made) == ["create spring", "terminate 10028001"]
    assert {difference.path.split(".")[-1].split("[")[0] for difference in made.changes[0].differences} <= {
        name,
        "stock_id",
    }
    assert made.changes[0].differences


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_changing_any_one_field_back_is_a_replacement_too(name: str) -> None:
    made = plan([desired()], [live(desired(**{name: OTHER_VALUES[name]}))])
    assert steps(made) == ["create spring", "terminate 10028001"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("key", "spring-sale", ["create spring-sale", "terminate 10028001"]),
        ("merchants", ("1900000002",), ["add 1 to 10028001", "delete 1 from 10028001"]),
        ("merchants", ("1900000001", "1900000002"), ["add 1 to 10028001"]),
        ("generation", 2, []),
        ("protect", True, []),
        ("state", "terminated", ["terminate 10028001"]),
        ("replace", "terminate_first", []),
        ("renamed_from", ("old",), []),
        ("adopt", "10028001", []),
    ],
)
def test_changing_one_of_our_own_keys(name: str, value: Any, expected: list[str]) -> None:
    assert steps(plan([replace(desired(), **{name: value})], [live(desired())])) == expected


# -- what reading cannot tell ------------------------------------------------------------------------------------------


def uploaded(spec: DesiredActivity) -> LiveActivity:
    """Live as it is after ``spec``'s local logo was uploaded."""
    return live(spec, terms=replace(spec.terms, merchant_logo_url=UPLOADED))


def test_an_uploaded_picture_is_known_by_the_number() -> None:
    spec = desired(merchant_logo_url=LOCAL)
    assert plan([spec], [uploaded(spec)]).empty


def test_only_the_changed_field_is_shown_beside_an_unchanged_picture() -> None:
    spec = desired(merchant_logo_url=LOCAL)
    made = plan([desired(merchant_logo_url=LOCAL, activity_name="春节")], [uploaded(spec)])
    assert [difference.path for difference in made.changes[0].differences] == ["activity_base_info.activity_name"]


def test_a_picture_with_other_bytes_is_a_replacement() -> None:
    changed = Image(sha256="cd" * 32, path=LOCAL.path)
    made = plan([desired(merchant_logo_url=changed)], [uploaded(desired(merchant_logo_url=LOCAL))])
    assert steps(made) == ["upload images/logo.png", "create spring", "terminate 10028001"]


def test_naming_the_url_that_an_upload_got_changes_nothing() -> None:
    assert plan([desired(merchant_logo_url=UPLOADED)], [uploaded(desired(merchant_logo_url=LOCAL))]).empty


def test_a_picture_is_uploaded_once_however_many_use_it() -> None:
    both = [desired("one", merchant_logo_url=LOCAL), desired("two", merchant_logo_url=LOCAL)]
    assert steps(plan(both)) == ["upload images/logo.png", "create one", "create two"]


def test_a_colour_that_was_left_to_the_server_is_whatever_it_says() -> None:
    spec = desired(background_color=None)
    assert plan([spec], [live(spec, terms=terms(background_color="Color010"))]).empty


def test_a_colour_that_the_author_no_longer_names_is_a_change() -> None:
    made = plan([desired(background_color=None)], [live(desired(background_color="Color050"))])
    assert steps(made) == ["create spring", "terminate 10028001"]


def test_a_colour_is_not_compared_where_nobody_knows_who_chose_it() -> None:
    adopted = live(activity_id="1", merchants=("1900000001",))
    assert plan([desired(adopt="1", background_color=None)], [adopted]).empty


def test_differences_reach_into_awards_and_tags() -> None:
    before = desired(goods_tags=("nuts", "tea"))
    after = desired(goods_tags=("gift", "tea"), award_list=(Award("98065002", PICTURE), Award("98065003", PICTURE)))
    made = plan([after], [live(before)])
    *first, last = made.changes[0].differences
    assert last == Difference("advanced_setting.goods_tags", None, "gift")
    assert Difference("advanced_setting.goods_tags", "nuts", None) in first
    assert Difference("award_send_rule.award_list[0].stock_id", "98065001", "98065002") in first
    (added,) = (each for each in first if each.path == "award_send_rule.award_list[1]")
    assert added.live is None


# -- time --------------------------------------------------------------------------------------------------------------


def test_every_change_says_how_it_stands_to_time() -> None:
    begun = desired(begin_time=NOW - timedelta(days=1))
    assert plan([begun]).changes[0].clocks == (Timing("begun", begun.terms.begin_time),)
    ending = plan([replace(begun, state="terminated")], [live(begun, status=ONGOING)])
    assert ending.changes[0].clocks == (Timing("ends", begun.terms.end_time, "10028001"),)
    cancelled = plan([desired(state="terminated")], [live(desired())])
    assert cancelled.changes[0].clocks == (Timing("cancelled", terms().begin_time, "10028001"),)


def test_a_new_activity_whose_begin_has_passed_is_warned_of() -> None:
    late = desired(begin_time=NOW - timedelta(seconds=1))
    (finding,) = plan([late]).findings
    assert (finding.code, finding.severity) == ("BEGINS_IN_PAST", Severity.WARNING)
    assert finding.facts == {"begin_time": late.terms.begin_time}
    assert codes(plan([desired(begin_time=NOW)])) == []


def test_a_replacement_whose_begin_has_passed_is_warned_of_unless_the_old_one_runs() -> None:
    late = desired(begin_time=NOW - timedelta(days=1))
    assert codes(plan([late], [live(desired())])) == ["BEGINS_IN_PAST"]
    running = live(desired(begin_time=NOW - timedelta(days=2)), status=ONGOING)
    assert codes(plan([late], [running])) == ["REPLACES_RUNNING"]


def test_a_plan_is_valid_until_an_operation_would_mean_something_else() -> None:
    assert plan([desired()]).valid_until == terms().begin_time
    assert plan([desired()], [live(desired())]).valid_until is None
    begun = desired(begin_time=NOW - timedelta(days=1))
    assert plan([begun]).valid_until == terms().end_time


@pytest.mark.parametrize(
    ("begins_in", "gap"),
    [(timedelta(hours=-2), 0), (timedelta(minutes=30), 30 * 60), (timedelta(days=400), 5 * 86_400)],
)
def test_a_replacement_says_how_long_nothing_is_given(begins_in: timedelta, gap: int) -> None:
    running = desired(begin_time=NOW - timedelta(days=5), end_time=NOW + timedelta(days=5))
    new = desired(begin_time=NOW + begins_in, end_time=NOW + begins_in + timedelta(days=9))
    made = plan([new], [live(running, status=ONGOING)])
    assert made.changes[0].coverage is not None
    assert made.changes[0].coverage.gap_seconds == gap
    assert made.changes[0].coverage.sets == (MerchantCoverage("both", 1, gap, nothing_seconds=gap),)


WINDOW: dict[str, Any] = {"begin_time": NOW - timedelta(days=5), "end_time": NOW + timedelta(days=5)}
HALF_AN_HOUR, FIVE_DAYS = 30 * 60, 5 * 86_400


def both(count: int, gap: int) -> MerchantCoverage:
    """Merchants that something serves again after ``gap`` seconds without anything."""
    return MerchantCoverage("both", count, gap, nothing_seconds=gap)


def left(gap: int, *mchids: str) -> MerchantCoverage:
    """Merchants that nothing serves any more, and that would have been served for ``gap`` seconds."""
    return MerchantCoverage("old", len(mchids), gap, mchids, nothing_seconds=gap)


def coverage_of(new: DesiredActivity, *old: LiveActivity) -> Coverage:
    (change,) = plan([new], old).changes
    assert change.coverage is not None
    return change.coverage


@pytest.mark.parametrize(
    ("before", "after", "sets"),
    [
        ("ab", "ab", (both(2, HALF_AN_HOUR),)),
        (
            "ab",
            "a",
            (both(1, HALF_AN_HOUR), left(FIVE_DAYS, "b")),
        ),
        ("a", "ab", (both(1, HALF_AN_HOUR), MerchantCoverage("new", 1, 0, ("b",)))),
        ("a", "b", (left(FIVE_DAYS, "a"), MerchantCoverage("new", 1, 0, ("b",)))),
    ],
)
def test_who_stays_who_leaves_and_who_joins_is_covered_differently(
    before: str, after: str, sets: tuple[MerchantCoverage, ...]
) -> None:
    new = desired(merchants=tuple(after), begin_time=NOW + timedelta(minutes=30))
    assert coverage_of(new, live(desired(merchants=tuple(before), **WINDOW), status=ONGOING)).sets == sets


def test_of_several_old_activities_those_that_a_merchant_was_in_count() -> None:
    long = live(desired(merchants=("a",), **WINDOW), "1", status=ONGOING)
    short = live(
        desired(merchants=("b", "c"), **WINDOW | {"end_time": NOW + timedelta(minutes=10)}),
        "2",
        status=ONGOING,
    )
    new = desired(merchants=("b",), begin_time=NOW + timedelta(minutes=30))
    assert coverage_of(new, long, short).sets == (
        both(1, 600),
        left(FIVE_DAYS, "a"),
        left(600, "c"),
    )


@pytest.mark.parametrize(
    ("order", "old_begins", "new_begins", "moment"),
    [
        ("create_first", -1, -1, "overlap"),
        ("terminate_first", -1, -1, "gap"),
        ("create_first", -1, 1, ""),
        ("create_first", 1, -1, ""),
    ],
)
def test_two_overlap_for_the_moment_between_two_calls_if_one_runs_and_the_other_starts_at_once(
    order: Any, old_begins: int, new_begins: int, moment: str
) -> None:
    old = live(desired(begin_time=NOW + timedelta(days=old_begins)))
    new = desired(replace=order, begin_time=NOW + timedelta(days=new_begins, hours=1))
    assert coverage_of(new, old).moment == moment


def test_what_a_replacement_covers_is_not_in_the_digest() -> None:
    made = plan([desired(transaction_amount_minimum=7)], [live(desired())])
    told = replace(made, changes=tuple(replace(each, coverage=None) for each in made.changes))
    assert plan_digest(told) == plan_digest(made)


# -- the plan as data --------------------------------------------------------------------------------------------------


def test_the_digest_covers_operations_and_not_the_clock_the_order_or_the_paths() -> None:
    specs = [desired("one", merchant_logo_url=LOCAL), desired("two")]
    digest = plan_digest(plan(specs))
    assert len(digest) == 64
    assert plan_digest(plan(specs[::-1], now=NOW + timedelta(minutes=1))) == digest
    moved = Image(sha256=LOCAL.sha256, path="elsewhere.png")
    assert plan_digest(plan([desired("one", merchant_logo_url=moved), specs[1]])) == digest
    assert plan_digest(plan([specs[0], desired("two", activity_name="别的")])) != digest
    assert plan_digest(plan([specs[0]])) != digest


def test_the_digest_covers_preconditions() -> None:
    wanted = desired(merchants=mchids(3))
    one, other = (plan([wanted], [live(desired(), merchants=mchids(2), status=s)]) for s in (CREATED, ONGOING))
    assert plan_digest(one) != plan_digest(other)


@given(st.lists(any_terms(), max_size=4), st.permutations(range(4)))
def test_a_plan_does_not_depend_on_the_order_of_what_it_is_given(each: list[Terms], order: list[int]) -> None:
    specs = [desired(f"k{index}") for index in range(len(each))]
    specs = [replace(spec, terms=own) for spec, own in zip(specs, each, strict=True)]
    lives = [live(spec, str(index)) for index, spec in enumerate(specs)]
    shuffled = [lives[index] for index in order if index < len(lives)]
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert plan(specs, lives, now=now) == plan(specs[::-1], shuffled, now=now)


@given(any_terms())
def test_what_was_created_from_a_spec_fulfils_it(each: Terms) -> None:
    spec = replace(desired(), terms=each)
    assert plan([spec], [live(spec)], now=each.begin_time).empty
