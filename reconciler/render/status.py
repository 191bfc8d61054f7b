"""The account as a table: what is managed and how it stands to its spec, what is not ours, what is only written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.activity import DesiredActivity, LiveActivity
from reconciler.change import ActivityChange, ChangeKind, Plan
from reconciler.render.text import table
from reconciler.render.values import beijing

IN_SYNC: Final = "in sync"
UNMANAGED: Final = "unmanaged"
_DRIFT: Final[dict[ChangeKind, str]] = {
    ChangeKind.CREATE: "not created yet",
    ChangeKind.UPDATE: "merchants differ",
    ChangeKind.REPLACE: "terms differ",
    ChangeKind.TERMINATE: "to be terminated",
}


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One activity. ``stands`` says how it stands to its spec; ``merchants`` is ``None`` where it was not read.

    ``activity_id`` and ``activity_status`` are empty for a spec that no live activity fulfils.
    """

    key: str
    activity_id: str
    activity_name: str
    activity_status: str
    begins: str
    ends: str
    merchants: int | None
    stands: str


def status_rows(
    live: Sequence[tuple[str | None, LiveActivity]],
    desired: Sequence[DesiredActivity],
    plan: Plan,
    *,
    everything: bool,
) -> tuple[StatusRow, ...]:
    """Specs that nothing fulfils, then live activities in the order given; ended ones only with ``everything``."""
    changes = {change.key: change for change in plan.changes}
    refused = {finding.key for finding in plan.refusals}
    lasting = [(key, each) for key, each in live if everything or not each.ended(plan.made_at)]
    living = {key for key, each in live if not each.ended(plan.made_at)}
    specs = [each for each in desired if each.key not in living]
    return (
        *(_spec_row(each, changes.get(each.key), each.key in refused) for each in specs),
        *(_live_row(key, each, changes.get(key or ""), refused, plan) for key, each in lasting),
    )


def _spec_row(desired: DesiredActivity, change: ActivityChange | None, refused: bool) -> StatusRow:
    terms = desired.terms
    stands = _DRIFT[change.kind] if change else "refused" if refused else f"nothing to do ({desired.state})"
    return StatusRow(
        desired.key,
        "",
        terms.activity_name,
        "",
        beijing(terms.begin_time),
        beijing(terms.end_time),
        len(desired.merchants),
        stands,
    )


def _live_row(
    key: str | None, live: LiveActivity, change: ActivityChange | None, refused: set[str], plan: Plan
) -> StatusRow:
    terms = live.terms
    return StatusRow(
        key or "",
        live.activity_id,
        terms.activity_name if terms else "",
        live.activity_status,
        beijing(terms.begin_time) if terms else "",
        beijing(terms.end_time) if terms else "",
        len(live.merchants) if live.merchants is not None else None,
        _stands(key, live, change, refused, plan),
    )


def _stands(
    key: str | None, live: LiveActivity, change: ActivityChange | None, refused: set[str], plan: Plan
) -> str:
    if key is None:
        return UNMANAGED
    if live.ended(plan.made_at):
        return "ended"
    if key in refused:
        return "refused"
    touched = change is not None and any(
        getattr(step, "activity_id", "") == live.activity_id for step in change.operations
    )
    return _DRIFT[change.kind] if change and touched else IN_SYNC


def status_text(rows: Sequence[StatusRow], plan: Plan) -> str:
    """A table and one summary line. Times are Beijing time."""
    head = ("KEY", "ACTIVITY_ID", "NAME", "STATUS", "BEGINS", "ENDS", "MERCHANTS", "STANDS")
    cells = [
        (
            row.key or "-",
            row.activity_id or "-",
            row.activity_name,
            row.activity_status or "-",
            row.begins,
            row.ends,
            "-" if row.merchants is None else f"{row.merchants:,}",
            row.stands,
        )
        for row in rows
    ]
    drifted = sum(row.stands in _DRIFT.values() for row in rows)
    summary = (
        f"{plan.managed:,} managed and live, {plan.unmanaged:,} unmanaged, {drifted:,} not as specified."
        " Times are Beijing time."
    )
    return (table(head, cells) + "\n\n" if cells else "") + summary + "\n"
