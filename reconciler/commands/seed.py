"""The coupon stocks that specs name, made up for the sandbox, which knows of none at first.

On the real account a team makes its 商家券 stocks elsewhere; here each stock is invented so that the activities which
name it can be created: it lasts a day longer on either side (API §2 F2), and those of one package are alike (F5).
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce

from reconciler.model.activity import DesiredActivity, Window
from reconciler.model.identity import instant


def stocks_for(activities: Iterable[DesiredActivity], belong_merchant: str) -> list[dict[str, object]]:
    """A create-stock body (API §3.2) with its ``stock_id`` for every stock that ``activities`` name, by id."""
    spans: dict[str, Window] = {}
    packages: list[set[str]] = []
    for activity in activities:
        ids = {award.stock_id for award in activity.terms.award_list}
        packages.append(ids)
        for stock_id in ids:
            spans[stock_id] = _cover(spans.get(stock_id), activity.terms.window)
    # Stocks that share a package must share their times, and so do those of packages that share a stock.
    settled = False
    while not settled:
        settled = True
        for ids in packages:
            whole = _whole(spans[stock_id] for stock_id in ids)
            settled &= all(spans[stock_id] == whole for stock_id in ids)
            spans.update((stock_id, whole) for stock_id in ids)
    return [_stock(stock_id, belong_merchant, spans[stock_id]) for stock_id in sorted(spans)]


def _cover(one: Window | None, other: Window) -> Window:
    if one is None:
        return other
    return Window(min(one.begin_time, other.begin_time), max(one.end_time, other.end_time))


def _whole(spans: Iterable[Window]) -> Window:
    return reduce(_cover, spans)


def _stock(stock_id: str, belong_merchant: str, span: Window) -> dict[str, object]:
    return {
        "stock_id": stock_id,
        "stock_name": f"沙箱券{stock_id[-8:]}",
        "belong_merchant": belong_merchant,
        "goods_name": "沙箱商品",
        "stock_type": "NORMAL",
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": _day(span.begin_time, -1),
                "available_end_time": _day(span.end_time, 1),
            },
            "fixed_normal_coupon": {"discount_amount": 500, "transaction_minimum": 1000},
            "use_method": "OFF_LINE",
        },
        "stock_send_rule": {"max_coupons": 100_000, "max_coupons_per_user": 1},
        "out_request_no": f"sandbox_{stock_id}",
        "coupon_code_mode": "WECHATPAY_MODE",
    }


def _day(moment: datetime, days: int) -> str:
    return instant(moment + timedelta(days=days))
