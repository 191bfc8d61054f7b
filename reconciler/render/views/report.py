"""What is said about a report: what came of each operation, what is left, and what to do next. Pure data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.model.operations import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.report import Outcome, OutcomeStatus, Report
from reconciler.plan import held_in, ways_back
from reconciler.render import messages
from reconciler.render.values import counted, merchants, sample
from reconciler.render.views.finding import FindingView, finding_view, holds
from reconciler.render.views.parts import Line
from reconciler.render.views.plan import merchants_of_new

_MAY_HAVE_ENDED: Final = frozenset(
    {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE, OutcomeStatus.UNVERIFIED, OutcomeStatus.UNKNOWN}
)

_IS_THERE: Final = frozenset(
    {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE, OutcomeStatus.UNVERIFIED, OutcomeStatus.PARTIAL}
)


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """One operation and what came of it. ``settled``: nothing is left to do of it. ``held``: a refusal holds it back.

    ``rejections`` are (mchid, the server's reason).
    ``effort`` is how often it was sent, if more than once, and how long it took: ``3 tries, 1.2 s``.
    """

    status: OutcomeStatus
    settled: bool
    key: str
    text: str
    reason: str
    effort: str
    request_id: str
    rejections: tuple[tuple[str, str], ...]
    held: bool = False


@dataclass(frozen=True, slots=True)
class ReportView:
    """``remarks`` are about the run as a whole; ``record`` says where it stands in the journal, if it does.

    ``undo``: of what was done, what would take it back, or comes nearest to that; each line once, for all its keys.
    ``held`` are the refusals that hold something back.
    """

    outcomes: tuple[OutcomeView, ...]
    summary: str
    advice: str
    remarks: tuple[str, ...] = ()
    record: str = ""
    undo: tuple[Line, ...] = ()
    held: tuple[FindingView, ...] = ()


def report_view(report: Report) -> ReportView:
    """All that is said of what an apply came to, in the order of its operations."""
    counts = Counter(outcome.status for outcome in report.outcomes)
    parts = [f"{counts[status]:,} {status.value}" for status in OutcomeStatus if counts[status]]
    applied = f"Applied: {', '.join(parts)}." if parts else "Nothing to apply."
    applied = " ".join((applied, *_held_words(report), *_settled_by_reading(report), *_not_replaced(report)))
    return ReportView(
        outcomes=tuple(_outcome_view(outcome) for outcome in report.outcomes),
        summary=f"Interrupted. {applied}" if report.interrupted else applied,
        advice="" if report.complete else _advice(report),
        remarks=report.remarks,
        record=f"Journal: run {report.run}, ends in {report.journal_head}." if report.journal_head else "",
        undo=_ways_back(report),
        held=_held_views(report),
    )


def _held_views(report: Report) -> tuple[FindingView, ...]:
    found = held_in(report.plan)
    return tuple(finding_view(each, holds(each, found, goes_on=False)) for each in report.held)


def _held_words(report: Report) -> Iterator[str]:
    if report.held:
        yield messages.HELD.format(keys=sample(tuple(sorted(held_in(report.plan).keys))))


def _settled_by_reading(report: Report) -> Iterator[str]:
    """Answers that were lost, or not believed: nothing to worry about one by one, and something if they are many."""
    count = sum(outcome.by_reading for outcome in report.outcomes)
    if count:
        yield messages.SETTLED_BY_READING.format(operations=counted(count, "operation"))


def _not_replaced(report: Report) -> Iterator[str]:
    """What has ended for a create that did not follow: the worst that an apply can leave."""
    # By identity: two equal operations would share an outcome, and hashing terms is slow.
    came_to = {id(outcome.operation): outcome.status for outcome in report.outcomes}
    ended, bare = 0, set[str]()
    for change in report.plan.changes:
        ends = [step for step in change.operations if isinstance(step, TerminateActivity)]
        creates = [step for step in change.operations if isinstance(step, CreateActivity)]
        over = [step for step in ends if came_to.get(id(step)) in _MAY_HAVE_ENDED]
        # Unknown counts as ended, and not as created: the worst that may be so is what is told.
        if creates and over and not any(came_to.get(id(step)) in _IS_THERE for step in creates):
            ended += len(over)
            bare.update(*(merchants_of_new(step, change) for step in creates))
    if ended:
        facts = {"campaigns": counted(ended, "campaign"), "merchants": merchants(len(bare))}
        verbs = {"have": "has" if ended == 1 else "have", "give": "gives" if len(bare) == 1 else "give"}
        yield messages.NOT_REPLACED.format(**facts, **verbs, are="is" if ended == 1 else "are")


def _ways_back(report: Report) -> tuple[Line, ...]:
    return tuple(Line("", sample(keys), messages.UNDO[code]) for code, keys in ways_back(report.outcomes).items())


def _outcome_view(outcome: Outcome) -> OutcomeView:
    return OutcomeView(
        status=outcome.status,
        settled=outcome.settled,
        key=getattr(outcome.operation, "key", ""),
        text=_operation_words(outcome.operation, outcome.activity_id),
        reason=outcome.reason,
        effort=_effort(outcome),
        request_id=outcome.request_id,
        rejections=tuple((each.mchid, each.invalid_reason) for each in outcome.rejections),
        held=bool(outcome.held_by),
    )


def _effort(outcome: Outcome) -> str:
    tries = f"{outcome.tries} tries" if outcome.tries > 1 else ""
    took = f"{outcome.seconds:.1f} s" if outcome.started_at is not None else ""
    return ", ".join(part for part in (tries, took) if part)


def _operation_words(operation: Operation, activity_id: str) -> str:
    match operation:
        case UploadImage():
            return f"upload {operation.path}"
        case CreateActivity():
            return f"create {operation.out_request_no}" + (f" as {activity_id}" if activity_id else "")
        case AddMerchants():
            return f"add {merchants(len(operation.merchants))} to {activity_id or 'the new activity'}"
        case DeleteMerchants():
            return f"delete {merchants(len(operation.merchants))} from {activity_id}"
        case TerminateActivity():
            return f"terminate {operation.activity_id}"


def _advice(report: Report) -> str:
    if report.only_held:
        return messages.ADVICE_HELD
    left = [outcome for outcome in report.left() if not outcome.held_by]
    # First, as running apply again would be rejected again.
    if any(outcome.rejections for outcome in left):
        return (
            "Something is left. Take the rejected merchants out of the spec, or have them allowed on the merchant "
            "platform, and run `paygift apply` again."
        )
    if any(outcome.status.open_question for outcome in left):
        return (
            "Something is left. Run `paygift apply` again: it first finds out what became of the unknown ones, and "
            "does nothing twice."
        )
    if report.interrupted:
        return "Something is left. Run `paygift apply` again: it continues where this run stopped."
    return "Something is left. Run `paygift plan`: it shows what, and whether something must be corrected first."
