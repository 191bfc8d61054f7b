"""What the team's policy says to a whole plan (concepts.md#plan), judged by what customers lose. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from reconciler.model.activity import DesiredActivity, Source
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.operations import CreateActivity
from reconciler.model.plan import ActivityChange
from reconciler.model.policy import FEW_MERCHANTS, Policy
from reconciler.plan.service import Claim, Service, ServiceMap
from reconciler.plan.spans import Spans, dead_windows

TAKES_OVER_WITHIN: Final = timedelta(days=1)
"""What begins so soon after an end takes over from it."""


def over_the_limits(
    policy: Policy,
    changes: Sequence[ActivityChange],
    claims: Mapping[str, Claim],
    *,
    managed: int,
    now: datetime,
) -> Iterator[Finding]:
    """A refusal for each limit that ``changes`` go beyond. ``managed`` activities are live before them."""
    frozen = policy.frozen(now)
    # A plan without changes passes: where nothing is written, a freeze has nothing to stop.
    if frozen is not None and changes:
        facts: dict[str, object] = {
            "begin_time": frozen.window.begin_time,
            "end_time": frozen.window.end_time,
            "reason": frozen.reason or "no reason is given",
        }
        yield Finding.of(FindingKind.FROZEN, facts=facts)
    # By claims, not by operations: a replacement whose successor serves nobody is an end all the same.
    yield from _too_many_terminations(policy, claims, managed)
    yield from _too_many_replacements(policy, claims)
    sources = {change.key: change.source for change in changes}
    for claim in claims.values():
        yield from _too_many_deletions(policy, claim, sources.get(claim.key))


def _too_many_terminations(policy: Policy, claims: Mapping[str, Claim], managed: int) -> Iterator[Finding]:
    """Activities count, not keys: one key can have several that live."""
    ending = [each for claim in claims.values() for each in claim.without_successor()]
    allowed = policy.most_terminations(managed)
    # The last net under a wrong branch, an empty checkout or a bad glob: no key, so that it holds all.
    if len(ending) > allowed:
        keys = list(dict.fromkeys(each.key for each in ending))
        facts: dict[str, object] = {"count": len(ending), "allowed": allowed, "keys": keys}
        yield Finding.of(FindingKind.TOO_MANY_TERMINATIONS, facts=facts)


def _too_many_replacements(policy: Policy, claims: Mapping[str, Claim]) -> Iterator[Finding]:
    most = policy.max_replacements_running
    if most is None:
        return
    switched = [each for claim in claims.values() for each in _switched(claim) if each.begun]
    if len(switched) > most:
        keys = list(dict.fromkeys(each.key for each in switched))
        facts: dict[str, object] = {"count": len(switched), "allowed": most, "keys": keys}
        yield Finding.of(FindingKind.TOO_MANY_REPLACEMENTS, facts=facts)


def _switched(claim: Claim) -> Iterator[Service]:
    """The ended activities in whose place others come."""
    lost = set(claim.without_successor())
    yield from (each for each in claim.ended if each not in lost)


def _too_many_deletions(policy: Policy, claim: Claim, source: Source | None) -> Iterator[Finding]:
    """What ends with its spec counts as a termination; what goes while the rest goes on counts here."""
    if not claim.successors and not claim.kept:
        return
    before, lost = len(claim.merchants), len(claim.lost)
    # In whole numbers: a float would make the limit a matter of rounding.
    if before >= FEW_MERCHANTS and lost * 100 > before * policy.max_merchant_deletions:
        facts: dict[str, object] = {
            "count": lost,
            "before": before,
            "percent": policy.max_merchant_deletions,
        }
        yield Finding.of(FindingKind.TOO_MANY_DELETIONS, claim.key, facts, source)


def never_opens(changes: Iterable[ActivityChange], now: datetime) -> Iterator[Finding]:
    """A warning for each new activity with a daily window that meets none of its spans: nothing is ever given there."""
    for change in changes:
        for step in change.operations:
            if isinstance(step, CreateActivity) and (dead := dead_windows(step.terms, now)):
                windows = [f"{each.begin_day_time}–{each.end_day_time}" for each in dead]
                facts: dict[str, object] = {"windows": windows}
                yield Finding.of(FindingKind.WINDOW_NEVER_OPENS, step.key, facts, change.source)


def ending_soon(
    policy: Policy, desired: Sequence[DesiredActivity], whole: ServiceMap, now: datetime
) -> Iterator[Finding]:
    """A warning for each activity that gives something now or later, ends within ``warn_before_end`` days, and leaves
    merchants with nothing after it.

    Another one takes over for a merchant if it gives within a day of the end, and after it. What the files do not want
    any longer, and what is only about to be created, is not warned of.
    """
    horizon = now + timedelta(days=policy.warn_before_end)
    specs = {each.key: each for each in desired if each.state == "running"}
    living = {each.key for each in whole.before}
    ending = [
        (each, end)
        for each in whole.after
        # Windows count: an activity whose last window is over gives nothing until its end.
        if each.key in specs and each.key in living and each.spans and now <= (end := _end(each)) <= horizon
    ]
    others = whole.after_for(frozenset().union(*(each.merchants for each, _ in ending)))
    for each, end in ending:
        bare = sum(len(group) for given, group in others.alike(each.merchants) if not _taken_over(end, given))
        if bare:
            facts: dict[str, object] = {"end_time": end, "count": bare, "of": len(each.merchants)}
            yield Finding.of(FindingKind.ENDS_SOON, each.key, facts, specs[each.key].source)


def _end(service: Service) -> datetime:
    return datetime.fromtimestamp(service.spans[-1][1], UTC)


def _taken_over(end: datetime, given: Spans) -> bool:
    """Whether something is given soon after ``end``; what ends then gives nothing after it itself."""
    first, last = int(end.timestamp()), int((end + TAKES_OVER_WITHIN).timestamp())
    return any(begin <= last and until > first for begin, until in given)
