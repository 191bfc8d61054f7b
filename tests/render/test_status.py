"""Every row that `status` can have, and that `status` and `drift` say the same."""

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
from reconciler.model.identity import Ownership, number_of
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import DriftCode, drifts, make_plan
from reconciler.render.json_ import dumps, show_json, status_json
from reconciler.render.text import listing_text
from reconciler.render.views.show import show_view
from reconciler.render.views.status import WORDS, StatusRow, status_rows, status_view
from tests.support.samples import CREATED, FAILED, NAMESPACE, NOW, ONGOING, OVER_TIME, PAUSED, TERMINATED, desired, live

DAY: Final = timedelta(days=1)
SPEC: Final = desired()
EDITED: Final = desired(goods_tags=("tea",))
OVER: Final = desired(begin_time=NOW - 9 * DAY, end_time=NOW - DAY)
AGO: Final = NOW - 2 * DAY
"""2026-11-23 10:00:00 Beijing time."""
MADE: Final = Witness(created={"1": str(number_of(NAMESPACE, SPEC))})
LEFT: Final = Witness(merchants={"1": frozenset(SPEC.merchants)})
WEB: Final = replace(live(activity_id="7"), merchants=SPEC.merchants)


def rows(
    wanted: Sequence[DesiredActivity],
    lives: Sequence[LiveActivity],
    witness: Witness = NO_WITNESS,
    **policy: Any,
) -> tuple[tuple[StatusRow, ...], Plan]:
    """All rows, ended activities included, and the plan they are of."""
    plan = make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy), witness=witness)
    ownership = Ownership.of(NAMESPACE, wanted)
    keyed = [(ownership.key_of(each), each) for each in lives]
    return status_rows(keyed, wanted, plan, everything=True, witness=witness), plan


@pytest.mark.parametrize(
    ("wanted", "lives", "witness", "stands"),
    [
        # running
        ([SPEC], [live(SPEC)], NO_WITNESS, ["in sync"]),
        ([SPEC], [live(SPEC, status=ONGOING)], NO_WITNESS, ["in sync"]),
        ([SPEC], [live(SPEC, status=PAUSED)], NO_WITNESS, ["paused"]),
        ([SPEC], [], NO_WITNESS, ["not created yet"]),
        ([SPEC], [], MADE, ["vanished from the account"]),
        (
            [SPEC],
            [live(SPEC, "1", merchants=("1900000001", "5"))],
            LEFT,
            ["merchants differ: 1 added (5)"],
        ),
        (
            [desired(merchants=("1900000001", "5"))],
            [live(SPEC, "1")],
            LEFT,
            ["merchants differ: 1 to add (5)"],
        ),
        (
            [desired(merchants=("5",))],
            [live(SPEC, "1")],
            LEFT,
            ["merchants differ: 1 to add (5), 1 to delete (1900000001)"],
        ),
        (
            [SPEC],
            [live(SPEC, "1", status=PAUSED, merchants=("5",))],
            LEFT,
            ["merchants differ: 1 added (5), 1 missing (1900000001); paused"],
        ),
        # replaced, superseded
        ([EDITED], [live(SPEC, "1")], NO_WITNESS, ["terms differ, to be replaced"]),
        (
            [SPEC],
            [live(SPEC, "1"), live(EDITED, "2")],
            NO_WITNESS,
            ["in sync", "superseded, to be terminated"],
        ),
        ([SPEC], [live(SPEC, "1", terms=EDITED.terms)], NO_WITNESS, ["live terms differ"]),
        # terminated
        ([desired(state="terminated")], [], NO_WITNESS, ["terminated"]),
        (
            [desired(state="terminated")],
            [live(SPEC, "1")],
            NO_WITNESS,
            ["to be terminated: its spec says state: terminated"],
        ),
        (
            [desired(state="terminated")],
            [live(SPEC, "1", status=TERMINATED, update_time=AGO)],
            NO_WITNESS,
            ["ended 2026-11-23 10:00:00", "ended 2026-11-23 10:00:00"],
        ),
        (
            [desired(state="terminated")],
            [live(SPEC, "1", status=TERMINATED)],
            NO_WITNESS,
            ["terminated", "ended"],
        ),
        (
            [desired(state="terminated", protect=True)],
            [live(SPEC, "1")],
            NO_WITNESS,
            ["to be terminated: its spec says state: terminated; refused: PROTECTED"],
        ),
        # ended
        ([OVER], [], NO_WITNESS, ["ended 2026-11-24 10:00:00"]),
        ([OVER], [live(OVER, "1", status=ONGOING)], NO_WITNESS, ["ended 2026-11-24 10:00:00"] * 2),
        (
            [OVER],
            [live(OVER, "1", status=OVER_TIME, update_time=NOW)],
            NO_WITNESS,
            ["ended 2026-11-24 10:00:00"] * 2,
        ),
        (
            [OVER],
            [live(OVER, "1", status=OVER_TIME, update_time=AGO)],
            NO_WITNESS,
            ["ended 2026-11-24 10:00:00"] * 2,
        ),
        (
            [OVER],
            [live(OVER, "1", status=TERMINATED, update_time=AGO)],
            NO_WITNESS,
            ["ended 2026-11-23 10:00:00"] * 2,
        ),
        (
            [OVER],
            [live(desired(end_time=NOW + DAY), "1")],
            NO_WITNESS,
            ["to be terminated: its spec's end_time has passed"],
        ),
        # ended and wanted again
        (
            [SPEC],
            [live(SPEC, "1", status=TERMINATED, update_time=AGO)],
            MADE,
            [
                "ended 2026-11-23 10:00:00; terminated outside; refused: NUMBER_USED",
                "ended 2026-11-23 10:00:00",
            ],
        ),
        (
            [SPEC],
            [live(SPEC, "1", status=TERMINATED, update_time=AGO)],
            NO_WITNESS,
            ["ended 2026-11-23 10:00:00; refused: NUMBER_USED", "ended 2026-11-23 10:00:00"],
        ),
        (
            [SPEC],
            [live(SPEC, "1", status=TERMINATED, update_time=AGO)],
            Witness(terminated=frozenset("1")),
            ["ended 2026-11-23 10:00:00; refused: NUMBER_USED", "ended 2026-11-23 10:00:00"],
        ),
        (
            [SPEC],
            [live(SPEC, "1", status=TERMINATED, update_time=AGO), live(EDITED, "2")],
            NO_WITNESS,
            ["ended 2026-11-23 10:00:00", "refused: NUMBER_USED"],
        ),
        # creation failed
        (
            [SPEC],
            [live(SPEC, "1", status=FAILED)],
            NO_WITNESS,
            ["refused: CREATION_FAILED", "creation failed"],
        ),
        # adopted
        ([desired(adopt="7")], [WEB], NO_WITNESS, ["in sync, adopted"]),
        ([desired(adopt="7")], [], NO_WITNESS, ["refused: ADOPT_NOT_FOUND"]),
        (
            [desired(adopt="7")],
            [],
            Witness(adopted={"7": "spring"}),
            ["vanished from the account; refused: ADOPT_NOT_FOUND"],
        ),
        # blocked
        ([SPEC], [live(SPEC, "1", terms=None)], NO_WITNESS, ["refused: TERMS_UNREADABLE"]),
        # no spec, and not ours
        (
            [desired("a")],
            [live(desired("a"), "2"), live(SPEC, "1")],
            NO_WITNESS,
            ["in sync", "to be terminated: its file was deleted"],
        ),
        ([SPEC], [live(SPEC), live(activity_id="8")], NO_WITNESS, ["in sync", "unmanaged"]),
        ([SPEC], [live(SPEC), live(activity_id="8", create_time=NOW)], NO_WITNESS, ["in sync", "unmanaged"]),
        ([SPEC], [live(SPEC), live(activity_id="8", status=PAUSED)], NO_WITNESS, ["in sync", "unmanaged"]),
        (
            [SPEC],
            [live(SPEC), live(activity_id="8", status=TERMINATED, update_time=AGO)],
            NO_WITNESS,
            ["in sync", "unmanaged, ended 2026-11-23 10:00:00"],
        ),
        (
            [SPEC],
            [live(SPEC), live(activity_id="8", status=FAILED)],
            NO_WITNESS,
            ["in sync", "unmanaged, creation failed"],
        ),
    ],
)
def test_each_row_says_how_it_stands(
    wanted: list[DesiredActivity], lives: list[LiveActivity], witness: Witness, stands: list[str]
) -> None:
    found, _ = rows(wanted, lives, witness)
    assert [row.stands for row in found] == stands


def test_a_removed_spec_says_what_becomes_of_its_activity() -> None:
    lives = [live(SPEC, "1"), live(SPEC, "2", status=PAUSED)]
    kept, _ = rows([], lives, on_removed="ignore")
    assert [row.stands for row in kept] == [
        "its file was deleted; kept by `on_removed: ignore`",
        "paused; its file was deleted; kept by `on_removed: ignore`",
    ]
    refused, _ = rows([], lives[:1], on_removed="refuse")
    assert refused[0].stands == "to be terminated: its file was deleted; refused: REMOVED_SPEC"


def test_a_program_gets_codes_and_whether_it_is_pending_only() -> None:
    found, plan = rows([EDITED, desired("gone")], [live(SPEC, "1", status=PAUSED)])
    data: Any = json.loads(dumps(status_json(found, plan)))
    assert [(each["key"], each["differs"], each["pending"]) for each in data["activities"]] == [
        ("gone", ["NOT_CREATED"], True),
        ("spring", ["PAUSED", "TERMS_DIFFER"], False),
    ]
    assert "2 not as specified." in listing_text(status_view(found, plan))


def test_every_code_has_words() -> None:
    assert set(WORDS) == set(get_args(DriftCode))


STATUSES: Final = (CREATED, ONGOING, PAUSED, TERMINATED, OVER_TIME, FAILED, "BRAND_NEW_ACT_STATUS")


@st.composite
def lives_of(draw: st.DrawFn) -> LiveActivity:
    spec = draw(st.sampled_from([SPEC, EDITED, OVER, desired("easter"), None]))
    end = st.sampled_from([None, AGO, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
    made = live(spec, draw(st.sampled_from("123456")), status=draw(st.sampled_from(STATUSES)))
    return replace(
        made,
        terms=draw(st.sampled_from([made.terms, EDITED.terms, None])),
        merchants=draw(st.sampled_from([made.merchants or (), ("1",), ("1", "2")])),
        create_time=draw(end),
        update_time=draw(end),
        pause_time=draw(end),
    )


WITNESSES: Final = st.sampled_from(
    [
        NO_WITNESS,
        MADE,
        LEFT,
        Witness(terminated=frozenset("123"), adopted={"4": "spring"}, merchants={"5": frozenset("1")}),
    ]
)
SPECS: Final = st.lists(
    st.sampled_from([SPEC, EDITED, OVER, desired("easter"), desired("summer", adopt="6"), desired(state="terminated")]),
    unique_by=lambda spec: spec.key,
)


@given(SPECS, st.lists(lives_of(), unique_by=lambda each: each.activity_id), WITNESSES)
def test_status_and_drift_agree_and_survive_whatever_the_remote_says(
    wanted: list[DesiredActivity], lives: list[LiveActivity], witness: Witness
) -> None:
    found, plan = rows(wanted, lives, witness)
    told = [each for each in drifts(plan, lives, wanted, witness) if each.code != "NEWCOMER"]
    assert {each.key for each in told} == {row.key for row in found if row.differs}
    assert {each.code for each in told} == {code for row in found for code in row.differs}
    ended = {each.activity_id for each in lives if each.ended(NOW)}
    for row in found:
        assert row.stands
        assert not row.stands.startswith("in sync") or not row.differs
        assert ("ended" in row.stands or "failed" in row.stands) or row.activity_id not in ended
    assert listing_text(status_view(found, plan))
    assert dumps(status_json(found, plan))
    assert listing_text(show_view(None, lives, {}, now=NOW))
    assert dumps(show_json(None, lives, {}))


def test_show_tells_merchants_that_were_not_read_from_none() -> None:
    assert "merchants: not read" in listing_text(show_view(None, [live(activity_id="8")], {}, now=NOW))
    assert "merchants: 0" in listing_text(show_view(None, [live(activity_id="8", merchants=())], {}, now=NOW))
