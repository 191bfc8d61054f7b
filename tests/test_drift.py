"""What has drifted, and since when if the remote says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.activity import DesiredActivity, LiveActivity
from reconciler.plan import Undo, drifts, make_plan, undo_of, undos_of
from reconciler.render.drift import SENTENCES, drift_json, drift_text
from tests.samples import NAMESPACE, NOW, ONGOING, PAUSED, TERMINATED, desired, live, mchids
from tests.test_render import everything

YESTERDAY = NOW - timedelta(days=1)
SPEC = desired()


def found(wanted: Sequence[DesiredActivity], lives: Sequence[LiveActivity]) -> list[tuple[str, str, str]]:
    plan = make_plan(wanted, lives, namespace=NAMESPACE, now=NOW)
    return [(each.code, each.key, each.activity_id) for each in drifts(plan, lives, wanted)]


@pytest.mark.parametrize(
    ("wanted", "lives", "expected"),
    [
        ([SPEC], [live(SPEC)], []),
        ([SPEC], [], [("NOT_CREATED", "spring", "")]),
        ([desired(merchants=mchids(2))], [live(SPEC, "1")], [("MERCHANTS_DIFFER", "spring", "1")]),
        ([desired(goods_tags=("tea",))], [live(SPEC, "1")], [("TERMS_DIFFER", "spring", "1")]),
        ([desired(state="terminated")], [live(SPEC, "1")], [("SHOULD_END", "spring", "1")]),
        ([SPEC], [live(SPEC, "1", status=TERMINATED)], [("ENDED_BY_HAND", "spring", "1")]),
        ([SPEC], [live(SPEC, "1", status=PAUSED)], [("PAUSED", "spring", "1")]),
        ([desired(adopt="404")], [], [("REFUSED", "spring", "404")]),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=YESTERDAY)], [("NEWCOMER", "", "9")]),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=NOW - timedelta(days=30))], []),
        ([SPEC], [live(SPEC), live(activity_id="9", create_time=YESTERDAY, status=TERMINATED)], []),
        ([desired(state="terminated")], [live(SPEC, "1", status=TERMINATED)], []),
    ],
)
def test_what_is_not_as_specified_is_named(
    wanted: list[DesiredActivity], lives: list[LiveActivity], expected: list[tuple[str, str, str]]
) -> None:
    assert found(wanted, lives) == expected


def test_it_says_since_when_if_the_remote_does() -> None:
    paused = replace(live(SPEC, "1", status=PAUSED), pause_time=YESTERDAY)
    plan = make_plan([SPEC], [paused], namespace=NAMESPACE, now=NOW)
    text = drift_text(drifts(plan, [paused], [SPEC]))
    assert (
        "PAUSED  spring: activity 1 was paused on the merchant platform (since 2026-11-24 10:00:00, says"
        in text
    )
    assert text.endswith("\n\n1 drift. Times are Beijing time.\n")


def test_no_drift_is_one_line_and_clean_data() -> None:
    plan = make_plan([SPEC], [live(SPEC, status=ONGOING)], namespace=NAMESPACE, now=NOW, mchid="1900000001")
    assert drift_text([]) == "No drift: live is as specified.\n"
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
            "since": None,
            "text": SENTENCES["NOT_CREATED"],
        }
    ]


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
    assert found["gap"] == ("run_again", "terminate")
    assert found["replaced"] == ("terminate", "run_again")
    assert found["merchants"] == ("delete_merchants", "add_merchants")
    assert found["gone"] == ("run_again",)
