"""A coupon stock, as far as pay-gift depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Coupon:
    """A 商家券 stock as far as pay-gift depends on it. What is ``None``, or an empty text, could not be read.

    Times are UTC instants. ``codes_left`` counts uploaded codes, and means something with MERCHANT_UPLOAD only.
    ``redeem`` holds what else ``coupon_available_time`` says of when a coupon can be redeemed: names of the API with
    values in one canonical spelling, sorted by name.
    """

    stock_id: str
    begin_time: datetime | None
    end_time: datetime | None
    stock_state: str
    coupon_code_mode: str
    belong_merchant: str
    max_coupons: int | None
    max_coupons_per_user: int | None
    codes_left: int | None = None
    redeem: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class UnreadCoupon:
    """A stock that WeChat Pay did not show; ``reason`` in its own words. That proves nothing about the stock: a query
    may be refused for one that a create takes (委托营销, API §6)."""

    reason: str


CouponRead = Coupon | UnreadCoupon | None
"""What asking for a stock brought; ``None`` where there is none with that id."""
