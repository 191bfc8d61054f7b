"""What would take an operation back: the inverse where there is one, and the nearest remedy where not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.change import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)

UndoCode = Literal["delete_merchants", "add_merchants", "terminate", "run_again", "nothing"]


@dataclass(frozen=True, slots=True)
class Undo:
    """``possible`` tells whether customers are where they were afterwards. ``merchants`` are those to add or delete."""

    code: UndoCode
    possible: bool
    merchants: tuple[str, ...] = ()


def undo_of(operation: Operation) -> Undo:
    """The nearest thing to going back on ``operation`` once it is done."""
    match operation:
        case AddMerchants():
            return Undo("delete_merchants", possible=True, merchants=operation.merchants)
        case DeleteMerchants():
            return Undo("add_merchants", possible=True, merchants=operation.merchants)
        case CreateActivity():
            # What was given out meanwhile stays given out.
            return Undo("terminate", possible=False)
        case TerminateActivity():
            return Undo("run_again", possible=False)
        case UploadImage():
            return Undo("nothing", possible=True)


def undos_of(operations: Iterable[Operation]) -> tuple[UndoCode, ...]:
    """What would take all of them back, each kind once. Merchants that complete a new activity go with it."""
    steps = (step for step in operations if not isinstance(step, AddMerchants) or step.activity_id != "")
    return tuple(dict.fromkeys(undo_of(step).code for step in steps))
