"""Ends and starts under different keys that belong together (concepts.md#plan). Pure.

A renamed file, or last month's copied and the old one deleted, looks like one campaign that ends and another that
starts. Taken apart, the end would not wait for the start; so a start that shares more than half of the other's
merchants makes one replacement of both, in order. The journal remembers it, should an apply be held back or die between
the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.model.activity import DesiredActivity, LiveActivity, Source, Terms
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import parse_number, terms_digest
from reconciler.model.operations import ActivityOperation, TerminateActivity
from reconciler.model.plan import ActivityChange, ChangeKind
from reconciler.plan.compare import differences, shown_otherwise
from reconciler.plan.fitness import GIVES

ENDS: Final = "ends once the new one is seen"
"""What becomes of an activity that a start stands in for, as a finding tells it."""
STAYS: Final = "keeps running beside the new one"
"""The same where the plan leaves it."""


@dataclass(frozen=True, slots=True)
class Start:
    """What comes under a key that nothing lives under yet: ``change`` creates it. Or what has come already, before an
    apply was held back: ``live``.
    """

    spec: DesiredActivity
    change: ActivityChange | None = None
    live: LiveActivity | None = None

    @property
    def merchants(self) -> frozenset[str]:
        """Whom its spec names."""
        return frozenset(self.spec.merchants)

    @property
    def reason(self) -> str:
        """Why it does not give, or nothing."""
        if self.live is None or self.live.activity_status in GIVES:
            return ""
        return f"activity {self.live.activity_id} of {self.spec.key} is {self.live.activity_status}"


@dataclass(frozen=True, slots=True)
class Pair:
    """``start`` stands in for the activities ``lives`` of the key ``former``, whose spec is gone.

    ``end`` is what ends them: ``None`` where the plan leaves them. ``same`` if the terms are the same.
    """

    former: str
    lives: Sequence[LiveActivity]
    start: Start
    end: ActivityChange | None
    same: bool


def pairs(
    changes: Sequence[ActivityChange],
    alive: Mapping[str, Sequence[LiveActivity]],
    wanted: Mapping[str, DesiredActivity],
    switches: Mapping[str, str],
) -> list[Pair]:
    """The starts that stand in for what lost its spec under another key; each former key once, sorted.

    ``alive`` holds our activities that have not ended by key, ``wanted`` the specs by key: what a spec says to end ends
    because it says so. ``switches`` are the activities that an earlier run was to end for a start, with its key.
    """
    # Usually this is all, before any merchants are compared.
    gone = sorted(key for key, lives in alive.items() if lives and key not in wanted)
    if not gone:
        return []
    starts = _Starts(Start(wanted[each.key], each) for each in changes if each.kind is ChangeKind.CREATE)
    ends = {change.key: change for change in changes if change.key not in wanted}
    # What gives the same coupon as a start chooses first.
    order = sorted(gone, key=lambda key: (not starts.coupons & _coupons_of(alive[key]), key))
    found: list[Pair] = []
    for former in order:
        # The journal first: what an earlier run has begun is finished as it was reviewed, not guessed anew.
        begun = _begun_before(alive[former], alive, wanted, switches)
        if begun is not None:
            found.append(Pair(former, alive[former], begun, ends.get(former), same=False))
        elif (pair := starts.pair(former, alive[former], ends.get(former))) is not None:
            found.append(pair)
    return sorted(found, key=lambda pair: pair.former)


def _begun_before(
    lives: Sequence[LiveActivity],
    alive: Mapping[str, Sequence[LiveActivity]],
    wanted: Mapping[str, DesiredActivity],
    switches: Mapping[str, str],
) -> Start | None:
    """The start that an earlier run has made in the place of ``lives``, if it is there and still wanted."""
    for live in lives:
        key = switches.get(live.activity_id, "")
        # Of several, nobody knows which one was to take over.
        if key in wanted and wanted[key].state == "running" and len(alive.get(key, ())) == 1:
            return Start(wanted[key], live=alive[key][0])
    return None


class _Starts:
    """The starts by the merchants and the terms that they start with.

    To each merchant a start gives once: what stands in for one campaign does not stand in for another there.
    """

    def __init__(self, starts: Iterable[Start]) -> None:
        self._by_digest: dict[str, Start] = {}
        self._by_merchants: dict[frozenset[str], list[Start]] = {}
        self._left: dict[str, frozenset[str]] = {}
        coupons: set[str] = set()
        for start in starts:
            self._by_digest.setdefault(terms_digest(start.spec.terms), start)
            self._by_merchants.setdefault(start.merchants, []).append(start)
            coupons |= _coupons(start.spec.terms)
        self.coupons = frozenset(coupons)

    def pair(self, former: str, lives: Sequence[LiveActivity], end: ActivityChange | None) -> Pair | None:
        """The start with the same terms, or else the one with most of the merchants, if these are more than half.

        Of several with as many, one with the same coupons comes first, then one that stands in for nothing yet.
        """
        before = frozenset().union(*(live.merchants or () for live in lives))
        start, same = self._same_terms(lives), True
        if start is None:
            start, same = self._most_merchants(before, lives), False
        if start is None:
            return None
        self._left[start.spec.key] = self._left.get(start.spec.key, start.merchants) - before
        return Pair(former, lives, start, end, same)

    def _same_terms(self, lives: Iterable[LiveActivity]) -> Start | None:
        for live in lives:
            number = parse_number(live.out_request_no)
            start = self._by_digest.get(number.digest) if number is not None else None
            # The digest in a number is short, so a pair needs terms that do not contradict it.
            if start is not None and not shown_otherwise(start.spec.terms, live):
                return start
        return None

    def _most_merchants(self, before: frozenset[str], lives: Sequence[LiveActivity]) -> Start | None:
        coupons = _coupons_of(lives)
        # What does not rank above this shares half or less, and is a coincidence rather than a successor.
        best: tuple[int, int, bool] = (len(before) // 2, len(coupons) + 1, True)
        chosen: Start | None = None
        for merchants, starts in self._by_merchants.items():
            share = len(before & merchants)
            if 2 * share <= len(before):
                continue
            for start in starts:
                left = self._left.get(start.spec.key)
                shared = share if left is None else len(before & left)
                rank = (shared, len(coupons & _coupons(start.spec.terms)), left is None)
                if rank > best:
                    best, chosen = rank, start
        return chosen


def merged(
    changes: Sequence[ActivityChange], found: Sequence[Pair], uploaded: Mapping[str, str]
) -> list[ActivityChange]:
    """``changes`` with each end put behind the start that stands in for it, or waiting for what is there already.

    ``uploaded`` explains differences, as in ``compare``.
    """
    joined = {change.key: change for change in changes}
    for pair in found:
        # Left apart: its end is refused, and must not drag the start along.
        if pair.end is None or pair.start.reason:
            continue
        if pair.start.change is not None:
            joined[pair.start.spec.key] = _joined(joined[pair.start.spec.key], pair, pair.end, uploaded)
            del joined[pair.former]
        elif pair.start.live is not None:
            joined[pair.former] = replace(pair.end, operations=_waiting(pair, pair.end, pair.start.live))
    return list(joined.values())


def partners(found: Iterable[Pair]) -> dict[str, str]:
    """The keys that others stand in for, with the keys of these."""
    return {pair.former: pair.start.spec.key for pair in found if pair.end is not None and not pair.start.reason}


def looks_alike(found: Sequence[Pair]) -> Iterator[Finding]:
    """A refusal where a file was renamed, most likely, or where what is to stand in for an end gives nothing; a warning
    where a file was renamed or copied, and edited.
    """
    for pair in found:
        ids = [live.activity_id for live in pair.lives]
        if pair.start.reason:
            if pair.end is not None:
                yield successor_unfit(pair.former, ids, pair.start.reason, None)
        # A start that is there and an end that is not planned have nothing left to tell.
        elif pair.end is not None or pair.start.live is None:
            fate = STAYS if pair.end is None else ENDS
            facts: dict[str, object] = {"former": pair.former, "activity_ids": ids, "fate": fate}
            kind = FindingKind.LOOKS_RENAMED if pair.same else FindingKind.LOOKS_REPLACED
            yield Finding.of(kind, pair.start.spec.key, facts, pair.start.spec.source)


def successor_unfit(key: str, activity_ids: Sequence[str], why: str, source: Source | None) -> Finding:
    """A refusal to end activities for something that gives nothing."""
    facts: dict[str, object] = {"activity_ids": list(activity_ids), "why": why}
    return Finding.of(FindingKind.SUCCESSOR_UNFIT, key, facts, source)


def _coupons_of(lives: Iterable[LiveActivity]) -> frozenset[str]:
    return frozenset().union(*(_coupons(live.terms) for live in lives if live.terms is not None))


def _coupons(terms: Terms) -> frozenset[str]:
    return frozenset(award.stock_id for award in terms.award_list)


def _waiting(pair: Pair, end: ActivityChange, successor: LiveActivity) -> tuple[ActivityOperation, ...]:
    """The ends of a pair whose start is there already: each waits for it to serve what the spec wants of it."""
    merchants = {live.activity_id: frozenset(live.merchants or ()) for live in pair.lives}
    return tuple(
        replace(
            step,
            successor_id=successor.activity_id,
            serves=tuple(sorted(merchants[step.activity_id] & pair.start.merchants)),
        )
        for step in end.operations
        if isinstance(step, TerminateActivity)
    )


def _joined(start: ActivityChange, pair: Pair, end: ActivityChange, uploaded: Mapping[str, str]) -> ActivityChange:
    before = frozenset().union(*(live.merchants or () for live in pair.lives))
    return replace(
        start,
        kind=ChangeKind.REPLACE,
        operations=(*start.operations, *end.operations),
        differences=start.differences or differences(pair.start.spec.terms, pair.lives[0], uploaded),
        clocks=(*start.clocks, *end.clocks),
        merchants_before=max(start.merchants_before, len(before)),
    )
