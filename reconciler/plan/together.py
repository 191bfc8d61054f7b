"""Which changes are not applied without one another (docs/decisions/refusals.md). Pure.

A refusal may hold one key while the rest is applied. What the rest takes from merchants must then be what the reviewed
plan said: so a change goes with every key that newly gives something in place, or in the time, of what it takes away;
and what is brought for merchants that move goes with what takes it away elsewhere, or both would give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.model.activity import DesiredActivity
from reconciler.model.plan import ActivityChange
from reconciler.plan.dependencies import newly
from reconciler.plan.service import Claim, Group, Service, ServiceMap
from reconciler.plan.spans import Spans, overlap, union, without

Promised = Mapping[str, Sequence[Service]]
"""By merchant, what the plan newly brings, and what refused specs would bring."""


def applied_together(
    changes: Sequence[ActivityChange],
    claims: Mapping[str, Claim],
    whole: ServiceMap,
    blocked: Iterable[DesiredActivity],
    now: datetime,
) -> list[ActivityChange]:
    """``changes``, each with the other keys that it goes with. ``blocked`` are specs that should run, and for which the
    plan does nothing since they are refused.
    """
    taking = {key: groups for key, claim in claims.items() if (groups := tuple(_taken(claim)))}
    merchants = frozenset(mchid for groups in taking.values() for group in groups for mchid in group.merchants)
    # Where nothing is taken from anybody, holding any part of the plan back harms nobody.
    if not merchants:
        return list(changes)
    promised = _with_blocked(newly(whole, merchants), blocked, whole, merchants, now)
    owners = {key: change.key for change in changes for key in change.keys}
    before = _by_owner(whole, owners)
    together: dict[str, set[str]] = defaultdict(set)
    for change in changes:
        for dependency in change.leans_on:
            # Both ways: the end without the start leaves a gap, the start without the end gives twice.
            together[change.key].add(dependency.key)
            together[owners.get(dependency.key, dependency.key)].add(change.key)
        for group in (group for key in change.keys for group in taking.get(key, ())):
            for service, both in _relied_on(change, group, promised, before, owners):
                together[change.key].add(service.key)
                if both:
                    together[owners.get(service.key, service.key)].add(change.key)
    return [
        replace(change, goes_with=tuple(sorted(together[change.key]))) if change.key in together else change
        for change in changes
    ]


def _taken(claim: Claim) -> Iterator[Group]:
    """The groups of merchants from whom something is taken."""
    for group in claim.groups:
        stays = {each.activity_id for each in group.have}
        if any(each.activity_id not in stays for each in group.had):
            yield group


def _with_blocked(
    promised: dict[str, list[Service]],
    blocked: Iterable[DesiredActivity],
    whole: ServiceMap,
    merchants: frozenset[str],
    now: datetime,
) -> dict[str, list[Service]]:
    """Once its refusal is overcome, such a spec would serve merchants that it does not serve now."""
    specs = {spec.key: spec for spec in blocked}
    served = {(each.key, mchid) for each in whole.before if each.key in specs for mchid in each.merchants}
    for key, spec in specs.items():
        service = Service(key, "", "", spec.terms, frozenset(spec.merchants), paused=False, now=now)
        for mchid in service.merchants & merchants:
            if (key, mchid) not in served:
                promised.setdefault(mchid, []).append(service)
    return promised


def _by_owner(whole: ServiceMap, owners: Mapping[str, str]) -> dict[str, list[Service]]:
    """What lives now, by the change that has operations of its key: all of it stays if that change is held."""
    found: dict[str, list[Service]] = defaultdict(list)
    for each in whole.before:
        if each.key in owners:
            found[owners[each.key]].append(each)
    return found


def _relied_on(
    change: ActivityChange,
    group: Group,
    promised: Promised,
    before: Mapping[str, Sequence[Service]],
    owners: Mapping[str, str],
) -> Iterator[tuple[Service, bool]]:
    """What other changes bring to ``group`` in place of what ``change`` takes from it, or in the same time; and whether
    that is meant for them, so that it does not go without ``change`` either.
    """
    own = frozenset(change.keys)
    meant = {each for each in group.have if each.key not in own}
    yield from ((each, False) for each in meant)
    alike: dict[tuple[Service, ...], list[str]] = defaultdict(list)
    for mchid in group.merchants:
        alike[tuple(each for each in promised.get(mchid, ()) if each.key not in own)].append(mchid)
    for services, mchids in alike.items():
        for service in services:
            if service in meant:
                yield service, True
            # No number: a spec that is refused, and therefore has no create in the plan.
            elif not group.have and not service.out_request_no:
                yield service, False  # a refused spec that may well be the successor
            elif overlap(group.lost, _gained(service, mchids, before.get(owners.get(service.key, ""), ()))):
                yield service, False


def _gained(service: Service, mchids: Iterable[str], before: Iterable[Service]) -> Spans:
    """When ``service`` gives, and what goes on if it does not come would not give to all of ``mchids``."""
    # All of them, as a group fares alike: what stays for some does not help the others.
    stays = [each.spans for each in before if each.merchants.issuperset(mchids)]
    return without(service.spans, union(span for spans in stays for span in spans))
