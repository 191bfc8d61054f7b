"""The account as a table: what is managed and how it stands to its spec, what is not ours, what is only written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.model.activity import CREATE_FAILED, TERMINATED, DesiredActivity, LiveActivity
from reconciler.model.findings import FindingKind
from reconciler.model.plan import Plan
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import Drift, DriftCode, drifts
from reconciler.render.messages import TERMINATE_REASONS
from reconciler.render.values import beijing
from reconciler.render.views.drift import merchants_text
from reconciler.render.views.parts import Listing, Table

IN_SYNC: Final = "in sync"
ADOPTED: Final = "in sync, adopted"
UNMANAGED: Final = "unmanaged"
KEPT: Final = "its file was deleted; kept by `on_removed: ignore`"
NO_SPEC: Final = "no spec"
ENDED: Final = "ended"
TERMINATED_SPEC: Final = "terminated"
NOT_LIVE: Final = "not live"
CREATION_FAILED: Final = "creation failed"

WORDS: Final[Mapping[DriftCode, str]] = {
    "ENDED_BY_HAND": "terminated outside",
    "IMAGES_DIFFER": "shows other images",
    "LIVE_TERMS_DIFFER": "live terms differ",
    "MERCHANTS_DIFFER": "merchants differ: {merchants}",
    "NEWCOMER": UNMANAGED,
    "NOT_CREATED": "not created yet",
    "PAUSED": "paused",
    "REFUSED": "",
    "SHOULD_END": "to be terminated: {reason}",
    "SUPERSEDED": "superseded, to be terminated",
    "TERMS_DIFFER": "terms differ, to be replaced",
    "VANISHED": "vanished from the account",
}
"""How a row stands, by what `drift` says of it. What is refused says so itself."""


_HEAD: Final = ("KEY", "ACTIVITY_ID", "NAME", "STATUS", "BEGINS", "ENDS", "MERCHANTS", "STANDS")


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One activity. ``stands`` says how it stands to its spec; ``merchants`` is ``None`` where it was not read.

    ``activity_id`` and ``activity_status`` are empty for a spec that no live activity fulfils. ``differs`` are the
    codes that `drift` has for it, none if it is as specified; ``pending``: all of it is only not applied yet.
    """

    key: str
    activity_id: str
    activity_name: str
    activity_status: str
    begins: str
    ends: str
    merchants: int | None
    stands: str
    differs: tuple[DriftCode, ...] = ()
    pending: bool = False


def status_rows(
    live: Sequence[tuple[str | None, LiveActivity]],
    desired: Sequence[DesiredActivity],
    plan: Plan,
    *,
    everything: bool,
    witness: Witness = NO_WITNESS,
) -> tuple[StatusRow, ...]:
    """Specs that nothing fulfils, then live activities in the order given; ended ones only with ``everything``."""
    told = _Told.of(live, desired, plan, witness)
    specs = (each for each in desired if each.key not in told.running)
    shown = (pair for pair in live if everything or not pair[1].ended(plan.made_at))
    return (
        *(_spec_row(each, told) for each in specs),
        *(_live_row(key, each, told) for key, each in shown),
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What `drift` says of each key, and what else the rows need to know of the account."""

    plan: Plan
    wanted: Mapping[str, DesiredActivity]
    running: Mapping[str, frozenset[str]]
    past: Mapping[str, Sequence[LiveActivity]]
    ignored: frozenset[str]
    drifts: Mapping[str, Sequence[Drift]]

    @classmethod
    def of(
        cls,
        live: Iterable[tuple[str | None, LiveActivity]],
        desired: Sequence[DesiredActivity],
        plan: Plan,
        witness: Witness,
    ) -> _Told:
        running: dict[str, set[str]] = defaultdict(set)
        past: dict[str, list[LiveActivity]] = defaultdict(list)
        found: dict[str, list[Drift]] = defaultdict(list)
        for key, each in live:
            if key is not None and each.ended(plan.made_at):
                past[key].append(each)
            elif key is not None:
                running[key].add(each.activity_id)
        # From the same function as `drift`, so that the two commands cannot disagree.
        for drift in drifts(plan, [each for _, each in live], desired, witness):
            found[drift.key].append(drift)
        ids = {key: frozenset(each) for key, each in running.items()}
        ignored = frozenset(each.key for each in plan.findings if each.code == FindingKind.REMOVED_SPEC_IGNORED)
        return cls(plan, {each.key: each for each in desired}, ids, past, ignored, found)

    def of_activity(self, key: str, activity_id: str) -> list[Drift]:
        """What is said of one activity that runs, or of its key as a whole."""
        others = self.running[key] - {activity_id}
        return [each for each in self.drifts.get(key, ()) if each.activity_id not in others]


def _spec_row(desired: DesiredActivity, told: _Told) -> StatusRow:
    terms, found = desired.terms, told.drifts.get(desired.key, ())
    ended = _last_end(told.past.get(desired.key, ()), told.plan.made_at)
    return StatusRow(
        desired.key,
        "",
        terms.activity_name,
        "",
        beijing(terms.begin_time),
        beijing(terms.end_time),
        len(desired.merchants),
        _words(found, ended) or _at_rest(desired, ended, told.plan.made_at),
        *_differs(found),
    )


def _at_rest(desired: DesiredActivity, ended: datetime | None, now: datetime) -> str:
    """Of a spec for which there is nothing to do: it has ended, or shall not run."""
    if ended is None and desired.terms.end_time < now:
        ended = desired.terms.end_time
    if ended is not None:
        return _ended(ended)
    return TERMINATED_SPEC if desired.state == "terminated" else NOT_LIVE


def _live_row(key: str | None, live: LiveActivity, told: _Told) -> StatusRow:
    terms = live.terms
    ended = live.ended(told.plan.made_at)
    found = [] if key is None or ended else told.of_activity(key, live.activity_id)
    return StatusRow(
        key or "",
        live.activity_id,
        terms.activity_name if terms else "",
        live.activity_status,
        beijing(terms.begin_time) if terms else "",
        beijing(terms.end_time) if terms else "",
        len(live.merchants) if live.merchants is not None else None,
        _stands(key, live, found, told) if not ended else _past(key, live, told.plan.made_at),
        *_differs(found),
    )


def _stands(key: str | None, live: LiveActivity, found: Sequence[Drift], told: _Told) -> str:
    if key is None:
        return UNMANAGED
    words = _words(found, None)
    desired = told.wanted.get(key)
    if desired is None and not any(each.reason for each in found):
        # `drift` has nothing to say against it, whether it is paused or not.
        return "; ".join(part for part in (words, KEPT if key in told.ignored else NO_SPEC) if part)
    return words or (ADOPTED if desired and desired.adopt == live.activity_id else IN_SYNC)


def _past(key: str | None, live: LiveActivity, now: datetime) -> str:
    over = CREATION_FAILED if live.activity_status == CREATE_FAILED else _ended(_end(live, now))
    return over if key is not None else f"{UNMANAGED}, {over}"


def _ended(moment: datetime | None) -> str:
    return f"{ENDED} {beijing(moment)}" if moment else ENDED


def _end(live: LiveActivity, now: datetime) -> datetime | None:
    """When ``live`` ended, as far as the remote tells: what somebody ended was changed then for the last time."""
    planned = live.terms.end_time if live.terms else None
    if planned is not None and planned < now and live.activity_status != TERMINATED:
        return planned
    known = [each for each in (planned, live.update_time) if each is not None and each <= now]
    return min(known, default=None)


def _last_end(past: Iterable[LiveActivity], now: datetime) -> datetime | None:
    ends = (_end(each, now) for each in past if each.activity_status != CREATE_FAILED)
    return max((each for each in ends if each is not None), default=None)


def _words(found: Iterable[Drift], ended: datetime | None) -> str:
    """What `drift` says, in a few words; of what has ended, also when."""
    parts = dict.fromkeys(part for each in found for part in _parts(each, ended))
    return "; ".join(parts)


def _parts(drift: Drift, ended: datetime | None) -> Iterator[str]:
    if drift.code in ("ENDED_BY_HAND", "REFUSED") and ended is not None:
        yield _ended(ended)
    words = WORDS[drift.code] if drift.witnessed or drift.code != "ENDED_BY_HAND" else ""
    reason = TERMINATE_REASONS[drift.reason] if drift.reason else ""
    if words:
        yield words.format(merchants=merchants_text(drift), reason=reason)
    if drift.refusals:
        yield f"refused: {', '.join(dict.fromkeys(each.code for each in drift.refusals))}"


def _differs(found: Sequence[Drift]) -> tuple[tuple[DriftCode, ...], bool]:
    codes = tuple(dict.fromkeys(each.code for each in found))
    return codes, bool(found) and all(each.pending for each in found)


def status_view(rows: Sequence[StatusRow], plan: Plan) -> Listing:
    """A table, if there is anything, and one summary line. Times are Beijing time."""
    cells = tuple(
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
    )
    drifted = sum(bool(row.differs) for row in rows)
    summary = (
        f"{plan.managed:,} managed and live, {plan.unmanaged:,} unmanaged, {drifted:,} not as specified."
        " Times are Beijing time."
    )
    return Listing((*((Table(_HEAD, cells),) if cells else ()), summary))
