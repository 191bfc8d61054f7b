"""What on the account is not as the specs say, and since when if the remote tells. Pure.

Read from the same plan that apply would do: what a plan would change is what has drifted. Beside it stand things that a
plan leaves alone and people want to know: paused activities, and newcomers that nobody manages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from reconciler.activity import PAUSED, TERMINATED, DesiredActivity, LiveActivity
from reconciler.change import ChangeKind, Plan
from reconciler.identity import Ownership

NEWCOMER_DAYS: Final = 7
"""An unmanaged activity counts as a newcomer for so long after it was made."""

DriftCode = Literal[
    "NOT_CREATED",
    "MERCHANTS_DIFFER",
    "TERMS_DIFFER",
    "SHOULD_END",
    "ENDED_BY_HAND",
    "PAUSED",
    "REFUSED",
    "NEWCOMER",
]


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as specified. ``since`` is what the remote says of it, which is often nothing."""

    code: DriftCode
    key: str
    activity_id: str = ""
    since: datetime | None = None


_BY_KIND: Final[dict[ChangeKind, DriftCode]] = {
    ChangeKind.CREATE: "NOT_CREATED",
    ChangeKind.UPDATE: "MERCHANTS_DIFFER",
    ChangeKind.REPLACE: "TERMS_DIFFER",
    ChangeKind.TERMINATE: "SHOULD_END",
}


def drifts(
    plan: Plan,
    live: Iterable[LiveActivity],
    desired: Sequence[DesiredActivity],
) -> tuple[Drift, ...]:
    """Everything that has drifted, by key; newcomers last, the oldest first."""
    ownership = Ownership.of(plan.namespace, desired)
    running: dict[str, list[LiveActivity]] = {}
    newcomers = []
    ended_by_hand: dict[str, LiveActivity] = {}
    wanted = {each.key for each in desired if each.state == "running" and each.terms.end_time >= plan.made_at}
    for each in live:
        key = ownership.key_of(each)
        if key is None:
            if _is_newcomer(each, plan.made_at):
                newcomers.append(each)
        elif not each.ended(plan.made_at):
            running.setdefault(key, []).append(each)
        elif key in wanted and each.activity_status == TERMINATED:
            ended_by_hand[key] = each
    found = [
        *_changes(plan, running),
        *_refusals(plan, running, ended_by_hand),
        *(
            Drift("PAUSED", key, each.activity_id, each.pause_time)
            for key, lives in running.items()
            for each in lives
            if each.activity_status == PAUSED
        ),
    ]
    newcomers.sort(key=lambda each: (each.create_time or plan.made_at, each.activity_id))
    return (
        *sorted(found, key=lambda drift: (drift.key, drift.code, drift.activity_id)),
        *(Drift("NEWCOMER", "", each.activity_id, each.create_time) for each in newcomers),
    )


def _changes(plan: Plan, running: dict[str, list[LiveActivity]]) -> Iterator[Drift]:
    for change in plan.changes:
        ids = dict.fromkeys(step.activity_id for step in change.operations if step.operation != "create")
        ids.pop("", None)
        updated = {each.activity_id: each.update_time for each in running.get(change.key, ())}
        for activity_id in ids or [""]:
            since = updated.get(activity_id) if change.kind is ChangeKind.UPDATE else None
            yield Drift(_BY_KIND[change.kind], change.key, activity_id, since)


def _refusals(
    plan: Plan, running: dict[str, list[LiveActivity]], ended: dict[str, LiveActivity]
) -> Iterator[Drift]:
    """Keys that a refusal keeps from being as specified; those that somebody ended by hand are called that."""
    changed = {change.key for change in plan.changes}
    for finding in plan.refusals:
        key = finding.key
        if not key or key in changed:
            continue
        if finding.code == "NUMBER_USED" and key in ended and key not in running:
            yield Drift("ENDED_BY_HAND", key, ended[key].activity_id, ended[key].update_time)
        else:
            yield Drift("REFUSED", key, str(finding.facts.get("activity_id", "")))


def _is_newcomer(live: LiveActivity, now: datetime) -> bool:
    made = live.create_time
    return made is not None and made >= now - timedelta(days=NEWCOMER_DAYS) and not live.ended(now)
