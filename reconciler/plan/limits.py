"""What the team's policy says to the operations of a whole plan (design §7). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.activity import DesiredActivity, LiveActivity
from reconciler.change import (
    ActivityChange,
    ChangeKind,
    DeleteMerchants,
    Finding,
    Severity,
    TerminateActivity,
)
from reconciler.policy import FEW_MERCHANTS, Policy


def over_the_limits(
    policy: Policy, changes: Sequence[ActivityChange], *, managed: int, now: datetime
) -> Iterator[Finding]:
    """A refusal for each limit that ``changes`` go beyond. ``managed`` activities are live before them."""
    frozen = policy.frozen(now)
    if frozen is not None and changes:
        facts: dict[str, object] = {
            "end_time": frozen.window.end_time,
            "reason": frozen.reason or "no reason is given",
        }
        yield Finding("FROZEN", Severity.REFUSAL, facts=facts)
    # What is replaced or superseded has a successor: only what ends without one counts here.
    ending = [change.key for change in changes if change.kind is ChangeKind.TERMINATE and _loses_all(change)]
    allowed = policy.most_terminations(managed)
    if len(ending) > allowed:
        facts = {"count": len(ending), "allowed": allowed, "keys": ending}
        yield Finding("TOO_MANY_TERMINATIONS", Severity.REFUSAL, facts=facts)
    for change in changes:
        yield from _too_many_deletions(policy, change)


def _loses_all(change: ActivityChange) -> bool:
    return any(
        isinstance(step, TerminateActivity) and step.reason != "superseded" for step in change.operations
    )


def _too_many_deletions(policy: Policy, change: ActivityChange) -> Iterator[Finding]:
    deleted = sum(len(step.merchants) for step in change.operations if isinstance(step, DeleteMerchants))
    before = change.merchants_before
    if before >= FEW_MERCHANTS and deleted * 100 > before * policy.max_merchant_deletions:
        facts = {"count": deleted, "before": before, "percent": policy.max_merchant_deletions}
        yield Finding("TOO_MANY_DELETIONS", Severity.REFUSAL, change.key, facts, change.source)


def ending_soon(
    policy: Policy,
    desired: Sequence[DesiredActivity],
    running: Mapping[str, Iterable[LiveActivity]],
    now: datetime,
) -> Iterator[Finding]:
    """A warning for each live activity that ends within ``warn_before_end`` days while nothing takes over.

    Another spec takes over if it has a merchant in common, begins within a day of the end, and ends later.
    """
    horizon = now + timedelta(days=policy.warn_before_end)
    specs = {each.key: each for each in desired if each.state == "running"}
    for key, spec in specs.items():
        end = spec.terms.end_time
        if not running.get(key) or not now <= end <= horizon:
            continue
        successors = (other for other in specs.values() if _takes_over(spec, other))
        if not any(successors):
            yield Finding("ENDS_SOON", Severity.WARNING, key, {"end_time": end}, spec.source)


def _takes_over(spec: DesiredActivity, other: DesiredActivity) -> bool:
    end = spec.terms.end_time
    return (
        other.terms.end_time > end
        and other.terms.begin_time <= end + timedelta(days=1)
        and not set(spec.merchants).isdisjoint(other.merchants)
    )
