"""What the ends of a plan mean to customers, by merchants and seconds, by the service map (concepts.md#plan). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from reconciler.model.activity import Window
from reconciler.model.operations import AddMerchants, CreateActivity, TerminateActivity
from reconciler.model.plan import ActivityChange, Coverage, CoveredSet, MerchantCoverage, Moment
from reconciler.plan.service import Claim, ServiceMap, Serving
from reconciler.plan.spans import Spans, seconds, union, without

# A plan that changes thousands of merchants must still fit a comment and a plan file.
MOST_SETS: Final = 4
"""So many sets of merchants that fare differently are told apart; the rest are told together, by the worst of them."""
MOST_GAPS: Final = 20
"""A plan file holds so many gaps of a change at most; more are told as one."""


def covered(
    changes: Sequence[ActivityChange], claims: Mapping[str, Claim], whole: ServiceMap
) -> tuple[ActivityChange, ...]:
    """``changes``, those that end something with what that means to customers."""
    ending = {claim: None for change in changes for claim in _claims_of(change, claims)}
    # Once for all changes: for each of them it would take the square of the merchants.
    others = whole.after_for(frozenset().union(*(claim.merchants for claim in ending)))
    return tuple(
        replace(change, coverage=_coverage(change, found, others))
        if (found := tuple(_claims_of(change, claims)))
        else change
        for change in changes
    )


def _claims_of(change: ActivityChange, claims: Mapping[str, Claim]) -> Iterator[Claim]:
    """The claims of the keys of which ``change`` ends an activity."""
    ends = (step.key for step in change.operations if isinstance(step, TerminateActivity))
    yield from (claims[key] for key in dict.fromkeys(ends))


def _coverage(change: ActivityChange, claims: Sequence[Claim], others: Serving) -> Coverage:
    sets = tuple(_sets(claims, others))
    gaps = max((group.lost for claim in claims for group in claim.concerned if group.have), key=seconds, default=())
    return Coverage(
        gap_seconds=max((each.gap_seconds for each in sets if each.set == "both"), default=0),
        moment=_moment(change, claims),
        sets=(*sets, *_joined(change, claims)),
        gaps=_windows(gaps),
    )


def _sets(claims: Sequence[Claim], others: Serving) -> Iterator[MerchantCoverage]:
    """Those that something serves in place of what they had, then those that nothing does; the worst off first."""
    found: dict[tuple[CoveredSet, int, int], set[str]] = defaultdict(set)
    for claim in claims:
        for group in claim.concerned:
            name: CoveredSet = "both" if group.have else "old"
            lost = group.lost
            for given, mchids in others.alike(group.merchants):
                found[name, seconds(lost), seconds(without(lost, given))].update(mchids)
    for name in ("both", "old"):
        # The worst first, as the rest may be cut off: what is hidden must never be worse than what is shown.
        alike = sorted(((key, mchids) for key, mchids in found.items() if key[0] == name), reverse=True, key=_worst)
        yield from (_told(*each) for each in alike[: MOST_SETS - 1])
        if rest := alike[MOST_SETS - 1 :]:
            yield replace(_told(rest[0][0], set().union(*(mchids for _, mchids in rest))), up_to=len(rest) > 1)


def _worst(each: tuple[tuple[CoveredSet, int, int], set[str]]) -> tuple[int, int, list[str]]:
    (_, gap, nothing), mchids = each
    return gap, nothing, sorted(mchids)


def _told(key: tuple[CoveredSet, int, int], mchids: set[str]) -> MerchantCoverage:
    name, gap, nothing = key
    # Those who go on having the gift can be thousands, and nobody has to look them up.
    named = () if name == "both" else tuple(sorted(mchids))
    return MerchantCoverage(name, len(mchids), gap, named, nothing_seconds=nothing)


def _joined(change: ActivityChange, claims: Sequence[Claim]) -> Iterator[MerchantCoverage]:
    """The merchants whom a new activity of the change serves and nothing that ends did."""
    before = frozenset().union(*(claim.merchants for claim in claims))
    steps = change.operations if any(isinstance(each, CreateActivity) for each in change.operations) else ()
    made = (step.merchants for step in steps if isinstance(step, CreateActivity | AddMerchants))
    joined = frozenset().union(*made) - before
    if joined:
        yield MerchantCoverage("new", len(joined), 0, tuple(sorted(joined)))


def _moment(change: ActivityChange, claims: Sequence[Claim]) -> Moment:
    """What happens between the two calls of a replacement that takes effect at once."""
    ended = [each for claim in claims for each in claim.ended]
    # Nobody is given anything now, so there is no moment in which customers could go without.
    if ended and all(each.paused for each in ended):
        return "paused"
    if not any(each.runs for each in ended):
        return ""
    successors = [each for claim in claims for each in claim.successors]
    if any(each.activity_id and each.runs for each in successors):
        return "kept"
    if not any(each.runs for each in successors):
        return ""
    first = next(step for step in change.operations if isinstance(step, CreateActivity | TerminateActivity))
    return "overlap" if isinstance(first, CreateActivity) else "gap"


def _windows(spans: Spans) -> tuple[Window, ...]:
    """Instants; so many that they would fill a plan file are told as one."""
    if len(spans) > MOST_GAPS:
        spans = union([(spans[0][0], spans[-1][1])])
    return tuple(Window(datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC)) for begin, end in spans)
