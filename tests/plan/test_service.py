"""What customers lose counts, whatever the operation is called (concepts.md#plan)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import DayWindow, DesiredActivity, LiveActivity, Window
from reconciler.model.operations import TerminateActivity
from reconciler.model.plan import ActivityChange, MerchantCoverage, Plan
from reconciler.model.policy import Policy
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import make_plan, spans
from reconciler.render.text import plan_text
from reconciler.render.views.plan import plan_view
from tests.support.samples import NAMESPACE, NOW, ONGOING, PAUSED, any_terms, desired, live, mchids, terms

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RUNNING: dict[str, Any] = {"begin_time": NOW - 3 * DAY, "end_time": NOW + 10 * DAY}


def plan(
    wanted: list[DesiredActivity], lives: list[LiveActivity], *, witness: Witness = NO_WITNESS, **policy: Any
) -> Plan:
    return make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy), witness=witness)


def refused(made: Plan) -> list[str]:
    return [f"{each.code}:{each.key}" if each.key else each.code for each in made.refusals]


def codes(made: Plan) -> list[str]:
    return [each.code for each in made.findings]


def running(key: str = "spring", activity_id: str = "1", **changes: Any) -> LiveActivity:
    status = changes.pop("status", ONGOING)
    return live(desired(key, **{**RUNNING, **changes}), activity_id, status=status)


def sets(made: Plan, key: str = "spring") -> list[tuple[str, int, float, float]]:
    """What a change means to its merchants: set, count, days of this gift lost, days of nothing at all."""
    (change,) = (each for each in made.changes if each.key == key)
    assert change.coverage is not None
    return [
        (each.set, each.count, each.gap_seconds / 86_400, each.nothing_seconds / 86_400)
        for each in change.coverage.sets
    ]


def said(made: Plan) -> str:
    return plan_text(plan_view(made), digest="d", notes=True)


# -- every end says what it means --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [([], "removed"), ([desired(state="terminated", **RUNNING)], "state")],
)
def test_an_end_without_a_successor_says_who_has_nothing_from_then_on(
    wanted: list[DesiredActivity], reason: str
) -> None:
    made = plan([desired("other"), *wanted], [running(merchants=mchids(37)), live(desired("other"), "2")])
    assert [each.reason for each in made.operations if isinstance(each, TerminateActivity)] == [reason]
    assert sets(made) == [("old", 37, 10, 10)]
    assert "37 merchants give nothing from then on" in said(made)


def test_a_spec_that_has_ended_says_it_too() -> None:
    early = desired(begin_time=NOW - 9 * DAY, end_time=NOW - 2 * DAY)
    assert sets(plan([early], [running()])) == [("old", 1, 10, 10)]


def test_what_is_superseded_says_whose_gift_ends_with_it() -> None:
    spec = desired("both", renamed_from=("a", "b"), merchants=mchids(12), **RUNNING)
    lives = [
        running("a", "1", merchants=mchids(12)),
        running("b", "2", merchants=mchids(12, start=1700000001)),
    ]
    made = plan([spec], lives, max_terminations=0)
    assert sets(made, "both") == [("old", 12, 10, 10)]
    assert refused(made) == ["TOO_MANY_DELETIONS:both", "TOO_MANY_TERMINATIONS"]


def test_where_other_activities_give_it_is_not_said_that_nothing_is_given() -> None:
    everyday = running("everyday", "2", merchants=mchids(3), end_time=NOW + 4 * DAY)
    made = plan(
        [desired("everyday", merchants=mchids(3), **RUNNING | {"end_time": NOW + 4 * DAY})],
        [running(merchants=mchids(3)), everyday],
    )
    assert sets(made) == [("old", 3, 10, 6)]
    assert "3 merchants lose this gift" in said(made)
    assert "nothing at all for 6 d of it" in said(made)
    assert "give nothing" not in said(made)


# -- "no gap" only where it is true ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({"end_time": NOW + 4 * DAY}, 6),
        ({"available_day_time": (DayWindow("110000", "110000"),)}, 10 - 10 / 86_400),
        ({"available_day_time": (DayWindow("000000", "115959"),)}, 5),
        ({"available_time": (Window(NOW - DAY, NOW + DAY),)}, 9),
        ({"begin_time": NOW + 2 * DAY}, 2),
        ({"transaction_amount_minimum": 7}, 0),
    ],
)
def test_a_replacement_loses_what_the_new_one_does_not_give(changes: dict[str, Any], days: float) -> None:
    made = plan([desired(**{**RUNNING, **changes})], [running()])
    assert sets(made) == [("both", 1, days, days)]
    assert ("no gap" in said(made)) == (days == 0)


def test_a_paused_activity_gives_nothing_that_could_be_lost() -> None:
    made = plan([desired(transaction_amount_minimum=7, **RUNNING)], [running(status=PAUSED)])
    assert sets(made) == [("both", 1, 0, 0)]
    assert made.changes[0].coverage is not None
    assert made.changes[0].coverage.moment == "paused"
    assert "both give" not in said(made)


@pytest.mark.parametrize(("order", "moment"), [("terminate_first", "gap"), ("create_first", "overlap")])
def test_what_happens_between_the_two_calls_does_not_depend_on_the_hour_of_the_plan(order: str, moment: str) -> None:
    """A plan made at ten is applied at noon, and a create that is refused leaves nothing on any day."""
    lunch = {**RUNNING, "available_day_time": (DayWindow("110000", "135959"),)}
    changed = desired(**lunch, transaction_amount_minimum=7, replace=order)
    made = plan([changed], [running(available_day_time=(DayWindow("110000", "135959"),))])
    assert made.changes[0].coverage is not None
    assert made.changes[0].coverage.moment == moment


def test_a_window_of_the_old_one_that_is_over_is_no_loss() -> None:
    over = running(available_time=(Window(NOW - 3 * DAY, NOW - DAY),))
    assert sets(plan([], [over])) == [("old", 1, 0, 0)]


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [100, 200])
def test_losing_most_of_the_merchants_is_refused_with_and_without_an_edit(amount: int) -> None:
    made = plan(
        [desired(merchants=mchids(5), transaction_amount_minimum=amount, **RUNNING)],
        [running(merchants=mchids(100))],
    )
    assert "TOO_MANY_DELETIONS:spring" in refused(made)
    finding = next(each for each in made.findings if each.code == "TOO_MANY_DELETIONS")
    assert (finding.facts["count"], finding.facts["before"]) == (95, 100)


def test_a_replacement_for_other_merchants_is_an_end() -> None:
    made = plan(
        [desired(merchants=mchids(3), transaction_amount_minimum=7, **RUNNING)],
        [running(merchants=mchids(3, start=1700000001))],
        max_terminations=0,
    )
    assert refused(made) == ["TOO_MANY_TERMINATIONS"]


def test_activities_count_and_not_keys() -> None:
    lives = [running(activity_id=str(number), generation=number) for number in range(1, 6)]
    made = plan([desired("other")], [*lives, live(desired("other"), "9")], max_terminations=4)
    (finding,) = made.refusals
    assert (finding.code, finding.facts["count"]) == ("TOO_MANY_TERMINATIONS", 5)


def test_what_is_kept_with_most_of_the_merchants_is_a_successor() -> None:
    lives = [running("spring", "1", merchants=mchids(9)), running("spring", "2", merchants=mchids(8))]
    made = plan([desired(merchants=mchids(9), **RUNNING)], lives, max_terminations=0)
    assert [each.activity_id for each in made.operations if isinstance(each, TerminateActivity)] == ["2"]
    assert refused(made) == []


def test_switches_of_running_activities_can_be_limited() -> None:
    wanted = [desired(key, transaction_amount_minimum=7, **RUNNING) for key in ("a", "b")]
    lives = [running("a", "1"), running("b", "2")]
    assert refused(plan(wanted, lives)) == []
    assert refused(plan(wanted, lives, max_replacements_running=2)) == []
    assert refused(plan(wanted, lives, max_replacements_running=1)) == ["TOO_MANY_REPLACEMENTS"]
    later = [replace(each, terms=replace(each.terms, begin_time=NOW + HOUR)) for each in wanted]
    waiting = [live(desired(key, begin_time=NOW + DAY), key) for key in ("a", "b")]
    assert refused(plan(later, waiting, max_replacements_running=0)) == []


def test_waiving_that_there_are_no_specs_waives_nothing_else() -> None:
    lives = [running(f"k{number}", str(number)) for number in range(6)]
    made = plan([], lives, allow=frozenset({"NO_SPECS"}))
    assert refused(made) == ["TOO_MANY_TERMINATIONS"]


# -- which one of several is kept --------------------------------------------------------------------------------------


def ended(made: Plan) -> list[str]:
    return [each.activity_id for each in made.operations if isinstance(each, TerminateActivity)]


def test_of_several_the_one_that_gives_is_kept() -> None:
    paused = running(activity_id="1", status=PAUSED)
    gives = replace(running(activity_id="2"), out_request_no="liangpin_spring_g7_" + paused.out_request_no[-12:])
    assert ended(plan([desired(**RUNNING)], [paused, gives])) == ["1"]


def test_of_several_that_give_the_one_with_most_merchants_is_kept() -> None:
    small = running(activity_id="1", merchants=mchids(2))
    large = running(activity_id="2", merchants=mchids(40), generation=2)
    assert ended(plan([desired(merchants=mchids(40), **RUNNING)], [small, large])) == ["1"]


def test_nothing_that_gives_ends_for_one_that_is_paused() -> None:
    paused = running(activity_id="1", status=PAUSED)
    gives = running(activity_id="2", transaction_amount_minimum=7)
    made = plan([desired(**RUNNING)], [paused, gives])
    assert refused(made) == ["SUCCESSOR_UNFIT:spring"]
    assert made.refusals[0].facts["activity_ids"] == ["2"]


def test_raising_the_generation_runs_paused_terms_again() -> None:
    made = plan([desired(generation=2, **RUNNING)], [running(status=PAUSED)])
    assert [each.operation for each in made.operations] == ["create", "terminate"]
    assert "PAUSED" in codes(made)
    assert plan([desired(**RUNNING)], [running(status=PAUSED)]).empty


# -- what ends soon ----------------------------------------------------------------------------------------------------

SOON: dict[str, Any] = {"begin_time": NOW - 3 * DAY, "end_time": NOW + 2 * DAY}


def soon(successor: list[DesiredActivity], lives: list[LiveActivity], **changes: Any) -> list[dict[str, object]]:
    own = desired(merchants=mchids(500), **SOON)
    made = plan([own, *successor], [live(own, "1", status=ONGOING, **changes), *lives])
    return [dict(each.facts) for each in made.findings if each.code == "ENDS_SOON"]


NEXT = desired("next", begin_time=NOW + 2 * DAY + HOUR, end_time=NOW + 30 * DAY, merchants=mchids(500))


def test_a_successor_that_is_there_or_will_be_silences_it() -> None:
    assert soon([NEXT], []) == []
    assert soon([NEXT], [live(NEXT, "2")]) == []


@pytest.mark.parametrize(
    ("successor", "lives", "count"),
    [
        ([replace(NEXT, state="terminated")], [live(NEXT, "2")], 500),
        ([NEXT], [live(NEXT, "2", status=PAUSED)], 500),
        ([NEXT], [live(NEXT, "2", status="TERMINATE_ACT_STATUS")], 500),
        ([replace(NEXT, merchants=mchids(1))], [], 499),
    ],
)
def test_a_successor_that_does_not_give_does_not(
    successor: list[DesiredActivity], lives: list[LiveActivity], count: int
) -> None:
    (facts,) = soon(successor, lives)
    assert (facts["count"], facts["of"]) == (count, 500)


def test_the_end_that_counts_is_that_of_the_live_one() -> None:
    own = desired(adopt="1", **RUNNING)
    elsewhere = live(activity_id="1", merchants=("1900000001",), terms=terms(**SOON), status=ONGOING)
    made = plan([replace(own, terms=elsewhere.terms or own.terms)], [elsewhere])
    assert codes(made) == ["ENDS_SOON"]
    contradicting = replace(running(), terms=replace(terms(**RUNNING), end_time=NOW + DAY))
    assert sorted(codes(plan([desired(**RUNNING)], [contradicting]))) == ["ENDS_SOON", "LIVE_TERMS_DIFFER"]


# -- windows -----------------------------------------------------------------------------------------------------------


def test_a_daily_window_that_meets_no_span_of_the_activity_is_named() -> None:
    morning = Window(NOW + HOUR, NOW + 3 * HOUR)  # 11:00 to 13:00 in Beijing
    window = DayWindow("180000", "200000")
    spec = desired(available_time=(morning,), available_day_time=(DayWindow("110000", "125959"), window), **RUNNING)
    assert [each.facts["windows"] for each in plan([spec], []).findings if each.code == "WINDOW_NEVER_OPENS"] == [
        ["180000–200000"]
    ]


# -- the arithmetic ----------------------------------------------------------------------------------------------------

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))).map(spans.union)


def moments(each: spans.Spans) -> set[int]:
    return {second for begin, end in each for second in range(begin, end)}


@given(SPANS, SPANS)
def test_spans_are_sets_of_seconds(one: spans.Spans, other: spans.Spans) -> None:
    assert moments(spans.overlap(one, other)) == moments(one) & moments(other)
    assert moments(spans.without(one, other)) == moments(one) - moments(other)
    assert moments(spans.union([*one, *other])) == moments(one) | moments(other)
    assert spans.seconds(one) == len(moments(one))
    for found in (spans.overlap(one, other), spans.without(one, other), spans.union([*one, *other])):
        assert list(found) == sorted(found)
        assert all(begin < end for begin, end in found)


@given(any_terms(), st.integers(-100, 400))
def test_an_activity_gives_inside_its_own_time_only(each: Any, days: int) -> None:
    now = each.begin_time + days * DAY
    given_spans = spans.giving(each, now)
    for begin, end in given_spans:
        assert begin >= int(max(now, each.begin_time).timestamp())
        assert end <= int(each.end_time.timestamp())
    if not each.available_time and not each.available_day_time and now <= each.begin_time and days > -300:
        assert spans.seconds(given_spans) == int((each.end_time - each.begin_time).total_seconds())


def test_a_window_over_midnight_is_open_on_both_sides_of_it() -> None:
    each = terms(available_day_time=(DayWindow("220000", "015959"),), **RUNNING)
    assert spans.seconds(spans.giving(each, NOW)) == 10 * 4 * 3600


def coverage(change: ActivityChange) -> tuple[MerchantCoverage, ...]:
    assert change.coverage is not None
    return change.coverage.sets


def test_many_ways_to_fare_are_told_as_few() -> None:
    lives = [
        running("spring", str(number), merchants=(f"16000000{number:02}",), end_time=NOW + number * DAY)
        for number in range(1, 10)
    ]
    (change,) = plan([desired("other", state="terminated")], lives).changes
    assert [(each.count, each.gap_seconds // 86_400, each.up_to) for each in coverage(change)] == [
        (1, 9, False),
        (1, 8, False),
        (1, 7, False),
        (6, 6, True),
    ]
    assert "up to 6 d" in plan_text(plan_view(plan([desired("other", state="terminated")], lives)), digest="d")
