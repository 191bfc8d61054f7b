"""What was changed outside, what is pending, and since when if the remote says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, Severity
from reconciler.model.identity import number_of
from reconciler.model.operations import AddMerchants, CreateActivity, TerminateReason
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.model.report import Outcome, OutcomeStatus, Rejection, Report
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import Drift, DriftCode, Undo, drifts, make_plan, undo_of, undos_of, ways_back
from reconciler.plan.drift import ENDS
from reconciler.render.json_ import drift_json, report_json
from reconciler.render.messages import UNDO
from reconciler.render.text import listing_text
from reconciler.render.views.drift import SENTENCES, UNWITNESSED, drift_view, sentence
from tests.render.test_text import everything, everything_happened
from tests.support.samples import FAILED, NAMESPACE, NOW, ONGOING, OVER_TIME, PAUSED, TERMINATED, desired, live, mchids

YESTERDAY = NOW - timedelta(days=1)
SPEC = desired()
EDITED = desired(goods_tags=("tea",))
NUMBER: Final = str(number_of(NAMESPACE, SPEC))
MADE: Final = Witness(created={"1": NUMBER})
"""The journal knows that paygift made activity 1 from SPEC, and has not ended it."""


def told(
    wanted: Sequence[DesiredActivity],
    lives: Sequence[LiveActivity],
    witness: Witness = NO_WITNESS,
    **policy: Any,
) -> tuple[Drift, ...]:
    plan = make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy), witness=witness)
    return drifts(plan, lives, wanted, witness)


def names(found: Sequence[Drift]) -> tuple[list[str], list[str]]:
    """What was changed outside and what is pending, each as ``CODE key activity_id``."""
    outside, pending = (
        [" ".join((each.code, each.key or "-", each.activity_id)).strip() for each in found if each.pending is part]
        for part in (False, True)
    )
    return outside, pending


def other(activity_id: str = "2", **changes: Any) -> LiveActivity:
    """An activity of the key with the terms of EDITED."""
    return live(EDITED, activity_id, **changes)


@pytest.mark.parametrize(
    ("wanted", "lives", "outside"),
    [
        ([SPEC], [live(SPEC)], []),
        ([SPEC], [live(SPEC, "1", status=PAUSED)], ["PAUSED spring 1"]),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=YESTERDAY)], ["NEWCOMER - 9"]),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=YESTERDAY, terms=None)], ["NEWCOMER - 9"]),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=None)], []),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=NOW - timedelta(days=30))], []),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=YESTERDAY, status=TERMINATED)], []),
        ([desired(state="terminated")], [live(SPEC, "1", status=TERMINATED)], []),
        ([SPEC], [live(SPEC, "1", terms=EDITED.terms)], ["LIVE_TERMS_DIFFER spring 1"]),
    ],
)
def test_what_was_changed_outside_is_named(
    wanted: list[DesiredActivity], lives: list[LiveActivity], outside: list[str]
) -> None:
    assert names(told(wanted, lives)) == (outside, [])


@pytest.mark.parametrize(
    ("wanted", "lives", "policy", "pending"),
    [
        ([SPEC], [], {}, ["NOT_CREATED spring"]),
        ([EDITED], [live(SPEC, "1")], {}, ["TERMS_DIFFER spring 1"]),
        ([desired("other", activity_name="x"), SPEC], [live(SPEC)], {}, ["NOT_CREATED other"]),
        ([desired(state="terminated")], [live(SPEC, "1")], {}, ["SHOULD_END spring 1"]),
        ([desired("a")], [live(desired("a")), live(SPEC, "1")], {}, ["SHOULD_END spring 1"]),
        (
            [desired("a")],
            [live(desired("a")), live(SPEC, "1")],
            {"on_removed": "refuse"},
            ["SHOULD_END spring 1"],
        ),
        ([desired("a")], [live(desired("a")), live(SPEC, "1")], {"on_removed": "ignore"}, []),
        ([SPEC], [live(SPEC, "1"), other()], {}, ["SUPERSEDED spring 2"]),
        ([SPEC], [live(SPEC, "1"), other(), other("3")], {}, ["SUPERSEDED spring 2", "SUPERSEDED spring 3"]),
        ([desired(protect=True, state="terminated")], [live(SPEC, "1")], {}, ["SHOULD_END spring 1"]),
        ([desired(adopt="404")], [], {}, ["REFUSED spring 404"]),
        ([SPEC], [live(SPEC, "1", status=FAILED)], {}, ["REFUSED spring 1"]),
        ([SPEC], [live(SPEC, "1", terms=None)], {}, ["REFUSED spring"]),
    ],
)
def test_an_edit_that_is_not_applied_is_pending_and_no_drift(
    wanted: list[DesiredActivity], lives: list[LiveActivity], policy: dict[str, Any], pending: list[str]
) -> None:
    found = told(wanted, lives, **policy)
    assert names(found) == ([], pending)
    assert all(each.since is None for each in found)
    # Whatever the journal knows of other things changes nothing about it.
    assert names(told(wanted, lives, Witness(created={"77": "elsewhere"}, terminated=frozenset("8")), **policy)) == (
        [],
        pending,
    )


def test_a_pending_edit_names_what_apply_would_refuse() -> None:
    (found,) = told([desired(protect=True, state="terminated")], [live(SPEC, "1")])
    assert [each.code for each in found.refusals] == ["PROTECTED"]
    assert "; `apply` would end it. Refused: PROTECTED: activity 1 is protected" in sentence(found)


def test_every_reason_for_an_end_has_a_code() -> None:
    assert set(ENDS) == set(get_args(TerminateReason))


# -- merchants ---------------------------------------------------------------------------------------------------------

WANTED: Final = desired(merchants=("1", "2", "3"))


def merchants(there: str, left: str | None, spec: DesiredActivity = WANTED) -> list[tuple[bool, str, str]]:
    """(pending, added, missing) for an activity that has ``there``, and in which paygift left ``left``."""
    witness = NO_WITNESS if left is None else Witness(merchants={"9": frozenset(left)})
    found = told([spec], [replace(live(spec, "9"), merchants=tuple(there))], witness)
    assert {each.code for each in found} <= {"MERCHANTS_DIFFER"}
    assert all(each.since is None for each in found)
    return [(each.pending, "".join(each.added), "".join(each.missing)) for each in found]


@pytest.mark.parametrize(
    ("there", "left", "expected"),
    [
        ("123", "123", []),
        ("12", "12", [(True, "", "3")]),  # added to the group file
        ("1234", "1234", [(True, "4", "")]),  # taken out of the group file
        ("124", "124", [(True, "4", "3")]),
        ("1239", "123", [(False, "9", "")]),  # added on the platform
        ("13", "123", [(False, "", "2")]),  # deleted on the platform
        ("19", "12", [(False, "9", "2"), (True, "", "3")]),
        ("123", "12", []),  # done outside, and the spec says so by now
        ("123", "1234", []),
        ("124", "1234", [(False, "", "3"), (True, "4", "")]),
        ("12349", "", [(False, "49", "")]),
    ],
)
def test_merchants_are_compared_with_those_that_paygift_left(
    there: str, left: str, expected: list[tuple[bool, str, str]]
) -> None:
    assert merchants(there, left) == expected


MCHIDS = st.sets(st.sampled_from("123456"), min_size=1)


@given(MCHIDS, MCHIDS, MCHIDS)
def test_every_merchant_is_told_once_and_on_the_side_of_whoever_changed_it(
    there: set[str], left: set[str], wanted: set[str]
) -> None:
    parts = merchants("".join(sorted(there)), "".join(left), desired(merchants=sorted(wanted)))
    assert sorted("".join(added for _, added, _ in parts)) == sorted(there - wanted)
    assert sorted("".join(missing for _, _, missing in parts)) == sorted(wanted - there)
    for pending, added, missing in parts:
        touched = {*added, *missing}
        assert touched <= left ^ wanted if pending else touched <= there ^ left
    assert not any(pending for pending, _, _ in parts) or left != wanted
    assert any(not pending for pending, _, _ in parts) == bool((there ^ left) & (there ^ wanted))


def test_without_a_record_nobody_knows_who_changed_the_merchants() -> None:
    (found,) = told([desired(merchants=mchids(2))], [live(SPEC, "1")])
    assert (found.pending, found.witnessed) == (False, False)
    assert "it is not known who changed them" in sentence(found)
    assert listing_text(drift_view([found])).startswith(
        "Changed outside, or not known by whom:\n  MERCHANTS_DIFFER  spring: "
    )
    (found,) = told([desired(merchants=mchids(2))], [live(SPEC, "1")], Witness(merchants={"2": frozenset()}))
    assert not found.witnessed


def test_what_was_adopted_a_moment_ago_is_pending_if_a_journal_shows_that_no_apply_has_touched_it() -> None:
    adopting = desired(adopt="9", merchants=("1", "2"))
    lives = [replace(live(activity_id="9"), merchants=("1",), out_request_no="web-1")]
    assert names(told([adopting], lives, MADE)) == ([], ["MERCHANTS_DIFFER spring 9"])
    touched = replace(MADE, adopted={"9": "spring"})
    assert names(told([adopting], lives, touched)) == (["MERCHANTS_DIFFER spring 9"], [])


def test_the_numbers_are_named_and_a_long_list_is_cut_in_text_only() -> None:
    spec = desired(merchants=("1900000001", "1900100001"))
    there = ("1900000001", "1900777777")
    left = Witness(merchants={"1": frozenset(spec.merchants)})
    (found,) = told([spec], [replace(live(spec, "1"), merchants=there)], left)
    assert sentence(found) == ("the merchants of activity 1 were changed: 1 added (1900777777), 1 missing (1900100001)")
    many = mchids(900)
    (found,) = told([desired(merchants=many)], [live(SPEC, "1", merchants=())], NO_WITNESS)
    assert "900 missing (1600000001, 1600000002, 1600000003 and 897 more)" in sentence(found)
    plan = make_plan([SPEC], [], namespace=NAMESPACE, now=NOW)
    (item,) = json.loads(json.dumps(drift_json([found], plan)))["items"]
    assert item["merchants_missing"] == list(many)


def test_what_is_pending_says_what_apply_would_do() -> None:
    (found,) = told(
        [desired(merchants=("1", "2"))],
        [replace(live(SPEC, "9"), merchants=("1", "3"))],
        Witness(merchants={"9": frozenset("13")}),
    )
    assert sentence(found).endswith("not yet those of the spec: 1 to add (2), 1 to delete (3)")


# -- ends --------------------------------------------------------------------------------------------------------------

AGAIN: Final = ["REFUSED spring 1"]
BY_HAND: Final = ["ENDED_BY_HAND spring 1"]


@pytest.mark.parametrize(
    ("lives", "witness", "expected"),
    [
        ([live(SPEC, "1", status=TERMINATED)], NO_WITNESS, (BY_HAND, [])),
        ([live(SPEC, "1", status=TERMINATED)], MADE, (BY_HAND, [])),
        ([live(SPEC, "1", status=TERMINATED)], Witness(terminated=frozenset("1")), ([], AGAIN)),
        # Of two that have ended, it is the one with the number of the spec, wherever it stands in the list.
        ([other("0", status=TERMINATED), live(SPEC, "1", status=TERMINATED)], MADE, (BY_HAND, [])),
        ([live(SPEC, "1", status=TERMINATED), other("2", status=TERMINATED)], MADE, (BY_HAND, [])),
        # A spec that went back to terms that were replaced: paygift ended them, journal or not.
        ([live(SPEC, "1", status=TERMINATED), other("2")], NO_WITNESS, ([], AGAIN)),
        (
            [live(SPEC, "1", status=TERMINATED), other("2", status=TERMINATED, create_time=YESTERDAY)],
            NO_WITNESS,
            ([], AGAIN),
        ),
        (
            [live(SPEC, "1", status=TERMINATED), other("2", status=FAILED, create_time=YESTERDAY)],
            NO_WITNESS,
            (BY_HAND, []),
        ),
        ([live(SPEC, "1", status=TERMINATED), other("2")], MADE, (BY_HAND, [])),
        ([live(SPEC, "1", status=OVER_TIME)], MADE, ([], AGAIN)),
        ([live(SPEC, "1", status=FAILED)], MADE, ([], AGAIN)),
        ([live(SPEC, "1", status=TERMINATED, create_time=None)], NO_WITNESS, (BY_HAND, [])),
    ],
)
def test_only_what_somebody_else_terminated_was_ended_by_hand(
    lives: list[LiveActivity], witness: Witness, expected: tuple[list[str], list[str]]
) -> None:
    assert names(told([SPEC], lives, witness)) == expected
    assert names(told([SPEC], lives[::-1], witness)) == expected


def test_an_end_by_hand_says_how_to_run_again_and_since_when() -> None:
    ended = live(SPEC, "1", status=TERMINATED, update_time=YESTERDAY)
    (found,) = told([SPEC], [ended], MADE)
    assert found.since == YESTERDAY
    assert sentence(found).startswith("activity 1 was terminated, and not by paygift. Refused: NUMBER_USED: ")
    assert "`generation: 2`" in sentence(found)
    (found,) = told([SPEC], [ended])
    assert "it is not known by whom" in sentence(found)


def test_an_end_by_hand_is_told_beside_an_edit_that_would_hide_it() -> None:
    ended = live(SPEC, "1", status=TERMINATED)
    assert names(told([EDITED], [ended], MADE)) == (BY_HAND, ["NOT_CREATED spring"])
    assert names(told([EDITED], [ended])) == ([], ["NOT_CREATED spring"])
    assert names(told([desired(generation=2)], [ended], MADE)) == (BY_HAND, ["NOT_CREATED spring"])


def test_an_adopted_activity_can_be_ended_by_hand_too() -> None:
    spec = desired(adopt="7")
    ended = replace(live(activity_id="7", status=TERMINATED), out_request_no="web-1")
    assert names(told([spec], [ended], Witness(adopted={"7": "spring"}))) == (["ENDED_BY_HAND spring 7"], [])
    assert names(told([spec], [ended], Witness(terminated=frozenset("7")))) == ([], ["REFUSED spring 7"])


def test_what_paygift_made_and_is_gone_has_vanished() -> None:
    assert names(told([SPEC], [], MADE)) == (["VANISHED spring 1"], [])
    assert names(told([EDITED], [], MADE)) == ([], ["NOT_CREATED spring"])
    renamed = desired("easter", renamed_from=("spring",))
    assert names(told([renamed], [], MADE)) == (["VANISHED easter 1"], [])
    assert names(told([desired(adopt="7")], [], Witness(adopted={"7": "spring"}))) == (
        ["VANISHED spring 7"],
        [],
    )
    (found,) = told([SPEC], [], MADE)
    assert sentence(found) == "activity 1, which paygift managed for it, is no longer on the account"


# -- terms -------------------------------------------------------------------------------------------------------------


def test_live_terms_that_contradict_the_number_are_drift_and_name_the_fields() -> None:
    spec = desired(background_color=None)
    shown = replace(spec.terms, transaction_amount_minimum=200, background_color="Color100")
    (found,) = told([spec], [live(spec, "1", terms=shown)])
    assert (found.code, found.pending, [each.path for each in found.fields]) == (
        "LIVE_TERMS_DIFFER",
        False,
        ["award_send_rule.transaction_amount_minimum"],
    )
    assert "transaction_amount_minimum is ¥2.00, the spec says ¥1.00" in sentence(found)


def test_their_merchants_are_told_beside_them() -> None:
    lives = [live(SPEC, "1", terms=EDITED.terms, merchants=("1900000001", "1900000009"))]
    witness = Witness(merchants={"1": frozenset(SPEC.merchants)})
    expected = ["LIVE_TERMS_DIFFER spring 1", "MERCHANTS_DIFFER spring 1"]
    assert names(told([SPEC], lives, witness)) == (expected, [])


def test_an_edit_names_the_fields_too() -> None:
    (found,) = told([EDITED], [live(SPEC, "1")])
    assert sentence(found) == (
        "the terms of activity 1 are not those of the spec: advanced_setting.goods_tags is (none), the spec says tea; "
        "`apply` would replace it"
    )


# -- text and data -----------------------------------------------------------------------------------------------------


def test_it_says_since_when_if_the_remote_does() -> None:
    paused = replace(live(SPEC, "1", status=PAUSED), pause_time=YESTERDAY)
    since = "(since 2026-11-24 10:00:00, says WeChat Pay)"
    assert listing_text(drift_view(told([SPEC], [paused]))).splitlines() == [
        "Changed outside:",
        f"  PAUSED  spring: activity 1 was paused on the merchant platform {since}",
        "",
        "1 changed outside, 0 pending. Times are Beijing time.",
    ]


def test_the_text_has_two_parts() -> None:
    found = told([SPEC, desired("summer", activity_name="夏")], [live(SPEC, "1", status=PAUSED)])
    text = listing_text(drift_view(found))
    heads = [line for line in text.splitlines() if line and not line.startswith("  ")]
    assert heads == [
        "Changed outside:",
        "Pending: not applied yet",
        "1 changed outside, 1 pending. Times are Beijing time.",
    ]


def test_no_drift_is_one_line_and_clean_data() -> None:
    plan = make_plan([SPEC], [live(SPEC, status=ONGOING)], namespace=NAMESPACE, now=NOW, mchid="1900000001")
    assert listing_text(drift_view([])) == "No drift: live is as specified.\n"
    data = drift_json([], plan)
    assert (data["kind"], data["clean"], data["items"], data["mchid"]) == ("drift", True, [], "1900000001")


def test_data_holds_what_the_text_says() -> None:
    plan = make_plan([SPEC], [], namespace=NAMESPACE, now=NOW)
    items = json.loads(json.dumps(drift_json(drifts(plan, [], [SPEC]), plan)))["items"]
    assert items == [
        {
            "code": "NOT_CREATED",
            "key": "spring",
            "activity_id": "",
            "pending": True,
            "witnessed": True,
            "since": None,
            "merchants_added": [],
            "merchants_missing": [],
            "fields": [],
            "refusals": [],
            "text": SENTENCES["NOT_CREATED"],
        }
    ]


@pytest.mark.parametrize("code", get_args(DriftCode))
@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("witnessed", [False, True])
def test_every_code_has_a_sentence(code: DriftCode, pending: bool, witnessed: bool) -> None:
    if not witnessed and code not in UNWITNESSED:
        return
    refusal = Finding("NO_SPECS", Severity.REFUSAL, "spring", {"managed": 2})
    evil = Drift(code, "spring", "1\x1b[2J", None, pending, witnessed, added=("\u202e",), refusals=(refusal,))
    assert "{" not in sentence(evil)
    assert listing_text(drift_view([evil])).replace("\n", "").isprintable()
    (item,) = json.loads(json.dumps(drift_json([evil], make_plan([], [], namespace=NAMESPACE, now=NOW))))["items"]
    assert item["text"].isprintable()


@pytest.mark.parametrize("moment", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_a_time_at_the_end_of_all_calendars_is_told(moment: datetime) -> None:
    (found,) = told([SPEC], [live(SPEC, "1", status=PAUSED, pause_time=moment)])
    assert f"{moment.year:04}" in listing_text(drift_view([found]))


# -- what would take it back -------------------------------------------------------------------------------------------


def test_every_operation_says_what_would_take_it_back() -> None:
    undone = {step.operation: undo_of(step) for step in everything().operations}
    assert undone["terminate"] == Undo("run_again", possible=False)
    assert undone["create"] == Undo("terminate", possible=False)
    assert undone["add_merchants"].code == "delete_merchants"
    assert undone["delete_merchants"].merchants
    assert undone["upload_image"].code == "nothing"


def test_a_change_is_taken_back_by_each_kind_of_step_once() -> None:
    found = {change.key: undos_of(change.operations) for change in everything().changes}
    assert found["create"] == ("terminate",)  # in one go, although it takes three calls to make it
    assert found["gap"] == ("terminate", "run_again")  # the new one begins later, and is created first
    assert found["replaced"] == ("terminate", "run_again")
    assert found["merchants"] == ("delete_merchants", "add_merchants")
    assert found["gone"] == ("run_again",)


def outcome(operation: str, status: OutcomeStatus, *rejected: str) -> Outcome:
    """What came of the first operation of its kind in a plan that has all kinds."""
    step = next(each for each in everything().operations if each.operation == operation)
    return Outcome(step, status, "20406354", rejections=tuple(Rejection(each, "?") for each in rejected))


def test_what_was_not_done_or_not_by_this_run_has_nothing_to_take_back() -> None:
    for operation in ("create", "add_merchants", "delete_merchants", "terminate", "upload_image"):
        for status in (OutcomeStatus.FAILED, OutcomeStatus.NOT_STARTED, OutcomeStatus.ALREADY_DONE):
            assert undo_of(outcome(operation, status)) == Undo("not_done", possible=True)
        assert undo_of(outcome(operation, OutcomeStatus.UNKNOWN)) == Undo("unknown", possible=False)
        done = outcome(operation, OutcomeStatus.DONE)
        assert undo_of(done) == undo_of(done.operation)


@pytest.mark.parametrize("operation", ["add_merchants", "delete_merchants"])
def test_of_a_part_only_that_part_is_taken_back(operation: str) -> None:
    planned = undo_of(outcome(operation, OutcomeStatus.DONE)).merchants
    assert len(planned) > 1
    found = undo_of(outcome(operation, OutcomeStatus.PARTIAL, planned[0]))
    assert found.merchants == planned[1:]
    assert undo_of(outcome(operation, OutcomeStatus.FAILED, *planned)).code == "not_done"


def test_an_activity_that_was_created_without_its_merchants_can_be_ended_all_the_same() -> None:
    assert undo_of(outcome("create", OutcomeStatus.FAILED, "1600000001")).code == "terminate"
    assert undo_of(outcome("create", OutcomeStatus.PARTIAL, "1600000001")).code == "terminate"
    assert undo_of(outcome("create", OutcomeStatus.FAILED)).code == "not_done"


def test_merchants_go_with_the_activity_that_the_same_run_created_and_not_with_an_older_one() -> None:
    create = CreateActivity("tea", "n", SPEC.terms, ("1",))
    add = AddMerchants("tea", "", "n", ("2",))

    def both(status: OutcomeStatus) -> dict[Any, Any]:
        return ways_back([Outcome(create, status, "7"), Outcome(add, OutcomeStatus.DONE, "7")])

    assert both(OutcomeStatus.DONE) == {"terminate": ("tea",)}
    assert both(OutcomeStatus.ALREADY_DONE) == {"delete_merchants": ("tea",)}
    assert both(OutcomeStatus.UNKNOWN) == {"unknown": ("tea",), "delete_merchants": ("tea",)}


def test_of_a_run_each_way_back_is_told_once_with_its_keys() -> None:
    done = [replace(each, status=OutcomeStatus.DONE, rejections=()) for each in everything_happened().outcomes]
    found = ways_back(done)
    assert set(found) <= set(UNDO)
    assert "nothing" not in found
    assert ways_back(replace(each, status=OutcomeStatus.FAILED, rejections=()) for each in done) == {}


def test_a_report_as_json_has_undos_of_what_was_done_only() -> None:
    plan = Plan(NAMESPACE, NOW)
    add = outcome("add_merchants", OutcomeStatus.PARTIAL, "1600000005")
    create = outcome("create", OutcomeStatus.FAILED)
    data: Any = report_json(Report(plan, (add, create), NOW, NOW))
    undos = [each["operation"]["undo"] for each in data["outcomes"]]
    assert "1600000005" not in undos[0]["merchants"]
    assert undos[0]["merchants"]
    assert undos[1] == {"code": "not_done", "possible": True, "merchants": [], "text": UNDO["not_done"]}
