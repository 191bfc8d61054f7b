"""Whatever files meet whatever account, and whichever keys are refused: what is applied takes no more from anybody than
the whole plan would have, and leaves nothing but what is held (docs/decisions/refusals.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given as property_of
from hypothesis import settings

from reconciler.model.findings import Finding, Severity
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity
from reconciler.model.plan import Plan
from reconciler.model.policy import WAIVABLE
from reconciler.plan import as_reviewed, held_in, not_held, rest, staleness, with_findings
from tests.support.situations import Situation, after, applied, before, given, situations


def _unrefused(situation: Situation) -> Plan:
    return replace(situation, policy=replace(situation.policy, allow=WAIVABLE)).plan()


def _refused(plan: Plan) -> Iterator[Plan]:
    """``plan`` with each of its keys refused, one at a time, and with each two of neighbours."""
    keys = sorted({key for change in plan.changes for key in (*change.keys, *change.goes_with)})
    for some in (*((key,) for key in keys), *pairwise(keys)):
        findings = tuple(Finding("PROTECTED", Severity.REFUSAL, key) for key in some)
        yield replace(plan, findings=(*plan.findings, *findings))


# -- what is left out ------------------------------------------------------------------------------------------------


def nothing_of_a_refused_key_is_done(situation: Situation) -> None:
    for plan in _refused(_unrefused(situation)):
        keys = {each.key for each in plan.refusals}
        doing = rest(plan)
        assert keys.isdisjoint(key for change in doing.changes for key in change.keys)
        assert keys.isdisjoint(key for change in doing.changes for key in change.goes_with)
        needed = {
            image.sha256
            for step in doing.operations
            if isinstance(step, CreateActivity)
            for image in step.terms.images()
            if image.sha256
        }
        assert {each.sha256 for each in doing.uploads} == needed


def what_is_done_takes_no_more_from_anybody_than_was_reviewed(situation: Situation) -> None:
    for plan in _refused(_unrefused(situation)):
        had = before(situation)
        reviewed, comes_to = after(situation, plan), after(situation, rest(plan))
        for change in rest(plan).changes:
            taking = {s.key for s in change.operations if isinstance(s, TerminateActivity | DeleteMerchants)}
            for key in taking:
                theirs = [each for each in had if each.key == key]
                for mchid in {mchid for each in theirs for mchid in each.merchants}:
                    lost = given(mchid, theirs) & ~given(mchid, comes_to)
                    assert not lost & ~(given(mchid, theirs) & ~given(mchid, reviewed)), (key, mchid)


def who_moves_is_not_in_both_places(situation: Situation) -> None:
    """What waits for another key, and what it waits for, go together."""
    for plan in _refused(_unrefused(situation)):
        held = held_in(plan).changes
        owners = {key: change.key for change in plan.changes for key in change.keys}
        for change in plan.changes:
            for lean in change.leans_on:
                assert (change.key in held) == (owners[lean.key] in held)


def an_end_keeps_the_successor_that_it_names(situation: Situation) -> None:
    for plan in _refused(_unrefused(situation)):
        doing = rest(plan)
        ends = [step for step in doing.operations if isinstance(step, TerminateActivity)]
        over = {step.activity_id for step in ends}
        live = {each.activity_id: set(each.merchants or ()) for each in situation.live}
        added: dict[str, set[str]] = {}
        for step in doing.operations:
            if isinstance(step, AddMerchants):
                added.setdefault(step.activity_id, set()).update(step.merchants)
        for step in ends:
            if step.successor_id:
                assert step.successor_id not in over
                assert set(step.serves) <= live[step.successor_id] | added.get(step.successor_id, set())


# -- what remains ----------------------------------------------------------------------------------------------------


def only_what_is_held_is_left(situation: Situation) -> None:
    """With the refusals that the situation really has."""
    plan = situation.plan()
    if held_in(plan).whole or not plan.refusals:
        return
    done = applied(situation, rest(plan))
    fresh = done.plan()
    reasons = not_held(staleness(plan, fresh, done.live, now=done.now), fresh)
    # What was adopted is not created after it was ended first: test_adopted_and_over.py.
    known = {each.key for each in fresh.findings if each.code in ("ADOPT_ENDED", "ADOPT_NOT_FOUND")}
    assert [each for each in reasons if each.key not in known] == []
    again = with_findings(fresh, as_reviewed(plan, fresh), done.policy)
    assert rest(again).empty, rest(again).operations


PROMISES = (
    nothing_of_a_refused_key_is_done,
    what_is_done_takes_no_more_from_anybody_than_was_reviewed,
    who_moves_is_not_in_both_places,
    an_end_keeps_the_successor_that_it_names,
    only_what_is_held_is_left,
)


@settings(max_examples=80)
@property_of(situations())
def test_every_promise_about_what_is_held_is_kept(situation: Situation) -> None:
    for promise in PROMISES:
        promise(situation)


@pytest.mark.heavy
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_each_promise_is_kept_in_many_situations(promise: Callable[[Situation], None]) -> None:
    """Longer, to look for what nobody has thought of: ``PAYGIFT_EXPLORE=3000``."""
    most = int(os.environ.get("PAYGIFT_EXPLORE") or 0)
    settings(max_examples=max(most, 120))(property_of(situations())(promise))()
