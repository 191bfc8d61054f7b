"""What is left of a replacement under another key, after an apply that was held back or died between its two writes.

The first plan pairs the start and the end (``plan.successors``). Once the start lives, it is no ChangeKind.CREATE any
more, the pair is gone, and what remains is an end like any other: it waits for nothing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.change import ChangeKind, CreateActivity, TerminateActivity
from reconciler.plan.stale import staleness
from tests.samples import FAILED, NOW, ONGOING, PAUSED, TERMINATED, desired, live, mchids
from tests.test_service import RUNNING, plan, refused, running

NEW = desired("vip", transaction_amount_minimum=7, merchants=mchids(10), **RUNNING)
OLD = running("members", merchants=mchids(10))
REST = pytest.mark.xfail(strict=True, reason="the rest of a replacement under another key waits for nothing")


@REST
@pytest.mark.parametrize("status", [PAUSED, FAILED, TERMINATED])
def test_nothing_ends_for_a_start_that_came_to_nothing(status: str) -> None:
    """Seen: ``paused`` → the running one is planned to end, default policy, no refusal, exit 0."""
    everything = frozenset({"CREATION_FAILED", "NUMBER_USED"})
    made = plan([NEW], [OLD, live(NEW, "2", status=status)], allow=everything)
    assert not any(isinstance(each, TerminateActivity) for each in made.operations) or refused(made)


@REST
def test_the_end_that_is_left_waits_for_its_successor() -> None:
    first = plan([NEW], [OLD])
    assert [type(each) for each in first.operations] == [CreateActivity, TerminateActivity]
    (end,) = plan([NEW], [OLD, live(NEW, "2", status=ONGOING)]).operations
    assert isinstance(end, TerminateActivity)
    assert end.successor_id == "2"
    assert end.serves == mchids(10)


@REST
def test_what_passed_the_limits_passes_them_when_half_of_it_is_done() -> None:
    """Seen: TOO_MANY_TERMINATIONS, so that an apply that died can never be finished without a waiver."""
    lives = [OLD]
    assert refused(plan([NEW], lives, max_terminations=0)) == []
    lives.append(live(NEW, "2", status=ONGOING))
    assert refused(plan([NEW], lives, max_terminations=0)) == []


@REST
def test_what_is_left_says_that_its_merchants_have_something_in_its_place() -> None:
    """Seen: ``old: 10 merchants lose this gift for 10 d``."""
    made = plan([NEW], [OLD, live(NEW, "2", status=ONGOING)])
    (change,) = made.changes
    assert change.coverage is not None
    assert [(each.set, each.gap_seconds) for each in change.coverage.sets] == [("both", 0)]


def test_what_is_left_is_what_was_reviewed() -> None:
    lives = [OLD, live(NEW, "2", status=ONGOING)]
    assert staleness(plan([NEW], [OLD]), plan([NEW], lives), lives, now=NOW) == ()


def test_within_one_key_all_of_it_holds() -> None:
    """The same under one key, which is right today: what the above should come to."""
    new = replace(NEW, key="members")
    held = plan([new], [OLD, live(new, "2", status=PAUSED)])
    assert refused(held) == ["SUCCESSOR_PAUSED:members"]
    rest = plan([new], [OLD, live(new, "2", status=ONGOING)], max_terminations=0)
    assert refused(rest) == []
    assert [each.kind for each in rest.changes] == [ChangeKind.TERMINATE]
    assert [getattr(each, "successor_id", "") for each in rest.operations] == ["2"]
