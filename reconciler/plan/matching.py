"""Which live activity already is what a spec asks for, if one is; and where nobody can say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from reconciler.model.activity import CREATE_FAILED, PAUSED, DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import number_of, parse_number
from reconciler.plan.compare import contradictions, same_number, same_terms
from reconciler.plan.fitness import GIVES


def number_used(desired: DesiredActivity, past: list[LiveActivity]) -> Finding | None:
    """A number is spent permanently (API §1.10): what was terminated does not come back by accident."""
    spent = next((live for live in past if same_number(desired, live)), None)
    if spent is None:
        return None
    generations = [number.generation for live in past if (number := parse_number(live.out_request_no))]
    failed = spent.activity_status == CREATE_FAILED
    return Finding.of(
        FindingKind.CREATION_FAILED if failed else FindingKind.NUMBER_USED,
        desired.key,
        {
            "activity_id": spent.activity_id,
            "activity_status": spent.activity_status,
            # Above all that were used, or the next attempt would meet a spent number again.
            "next_generation": max(generations) + 1,
        },
        desired.source,
    )


def matching(namespace: str, desired: DesiredActivity, running: list[LiveActivity]) -> LiveActivity | None:
    """The live activity that already is the desired one, or has taken its number. Of several, one that is known to give
    is worth more than a paused one, and one that most of the wanted merchants are in more than the exact number; then
    the oldest.
    """
    candidates = [
        live
        for live in running
        if (same_terms(desired, live) or same_number(desired, live)) and not given_up_on(desired, live)
    ]
    # The usual case, without the hashing below.
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    number, wanted = str(number_of(namespace, desired)), frozenset(desired.merchants)
    return min(
        candidates,
        key=lambda live: (
            # Most important first: whatever is not chosen here is ended as superseded.
            bool(contradictions(desired, live)),
            live.activity_status not in GIVES,
            live.activity_status == PAUSED,
            -len(wanted.intersection(live.merchants or ())),
            live.out_request_no != number,
            not same_number(desired, live),
            -len(live.merchants or ()),  # what deleting from it changes comes after what it does not
            live.create_time or datetime.max.replace(tzinfo=UTC),
            # Without a last word the choice would depend on the order of the list, which is not documented.
            live.activity_id,
        ),
    )


def adopts_another(desired: DesiredActivity, kept: LiveActivity, running: Iterable[LiveActivity]) -> Finding | None:
    """A refusal where the spec runs already, and adopts another activity with the same terms: one of the two would end,
    and nobody has said which.
    """
    for live in running:
        same = live is not kept and live.activity_id == desired.adopt and same_terms(desired, live)
        if same and not given_up_on(desired, live):
            facts: dict[str, object] = {"activity_id": live.activity_id, "kept_id": kept.activity_id}
            return Finding.of(FindingKind.ADOPT_AMBIGUOUS, desired.key, facts, desired.source)
    return None


def given_up_on(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether ``live`` is paused, which we cannot undo, and ``generation`` was raised to run the terms again."""
    number = parse_number(live.out_request_no)
    return live.activity_status == PAUSED and desired.generation > (number.generation if number else 1)
