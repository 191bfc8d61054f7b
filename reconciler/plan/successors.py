"""Ends and starts under different keys that belong together (design §7). Pure.

A renamed file, or last month's copied and the old one deleted, looks like one campaign that ends and another that
starts. Taken apart, the end would not wait for the start; so a start that shares more than half of the other's
merchants makes one replacement of both, in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.activity import LiveActivity, Terms
from reconciler.change import (
    ActivityChange,
    AddMerchants,
    ChangeKind,
    CreateActivity,
    Finding,
    Severity,
)
from reconciler.identity import parse_number, terms_digest
from reconciler.plan.compare import differences

ENDS: Final = "ends once the new one is seen"
STAYS: Final = "keeps running beside the new one"


@dataclass(frozen=True, slots=True)
class Pair:
    """What starts with ``start`` stands in for the activities ``lives`` of the key ``former``, whose spec is gone.

    ``end`` is what ends them: ``None`` where the plan leaves them. ``same`` if the terms are the same.
    """

    former: str
    lives: Sequence[LiveActivity]
    start: ActivityChange
    end: ActivityChange | None
    same: bool


def pairs(
    changes: Sequence[ActivityChange],
    alive: Mapping[str, Sequence[LiveActivity]],
    wanted: Collection[str],
) -> list[Pair]:
    """The starts that stand in for what lost its spec under another key; each former key once, sorted.

    ``alive`` holds our activities that have not ended by key, ``wanted`` the keys of all specs: what a spec says to end
    ends because it says so.
    """
    gone = sorted(key for key, lives in alive.items() if lives and key not in wanted)
    if not gone:
        return []
    starts = _Starts(changes)
    ends = {change.key: change for change in changes if change.key not in wanted}
    # What gives the same coupon as a start chooses first.
    order = sorted(gone, key=lambda key: (not starts.coupons & _coupons_of(alive[key]), key))
    found = (starts.pair(former, alive[former], ends.get(former)) for former in order)
    return sorted((pair for pair in found if pair is not None), key=lambda pair: pair.former)


class _Starts:
    """What a plan starts under keys that had nothing, by the merchants and the terms that it starts with.

    To each merchant a start gives once: what stands in for one campaign does not stand in for another there.
    """

    def __init__(self, changes: Sequence[ActivityChange]) -> None:
        self._by_digest: dict[str, ActivityChange] = {}
        self._by_merchants: dict[frozenset[str], list[ActivityChange]] = {}
        self._left: dict[str, frozenset[str]] = {}
        starts = [change for change in changes if change.kind is ChangeKind.CREATE]
        for start in starts:
            self._by_digest.setdefault(terms_digest(_created(start).terms), start)
            self._by_merchants.setdefault(_merchants(start), []).append(start)
        self.coupons = frozenset().union(*(_coupons(_created(start).terms) for start in starts))

    def pair(self, former: str, lives: Sequence[LiveActivity], end: ActivityChange | None) -> Pair | None:
        """The start with the same terms, or else the one with most of the merchants, if these are more than half.

        Of several with as many, one with the same coupons comes first, then one that stands in for nothing yet.
        """
        before = frozenset().union(*(live.merchants or () for live in lives))
        start, same = self._same_terms(lives), True
        if start is None:
            start, same = self._most_merchants(before, _coupons_of(lives)), False
        if start is None:
            return None
        self._left[start.key] = self._left.get(start.key, _merchants(start)) - before
        return Pair(former, lives, start, end, same)

    def _same_terms(self, lives: Iterable[LiveActivity]) -> ActivityChange | None:
        numbers = (parse_number(live.out_request_no) for live in lives)
        digests = (number.digest for number in numbers if number is not None)
        return next((self._by_digest[digest] for digest in digests if digest in self._by_digest), None)

    def _most_merchants(self, before: frozenset[str], coupons: frozenset[str]) -> ActivityChange | None:
        best: tuple[int, int, bool] = (len(before) // 2, len(coupons) + 1, True)
        chosen: ActivityChange | None = None
        for merchants, starts in self._by_merchants.items():
            share = len(before & merchants)
            if 2 * share <= len(before):
                continue
            for start in starts:
                left = self._left.get(start.key)
                shared = share if left is None else len(before & left)
                rank = (shared, len(coupons & _coupons(_created(start).terms)), left is None)
                if rank > best:
                    best, chosen = rank, start
        return chosen


def merged(changes: Sequence[ActivityChange], found: Sequence[Pair]) -> list[ActivityChange]:
    """``changes`` with each end put behind the start that stands in for it."""
    gone = {pair.former for pair in found if pair.end is not None}
    joined: dict[str, ActivityChange] = {}
    for pair in found:
        if pair.end is not None:
            joined[pair.start.key] = _joined(joined.get(pair.start.key, pair.start), pair.end, pair.lives)
    return [joined.get(change.key, change) for change in changes if change.key not in gone]


def looks_alike(found: Sequence[Pair]) -> Iterator[Finding]:
    """A refusal where a file was renamed, most likely; a warning where it was renamed or copied, and edited."""
    for pair in found:
        ids = [live.activity_id for live in pair.lives]
        facts: dict[str, object] = {
            "former": pair.former,
            "activity_ids": ids,
            "fate": STAYS if pair.end is None else ENDS,
        }
        code, severity = (
            ("LOOKS_RENAMED", Severity.REFUSAL) if pair.same else ("LOOKS_REPLACED", Severity.WARNING)
        )
        yield Finding(code, severity, pair.start.key, facts, pair.start.source)


def _coupons_of(lives: Iterable[LiveActivity]) -> frozenset[str]:
    return frozenset().union(*(_coupons(live.terms) for live in lives if live.terms is not None))


def _coupons(terms: Terms) -> frozenset[str]:
    return frozenset(award.stock_id for award in terms.award_list)


def _created(start: ActivityChange) -> CreateActivity:
    return next(step for step in start.operations if isinstance(step, CreateActivity))


def _merchants(start: ActivityChange) -> frozenset[str]:
    steps = (step for step in start.operations if isinstance(step, CreateActivity | AddMerchants))
    return frozenset().union(*(step.merchants for step in steps))


def _joined(start: ActivityChange, end: ActivityChange, lives: Sequence[LiveActivity]) -> ActivityChange:
    before = frozenset().union(*(live.merchants or () for live in lives))
    return replace(
        start,
        kind=ChangeKind.REPLACE,
        operations=(*start.operations, *end.operations),
        differences=start.differences or differences(_created(start).terms, lives[0]),
        clocks=(*start.clocks, *end.clocks),
        merchants_before=max(start.merchants_before, len(before)),
    )
