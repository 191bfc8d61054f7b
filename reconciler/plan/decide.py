"""The table of concepts.md#plan: for each key, what the spec says against what lives, and what follows.

The order of questions matters. Whatever cannot be undone is asked about first, and a key that raises a refusal without
a way forward gets no operations at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from reconciler.model.activity import FIELD_PATHS, PAUSED, DesiredActivity, LiveActivity, Source, Terms
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import Ownership, parse_number
from reconciler.model.operations import ActivityOperation, TerminateReason
from reconciler.model.plan import ActivityChange, ChangeKind, Timing
from reconciler.model.policy import Policy
from reconciler.model.witness import Witness
from reconciler.plan.adoption import adoption_blocked, not_expressible
from reconciler.plan.compare import contradictions, differences
from reconciler.plan.fitness import GIVES
from reconciler.plan.matching import adopts_another, matching, number_used
from reconciler.plan.operations import create_operations, merchant_operations, supersede_operation, terminate_operation
from reconciler.plan.protection import not_marked, protected
from reconciler.plan.successors import successor_unfit
from reconciler.plan.timing import timing_of_live, timing_of_new

KNOWN_STATUSES: Final = frozenset({"CREATE_ACT_STATUS", "ONGOING_ACT_STATUS", PAUSED})
"""Statuses of an activity that has not ended, as far as the API documents them (API §1.7)."""


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What every key is decided by, beside its spec and its activities."""

    namespace: str
    now: datetime
    policy: Policy
    witness: Witness
    ownership: Ownership
    adopted: Mapping[str, LiveActivity]
    """The activities that specs name in ``adopt``, whoever's they are, by id."""
    unreadable: Mapping[str, str]
    uploaded: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows for one key. ``touched`` are the terms whose begin or end changes what the operations mean.
    ``equal`` is the live activity that is as the spec says, if one is: its id.
    """

    change: ActivityChange | None = None
    findings: tuple[Finding, ...] = ()
    touched: tuple[Terms, ...] = ()
    equal: str = ""


def decide(context: PlanContext, key: str, desired: DesiredActivity | None, lives: Sequence[LiveActivity]) -> Decision:
    """What follows for ``key`` from its spec, if it has one, and from all its activities, ended ones included.

    Raises ValueError if the merchants of an activity that may go on were not read.
    """
    # By the clock and not by the status alone, which may lag for days (API §1.7).
    running = [live for live in lives if not live.ended(context.now)]
    past = [live for live in lives if live.ended(context.now)]
    if desired is None:
        return _removed(context, key, running)
    # Before `state`: an adoption that goes wrong must not end an activity either.
    blocked = _blocked(context, desired, running)
    if blocked is not None:
        return Decision(findings=(blocked,))
    # Before the end is looked at, since it is the only way to end what runs longer than its spec.
    if desired.state == "terminated":
        return _terminate(context, desired.key, running, "state", desired)
    if desired.terms.end_time <= context.now:
        return _spec_ended(context, desired, running)
    kept = matching(context.namespace, desired, running)
    # Before `kept` is used: _keep would end the adopted one as superseded.
    if kept is not None and (ambiguous := adopts_another(desired, kept, running)) is not None:
        return Decision(findings=(ambiguous,))
    if kept is None:
        hindered = number_used(desired, past) or not_expressible(desired, running)
        if hindered is None and not _creates_first(desired, running, context.now):
            # What would stop the create once these have ended stops their end.
            hindered = _blocked(context, desired, [])
        if hindered is not None:
            # No operations at all: a waiver must not end the old activity whose successor can never be created.
            return Decision(findings=(hindered,))
        return _replace(context, desired, running) if running else _create(context, desired)
    return _keep(context, desired, kept, [live for live in running if live is not kept])


def _removed(context: PlanContext, key: str, running: list[LiveActivity]) -> Decision:
    """The spec is gone. Adopted activities do not come here: their numbers are not ours (concepts.md#identity)."""
    if not running:
        return Decision()
    ids = [live.activity_id for live in running]
    if context.policy.on_removed == "ignore":
        # Told in every plan: what is ignored in silence would run on, and nobody would know of it.
        ignored = Finding.of(FindingKind.REMOVED_SPEC_IGNORED, key, {"activity_ids": ids})
        return Decision(findings=(ignored,))
    decision = _terminate(context, key, running, "removed", None)
    # With the operations all the same, so that a waiver has something to allow.
    if context.policy.on_removed == "refuse":
        refusal = Finding.of(FindingKind.REMOVED_SPEC, key, {"activity_ids": ids})
        return replace(decision, findings=(refusal, *decision.findings))
    return decision


def _terminate(
    context: PlanContext,
    key: str,
    running: list[LiveActivity],
    reason: TerminateReason,
    desired: DesiredActivity | None,
) -> Decision:
    if not running:
        return Decision()
    unreadable = _unreadable(key, running, desired)
    if unreadable is not None:
        return Decision(findings=(unreadable,))
    return Decision(
        change=ActivityChange(
            key=key,
            kind=ChangeKind.TERMINATE,
            activity_name=_name(running[0], desired),
            operations=tuple(terminate_operation(key, live, reason) for live in running),
            source=desired.source if desired else None,
            clocks=_clocks_of(running, context.now),
            # Of several that run under one key, mostly the same merchants: a sum would count them twice.
            merchants_before=max(len(live.merchants or ()) for live in running),
        ),
        findings=(*protected(key, running, desired, context.witness), *_oddities(key, running)),
        touched=_terms_of(running),
    )


def _spec_ended(context: PlanContext, desired: DesiredActivity, running: list[LiveActivity]) -> Decision:
    """Nothing is created for a time that has passed; what still runs under the key runs too long."""
    decision = _terminate(context, desired.key, running, "ended", desired)
    facts = {"end_time": desired.terms.end_time}
    ended = Finding.of(FindingKind.SPEC_ENDED, desired.key, facts, desired.source)
    return replace(decision, findings=(ended, *decision.findings))


def _blocked(context: PlanContext, desired: DesiredActivity, running: list[LiveActivity]) -> Finding | None:
    """Why nothing at all can be decided for this key: an adoption that fails, or live terms nobody can read."""
    adopted = context.adopted.get(desired.adopt)
    blocked = adoption_blocked(
        desired,
        running,
        context.ownership,
        adopted,
        context.unreadable,
        context.witness.terminated,
        context.now,
    )
    return blocked or _unreadable(desired.key, running, desired)


def _unreadable(key: str, running: list[LiveActivity], desired: DesiredActivity | None) -> Finding | None:
    """What nobody can read is not ended either: no precondition could tell that it is still the same."""
    unreadable = [live.activity_id for live in running if live.terms is None]
    if not unreadable:
        return None
    facts: dict[str, object] = {"activity_ids": unreadable}
    return Finding.of(FindingKind.TERMS_UNREADABLE, key, facts, desired.source if desired else None)


def _create(context: PlanContext, desired: DesiredActivity) -> Decision:
    return Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.CREATE,
            activity_name=desired.terms.activity_name,
            operations=tuple(create_operations(context.namespace, desired)),
            source=desired.source,
            clocks=(timing_of_new(desired.terms, context.now),),
            merchants_after=len(desired.merchants),
        ),
        findings=_begins_in_past(context, desired),
        touched=(desired.terms,),
    )


def _begins_in_past(context: PlanContext, desired: DesiredActivity) -> tuple[Finding, ...]:
    """A date that has passed is a slip, or customers have gone without since."""
    # Only a warning: WeChat Pay accepts a begin that has passed (API §1.1).
    if desired.terms.begin_time >= context.now:
        return ()
    facts = {"begin_time": desired.terms.begin_time}
    return (Finding.of(FindingKind.BEGINS_IN_PAST, desired.key, facts, desired.source),)


def _replace(context: PlanContext, desired: DesiredActivity, running: list[LiveActivity]) -> Decision:
    """New terms mean a new activity; the old ones end permanently."""
    creates = tuple(create_operations(context.namespace, desired))
    # Terms cannot be edited once an activity is created (API §1.13).
    ends = tuple(terminate_operation(desired.key, live, "replaced") for live in running)
    operations: tuple[ActivityOperation, ...] = (
        (*creates, *ends) if _creates_first(desired, running, context.now) else (*ends, *creates)
    )
    closest = running[0]
    irreversible = replaces_running(context, desired.key, running, desired.source)
    return Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.REPLACE,
            activity_name=desired.terms.activity_name,
            operations=operations,
            source=desired.source,
            differences=differences(desired.terms, closest, context.uploaded),
            clocks=(timing_of_new(desired.terms, context.now), *_clocks_of(running, context.now)),
            merchants_before=len(closest.merchants or ()),
            merchants_after=len(desired.merchants),
        ),
        findings=(
            *protected(desired.key, running, desired, context.witness),
            # What replaces a running activity began when that one did, and nobody need wonder.
            # A refusal to replace says it already.
            *(irreversible or _begins_in_past(context, desired)),
            *_oddities(desired.key, running),
        ),
        touched=(desired.terms, *_terms_of(running)),
    )


def _creates_first(desired: DesiredActivity, running: Iterable[LiveActivity], now: datetime) -> bool:
    """``terminate_first`` is for what would overlap: a new activity that begins later overlaps with nothing that has
    begun, and if its create were refused, the old one would have ended for nothing.
    """
    return desired.replace == "create_first" or (desired.terms.begin_time > now and any(begun(running, now)))


def begun(lives: Iterable[LiveActivity], now: datetime) -> list[str]:
    """The ids of those that have begun."""
    return [live.activity_id for live in lives if live.terms and live.terms.begin_time <= now]


def replaces_running(
    context: PlanContext, key: str, ending: Iterable[LiveActivity], source: Source | None
) -> tuple[Finding, ...]:
    """That customers see a running activity replaced: a warning, or a refusal where the team does not allow it."""
    began = begun(ending, context.now)
    if not began:
        return ()
    allowed = context.policy.allow_replace_running
    kind = FindingKind.REPLACES_RUNNING if allowed else FindingKind.REPLACE_RUNNING
    return (Finding.of(kind, key, {"activity_ids": began}, source),)


def _keep(
    context: PlanContext, desired: DesiredActivity, kept: LiveActivity, superseded: list[LiveActivity]
) -> Decision:
    """The activity is there: bring its merchants in line, and end what it has superseded."""
    # Not read is not empty: taken for empty, every merchant would be added once more.
    if kept.merchants is None:
        raise ValueError(f"the merchants of activity {kept.activity_id} were not read")
    differing = contradictions(desired, kept)
    findings = [
        *_about_kept(desired, kept, differing),
        *not_marked(desired, kept, context.witness),
        *_oddities(desired.key, [kept, *superseded]),
    ]
    if differing:
        return Decision(findings=tuple(findings))  # nothing about it is as it seems, so nothing is changed by itself
    findings += protected(desired.key, superseded, desired, context.witness)
    findings += replaces_running(context, desired.key, superseded, desired.source)
    # A paused survivor gives nothing, and no API resumes it: ending the others would leave customers bare.
    giving = [live.activity_id for live in superseded if live.activity_status in GIVES]
    if kept.activity_status not in GIVES and giving:
        why = f"activity {kept.activity_id}, which has the terms of this spec, is {kept.activity_status}"
        findings.append(successor_unfit(desired.key, giving, why, desired.source))
    merchants = tuple(merchant_operations(desired, kept))
    # They wait for `kept` to be seen serving their merchants, in case something changes before the apply.
    ends = tuple(supersede_operation(desired, live, kept) for live in superseded)
    equal = "" if merchants else kept.activity_id
    if not merchants and not ends:
        return Decision(findings=tuple(findings), equal=equal)
    touched = [*([kept] if merchants else []), *superseded]
    return Decision(
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
        equal=equal,
    )


def _about_kept(desired: DesiredActivity, kept: LiveActivity, differing: Sequence[str]) -> Iterator[Finding]:
    """What an author must know of the live activity that the spec is fulfilled by."""
    number = parse_number(kept.out_request_no)
    if differing:
        facts: dict[str, object] = {
            "activity_id": kept.activity_id,
            "next_generation": desired.generation + 1,
            "fields": [FIELD_PATHS[name] for name in differing],
        }
        yield Finding.of(FindingKind.LIVE_TERMS_DIFFER, desired.key, facts, desired.source)
    # Terms decide, and not the number: raising generation for nothing must not replace a running campaign.
    elif number is not None and number.generation != desired.generation:
        facts = {"activity_id": kept.activity_id, "generation": number.generation}
        yield Finding.of(FindingKind.GENERATION_NOT_NEEDED, desired.key, facts, desired.source)
    if desired.adopt and kept.activity_id != desired.adopt:
        facts = {"activity_id": kept.activity_id}
        yield Finding.of(FindingKind.ADOPT_NOT_NEEDED, desired.key, facts, desired.source)


def _oddities(key: str, lives: Iterable[LiveActivity]) -> Iterable[Finding]:
    for live in lives:
        facts: dict[str, object] = {"activity_id": live.activity_id, "activity_status": live.activity_status}
        if live.activity_status == PAUSED:
            number = parse_number(live.out_request_no)
            facts["next_generation"] = (number.generation if number else 1) + 1
            yield Finding.of(FindingKind.PAUSED, key, {**facts, "pause_time": live.pause_time})
        # The documented list may grow: a status that is new must be seen, and must not stop everything.
        elif live.activity_status not in KNOWN_STATUSES:
            yield Finding.of(FindingKind.STATUS_UNKNOWN, key, facts)


def _name(live: LiveActivity, desired: DesiredActivity | None) -> str:
    if desired is not None:
        return desired.terms.activity_name
    return live.terms.activity_name if live.terms else ""


def _terms_of(lives: Iterable[LiveActivity]) -> tuple[Terms, ...]:
    return tuple(live.terms for live in lives if live.terms is not None)


def _clocks_of(lives: Iterable[LiveActivity], now: datetime) -> tuple[Timing, ...]:
    return tuple(clock for live in lives if (clock := timing_of_live(live, now)) is not None)
