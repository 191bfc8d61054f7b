"""Ends and deletions whose merchants go on under another key: they wait for it (design §7). Pure.

Campaigns are joined and divided, and shops move from one to another: the plan adds them here and takes them away there.
What it takes away leans on what it gives, which WeChat Pay may refuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.change import ActivityChange, CreateActivity, Lean, TerminateActivity
from reconciler.plan.service import Claim, Service, ServiceMap


def leaning(
    changes: Sequence[ActivityChange], claims: Mapping[str, Claim], whole: ServiceMap
) -> list[ActivityChange]:
    """``changes`` with what the ends and deletions of each lean on.

    One that leans creates before it ends, whatever its spec says: otherwise two could wait for one another.
    """
    left = {key: frozenset(_left(claim)) for key, claim in claims.items()}
    newly = _newly(whole, frozenset().union(*left.values()))
    if not newly:
        return list(changes)
    return [_leaning(change, left, newly) for change in changes]


def _left(claim: Claim) -> Iterator[str]:
    """The merchants from whom the plan takes something, and gives them nothing in its place under this key."""
    for group in claim.groups:
        if not group.have:
            yield from group.merchants


def _newly(whole: ServiceMap, merchants: frozenset[str]) -> dict[str, list[Service]]:
    """By merchant, the services that the plan newly brings to some of ``merchants``."""
    found: dict[str, list[Service]] = defaultdict(list)
    if merchants:
        before = {each.activity_id: each.merchants for each in whole.before}
        for each in sorted(whole.after, key=lambda each: (each.key, each.activity_id)):
            for mchid in (each.merchants & merchants) - before.get(each.activity_id, frozenset()):
                found[mchid].append(each)
    return found


def _leaning(
    change: ActivityChange, left: Mapping[str, frozenset[str]], newly: Mapping[str, Sequence[Service]]
) -> ActivityChange:
    keys = {step.key for step in change.operations}
    on: dict[Service, list[str]] = defaultdict(list)
    for mchid in sorted(frozenset().union(*(left.get(key, frozenset()) for key in keys))):
        others = (each for each in newly.get(mchid, ()) if each.key not in keys)
        if (service := next(others, None)) is not None:
            on[service].append(mchid)
    if not on:
        return change
    return replace(
        change,
        operations=tuple(sorted(change.operations, key=lambda step: isinstance(step, TerminateActivity)))
        if any(isinstance(step, CreateActivity) for step in change.operations)
        else change.operations,
        leans_on=tuple(
            Lean(service.key, service.out_request_no, service.activity_id, tuple(mchids))
            for service, mchids in on.items()
        ),
    )
