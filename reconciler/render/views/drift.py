"""What is not as specified: what was changed outside first, then what is not applied yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from reconciler.model.plan import Difference
from reconciler.plan import Drift, DriftCode
from reconciler.render.messages import TERMINATE_REASONS
from reconciler.render.values import beijing, sample, value
from reconciler.render.views.finding import finding_text
from reconciler.render.views.parts import Fact, Listing, RowGroup

OUTSIDE: Final = "Changed outside:"
OUTSIDE_OR_UNKNOWN: Final = "Changed outside, or not known by whom:"
PENDING: Final = "Pending: not applied yet"

SENTENCES: Final[dict[DriftCode, str]] = {
    "ENDED_BY_HAND": "activity {activity_id} was terminated, and not by paygift",
    "IMAGES_DIFFER": "activity {activity_id} shows other images than were uploaded for its spec{fields}",
    "LIVE_TERMS_DIFFER": (
        "activity {activity_id} carries the request number of its spec and has other terms{fields}; see `paygift plan`"
    ),
    "MERCHANTS_DIFFER": "the merchants of activity {activity_id} were changed: {merchants}",
    "NEWCOMER": "activity {activity_id} was created recently, and no spec manages it",
    "NOT_CREATED": "its spec has no live activity; `apply` would create it",
    "PAUSED": "activity {activity_id} was paused on the merchant platform",
    "REFUSED": "`apply` does nothing for it",
    "SHOULD_END": "activity {activity_id} is still live, and {reason}; `apply` would end it",
    "SUPERSEDED": "activity {activity_id} is still live beside its successor; `apply` would end it",
    "TERMS_DIFFER": "the terms of activity {activity_id} are not those of the spec{fields}; `apply` would replace it",
    "VANISHED": "activity {activity_id}, which paygift managed for it, is no longer on the account",
}
TO_REPLACE: Final = "`apply` would replace activity {activity_id}"
MERCHANTS_PENDING: Final = "the merchants of activity {activity_id} are not yet those of the spec: {merchants}"
UNWITNESSED: Final[dict[DriftCode, str]] = {
    "ENDED_BY_HAND": (
        "activity {activity_id} was terminated; without a record of it in the journal it is not known by whom"
    ),
    "IMAGES_DIFFER": (
        "activity {activity_id} shows images at other addresses than paygift uploaded them to{fields}; it was created "
        "from another machine, or not by paygift: open both and compare"
    ),
    "MERCHANTS_DIFFER": (
        "the merchants of activity {activity_id} differ from the spec: {merchants}; "
        "without a record of them in the journal it is not known who changed them"
    ),
}
"""The same where no journal tells who did it."""


def drift_view(found: Sequence[Drift]) -> Listing:
    """What was changed outside, what is pending, and a summary line. Times are Beijing time."""
    if not found:
        return Listing(("No drift: live is as specified.",))
    outside = [each for each in found if not each.pending]
    pending = [each for each in found if each.pending]
    # Nobody is to be accused where no journal tells who it was.
    head = OUTSIDE if all(each.witnessed for each in outside) else OUTSIDE_OR_UNKNOWN
    groups = (_group(title, part) for title, part in ((head, outside), (PENDING, pending)) if part)
    summary = f"{len(outside):,} changed outside, {len(pending):,} pending. Times are Beijing time."
    return Listing((*groups, summary))


def _group(title: str, found: Iterable[Drift]) -> RowGroup:
    facts = (Fact(each.key or "-", f"{sentence(each)}{_since(each)}", each.code) for each in found)
    return RowGroup(title, tuple(facts))


def sentence(drift: Drift) -> str:
    """What is so, for people; long lists are cut short, and whole in JSON."""
    says = "uploaded was" if drift.code == "IMAGES_DIFFER" else "the spec says"
    said = _template(drift).format(
        activity_id=drift.activity_id,
        merchants=merchants_text(drift),
        reason=TERMINATE_REASONS[drift.reason] if drift.reason else "",
        fields=f": {_fields(drift.fields, says)}" if drift.fields else "",
    )
    refused = "; ".join(f"{each.code}: {finding_text(each)}" for each in drift.refusals)
    return f"{said}. Refused: {refused}" if refused else said


def _template(drift: Drift) -> str:
    if not drift.witnessed:
        return UNWITNESSED[drift.code]
    if drift.code == "MERCHANTS_DIFFER" and drift.pending:
        return MERCHANTS_PENDING
    if drift.code == "TERMS_DIFFER" and not drift.fields:
        return TO_REPLACE
    return SENTENCES[drift.code]


def merchants_text(drift: Drift) -> str:
    """``1 added (1900777777), 1 missing (1900100001)``; of what is pending, what is to be added and deleted."""
    sides = (
        ((drift.missing, "to add"), (drift.added, "to delete"))
        if drift.pending
        else ((drift.added, "added"), (drift.missing, "missing"))
    )
    return ", ".join(f"{len(ids):,} {word} ({sample(ids)})" for ids, word in sides if ids)


def _fields(found: Sequence[Difference], says: str) -> str:
    return sample(
        tuple(
            f"{each.path} is {value(each.path, each.live)}, {says} {value(each.path, each.desired)}" for each in found
        )
    )


def _since(drift: Drift) -> str:
    return f" (since {beijing(drift.since)}, says WeChat Pay)" if drift.since else ""
