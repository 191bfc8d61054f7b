"""Reviewed is applied, or nothing: which plans count as the one that was reviewed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.errors import StaleError
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.plan import make_plan, plan_digest
from reconciler.plan.plan_file import checksum, read_plan
from reconciler.plan.staleness import Stale, staleness
from reconciler.render.json_ import plan_json
from tests.render.test_text import everything
from tests.support.samples import NAMESPACE, NOW, ONGOING, PAUSED, TERMINATED, desired, live, mchids

RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}


def plan(wanted: Sequence[DesiredActivity], lives: Sequence[LiveActivity], **more: Any) -> Plan:
    asked: dict[str, Any] = {"namespace": NAMESPACE, "now": NOW, "mchid": "1900000001"}
    return make_plan(wanted, lives, **asked | more)


def reasons(
    reviewed: Plan, wanted: Sequence[DesiredActivity], lives: Sequence[LiveActivity], **more: Any
) -> list[tuple[str, str, str | None]]:
    now = more.get("now", NOW)
    return [
        (each.code, each.key, each.kind) for each in staleness(reviewed, plan(wanted, lives, **more), lives, now=now)
    ]


WANTED = [
    desired("create", merchants=mchids(700)),
    desired("merchants", merchants=mchids(4, start=1600000003), **RUNNING),
    desired("replaced", transaction_amount_minimum=5, **RUNNING),
]
LIVES = [
    live(desired("merchants", merchants=mchids(4), **RUNNING), "1", status=ONGOING),
    live(desired("replaced", **RUNNING), "2", status=ONGOING),
    live(desired("gone", activity_name="离场", **RUNNING), "3", status=ONGOING),
]
REVIEWED = plan(WANTED, LIVES)
CREATED = live(WANTED[0], "10")
PAUSED_ONE = replace(LIVES[0], activity_status=PAUSED)
INTRUDER = replace(LIVES[0], merchants=(*mchids(4), "1999999999"))
SUCCESSOR = live(WANTED[2], "11", status=ONGOING)


def ended(activity: LiveActivity) -> LiveActivity:
    return replace(activity, activity_status=TERMINATED, merchants=None)


def test_the_same_plan_a_minute_later_is_the_one_that_was_reviewed() -> None:
    assert reasons(REVIEWED, WANTED[::-1], LIVES[::-1], now=NOW + timedelta(minutes=1)) == []


@pytest.mark.parametrize(
    "lives",
    [
        [*LIVES, CREATED],
        [*LIVES, replace(CREATED, merchants=mchids(500))],
        [*LIVES, replace(CREATED, merchants=mchids(123))],
        [replace(LIVES[0], merchants=mchids(6)), *LIVES[1:]],
        [replace(LIVES[0], merchants=mchids(5)), *LIVES[1:]],
        [*LIVES, SUCCESSOR],
        [LIVES[0], ended(LIVES[1]), LIVES[2], SUCCESSOR],
        [*LIVES[:2], ended(LIVES[2])],
        [live(WANTED[1], "1", status=ONGOING), ended(LIVES[1]), ended(LIVES[2]), CREATED, SUCCESSOR],
    ],
)
def test_what_is_left_after_part_was_done_is_the_one_that_was_reviewed(lives: list[LiveActivity]) -> None:
    assert reasons(REVIEWED, WANTED, lives) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            [*WANTED, desired("new", activity_name="新")],
            [("appeared", "new", "add"), ("appeared", "new", "create")],
        ),
        (WANTED[1:], [("vanished", "create", "add"), ("vanished", "create", "create")]),
        (
            [WANTED[0], replace(WANTED[1], merchants=mchids(5, start=1600000003)), WANTED[2]],
            [("appeared", "merchants", "add")],
        ),
        (
            [WANTED[0], WANTED[1], replace(WANTED[2], terms=LIVES[1].terms or WANTED[2].terms)],
            [
                ("vanished", "replaced", "add"),
                ("vanished", "replaced", "create"),
                ("vanished", "replaced", "terminate"),
            ],
        ),
    ],
)
def test_edited_specs_make_another_plan(wanted: list[DesiredActivity], expected: list[tuple[str, str, str]]) -> None:
    assert reasons(REVIEWED, wanted, LIVES) == expected


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([INTRUDER, *LIVES[1:]], [("appeared", "merchants", "delete")]),
        ([*LIVES[:2], replace(LIVES[2], activity_status=PAUSED)], [("changed", "gone", "terminate")]),
        ([PAUSED_ONE, *LIVES[1:]], [("changed", "merchants", "add"), ("changed", "merchants", "delete")]),
        ([*LIVES, live(desired("newcomer", activity_name="新"), "12")], [("appeared", "newcomer", "terminate")]),
        ([ended(LIVES[0]), *LIVES[1:]], [("vanished", "merchants", "add"), ("vanished", "merchants", "delete")]),
        ([*LIVES, ended(CREATED)], [("vanished", "create", "add")]),
    ],
)  # fmt: skip
def test_what_others_did_meanwhile_makes_another_plan(
    lives: list[LiveActivity], expected: list[tuple[str, str, str]]
) -> None:
    assert reasons(REVIEWED, WANTED, lives) == expected


def test_a_plan_is_stale_once_an_operation_means_something_else() -> None:
    reviewed = plan([desired()], [])
    later = desired().terms.begin_time
    assert staleness(reviewed, plan([desired()], [], now=later), [], now=later) == (Stale("expired", at=later),)


def test_a_waiver_is_part_of_what_was_reviewed() -> None:
    protected = [desired(protect=True, state="terminated")]
    lives = [live(desired())]
    waived = plan(protected, lives, policy=Policy(allow=frozenset({"PROTECTED"})))
    assert plan_digest(waived) != plan_digest(plan(protected, lives))


def test_a_plan_for_another_account_is_another_plan() -> None:
    assert plan_digest(plan(WANTED, LIVES, mchid="1900000002")) != plan_digest(REVIEWED)


# -- the plan in a file ------------------------------------------------------------------------------------------------


def stored(made: Plan) -> Any:
    return json.loads(json.dumps(plan_json(made), ensure_ascii=False))


def test_a_plan_comes_back_from_its_file_as_it_went_in() -> None:
    for made in (everything(), REVIEWED, plan([], [])):
        again = read_plan(stored(made))
        assert plan_json(again) == plan_json(made)
        assert replace(again, findings=()) == replace(made, findings=())
        assert plan_digest(again) == plan_digest(made)


def test_keys_of_a_newer_paygift_are_ignored() -> None:
    data = stored(REVIEWED) | {"format_version": "2.7", "shiny": True}
    assert read_plan({**data, "checksum": checksum(data)}) == REVIEWED


@pytest.mark.parametrize("data", [None, [], {}, {"kind": "report"}, "plan"])
def test_what_is_no_plan_file_is_refused(data: object) -> None:
    with pytest.raises(StaleError, match="not a plan file"):
        read_plan(data)


def test_another_major_format_is_refused() -> None:
    with pytest.raises(StaleError, match=r"format 1\.0; this paygift reads 2\.x\. Make it again"):
        read_plan(stored(REVIEWED) | {"format_version": "1.0"})


@given(st.data())
def test_an_edited_file_is_refused_whatever_was_edited(data: st.DataObject) -> None:
    changed = stored(REVIEWED)
    place = changed
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key]:
            break
        place = place[key]
    place[key] = "edited"
    with pytest.raises(StaleError):
        read_plan(changed)


def test_an_edited_file_with_a_new_checksum_is_found_out_by_its_digest() -> None:
    data = stored(REVIEWED)
    data["changes"][0]["operations"][0]["terms"]["transaction_amount_minimum"] = 1
    with pytest.raises(StaleError, match="do not fit its digest"):
        read_plan({**data, "checksum": checksum(data)})


@pytest.mark.parametrize("missing", ["findings", "uploads", "changes", "counts", "namespace"])
def test_a_file_that_lacks_something_says_what(missing: str) -> None:
    data = stored(REVIEWED)
    del data[missing]
    with pytest.raises(StaleError, match="cannot be read"):
        read_plan({**data, "checksum": checksum(data)})
