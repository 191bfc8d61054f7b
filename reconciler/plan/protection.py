"""What ``protect`` keeps, and who remembers it: the number, the spec, and the journal (concepts.md#identity). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import parse_number
from reconciler.model.witness import Witness


def protected(
    key: str, ending: Iterable[LiveActivity], desired: DesiredActivity | None, witness: Witness
) -> Iterator[Finding]:
    """A refusal for each activity that ``protect`` keeps.

    A spec that is there decides; that it gave up a protection in the same change is a note. Without it, the mark in the
    number or the journal's memory is enough.
    """
    for live in ending:
        facts: dict[str, object] = {"activity_id": live.activity_id}
        source = desired.source if desired else None
        # Deleting the file must not be the way around `protect`: the mark and the journal outlive it.
        remembered = _marked(live) or not witness.protected.isdisjoint(_keys(key, live, witness))
        if desired.protect if desired else remembered:
            yield Finding.of(FindingKind.PROTECTED, key, facts, source)
        elif remembered:
            yield Finding.of(FindingKind.PROTECTION_REMOVED, key, facts, source)


def not_marked(desired: DesiredActivity, kept: LiveActivity, witness: Witness) -> Iterator[Finding]:
    """A note where nothing would remember ``protect`` once the spec is gone."""
    # Written after the create: a number cannot be edited, so only the next apply can remember it.
    if desired.protect and not _marked(kept) and desired.key not in witness.protected:
        facts: dict[str, object] = {"activity_id": kept.activity_id}
        yield Finding.of(FindingKind.PROTECT_NOT_MARKED, desired.key, facts, desired.source)


def _keys(key: str, live: LiveActivity, witness: Witness) -> Iterator[str]:
    """The keys under which the journal may remember ``live``: the present one, its number's, its adopter's."""
    yield key
    number = parse_number(live.out_request_no)
    if number is not None:
        yield number.key
    if live.activity_id in witness.adopted:
        yield witness.adopted[live.activity_id]


def _marked(live: LiveActivity) -> bool:
    number = parse_number(live.out_request_no)
    return number is not None and number.protect
