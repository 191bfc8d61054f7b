"""Whether WeChat Pay would take the coupons of what is to be created (API §2 F2, F3, F5). Pure.

Found out before anything is written: a create that fails after the old activity was terminated leaves customers with
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.activity import Terms
from reconciler.change import CreateActivity, Finding, Plan, Severity


@dataclass(frozen=True, slots=True)
class Coupon:
    """A 商家券 stock as far as pay-gift depends on it. ``codes_left`` is ``None`` where WeChat Pay makes the codes."""

    stock_id: str
    begin_time: datetime
    end_time: datetime
    stock_state: str
    coupon_code_mode: str
    belong_merchant: str
    max_coupons: int | None
    max_coupons_per_user: int | None
    codes_left: int | None = None


def stocks_named(plan: Plan) -> list[str]:
    """The ids of all stocks that the plan's creates give, sorted."""
    ids = {
        award.stock_id
        for step in plan.operations
        if isinstance(step, CreateActivity)
        for award in step.terms.award_list
    }
    return sorted(ids)


def coupon_findings(plan: Plan, coupons: Mapping[str, Coupon]) -> Iterator[Finding]:
    """A refusal for each activity to be created whose coupons WeChat Pay would not take; those missing do not exist.

    A warning for each that it may not take: whether it takes equal times is not known (API §2 F2).
    """
    for change in plan.changes:
        for step in change.operations:
            if isinstance(step, CreateActivity):
                problems = "; ".join(_problems(step.terms, coupons))
                doubts = "; ".join(_doubts(step.terms, coupons))
                if problems:
                    facts = {"problems": problems}
                    yield Finding("COUPON_UNUSABLE", Severity.REFUSAL, change.key, facts, change.source)
                if doubts:
                    facts = {"doubts": doubts}
                    yield Finding("COUPON_TIME_EQUAL", Severity.WARNING, change.key, facts, change.source)


def _problems(terms: Terms, coupons: Mapping[str, Coupon]) -> Iterator[str]:
    found = []
    for award in terms.award_list:
        coupon = coupons.get(award.stock_id)
        if coupon is None:
            yield f"coupon {award.stock_id} does not exist, or is not this merchant's"
        else:
            found.append(coupon)
            yield from _problems_of(coupon, terms)
    kinds = {
        (each.begin_time, each.end_time, each.max_coupons, each.max_coupons_per_user, each.belong_merchant)
        for each in found
    }
    if len(kinds) > 1:
        yield "the coupons of a package must be alike in time, stock, limit per user and owner"


def _problems_of(coupon: Coupon, terms: Terms) -> Iterator[str]:
    name = f"coupon {coupon.stock_id}"
    if coupon.stock_state != "RUNNING":
        yield f"{name} is {coupon.stock_state}, not RUNNING"
    if coupon.coupon_code_mode == "MERCHANT_API":
        yield f"{name} has the code mode MERCHANT_API, which does not fit pay-gift"
    if coupon.codes_left == 0:
        yield f"{name} has no uploaded codes left"
    if coupon.begin_time > terms.begin_time or coupon.end_time < terms.end_time:
        yield f"{name} must be valid from before the activity begins until after it ends"


def _doubts(terms: Terms, coupons: Mapping[str, Coupon]) -> Iterator[str]:
    for award in terms.award_list:
        coupon = coupons.get(award.stock_id)
        if coupon is not None and coupon.begin_time == terms.begin_time:
            yield f"coupon {coupon.stock_id} begins at the same second as the activity"
        if coupon is not None and coupon.end_time == terms.end_time:
            yield f"coupon {coupon.stock_id} ends at the same second as the activity"
