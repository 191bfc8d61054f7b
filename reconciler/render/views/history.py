"""What the journal tells: a row for each operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.journal.history import EVERYTHING, HistoryFilter, Row
from reconciler.render.values import beijing, counted
from reconciler.render.views.parts import Listing, Table

_COMMIT_DIGITS: Final = 8
_HEAD: Final = (
    "TIME", "WHO", "KEY OR FILE", "OPERATION", "ACTIVITY_ID", "OUTCOME", "TRIES", "REQUEST-ID", "COMMIT",
)  # fmt: skip


def history_view(rows: Sequence[Row], wanted: HistoryFilter = EVERYTHING, *, title: str = "") -> Listing:
    """One row for each operation, oldest first, with what is odd about it; one summary line. Beijing time.

    ``wanted`` is what the rows were chosen by: if there are none, the reader learns what to look for otherwise.
    """
    if not rows:
        asked = _asked(wanted)
        return Listing((f"Nothing in the journal{' has ' if asked else ''}{' and '.join(asked)}.",))
    summary = f"{counted(len(rows), 'operation')} in {counted(len({row.run for row in rows}), 'run')}."
    table = Table(_HEAD, tuple(map(_cells, rows)), tuple(map(_remarks, rows)), title)
    return Listing((table, f"{summary} Times are Beijing time."))


def _asked(wanted: HistoryFilter) -> list[str]:
    """What the filter asks for, in words, times as Beijing time."""
    asked = (
        f"key {wanted.key}" if wanted.key else "",
        f"activity_id {wanted.activity_id}" if wanted.activity_id else "",
        f"outcome {' or '.join(sorted(wanted.outcomes))}" if wanted.outcomes else "",
        f"a time from {beijing(wanted.since)} on" if wanted.since else "",
        f"a time before {beijing(wanted.until)}" if wanted.until else "",
    )
    return [part for part in asked if part]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        beijing(row.at.replace(microsecond=0)),
        row.who or "-",
        row.key or row.path or "-",
        row.operation,
        row.activity_id or "-",
        row.status,
        str(row.tries) if row.tries else "-",
        row.request_id or "-",
        row.commit[:_COMMIT_DIGITS] or "-",
    )


def _remarks(row: Row) -> tuple[str, ...]:
    rejected = (f"{each.mchid}: {each.invalid_reason}" for each in row.rejections)
    return (*((row.reason,) if row.reason else ()), *rejected)
