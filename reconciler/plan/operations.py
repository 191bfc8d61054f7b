"""The operations that bring one activity about, in the order in which they must happen (concepts.md#plan)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.identity import merchants_digest, number_of, terms_sha256
from reconciler.model.operations import (
    ActivityOperation,
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Precondition,
    TerminateActivity,
    TerminateReason,
    in_calls,
)


def create_operations(namespace: str, desired: DesiredActivity) -> Iterator[ActivityOperation]:
    """The create with its first 500 merchants, then the rest."""
    number = str(number_of(namespace, desired))
    # A call takes 500 merchants (API §1.1, §1.6).
    first, *rest = in_calls(desired.merchants)
    yield CreateActivity(desired.key, number, desired.terms, first)
    yield from (AddMerchants(desired.key, "", number, chunk) for chunk in rest)


def merchant_operations(desired: DesiredActivity, live: LiveActivity) -> Iterator[ActivityOperation]:
    """Adds before deletes, at most 500 merchants each, so that nobody goes without for a moment."""
    before = set(live.merchants or ())
    wanted = set(desired.merchants)
    for chunk in in_calls(wanted - before):
        yield AddMerchants(desired.key, live.activity_id, live.out_request_no, chunk, _precondition(live, before))
        # Each call expects what the one before it leaves, or the second would look stale.
        before |= set(chunk)
    for chunk in in_calls(before - wanted):
        yield DeleteMerchants(desired.key, live.activity_id, live.out_request_no, chunk, _precondition(live, before))
        before -= set(chunk)


def terminate_operation(key: str, live: LiveActivity, reason: TerminateReason) -> TerminateActivity:
    """The end of ``live``, as long as it is what it is now."""
    return TerminateActivity(key, live.activity_id, live.out_request_no, reason, _precondition(live))


def supersede_operation(desired: DesiredActivity, live: LiveActivity, kept: LiveActivity) -> TerminateActivity:
    """End ``live``, since ``kept`` has the terms of ``desired`` and serves its merchants."""
    serves = tuple(sorted(set(live.merchants or ()).intersection(desired.merchants)))
    return replace(terminate_operation(desired.key, live, "superseded"), successor_id=kept.activity_id, serves=serves)


def _precondition(live: LiveActivity, merchants: Iterable[str] | None = None) -> Precondition:
    return Precondition(
        activity_id=live.activity_id,
        activity_status=live.activity_status,
        terms_digest=terms_sha256(live.terms) if live.terms is not None else "",
        merchants_digest=merchants_digest(merchants) if merchants is not None else "",
    )
