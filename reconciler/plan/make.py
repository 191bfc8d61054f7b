"""The whole plan: what follows for each key (``decide``), what belongs together, and what is found about it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, FindingKind, Severity
from reconciler.model.identity import Ownership
from reconciler.model.plan import ChangeKind, Differing, Plan
from reconciler.model.policy import Policy
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan.consistency import touched_ids, uploads_of
from reconciler.plan.coverage import covered
from reconciler.plan.decide import Decision, PlanContext, begun, decide, replaces_running
from reconciler.plan.dependencies import wanted_and_not_served, with_dependencies
from reconciler.plan.limits import ending_soon, never_opens, over_the_limits
from reconciler.plan.service import service_map
from reconciler.plan.successors import Pair, looks_alike, merged, pairs, partners
from reconciler.plan.timeline import timeline
from reconciler.plan.timing import next_boundary
from reconciler.plan.together import applied_together
from reconciler.plan.waivers import with_findings


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
    # Sorted below wherever it is walked: the same files must give the same digest on every machine.
    wanted = {activity.key: activity for activity in desired}
    live, ownership = tuple(live), Ownership.of(namespace, desired)
    context = PlanContext(
        namespace, now, policy or Policy(), witness, ownership, _named(live, ownership), unreadable, uploaded
    )
    mine, unmanaged = _by_key(live, ownership)
    # Keys of both sides: one that only lives has lost its spec.
    decisions = [decide(context, key, wanted.get(key), mine.get(key, ())) for key in sorted({*wanted, *mine})]
    alive = {key: [each for each in lives if not each.ended(now)] for key, lives in mine.items()}
    running = [each for lives in alive.values() for each in lives]
    started = [decision.change for decision in decisions if decision.change is not None]
    found = pairs(started, alive, wanted, witness.switches)
    joined = merged(started, found, uploaded)
    # Plain ends last: whatever stops an apply on the way, they are what cannot be taken back.
    ordered = sorted(joined, key=lambda each: (each.kind is ChangeKind.TERMINATE, each.key))
    whole = service_map(((key, each) for key, lives in alive.items() for each in lives), ordered, now)
    claims = whole.claims(ordered, partners(found))
    # Before `covered` and `applied_together`, which go by the order that results from it.
    waiting = with_dependencies(ordered, claims, whole)
    changes = covered(
        applied_together(waiting, claims, whole, _blocked_specs(decisions, wanted, now), now), claims, whole
    )
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


def _blocked_specs(
    decisions: Iterable[Decision], wanted: Mapping[str, DesiredActivity], now: datetime
) -> Iterator[DesiredActivity]:
    """The specs that should run, and for which nothing is done since they are refused."""
    for decision in decisions:
        if decision.change is None:
            refused = {each.key for each in decision.findings if each.severity is Severity.REFUSAL}
            specs = (wanted[key] for key in refused if key in wanted)
            yield from (each for each in specs if each.state == "running" and each.terms.end_time > now)


def _of_keys(decisions: Iterable[Decision], found: Iterable[Pair], now: datetime) -> Iterator[Finding]:
    """What was found key by key. What comes in the place of a running activity began when that one did."""
    goes_on = {pair.start.spec.key for pair in found if any(begun(pair.lives, now))}
    for decision in decisions:
        for finding in decision.findings:
            if finding.code != FindingKind.BEGINS_IN_PAST or finding.key not in goes_on:
                yield finding


def _switched(context: PlanContext, found: Iterable[Pair]) -> Iterator[Finding]:
    """The same of activities that are replaced under another key."""
    for pair in found:
        if pair.end is not None and not pair.start.reason:
            spec = pair.start.spec
            yield from replaces_running(context, spec.key, pair.lives, spec.source)


def _no_specs(
    context: PlanContext, desired: Sequence[DesiredActivity], running: Sequence[LiveActivity]
) -> Iterator[Finding]:
    # An empty folder is a wrong checkout far more often than the wish to end everything.
    if running and not desired and context.policy.on_removed != "ignore":
        yield Finding.of(FindingKind.NO_SPECS, facts={"managed": len(running)})


def _given_up(
    context: PlanContext, live: Iterable[LiveActivity], wanted: Mapping[str, DesiredActivity]
) -> Iterator[Finding]:
    """Activities that a spec had adopted and that no spec names any more: unmanaged again, which the journal knows."""
    for each in live:
        key = context.witness.adopted.get(each.activity_id)
        if key is None or key in wanted or context.ownership.key_of(each) is not None or each.ended(context.now):
            continue
        facts: dict[str, object] = {"activity_ids": [each.activity_id]}
        if context.policy.on_removed == "refuse":
            yield Finding.of(FindingKind.REMOVED_SPEC, key, facts)
        else:
            yield Finding.of(FindingKind.ADOPTION_GIVEN_UP, key, facts)


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
