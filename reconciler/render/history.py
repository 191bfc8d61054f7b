"""What the journal tells: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.journal.history import EVERYTHING, HistoryFilter, Row
from reconciler.model.characters import safe
from reconciler.plan import FORMAT_VERSION, plan_data
from reconciler.render.text import table
from reconciler.render.values import beijing, counted

_COMMIT_DIGITS = 8


def history_text(rows: Sequence[Row], wanted: HistoryFilter = EVERYTHING) -> str:
    """One line for each operation, oldest first, what is odd about it below; one summary line. Beijing time.

    ``wanted`` is what the rows were chosen by: if there are none, the reader learns what to look for otherwise.
    """
    if not rows:
        asked = _asked(wanted)
        return f"Nothing in the journal{' has ' if asked else ''}{' and '.join(asked)}.\n"
    head = (
        "TIME",
        "WHO",
        "KEY OR FILE",
        "OPERATION",
        "ACTIVITY_ID",
        "OUTCOME",
        "TRIES",
        "REQUEST-ID",
        "COMMIT",
    )
    lines = table(head, [_cells(row) for row in rows]).split("\n")
    told = [line for row, line in zip(rows, lines[1:], strict=True) for line in (line, *_remarks(row))]
    summary = f"{counted(len(rows), 'operation')} in {counted(len({row.run for row in rows}), 'run')}."
    return "\n".join((lines[0], *told, "", f"{summary} Times are Beijing time.")) + "\n"


def _asked(wanted: HistoryFilter) -> list[str]:
    """What the filter asks for, in words, times as Beijing time."""
    asked = (
        f"key {safe(wanted.key)}" if wanted.key else "",
        f"activity_id {safe(wanted.activity_id)}" if wanted.activity_id else "",
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


def _remarks(row: Row) -> list[str]:
    rejected = [f"    {safe(each.mchid)}: {safe(each.invalid_reason)}" for each in row.rejections]
    return ([f"    {safe(row.reason)}"] if row.reason else []) + rejected


def history_json(rows: Sequence[Row]) -> dict[str, object]:
    """``bodies`` are the requests that were sent, to the byte; ``plan_digest`` is that of the run's plan."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "history",
        "operations": plan_data(tuple(rows)),
    }
