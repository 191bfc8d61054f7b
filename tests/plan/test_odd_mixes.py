"""Smaller things that the properties and an afternoon of odd combinations have shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.activity import LiveActivity
from reconciler.model.operations import CreateActivity
from reconciler.model.witness import Witness
from reconciler.plan import make_plan
from tests.plan.test_service import RUNNING, codes, ended, plan, refused, running
from tests.support.samples import NAMESPACE, NOW, ONGOING, desired, live, mchids, terms

SPEC = desired(merchants=mchids(10), **RUNNING)
KEPT = running(activity_id="1", merchants=mchids(10))
OTHER = running(activity_id="2", merchants=mchids(10), transaction_amount_minimum=7)


def test_a_team_that_replaces_nothing_that_runs_is_asked_before_a_running_one_is_superseded() -> None:
    """Seen: no finding at all, where the same end as part of a replacement is REPLACE_RUNNING or REPLACES_RUNNING."""
    assert ended(plan([SPEC], [KEPT, OTHER])) == ["2"]
    assert "REPLACES_RUNNING" in codes(plan([SPEC], [KEPT, OTHER]))
    assert refused(plan([SPEC], [KEPT, OTHER], allow_replace_running=False)) == ["REPLACE_RUNNING:spring"]


def test_of_several_one_that_is_known_to_give_is_kept() -> None:
    """Seen: the one that runs is planned to end for one of which nobody knows what it does ("kept", "no gap"). Apply
    then holds the end back each time, since that one is not fit, and never converges.
    """
    unknown = running(activity_id="1", merchants=mchids(10), status="NEW_STATUS")
    gives = running(activity_id="2", merchants=mchids(10), generation=2)
    assert ended(plan([SPEC], [unknown, gives])) == ["1"]


REMEMBERS = Witness(protected=frozenset({"gone"}))
HEIR = desired("heir", transaction_amount_minimum=7, merchants=mchids(10), **RUNNING)


@pytest.mark.parametrize("heir", [replace(HEIR, renamed_from=("gone",)), replace(HEIR, adopt="1")])
def test_a_protection_that_the_journal_remembers_outlasts_another_key(heir: object) -> None:
    """Seen: nothing is said. With the mark in the number it is at least the note PROTECTION_REMOVED."""
    gone = live(desired("gone", merchants=mchids(10), **RUNNING), "1", status=ONGOING)
    made = make_plan([heir], [gone], namespace=NAMESPACE, now=NOW, witness=REMEMBERS)  # type: ignore[list-item]
    assert "PROTECTION_REMOVED" in codes(made)


def test_an_adoption_that_ends_what_it_adopts_is_no_note() -> None:
    """A spec that is renamed from one campaign and adopts another with the same terms and other shops, as somebody may
    write who joins the two. Seen: the adopted one ends; 3 shops have nothing; note ADOPT_NOT_NEEDED, exit 0."""
    web = live(activity_id="77", status=ONGOING, merchants=mchids(3, 1700000001), terms=terms(**RUNNING))
    spec = desired("new", adopt="77", renamed_from=("spring",), merchants=mchids(10), **RUNNING)
    made = plan([spec], [KEPT, web])
    assert ended(made) == []
    assert refused(made) == ["ADOPT_AMBIGUOUS:new"]


@pytest.mark.parametrize("left", [timedelta(minutes=1), timedelta(seconds=1)])
def test_a_successor_that_is_over_in_a_moment_is_none(left: timedelta) -> None:
    """A wrong month in ``end_time``. Seen: 10 shops lose 10 days, and both limits pass at 0."""
    short = desired(merchants=mchids(10), begin_time=RUNNING["begin_time"], end_time=NOW + left)
    assert refused(plan([short], [KEPT], max_terminations=0, max_merchant_deletions=0))


def test_nothing_is_created_for_its_own_last_instant() -> None:
    """Seen: a create that WeChat Pay must refuse; with ``terminate_first`` the running one has ended by then."""
    over = desired(begin_time=RUNNING["begin_time"], end_time=NOW, replace="terminate_first")
    assert not any(isinstance(each, CreateActivity) for each in plan([over], [KEPT]).operations)


def rows(lives: list[LiveActivity]) -> list[str]:
    return [row.activity_id for row in plan([], lives).timeline.rows]


def test_the_picture_does_not_depend_on_the_order_of_the_list() -> None:
    """It is part of the plan file, whose checksum covers it."""
    assert rows([KEPT, OTHER]) == rows([OTHER, KEPT])
