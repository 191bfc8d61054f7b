"""What is said about a plan or a report, in which order, before any dress. Pure data; nothing is escaped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Final, Literal, TypedDict

from reconciler.model.activity import Source, Terms
from reconciler.model.findings import Finding, Severity
from reconciler.model.operations import (
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.plan import ActivityChange, ChangeKind, Coverage, MerchantCoverage, Plan, Timing
from reconciler.model.report import Outcome, OutcomeStatus, Report
from reconciler.plan import Held, held_in, plan_data, rest, undos_of, ways_back
from reconciler.render import messages as wording
from reconciler.render.values import beijing, counted, merchants, sample, span, value

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
_LEFT_OUT_OF_NEW: Final = frozenset({"award_type", "merchant_option"})
"""Fields that have one possible value, so that showing them says nothing."""
_SHOWN_OF_NEW: Final = tuple(each.name for each in fields(Terms) if each.name not in _LEFT_OUT_OF_NEW)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a block. ``symbol`` is ``+ - ~ !`` or empty; ``old`` is shown before ``new`` when there is one.

    ``items`` is the whole list of which ``text`` shows the first few, for renderings that have room for it.
    """

    symbol: str
    label: str
    text: str = ""
    old: str | None = None
    items: tuple[str, ...] = ()


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
        return tuple(Line("", "", wording.UNDO[code]) for code in undos_of(self.change.operations))


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
class FindingView:
    """One finding in words. ``waiver`` says how to waive it, for a refusal, and ``holds`` what an open one holds;
    ``remedy`` what to write where, if that is known, and ``lines`` what then stands in the place of that one line.
    """

    severity: Severity
    code: str
    key: str
    text: str
    source: str
    waiver: str = ""
    waived: bool = False
    holds: str = ""
    remedy: str = ""
    lines: tuple[str, ...] = ()


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
    refused: str = wording.REFUSED_ALL


SUGGESTION: Final = "suggestion"
"""The fact of a finding that says what to write in which line."""


class _Remedy(TypedDict, total=False):
    remedy: str
    lines: tuple[str, ...]


def plan_view(plan: Plan) -> PlanView:
    held = held_in(plan)
    goes_on = not rest(plan).empty
    return PlanView(
        findings=tuple(
            _finding_view(finding, _holds(finding, held, goes_on=goes_on)) for finding in plan.findings
        ),
        blocks=tuple(_block(change, plan.made_at) for change in plan.changes),
        uploads=tuple(_upload_lines(plan)),
        summary=_summary(plan, held, goes_on=goes_on),
        valid_until=beijing(plan.valid_until) if plan.valid_until else "",
        endings=tuple(ending for change in plan.changes for ending in _endings(change, plan.made_at)),
        made_at=beijing(plan.made_at.replace(microsecond=0)),
        refused=wording.REFUSED if goes_on else wording.REFUSED_ALL,
    )


def question(plan: Plan) -> str:
    """What a person is asked before the plan is applied: what is held back is not counted."""
    doing = rest(plan)
    what = "the rest of this plan" if plan.refusals else "this plan"
    facts = {"what": what, "operations": counted(len(doing.operations), "operation")}
    return wording.QUESTION.format(**facts)


def _upload_lines(plan: Plan) -> Iterator[Line]:
    """What is to be uploaded, and where each image is that is there already: apply uses what this machine remembers."""
    known = {each.sha256: each for each in plan.known_images}
    paths = tuple(upload.path for upload in plan.uploads if upload.sha256 not in known)
    if paths:
        yield Line("+", f"upload {counted(len(paths), 'image')}", sample(paths), items=paths)
    for upload in plan.uploads:
        if upload.sha256 in known:
            facts = {"url": known[upload.sha256].url, "at": beijing(known[upload.sha256].uploaded_at)}
            yield Line("", "image", wording.UPLOADED_EARLIER.format(path=upload.path, **facts))


def finding_text(finding: Finding) -> str:
    """The sentence of a finding, its facts in human units."""
    facts = {name: value(name, fact) for name, fact in finding.facts.items() if name != SUGGESTION}
    return wording.FINDINGS[finding.code].format(key=finding.key, **facts)


def _held_views(report: Report) -> tuple[FindingView, ...]:
    found = held_in(report.plan)
    return tuple(_finding_view(each, _holds(each, found, goes_on=False)) for each in report.held)


def _holds(finding: Finding, held: Held, *, goes_on: bool) -> str:
    """What an open refusal holds, as a sentence. ``goes_on``: something else will be done."""
    if not finding.stops:
        return ""
    if not finding.key:
        return wording.HOLDS_ALL
    others = (
        [] if held.whole else [key for key in held.by_refusal.get(finding.name, ()) if key != finding.key]
    )
    return wording.HOLDS.format(
        key=finding.key,
        others=wording.HOLDS_OTHERS.format(keys=sample(tuple(others))) if others else "",
        rest=wording.HOLDS_REST if goes_on else "",
    )


def _finding_view(finding: Finding, holds: str) -> FindingView:
    refusal = finding.severity is Severity.REFUSAL
    template = wording.WAIVER_FOR_OTHERS if finding.code in wording.NOT_DONE else wording.WAIVER
    return FindingView(
        severity=finding.severity,
        code=finding.code,
        key=finding.key,
        text=finding_text(finding),
        source=str(finding.source or ""),
        waiver=template.format(waiver=finding.name) if refusal else "",
        waived=finding.waived,
        holds=holds,
        **_remedy(plan_data(finding.facts.get(SUGGESTION))),
    )


def _remedy(suggestion: object) -> _Remedy:
    """What to write, in words and as the lines that take the place of the one that is named."""
    match suggestion:
        case {
            "file": str() as file,
            "line": int() as line,
            "place": "replace" | "after" | "before" as place,
            "present": str() as present,
            "write": str() as write,
        }:
            lines = {"replace": (write,), "after": (present, write), "before": (write, present)}[place]
            said = wording.REMEDIES[place].format(
                at=Source(file, line), write=write.strip(), present=present.strip()
            )
            return {"remedy": said, "lines": lines}
    return {}


def _block(change: ActivityChange, now: datetime) -> Block:
    return Block(
        symbol=SYMBOLS[change.kind],
        key=change.key,
        activity_name=change.activity_name,
        source=str(change.source) if change.source else "(its spec is gone)",
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
                reason=wording.TERMINATE_REASONS[step.reason],
                clock=clocks.get(step.activity_id, ""),
            )


def _headline(change: ActivityChange, now: datetime) -> str:
    parts = []
    ends = tuple(step.activity_id for step in change.operations if isinstance(step, TerminateActivity))
    if ends:
        parts.append(wording.HEADLINE_ENDS.format(activity_ids=sample(ends)))
    if change.kind is ChangeKind.UPDATE:
        facts = {"before": f"{change.merchants_before:,}", "after": f"{change.merchants_after:,}"}
        parts.append(wording.HEADLINE_MERCHANTS.format(**facts))
    elif change.kind is ChangeKind.CREATE:
        parts.extend(_clock_text(clock, now) for clock in change.clocks)
    if change.coverage is not None:
        parts.extend(_coverage_headlines(change.coverage))
    return "; ".join(parts)


def _coverage_headlines(covered: Coverage) -> Iterator[str]:
    """The worst that happens to those who stay, and who leaves."""
    staying = next((each for each in covered.sets if each.set == "both"), None)
    if staying is not None:
        yield _staying(staying, covered)
    for each in covered.sets:
        if each.set == "old":
            yield wording.HEADLINE_LEFT[_loss(each)].format(**_who(each))


def _difference_lines(change: ActivityChange) -> Iterator[Line]:
    for difference in change.differences:
        path = difference.path
        old, new = value(path, difference.live), value(path, difference.desired)
        if difference.unproven:
            old, new = (f"{side} {wording.UNPROVEN}".strip() for side in (old, new))
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
            yield Line("+", "merchants", _new_merchants(step, change), items=_all_merchants(step, change))
        case AddMerchants() if step.activity_id:
            yield _merchants_line("+", "add", step.merchants)
        case AddMerchants():
            pass  # counted with the create that it completes
        case DeleteMerchants():
            yield _merchants_line("-", "delete", step.merchants)
        case TerminateActivity():
            reason = wording.TERMINATE_REASONS[step.reason]
            whose = "" if step.key == change.key else f" of {step.key}"
            yield Line("-", "terminate", f"{step.activity_id}{whose} ({reason}); {wording.IRREVERSIBLE}")
        case UploadImage():
            yield Line("+", "upload", step.path)


def _merchants_line(symbol: str, verb: str, mchids: tuple[str, ...]) -> Line:
    return Line(symbol, f"{verb} {merchants(len(mchids))}", sample(mchids), items=mchids)


def _all_merchants(create: CreateActivity, change: ActivityChange) -> tuple[str, ...]:
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
        yield from _coverage_lines(change.coverage, change.clocks)
    for lean in change.leans_on:
        facts = {
            "key": lean.key,
            "merchants": merchants(len(lean.merchants)),
            "sample": sample(lean.merchants),
        }
        yield Line("", "", wording.WAITS.format(**facts), items=lean.merchants)


def _clock_text(clock: Timing, now: datetime, *, kept: bool = False) -> str:
    seconds = abs((clock.at - now).total_seconds())
    facts = {"span": span(seconds), "at": beijing(clock.at), "activity_id": clock.activity_id}
    return (wording.CLOCKS_KEPT if kept else wording.CLOCKS)[clock.code].format(**facts)


def _coverage_lines(covered: Coverage, clocks: Iterable[Timing]) -> Iterator[Line]:
    """A line for each set of merchants; plan files of the first versions hold none."""
    if not covered.sets and covered.gap_seconds:
        yield Line("!", "", wording.COVERAGE_UNTOLD.format(span=span(covered.gap_seconds)))
    begun = any(clock.code == "begun" for clock in clocks)
    for each in covered.sets:
        yield Line(
            "!" if each.gap_seconds else "",
            "",
            _coverage_of(each, covered, begun=begun),
            items=each.merchants,
        )


def _coverage_of(each: MerchantCoverage, covered: Coverage, *, begun: bool) -> str:
    facts = {**_who(each), "sample": sample(each.merchants)}
    match each.set:
        case "both":
            return _staying(each, covered)
        case "old":
            return wording.COVERAGE_LEFT[_loss(each)].format(**facts, **_spans(each))
        case "new":
            begin = wording.COVERAGE_BEGUN if begun else wording.COVERAGE_BEGINS
            return wording.COVERAGE_JOINED.format(begin=begin, **facts)


def _staying(each: MerchantCoverage, covered: Coverage) -> str:
    """What happens to merchants that something serves afterwards."""
    if not each.gap_seconds:
        return wording.COVERAGE_NONE[covered.moment].format(**_who(each))
    return wording.COVERAGE_GAP.format(
        **_who(each), loss=wording.COVERAGE_LOSS[_loss(each)].format(**_spans(each))
    )


def _who(each: MerchantCoverage) -> dict[str, str]:
    """How many merchants, and the verbs that go with so many."""
    one = each.count == 1
    verbs = {"give": "gives", "lose": "loses", "have": "has"} if one else {}
    return {"give": "give", "lose": "lose", "have": "have", **verbs, "merchants": merchants(each.count)}


def _loss(each: MerchantCoverage) -> Literal["nothing", "partly", "others", "none"]:
    """Whether anything else is given while this gift is lost."""
    if not each.gap_seconds:
        return "none"
    if each.nothing_seconds == each.gap_seconds:
        return "nothing"
    return "partly" if each.nothing_seconds else "others"


def _spans(each: MerchantCoverage) -> dict[str, str]:
    gap = span(each.gap_seconds)
    return {
        "span": wording.COVERAGE_UP_TO.format(span=gap) if each.up_to else gap,
        "nothing": span(each.nothing_seconds),
    }


def _summary(plan: Plan, held: Held, *, goes_on: bool) -> str:
    left = [(len(plan.refused), "refused"), (len(plan.left_differing), "differing")]
    aside = "".join(f"{count:,} {word}, " for count, word in left if count)
    others = f"{aside}{plan.unchanged:,} unchanged, {plan.unmanaged:,} unmanaged"
    refused = _refused_words(plan, held, goes_on=goes_on)
    if plan.empty:
        return f"{refused}No changes{',' if aside else '.'} {others}."
    counts = Counter(change.kind for change in plan.changes)
    parts = [f"{counts[kind]:,} {words}" for kind, words in COUNTED.items() if counts[kind]]
    ends = sum(isinstance(step, TerminateActivity) for step in plan.operations)
    told = wording.SUMMARY_ENDS.format(count=ends, verb="ends" if ends == 1 else "end") if ends else ""
    return f"{refused}Plan: {', '.join(parts)}{told}; {others}."


def _refused_words(plan: Plan, held: Held, *, goes_on: bool) -> str:
    if not plan.refusals:
        return ""
    refusals = counted(len(plan.refusals), "refusal")
    if not goes_on:
        return f"{wording.SUMMARY_STOPS.format(refusals=refusals)} "
    hold = "holds" if len(plan.refusals) == 1 else "hold"
    return f"{wording.SUMMARY_HOLDS.format(refusals=refusals, hold=hold, keys=sample(tuple(sorted(held.keys))))} "


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


def _held_words(report: Report) -> Iterator[str]:
    if report.held:
        yield wording.HELD.format(keys=sample(tuple(sorted(held_in(report.plan).keys))))


def _settled_by_reading(report: Report) -> Iterator[str]:
    """Answers that were lost, or not believed: nothing to worry about one by one, and something if they are many."""
    count = sum(outcome.by_reading for outcome in report.outcomes)
    if count:
        yield wording.SETTLED_BY_READING.format(operations=counted(count, "operation"))


def _not_replaced(report: Report) -> Iterator[str]:
    """What has ended for a create that did not follow: the worst that an apply can leave."""
    came_to = {id(outcome.operation): outcome.status for outcome in report.outcomes}
    ended, bare = 0, set[str]()
    for change in report.plan.changes:
        ends = [step for step in change.operations if isinstance(step, TerminateActivity)]
        creates = [step for step in change.operations if isinstance(step, CreateActivity)]
        over = [step for step in ends if came_to.get(id(step)) in _MAY_HAVE_ENDED]
        if creates and over and not any(came_to.get(id(step)) in _IS_THERE for step in creates):
            ended += len(over)
            bare.update(*(_all_merchants(step, change) for step in creates))
    if ended:
        facts = {"campaigns": counted(ended, "campaign"), "merchants": merchants(len(bare))}
        verbs = {"have": "has" if ended == 1 else "have", "give": "gives" if len(bare) == 1 else "give"}
        yield wording.NOT_REPLACED.format(**facts, **verbs, are="is" if ended == 1 else "are")


_MAY_HAVE_ENDED: Final = frozenset(
    {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE, OutcomeStatus.UNVERIFIED, OutcomeStatus.UNKNOWN}
)
_IS_THERE: Final = frozenset(
    {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE, OutcomeStatus.UNVERIFIED, OutcomeStatus.PARTIAL}
)


def _ways_back(report: Report) -> tuple[Line, ...]:
    return tuple(
        Line("", sample(keys), wording.UNDO[code]) for code, keys in ways_back(report.outcomes).items()
    )


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
        return wording.ADVICE_HELD
    left = [outcome for outcome in report.left() if not outcome.held_by]
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
        return "Something is left. Run `paygift apply` again: it goes on where this run stopped."
    return (
        "Something is left. Run `paygift plan`: it shows what, and whether something must be corrected first."
    )
