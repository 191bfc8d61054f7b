"""What would take an operation back: the inverse where there is one, and the nearest remedy where not. Pure.

Of a plan it is told for every operation; of a report for what that run has really done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.model.operations import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.report import Outcome, OutcomeStatus

UndoCode = Literal["delete_merchants", "add_merchants", "terminate", "run_again", "nothing", "not_done", "unknown"]
"""What would take an operation back: see ``Undo`` and ``render.messages``."""


@dataclass(frozen=True, slots=True)
class Undo:
    """``possible`` tells whether customers are where they were afterwards. ``merchants`` are those to add or delete.

    ``not_done``: the run did nothing here, so that there is nothing to take back. ``unknown``: nobody knows yet whether
    it did.
    """

    code: UndoCode
    possible: bool
    merchants: tuple[str, ...] = ()


def undo_of(step: Operation | Outcome) -> Undo:
    """The nearest thing to going back on an operation once it is done, or on what came of one.

    What was ``already done`` is not this run's to take back: whoever did it may have meant it.
    """
    if isinstance(step, Outcome):
        return _undo_of_outcome(step)
    match step:
        case AddMerchants():
            return Undo("delete_merchants", possible=True, merchants=step.merchants)
        case DeleteMerchants():
            return Undo("add_merchants", possible=True, merchants=step.merchants)
        case CreateActivity():
            # What was given out meanwhile stays given out.
            return Undo("terminate", possible=False)
        case TerminateActivity():
            # Nothing takes an end back (API §1.5): a new activity has another id, and customers saw the gap.
            return Undo("run_again", possible=False)
        case UploadImage():
            # An image that nothing uses is seen by nobody.
            return Undo("nothing", possible=True)


def undos_of(operations: Iterable[Operation]) -> tuple[UndoCode, ...]:
    """What would take all of them back, each kind once. Merchants that complete a new activity go with it."""
    steps = (step for step in operations if not isinstance(step, AddMerchants) or step.activity_id != "")
    return tuple(dict.fromkeys(undo_of(step).code for step in steps))


def ways_back(outcomes: Iterable[Outcome]) -> dict[UndoCode, tuple[str, ...]]:
    """What would take back what a run has done, each kind once, with the keys that it is about.

    ``outcomes`` are in the plan's order. Merchants that completed an activity go
    with it if the same run created it. Images need no undoing, and are left out; so is what the run did not do.
    """
    keys: dict[UndoCode, dict[str, None]] = {}
    created: set[tuple[str, str]] = set()
    for each in outcomes:
        operation, code = each.operation, undo_of(each).code
        if isinstance(operation, UploadImage) or code == "not_done":
            continue
        activity = (operation.key, each.activity_id)
        if code == "terminate":
            created.add(activity)
        if code != "delete_merchants" or activity not in created:
            keys.setdefault(code, {})[operation.key] = None
    return {code: tuple(named) for code, named in keys.items()}


def _undo_of_outcome(outcome: Outcome) -> Undo:
    if outcome.status is OutcomeStatus.UNKNOWN:
        return Undo("unknown", possible=False)
    if not _was_done(outcome):
        return Undo("not_done", possible=True)
    undo = undo_of(outcome.operation)
    rejected = {each.mchid for each in outcome.rejections}
    # Deleting merchants that never got in is undocumented (API §1.6).
    return replace(undo, merchants=tuple(each for each in undo.merchants if each not in rejected))


def _was_done(outcome: Outcome) -> bool:
    """An activity may have been created while every one of its merchants was rejected."""
    created = isinstance(outcome.operation, CreateActivity) and bool(outcome.rejections)
    return created or outcome.status in (OutcomeStatus.DONE, OutcomeStatus.PARTIAL)
