"""What is left of a replacement under another key, after an apply that was held back or died between its two writes.

The first plan pairs the start and the end (``plan.successors``). Once the start lives, only the journal knows that the
two belong together: what remains must wait for it all the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.commands.runs import run_started
from reconciler.journal.entry import Entry, OperationFinished, read_entry, sealed
from reconciler.journal.witness import witness_of
from reconciler.model.operations import CreateActivity, TerminateActivity
from reconciler.model.plan import ChangeKind
from reconciler.model.report import OutcomeStatus
from reconciler.model.witness import Witness
from reconciler.plan.staleness import staleness
from reconciler.system.origin import Origin
from tests.plan.test_service import RUNNING, plan, refused, running
from tests.support.samples import FAILED, NOW, ONGOING, PAUSED, TERMINATED, desired, live, mchids

NEW = desired("vip", transaction_amount_minimum=7, merchants=mchids(10), **RUNNING)
OLD = running("members", merchants=mchids(10))
BEGUN = Witness(switches={"1": "vip"})
"""The journal: a run was to end activity 1 once vip stood in for it."""


@pytest.mark.parametrize("status", [PAUSED, FAILED, TERMINATED])
def test_nothing_ends_for_a_start_that_came_to_nothing(status: str) -> None:
    """Seen: ``paused`` → the running one is planned to end, default policy, no refusal, exit 0."""
    everything = frozenset({"CREATION_FAILED", "NUMBER_USED"})
    made = plan([NEW], [OLD, live(NEW, "2", status=status)], allow=everything, witness=BEGUN)
    assert not any(isinstance(each, TerminateActivity) for each in made.operations) or refused(made)


def test_the_end_that_is_left_waits_for_its_successor() -> None:
    first = plan([NEW], [OLD])
    assert [type(each) for each in first.operations] == [CreateActivity, TerminateActivity]
    (end,) = plan([NEW], [OLD, live(NEW, "2", status=ONGOING)], witness=BEGUN).operations
    assert isinstance(end, TerminateActivity)
    assert end.successor_id == "2"
    assert end.serves == mchids(10)


def test_what_passed_the_limits_passes_them_when_half_of_it_is_done() -> None:
    """Seen: TOO_MANY_TERMINATIONS, so that an apply that died can never be finished without a waiver."""
    lives = [OLD]
    assert refused(plan([NEW], lives, max_terminations=0)) == []
    lives.append(live(NEW, "2", status=ONGOING))
    assert refused(plan([NEW], lives, max_terminations=0, witness=BEGUN)) == []


def test_what_is_left_says_that_its_merchants_have_something_in_its_place() -> None:
    """Seen: ``old: 10 merchants lose this gift for 10 d``."""
    made = plan([NEW], [OLD, live(NEW, "2", status=ONGOING)], witness=BEGUN)
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
    assert refused(held) == ["SUCCESSOR_UNFIT:members"]
    rest = plan([new], [OLD, live(new, "2", status=ONGOING)], max_terminations=0)
    assert refused(rest) == []
    assert [each.kind for each in rest.changes] == [ChangeKind.TERMINATE]
    assert [getattr(each, "successor_id", "") for each in rest.operations] == ["2"]


def test_the_journal_remembers_what_ends_for_a_start_until_it_has_ended(tmp_path: Path) -> None:
    written = run_started(Origin.of({}, tmp_path), plan([NEW], [OLD]))
    assert written.switches == {"1": "vip"}
    run = Entry("1900000001", "liangpin", 1, NOW, "r1", written)
    read = read_entry(sealed(run)[0])
    assert witness_of([read]).switches == {"1": "vip"}
    done = Entry(
        "1900000001",
        "liangpin",
        2,
        NOW,
        "r1",
        OperationFinished("terminate", "members", OutcomeStatus.DONE, "1"),
    )
    assert witness_of([read, done]).switches == {}
