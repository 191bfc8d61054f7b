"""The table of design §7: for each key, what the spec says against what lives, and what follows.

The order of questions matters. Whatever cannot be undone is asked about first, and a key that raises a refusal without
a way forward gets no operations at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from reconciler.activity import (
    CREATE_FAILED,
    FULL_SEND,
    PAUSED,
    DesiredActivity,
    LiveActivity,
    Terms,
)
from reconciler.change import (
    ActivityChange,
    ActivityOperation,
    ChangeKind,
    Clock,
    CreateActivity,
    Finding,
    Plan,
    Severity,
    TerminateReason,
    UploadImage,
)
from reconciler.identity import Ownership, number_of, parse_number, terms_digest
from reconciler.plan import steps
from reconciler.plan.clock import clock_of_live, clock_of_new, coverage, next_boundary
from reconciler.plan.compare import contradicts_number, differences, same_number, same_terms
from reconciler.plan.limits import ending_soon, over_the_limits
from reconciler.plan.timeline import timeline
from reconciler.policy import Policy
from reconciler.witness import NO_WITNESS, Witness

KNOWN_STATUSES: Final = frozenset({"CREATE_ACT_STATUS", "ONGOING_ACT_STATUS", PAUSED})
"""Statuses of an activity that has not ended, as far as the API documents them (API §1.7)."""


def make_plan(
    desired: Sequence[DesiredActivity],
    live: Iterable[LiveActivity],
    *,
    namespace: str,
    now: datetime,
    mchid: str = "",
    policy: Policy | None = None,
    witness: Witness = NO_WITNESS,
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """What apply would do at ``now`` (an aware instant) so that ``live`` equals ``desired``.

    ``desired`` holds each key once. ``live`` is the complete account: an activity that is missing from it is taken
    to be absent, so never call this with the fruits of an incomplete read. ``unreadable`` maps the adopted ids of which
    nothing is known to WeChat Pay's words. Raises ValueError if the merchants of a managed activity that has not ended
    were not read.
    """
    context = _Context(namespace, now, policy or Policy(), witness, unreadable)
    wanted = {activity.key: activity for activity in desired}
    live, ownership = tuple(live), Ownership.of(namespace, desired)
    mine, unmanaged = _by_key(live, ownership)
    decisions = [
        _decide(context, key, wanted.get(key), mine.get(key, ())) for key in sorted({*wanted, *mine})
    ]
    changes = tuple(decision.change for decision in decisions if decision.change is not None)
    findings = [finding for decision in decisions for finding in decision.findings]
    alive = {key: [each for each in lives if not each.ended(now)] for key, lives in mine.items()}
    running = [each for lives in alive.values() for each in lives]
    if running and not desired and context.policy.on_removed != "ignore":
        findings.append(Finding("NO_SPECS", Severity.REFUSAL, facts={"managed": len(running)}))
    findings.extend(_renamed(wanted, mine, changes))
    if desired:  # without any specs NO_SPECS says it all
        findings.extend(over_the_limits(context.policy, changes, managed=len(running), now=now))
    findings.extend(ending_soon(context.policy, desired, alive, now))
    findings.extend(_unused_waivers(context.policy, findings))
    return Plan(
        namespace=namespace,
        made_at=now,
        mchid=mchid,
        allow=tuple(sorted(context.policy.allow)),
        uploads=_uploads(changes),
        changes=changes,
        findings=tuple(_judged(context.policy, findings)),
        valid_until=next_boundary((terms for decision in decisions for terms in decision.touched), now),
        managed=len(running),
        unchanged=len(running) - len(_touched_ids(changes)),
        unmanaged=unmanaged,
        timeline=timeline(live, _touched_ids(changes), ownership, now),
    )


@dataclass(frozen=True, slots=True)
class _Context:
    namespace: str
    now: datetime
    policy: Policy
    witness: Witness
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Decision:
    """What follows for one key. ``touched`` are the terms whose begin or end changes what the operations mean."""

    change: ActivityChange | None = None
    findings: tuple[Finding, ...] = ()
    touched: tuple[Terms, ...] = ()


def _decide(
    context: _Context, key: str, desired: DesiredActivity | None, lives: Sequence[LiveActivity]
) -> _Decision:
    running = [live for live in lives if not live.ended(context.now)]
    past = [live for live in lives if live.ended(context.now)]
    if desired is None:
        return _removed(context, key, running)
    if desired.state == "terminated":
        return _terminate(context, desired.key, running, "state", desired)
    if desired.terms.end_time < context.now:
        return _spec_ended(context, desired, running)
    blocked = _blocked(context, desired, running, past)
    if blocked is not None:
        return _Decision(findings=(blocked,))
    kept = _kept(context.namespace, desired, running)
    if kept is None:
        used = _number_used(desired, past)
        if used is not None:
            return _Decision(findings=(used,))
        return _replace(context, desired, running) if running else _create(context, desired)
    return _keep(context, desired, kept, [live for live in running if live is not kept])


def _removed(context: _Context, key: str, running: list[LiveActivity]) -> _Decision:
    """The spec is gone. Adopted activities do not come here: their numbers are not ours (design §5)."""
    if not running:
        return _Decision()
    ids = [live.activity_id for live in running]
    if context.policy.on_removed == "ignore":
        ignored = Finding("REMOVED_SPEC_IGNORED", Severity.NOTE, key, {"activity_ids": ids})
        return _Decision(findings=(ignored,))
    decision = _terminate(context, key, running, "removed", None)
    if context.policy.on_removed == "refuse":
        refusal = Finding("REMOVED_SPEC", Severity.REFUSAL, key, {"activity_ids": ids})
        return replace(decision, findings=(refusal, *decision.findings))
    return decision


def _terminate(
    context: _Context,
    key: str,
    running: list[LiveActivity],
    reason: TerminateReason,
    desired: DesiredActivity | None,
) -> _Decision:
    if not running:
        return _Decision()
    unreadable = _unreadable(key, running, desired)
    if unreadable is not None:
        return _Decision(findings=(unreadable,))
    return _Decision(
        change=ActivityChange(
            key=key,
            kind=ChangeKind.TERMINATE,
            activity_name=_name(running[0], desired),
            operations=tuple(steps.terminate(key, live, reason) for live in running),
            source=desired.source if desired else None,
            clocks=_clocks_of(running, context.now),
            merchants_before=max(len(live.merchants or ()) for live in running),
        ),
        findings=(*_protected(key, running, desired), *_oddities(key, running)),
        touched=_terms_of(running),
    )


def _spec_ended(context: _Context, desired: DesiredActivity, running: list[LiveActivity]) -> _Decision:
    """Nothing is created for a time that has passed; what still runs under the key runs too long."""
    decision = _terminate(context, desired.key, running, "ended", desired)
    facts = {"end_time": desired.terms.end_time}
    ended = Finding("SPEC_ENDED", Severity.NOTE, desired.key, facts, desired.source)
    return replace(decision, findings=(ended, *decision.findings))


def _blocked(
    context: _Context, desired: DesiredActivity, running: list[LiveActivity], past: list[LiveActivity]
) -> Finding | None:
    """Why nothing at all can be decided for this key: an adoption that fails, or live terms nobody can read."""
    facts: dict[str, object] = {"activity_id": desired.adopt}
    if desired.adopt in context.unreadable:
        facts["answer"] = context.unreadable[desired.adopt]
        return Finding("ADOPT_NOT_READABLE", Severity.REFUSAL, desired.key, facts, desired.source)
    adopted = next((live for live in (*running, *past) if live.activity_id == desired.adopt), None)
    if desired.adopt and not running:
        code = "ADOPT_NOT_FOUND" if adopted is None else "ADOPT_ENDED"
        return Finding(code, Severity.REFUSAL, desired.key, facts, desired.source)
    if desired.adopt and adopted is not None and adopted.activity_type != FULL_SEND:
        facts["activity_type"] = adopted.activity_type
        return Finding("ADOPT_NOT_FULL_SEND", Severity.REFUSAL, desired.key, facts, desired.source)
    return _unreadable(desired.key, running, desired)


def _unreadable(key: str, running: list[LiveActivity], desired: DesiredActivity | None) -> Finding | None:
    """What nobody can read is not ended either: no precondition could tell that it is still the same."""
    unreadable = [live.activity_id for live in running if live.terms is None]
    if not unreadable:
        return None
    facts = {"activity_ids": unreadable}
    return Finding("TERMS_UNREADABLE", Severity.REFUSAL, key, facts, desired.source if desired else None)


def _number_used(desired: DesiredActivity, past: list[LiveActivity]) -> Finding | None:
    """A number is spent for ever (API §1.10): what was terminated does not come back by accident."""
    spent = next((live for live in past if same_number(desired, live)), None)
    if spent is None:
        return None
    generations = [number.generation for live in past if (number := parse_number(live.out_request_no))]
    failed = spent.activity_status == CREATE_FAILED
    return Finding(
        "CREATION_FAILED" if failed else "NUMBER_USED",
        Severity.REFUSAL,
        desired.key,
        {
            "activity_id": spent.activity_id,
            "activity_status": spent.activity_status,
            "next_generation": max(generations) + 1,
        },
        desired.source,
    )


def _kept(namespace: str, desired: DesiredActivity, running: list[LiveActivity]) -> LiveActivity | None:
    """The live activity that already is the desired one; the exact number first, then the oldest."""
    number = str(number_of(namespace, desired))
    candidates = [live for live in running if same_terms(desired, live)]
    return min(
        candidates,
        key=lambda live: (
            live.out_request_no != number,
            not same_number(desired, live),
            live.create_time or datetime.max.replace(tzinfo=UTC),
            live.activity_id,
        ),
        default=None,
    )


def _create(context: _Context, desired: DesiredActivity) -> _Decision:
    return _Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.CREATE,
            activity_name=desired.terms.activity_name,
            operations=tuple(steps.create(context.namespace, desired)),
            source=desired.source,
            clocks=(clock_of_new(desired.terms, context.now),),
            merchants_after=len(desired.merchants),
        ),
        findings=_begins_in_past(context, desired),
        touched=(desired.terms,),
    )


def _begins_in_past(context: _Context, desired: DesiredActivity) -> tuple[Finding, ...]:
    """A date that has passed is a slip, or customers have gone without since."""
    if desired.terms.begin_time >= context.now:
        return ()
    facts = {"begin_time": desired.terms.begin_time}
    return (Finding("BEGINS_IN_PAST", Severity.WARNING, desired.key, facts, desired.source),)


def _replace(context: _Context, desired: DesiredActivity, running: list[LiveActivity]) -> _Decision:
    """New terms mean a new activity; the old ones end for ever."""
    creates = tuple(steps.create(context.namespace, desired))
    ends = tuple(steps.terminate(desired.key, live, "replaced") for live in running)
    operations: tuple[ActivityOperation, ...] = (
        (*creates, *ends) if desired.replace == "create_first" else (*ends, *creates)
    )
    closest = running[0]
    began = [live.activity_id for live in running if live.terms and live.terms.begin_time <= context.now]
    code, severity = "REPLACES_RUNNING", Severity.WARNING
    if not context.policy.allow_replace_running:
        code, severity = "REPLACE_RUNNING", Severity.REFUSAL
    irreversible = Finding(code, severity, desired.key, {"activity_ids": began}, desired.source)
    return _Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.REPLACE,
            activity_name=desired.terms.activity_name,
            operations=operations,
            source=desired.source,
            differences=differences(desired.terms, closest),
            clocks=(clock_of_new(desired.terms, context.now), *_clocks_of(running, context.now)),
            coverage=coverage(running, desired, context.now),
            merchants_before=len(closest.merchants or ()),
            merchants_after=len(desired.merchants),
        ),
        findings=(
            *_protected(desired.key, running, desired),
            # What replaces a running activity began when that one did, and nobody need wonder.
            *((irreversible,) if began else _begins_in_past(context, desired)),
            *_oddities(desired.key, running),
        ),
        touched=(desired.terms, *_terms_of(running)),
    )


def _keep(
    context: _Context, desired: DesiredActivity, kept: LiveActivity, superseded: list[LiveActivity]
) -> _Decision:
    """The activity is there: bring its merchants in line, and end what it has superseded."""
    if kept.merchants is None:
        raise ValueError(f"the merchants of activity {kept.activity_id} were not read")
    merchants = tuple(steps.change_merchants(desired, kept))
    ends = tuple(steps.terminate(desired.key, live, "superseded") for live in superseded)
    findings = [*_protected(desired.key, superseded, desired), *_oddities(desired.key, [kept, *superseded])]
    number = parse_number(kept.out_request_no)
    if contradicts_number(desired, kept):
        facts = {"activity_id": kept.activity_id, "next_generation": desired.generation + 1}
        findings.append(Finding("LIVE_TERMS_DIFFER", Severity.WARNING, desired.key, facts, desired.source))
    elif number is not None and number.generation != desired.generation:
        facts = {"activity_id": kept.activity_id, "generation": number.generation}
        findings.append(Finding("GENERATION_NOT_NEEDED", Severity.NOTE, desired.key, facts, desired.source))
    if desired.adopt and kept.activity_id != desired.adopt:
        facts = {"activity_id": kept.activity_id}
        findings.append(Finding("ADOPT_NOT_NEEDED", Severity.NOTE, desired.key, facts, desired.source))
    if not merchants and not ends:
        return _Decision(findings=tuple(findings))
    touched = [*([kept] if merchants else []), *superseded]
    return _Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.UPDATE if merchants else ChangeKind.TERMINATE,
            activity_name=desired.terms.activity_name,
            operations=(*merchants, *ends),
            source=desired.source,
            clocks=_clocks_of(touched, context.now),
            merchants_before=len(kept.merchants),
            merchants_after=len(desired.merchants),
        ),
        findings=tuple(findings),
        touched=_terms_of(touched),
    )


def _protected(
    key: str, ending: Iterable[LiveActivity], desired: DesiredActivity | None
) -> Iterable[Finding]:
    """A refusal for each activity that ``protect`` keeps. A spec that is there decides; without it the number does."""
    for live in ending:
        number = parse_number(live.out_request_no)
        if desired.protect if desired else (number is not None and number.protect):
            facts: dict[str, object] = {"activity_id": live.activity_id}
            yield Finding("PROTECTED", Severity.REFUSAL, key, facts, desired.source if desired else None)


def _oddities(key: str, lives: Iterable[LiveActivity]) -> Iterable[Finding]:
    for live in lives:
        facts: dict[str, object] = {"activity_id": live.activity_id, "activity_status": live.activity_status}
        if live.activity_status == PAUSED:
            yield Finding("PAUSED", Severity.WARNING, key, {**facts, "pause_time": live.pause_time})
        elif live.activity_status not in KNOWN_STATUSES:
            yield Finding("STATUS_UNKNOWN", Severity.WARNING, key, facts)


def _by_key(live: Iterable[LiveActivity], ownership: Ownership) -> tuple[dict[str, list[LiveActivity]], int]:
    """Our activities by key, in the order of their ids, and how many are not ours."""
    mine: dict[str, list[LiveActivity]] = defaultdict(list)
    unmanaged = 0
    for activity in sorted(live, key=lambda each: each.activity_id):
        key = ownership.key_of(activity)
        if key is None:
            unmanaged += 1
        else:
            mine[key].append(activity)
    return mine, unmanaged


def _uploads(changes: Iterable[ActivityChange]) -> tuple[UploadImage, ...]:
    """Each local picture of what is to be created, once, by path."""
    paths = {
        image.sha256: image.path
        for change in changes
        for step in change.operations
        if isinstance(step, CreateActivity)
        for image in step.terms.images()
        if image.sha256
    }
    return tuple(
        UploadImage(sha256, path) for sha256, path in sorted(paths.items(), key=lambda item: item[::-1])
    )


def _renamed(
    wanted: Mapping[str, DesiredActivity],
    mine: Mapping[str, list[LiveActivity]],
    changes: Iterable[ActivityChange],
) -> Iterator[Finding]:
    """A refusal where one key goes and another comes with the same terms: the file was renamed, most likely.

    Without ``renamed_from`` the running campaign would end and start once more.
    """
    removed = {
        number.digest: (change.key, live.activity_id)
        for change in changes
        if change.key not in wanted
        for live in mine[change.key]
        if (number := parse_number(live.out_request_no)) is not None
    }
    for change in changes:
        if change.kind is not ChangeKind.CREATE or not removed:
            continue
        spec = wanted[change.key]
        former, activity_id = removed.get(terms_digest(spec.terms), ("", ""))
        if former:
            facts = {"former": former, "activity_id": activity_id}
            yield Finding("LOOKS_RENAMED", Severity.REFUSAL, spec.key, facts, spec.source)


def _unused_waivers(policy: Policy, findings: Sequence[Finding]) -> Iterator[Finding]:
    refusals = [each for each in findings if each.severity is Severity.REFUSAL]
    used = {waiver for each in refusals for waiver in (each.code, f"{each.code}:{each.key}")}
    for waiver in sorted(policy.allow - used):
        yield Finding("WAIVER_UNUSED", Severity.WARNING, facts={"waiver": waiver})


def with_findings(plan: Plan, more: Iterable[Finding], policy: Policy) -> Plan:
    """``plan`` with findings that needed another look at the account, judged by the same policy."""
    return replace(plan, findings=tuple(_judged(policy, [*plan.findings, *more])))


def _judged(policy: Policy, findings: Iterable[Finding]) -> list[Finding]:
    """Open refusals first, then by severity, code and key; those that this run allows are marked, not hidden."""
    order = list(Severity)[::-1]
    judged = [
        replace(each, waived=each.severity is Severity.REFUSAL and policy.waives(each.code, each.key))
        for each in findings
    ]
    return sorted(judged, key=lambda each: (each.waived, order.index(each.severity), each.code, each.key))


def _touched_ids(changes: Iterable[ActivityChange]) -> set[str]:
    return {
        step.activity_id
        for change in changes
        for step in change.operations
        if not isinstance(step, CreateActivity) and step.activity_id
    }


def _name(live: LiveActivity, desired: DesiredActivity | None) -> str:
    if desired is not None:
        return desired.terms.activity_name
    return live.terms.activity_name if live.terms else ""


def _terms_of(lives: Iterable[LiveActivity]) -> tuple[Terms, ...]:
    return tuple(live.terms for live in lives if live.terms is not None)


def _clocks_of(lives: Iterable[LiveActivity], now: datetime) -> tuple[Clock, ...]:
    return tuple(clock for live in lives if (clock := clock_of_live(live, now)) is not None)
