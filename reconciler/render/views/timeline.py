"""Activities over time: which rows there are, what lies between them, and on which scale. ``html/timeline`` draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

from reconciler.model.activity import BEIJING, Window
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity
from reconciler.model.plan import ActivityChange, Plan, TimelineRow, TimelineState
from reconciler.render.values import span

Step = tuple[datetime, datetime, int]
"""From, until, and how many."""

STATES: Final[dict[TimelineState, str]] = {
    "planned": "planned",
    "live": "live",
    "terminating": "to be terminated",
    "ended": "ended",
}
"""What is said of a row, by its state."""
_MAX_TICKS: Final = 10
_MARGIN: Final = 0.02
_ENDED_BEFORE: Final = timedelta(days=7)
_FARTHEST: Final = timedelta(days=2 * 365)
"""An activity begins within a year, and lasts 90 days at most (API §1.1)."""
_STEPS: Final = tuple(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 48, 7 * 24, 14 * 24))
_MONTHS: Final = (1, 2, 3, 6, 12)
# Any Monday will do: weeks are counted from it in both directions.
_MONDAY: Final = datetime(2024, 1, 1, tzinfo=BEIJING)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that is marked: a ``gap`` in which nothing of a key runs, or an ``overlap`` in which two do."""

    code: Literal["gap", "overlap"]
    begin: datetime
    end: datetime

    @property
    def words(self) -> str:
        """``gap of 5 d 14 h``."""
        return f"{self.code} of {span((self.end - self.begin).total_seconds())}"


# -- rows --------------------------------------------------------------------------------------------------------------


def timeline_rows(plan: Plan) -> tuple[TimelineRow, ...]:
    """What the plan makes, changes and ends, then what it leaves alone of the account; each by its first time.

    Times of live activities come from the plan's timeline. Of those that are not in it, the plan knows one time: when
    they would end if they run, when they would begin if they do not.
    """
    known = {row.activity_id: row for row in plan.timeline.rows}
    changed = [row for change in plan.changes for row in _rows_of(change, known)]
    ids = {row.activity_id for row in changed}
    alone = [row for row in plan.timeline.rows if row.activity_id not in ids]
    return (*_by_time(changed), *_by_time(alone))


def _rows_of(change: ActivityChange, known: Mapping[str, TimelineRow]) -> Iterator[TimelineRow]:
    partly = {
        clock.activity_id: (clock.at, None) if clock.code == "cancelled" else (None, clock.at)
        for clock in change.clocks
    }
    seen: set[str] = set()
    for step in change.operations:
        match step:
            case CreateActivity(terms=terms):
                yield TimelineRow(change.key, "", terms.activity_name, terms.begin_time, terms.end_time, "planned")
            case AddMerchants() | DeleteMerchants() | TerminateActivity() if step.activity_id not in {
                "",
                *seen,
            }:
                seen.add(step.activity_id)
                begin, end = partly.get(step.activity_id, (None, None))
                state: TimelineState = "terminating" if isinstance(step, TerminateActivity) else "live"
                row = TimelineRow(change.key, step.activity_id, change.activity_name, begin, end, state)
                yield replace(known.get(step.activity_id, row), key=change.key, state=state)


def _by_time(rows: Iterable[TimelineRow]) -> Iterator[TimelineRow]:
    """Rows of a key stay together; keys by the first time that is known of them."""
    groups: dict[tuple[str, str], list[TimelineRow]] = defaultdict(list)
    for row in rows:
        groups[row.key, "" if row.key else row.activity_id].append(row)
    for group in sorted(groups.values(), key=lambda group: (min(map(_moment, group)), group[0].key)):
        yield from sorted(group, key=lambda row: (_moment(row), not row.activity_id, row.activity_id))


def _moment(row: TimelineRow) -> datetime:
    return row.begin or row.end or datetime.max.replace(tzinfo=BEIJING)


def spans(rows: Sequence[TimelineRow], gaps: Mapping[str, Sequence[Window]]) -> dict[TimelineRow, tuple[Span, ...]]:
    """For each row that something of its key came before, the gaps until it gives and its overlap with them.

    ``gaps`` are those of the plan's changes, by key (``gaps_of``).
    """
    groups: dict[str, list[TimelineRow]] = defaultdict(list)
    for row in rows:
        if row.key:
            groups[row.key].append(row)
    return {
        row: (*_gaps_of(row, gaps.get(row.key, ())), *_overlaps_of(row, group[:index]))
        for group in groups.values()
        for index, row in _later(group)
    }


def gaps_of(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """When merchants that something serves again go without, by the key that serves them, as the service map has it."""
    return {change.key: change.coverage.gaps for change in plan.changes if change.coverage}


def _later(group: list[TimelineRow]) -> Iterator[tuple[int, TimelineRow]]:
    return ((index, row) for index, row in enumerate(group) if index and row.state in ("planned", "live"))


def _gaps_of(row: TimelineRow, gaps: Iterable[Window]) -> Iterator[Span]:
    if row.state == "planned":
        yield from (Span("gap", each.begin_time, each.end_time) for each in gaps)


def _overlaps_of(row: TimelineRow, earlier: Iterable[TimelineRow]) -> Iterator[Span]:
    for other in earlier:
        if row.begin is None or other.end is None or row.end is None or other.state in ("ended", "terminating"):
            continue
        begin, end = max(row.begin, other.begin or row.begin), min(row.end, other.end)
        if begin < end:
            yield Span("overlap", begin, end)


# -- the scale ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """The stretch of time that is shown."""

    start: datetime
    end: datetime

    def at(self, moment: datetime | None, default: float = 0.0) -> float:
        """Where a moment stands, in percent; what lies outside stands at the edge."""
        if moment is None:
            return default
        share = (moment - self.start) / (self.end - self.start)
        return round(100 * min(1.0, max(0.0, share)), 3)

    def ticks(self) -> list[tuple[datetime, str]]:
        """Round moments in Beijing time, at most ten, with their labels."""
        for step in _STEPS:
            if (self.end - self.start) / step <= _MAX_TICKS:
                return list(_labelled(self._every(step), "%m-%d" if step.days else "%m-%d %H:%M"))
        months = (self.end - self.start) / timedelta(days=30.4)
        every = next((count for count in _MONTHS if months / count <= _MAX_TICKS), int(months / _MAX_TICKS) + 1)
        return list(_labelled(self._first_of_every(every), "%m"))

    def _every(self, step: timedelta) -> Iterator[datetime]:
        """Multiples of the step since a Monday: hours begin at midnight, weeks with a Monday."""
        moment = _MONDAY + ((self.start - _MONDAY) // step + 1) * step
        while moment < self.end:
            yield moment
            moment += step

    def _first_of_every(self, months: int) -> Iterator[datetime]:
        start = self.start.astimezone(BEIJING)
        count = (start.year * 12 + start.month - 1) // months * months + months
        while (moment := datetime(count // 12, count % 12 + 1, 1, tzinfo=BEIJING)) < self.end:
            yield moment
            count += months


def scale_of(rows: Sequence[TimelineRow], now: datetime) -> Scale:
    """From the first begin to the last end, with now in it and a margin around it. What has ended is shown from its
    last days on, so that it makes no room for itself; a time that no activity can have, such as the year 9999, makes
    none either.
    """
    # A live activity may hold any time: one far off would shrink all others to nothing.
    first, last = now - _FARTHEST, now + _FARTHEST
    begins = (row.begin for row in rows if row.state != "ended" and row.begin)
    earliest = max(min((*begins, now)), first) - _ENDED_BEFORE
    moments = [
        min(max(moment, earliest if row.state == "ended" else first), last)
        for row in rows
        for moment in (row.begin, row.end)
        if moment is not None
    ]
    start, end = min((*moments, now)), max((*moments, now))
    margin = max((end - start) * _MARGIN, timedelta(hours=1))
    return Scale(start - margin, end + margin)


def _labelled(moments: Iterable[datetime], form: str) -> Iterator[tuple[datetime, str]]:
    """Each moment in the given form; the first one, and the first of a year, with its year."""
    year = 0
    for moment in moments:
        yield moment, moment.strftime(form if moment.year == year else f"%Y-{form}")
        year = moment.year


# -- all together ------------------------------------------------------------------------------------------------------


def running_at_once(rows: Iterable[TimelineRow], scale: Scale, now: datetime) -> list[Step]:
    """How many activities run, from moment to moment within the scale, if the plan is applied now."""
    changes: dict[datetime, int] = defaultdict(int)
    for row in rows:
        begin = max(row.begin or scale.start, now if row.state == "planned" else scale.start)
        end = min(row.end or scale.end, scale.end, now if row.state == "terminating" else scale.end)
        if row.state != "ended" and begin < end:
            changes[begin] += 1
            changes[end] -= 1
    moments = sorted({scale.start, *changes, scale.end})
    steps: list[Step] = []
    running = 0
    for begin, end in pairwise(moments):
        running += changes[begin]
        steps.append((begin, end, running))
    return steps
