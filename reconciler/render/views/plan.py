"""What is said about a plan, in which order, before any dress. Pure data; nothing is escaped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Final

from reconciler.model.activity import Terms
from reconciler.model.identity import parse_number
from reconciler.model.operations import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.plan import ActivityChange, ChangeKind, Plan, Timing
from reconciler.plan import Held, held_in, rest, undos_of
from reconciler.render import messages
from reconciler.render.values import beijing, counted, merchants, sample, span, value
from reconciler.render.views.coverage import coverage_headlines, coverage_lines
from reconciler.render.views.finding import FindingView, finding_view, holds
from reconciler.render.views.parts import Line

SYMBOLS: Final[dict[ChangeKind, str]] = {
    ChangeKind.CREATE: "+",
    ChangeKind.UPDATE: "~",
    ChangeKind.TERMINATE: "-",
    ChangeKind.REPLACE: "-/+",
}

COUNTED: Final[dict[ChangeKind, str]] = {
    ChangeKind.CREATE: "to create",
    ChangeKind.UPDATE: "to change",
    ChangeKind.REPLACE: "to replace",
    ChangeKind.TERMINATE: "to terminate",
}

# Left out by name, so that a new field of Terms is shown unless somebody decides otherwise.
_LEFT_OUT_OF_NEW: Final = frozenset({"award_type", "merchant_option"})
"""Fields that have one possible value, so that showing them says nothing."""

_SHOWN_OF_NEW: Final = tuple(each.name for each in fields(Terms) if each.name not in _LEFT_OUT_OF_NEW)


@dataclass(frozen=True)  # no slots: they leave no place for what is worked out later
class Block:
    """Everything about one activity. ``symbol`` is one of SYMBOLS, ``headline`` what a reader must know who reads no
    further.
    """

    symbol: str
    key: str
    activity_name: str
    source: str
    kind: ChangeKind
    headline: str
    change: ActivityChange
    now: datetime

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Worked out when they are asked for: of a long plan, a comment shows few."""
        return (
            *_difference_lines(self.change),
            *_merchant_lines(self.change),
            *(line for step in self.change.operations for line in _operation_lines(step, self.change)),
            *_time_lines(self.change, self.now),
        )

    @cached_property
    def undo(self) -> tuple[Line, ...]:
        """What would take it back, or what comes nearest to that; for renderings that have room for it."""
        return tuple(Line("", "", messages.UNDO[code]) for code in undos_of(self.change.operations))


@dataclass(frozen=True, slots=True)
class Ending:
    """One live activity that the plan ends permanently, in words: why, and how it stands to time, if that is known."""

    activity_id: str
    key: str
    activity_name: str
    kind: ChangeKind
    reason: str
    clock: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """A whole plan: refusals, then warnings, then a block per activity, then uploads, notes and one summary line.

    ``endings`` says once more, for those who read nothing else, which activities end permanently; ``refused`` is the
    heading of the refusals.
    """

    findings: tuple[FindingView, ...]
    blocks: tuple[Block, ...]
    uploads: tuple[Line, ...]
    summary: str
    valid_until: str
    endings: tuple[Ending, ...] = ()
    made_at: str = ""
    refused: str = messages.REFUSED_ALL


def plan_view(plan: Plan) -> PlanView:
    """All that is said of ``plan``. Times are Beijing time, as seen at the moment when it was made."""
    held = held_in(plan)
    # Asked of the rest, as apply does: "the rest is applied" must not be said of nothing.
    goes_on = not rest(plan).empty
    return PlanView(
        findings=tuple(finding_view(finding, holds(finding, held, goes_on=goes_on)) for finding in plan.findings),
        blocks=tuple(_block(change, plan.made_at) for change in plan.changes),
        uploads=tuple(_upload_lines(plan)),
        summary=_summary(plan, held, goes_on=goes_on),
        valid_until=beijing(plan.valid_until) if plan.valid_until else "",
        # Once more and apart: in a replacement, an end is easily overlooked below the new activity.
        endings=tuple(ending for change in plan.changes for ending in _endings(change, plan.made_at)),
        made_at=beijing(plan.made_at.replace(microsecond=0)),
        refused=messages.REFUSED if goes_on else messages.REFUSED_ALL,
    )


def question(plan: Plan) -> str:
    """What a person is asked before the plan is applied: what is held back is not counted."""
    doing = rest(plan)
    what = "the rest of this plan" if plan.refusals else "this plan"
    facts = {"what": what, "operations": counted(len(doing.operations), "operation")}
    return messages.QUESTION.format(**facts)


def _upload_lines(plan: Plan) -> Iterator[Line]:
    """What is to be uploaded, and where each image is that is there already: apply uses what this machine remembers."""
    known = {each.sha256: each for each in plan.known_images}
    paths = tuple(upload.path for upload in plan.uploads if upload.sha256 not in known)
    if paths:
        yield Line("+", f"upload {counted(len(paths), 'image')}", sample(paths), items=paths)
    for upload in plan.uploads:
        if upload.sha256 in known:
            facts = {"url": known[upload.sha256].url, "at": beijing(known[upload.sha256].uploaded_at)}
            yield Line("", "image", messages.UPLOADED_EARLIER.format(path=upload.path, **facts))


def _block(change: ActivityChange, now: datetime) -> Block:
    return Block(
        symbol=SYMBOLS[change.kind],
        key=change.key,
        activity_name=change.activity_name,
        source=str(change.source) if change.source else "(its file was deleted)",
        kind=change.kind,
        headline=_headline(change, now),
        change=change,
        now=now,
    )


def _endings(change: ActivityChange, now: datetime) -> Iterator[Ending]:
    clocks = {clock.activity_id: _clock_text(clock, now) for clock in change.clocks}
    for step in change.operations:
        if isinstance(step, TerminateActivity):
            yield Ending(
                activity_id=step.activity_id,
                key=change.key,
                activity_name=change.activity_name,
                kind=change.kind,
                reason=messages.TERMINATE_REASONS[step.reason],
                clock=clocks.get(step.activity_id, ""),
            )


def _headline(change: ActivityChange, now: datetime) -> str:
    parts = []
    ends = tuple(step.activity_id for step in change.operations if isinstance(step, TerminateActivity))
    if ends:
        parts.append(messages.HEADLINE_ENDS.format(activity_ids=sample(ends)))
    if change.kind is ChangeKind.UPDATE:
        facts = {"before": f"{change.merchants_before:,}", "after": f"{change.merchants_after:,}"}
        parts.append(messages.HEADLINE_MERCHANTS.format(**facts) + _adopted(change))
    elif change.kind is ChangeKind.CREATE:
        parts.extend(_clock_text(clock, now) for clock in change.clocks)
    if change.coverage is not None:
        parts.extend(coverage_headlines(change.coverage))
    return "; ".join(parts)


def _difference_lines(change: ActivityChange) -> Iterator[Line]:
    for difference in change.differences:
        path = difference.path
        old, new = value(path, difference.live), value(path, difference.desired)
        if difference.unproven:
            # Said at once, or a reviewer takes a guess for an edit.
            old, new = (f"{side} {messages.UNPROVEN}".strip() for side in (old, new))
        if difference.live is None:
            yield Line("+", path, new)
        elif difference.desired is None:
            yield Line("-", path, old)
        else:
            yield Line("~", path, new, old=old)


def _merchant_lines(change: ActivityChange) -> Iterator[Line]:
    """The size of the set before and after, where the same activity keeps it."""
    if change.kind is ChangeKind.UPDATE:
        yield Line("~", "merchants", f"{change.merchants_after:,}", old=f"{change.merchants_before:,}")


def _operation_lines(step: Operation, change: ActivityChange) -> Iterator[Line]:
    match step:
        case CreateActivity():
            yield Line("+", "create", step.out_request_no)
            if change.kind is ChangeKind.CREATE:
                yield from _terms_lines(step.terms)
            yield Line("+", "merchants", _new_merchants(step, change), items=merchants_of_new(step, change))
        case AddMerchants() if step.activity_id:
            yield _merchants_line("+", "add", step.merchants)
        case AddMerchants():
            pass  # counted with the create that it completes
        case DeleteMerchants():
            yield _merchants_line("-", "delete", step.merchants)
        case TerminateActivity():
            reason = messages.TERMINATE_REASONS[step.reason]
            whose = "" if step.key == change.key else f" of {step.key}"
            yield Line("-", "terminate", f"{step.activity_id}{whose} ({reason}); {messages.IRREVERSIBLE}")
        case UploadImage():
            yield Line("+", "upload", step.path)


def _merchants_line(symbol: str, verb: str, mchids: tuple[str, ...]) -> Line:
    return Line(symbol, f"{verb} {merchants(len(mchids))}", sample(mchids), items=mchids)


def merchants_of_new(create: CreateActivity, change: ActivityChange) -> tuple[str, ...]:
    """Every merchant of a new activity, those included that calls of their own add."""
    more = (step.merchants for step in change.operations if isinstance(step, AddMerchants))
    return (*create.merchants, *chain.from_iterable(more))


def _new_merchants(create: CreateActivity, change: ActivityChange) -> str:
    """All merchants of a new activity, those included that need calls of their own (at most 500 fit into one)."""
    more = [step for step in change.operations if isinstance(step, AddMerchants)]
    calls = f", in {len(more) + 1} calls" if more else ""
    before, total = change.merchants_before, change.merchants_after
    now = f" (now {before:,})" if change.kind is ChangeKind.REPLACE and before != total else ""
    return f"{total:,}{now}{calls}: {sample(create.merchants, total=total)}"


def _terms_lines(terms: Terms) -> Iterator[Line]:
    """What a new activity will say and give, in the order of the API's fields; absent fields are left out."""
    for name in _SHOWN_OF_NEW:
        content = getattr(terms, name)
        if content not in (None, "", ()):
            yield Line("+", name, value(name, content))


def _time_lines(change: ActivityChange, now: datetime) -> Iterator[Line]:
    ending = {step.activity_id for step in change.operations if isinstance(step, TerminateActivity)}
    for clock in change.clocks:
        yield Line("", "", _clock_text(clock, now, kept=clock.activity_id not in {"", *ending}))
    if change.coverage is not None:
        yield from coverage_lines(change.coverage, change.clocks)
    for dependency in change.leans_on:
        facts = {
            "key": dependency.key,
            "merchants": merchants(len(dependency.merchants)),
            "sample": sample(dependency.merchants),
        }
        yield Line("", "", messages.WAITS.format(**facts), items=dependency.merchants)


def _adopted(change: ActivityChange) -> str:
    """Which activity it is whose merchants change, if it has no number of ours: a spec took it over."""
    for step in change.operations:
        if isinstance(step, AddMerchants | DeleteMerchants) and parse_number(step.out_request_no) is None:
            return messages.HEADLINE_ADOPTED.format(activity_id=step.activity_id)
    return ""


def _clock_text(clock: Timing, now: datetime, *, kept: bool = False) -> str:
    seconds = abs((clock.at - now).total_seconds())
    facts = {"span": span(seconds), "at": beijing(clock.at), "activity_id": clock.activity_id}
    return (messages.CLOCKS_KEPT if kept else messages.CLOCKS)[clock.code].format(**facts)


def _summary(plan: Plan, held: Held, *, goes_on: bool) -> str:
    left = [(len(plan.refused), "refused"), (len(plan.left_differing), "differing")]
    aside = "".join(f"{count:,} {word}, " for count, word in left if count)
    others = f"{aside}{plan.unchanged:,} unchanged, {plan.unmanaged:,} unmanaged"
    refused = _refused_words(plan, held, goes_on=goes_on)
    if plan.empty:
        return f"{refused}No changes{',' if aside else '.'} {others}."
    counts = Counter(change.kind for change in plan.changes)
    parts = [f"{counts[kind]:,} {words}" for kind, words in COUNTED.items() if counts[kind]]
    # Operations and not changes: one change can end several activities.
    ends = sum(isinstance(step, TerminateActivity) for step in plan.operations)
    told = messages.SUMMARY_ENDS.format(count=ends, verb="ends" if ends == 1 else "end") if ends else ""
    return f"{refused}Plan: {', '.join(parts)}{told}; {others}."


def _refused_words(plan: Plan, held: Held, *, goes_on: bool) -> str:
    if not plan.refusals:
        return ""
    refusals = counted(len(plan.refusals), "refusal")
    if not goes_on:
        return f"{messages.SUMMARY_STOPS.format(refusals=refusals)} "
    hold = "holds" if len(plan.refusals) == 1 else "hold"
    return f"{messages.SUMMARY_HOLDS.format(refusals=refusals, hold=hold, keys=sample(tuple(sorted(held.keys))))} "
