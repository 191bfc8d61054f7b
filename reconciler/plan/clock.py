"""How a change stands to time: what has begun, what would end, what a replacement leaves uncovered (design §7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from reconciler.activity import DesiredActivity, LiveActivity, Terms
from reconciler.change import Clock, Coverage, MerchantCoverage


def clock_of_new(terms: Terms, now: datetime) -> Clock:
    return Clock("begun" if terms.begin_time <= now else "begins", terms.begin_time)


def clock_of_live(live: LiveActivity, now: datetime) -> Clock | None:
    """``None`` for a live activity whose times cannot be read."""
    if live.terms is None:
        return None
    if live.terms.begin_time > now:
        return Clock("cancelled", live.terms.begin_time, live.activity_id)
    return Clock("ends", live.terms.end_time, live.activity_id)


def coverage(old: Sequence[LiveActivity], new: DesiredActivity, now: datetime) -> Coverage:
    """What is lost between the end of the old activities, which is now, and the begin of the new one."""
    start = max(now, new.terms.begin_time)
    at_once = start == now and any(live.terms and live.terms.begin_time <= now for live in old)
    moment: Literal["overlap", "gap"] = "overlap" if new.replace == "create_first" else "gap"
    return Coverage(
        gap_seconds=_longest(_lost(live, now, start) for live in old),
        moment=moment if at_once else "",
        sets=tuple(_by_merchants(old, set(new.merchants), now, start)),
    )


def _by_merchants(
    old: Sequence[LiveActivity], after: set[str], now: datetime, start: datetime
) -> Iterator[MerchantCoverage]:
    before = {mchid for live in old for mchid in live.merchants or ()}
    kept, lost, gained = before & after, before - after, after - before
    staying = [live for live in old if kept.intersection(live.merchants or ())]
    losing = [live for live in old if lost.intersection(live.merchants or ())]
    if kept:
        yield MerchantCoverage("both", len(kept), _longest(_lost(live, now, start) for live in staying))
    if lost:
        gap = _longest(_lost(live, now) for live in losing)
        yield MerchantCoverage("old", len(lost), gap, tuple(sorted(lost)))
    if gained:
        yield MerchantCoverage("new", len(gained), 0, tuple(sorted(gained)))


def _lost(live: LiveActivity, now: datetime, until: datetime | None = None) -> int:
    """The seconds from now on in which ``live`` would have run, up to a moment."""
    if live.terms is None:
        return 0
    end = live.terms.end_time if until is None else min(live.terms.end_time, until)
    return int((end - max(live.terms.begin_time, now)).total_seconds())


def _longest(seconds: Iterable[int]) -> int:
    return max(0, 0, *seconds)


def next_boundary(terms: Iterable[Terms], now: datetime) -> datetime | None:
    """The first begin or end after ``now``: from then on the same operations would mean something else."""
    instants = (instant for each in terms for instant in (each.begin_time, each.end_time))
    return min((instant for instant in instants if instant > now), default=None)
