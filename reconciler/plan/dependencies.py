"""Ends and deletions whose merchants go on under another key: they wait for it (concepts.md#plan). Pure.

Campaigns are joined and divided, and shops move from one to another: the plan adds them here and takes them away there.
What it takes away depends on what it gives, which WeChat Pay may refuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.model.activity import DesiredActivity
from reconciler.model.findings import Finding
from reconciler.model.operations import CreateActivity, TerminateActivity
from reconciler.model.plan import ActivityChange, Dependency
from reconciler.plan.service import Claim, Service, ServiceMap
from reconciler.plan.successors import successor_unfit


def with_dependencies(
    changes: Sequence[ActivityChange], claims: Mapping[str, Claim], whole: ServiceMap
) -> list[ActivityChange]:
    """``changes`` with what the ends and deletions of each depend on.

    One that waits for another creates before it ends, whatever its spec says: otherwise two could wait for each other.
    """
    left = {key: frozenset(_left(claim)) for key, claim in claims.items()}
    # Only for merchants who are left with nothing: others need not wait for anybody.
    new = newly(whole, frozenset().union(*left.values()))
    if not new:
        return list(changes)
    return [_with_dependencies(change, left, new) for change in changes]


def _left(claim: Claim) -> Iterator[str]:
    """The merchants from whom the plan takes something, and gives them nothing in its place under this key."""
    for group in claim.groups:
        if not group.have:
            yield from group.merchants


def newly(whole: ServiceMap, merchants: frozenset[str]) -> dict[str, list[Service]]:
    """By merchant, the services that the plan newly brings to some of ``merchants``."""
    found: dict[str, list[Service]] = defaultdict(list)
    if merchants:
        before = {each.activity_id: each.merchants for each in whole.before}
        for each in sorted(whole.after, key=lambda each: (each.key, each.activity_id)):
            # What served them before is not a gain, and waiting for it would prove nothing.
            for mchid in (each.merchants & merchants) - before.get(each.activity_id, frozenset()):
                found[mchid].append(each)
    return found


def _with_dependencies(
    change: ActivityChange, left: Mapping[str, frozenset[str]], new: Mapping[str, Sequence[Service]]
) -> ActivityChange:
    keys = {step.key for step in change.operations}
    on: dict[Service, list[str]] = defaultdict(list)
    for mchid in sorted(frozenset().union(*(left.get(key, frozenset()) for key in keys))):
        others = (each for each in new.get(mchid, ()) if each.key not in keys)
        # One is enough: to wait for all of them would hold an end back for a gift that it does not need.
        if (service := next(others, None)) is not None:
            on[service].append(mchid)
    if not on:
        return change
    return replace(
        change,
        # sorted() is stable: the order within creates and within ends stays as it was decided.
        operations=tuple(sorted(change.operations, key=lambda step: isinstance(step, TerminateActivity)))
        if any(isinstance(step, CreateActivity) for step in change.operations)
        else change.operations,
        leans_on=tuple(
            Dependency(service.key, service.out_request_no, service.activity_id, tuple(mchids))
            for service, mchids in on.items()
        ),
    )


def wanted_and_not_served(
    claims: Mapping[str, Claim], whole: ServiceMap, desired: Sequence[DesiredActivity], now: datetime
) -> Iterator[Finding]:
    """A refusal for each key without a spec that ends, and most of whose merchants other specs name, and do not serve
    once the plan is done: they are paused, or cannot be created or changed as they stand.
    """
    wanted = {each.key for each in desired}
    gone = [claim for claim in claims.values() if claim.ended and claim.key not in wanted]
    if not gone:
        return
    specs = [each for each in desired if each.state == "running" and each.terms.end_time > now]
    served = {
        (each.key, mchid) for each in whole.after if each.key in wanted and each.spans for mchid in each.merchants
    }
    for claim in gone:
        bare = {mchid for group in claim.groups if not group.have for mchid in group.merchants}
        by = {spec.key: bare.intersection(spec.merchants) for spec in specs}
        unserved = {
            mchid
            for named in by.values()
            for mchid in named
            if not any((key, mchid) in served for key, others in by.items() if mchid in others)
        }
        # Most and not any: one shop that left a brand must not keep a whole campaign from ending.
        if 2 * len(unserved) > len(claim.merchants):
            keys = ", ".join(key for key, named in by.items() if named & unserved)
            why = f"{keys} names most of its merchants, and does not serve them"
            yield successor_unfit(claim.key, [each.activity_id for each in claim.ended], why, None)
