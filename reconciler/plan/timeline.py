"""Which campaigns of the account stand around a plan: what it touches, what lives, and what has ended lately. Pure.

A plan file is for one review, so what it carries for the chart is bounded, however large the account is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Final

from reconciler.model.activity import CREATE_FAILED, FINAL_STATUSES, LiveActivity
from reconciler.model.identity import Ownership
from reconciler.model.plan import Timeline, TimelineRow

MOST_ROWS: Final = 200
"""So many activities that the plan does not touch are shown at most."""
LATELY: Final = timedelta(days=30)
"""What ended longer ago is left to the account's own records."""


def timeline(live: Iterable[LiveActivity], touched: Container[str], ownership: Ownership, now: datetime) -> Timeline:
    """All activities with an id in ``touched``, then the others: ours first, and what is nearest to ``now``."""
    rows = [row for each in live if (row := _row(each, ownership, now)) is not None]
    told = sorted((row for row in rows if row.activity_id in touched), key=lambda row: (row.key, row.activity_id))
    around = [row for row in rows if row.activity_id not in touched]
    # Not sorted()[:200]: an account can hold 10,000 activities.
    shown = nsmallest(MOST_ROWS, around, key=lambda row: _distance(row, now))
    return Timeline(rows=(*told, *shown), left_out=len(around) - len(shown))


def _row(live: LiveActivity, ownership: Ownership, now: datetime) -> TimelineRow | None:
    """``None`` for one that ended long ago or never ran, and for one whose times are not known."""
    if live.terms is None or live.activity_status == CREATE_FAILED:
        return None
    ended, begin, end = live.ended(now), live.terms.begin_time, _end(live, live.terms.end_time, now)
    if ended and (end < now - LATELY or end <= begin):
        return None
    return TimelineRow(
        key=ownership.key_of(live) or "",
        activity_id=live.activity_id,
        name=live.terms.activity_name,
        begin=begin,
        end=end,
        state="ended" if ended else "live",
    )


def _end(live: LiveActivity, planned: datetime, now: datetime) -> datetime:
    """What somebody ended was changed then for the last time, as far as the remote tells; and never in the future."""
    # No read tells when somebody ended it; update_time also moves by itself (API §1.7).
    return min(planned, live.update_time or now, now) if live.activity_status in FINAL_STATUSES else planned


def _distance(row: TimelineRow, now: datetime) -> tuple[bool, bool, timedelta, str]:
    assert row.begin is not None  # noqa: S101 - rows of live activities have both
    assert row.end is not None  # noqa: S101
    away = max(row.begin - now, now - row.end, timedelta())
    return (row.state == "ended", not row.key, away, row.activity_id)
