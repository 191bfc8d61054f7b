"""How a change stands to time: what has begun, what would end, what a replacement leaves uncovered (design §7)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.activity import LiveActivity, Terms
from reconciler.change import Clock, Coverage


def clock_of_new(terms: Terms, now: datetime) -> Clock:
    return Clock("begun" if terms.begin_time <= now else "begins", terms.begin_time)


def clock_of_live(live: LiveActivity, now: datetime) -> Clock | None:
    """``None`` for a live activity whose times cannot be read."""
    if live.terms is None:
        return None
    if live.terms.begin_time > now:
        return Clock("cancelled", live.terms.begin_time, live.activity_id)
    return Clock("ends", live.terms.end_time, live.activity_id)


def coverage(old: Iterable[LiveActivity], new: Terms, now: datetime) -> Coverage:
    """What is lost between the end of the old activities, which is now, and the begin of the new one."""
    start = max(now, new.begin_time)
    gaps = [
        (min(live.terms.end_time, start) - max(live.terms.begin_time, now)).total_seconds()
        for live in old
        if live.terms is not None
    ]
    return Coverage(gap_seconds=max(0, *map(int, gaps)) if gaps else 0)


def next_boundary(terms: Iterable[Terms], now: datetime) -> datetime | None:
    """The first begin or end after ``now``: from then on the same operations would mean something else."""
    instants = (instant for each in terms for instant in (each.begin_time, each.end_time))
    return min((instant for instant in instants if instant > now), default=None)
