"""The table of concepts.md#plan: for each key, what the spec says against what lives, and what follows.

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

from reconciler.model.activity import (
    CREATE_FAILED,
    FIELD_PATHS,
    PAUSED,
    DesiredActivity,
    LiveActivity,
    Source,
    Terms,
)
from reconciler.model.findings import Finding, Severity
from reconciler.model.identity import Ownership, number_of, parse_number
from reconciler.model.operations import ActivityOperation, TerminateReason
from reconciler.model.plan import ActivityChange, ChangeKind, Differing, Plan, Timing
from reconciler.model.policy import Policy
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import steps
from reconciler.plan.adoption import adoption_blocked, not_expressible
from reconciler.plan.clock import clock_of_live, clock_of_new, next_boundary
from reconciler.plan.compare import contradictions, differences, same_number, same_terms
from reconciler.plan.coverage import covered
from reconciler.plan.fitness import GIVES
from reconciler.plan.leaning import leaning, wanted_and_not_served
from reconciler.plan.limits import ending_soon, never_opens, over_the_limits
from reconciler.plan.protection import not_marked, protected
from reconciler.plan.service import service_map
from reconciler.plan.shown import touched_ids, uploads_of
from reconciler.plan.successors import Pair, looks_alike, merged, pairs, partners, successor_unfit
from reconciler.plan.ties import tied
from reconciler.plan.timeline import timeline
from reconciler.plan.verdict import with_findings

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
    uploaded: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """What apply would do at ``now`` (an aware instant) so that ``live`` equals ``desired``.

    ``desired`` holds each key once. ``live`` is the complete account: an activity that is missing from it is taken
    to be absent, so never call this with the fruits of an incomplete read. ``unreadable`` says of adopted activities
    why they could not be read. ``witness`` is what the journal knows. ``uploaded`` gives the URLs of uploaded images by
    their SHA-256; it explains differences and decides nothing. Raises ValueError if the merchants of a managed activity
    that has not ended were not read.
    """
    wanted = {activity.key: activity for activity in desired}
    live, ownership = tuple(live), Ownership.of(namespace, desired)
    context = _Context(
        namespace, now, policy or Policy(), witness, ownership, _named(live, ownership), unreadable, uploaded
    )
    mine, unmanaged = _by_key(live, ownership)
    decisions = [
        _decide(context, key, wanted.get(key), mine.get(key, ())) for key in sorted({*wanted, *mine})
    ]
    alive = {key: [each for each in lives if not each.ended(now)] for key, lives in mine.items()}
    running = [each for lives in alive.values() for each in lives]
    started = [decision.change for decision in decisions if decision.change is not None]
    found = pairs(started, alive, wanted, witness.switches)
    joined = merged(started, found, uploaded)
    ordered = sorted(joined, key=lambda each: (each.kind is ChangeKind.TERMINATE, each.key))
    whole = service_map(((key, each) for key, lives in alive.items() for each in lives), ordered, now)
    claims = whole.claims(ordered, partners(found))
    leaned = leaning(ordered, claims, whole)
    changes = covered(tied(leaned, claims, whole, _blocked_specs(decisions, wanted, now), now), claims, whole)
    touched = touched_ids(changes)
    equal = {decision.equal for decision in decisions if decision.equal}.difference(touched)
    findings = [
        *_of_keys(decisions, found, now),
        *_no_specs(context, desired, running),
        *looks_alike(found),
        *_switched(context, found),
        *wanted_and_not_served(claims, whole, desired, now),
        *_given_up(context, live, wanted),
        *over_the_limits(context.policy, changes, claims, managed=len(running), now=now),
        *never_opens(changes, now),
        *ending_soon(context.policy, desired, whole, now),
    ]
    return with_findings(
        Plan(
            namespace=namespace,
            made_at=now,
            mchid=mchid,
            allow=tuple(sorted(context.policy.allow)),
            uploads=uploads_of(changes),
            changes=changes,
            valid_until=next_boundary((terms for decision in decisions for terms in decision.touched), now),
            managed=len(running),
            unchanged=len(equal),
            unmanaged=unmanaged,
            timeline=timeline(live, touched, ownership, now),
            policy=replace(context.policy, allow=frozenset()),
            differing=tuple(
                Differing(key, each.activity_id)
                for key, lives in sorted(alive.items())
                for each in lives
                if each.activity_id not in touched and each.activity_id not in equal
            ),
        ),
        findings,
        context.policy,
    )


@dataclass(frozen=True, slots=True)
class _Context:
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
class _Decision:
    """What follows for one key. ``touched`` are the terms whose begin or end changes what the operations mean.
    ``equal`` is the live activity that is as the spec says, if one is: its id.
    """

    change: ActivityChange | None = None
    findings: tuple[Finding, ...] = ()
    touched: tuple[Terms, ...] = ()
    equal: str = ""


def _decide(
    context: _Context, key: str, desired: DesiredActivity | None, lives: Sequence[LiveActivity]
) -> _Decision:
    running = [live for live in lives if not live.ended(context.now)]
    past = [live for live in lives if live.ended(context.now)]
    if desired is None:
        return _removed(context, key, running)
    blocked = _blocked(context, desired, running)
    if blocked is not None:
        return _Decision(findings=(blocked,))
    if desired.state == "terminated":
        return _terminate(context, desired.key, running, "state", desired)
    if desired.terms.end_time <= context.now:
        return _spec_ended(context, desired, running)
    kept = _kept(context.namespace, desired, running)
    if kept is not None and (ambiguous := _adopts_another(desired, kept, running)) is not None:
        return _Decision(findings=(ambiguous,))
    if kept is None:
        hindered = _number_used(desired, past) or not_expressible(desired, running)
        if hindered is None and not _creates_first(desired, running, context.now):
            # What would stop the create once these have ended stops their end.
            hindered = _blocked(context, desired, [])
        if hindered is not None:
            return _Decision(findings=(hindered,))
        return _replace(context, desired, running) if running else _create(context, desired)
    return _keep(context, desired, kept, [live for live in running if live is not kept])


def _blocked_specs(
    decisions: Iterable[_Decision], wanted: Mapping[str, DesiredActivity], now: datetime
) -> Iterator[DesiredActivity]:
    """The specs that should run, and for which nothing is done since they are refused."""
    for decision in decisions:
        if decision.change is None:
            refused = {each.key for each in decision.findings if each.severity is Severity.REFUSAL}
            specs = (wanted[key] for key in refused if key in wanted)
            yield from (each for each in specs if each.state == "running" and each.terms.end_time > now)


def _removed(context: _Context, key: str, running: list[LiveActivity]) -> _Decision:
    """The spec is gone. Adopted activities do not come here: their numbers are not ours (concepts.md#identity)."""
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
        findings=(*protected(key, running, desired, context.witness), *_oddities(key, running)),
        touched=_terms_of(running),
    )


def _spec_ended(context: _Context, desired: DesiredActivity, running: list[LiveActivity]) -> _Decision:
    """Nothing is created for a time that has passed; what still runs under the key runs too long."""
    decision = _terminate(context, desired.key, running, "ended", desired)
    facts = {"end_time": desired.terms.end_time}
    ended = Finding("SPEC_ENDED", Severity.NOTE, desired.key, facts, desired.source)
    return replace(decision, findings=(ended, *decision.findings))


def _blocked(context: _Context, desired: DesiredActivity, running: list[LiveActivity]) -> Finding | None:
    """Why nothing at all can be decided for this key: an adoption that fails, or live terms nobody can read."""
    adopted = context.adopted.get(desired.adopt)
    flaw = adoption_blocked(
        desired,
        running,
        context.ownership,
        adopted,
        context.unreadable,
        context.witness.terminated,
        context.now,
    )
    return flaw or _unreadable(desired.key, running, desired)


def _unreadable(key: str, running: list[LiveActivity], desired: DesiredActivity | None) -> Finding | None:
    """What nobody can read is not ended either: no precondition could tell that it is still the same."""
    unreadable = [live.activity_id for live in running if live.terms is None]
    if not unreadable:
        return None
    facts: dict[str, object] = {"activity_ids": unreadable}
    return Finding("TERMS_UNREADABLE", Severity.REFUSAL, key, facts, desired.source if desired else None)


def _number_used(desired: DesiredActivity, past: list[LiveActivity]) -> Finding | None:
    """A number is spent permanently (API §1.10): what was terminated does not come back by accident."""
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
    """The live activity that already is the desired one, or has taken its number. Of several, one that is known to give
    is worth more than a paused one, and one that most of the wanted merchants are in more than the exact number; then
    the oldest.
    """
    candidates = [
        live
        for live in running
        if (same_terms(desired, live) or same_number(desired, live)) and not _given_up_on(desired, live)
    ]
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    number, wanted = str(number_of(namespace, desired)), frozenset(desired.merchants)
    return min(
        candidates,
        key=lambda live: (
            bool(contradictions(desired, live)),
            live.activity_status not in GIVES,
            live.activity_status == PAUSED,
            -len(wanted.intersection(live.merchants or ())),
            live.out_request_no != number,
            not same_number(desired, live),
            -len(live.merchants or ()),  # what deleting from it changes comes after what it does not
            live.create_time or datetime.max.replace(tzinfo=UTC),
            live.activity_id,
        ),
    )


def _adopts_another(
    desired: DesiredActivity, kept: LiveActivity, running: Iterable[LiveActivity]
) -> Finding | None:
    """A refusal where the spec runs already, and adopts another activity with the same terms: one of the two would end,
    and nobody has said which.
    """
    for live in running:
        same = live is not kept and live.activity_id == desired.adopt and same_terms(desired, live)
        if same and not _given_up_on(desired, live):
            facts: dict[str, object] = {"activity_id": live.activity_id, "kept_id": kept.activity_id}
            return Finding("ADOPT_AMBIGUOUS", Severity.REFUSAL, desired.key, facts, desired.source)
    return None


def _given_up_on(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether ``live`` is paused, which we cannot undo, and ``generation`` was raised to run the terms again."""
    number = parse_number(live.out_request_no)
    return live.activity_status == PAUSED and desired.generation > (number.generation if number else 1)


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
    """New terms mean a new activity; the old ones end permanently."""
    creates = tuple(steps.create(context.namespace, desired))
    ends = tuple(steps.terminate(desired.key, live, "replaced") for live in running)
    operations: tuple[ActivityOperation, ...] = (
        (*creates, *ends) if _creates_first(desired, running, context.now) else (*ends, *creates)
    )
    closest = running[0]
    irreversible = _irreversible(context, desired.key, running, desired.source)
    return _Decision(
        change=ActivityChange(
            key=desired.key,
            kind=ChangeKind.REPLACE,
            activity_name=desired.terms.activity_name,
            operations=operations,
            source=desired.source,
            differences=differences(desired.terms, closest, context.uploaded),
            clocks=(clock_of_new(desired.terms, context.now), *_clocks_of(running, context.now)),
            merchants_before=len(closest.merchants or ()),
            merchants_after=len(desired.merchants),
        ),
        findings=(
            *protected(desired.key, running, desired, context.witness),
            # What replaces a running activity began when that one did, and nobody need wonder.
            *(irreversible or _begins_in_past(context, desired)),
            *_oddities(desired.key, running),
        ),
        touched=(desired.terms, *_terms_of(running)),
    )


def _creates_first(desired: DesiredActivity, running: Iterable[LiveActivity], now: datetime) -> bool:
    """``terminate_first`` is for what would overlap: a new activity that begins later overlaps with nothing that has
    begun, and if its create were refused, the old one would have ended for nothing.
    """
    return desired.replace == "create_first" or (desired.terms.begin_time > now and any(_begun(running, now)))


def _begun(lives: Iterable[LiveActivity], now: datetime) -> list[str]:
    """The ids of those that have begun."""
    return [live.activity_id for live in lives if live.terms and live.terms.begin_time <= now]


def _irreversible(
    context: _Context, key: str, ending: Iterable[LiveActivity], source: Source | None
) -> tuple[Finding, ...]:
    """That customers see a running activity replaced: a warning, or a refusal where the team does not allow it."""
    began = _begun(ending, context.now)
    if not began:
        return ()
    code, severity = "REPLACES_RUNNING", Severity.WARNING
    if not context.policy.allow_replace_running:
        code, severity = "REPLACE_RUNNING", Severity.REFUSAL
    return (Finding(code, severity, key, {"activity_ids": began}, source),)


def _of_keys(decisions: Iterable[_Decision], found: Iterable[Pair], now: datetime) -> Iterator[Finding]:
    """What was found key by key. What comes in the place of a running activity began when that one did."""
    goes_on = {pair.start.spec.key for pair in found if any(_begun(pair.lives, now))}
    for decision in decisions:
        for finding in decision.findings:
            if finding.code != "BEGINS_IN_PAST" or finding.key not in goes_on:
                yield finding


def _switched(context: _Context, found: Iterable[Pair]) -> Iterator[Finding]:
    """The same of activities that are replaced under another key."""
    for pair in found:
        if pair.end is not None and not pair.start.flaw:
            spec = pair.start.spec
            yield from _irreversible(context, spec.key, pair.lives, spec.source)


def _keep(
    context: _Context, desired: DesiredActivity, kept: LiveActivity, superseded: list[LiveActivity]
) -> _Decision:
    """The activity is there: bring its merchants in line, and end what it has superseded."""
    if kept.merchants is None:
        raise ValueError(f"the merchants of activity {kept.activity_id} were not read")
    differing = contradictions(desired, kept)
    findings = [
        *_about_kept(desired, kept, differing),
        *not_marked(desired, kept, context.witness),
        *_oddities(desired.key, [kept, *superseded]),
    ]
    if differing:
        return _Decision(
            findings=tuple(findings)
        )  # nothing about it is as it seems, so nothing is changed by itself
    findings += protected(desired.key, superseded, desired, context.witness)
    findings += _irreversible(context, desired.key, superseded, desired.source)
    giving = [live.activity_id for live in superseded if live.activity_status in GIVES]
    if kept.activity_status not in GIVES and giving:
        why = f"activity {kept.activity_id}, which has the terms of this spec, is {kept.activity_status}"
        findings.append(successor_unfit(desired.key, giving, why, desired.source))
    merchants = tuple(steps.change_merchants(desired, kept))
    ends = tuple(steps.supersede(desired, live, kept) for live in superseded)
    equal = "" if merchants else kept.activity_id
    if not merchants and not ends:
        return _Decision(findings=tuple(findings), equal=equal)
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
        yield Finding("LIVE_TERMS_DIFFER", Severity.WARNING, desired.key, facts, desired.source)
    elif number is not None and number.generation != desired.generation:
        facts = {"activity_id": kept.activity_id, "generation": number.generation}
        yield Finding("GENERATION_NOT_NEEDED", Severity.NOTE, desired.key, facts, desired.source)
    if desired.adopt and kept.activity_id != desired.adopt:
        facts = {"activity_id": kept.activity_id}
        yield Finding("ADOPT_NOT_NEEDED", Severity.NOTE, desired.key, facts, desired.source)


def _no_specs(
    context: _Context, desired: Sequence[DesiredActivity], running: Sequence[LiveActivity]
) -> Iterator[Finding]:
    if running and not desired and context.policy.on_removed != "ignore":
        yield Finding("NO_SPECS", Severity.REFUSAL, facts={"managed": len(running)})


def _given_up(
    context: _Context, live: Iterable[LiveActivity], wanted: Mapping[str, DesiredActivity]
) -> Iterator[Finding]:
    """Activities that a spec had adopted and that no spec names any more: unmanaged again, which the journal knows."""
    for each in live:
        key = context.witness.adopted.get(each.activity_id)
        if (
            key is None
            or key in wanted
            or context.ownership.key_of(each) is not None
            or each.ended(context.now)
        ):
            continue
        facts: dict[str, object] = {"activity_ids": [each.activity_id]}
        if context.policy.on_removed == "refuse":
            yield Finding("REMOVED_SPEC", Severity.REFUSAL, key, facts)
        else:
            yield Finding("ADOPTION_GIVEN_UP", Severity.NOTE, key, facts)


def _oddities(key: str, lives: Iterable[LiveActivity]) -> Iterable[Finding]:
    for live in lives:
        facts: dict[str, object] = {"activity_id": live.activity_id, "activity_status": live.activity_status}
        if live.activity_status == PAUSED:
            number = parse_number(live.out_request_no)
            facts["next_generation"] = (number.generation if number else 1) + 1
            yield Finding("PAUSED", Severity.WARNING, key, {**facts, "pause_time": live.pause_time})
        elif live.activity_status not in KNOWN_STATUSES:
            yield Finding("STATUS_UNKNOWN", Severity.WARNING, key, facts)


def _named(live: Iterable[LiveActivity], ownership: Ownership) -> dict[str, LiveActivity]:
    """The activities whose ids specs name in ``adopt``."""
    return {each.activity_id: each for each in live if each.activity_id in ownership.adopted}


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


def _name(live: LiveActivity, desired: DesiredActivity | None) -> str:
    if desired is not None:
        return desired.terms.activity_name
    return live.terms.activity_name if live.terms else ""


def _terms_of(lives: Iterable[LiveActivity]) -> tuple[Terms, ...]:
    return tuple(live.terms for live in lives if live.terms is not None)


def _clocks_of(lives: Iterable[LiveActivity], now: datetime) -> tuple[Timing, ...]:
    return tuple(clock for live in lives if (clock := clock_of_live(live, now)) is not None)
