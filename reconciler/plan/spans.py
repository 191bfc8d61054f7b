"""Sets of moments as sorted, disjoint, half-open spans of whole seconds since the epoch. Pure arithmetic.

An activity gives in the overlap of its own time, its windows and its daily windows (API §1.1); whether nobody goes
without is a question of what is left when such sets are taken from one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from reconciler.model.activity import BEIJING, DayWindow, Terms

Spans = tuple[tuple[int, int], ...]
"""``(begin, end)`` pairs: ``begin`` is the first second, ``end`` the first one after it."""

HORIZON: Final = timedelta(days=400)
"""How far ahead is looked: an activity ends within a year (API §1.1), and of a live one that never ends
no more days than that are counted."""


def seconds(spans: Spans) -> int:
    """How long they are together."""
    return sum(end - begin for begin, end in spans)


def union(spans: Iterable[tuple[int, int]]) -> Spans:
    """The same moments, sorted, and those that touch joined."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if begin >= end:
            continue
        # Touching counts as joined: half-open spans leave no second between them.
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return tuple(joined)


def overlap(these: Spans, those: Spans) -> Spans:
    """The moments that are in both."""
    return tuple(_overlaps(these, those))


def _overlaps(these: Spans, those: Spans) -> Iterator[tuple[int, int]]:
    mine, theirs = iter(these), iter(those)
    one, other = next(mine, None), next(theirs, None)
    while one is not None and other is not None:
        begin, end = max(one[0], other[0]), min(one[1], other[1])
        if begin < end:
            yield begin, end
        # Whichever ends first cannot meet anything later.
        if one[1] <= other[1]:
            one = next(mine, None)
        else:
            other = next(theirs, None)


def without(these: Spans, those: Spans) -> Spans:
    """The moments of ``these`` that are not in ``those``."""
    left: list[tuple[int, int]] = []
    for begin, end in these:
        at = begin
        for cut_begin, cut_end in those:
            if cut_end <= at or cut_begin >= end:
                continue
            if cut_begin > at:
                left.append((at, cut_begin))
            at = max(at, cut_end)
        if at < end:
            left.append((at, end))
    return tuple(left)


def giving(terms: Terms, now: datetime) -> Spans:
    """When an activity with ``terms`` gives coupons from ``now`` on, as long as nobody pauses or ends it."""
    return overlap(_open(terms, now), _daily(terms, now))


def dead_windows(terms: Terms, now: datetime) -> tuple[DayWindow, ...]:
    """The daily windows in which the activity can never give, since they meet none of its spans."""
    open_ = _open(terms, min(now, terms.begin_time))
    return tuple(
        window
        for window in terms.available_day_time
        if not overlap(open_, tuple(_days(terms, min(now, terms.begin_time), (window,))))
    )


def _open(terms: Terms, now: datetime) -> Spans:
    """The activity's own time and its windows, from ``now`` on."""
    first, last = _stamp(now), _stamp(now + HORIZON)
    whole = ((max(first, _stamp(terms.begin_time)), min(last, _stamp(terms.end_time))),)
    windows = ((_stamp(each.begin_time), _stamp(each.end_time)) for each in terms.available_time)
    return overlap(union(whole), union(windows)) if terms.available_time else union(whole)


def _daily(terms: Terms, now: datetime) -> Spans:
    if not terms.available_day_time:
        return ((_stamp(now), _stamp(now + HORIZON)),)
    return union(_days(terms, now, terms.available_day_time))


def _days(terms: Terms, now: datetime, windows: Iterable[DayWindow]) -> Iterator[tuple[int, int]]:
    """The daily windows as moments of every day on which the activity may give; both ends are included (API §1.1)."""
    begin = max(now, terms.begin_time).astimezone(BEIJING) - timedelta(days=1)  # one that goes over midnight
    day = _stamp(begin.replace(hour=0, minute=0, second=0, microsecond=0))
    until = _stamp(min(now + HORIZON, terms.end_time))
    # No zone is documented; Beijing time is assumed (API §1.1), which has no clock changes.
    spans = [(_of_day(each.begin_day_time), _of_day(each.end_day_time) + 1) for each in windows]
    while day < until:
        for opens, closes in spans:
            yield day + opens, day + closes + (86_400 if closes <= opens else 0)
        day += 86_400


def _of_day(text: str) -> int:
    """Seconds since midnight of ``HHMMSS``; what is not a time of day opens for the whole of it."""
    # Read from the account, where anything may stand: it must not keep a plan from being made.
    if len(text) != 6 or not text.isdecimal():
        return 0
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + int(text[4:])


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp())
