"""How a change stands to time: what has begun, what would end, until when a plan is valid (concepts.md#plan)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.model.activity import LiveActivity, Terms
from reconciler.model.plan import Timing


def clock_of_new(terms: Terms, now: datetime) -> Timing:
    return Timing("begun" if terms.begin_time <= now else "begins", terms.begin_time)


def clock_of_live(live: LiveActivity, now: datetime) -> Timing | None:
    """``None`` for a live activity whose times cannot be read."""
    if live.terms is None:
        return None
    if live.terms.begin_time > now:
        return Timing("cancelled", live.terms.begin_time, live.activity_id)
    return Timing("ends", live.terms.end_time, live.activity_id)


def next_boundary(terms: Iterable[Terms], now: datetime) -> datetime | None:
    """The first begin or end after ``now``: from then on the same operations would mean something else."""
    return first_after((instant for each in terms for instant in (each.begin_time, each.end_time)), now)


def first_after(instants: Iterable[datetime], now: datetime) -> datetime | None:
    return min((instant for instant in instants if instant > now), default=None)
