"""Whether a create is as good as certain, where a running activity would end before it (concepts.md#plan). Pure.

New activities may be refused any day (API §0.3), and a coupon's rules are checked by WeChat Pay alone. So whoever wants
to end first must have everything proven that can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from reconciler.model.activity import CREATE_FAILED, LiveActivity
from reconciler.model.coupon import CouponRead
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import parse_number
from reconciler.model.operations import CreateActivity, TerminateActivity
from reconciler.model.plan import ActivityChange, Plan
from reconciler.model.witness import Witness
from reconciler.plan.coupons import unproven

PROVEN_FOR: Final = timedelta(days=7)
"""So long a create that was done shows that this account can create."""


def unproven_creates(
    plan: Plan, live: Iterable[LiveActivity], coupons: Mapping[str, CouponRead], witness: Witness
) -> Iterator[Finding]:
    """A refusal for each activity that would end before a successor whose create is not as good as certain.

    ``live`` is the whole account, ``coupons`` are the stocks that the plan's creates give.
    """
    switches = [change for change in plan.changes if _ends_first(change)]
    if not switches:
        return
    # Only switches that end first are asked for proof: create_first loses nothing if its create fails.
    account = [] if _has_created(live, witness, plan.made_at) else [_NOT_CREATED]
    for change in switches:
        create = next(step for step in change.operations if isinstance(step, CreateActivity))
        reasons = [*unproven(create.terms, coupons), *account]
        if reasons:
            facts: dict[str, object] = {"reasons": "; ".join(reasons)}
            yield Finding.of(FindingKind.CREATE_UNPROVEN, change.key, facts, change.source)


_NOT_CREATED: Final = (
    f"nothing shows that this account has created an activity within {PROVEN_FOR.days} days, "
    "and new ones may be refused since 2025-12-01"
)


def _ends_first(change: ActivityChange) -> bool:
    """Whether it ends something that has begun, and creates what is to come in its place only then."""
    if not isinstance(change.operations[0], TerminateActivity):
        return False
    # Ending what nobody sees yet costs customers nothing, so it needs no proof.
    begun = {clock.activity_id for clock in change.clocks if clock.code == "ends"}
    ends = {step.activity_id for step in change.operations if isinstance(step, TerminateActivity)}
    return bool(begun & ends) and any(isinstance(step, CreateActivity) for step in change.operations)


def _has_created(live: Iterable[LiveActivity], witness: Witness, now: datetime) -> bool:
    """By the journal, or by an activity that some paygift has made through the API: the web pages prove nothing."""
    since = now - PROVEN_FOR
    if witness.last_create is not None and witness.last_create >= since:
        return True
    return any(
        each.create_time is not None
        and each.create_time >= since
        # An id is issued before the creation may fail (API §1.7): that would prove the opposite.
        and each.activity_status != CREATE_FAILED
        and parse_number(each.out_request_no) is not None
        for each in live
    )
